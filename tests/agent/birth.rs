//! What a process is born with: its user and groups, its signals, its control group; and that nothing is born
//! before the checkpoint says so.

use crate::fixture::{Directory, Task, own_identity, processes_of, skip, until};
use aurora::executor::checkpoint::{ProcessEvent, TaskStateRecord};
use aurora::executor::order::Identity;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Ids that no account needs to have.
const USER: u32 = 41_001;
const GROUP: u32 = 41_002;
const GROUPS: [u32; 2] = [41_003, 41_004];

fn one(cmdline: &str, more: &str) -> String {
    let cmdline = serde_json::Value::from(cmdline);
    format!(r#"{{"task": {{"processes": [{{"name": "main", "cmdline": {cmdline}{more}}}]}}}}"#)
}

/// A task that runs as [`USER`]; none where this test may not become another user.
fn of_another_user(test: &str, root: &Path, data: &str) -> Option<Task> {
    if !Uid::effective().is_root() {
        skip(test, "only root can become another user");
        return None;
    }
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    let task = Task::prepare(root, data, |order| {
        order.identity = Identity {
            uid: USER,
            gid: GROUP,
            groups: GROUPS.to_vec(),
            is_switched: true,
            ..own_identity()
        };
    });
    fs::set_permissions(&task.directory, fs::Permissions::from_mode(0o755)).unwrap();
    chown(task.sandbox(), Some(USER), Some(GROUP)).unwrap();
    Some(task)
}

/// Whether `program` is there and does what a test needs of it.
fn has(program: &[&str]) -> bool {
    let mut command = Command::new(program[0]);
    let done = command.args(&program[1..]).arg("true").output();
    done.is_ok_and(|it| it.status.success())
}

#[test]
fn a_process_has_no_user_and_no_group_but_those_of_its_role() {
    let name = "a_process_has_no_user_and_no_group_but_those_of_its_role";
    let root = Directory::new("birth-user");
    let script =
        "grep -E '^(Uid|Gid|Groups):' /proc/self/status; stat -c '%u %g' .logs/main/0/stdout";
    let Some(mut task) = of_another_user(name, &root.0, &one(script, "")) else {
        return;
    };
    // The executor itself is in groups that are none of the task's.
    let starter = ["setpriv", "--groups", "41005,41006"];
    let started = match has(&starter) {
        true => task.start_by(&starter, "TEST", "1"),
        false => {
            skip(name, "without setpriv there are no groups to be left");
            task.start()
        }
    };
    assert!(started.status.success(), "{}", task.journal());
    task.wait_for(TaskStateRecord::Finished);
    let log = task.log("main", 0, "stdout");
    let words: Vec<&str> = log.split_whitespace().collect();
    let (user, group) = ("41001", "41002");
    let expected = [
        &["Uid:", user, user, user, user][..],
        &["Gid:", group, group, group, group],
        &["Groups:", "41003", "41004"],
        &[user, group],
    ];
    assert_eq!(words, expected.concat(), "{log}");
}

#[test]
fn files_of_a_rotated_log_are_the_users_and_lead_no_further_than_the_user_could_go() {
    let name = "files_of_a_rotated_log_are_the_users_and_lead_no_further_than_the_user_could_go";
    let root = Directory::new("birth-logs");
    let rotate = r#"{"mode": "rotate", "rotate": {"log_size": 4096, "backups": 2}}"#;
    let closed = root.0.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let data = format!(
        r#"{{"task": {{"processes": [
            {{"name": "first", "cmdline": "mkdir -p .logs; seq 3000; ln -s {} .logs/second",
                "logger": {rotate}}},
            {{"name": "second", "cmdline": "echo x", "logger": {rotate}}}],
            "constraints": [{{"order": ["first", "second"]}}]}}}}"#,
        closed.display()
    );
    let Some(mut task) = of_another_user(name, &root.0, &data) else {
        return;
    };
    assert!(task.start().status.success(), "{}", task.journal());
    task.wait_for(TaskStateRecord::Finished);
    let logs = task.sandbox().join(".logs/first/0");
    for file in ["", "stderr", "stdout", "stdout.1", "stdout.2"] {
        let meta = fs::metadata(logs.join(file)).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (USER, GROUP), "{file:?}");
    }
    assert_eq!(fs::read_dir(&closed).unwrap().count(), 0);
}

#[test]
fn shells_of_another_user_die_with_their_executor_too() {
    let name = "shells_of_another_user_die_with_their_executor_too";
    let root = Directory::new("birth-death");
    let Some(mut task) = of_another_user(name, &root.0, &one("touch here; sleep 1000; true", ""))
    else {
        return;
    };
    assert!(task.start().status.success(), "{}", task.journal());
    task.wait_for_event("main", |it| matches!(it, ProcessEvent::Running { .. }));
    let here = task.sandbox().join("here");
    until("it runs", || here.exists().then_some(()));
    let shell = task.processes().into_iter().find_map(|it| match it.event {
        ProcessEvent::Running { pid, .. } => Some(pid),
        _ => None,
    });
    let shell = shell.unwrap();
    kill(Pid::from_raw(task.executor()), Signal::SIGKILL).unwrap();
    until("the shell is gone", || {
        let left = aurora::executor::os::proc::stat(shell);
        left.is_none_or(|it| it.is_zombie).then_some(())
    });
    // What the shell itself has started is the next agent's to find; here nobody else looks.
    for pid in processes_of(&task.sandbox()) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap_or_default();
    }
}

#[test]
fn signals_that_the_starter_ignores_are_not_ignored_by_processes() {
    let root = Directory::new("birth-signals");
    let script = "grep '^SigIgn:' /proc/self/status";
    let mut task = Task::prepare(&root.0, &one(script, ""), |_| {});
    let starter = [
        "sh",
        "-c",
        "trap '' HUP QUIT USR1 ALRM TTOU; exec \"$@\"",
        "sh",
    ];
    let started = task.start_by(&starter, "TEST", "1");
    assert!(started.status.success(), "{}", task.journal());
    task.wait_for(TaskStateRecord::Finished);
    let log = task.log("main", 0, "stdout");
    let mask = log.strip_prefix("SigIgn:\t").map(str::trim);
    let mask = mask.and_then(|it| u64::from_str_radix(it, 16).ok());
    // The first 31; the C library takes some of the others for itself.
    assert_eq!(mask.map(|it| it & 0x7fff_ffff), Some(0), "{log}");
}

#[test]
fn nothing_starts_while_the_header_cannot_be_written() {
    let root = Directory::new("birth-header");
    // It may neither write a byte to a file nor die of the try; a directory can still be made.
    let script = "mkdir ran; sleep 1000";
    let mut task = Task::prepare(&root.0, &one(script, ""), |_| {});
    let starter = ["sh", "-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"];
    let started = task.start_by(&starter, "TEST", "1");
    // What goes on nevertheless is not left to the machine.
    if started.status.success() {
        until("it runs", || {
            let found = processes_of(&task.sandbox()).into_iter().next()?;
            let stat = aurora::executor::os::proc::stat(found)?;
            kill(Pid::from_raw(stat.parent), Signal::SIGKILL).ok()
        });
    }
    assert!(!started.status.success(), "it says that it has the task");
    assert_eq!(task.records(), []);
    assert!(!task.sandbox().join("ran").exists());
}

#[test]
fn an_end_that_cannot_be_written_keeps_the_executor_until_it_can() {
    let name = "an_end_that_cannot_be_written_keeps_the_executor_until_it_can";
    let limit = |pid: i32, bytes: &str| {
        let words = [format!("--pid={pid}"), format!("--fsize={bytes}:unlimited")];
        let done = Command::new("prlimit").args(words).output();
        done.is_ok_and(|it| it.status.success())
    };
    let root = Directory::new("birth-end");
    let mut task = Task::prepare(&root.0, &one("exec sleep 1000", ""), |_| {});
    let starter = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    let started = task.start_by(&starter, "TEST", "1");
    assert!(started.status.success(), "{}", task.journal());
    task.wait_for_event("main", |it| matches!(it, ProcessEvent::Running { .. }));
    task.wait_for(TaskStateRecord::Running);
    let executor = task.executor();
    // As on a full disk: no file may grow.
    if !limit(executor, "0") {
        skip(name, "prlimit is not there or may not");
    }
    task.kill();
    until("the process is gone", || {
        processes_of(&task.sandbox()).is_empty().then_some(())
    });
    limit(executor, "unlimited");
    task.wait_for(TaskStateRecord::Killed);
}

#[test]
fn the_executors_own_files_are_nobody_elses_whatever_its_starter_allows() {
    let root = Directory::new("birth-modes");
    let mut task = Task::prepare(&root.0, &one("exec sleep 1000", ""), |_| {});
    let started = task.start_by(&["sh", "-c", "umask 0; exec \"$@\"", "sh"], "TEST", "1");
    assert!(started.status.success(), "{}", task.journal());
    task.wait_for(TaskStateRecord::Running);
    for file in ["checkpoint", "control", "lock"] {
        let mode = fs::metadata(task.directory.join(file)).unwrap().mode();
        assert_eq!(mode & 0o077, 0, "{file}: {mode:o}");
    }
    task.kill();
    task.wait_for(TaskStateRecord::Killed);
}

#[test]
fn a_signal_that_ends_a_process_is_told_from_a_status_and_does_not_count_as_failure() {
    let root = Directory::new("birth-signal");
    // By two signals, one of which has no name in most programs; then well.
    let script = "mark() { touch $1; kill -$2 $$; sleep 1000; }; \
                  [ -e one ] || mark one 9; [ -e two ] || mark two 40; [ -e three ] || mark three 15";
    let more = r#", "max_failures": 1, "min_duration": 0"#;
    let mut task = Task::run(&root.0, &one(script, more), |_| {});
    task.wait_for(TaskStateRecord::Finished);
    let events = task.processes().into_iter().map(|it| it.event);
    let ends: Vec<_> = events
        .filter(|it| !matches!(it, ProcessEvent::Running { .. }))
        .collect();
    let expected = [
        ProcessEvent::Killed { signal: 9 },
        ProcessEvent::Killed { signal: 40 },
        ProcessEvent::Killed { signal: 15 },
        ProcessEvent::Success,
    ];
    assert_eq!(ends, expected);
}

/// Where control groups of version 2 are mounted, with or without controllers.
fn version_two() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut lines = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let found = lines.find(|line| line[2] == "cgroup2")?;
    Some(PathBuf::from(found[1]))
}

#[test]
fn an_executor_and_all_its_processes_are_born_in_the_group_that_is_named() {
    let name = "an_executor_and_all_its_processes_are_born_in_the_group_that_is_named";
    let Some(top) = version_two() else {
        return skip(name, "no control groups of version 2 are mounted");
    };
    let group = top.join(format!("aurora-birth-{}", std::process::id()));
    if let Err(why) = fs::create_dir(&group) {
        return skip(name, &format!("{}: {why}", group.display()));
    }
    let root = Directory::new("birth-group");
    let mut task = Task::prepare(
        &root.0,
        &one("grep ^0: /proc/self/cgroup; sleep 1000", ""),
        |_| {},
    );
    let started = task.start_with("AURORA_CGROUP", &group.display().to_string());
    assert!(started.status.success(), "{}", task.journal());
    let log = task.sandbox().join(".logs/main/0/stdout");
    let own = until("it wrote", || {
        let text = fs::read_to_string(&log).ok();
        text.filter(|it| it.ends_with('\n'))
    });
    let inside = fs::read_to_string(group.join("cgroup.procs")).unwrap();
    let executor = task.executor().to_string();
    task.kill();
    task.wait_for(TaskStateRecord::Killed);
    until("the group is empty", || fs::remove_dir(&group).ok());
    let leaf = group.file_name().unwrap().to_str().unwrap();
    assert!(own.trim().ends_with(leaf), "{own}");
    assert!(inside.lines().any(|pid| pid == executor), "{inside}");
    assert!(inside.lines().count() >= 2, "{inside}");
}

#[test]
fn an_executor_whose_group_is_not_there_starts_nothing() {
    let root = Directory::new("birth-nowhere");
    let mut task = Task::prepare(&root.0, &one("touch ran", ""), |_| {});
    let group = root.0.join("no-such-group").display().to_string();
    assert!(!task.start_with("AURORA_CGROUP", &group).status.success());
    assert_eq!(task.records(), []);
    assert!(!task.sandbox().join("ran").exists());
}
