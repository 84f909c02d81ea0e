//! What the original's executor does, and which test shows that ours does it, or why it does otherwise.
//!
//! Entries of [`DIFFERENT`] are defects of the original that we do not have, or parts that have no place
//! here; each says why, and where there is something to show, which test shows it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Behaviour, and the test that shows it.
const SAME: &[(&str, &str)] = &[
    // The executor's flow.
    (
        "a second start of a task does nothing",
        "a_second_executor_does_nothing_and_neither_does_a_later_one",
    ),
    (
        "data that cannot be read fail the task with the place",
        "a_task_that_cannot_be_understood_fails_with_the_place",
    ),
    (
        "STARTING, RUNNING and the end come in this order",
        "a_task_runs_in_its_sandbox_and_its_output_is_kept",
    ),
    (
        "a task that cannot be started is LOST with the reason",
        "a_missing_executor_is_reported_and_not_retried_for_ever",
    ),
    (
        "a kill during initialisation ends the task",
        "a_kill_that_comes_with_the_launch_is_not_lost",
    ),
    (
        "RUNNING comes only when the task is healthy",
        "a_task_with_a_shell_check_runs_when_healthy_and_fails_when_not",
    ),
    (
        "a task without health checks runs when it has started",
        "a_task_runs_in_its_sandbox_and_its_output_is_kept",
    ),
    (
        "an executor that dies makes its task LOST",
        "a_killed_executor_means_lost_and_nothing_runs_on",
    ),
    (
        "'Instructed to kill task.'",
        "a_killed_task_ends_and_leaves_nothing",
    ),
    (
        "'Told to shut down executor.'",
        "sigterm_to_the_executor_ends_the_task_in_order",
    ),
    (
        "an unknown user fails the task",
        "roles_that_may_not_run_here_fail_with_the_reason",
    ),
    // Planning.
    (
        "cycles, daemons and ephemerals as predecessors, mixed plans, unknown names are refused",
        "rules_of_planning_are_checked",
    ),
    (
        "order constraints",
        "processes_start_in_their_order_and_the_task_finishes",
    ),
    (
        "a failed predecessor blocks its successors for ever",
        "a_failed_process_blocks_what_waits_for_it",
    ),
    (
        "min_duration lies between an end and the next start",
        "a_failure_is_tried_again_after_min_duration_until_the_limit",
    ),
    (
        "max_failures counts failed runs only",
        "a_killed_run_does_not_count_as_failure_but_ends_at_a_hundred",
    ),
    (
        "an exhausted ephemeral process counts as finished",
        "an_exhausted_ephemeral_counts_as_finished",
    ),
    (
        "a daemon runs again after success; ephemerals are not waited for",
        "a_daemon_runs_again_after_success_and_ephemerals_are_not_waited_for",
    ),
    (
        "after 100 runs a process has failed",
        "one_that_fails_at_once_for_ever_ends_after_a_hundred_runs",
    ),
    ("max_concurrency", "concurrency_is_limited"),
    (
        "Task.max_failures",
        "tolerated_failures_do_not_fail_the_task",
    ),
    (
        "an unhealthy task ends what still runs",
        "a_failed_task_ends_what_still_runs",
    ),
    (
        "whatever the task, it ends once and within its limits",
        "every_task_ends_once_with_nothing_left",
    ),
    // States.
    (
        "exit codes and signals of runs",
        "a_failure_is_tried_again_after_min_duration_until_the_limit",
    ),
    (
        "final processes run last and cannot fail the task",
        "final_processes_run_last_and_cannot_fail_the_task",
    ),
    (
        "final processes are skipped when cleaning takes the budget",
        "final_processes_are_skipped_when_cleaning_takes_the_whole_budget",
    ),
    (
        "a kill has a budget of its own",
        "a_kill_replaces_the_budget_and_orphans_are_waited_for",
    ),
    (
        "orphans get SIGTERM, then SIGKILL",
        "a_process_that_ignores_sigterm_and_one_that_left_its_session_are_killed",
    ),
    (
        "background children end with their process",
        "what_a_finished_process_left_behind_is_gone_when_the_task_has_ended",
    ),
    (
        "a process id is signalled only if it is still the same process",
        "after_a_reboot_tasks_are_lost_and_recorded_numbers_are_not_trusted",
    ),
    // The escalation of a kill.
    (
        "/quitquitquit, /abortabortabort, then signals",
        "http_checks_and_shutdown_endpoints_are_called",
    ),
    (
        "an endpoint that cannot be reached is not waited for",
        "shutdown_endpoints_are_asked_before_signals",
    ),
    (
        "an executor that does not end a task is itself killed",
        "a_stopped_executor_does_not_stop_a_kill",
    ),
    // Health.
    (
        "the grace, failures in a row",
        "failures_in_the_grace_do_not_count_and_the_next_one_does",
    ),
    (
        "a success forgives",
        "a_success_forgives_the_failures_before_it",
    ),
    (
        "'Not enough successful health checks in time.'",
        "a_task_that_flaps_runs_out_of_time",
    ),
    (
        "bodies and status codes, cut to ten characters in reasons",
        "answers_are_judged_by_body_and_status",
    ),
    (
        "an HTTP check that fails",
        "a_wrong_answer_to_an_http_check_fails_the_task",
    ),
    (
        "a shell check that hangs",
        "a_shell_check_that_hangs_is_late_and_gone",
    ),
    // Sandbox and environment.
    (
        "HOME, USER, working directory",
        "a_task_runs_in_its_sandbox_and_its_output_is_kept",
    ),
    ("role user and groups", "a_task_runs_as_its_role_and_ends"),
    (
        "no descriptor is inherited",
        "an_executor_inherits_nothing_and_leaks_nothing_to_its_processes",
    ),
    // The checkpoint.
    (
        "a record that was cut off is not there yet",
        "records_are_followed_as_they_come_and_a_torn_one_is_not_seen",
    ),
    (
        "a terminal task cannot be run again",
        "an_ended_task_is_never_started_again",
    ),
    (
        "a runner that comes back finds its task",
        "a_running_task_outlives_the_agent_and_is_adopted",
    ),
    (
        "a task whose order cannot be read is LOST",
        "an_order_that_is_damaged_before_anything_began_is_a_lost_task",
    ),
    // Logs.
    (
        "output is kept byte by byte",
        "one_that_writes_an_endless_line_is_kept_to_the_byte",
    ),
    (
        "rotation by size, with backups",
        "rotated_logs_hold_whole_lines_and_the_last_of_them",
    ),
    (
        "the flags of the cluster count where the process says nothing; file, console, both, none",
        "the_flags_of_the_cluster_rule_where_the_process_says_nothing",
    ),
    (
        "the logger of a process counts as a whole",
        "the_logger_of_a_process_counts_as_a_whole",
    ),
    // Flags.
    (
        "--execute-as-user, --nosetuid",
        "the_executors_flags_may_name_another_user",
    ),
    (
        "--preserve_env",
        "the_environment_is_kept_if_that_is_asked_for",
    ),
    (
        "cached files: by user and URI, never looked at again, emptied at the start",
        "a_cached_file_is_kept_for_the_next_task_until_the_agent_stops",
    ),
    (
        "concurrent fetches of a cached file share one",
        "all_that_ask_at_once_share_one_fetch",
    ),
    (
        "a cached file without room goes straight into the sandbox",
        "what_is_being_read_stays_and_a_file_without_room_goes_past_the_cache",
    ),
    (
        "unknown flags are refused",
        "an_unknown_flag_starts_nothing",
    ),
    // Status.
    (
        "RUNNING needs all checks, one bad check ends the task",
        "a_task_with_several_checks_runs_when_all_are_good_and_fails_when_one_is_not",
    ),
    (
        "'Disk limit exceeded.' with what was reserved and used",
        "a_disk_hog_fails_with_what_it_reserved_and_used",
    ),
    (
        "the snooze file",
        "a_snoozed_check_counts_as_good_until_the_file_is_gone",
    ),
    // More of sandbox and environment.
    (
        ".thermos_profile is read by each shell; the sandbox is the role's alone",
        "the_sandbox_is_the_roles_alone_and_its_profile_is_read",
    ),
    (
        "nothing but HOME, LOGNAME, USER, PATH",
        "processes_have_bounded_resources_and_a_plain_environment",
    ),
    // Ports.
    (
        "the port map: assigned ports, and announce.portmap resolved over them",
        "a_job_reads_with_its_defaults_and_its_values",
    ),
];

/// Behaviour of the original, what ours does instead and why, and the test that shows it, if there is one.
const DIFFERENT: &[(&str, &str, Option<&str>)] = &[
    (
        "'Task failed.' and nothing more",
        "the process and how it ended are named behind it",
        Some("a_failed_task_names_the_process_and_how_it_ended"),
    ),
    (
        "a health check is begun again while one is under way",
        "a check has one round at a time",
        Some("a_check_under_way_is_not_begun_again_by_the_next_start"),
    ),
    (
        "checkpoints as streams of Thrift structures, one file per process",
        "frames of frozen records in one file, with room kept on the disk for the end",
        Some("a_task_that_fills_the_disk_ends_and_its_end_is_told_though_nothing_can_be_written"),
    ),
    (
        "memory is a gauge only",
        "a limit, by control group or by looking, with the peak in the message",
        Some("a_memory_hog_is_killed_and_the_limit_and_the_peak_are_named"),
    ),
    (
        "files whose size is not known are not cached; larger ones than told are deleted afterwards",
        "room is taken as they come; only what cannot be told from a half file is not kept",
        Some("what_may_have_been_cut_off_is_used_and_not_kept"),
    ),
    (
        "image tasks and Docker containers",
        "not run by this version, and refused by name",
        Some("what_is_wrong_is_named_with_its_place"),
    ),
    (
        "the announcer",
        "not in this version: its flags are taken and have no effect; it will be one more status check",
        None,
    ),
    (
        "--nosetuid-health-checks",
        "refused: no check runs with more rights than its task",
        Some("what_no_executor_would_take_is_named"),
    ),
    (
        "[bug] the start goes on after 'Task killed during initialization.'",
        "a verdict is written under the executor's lock: nothing starts after it",
        Some("nothing_starts_where_the_agent_has_given_up"),
    ),
    (
        "[bug] failed runs lose their exit code and stop time",
        "all ends are recorded alike",
        Some("json_has_the_shapes_of_the_original"),
    ),
    (
        "[bug] the sandbox check of the pages takes 'sandbox2' for 'sandbox'",
        "the kernel resolves below the sandbox",
        Some("what_is_inside_can_be_read_and_nothing_else"),
    ),
    (
        "[bug] the disk interval of the observer is taken for a timeout",
        "nothing is polled: the flag is accepted and has no effect",
        None,
    ),
    (
        "the message of an end is that of the check even if the task had ended before",
        "state and message are decided together",
        Some("a_killed_task_is_reported_killed_and_nothing_is_left"),
    ),
    (
        "a coordinator process between runner and shell, and runner as a process of its own",
        "the executor is the only parent; its death ends the shells",
        Some("shells_die_with_their_executor"),
    ),
    (
        "a task may leave processes behind that changed their session",
        "the executor is a subreaper, and the end is told only when nothing is left",
        Some("one_that_daemonises_without_its_environment_is_killed"),
    ),
    (
        "SIGINT and SIGPIPE are ignored in children",
        "children begin with default actions and an empty mask",
        Some("a_child_begins_with_default_signals"),
    ),
    (
        "polls of half a second to fifteen seconds",
        "the executor sleeps until something happens",
        None,
    ),
];

fn collect(dir: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, names);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if line == "#[test]" {
                    is_test = true;
                } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
                    names.insert(rest.split('(').next().unwrap().to_owned());
                    is_test = false;
                }
            }
        }
    }
}

#[test]
fn every_test_that_the_tables_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    collect(&root.join("src"), &mut names);
    collect(&root.join("tests"), &mut names);
    let same = SAME.iter().map(|(what, test)| (*what, *test));
    let different = DIFFERENT
        .iter()
        .filter_map(|(what, _, test)| test.map(|test| (*what, test)));
    let missing: Vec<_> = same
        .chain(different)
        .filter(|(_, test)| !names.contains(*test))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(DIFFERENT.iter().all(|(_, why, _)| !why.is_empty()));
}
