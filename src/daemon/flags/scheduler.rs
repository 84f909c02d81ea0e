//! The scheduler's flags: every one of upstream's, and ours.

table! {
    /// The flags of `aurora-scheduler`, by name.
    SCHEDULER_FLAGS
    agent_key_file: Text = "", works,
        "The key that agents share with the scheduler; see aurora-log initialize";
    agent_timeout: Time = "10secs", works,
        "An agent that says nothing for this long is taken for gone";
    allow_container_volumes: Bool = "false", works,
        "User volumes for mesos containers";
    allow_docker_parameters: Bool = "false", works,
        "User docker parameters";
    allow_gpu_resource: Bool = "false", works,
        "GPU resources + framework capability";
    allowed_container_types: Text = "MESOS", works,
        "Permitted container union members";
    allowed_job_environments: Text = "^(prod|devel|test|staging\\d*)$", works,
        "Environment names (full match)";
    async_slot_stat_update_interval: Time = "1mins", works,
        "Empty-slot stats period";
    async_task_stat_update_interval: Time = "1hrs", works,
        "Resource consumption stats period";
    async_worker_threads: Int = "8", idle("this scheduler has no such thread pool"),
        "Shared async pool (events, timers)";
    backup_dir: Text = "", works,
        "Backup directory; 'backups' beside the log's directory if it is not given";
    backup_interval: Time = "1hrs", works,
        "Minimum gap between backups, which are taken along with snapshots (-dlog_snapshot_interval)";
    cluster_name: Text = "", works,
        "Reported in ServerInfo, coordinator keys, discovery";
    cron_catch_up_window: Time = "15mins", works,
        "Cron runs that were missed are made up for if they are younger than this";
    cron_scheduler_num_threads: Int = "10", idle("this scheduler has no such thread pool"),
        "Cron threads";
    cron_scheduling_max_batch_size: Int = "10", idle("runs that are due share entries of the log as they come"),
        "Cron triggers per write";
    cron_start_initial_backoff: Time = "5secs", idle("a run that waits begins as soon as the one before it has ended"),
        "KILL_EXISTING wait, initial";
    cron_start_max_backoff: Time = "1mins", idle("a run that waits begins as soon as the one before it has ended"),
        "KILL_EXISTING wait, max";
    cron_timezone: Text = "GMT", works,
        "Time zone of cron jobs that are scheduled from now on";
    custom_executor_config: Text = "", stops("run tasks with another executor than the file names"),
        "Executor JSON";
    default_docker_parameters: Text = "", stops("run containers without these parameters"),
        "Used when job gives none";
    dlog_max_entry_size: Data = "512KB", idle("entries need no frames: snapshots are written in small chunks, and a batch ends at 2 MB"),
        "Frame threshold";
    dlog_snapshot_interval: Time = "1hrs", works,
        "Snapshot period";
    empty_notice_interval: Time = "5secs", works,
        "How often a scheduler without a log says so";
    enable_cors_for: Text = "", works,
        "Access-Control-Allow-Origin value";
    enable_mesos_fetcher: Bool = "false", works,
        "Allow fetcher URIs in jobs";
    enable_preemptor: Bool = "true", works,
        "Preemption";
    enable_revocable_cpus: Bool = "true", works,
        "Tasks of revocable tiers take processor time from what machines may take back";
    enable_revocable_ram: Bool = "false", works,
        "Tasks of revocable tiers take memory from what machines may take back";
    enable_update_affinity: Bool = "false", works,
        "Updated instances come back to the machine they were on, if they fit there";
    executor_user: Text = "root", idle("it concerns a Mesos master, and the embedded driver is in use"),
        "FrameworkInfo.user";
    exit_with_parent: Bool = "false", works,
        "Ends when the process that started it ends";
    feature_level_delay: Time = "12hrs", works,
        "How long a term lasts before it writes what only newer programs read; an older one may come back until then";
    first_schedule_delay: Time = "1ms", works,
        "Delay before first attempt";
    flapping_task_threshold: Time = "5mins", works,
        "Shorter final active period = flapping";
    framework_announce_principal: Bool = "false", idle("it concerns a Mesos master, and the embedded driver is in use"),
        "Put principal in FrameworkInfo";
    framework_authentication_file: Text = "", stops("run tasks on this machine instead of the Mesos cluster"),
        "Mesos credentials properties";
    framework_failover_timeout: Time = "21days", idle("it concerns a Mesos master, and the embedded driver is in use"),
        "Framework failover timeout";
    framework_name: Text = "Aurora", idle("it concerns a Mesos master, and the embedded driver is in use"),
        "Framework name";
    global_container_mounts: Text = "", stops("run containers without these mounts"),
        "Executor volume mounts";
    history_max_per_job_threshold: Int = "100", works,
        "Terminal tasks kept per job";
    history_min_retention_threshold: Time = "1hrs", works,
        "Minimum retention";
    history_prune_threshold: Time = "2days", works,
        "Maximum retention";
    hold_offers_forever: Bool = "false", idle("our own agents offer what they have for as long as they are connected; nothing is held or declined"),
        "Never decline held offers";
    host_maintenance_polling_interval: Time = "1mins", works,
        "Drain poll";
    hostname: Text = "", works,
        "Advertised host";
    http_authentication_mechanism: Text = "NONE", stops("leave the scheduler open to everyone"),
        "Http authentication mechanism";
    http_port: Int = "8081", works,
        "0 = ephemeral";
    initial_flapping_task_delay: Time = "30secs", works,
        "Initial flapping task delay";
    initial_schedule_penalty: Time = "1secs", works,
        "Initial schedule penalty";
    initial_task_kill_retry_interval: Time = "15secs", works,
        "Initial task kill retry interval";
    ip: Text = "", works,
        "Bind address";
    job_update_history_per_job_threshold: Int = "10", works,
        "Job update history per job threshold";
    job_update_history_pruning_interval: Time = "15mins", works,
        "Job update history pruning interval";
    job_update_history_pruning_threshold: Time = "30days", works,
        "Job update history pruning threshold";
    kerberos_debug: Bool = "false", idle("Kerberos is not in use"),
        "Kerberos debug";
    kerberos_server_keytab: Text = "", stops("leave the scheduler open to everyone"),
        "Kerberos server keytab";
    kerberos_server_principal: Text = "", stops("leave the scheduler open to everyone"),
        "Kerberos server principal";
    log_level: Text = "INFO", works,
        "OFF, ERROR, WARN, INFO, DEBUG or TRACE; also at run time by /logconfig";
    max_flapping_task_delay: Time = "5mins", works,
        "Max flapping task delay";
    max_leading_duration: Time = "1days", works,
        "How long a scheduler leads before it hands over to another; alone, it leads on";
    max_parallel_coordinated_maintenance: Int = "10", works,
        "Coordinator pool & lock stripes";
    max_registration_delay: Time = "1mins", works,
        "How long a scheduler with -mesos_master_address waits to be registered before it ends";
    max_reschedule_task_delay_on_startup: Time = "0secs", works,
        "How far first attempts are spread after a start; upstream needed 30secs";
    max_saved_backups: Int = "48", works,
        "Max saved backups";
    max_schedule_attempts_per_sec: Float = "40.0", works,
        "Attempts to place a group of tasks, per second";
    max_schedule_penalty: Time = "1mins", works,
        "Max schedule penalty";
    max_sla_duration_secs: Time = "2hrs", works,
        "(a time amount despite the name)";
    max_status_update_batch_size: Int = "1000", idle("whatever has come shares the next entry of the log; there is no batch to size"),
        "Max status update batch size";
    max_task_event_batch_size: Int = "300", idle("whatever has come shares the next entry of the log; there is no batch to size"),
        "Max task event batch size";
    max_tasks_per_job: Int = "4000", works,
        "Max tasks per job";
    max_tasks_per_schedule_attempt: Int = "5", works,
        "Max tasks per schedule attempt";
    max_update_instance_failures: Int = "20000", works,
        "Fixed default (5×4000), not tied to the flag value";
    mesos_driver: Text = "SCHEDULER_DRIVER", idle("it concerns a Mesos master, and the embedded driver is in use"),
        "Mesos driver";
    mesos_master_address: Text = "", works,
        "Host:port or zk:// of a Mesos master: turns the embedded driver off. There is no other one yet: the scheduler waits for registration";
    mesos_role: Text = "", stops("run tasks on this machine instead of the Mesos cluster"),
        "Mesos role";
    min_offer_hold_time: Time = "5mins", idle("our own agents offer what they have for as long as they are connected; nothing is held or declined"),
        "Min offer hold time";
    min_required_instances_for_sla_check: Int = "20", works,
        "Min required instances for sla check";
    native_log_election_retries: Int = "20", idle("the log retries and times out by itself"),
        "Native log election retries";
    native_log_election_timeout: Time = "15secs", idle("the log retries and times out by itself"),
        "Native log election timeout";
    native_log_file_path: Text = "", works,
        "Native log file path";
    native_log_peers: Text = "", works,
        "All replicas of the log by host:port of their -peer_port, this one among them";
    native_log_quorum_size: Int = "1", works,
        "Native log quorum size";
    native_log_read_timeout: Time = "5secs", idle("the log retries and times out by itself"),
        "Native log read timeout";
    native_log_write_timeout: Time = "3secs", idle("the log retries and times out by itself"),
        "Native log write timeout";
    native_log_zk_group_path: Text = "", stops("run a log without its other replicas"),
        "Native log zk group path";
    offer_filter_duration: Time = "5secs", idle("our own agents offer what they have for as long as they are connected; nothing is held or declined"),
        "Offer filter duration";
    offer_hold_jitter_window: Time = "1mins", idle("our own agents offer what they have for as long as they are connected; nothing is held or declined"),
        "Offer hold jitter window";
    offer_order: Text = "RANDOM", works,
        "The order in which machines are tried: CPU, MEMORY, DISK, REVOCABLE_CPU (the fullest first), RANDOM (in turn)";
    offer_reservation_duration: Time = "3mins", works,
        "Preemption reservation";
    offer_set_module: Text = "", stops("place tasks by other rules"),
        "Extension";
    offer_static_ban_cache_max_size: Int = "9223372036854775807", idle("a group remembers one number in place of a list of bans"),
        "Offer static ban cache max size";
    partition_aware: Bool = "false", idle("it concerns a Mesos master, and the embedded driver is in use"),
        "Partition aware";
    peer_ip: Text = "", works,
        "The address for agents and other schedulers; default: as -ip";
    peer_port: Int = "8083", works,
        "Where agents and other schedulers connect";
    populate_discovery_info: Bool = "false", idle("it concerns a Mesos master, and the embedded driver is in use"),
        "Populate discovery info";
    preemption_delay: Time = "3mins", works,
        "Preemption delay";
    preemption_reservation_max_batch_size: Int = "5", works,
        "Preemption reservation max batch size";
    preemption_slot_finder_modules: Text = "", stops("place tasks by other rules"),
        "Extension";
    preemption_slot_hold_time: Time = "5mins", idle("room that is found is used at once"),
        "Preemption slot hold time";
    preemption_slot_search_initial_delay: Time = "3mins", works,
        "Preemption slot search initial delay";
    preemption_slot_search_interval: Time = "1mins", works,
        "Preemption slot search interval";
    receive_revocable_resources: Bool = "false", works,
        "Uses what agents offer by -revocable_resources; without it tasks of revocable tiers wait";
    reconciliation_explicit_batch_interval: Time = "5secs", idle("agents answer at their own pace"),
        "Reconciliation explicit batch interval";
    reconciliation_explicit_batch_size: Int = "1000", works,
        "Reconciliation explicit batch size";
    reconciliation_explicit_interval: Time = "60mins", works,
        "Reconciliation explicit interval";
    reconciliation_implicit_interval: Time = "60mins", works,
        "Reconciliation implicit interval";
    reconciliation_initial_delay: Time = "1mins", works,
        "Reconciliation initial delay";
    reconciliation_schedule_spread: Time = "30mins", works,
        "Reconciliation schedule spread";
    replica_key_file: Text = "", works,
        "The key that all replicas of the log share; see aurora-log initialize";
    require_docker_use_executor: Bool = "true", works,
        "Require docker use executor";
    scheduling_max_batch_size: Int = "3", idle("whatever has come shares the next entry of the log; there is no batch to size"),
        "Attempts per write";
    serverset_endpoint_name: Text = "http", idle("it concerns ZooKeeper, which is not in use"),
        "Endpoint key and web UI scheme";
    serverset_path: Text = "", stops("run a scheduler that no client finds in ZooKeeper"),
        "Serverset path";
    shiro_after_auth_filter: Text = "", stops("leave the scheduler open to everyone"),
        "Shiro after auth filter";
    shiro_credentials_matcher: Text = "", stops("leave the scheduler open to everyone"),
        "Shiro credentials matcher";
    shiro_ini_path: Text = "", stops("leave the scheduler open to everyone"),
        "Shiro ini path";
    shiro_realm_modules: Text = "", stops("leave the scheduler open to everyone"),
        "Shiro realm modules";
    sla_aware_action_max_batch_size: Int = "300", idle("whatever has come shares the next entry of the log; there is no batch to size"),
        "(release notes call it max_update_action_batch_size)";
    sla_aware_kill_non_prod: Bool = "false", works,
        "Sla aware kill non prod";
    sla_aware_kill_retry_max_delay: Time = "5mins", works,
        "Sla aware kill retry max delay";
    sla_aware_kill_retry_min_delay: Time = "1mins", works,
        "Sla aware kill retry min delay";
    sla_coordinator_timeout: Time = "1mins", works,
        "Sla coordinator timeout";
    sla_non_prod_metrics: Text = "", works,
        "Sla non prod metrics";
    sla_prod_metrics: Text = "JOB_UPTIMES,PLATFORM_UPTIME,MEDIANS", works,
        "Sla prod metrics";
    sla_stat_refresh_interval: Time = "1mins", works,
        "Sla stat refresh interval";
    stat_retention_period: Time = "1hrs", idle("series are sampled every 10 seconds and kept for an hour; use /metrics with Prometheus for more"),
        "Time series retention";
    stat_sampling_interval: Time = "1secs", idle("series are sampled every 10 seconds and kept for an hour; use /metrics with Prometheus for more"),
        "Stat sampling interval";
    task_assigner_modules: Text = "", stops("place tasks by other rules"),
        "Extension";
    thermos_executor_cpu: Float = "0.01", works,
        "Thermos executor cpu";
    thermos_executor_flags: Text = "", works,
        "Options for every executor, such as --runner-logger-mode=rotate";
    thermos_executor_path: Text = "", works,
        "A program on the agents that starts the executor; default: the agents' own executor";
    thermos_executor_ram: Data = "8MB", works,
        "Thermos executor ram";
    thermos_executor_resources: Text = "", works,
        "Files on the agents, separated by commas, that -thermos_executor_path finds beside it";
    thermos_home_in_sandbox: Bool = "false", idle("the executor is the one that the agent was installed with"),
        "Thermos home in sandbox";
    thrift_method_interceptor_modules: Text = "", stops("run without the interceptors"),
        "Extension";
    tier_config: Text = "", works,
        "A JSON file of tiers: {\"default\": name, \"tiers\": {name: {\"preemptible\": bool, \"revocable\": bool}}}; default: preferred, preemptible, revocable";
    tls_certificate_file: Text = "", stops("serve without encryption"),
        "Certificate for HTTPS";
    tls_key_file: Text = "", stops("serve without encryption"),
        "Key for HTTPS";
    transient_task_state_timeout: Time = "5mins", works,
        "Transient task state timeout";
    unavailability_threshold: Time = "6mins", idle("our agents announce no unavailability; use aurora_admin host_drain or sla_host_drain"),
        "Unavailability threshold";
    unreachable_agent_grace: Time = "75secs", works,
        "Tasks of an agent that is gone this long are PARTITIONED";
    update_affinity_reservation_hold_time: Time = "3mins", works,
        "How long a machine is kept for an instance that an update replaces";
    viz_job_url_prefix: Text = "", works,
        "ServerInfo.statsUrlPrefix";
    webhook_config: Text = "", stops("tell nobody of what happens"),
        "Webhook config";
    zk_chroot_path: Text = "", stops("run a scheduler that no other one knows of"),
        "Zk chroot path";
    zk_connection_timeout: Time = "10secs", idle("it concerns ZooKeeper, which is not in use"),
        "Zk connection timeout";
    zk_digest_credentials: Text = "", stops("run a scheduler that no other one knows of"),
        "Exactly one colon";
    zk_endpoints: Text = "", stops("run a scheduler that no other one knows of"),
        "Zk endpoints";
    zk_in_proc: Bool = "false", stops("run a scheduler that no other one knows of"),
        "Zk in proc";
    zk_session_timeout: Time = "15secs", idle("it concerns ZooKeeper, which is not in use"),
        "Zk session timeout";
}
