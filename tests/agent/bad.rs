//! Children that behave badly. Whatever they do, the task ends when it should and leaves nothing.

use crate::fixture::{Directory, Task, until};
use aurora::executor::checkpoint::{ProcessEvent, TaskStateRecord};
use std::fs;
use std::path::Path;

fn data(cmdline: &str, more: &str) -> String {
    let cmdline = serde_json::Value::from(cmdline);
    format!(r#"{{"task": {{"processes": [{{"name": "main", "cmdline": {cmdline}{more}}}]}}}}"#)
}

/// Runs `script`, which touches `ready` when it is in place, then kills the task with little patience.
fn run_and_kill(name: &str, script: &str) -> (Directory, Task) {
    let directory = Directory::new(name);
    let mut task = Task::run(&directory.0, &data(script, ""), |it| it.kill_wait_ms = 200);
    task.wait_for(TaskStateRecord::Running);
    wait_for_file(&task.sandbox().join("ready"));
    task.kill();
    task.wait_for(TaskStateRecord::Killed);
    (directory, task)
}

fn wait_for_file(path: &Path) {
    until("the file is there", || path.exists().then_some(()));
}

/// The processes whose command line holds `mark`: for those that hide their environment.
fn with_mark(mark: &str) -> Vec<i32> {
    let all = aurora::executor::os::proc::all().unwrap();
    let is_marked = |pid: i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(mark)
    };
    let all = all.into_iter().filter(|it| !it.is_zombie);
    all.map(|it| it.pid).filter(|pid| is_marked(*pid)).collect()
}

#[test]
fn one_that_changes_its_process_group_is_killed() {
    let script =
        "set -m; (trap '' TERM; sleep 1000) & (trap '' TERM; sleep 1000) & touch ready; wait";
    let (_directory, task) = run_and_kill("bad-group", script);
    task.assert_nothing_is_left();
}

#[test]
fn one_that_daemonises_without_its_environment_is_killed() {
    let mark = format!("97{}.25", std::process::id());
    let script = format!(
        "(setsid env -i sh -c 'trap \"\" TERM; sleep {mark}; sleep {mark}' </dev/null &); \
         touch ready; sleep 1000"
    );
    let (_directory, _task) = run_and_kill("bad-daemon", &script);
    assert_eq!(with_mark(&mark), Vec::<i32>::new());
}

#[test]
fn one_that_forks_faster_than_it_is_killed_is_killed() {
    let script = "trap '' TERM; touch ready; while :; do setsid sleep 1000 & sleep 0.002; done";
    let (_directory, task) = run_and_kill("bad-fork", script);
    task.assert_nothing_is_left();
}

#[test]
fn one_that_stops_itself_is_killed() {
    let (_directory, task) = run_and_kill("bad-stop", "touch ready; kill -STOP $$; sleep 1000");
    task.assert_nothing_is_left();
}

#[test]
fn one_that_writes_without_end_is_killed_and_writes_no_more() {
    let script = "(until [ $(stat -c %s .logs/main/0/stdout) -gt 5000000 ]; do sleep 0.01; done; \
                  touch ready) & exec cat /dev/zero";
    let (_directory, task) = run_and_kill("bad-writer", script);
    task.assert_nothing_is_left();
    let log = task.sandbox().join(".logs/main/0/stdout");
    let size = fs::metadata(&log).unwrap().len();
    assert!(size > 5_000_000);
}

#[test]
fn one_that_writes_an_endless_line_is_kept_to_the_byte() {
    let directory = Directory::new("bad-line");
    let script = "head -c 3000000 /dev/zero | tr '\\0' x; head -c 1000 /dev/urandom >&2";
    let mut task = Task::run(&directory.0, &data(script, ""), |_| {});
    task.wait_for(TaskStateRecord::Finished);
    let log = fs::read(task.sandbox().join(".logs/main/0/stdout")).unwrap();
    assert!(log.len() == 3_000_000 && log.iter().all(|byte| *byte == b'x'));
    let log = fs::metadata(task.sandbox().join(".logs/main/0/stderr")).unwrap();
    assert_eq!(log.len(), 1_000);
}

#[test]
fn one_that_fails_at_once_for_ever_ends_after_a_hundred_runs() {
    let directory = Directory::new("bad-loop");
    let more = r#", "max_failures": 0, "min_duration": 0"#;
    let mut task = Task::run(&directory.0, &data("exit 1", more), |_| {});
    task.wait_for(TaskStateRecord::Failed);
    let failed = |it: &&ProcessEvent| matches!(it, ProcessEvent::Failed { return_code: 1 });
    let processes = task.processes();
    let count = processes.iter().map(|it| &it.event).filter(failed).count();
    assert_eq!(count, 100);
}

#[test]
fn one_that_closes_its_streams_and_opens_many_files_is_as_any_other() {
    let directory = Directory::new("bad-files");
    let script = "exec 0<&- 1>&- 2>&-; for n in $(seq 10 200); do eval \"exec $n</dev/null\"; done; \
                  (setsid sleep 1000 &); touch done";
    let mut task = Task::run(&directory.0, &data(script, ""), |_| {});
    task.wait_for(TaskStateRecord::Finished);
    assert!(task.sandbox().join("done").exists());
    task.assert_nothing_is_left();
}

#[test]
fn one_that_replaces_its_own_executable_is_killed_all_the_same() {
    let script = "cp \"$(command -v sleep)\" prog; ./prog 1000 & ./prog 1000 & \
                  cp \"$(command -v true)\" other; mv other prog; ./prog; rm prog; touch ready; wait";
    let (_directory, task) = run_and_kill("bad-replace", script);
    task.assert_nothing_is_left();
}

#[test]
fn one_that_fills_its_sandbox_with_junk_where_logs_belong_only_hurts_itself() {
    let directory = Directory::new("bad-logs");
    let data = r#"{"task": {"processes": [
        {"name": "first", "cmdline": "mkdir .logs/second; touch .logs/second/0"},
        {"name": "second", "cmdline": "true", "min_duration": 0}],
        "constraints": [{"order": ["first", "second"]}]}}"#;
    let mut task = Task::run(&directory.0, data, |_| {});
    task.wait_for(TaskStateRecord::Failed);
    task.wait_for_event("second", |it| matches!(it, ProcessEvent::NotStarted { .. }));
    task.assert_nothing_is_left();
}

#[test]
fn one_that_puts_a_pipe_or_a_link_where_a_log_belongs_only_hurts_itself() {
    let directory = Directory::new("bad-pipe");
    // A pipe that nobody reads would hold up whoever opens it, and one that somebody reads is no log either.
    let script = "mkdir -p .logs/silent/0 .logs/read/0 .logs/link/0 && \
                  mkfifo .logs/silent/0/stdout .logs/read/0/stdout && \
                  ln -s ../../../elsewhere .logs/link/0/stdout && \
                  (setsid sleep 1000 < .logs/read/0/stdout &) && echo > .logs/read/0/stdout";
    let script = serde_json::Value::from(script);
    let data = format!(
        r#"{{"task": {{"max_failures": 0, "processes": [{{"name": "first", "cmdline": {script}}},
            {{"name": "silent", "cmdline": "touch silent-ran"}},
            {{"name": "read", "cmdline": "touch read-ran"}},
            {{"name": "link", "cmdline": "touch link-ran"}}],
            "constraints": [{{"order": ["first", "silent"]}}, {{"order": ["first", "read"]}},
                {{"order": ["first", "link"]}}]}}}}"#
    );
    let mut task = Task::run(&directory.0, &data, |_| {});
    task.wait_for(TaskStateRecord::Finished);
    for name in ["silent", "read", "link"] {
        task.wait_for_event(name, |it| matches!(it, ProcessEvent::NotStarted { .. }));
        assert!(!task.sandbox().join(format!("{name}-ran")).exists());
    }
    assert!(!task.sandbox().join("elsewhere").exists());
    task.assert_nothing_is_left();
}

#[test]
fn a_child_begins_with_default_signals() {
    let directory = Directory::new("bad-signals");
    let script = "grep -E '^Sig(Blk|Ign)' /proc/self/status";
    let mut task = Task::run(&directory.0, &data(script, ""), |_| {});
    task.wait_for(TaskStateRecord::Finished);
    let log = task.log("main", 0, "stdout");
    // The first 31; the C library takes some of the others for itself.
    let mask = |text: &str| u64::from_str_radix(text, 16).unwrap() & 0x7fff_ffff;
    let masks: Vec<u64> = log
        .split_whitespace()
        .skip(1)
        .step_by(2)
        .map(mask)
        .collect();
    assert_eq!(masks, [0, 0], "{log}");
}
