//! What processes write, and where it goes.

use crate::fixture::{Directory, Task, processes_of, until};
use aurora::base::clock;
use aurora::executor::checkpoint::TaskStateRecord;
use aurora::executor::order::Order;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

const ROTATE: &str =
    r#", "logger": {"mode": "rotate", "rotate": {"log_size": 4096, "backups": 3}}"#;

fn one(cmdline: &str, more: &str) -> String {
    let cmdline = serde_json::Value::from(cmdline);
    format!(r#"{{"task": {{"processes": [{{"name": "main", "cmdline": {cmdline}{more}}}]}}}}"#)
}

fn flags(text: &str) -> impl FnOnce(&mut Order) {
    let text = text.to_owned();
    move |order| order.flags = text
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
    let mut names: Vec<String> = entries.map(|entry| name(entry).unwrap()).collect();
    names.sort();
    names
}

#[test]
fn rotated_logs_hold_whole_lines_and_the_last_of_them() {
    let directory = Directory::new("rotate");
    let script = "for i in $(seq 1 2000); do echo line $i; done; echo bad >&2";
    let mut task = Task::run(&directory.0, &one(script, ROTATE), |_| {});
    task.wait_for(TaskStateRecord::Finished);
    let logs = task.sandbox().join(".logs/main/0");
    let expected = ["stderr", "stdout", "stdout.1", "stdout.2", "stdout.3"];
    assert_eq!(names(&logs), expected);
    let text: Vec<String> = ["stdout.3", "stdout.2", "stdout.1", "stdout"]
        .iter()
        .map(|name| task.log("main", 0, name))
        .collect();
    assert!(text[..3].iter().all(|it| (4096..4200).contains(&it.len())));
    let text = text.concat();
    let first: u32 = text.split([' ', '\n']).nth(1).unwrap().parse().unwrap();
    let all: String = (first..=2000).map(|i| format!("line {i}\n")).collect();
    assert!(text == all);
    assert_eq!(task.log("main", 0, "stderr"), "bad\n");
}

#[test]
fn the_flags_of_the_cluster_rule_where_the_process_says_nothing() {
    let directory = Directory::new("flags");
    let text = "--runner-logger-mode=rotate --runner-rotate-log-size-mb=1 \
                --runner-rotate-log-backups 1 --runner-logger-destination=both";
    let data = r#"{"task": {"processes": [
        {"name": "a", "cmdline": "yes 0123456 | head -c 2500000"},
        {"name": "b", "cmdline": "echo b", "logger": {"destination": "none"}},
        {"name": "c", "cmdline": "echo c", "logger": {"destination": "console"}},
        {"name": "d", "cmdline": "echo d", "logger": {}}]}}"#;
    let mut task = Task::run(&directory.0, data, flags(text));
    task.wait_for(TaskStateRecord::Finished);
    let logs = task.sandbox().join(".logs");
    assert_eq!(names(&logs.join("a/0")), ["stderr", "stdout", "stdout.1"]);
    assert_eq!(task.log("a", 0, "stdout.1").len(), 1 << 20);
    assert!(!logs.join("b").exists() && !logs.join("c").exists());
    assert_eq!(task.log("d", 0, "stdout"), "d\n");
    let console = fs::read_to_string(logs.join(".console/stdout")).unwrap();
    assert!(
        console.len() == 2_500_002 && console.contains("c\n"),
        "{}",
        console.len()
    );
}

#[test]
fn an_unknown_flag_starts_nothing() {
    let directory = Directory::new("unknown");
    let mut task = Task::prepare(&directory.0, &one("true", ""), flags("--no-such-flag"));
    assert!(!task.start().status.success());
    assert!(
        task.journal().contains("--no-such-flag"),
        "{}",
        task.journal()
    );
}

#[test]
fn a_child_that_keeps_the_pipe_does_not_keep_the_task() {
    let directory = Directory::new("holder");
    let script = "(setsid sleep 1000 &); echo done";
    let mut task = Task::run(&directory.0, &one(script, ROTATE), |_| {});
    task.wait_for(TaskStateRecord::Finished);
    assert_eq!(task.log("main", 0, "stdout"), "done\n");
    assert_eq!(processes_of(&task.sandbox()), Vec::<i32>::new());
}

#[test]
fn a_process_that_writes_without_end_can_be_killed_at_once() {
    let directory = Directory::new("endless");
    let mut task = Task::run(&directory.0, &one("exec cat /dev/zero", ROTATE), |_| {});
    let first = task.sandbox().join(".logs/main/0/stdout.3");
    until("the log has been rotated", || first.exists().then_some(()));
    let begin = clock::now();
    task.kill();
    task.wait_for(TaskStateRecord::Killed);
    assert!(clock::now().since(begin) < Duration::from_secs(10));
    let logs = task.sandbox().join(".logs/main/0");
    assert_eq!(names(&logs).len(), 5);
    assert!(fs::metadata(first).unwrap().len() <= 4096);
}

#[test]
fn a_log_that_cannot_be_written_stops_the_log_and_not_the_task() {
    let directory = Directory::new("full");
    let mut task = Task::prepare(&directory.0, &one("yes | head -c 300000", ROTATE), |_| {});
    let logs = task.sandbox().join(".logs/main/0");
    fs::create_dir_all(&logs).unwrap();
    symlink("/dev/full", logs.join("stdout")).unwrap();
    assert!(task.start().status.success());
    task.wait_for(TaskStateRecord::Finished);
    let journal = task.journal();
    assert_eq!(
        journal.matches("the task goes on without it").count(),
        1,
        "{journal}"
    );
}

#[test]
fn the_environment_is_kept_if_that_is_asked_for() {
    let directory = Directory::new("preserve");
    for (text, expected) in [("--preserve_env", "kept"), ("", "")] {
        let root = directory.0.join(format!("it{expected}"));
        fs::create_dir(&root).unwrap();
        let show = one("echo \"$TEST_MARK,$HOME,$USER,$LOGNAME\"", "");
        let mut task = Task::prepare(&root, &show, flags(text));
        // What says whose the processes are stays theirs.
        let starter = ["env", "HOME=/elsewhere", "USER=other", "LOGNAME=other"];
        let output = task.start_by(&starter, "TEST_MARK", "kept");
        assert!(output.status.success());
        task.wait_for(TaskStateRecord::Finished);
        let sandbox = task.sandbox();
        let shown = format!("{expected},{},tester,tester\n", sandbox.display());
        assert_eq!(task.log("main", 0, "stdout"), shown);
    }
}

#[test]
fn what_the_agent_tells_its_executor_counts_and_is_no_part_of_the_tasks_environment() {
    let directory = Directory::new("own-variables");
    let show = one(
        "env | grep -aE '^AURORA_(CGROUP|DOORS|LIMITS|MEMORY_CGROUP|TASK_DIR)='; ulimit -n",
        "",
    );
    let mut task = Task::prepare(&directory.0, &show, flags("--preserve_env"));
    let output = task.start_with("AURORA_LIMITS", "files=100");
    assert!(output.status.success());
    task.wait_for(TaskStateRecord::Finished);
    assert_eq!(task.log("main", 0, "stdout"), "100\n");
}

#[test]
fn an_executor_that_cannot_enter_its_limits_starts_nothing() {
    let directory = Directory::new("no-door");
    for (name, value, said) in [
        ("AURORA_DOORS", "/no/such/door", "/no/such/door"),
        ("AURORA_LIMITS", "files=many", "AURORA_LIMITS"),
    ] {
        let root = directory.0.join(name);
        fs::create_dir(&root).unwrap();
        let mut task = Task::prepare(&root, &one("true", ""), flags(""));
        assert!(!task.start_with(name, value).status.success());
        let journal = task.journal();
        assert!(
            journal.contains("cannot enter its limits") && journal.contains(said),
            "{journal}"
        );
        assert_eq!(task.records(), []);
    }
}
