//! What comes before an executor: wrappers, files to fetch.

use crate::fixture::{Directory, executor_path, processes_of, until};
use crate::host::{Agent, config, data, order};
use aurora::model::{ExecutorSetup, FetcherUri, LaunchOrder, TaskId, TaskState};
use aurora::rt;
use nix::unistd::Uid;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc;

fn script(path: &Path, text: &str) -> String {
    let mut file = fs::File::create(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.set_permissions(fs::Permissions::from_mode(0o755))
        .unwrap();
    path.display().to_string()
}

fn wrapped(root: &Path, text: &str, flags: &str, cmdline: &str) -> LaunchOrder {
    let executor = root.join("the-executor");
    fs::copy(executor_path(), &executor).unwrap();
    fs::set_permissions(&executor, fs::Permissions::from_mode(0o755)).unwrap();
    let mut order = order("t", &data(cmdline));
    order.setup = ExecutorSetup {
        flags: flags.to_owned(),
        path: Some(script(&root.join("wrap.sh"), text)),
        resources: vec![executor.display().to_string()],
    };
    order
}

fn uri(value: &str) -> FetcherUri {
    FetcherUri {
        value: value.to_owned(),
        extract: None,
        cache: None,
        output_file: None,
    }
}

fn launch(agent: &Agent, order: LaunchOrder) {
    rt::block_on(agent.host.launch(order)).unwrap();
}

#[test]
fn a_wrapper_runs_first_finds_its_files_and_starts_the_executor() {
    let root = Directory::new("wrapper");
    let text = "#!/bin/sh\nset -e\ncd \"$MESOS_SANDBOX\"\ntest -x the-executor\ntest -d sandbox\n\
                export MARK=from-wrapper\necho \"$@\" > args\n\
                exec \"$MESOS_SANDBOX/the-executor\" --preserve_env \"$@\"\n";
    let agent = Agent::open(config(&root.0));
    let flags = "--runner-logger-mode=rotate";
    launch(
        &agent,
        wrapped(
            &root.0,
            text,
            flags,
            "echo $MARK; echo run >> trace; sleep 1000",
        ),
    );
    agent.wait("t", TaskState::Running);
    let logs = agent.sandbox("t").join(".logs/main/0/stdout");
    until("the task has written", || {
        let text = fs::read_to_string(&logs).unwrap_or_default();
        (text == "from-wrapper\n").then_some(())
    });
    let args = fs::read_to_string(agent.directory("t").join("executor/args")).unwrap();
    assert!(
        args.starts_with("--runner-logger-mode=rotate --task-dir=/"),
        "{args}"
    );
    let agent = agent.reopen(config(&root.0));
    agent.kill("t");
    agent.wait("t", TaskState::Killed);
    assert_eq!(processes_of(&agent.sandbox("t")), Vec::<i32>::new());
    let trace = fs::read_to_string(agent.sandbox("t").join("trace")).unwrap();
    assert_eq!(trace, "run\n");
}

#[test]
fn a_wrapper_that_hands_nothing_on_starts_the_executor_too() {
    let root = Directory::new("wrapper-bare");
    let text = "#!/bin/sh\n\"$MESOS_DIRECTORY/the-executor\" && sleep 1000 &\n";
    let agent = Agent::open(config(&root.0));
    launch(&agent, wrapped(&root.0, text, "", "echo x >> trace"));
    agent.wait("t", TaskState::Finished);
    let trace = fs::read_to_string(agent.sandbox("t").join("trace")).unwrap();
    assert_eq!(trace, "x\n");
    until("nothing of the wrapper is left", || {
        let place = agent.directory("t").join("executor");
        processes_of(&place).is_empty().then_some(())
    });
}

#[test]
fn a_wrapper_that_fails_or_hangs_ends_as_a_task_that_never_began() {
    let root = Directory::new("wrapper-bad");
    let agent = Agent::open(config(&root.0));
    let text = "#!/bin/sh\necho no such key >&2\nexit 3\n";
    launch(&agent, wrapped(&root.0, text, "", "true"));
    let end = agent.wait("t", TaskState::Lost);
    assert!(end.message.unwrap().contains("no such key"));
    let hanging = LaunchOrder {
        task: TaskId::new("h"),
        ..wrapped(&root.0, "#!/bin/sh\ntouch here\nsleep 1000\n", "", "true")
    };
    launch(&agent, hanging);
    let here = agent.directory("h").join("executor/here");
    until("the wrapper runs", || here.exists().then_some(()));
    agent.kill("h");
    agent.wait("h", TaskState::Killed);
    let place = agent.directory("h").join("executor");
    assert_eq!(processes_of(&place), Vec::<i32>::new());
}

#[test]
fn a_missing_or_foreign_wrapper_fails_the_task_and_is_named() {
    let root = Directory::new("wrapper-missing");
    let agent = Agent::open(config(&root.0));
    let mut order = order("t", &data("true"));
    order.setup.path = Some("/no/such/wrapper".to_owned());
    launch(&agent, order);
    let message = agent.wait("t", TaskState::Failed).message.unwrap();
    assert!(message.contains("/no/such/wrapper"), "{message}");
    if Uid::effective().is_root() {
        let mut order = wrapped(&root.0, "#!/bin/sh\n", "", "true");
        let path = order.setup.path.clone().unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        order.task = TaskId::new("f");
        launch(&agent, order);
        let message = agent.wait("f", TaskState::Failed).message.unwrap();
        assert!(message.contains("writable"), "{message}");
    }
}

#[test]
fn files_are_in_the_sandbox_before_the_task_begins() {
    let root = Directory::new("fetch");
    fs::set_permissions(&root.0, fs::Permissions::from_mode(0o755)).unwrap();
    let file = root.0.join("input");
    fs::write(&file, "hello\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let agent = Agent::open(config(&root.0));
    let mut order = order(
        "t",
        &data("cat input; stat -c %U input . ; id -un; echo more >> input"),
    );
    order.uris = vec![uri(&file.display().to_string())];
    launch(&agent, order);
    agent.wait("t", TaskState::Finished);
    let log = agent.sandbox("t").join(".logs/main/0/stdout");
    let log = fs::read_to_string(log).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], "hello");
    assert!(lines[1] == lines[3] && lines[2] == lines[3], "{log}");
}

#[test]
fn a_cached_file_is_kept_for_the_next_task_until_the_agent_stops() {
    let root = Directory::new("fetch-cached");
    fs::set_permissions(&root.0, fs::Permissions::from_mode(0o755)).unwrap();
    let file = root.0.join("input");
    let write = |text: &str| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    };
    let read = |agent: &Agent, task: &str, cache: Option<bool>| {
        let mut order = order(task, &data("cat input"));
        order.uris = vec![FetcherUri {
            cache,
            ..uri(&file.display().to_string())
        }];
        launch(agent, order);
        agent.wait(task, TaskState::Finished);
        fs::read_to_string(agent.sandbox(task).join(".logs/main/0/stdout")).unwrap()
    };
    let agent = Agent::open(config(&root.0));
    write("old");
    assert_eq!(read(&agent, "a", Some(true)), "old");
    write("new");
    assert_eq!(read(&agent, "b", Some(true)), "old");
    assert_eq!(read(&agent, "c", Some(false)), "new");
    assert_eq!(read(&agent, "d", None), "new");
    let agent = agent.reopen(config(&root.0));
    assert_eq!(read(&agent, "e", Some(true)), "new");
    let mut off = config(&root.0);
    off.fetch_cache_bytes = 0;
    let agent = agent.reopen(off);
    assert_eq!(read(&agent, "f", Some(true)), "new");
    write("newest");
    assert_eq!(read(&agent, "g", Some(true)), "newest");
}

#[test]
fn a_file_that_cannot_be_fetched_fails_the_task() {
    let root = Directory::new("fetch-bad");
    let agent = Agent::open(config(&root.0));
    let mut order = order("t", &data("true"));
    order.uris = vec![uri("/no/such/file")];
    launch(&agent, order);
    let message = agent.wait("t", TaskState::Failed).message.unwrap();
    assert!(
        message.starts_with("Failed to fetch '/no/such/file': "),
        "{message}"
    );
    let agent = agent.reopen(config(&root.0));
    agent.wait("t", TaskState::Failed);
}

#[test]
fn a_fetch_that_hangs_can_be_killed_and_one_that_was_cut_off_begins_anew() {
    let root = Directory::new("fetch-slow");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, is_asked) = mpsc::sync_channel(16);
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for (at, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            // The first two never get an answer.
            if at >= 2 {
                let answer =
                    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
                stream.write_all(answer).unwrap();
            }
            kept.push(stream);
            asked.send(()).unwrap();
        }
    });
    let agent = Agent::open(config(&root.0));
    let fetching = |task: &str| {
        let mut order = order(task, &data("cat file"));
        order.uris = vec![uri(&format!("http://{address}/file"))];
        order
    };
    launch(&agent, fetching("k"));
    is_asked.recv().unwrap();
    agent.kill("k");
    let end = agent.wait("k", TaskState::Killed);
    assert_eq!(
        end.message.as_deref(),
        Some("Task killed during initialization.")
    );
    launch(&agent, fetching("t"));
    is_asked.recv().unwrap();
    let agent = agent.reopen(config(&root.0));
    agent.wait("t", TaskState::Finished);
    let log = agent.sandbox("t").join(".logs/main/0/stdout");
    assert_eq!(fs::read_to_string(log).unwrap(), "ok\n");
}
