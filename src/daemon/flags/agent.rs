//! The agent's flags.

table! {
    /// The flags of `aurora-agent`, by name.
    AGENT_FLAGS
    agent_key_file: Text = "", works,
        "The key shared with the scheduler; see aurora-log initialize";
    allow_root_tasks: Bool = "false", works,
        "Runs jobs of the role root as root; refused otherwise";
    attributes: Text = "", works,
        "Properties of this machine, name:value;name:value, added to host:NAME";
    cgroup_cpu_quota: Bool = "false", works,
        "Holds tasks to their processor time even when nobody else wants it";
    cgroup_pids: Int = "4096", works,
        "Processes and threads that a task may have, by its control group; 0 for no limit";
    cgroup_root: Text = "aurora", works,
        "The control group below which tasks have theirs; none to do without";
    disk_check_interval: Time = "60secs", works,
        "How often it is looked what sandboxes take on the disk; 0secs for never";
    disk_headroom: Int = "10", works,
        "Percent of the disk to keep free: sandboxes of ended tasks are removed for it, the oldest first";
    executor_path: Text = "", works,
        "The executor; default: aurora-executor beside this program";
    executor_ram: Data = "32MB", works,
        "Memory that a task's control group allows beside what the task asked for";
    exit_with_parent: Bool = "false", works,
        "Ends when the process that started it ends";
    fetcher_cache_dir: Text = "", works,
        "Where fetched files are kept for other tasks until the agent stops; default: in -work_dir";
    fetcher_cache_size: Data = "2GB", works,
        "What fetched files that are kept may take on the disk; 0B for none";
    hostname: Text = "", works,
        "This machine's name for the scheduler and for links; default: the system's";
    ip: Text = "", works,
        "The address of the observer's pages; default: all";
    kill_tasks_on_exit: Bool = "false", works,
        "Kills all tasks when the agent stops; otherwise they run on";
    log_level: Text = "INFO", works,
        "OFF, ERROR, WARN, INFO, DEBUG or TRACE";
    memory_check_interval: Time = "5secs", works,
        "How often it is looked what memory tasks hold or died for";
    observer_port: Int = "1338", works,
        "The port of the observer's pages; 0 for any, -1 for none";
    resources: Text = "", works,
        "What this machine gives to tasks, cpus:2;mem:1024;disk:4096;ports:[31000-32000]; default: detected";
    revocable_resources: Text = "", works,
        "What this machine gives to tasks of revocable tiers on top, cpus:2;mem:512; needs the scheduler's -receive_revocable_resources";
    sandbox_keep: Time = "7days", works,
        "How long the sandbox of an ended task is kept";
    scheduler: Text = "127.0.0.1:8083", works,
        "Where the schedulers' peer ports are, host:port,host:port";
    task_core_dumps: Bool = "false", works,
        "Lets processes of tasks leave core dumps, where the system does";
    task_nofile: Int = "65536", works,
        "Files that a process of a task may have open; 0 for as many as the agent";
    task_nproc: Int = "32768", works,
        "Processes and threads that the user of a task may have; 0 for as many as the agent's";
    work_dir: Text = "/var/lib/aurora/agent", works,
        "Where tasks, their sandboxes and checkpoints live";
}
