//! Tasks: what to run, where, and what became of it.

use super::*;
use crate::thrift::describe::{thrift_struct, thrift_union};

thrift_struct! {
    /// Who owns a job.
    Identity {
        2 user "user": opt String,
    }

    /// A property of a host, such as its rack.
    Attribute {
        1 name "name": opt String,
        2 values "values": set String,
    }

    /// What is known of a host.
    HostAttributes {
        1 host "host": opt String,
        2 attributes "attributes": set Attribute,
        3 mode "mode": opt MaintenanceMode,
        4 slave_id "slaveId": opt String,
    }

    /// A host's attribute must (or must not) have one of these values.
    ValueConstraint {
        1 negated "negated": plain bool,
        2 values "values": set String,
    }

    /// At most so many tasks of the job on hosts with one value.
    LimitConstraint {
        1 limit "limit": plain i32,
    }
}

thrift_union! {
    /// The two forms of a constraint.
    TaskConstraint {
        1 Value "value": ValueConstraint,
        2 Limit "limit": LimitConstraint,
    }
}

thrift_struct! {
    /// A restriction on hosts, by attribute name.
    Constraint {
        1 name "name": opt String,
        2 constraint "constraint": opt TaskConstraint,
    }

    /// A named package; nothing reads it.
    Package {
        1 role "role": opt String,
        2 name "name": opt String,
        3 version "version": plain i32,
    }

    /// A label.
    Metadata {
        1 key "key": opt String,
        2 value "value": opt String,
    }

    /// The name of a job.
    JobKey {
        1 role "role": opt String,
        2 environment "environment": opt String,
        3 name "name": opt String,
    }
}

thrift_union! {
    /// Deprecated: what a lock is on.
    LockKey {
        1 Job "job": JobKey,
    }
}

thrift_struct! {
    /// Deprecated: a lock on a job.
    Lock {
        1 key "key": opt LockKey,
        2 token "token": opt String,
        3 user "user": opt String,
        4 timestamp_ms "timestampMs": plain i64,
        5 message "message": opt String,
    }

    /// One instance of a job.
    InstanceKey {
        1 job_key "jobKey": opt JobKey,
        2 instance_id "instanceId": plain i32,
    }

    /// A file to be fetched into the sandbox.
    MesosFetcherUri {
        1 value "value": opt String,
        2 extract "extract": plain bool,
        3 cache "cache": plain bool,
        4 output_file "outputFile": opt String,
    }

    /// Which executor runs a task, and what it is told.
    ExecutorConfig {
        1 name "name": opt String,
        2 data "data": opt String,
    }

    /// A directory of the host, seen in the container.
    Volume {
        1 container_path "containerPath": opt String,
        2 host_path "hostPath": opt String,
        3 mode "mode": opt Mode,
    }

    /// An image in a Docker registry.
    DockerImage {
        1 name "name": opt String,
        2 tag "tag": opt String,
    }

    /// An appc image.
    AppcImage {
        1 name "name": opt String,
        2 image_id "imageId": opt String,
    }
}

thrift_union! {
    /// The forms of a file system image.
    Image {
        1 Docker "docker": DockerImage,
        2 Appc "appc": AppcImage,
    }
}

thrift_struct! {
    /// A container by the agent's own means.
    MesosContainer {
        1 image "image": opt Image,
        2 volumes "volumes": list Volume,
    }

    /// A flag for the container engine.
    DockerParameter {
        1 name "name": opt String,
        2 value "value": opt String,
    }

    /// A container by Docker.
    DockerContainer {
        1 image "image": opt String,
        2 parameters "parameters": list DockerParameter,
    }
}

thrift_union! {
    /// The forms of a container.
    Container {
        1 Mesos "mesos": MesosContainer,
        2 Docker "docker": DockerContainer,
    }

    /// An amount of one resource.
    Resource {
        1 NumCpus "numCpus": f64,
        2 RamMb "ramMb": i64,
        3 DiskMb "diskMb": i64,
        4 NamedPort "namedPort": String,
        5 NumGpus "numGpus": i64,
    }
}

thrift_struct! {
    /// What happens to a task whose agent is cut off.
    PartitionPolicy {
        1 reschedule "reschedule": plain bool,
        2 delay_secs "delaySecs": plain i64,
    }

    /// So many percent of the instances stay up.
    PercentageSlaPolicy {
        1 percentage "percentage": plain f64,
        2 duration_secs "durationSecs": plain i64,
    }

    /// So many instances stay up.
    CountSlaPolicy {
        1 count "count": plain i64,
        2 duration_secs "durationSecs": plain i64,
    }

    /// Another service is asked before an instance is taken down.
    CoordinatorSlaPolicy {
        1 coordinator_url "coordinatorUrl": opt String,
        2 status_key "statusKey": opt String,
    }
}

thrift_union! {
    /// The forms of a promise about instances that stay up.
    SlaPolicy {
        1 PercentageSlaPolicy "percentageSlaPolicy": PercentageSlaPolicy,
        2 CountSlaPolicy "countSlaPolicy": CountSlaPolicy,
        3 CoordinatorSlaPolicy "coordinatorSlaPolicy": CoordinatorSlaPolicy,
    }
}

thrift_struct! {
    /// What each instance of a job runs.
    TaskConfig {
        28 job "job": opt JobKey,
        17 owner "owner": opt Identity,
        7 is_service "isService": plain bool,
        11 priority "priority": plain i32,
        13 max_task_failures "maxTaskFailures": plain i32,
        18 production "production": plain bool,
        30 tier "tier": opt String,
        32 resources "resources": set Resource,
        20 constraints "constraints": set Constraint,
        33 mesos_fetcher_uris "mesosFetcherUris": set MesosFetcherUri,
        22 task_links "taskLinks": map String,
        23 contact_email "contactEmail": opt String,
        25 executor_config "executorConfig": opt ExecutorConfig,
        27 metadata "metadata": set Metadata,
        34 partition_policy "partitionPolicy": opt PartitionPolicy,
        35 sla_policy "slaPolicy": opt SlaPolicy,
        29 container "container": opt Container = Some(Container::Mesos(MesosContainer::default())),
    }

    /// A step in the life of a task.
    TaskEvent {
        1 timestamp "timestamp": plain i64,
        2 status "status": opt ScheduleStatus,
        3 message "message": opt String,
        4 scheduler "scheduler": opt String,
    }

    /// A task and its place.
    AssignedTask {
        1 task_id "taskId": opt String,
        2 slave_id "slaveId": opt String,
        3 slave_host "slaveHost": opt String,
        4 task "task": opt TaskConfig,
        5 assigned_ports "assignedPorts": map i32,
        6 instance_id "instanceId": plain i32,
    }

    /// A task, its state and its past.
    ScheduledTask {
        1 assigned_task "assignedTask": opt AssignedTask,
        2 status "status": opt ScheduleStatus,
        3 failure_count "failureCount": plain i32,
        6 times_partitioned "timesPartitioned": plain i32,
        4 task_events "taskEvents": list TaskEvent,
        5 ancestor_id "ancestorId": opt String,
    }
}
