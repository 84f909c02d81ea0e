//! The schema of jobs as a table: the same as `loader/schema.py`.

/// What an attribute holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Text; numbers become text.
    Text,
    /// A whole number.
    Whole,
    /// A number.
    Number,
    /// True or false.
    Flag,
    /// One of a few words.
    Word(&'static [&'static str]),
    /// A list of one kind.
    List(&'static Kind),
    /// Names with text.
    Map,
    /// A struct.
    Struct(&'static Schema),
    /// The first of these structs that fits.
    Choice(&'static [&'static Schema]),
}

/// A struct.
#[derive(Debug)]
pub(super) struct Schema {
    /// Its name, for messages.
    pub name: &'static str,
    /// Its attributes.
    pub fields: &'static [Field],
}

/// An attribute.
#[derive(Debug)]
pub(super) struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it has to be given.
    pub required: bool,
    /// What stands there when it is not given, as JSON.
    pub default: Option<&'static str>,
}

const fn required(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        required: true,
        default: None,
    }
}

const fn optional(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        required: false,
        default: None,
    }
}

const fn default(name: &'static str, kind: Kind, json: &'static str) -> Field {
    Field {
        name,
        kind,
        required: false,
        default: Some(json),
    }
}

use Kind::{Choice, Flag, List, Map, Number, Struct, Text, Whole, Word};

macro_rules! schema {
    ($constant:ident, $name:literal, $($field:expr),+ $(,)?) => {
        static $constant: Schema = Schema { name: $name, fields: &[$($field),+] };
    };
}

schema!(
    RESOURCES,
    "Resources",
    required("cpu", Number),
    required("ram", Whole),
    required("disk", Whole),
    default("gpu", Whole, "0"),
);
schema!(
    ROTATE,
    "RotatePolicy",
    default("log_size", Whole, "104857600"),
    default("backups", Whole, "5"),
);
schema!(
    LOGGER,
    "Logger",
    default(
        "destination",
        Word(&["file", "console", "both", "none"]),
        "\"file\""
    ),
    default("mode", Word(&["standard", "rotate"]), "\"standard\""),
    optional("rotate", Struct(&ROTATE)),
);
schema!(
    PROCESS,
    "Process",
    required("cmdline", Text),
    required("name", Text),
    optional("resources", Struct(&RESOURCES)),
    default("max_failures", Whole, "1"),
    default("daemon", Flag, "false"),
    default("ephemeral", Flag, "false"),
    default("min_duration", Whole, "5"),
    default("final", Flag, "false"),
    optional("logger", Struct(&LOGGER)),
);
schema!(CONSTRAINT, "Constraint", optional("order", List(&Text)));
schema!(
    TASK,
    "Task",
    default("name", Text, "\"{{processes[0].name}}\""),
    optional("processes", List(&Struct(&PROCESS))),
    default("constraints", List(&Struct(&CONSTRAINT)), "[]"),
    optional("resources", Struct(&RESOURCES)),
    default("max_failures", Whole, "1"),
    default("max_concurrency", Whole, "0"),
    default("finalization_wait", Whole, "30"),
    optional("user", Text),
);
schema!(
    QUEUE,
    "QueueUpdateStrategy",
    default("batch_size", Whole, "1")
);
schema!(
    BATCH,
    "BatchUpdateStrategy",
    default("batch_size", Whole, "1"),
    default("autopause_after_batch", Flag, "false"),
);
schema!(
    VARIABLE_BATCH,
    "VariableBatchUpdateStrategy",
    required("batch_sizes", List(&Whole)),
    default("autopause_after_batch", Flag, "false"),
);
schema!(
    UPDATE_CONFIG,
    "UpdateConfig",
    default("batch_size", Whole, "1"),
    default("watch_secs", Whole, "45"),
    default("max_per_shard_failures", Whole, "0"),
    default("max_total_failures", Whole, "0"),
    default("rollback_on_failure", Flag, "true"),
    default("wait_for_batch_completion", Flag, "false"),
    optional("pulse_interval_secs", Whole),
    default("sla_aware", Flag, "false"),
    optional(
        "update_strategy",
        Choice(&[&QUEUE, &BATCH, &VARIABLE_BATCH])
    ),
);
schema!(
    HTTP_CHECKER,
    "HttpHealthChecker",
    default("endpoint", Text, "\"/health\""),
    default("expected_response", Text, "\"ok\""),
    default("expected_response_code", Whole, "0"),
);
schema!(
    SHELL_CHECKER,
    "ShellHealthChecker",
    required("shell_command", Text)
);
schema!(
    HEALTH_CHECKER,
    "HealthCheckerConfig",
    optional("http", Struct(&HTTP_CHECKER)),
    optional("shell", Struct(&SHELL_CHECKER)),
);
schema!(
    HEALTH_CHECK_CONFIG,
    "HealthCheckConfig",
    default("health_checker", Struct(&HEALTH_CHECKER), r#"{"http": {}}"#),
    default("initial_interval_secs", Number, "15.0"),
    default("interval_secs", Number, "10.0"),
    default("max_consecutive_failures", Whole, "0"),
    default("min_consecutive_successes", Whole, "1"),
    default("timeout_secs", Number, "1.0"),
);
schema!(
    HTTP_LIFECYCLE,
    "HttpLifecycleConfig",
    default("port", Text, "\"health\""),
    default("graceful_shutdown_endpoint", Text, "\"/quitquitquit\""),
    default("shutdown_endpoint", Text, "\"/abortabortabort\""),
    default("graceful_shutdown_wait_secs", Whole, "5"),
    default("shutdown_wait_secs", Whole, "5"),
);
schema!(
    LIFECYCLE,
    "LifecycleConfig",
    optional("http", Struct(&HTTP_LIFECYCLE))
);
schema!(
    ANNOUNCER,
    "Announcer",
    default("primary_port", Text, "\"http\""),
    default("portmap", Map, r#"{"aurora": "{{primary_port}}"}"#),
    optional("zk_path", Text),
);
schema!(
    PARAMETER,
    "Parameter",
    required("name", Text),
    required("value", Text)
);
schema!(
    DOCKER,
    "Docker",
    required("image", Text),
    default("parameters", List(&Struct(&PARAMETER)), "[]"),
);
schema!(CONTAINER, "Container", optional("docker", Struct(&DOCKER)));
schema!(
    APPC_IMAGE,
    "AppcImage",
    required("name", Text),
    required("image_id", Text),
);
schema!(
    DOCKER_IMAGE,
    "DockerImage",
    required("name", Text),
    required("tag", Text),
);
schema!(
    VOLUME,
    "Volume",
    required("container_path", Text),
    required("host_path", Text),
    required("mode", Word(&["RO", "RW"])),
);
schema!(
    MESOS,
    "Mesos",
    optional("image", Choice(&[&APPC_IMAGE, &DOCKER_IMAGE])),
    default("volumes", List(&Struct(&VOLUME)), "[]"),
);
schema!(
    PARTITION_POLICY,
    "PartitionPolicy",
    default("reschedule", Flag, "true"),
    default("delay_secs", Whole, "0"),
);
schema!(
    METADATA,
    "Metadata",
    required("key", Text),
    required("value", Text)
);
schema!(
    EXECUTOR_CONFIG,
    "ExecutorConfig",
    default("name", Text, "\"AuroraExecutor\""),
    default("data", Text, "\"\""),
);
schema!(
    PERCENTAGE,
    "PercentageSlaPolicy",
    required("percentage", Number),
    required("duration_secs", Whole),
);
schema!(
    COUNT,
    "CountSlaPolicy",
    required("count", Whole),
    required("duration_secs", Whole),
);
schema!(
    COORDINATOR,
    "CoordinatorSlaPolicy",
    required("coordinator_url", Text),
    default("status_key", Text, "\"drain\""),
);

/// A job.
pub(super) static JOB: Schema = Schema {
    name: "Job",
    fields: &[
        default("name", Text, "\"{{task.name}}\""),
        required("role", Text),
        optional("contact", Text),
        required("cluster", Text),
        required("environment", Text),
        default("instances", Whole, "1"),
        required("task", Struct(&TASK)),
        optional("announce", Struct(&ANNOUNCER)),
        optional("tier", Text),
        optional("cron_schedule", Text),
        default("cron_collision_policy", Text, "\"KILL_EXISTING\""),
        default("update_config", Struct(&UPDATE_CONFIG), "{}"),
        optional("constraints", Map),
        default("metadata", List(&Struct(&METADATA)), "[]"),
        default("service", Flag, "false"),
        default("max_task_failures", Whole, "1"),
        default("production", Flag, "false"),
        default("priority", Whole, "0"),
        default("health_check_config", Struct(&HEALTH_CHECK_CONFIG), "{}"),
        default("lifecycle", Struct(&LIFECYCLE), r#"{"http": {}}"#),
        optional("task_links", Map),
        default("executor_config", Struct(&EXECUTOR_CONFIG), "{}"),
        default("enable_hooks", Flag, "false"),
        optional("partition_policy", Struct(&PARTITION_POLICY)),
        optional("sla_policy", Choice(&[&COORDINATOR, &COUNT, &PERCENTAGE])),
        optional("container", Choice(&[&CONTAINER, &DOCKER, &MESOS])),
    ],
};
