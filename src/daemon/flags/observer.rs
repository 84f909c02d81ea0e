//! The flags of `thermos_observer`.

table! {
    /// The flags of `thermos_observer`, by name.
    OBSERVER_FLAGS
    disable_task_resource_collection: Bool = "false", idle("what tasks use is looked up only when somebody asks"),
        "Does not collect what tasks use";
    ip: Text = "", works,
        "The address to serve on; default: all";
    log_level: Text = "INFO", works,
        "OFF, ERROR, WARN, INFO, DEBUG or TRACE";
    log_to_disk: Text = "", idle("the log goes to stderr"),
        "Where the original's log went";
    log_to_stderr: Text = "", idle("-log_level says what is logged"),
        "How the original's log looked";
    mesos_root: Text = "/var/lib/aurora/agent", works,
        "The agent's work directory, or a directory above it";
    polling_interval_secs: Text = "5", idle("files are read when somebody asks"),
        "How often the original looked for tasks";
    port: Int = "1338", works,
        "The port to serve on; 0 for any";
    task_disk_collection_interval_secs: Text = "60", idle("what tasks use is looked up only when somebody asks"),
        "How often the original looked at the disk";
    task_process_collection_interval_secs: Text = "20", idle("what tasks use is looked up only when somebody asks"),
        "How often the original looked at processes";
}
