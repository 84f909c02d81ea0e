//! Every name of upstream's statistics, in three lists: those that must move in the scenario of
//! `statistics.rs`, those that must be there, and those that are not, with the reason.
//!
//! `{job}` and the like stand for what the scenario uses. A name that ends in `*` stands for a timed
//! operation: its `_events`, `_nanos_total`, `_nanos_per_event` and both rates.

/// Rise between the beginning of the scenario and its end.
pub const MOVING: &str = "
    async_tasks_completed variable_scrape_events variable_scrape_micros_total
    jvm_uptime_secs jvm_time_ms process_cpu_time_nanos
    http_200_responses*
    scheduler_thrift_createJob* scheduler_thrift_response_OK scheduler_thrift_response_INVALID_REQUEST
    scheduler_thrift_workload_getTasksStatus scheduler_thrift_workload_getTasksWithoutConfigs
    scheduler_thrift_workload_getPendingReason scheduler_thrift_workload_getConfigSummary
    scheduler_thrift_workload_getRoleSummary scheduler_thrift_workload_getJobSummary
    scheduler_thrift_workload_getJobs scheduler_thrift_workload_getJobUpdateSummaries
    scheduler_thrift_workload_getJobUpdateDetails
    thrift_workload_createJob thrift_workload_createOrUpdateCronTemplate thrift_workload_killTasks
    thrift_workload_restartShards thrift_workload_startMaintenance thrift_workload_drainHosts
    thrift_workload_slaDrainHosts thrift_workload_maintenanceStatus thrift_workload_endMaintenance
    thrift_workload_addInstances thrift_workload_startJobUpdate thrift_workload_pruneTasks
    scheduler_status_update scheduler_status_update* scheduler_resource_offers scheduler_resource_offers*
    task_delivery_delay_SOURCE_SLAVE_requests_events
    tasks_FAILED_{broken} tasks_LOST_{watched} tasks_lost_rack_a
    task_queries_by_id task_queries_all task_queries_by_job task_queries_by_host
    task_store_RUNNING task_store_FAILED task_store_LOST task_store_PENDING
    task_store_index_job_items task_store_index_host_items
    mem_storage_attribute_size mem_storage_cron_size mem_storage_update_size mem_storage_quota_size
    tasks_pruned schedule_attempts_fired schedule_attempts_no_match
    scheduled_task_penalty_events scheduled_task_penalty_ms_total task_throttle_events task_throttle_ms_total
    scheduling_veto_static scheduling_veto_insufficient_resources veto_evaluated_offers
    task_schedule_attempt* assigner_maybe_assign*
    update_transition_ROLLING_FORWARD update_transition_ROLLED_FORWARD
    update_instance_transition_INSTANCE_UPDATING update_instance_transition_INSTANCE_UPDATED
    job_update_store_fetch_details_query*
    cron_job_triggers cron_job_collisions
    sla_stats_computation* task_stat_calculator_run* slot_size_counter_run*
    reconciliation_explicit_runs reconciliation_implicit_runs
    resources_total_consumed_ram_mb resources_free_pool_consumed_ram_mb
    resources_per_role_total_consumed_{role}_ram_mb quota_per_role_{role}_ram_mb
    resources_allocated_quota_ram_mb
    mem_storage_read_operation* mem_storage_write_operation* mem_storage_fetch_tasks*
    scheduler_log_bytes_written scheduler_log_entries_written scheduler_log_snapshots
    scheduler_log_native_append* scheduler_log_native_truncate* scheduler_log_snapshot*
    storage_write_lock_wait_events storage_write_lock_wait_ns_total
    scheduler_backup_success
";

/// There, though nothing in the scenario must move them. Errors, reconnects and timeouts of
/// `task_delivery_delay` never move, here as upstream: news of a task come by themselves, nobody asks.
pub const STANDING: &str = "
    timeout_queue_size
    jvm_available_processors jvm_memory_free_mb jvm_memory_max_mb jvm_memory_mb_total
    jvm_memory_heap_mb_used jvm_threads_active system_load_avg system_free_physical_memory_mb
    system_free_swap_mb process_cpu_cores_utilized process_open_fd_count process_max_fd_count build.version
    http_500_responses* http_503_responses*
    scheduler_lifecycle_IDLE scheduler_lifecycle_PREPARING_STORAGE scheduler_lifecycle_STORAGE_PREPARED
    scheduler_lifecycle_LEADER_AWAITING_REGISTRATION scheduler_lifecycle_ACTIVE scheduler_lifecycle_DEAD
    framework_registered offers_rescinded slaves_lost
    status_updates_queue_size task_lost_SOURCE_SLAVE
    task_delivery_delay_SOURCE_SLAVE_requests_micros_total
    task_delivery_delay_SOURCE_SLAVE_errors task_delivery_delay_SOURCE_SLAVE_reconnects
    task_delivery_delay_SOURCE_SLAVE_timeouts task_delivery_delay_SOURCE_SLAVE_error_rate
    task_delivery_delay_SOURCE_SLAVE_timeout_rate task_delivery_delay_SOURCE_SLAVE_errors_per_sec
    task_delivery_delay_SOURCE_SLAVE_timeouts_per_sec task_delivery_delay_SOURCE_SLAVE_requests_per_sec
    task_delivery_delay_SOURCE_SLAVE_10_0_percentile task_delivery_delay_SOURCE_SLAVE_50_0_percentile
    task_delivery_delay_SOURCE_SLAVE_90_0_percentile task_delivery_delay_SOURCE_SLAVE_99_0_percentile
    task_delivery_delay_SOURCE_SLAVE_99_9_percentile task_delivery_delay_SOURCE_SLAVE_99_99_percentile
    task_store_INIT task_store_THROTTLED task_store_ASSIGNED task_store_STARTING task_store_FINISHED
    task_store_PREEMPTING task_store_RESTARTING task_store_DRAINING task_store_KILLED task_store_KILLING
    task_store_PARTITIONED mem_storage_maintenance_size
    scheduler_illegal_task_state_transitions timed_out_tasks task_kill_retries job_updates_pruned
    schedule_attempts_failed schedule_attempts_blocks assigner_launch_failures outstanding_offers
    scheduled_task_penalty_events_per_sec scheduled_task_penalty_ms_per_event
    task_throttle_ms_total_per_sec
    scheduling_veto_dynamic scheduling_veto_constraint_mismatch scheduling_veto_dedicated_constraint_mismatch
    scheduling_veto_limit_not_satisfied scheduling_veto_maintenance
    reservation_cache_size reservation_cache_removals reservation_cache_expiration_removals
    reservation_cache_explicit_removals update_affinity_cache_size update_affinity_cache_removals
    update_affinity_cache_expiration_removals update_affinity_cache_explicit_removals
    preemptor_slot_search_attempts_for_prod preemptor_slot_search_attempts_for_non_prod
    preemptor_tasks_preempted_prod preemptor_tasks_preempted_non_prod
    preemptor_slot_search_successful_for_prod preemptor_slot_search_successful_for_non_prod
    preemptor_slot_search_failed_for_prod preemptor_slot_search_failed_for_non_prod
    preemptor_slot_validation_successful preemptor_slot_validation_failed preemptor_task_processor_runs
    preemptor_unmatched_tasks pending_task_processor_run*
    update_transition_ROLLING_BACK update_transition_ROLL_FORWARD_PAUSED update_transition_ROLL_BACK_PAUSED
    update_transition_ROLLED_BACK update_transition_ABORTED update_transition_ERROR update_transition_FAILED
    update_transition_ROLL_FORWARD_AWAITING_PULSE update_transition_ROLL_BACK_AWAITING_PULSE
    update_instance_transition_INSTANCE_ROLLED_BACK update_instance_transition_INSTANCE_ROLLING_BACK
    update_instance_transition_INSTANCE_UPDATE_FAILED update_instance_transition_INSTANCE_ROLLBACK_FAILED
    cron_job_misfires cron_job_parse_failures cron_job_concurrent_runs cron_job_launch_failures
    quartz_scheduler_running cron_jobs_loaded
    sla_{paid}_job_uptime_50.00_sec sla_{paid}_job_uptime_75.00_sec sla_{paid}_job_uptime_90.00_sec
    sla_{paid}_job_uptime_95.00_sec sla_{paid}_job_uptime_99.00_sec sla_{paid}_platform_uptime_percent
    sla_cluster_platform_uptime_percent sla_{paid}_mtta_ms sla_{paid}_mtts_ms sla_{paid}_mttr_ms
    sla_cluster_mtta_ms sla_cluster_mtts_ms sla_cluster_mttr_ms
    sla_cpu_small_mtta_ms sla_ram_small_mtts_ms sla_disk_small_mttr_ms
    sla_coordinator_attempts sla_coordinator_success sla_coordinator_errors sla_coordinator_user_errors
    sla_coordinator_lock_starvation missing_maintenance_request
    resources_total_consumed_cpu_cores resources_total_consumed_disk_mb
    resources_dedicated_consumed_cpu_cores resources_dedicated_consumed_ram_mb
    resources_dedicated_consumed_disk_mb resources_quota_consumed_cpu_cores resources_quota_consumed_ram_mb
    resources_quota_consumed_disk_mb resources_free_pool_consumed_cpu_cores
    resources_free_pool_consumed_disk_mb resources_allocated_quota_cpu_cores
    resources_allocated_quota_disk_mb
    empty_slots_small empty_slots_medium empty_slots_large empty_slots_xlarge
    empty_slots_dedicated_small empty_slots_dedicated_medium empty_slots_dedicated_large
    empty_slots_dedicated_xlarge empty_slots_revocable_small empty_slots_revocable_medium
    empty_slots_revocable_large empty_slots_revocable_xlarge empty_slots_dedicated_revocable_small
    empty_slots_dedicated_revocable_medium empty_slots_dedicated_revocable_large
    empty_slots_dedicated_revocable_xlarge
    scheduler_storage_prepare* scheduler_storage_start* scheduler_storage_recover*
    scheduler_log_un_snapshotted_transactions scheduler_log_bytes_read scheduler_log_entries_read
    scheduler_log_native_append_failures scheduler_backup_failed
";

/// Not there, and why.
pub const ABSENT: &[(&str, &str)] = &[
    (
        "uncaught_exceptions async_executor_uncaught_exceptions",
        "a panic ends the process, or is answered with HTTP 500, which is counted",
    ),
    (
        "event_bus_exceptions event_bus_dead_events",
        "there is no event bus",
    ),
    (
        "jvm_memory_heap_mb_committed jvm_memory_heap_mb_max jvm_memory_non_heap_mb_used \
         jvm_memory_non_heap_mb_committed jvm_memory_non_heap_mb_max jvm_gc_collection_time_ms \
         jvm_gc_collection_count jvm_class_loaded_count jvm_class_total_loaded_count \
         jvm_class_unloaded_count jvm_threads_daemon jvm_threads_peak jvm_threads_started \
         jvm_input_arguments",
        "there is no such heap, collector or class loader; flags are shown as flag_NAME",
    ),
    (
        "jvm_prop_os.name system_env_PATH",
        "an environment may hold secrets; anybody can read these pages",
    ),
    (
        "shiro_authorization_failures shiro_bad_requests",
        "no mechanism that asks for a name works yet: it stops the start",
    ),
    (
        "zk_connection_state_CONNECTED zk_connection_state_CONNECTED_counter",
        "there is no ZooKeeper",
    ),
    (
        "scheduler_framework_reregisters scheduler_inverse_offers scheduler_framework_disconnects \
         scheduler_lost_executors scheduler_framework_message scheduler_driver_kill_failures \
         mesos_scheduler_subscription_attempts scheduler_received_events",
        "no Mesos master is spoken to",
    ),
    (
        "status_update_REASON_COMMAND_EXECUTOR_FAILED_SUCCESS task_exit_REASON_COMMAND_EXECUTOR_FAILED",
        "our agents give reasons in words",
    ),
    (
        "offer_accept_races offer_cancel_failures statically_banned_offers_size \
         statically_banned_offers_hit_rate globally_banned_offers_size offer_manager_launch_task_events",
        "what agents offer is neither held, declined, accepted nor banned: the engine knows what is left of \
         each machine, and a group remembers up to where it has looked",
    ),
    (
        "scheduling_veto_mixed",
        "the first category that refuses ends the look at a machine",
    ),
    (
        "scheduling_filter_events notifying_scheduling_filter_events",
        "it is part of an attempt, which is timed as a whole",
    ),
    (
        "preemption_slot_cache_size preemption_slot_cache_removals",
        "room that is found is used at once",
    ),
    (
        "preemptor_missing_attributes",
        "no machine is known without its attributes",
    ),
    (
        "TaskEventBatchWorker_queue_size TaskGroupBatchWorker_items_processed \
         CronBatchWorker_batches_processed UpdateActionBatchWorker_batch_locked_events",
        "there are no batch workers: what has come shares the next entry of the log",
    ),
    (
        "job_update_recovery_errors job_update_delete_errors job_update_state_change_errors \
         job_update_store_save_update_events job_update_store_delete_updates_events",
        "updates change in the step that decides, which works as a whole or not at all; it is timed as \
         mem_storage_write_operation",
    ),
    (
        "checkSlaThenAct_events runOneIteration_events",
        "they are parts of steps, which are timed as a whole",
    ),
    (
        "mem_storage_save_tasks_events mem_storage_cron_fetch_jobs_events snapshot_create_events \
         snapshot_save_tasks_events",
        "tables are shared as they are: nothing is fetched, saved or copied one by one, and a snapshot is a \
         version of them",
    ),
    (
        "scheduler_log_bad_frames_read scheduler_log_deflated_entries_read log_entry_serialize_events \
         log_manager_deflate_events",
        "entries have neither frames nor compression",
    ),
    (
        "scheduler_log_native_read_events",
        "entries come as they are learned; nobody asks for them one by one",
    ),
    (
        "webhooks_attempts webhooks_success webhooks_errors webhooks_user_errors",
        "-webhook_config stops the start",
    ),
];
