//! The executor alone: orders, processes, ends.

use crate::fixture::{Directory, Task, processes_of, until};
use aurora::executor::checkpoint::{ProcessEvent, Record, TaskStateRecord};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc;

fn one(cmdline: &str) -> String {
    many(&[("main", cmdline, "")], "")
}

/// A task of (name, cmdline, more JSON fields), and more JSON fields of the task.
fn many(processes: &[(&str, &str, &str)], task: &str) -> String {
    let processes: Vec<String> = processes
        .iter()
        .map(|(name, cmdline, more)| {
            let cmdline = serde_json::Value::from(*cmdline);
            format!(r#"{{"name": "{name}", "cmdline": {cmdline}{more}}}"#)
        })
        .collect();
    format!(
        r#"{{"task": {{"processes": [{}]{task}}}}}"#,
        processes.join(", ")
    )
}

#[test]
fn a_task_runs_in_its_sandbox_and_its_output_is_kept() {
    let directory = Directory::new("plain");
    let script = "pwd; echo $HOME $USER {{mesos.instance}} {{thermos.ports[http]}}; echo bad >&2";
    let mut task = Task::run(&directory.0, &one(script), |_| {});
    let end = task.wait_for(TaskStateRecord::Finished);
    assert_eq!(end.message.as_deref(), Some("Task finished."));
    let sandbox = task.sandbox().display().to_string();
    let expected = format!("{sandbox}\n{sandbox} tester 2 31337\n");
    assert_eq!(task.log("main", 0, "stdout"), expected);
    assert_eq!(task.log("main", 0, "stderr"), "bad\n");
    let states: Vec<_> = task
        .states()
        .iter()
        .map(|it| (it.sequence, it.state))
        .collect();
    let expected = [
        (1, TaskStateRecord::Starting),
        (2, TaskStateRecord::Running),
        (3, TaskStateRecord::Finished),
    ];
    assert_eq!(states, expected);
}

#[test]
fn processes_run_in_order_and_a_failed_one_fails_the_task() {
    let directory = Directory::new("order");
    let processes = [
        ("second", "echo second >> ../sandbox/trace; exit 3", ""),
        ("first", "echo first >> trace", ""),
        ("third", "echo third >> trace", ""),
    ];
    let order = r#", "constraints": [{"order": ["first", "second", "third"]}]"#;
    let mut task = Task::run(&directory.0, &many(&processes, order), |_| {});
    task.wait_for(TaskStateRecord::Failed);
    let trace = fs::read_to_string(task.sandbox().join("trace")).unwrap();
    assert_eq!(trace, "first\nsecond\n");
    task.wait_for_event("second", |it| {
        *it == ProcessEvent::Failed { return_code: 3 }
    });
}

#[test]
fn a_killed_task_ends_and_leaves_nothing() {
    let directory = Directory::new("kill");
    let mut task = Task::run(&directory.0, &one("sleep 1000 & sleep 1000; echo"), |_| {});
    task.wait_for(TaskStateRecord::Running);
    task.kill();
    let end = task.wait_for(TaskStateRecord::Killed);
    assert_eq!(end.message.as_deref(), Some("Instructed to kill task."));
    task.assert_nothing_is_left();
}

#[test]
fn a_process_that_ignores_sigterm_and_one_that_left_its_session_are_killed() {
    let directory = Directory::new("stubborn");
    let script = "trap '' TERM; (setsid bash -c 'trap \"\" TERM; touch away; sleep 1000' &) ; \
                  touch here; while :; do sleep 1000; done";
    let mut task = Task::run(&directory.0, &one(script), |order| order.kill_wait_ms = 200);
    task.wait_for(TaskStateRecord::Running);
    until("both run", || {
        let sandbox = task.sandbox();
        (sandbox.join("here").exists() && sandbox.join("away").exists()).then_some(())
    });
    task.kill();
    task.wait_for(TaskStateRecord::Killed);
    task.assert_nothing_is_left();
}

#[test]
fn a_shell_is_asked_first_then_what_it_left_and_each_is_given_time() {
    let directory = Directory::new("asked");
    // The shell looks whether its child was asked beside it; the other one has a session of its own.
    let script = r#"
        patient() {
            trap "touch $1-asked; sleep 0.3; touch $1-tidy; exit" TERM
            touch $1-ready; while :; do sleep 0.05; done
        }
        export -f patient
        patient child &
        (setsid bash -c 'patient orphan' &)
        leave() {
            for n in 1 2 3 4 5 6; do [ -e child-asked ] && touch beside; sleep 0.05; done
            touch left; exit
        }
        trap leave TERM
        touch shell-ready; while :; do sleep 0.05; done"#;
    let mut task = Task::run(&directory.0, &one(script), |_| {});
    task.wait_for(TaskStateRecord::Running);
    let sandbox = task.sandbox();
    let there = |names: &[&str]| names.iter().all(|name| sandbox.join(name).exists());
    until("all are ready", || {
        there(&["shell-ready", "child-ready", "orphan-ready"]).then_some(())
    });
    task.kill();
    task.wait_for(TaskStateRecord::Killed);
    assert!(there(&["left"]), "the shell was not asked");
    assert!(!there(&["beside"]), "the child was asked beside its shell");
    assert!(
        there(&["child-asked", "child-tidy"]),
        "the child had no time"
    );
    assert!(
        there(&["orphan-asked", "orphan-tidy"]),
        "the orphan had no time"
    );
    task.assert_nothing_is_left();
}

#[test]
fn a_log_that_its_process_empties_goes_on_at_its_beginning() {
    let directory = Directory::new("emptied");
    let script = "echo one; : > .logs/main/0/stdout; echo two";
    let mut task = Task::run(&directory.0, &one(script), |_| {});
    task.wait_for(TaskStateRecord::Finished);
    assert_eq!(task.log("main", 0, "stdout"), "two\n");
}

#[test]
fn what_a_finished_process_left_behind_is_gone_when_the_task_has_ended() {
    let directory = Directory::new("daemonise");
    let script = "(setsid sleep 1000 &); sleep 1000 & echo done";
    let mut task = Task::run(&directory.0, &one(script), |_| {});
    task.wait_for(TaskStateRecord::Finished);
    task.assert_nothing_is_left();
}

#[test]
fn a_final_process_runs_after_the_others_and_does_not_count() {
    let directory = Directory::new("final");
    let processes = [
        ("main", "echo main >> trace", ""),
        ("clean", "echo clean >> trace; exit 1", r#", "final": true"#),
    ];
    let mut task = Task::run(&directory.0, &many(&processes, ""), |_| {});
    task.wait_for(TaskStateRecord::Finished);
    let trace = fs::read_to_string(task.sandbox().join("trace")).unwrap();
    assert_eq!(trace, "main\nclean\n");
}

#[test]
fn a_process_that_fails_at_once_is_tried_to_its_limit() {
    let directory = Directory::new("loop");
    let more = r#", "max_failures": 4, "min_duration": 0"#;
    let processes = [("main", "exit 1", more)];
    let mut task = Task::run(&directory.0, &many(&processes, ""), |_| {});
    task.wait_for(TaskStateRecord::Failed);
    let failed = |it: &&_| matches!(it, &&ProcessEvent::Failed { .. });
    let processes = task.processes();
    assert_eq!(
        processes.iter().map(|it| &it.event).filter(failed).count(),
        4
    );
}

#[test]
fn binary_output_is_kept_as_it_is() {
    let directory = Directory::new("binary");
    let mut task = Task::run(
        &directory.0,
        &one("head -c 300000 /dev/zero; printf '\\xff\\n'"),
        |_| {},
    );
    task.wait_for(TaskStateRecord::Finished);
    let log = fs::read(task.sandbox().join(".logs/main/0/stdout")).unwrap();
    assert_eq!(log.len(), 300_002);
    assert_eq!(log[300_000..], [0xff, b'\n']);
}

#[test]
fn a_task_that_cannot_be_understood_fails_with_the_place() {
    let directory = Directory::new("nonsense");
    let mut task = Task::run(
        &directory.0,
        r#"{"task": {"processes": [{"name": 1}]}}"#,
        |_| {},
    );
    let end = task.wait_for(TaskStateRecord::Failed);
    let message = end.message.unwrap();
    assert_eq!(message, "task.processes[0].cmdline: is missing");
}

#[test]
fn a_second_executor_does_nothing_and_neither_does_a_later_one() {
    let directory = Directory::new("twice");
    let mut task = Task::run(&directory.0, &one("echo ran >> trace; sleep 1000"), |_| {});
    task.wait_for(TaskStateRecord::Running);
    until("it ran", || {
        let text = fs::read_to_string(task.sandbox().join("trace")).unwrap_or_default();
        (text == "ran\n").then_some(())
    });
    assert!(!task.start().status.success());
    assert!(
        task.journal().contains("another executor"),
        "{}",
        task.journal()
    );
    task.kill();
    task.wait_for(TaskStateRecord::Killed);
    until("the executor is gone", || {
        let left = aurora::executor::os::proc::stat(task.executor());
        left.is_none_or(|it| it.is_zombie).then_some(())
    });
    let before = task.records();
    assert!(!task.start().status.success());
    assert!(
        task.journal().contains("started before"),
        "{}",
        task.journal()
    );
    assert_eq!(task.records(), before);
    let trace = fs::read_to_string(task.sandbox().join("trace")).unwrap();
    assert_eq!(trace, "ran\n");
}

#[test]
fn nothing_starts_where_the_agent_has_given_up() {
    let directory = Directory::new("verdict");
    let mut task = Task::prepare(&directory.0, &one("echo ran >> trace"), |_| {});
    fs::write(task.directory.join("verdict"), "").unwrap();
    assert!(!task.start().status.success());
    assert!(
        task.journal().contains("given the task up"),
        "{}",
        task.journal()
    );
    assert!(!task.sandbox().join("trace").exists());
}

#[test]
fn a_header_that_was_cut_off_means_that_nothing_was_started() {
    let directory = Directory::new("torn");
    let mut task = Task::prepare(&directory.0, &one("true"), |_| {});
    fs::write(task.directory.join("checkpoint"), [7, 0, 0, 0, 1, 2]).unwrap();
    assert!(task.start().status.success(), "{}", task.journal());
    task.wait_for(TaskStateRecord::Finished);
    assert!(matches!(task.records()[0], Record::Header(_)));
}

#[test]
fn shells_die_with_their_executor() {
    let directory = Directory::new("pdeath");
    let mut task = Task::run(&directory.0, &one("sleep 1000"), |_| {});
    task.wait_for(TaskStateRecord::Running);
    let executor = nix::unistd::Pid::from_raw(task.executor());
    nix::sys::signal::kill(executor, nix::sys::signal::Signal::SIGKILL).unwrap();
    until("nothing runs", || {
        processes_of(&task.sandbox()).is_empty().then_some(())
    });
}

#[test]
fn a_task_with_a_shell_check_runs_when_healthy_and_fails_when_not() {
    let directory = Directory::new("shell-check");
    let data = r#"{
        "task": {"processes": [{"name": "main", "cmdline": "sleep 1000"}]},
        "health_check_config": {"initial_interval_secs": 60, "interval_secs": 0.02,
            "max_consecutive_failures": 1,
            "health_checker": {"shell": {"shell_command": "echo seen; [ -e healthy ]"}}}}"#;
    let mut task = Task::prepare(&directory.0, data, |order| order.kill_wait_ms = 1_000);
    let sandbox = task.sandbox();
    assert!(task.start().status.success(), "{}", task.journal());
    task.wait_for_event("main", |it| matches!(it, ProcessEvent::Running { .. }));
    assert_eq!(task.states().len(), 1, "running before it is healthy");
    fs::write(sandbox.join("healthy"), "").unwrap();
    let running = task.wait_for(TaskStateRecord::Running);
    assert_eq!(running.message.as_deref(), Some("Task is healthy."));
    task.kill();
    task.wait_for(TaskStateRecord::Killed);
    // The same without a grace and without the file.
    let directory = Directory::new("shell-check-bad");
    let data = data.replace(
        r#""initial_interval_secs": 60"#,
        r#""initial_interval_secs": 0"#,
    );
    let mut task = Task::run(&directory.0, &data, |order| order.kill_wait_ms = 1_000);
    let message = task.wait_for(TaskStateRecord::Failed).message.unwrap();
    let expected = "Failed health check! Command 'echo seen; [ -e healthy ]' returned non-zero exit \
                    status 1 with output 'seen'";
    assert_eq!(message, expected);
    task.assert_nothing_is_left();
}

#[test]
fn a_snoozed_check_counts_as_good_until_the_file_is_gone() {
    let directory = Directory::new("snooze");
    let data = r#"{
        "task": {"processes": [{"name": "main", "cmdline": "exec sleep 1000"}]},
        "health_check_config": {"initial_interval_secs": 0, "interval_secs": 0.02,
            "health_checker": {"shell": {"shell_command": "false"}}}}"#;
    let mut task = Task::prepare(&directory.0, data, |order| order.kill_wait_ms = 1_000);
    let snooze = task.sandbox().join(".healthchecksnooze");
    fs::write(&snooze, "").unwrap();
    assert!(task.start().status.success(), "{}", task.journal());
    let running = task.wait_for(TaskStateRecord::Running);
    assert_eq!(running.message.as_deref(), Some("Task is healthy."));
    fs::remove_file(snooze).unwrap();
    let message = task.wait_for(TaskStateRecord::Failed).message.unwrap();
    assert!(message.starts_with("Failed health check! "), "{message}");
}

#[test]
fn a_shell_check_that_hangs_is_late_and_gone() {
    let directory = Directory::new("shell-hang");
    let data = r#"{
        "task": {"processes": [{"name": "main", "cmdline": "exec sleep 1000"}]},
        "health_check_config": {"initial_interval_secs": 0, "timeout_secs": 0.1,
            "health_checker": {"shell": {"shell_command": "sleep 1000"}}}}"#;
    let mut task = Task::run(&directory.0, data, |_| {});
    let message = task.wait_for(TaskStateRecord::Failed).message.unwrap();
    assert_eq!(message, "Failed health check! Health check timed out.");
    task.assert_nothing_is_left();
}

/// Answers every request on a port of its own with `status` and `body`; tells the request lines.
fn serve(status: &'static str, body: &'static str) -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, requests) = mpsc::sync_channel(100);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            write!(stream, "HTTP/1.0 {status}\r\n\r\n{body}").unwrap();
            if sender.send(line.trim_end().to_owned()).is_err() {
                return;
            }
        }
    });
    (port, requests)
}

#[test]
fn http_checks_and_shutdown_endpoints_are_called() {
    let directory = Directory::new("http");
    let data = r#"{
        "task": {"processes": [{"name": "main", "cmdline": "exec sleep 1000"}]},
        "health_check_config": {"interval_secs": 60},
        "lifecycle": {"http": {"graceful_shutdown_wait_secs": 0.05, "shutdown_wait_secs": 0.05}}}"#;
    let (port, requests) = serve("200 OK", "OK\n");
    let mut task = Task::run(&directory.0, data, |order| {
        order.ports = vec![("health".to_owned(), port)];
    });
    let running = task.wait_for(TaskStateRecord::Running);
    assert_eq!(running.message.as_deref(), Some("Task is healthy."));
    task.kill();
    task.wait_for(TaskStateRecord::Killed);
    let lines: Vec<String> = requests.try_iter().collect();
    let expected = [
        "GET /health HTTP/1.0",
        "POST /quitquitquit HTTP/1.0",
        "POST /abortabortabort HTTP/1.0",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_wrong_answer_to_an_http_check_fails_the_task() {
    let directory = Directory::new("http-bad");
    let (port, _requests) = serve("200 OK", "not at all well");
    let data = r#"{
        "task": {"processes": [{"name": "main", "cmdline": "exec sleep 1000"}]},
        "lifecycle": {},
        "health_check_config": {"initial_interval_secs": 0}}"#;
    let mut task = Task::run(&directory.0, data, |order| {
        order.ports = vec![("health".to_owned(), port)];
    });
    let message = task.wait_for(TaskStateRecord::Failed).message.unwrap();
    assert!(message.contains("got \"not at all...\""), "{message}");
}

#[test]
fn sigterm_to_the_executor_ends_the_task_in_order() {
    let directory = Directory::new("sigterm");
    let mut task = Task::run(&directory.0, &one("exec sleep 1000"), |_| {});
    task.wait_for(TaskStateRecord::Running);
    let executor = nix::unistd::Pid::from_raw(task.executor());
    nix::sys::signal::kill(executor, nix::sys::signal::Signal::SIGTERM).unwrap();
    let end = task.wait_for(TaskStateRecord::Killed);
    assert_eq!(end.message.as_deref(), Some("Told to shut down executor."));
}

#[test]
fn a_link_in_place_of_a_log_directory_is_not_followed_with_more_rights() {
    let directory = Directory::new("link");
    let more = r#", "max_failures": 1, "min_duration": 0"#;
    let processes = [
        ("first", "ln -s /proc/self .logs/second", ""),
        ("second", "echo never", more),
    ];
    let order = r#", "constraints": [{"order": ["first", "second"]}]"#;
    let mut task = Task::run(&directory.0, &many(&processes, order), |_| {});
    task.wait_for(TaskStateRecord::Failed);
    task.wait_for_event("second", |it| matches!(it, ProcessEvent::NotStarted { .. }));
}

#[test]
fn an_executor_inherits_nothing_and_leaks_nothing_to_its_processes() {
    let directory = Directory::new("descriptors");
    let mut task = Task::run(
        &directory.0,
        &one("ls /proc/self/fd | wc -l; exec sleep 1000"),
        |_| {},
    );
    task.wait_for(TaskStateRecord::Running);
    let log = task.sandbox().join(".logs/main/0/stdout");
    let count = until("it wrote", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.trim().parse::<u32>().ok()
    });
    // Three streams and the directory that is listed.
    assert_eq!(count, 4);
    task.kill();
    task.wait_for(TaskStateRecord::Killed);
}
