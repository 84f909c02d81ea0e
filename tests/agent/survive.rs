//! What survives: kills at every stage of a task, a reboot, a new version of the program, a full disk.

use crate::fixture::{Directory, executor_path, processes_of, until};
use crate::host::{Agent, config, order};
use aurora::base::{clock, frame};
use aurora::executor::checkpoint::{Header, ProcessEvent, ProcessRecord, Record, TaskRecord};
use aurora::executor::checkpoint::{Tail, TaskStateRecord};
use aurora::executor::os::proc;
use aurora::model::TaskState;
use aurora::rt;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A task that comes to a stage and stays there; whether it has to be killed for that.
const STAGES: [(&str, &str, bool); 5] = [
    (
        "starting",
        r#"{"task": {"processes": [{"name": "main", "cmdline": "touch ready; sleep 1000"}]},
            "health_check_config": {"initial_interval_secs": 1000,
            "health_checker": {"shell": {"shell_command": "false"}}}}"#,
        false,
    ),
    (
        "running",
        r#"{"task": {"processes": [{"name": "main",
            "cmdline": "(setsid sleep 1000 &); touch ready; sleep 1000"}]}}"#,
        false,
    ),
    (
        "asking",
        r#"{"task": {"processes": [{"name": "main", "cmdline": "touch set; sleep 1000"}]},
            "announce": {"portmap": {"stop": "PORT"}},
            "lifecycle": {"http": {"port": "stop", "graceful_shutdown_wait_secs": 1000}}}"#,
        true,
    ),
    (
        "cleaning",
        r#"{"task": {"processes": [{"name": "main",
            "cmdline": "trap 'touch ready' TERM; touch set; while :; do sleep 0.01; done"}]}}"#,
        true,
    ),
    (
        "finalizing",
        r#"{"task": {"finalization_wait": 1000, "processes": [{"name": "main", "cmdline": "true"},
            {"name": "last", "cmdline": "touch ready; sleep 1000", "final": true}]}}"#,
        false,
    ),
];

fn launch(agent: &Agent, task: &str, data: &str) {
    rt::block_on(agent.host.launch(order(task, data))).unwrap();
}

/// Takes a request to end in order, says so in the sandbox, and does nothing about it.
fn polite_server(ready: &Path) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let ready = ready.to_owned();
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else {
            return;
        };
        stream
            .write_all(b"HTTP/1.0 200 OK\r\n\r\n")
            .unwrap_or_default();
        fs::write(ready, "").unwrap_or_default();
    });
    port
}

/// The control groups of a task that are there.
fn groups(agent: &Agent, task: &str) -> Vec<PathBuf> {
    let own = agent.host.agent_id();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounted = mounts.lines().filter(|line| line.contains(" - cgroup"));
    let at = mounted.filter_map(|line| line.split(' ').nth(4));
    let name = format!("t-{task}");
    at.map(|at| Path::new(at).join("aurora").join(own.as_str()).join(&name))
        .filter(|path| path.exists())
        .collect()
}

/// What is left of a task: by its environment, its sessions and its control groups.
fn assert_nothing_is_left(agent: &Agent, task: &str, why: &str) {
    let directory = agent.directory(task);
    assert_eq!(
        processes_of(&directory.join("sandbox")),
        Vec::<i32>::new(),
        "{why}"
    );
    let file = fs::File::open(directory.join("checkpoint")).unwrap();
    let leader = |record: &Record| match record {
        Record::Process(ProcessRecord {
            event: ProcessEvent::Running { pid, .. },
            ..
        }) => Some(*pid),
        Record::Header(_) | Record::Process(_) | Record::Task(_) => None,
    };
    let records = Tail::default().poll(&file).unwrap();
    let leaders: Vec<i32> = records.iter().filter_map(leader).collect();
    let in_session = proc::all().unwrap().into_iter().filter(|it| !it.is_zombie);
    let left: Vec<i32> = in_session
        .filter(|it| leaders.contains(&it.session))
        .map(|it| it.pid)
        .collect();
    assert_eq!(left, Vec::<i32>::new(), "{why}");
    assert_eq!(groups(agent, task), Vec::<PathBuf>::new(), "{why}");
}

/// Who is killed while a task is at a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Agent,
    Both,
    Executor,
}

fn kill_at_stage(stage: (&str, &str, bool), victim: Victim) {
    let (name, data, is_killed) = stage;
    let why = format!("{name}, {victim:?}");
    let root = Directory::new(&format!("survive-{name}"));
    let mut config = config(&root.0);
    config.kill_wait = Duration::from_secs(100);
    let mut agent = Agent::open(config.clone());
    agent.launch("other", "exec sleep 1000").unwrap();
    agent.wait("other", TaskState::Running);
    let bystander = agent.executor("other");
    let sandbox = agent.sandbox("t");
    let port = match name {
        "asking" => polite_server(&sandbox.join("ready")),
        _ => 0,
    };
    launch(&agent, "t", &data.replace("PORT", &port.to_string()));
    let there = |name: &str| sandbox.join(name).exists().then_some(());
    if is_killed {
        until("it runs", || there("set"));
        agent.kill("t");
    }
    until("it is at its stage", || there("ready"));
    let executor = agent.executor("t");
    // A task that was to be killed is dead, which was wanted; another agent knows nothing of it.
    let mut end = TaskState::Lost;
    match victim {
        Victim::Agent => {
            agent = agent.reopen(config.clone());
            assert!(!agent.known("t").unwrap().state.is_terminal(), "{why}");
            assert_eq!(agent.executor("t"), executor, "{why}");
            assert!(
                proc::stat(executor).is_some_and(|it| !it.is_zombie),
                "{why}"
            );
            agent.kill_executor("t");
        }
        Victim::Both => {
            drop(agent);
            kill(Pid::from_raw(executor), Signal::SIGKILL).unwrap();
            agent = Agent::open(config.clone());
        }
        Victim::Executor => {
            agent.kill_executor("t");
            if is_killed {
                end = TaskState::Killed;
            }
        }
    }
    agent.wait("t", end);
    assert_nothing_is_left(&agent, "t", &why);
    assert_eq!(agent.known("other").unwrap().state, TaskState::Running);
    assert_eq!(agent.executor("other"), bystander);
    assert!(proc::stat(bystander).is_some_and(|it| !it.is_zombie));
    agent.kill("other");
    agent.wait("other", TaskState::Killed);
    assert_nothing_is_left(&agent, "other", &why);
}

#[test]
fn an_executor_killed_at_any_stage_leaves_nothing_and_no_other_task_notices() {
    for stage in STAGES {
        kill_at_stage(stage, Victim::Executor);
    }
}

#[test]
fn an_agent_gone_at_any_stage_finds_the_task_at_it() {
    for stage in STAGES {
        kill_at_stage(stage, Victim::Agent);
    }
}

#[test]
fn agent_and_executor_gone_at_any_stage_leave_nothing_that_the_next_agent_does_not_end() {
    for stage in STAGES {
        kill_at_stage(stage, Victim::Both);
    }
}

/// Writes a task as an executor would have left it whose machine went down.
fn write_task(tasks: &Path, order: &[u8], records: &[Record], name: &str) {
    let directory = tasks.join(name);
    fs::create_dir_all(directory.join("sandbox")).unwrap();
    fs::write(directory.join("order"), order).unwrap();
    let mut bytes = Vec::new();
    records.iter().for_each(|record| record.encode(&mut bytes));
    fs::write(directory.join("checkpoint"), bytes).unwrap();
}

/// A task's directory of the first version: the order's file, and the payloads of its records.
fn version_one() -> (Vec<u8>, Vec<u8>) {
    let text = include_str!("../fixtures/executor_v1.hex");
    let bytes = |hex: &str| -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2);
        pairs
            .map(|it| u8::from_str_radix(std::str::from_utf8(it).unwrap(), 16).unwrap())
            .collect()
    };
    let lines = |kind: &str| {
        let of_kind = text.lines().filter_map(move |line| line.split_once(' '));
        let kind = kind.to_owned();
        of_kind
            .filter(move |(name, _)| *name == kind)
            .map(|(_, hex)| bytes(hex))
    };
    let mut checkpoint = Vec::new();
    lines("record").for_each(|payload| frame::encode(&payload, &mut checkpoint));
    (lines("order").next().unwrap(), checkpoint)
}

/// Ends with the test, whatever comes of it.
struct Innocent(std::process::Child);

impl Drop for Innocent {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        drop(self.0.wait());
    }
}

#[test]
fn an_executor_whose_order_cannot_be_read_any_more_is_adopted_all_the_same() {
    let root = Directory::new("survive-order");
    let agent = Agent::open(config(&root.0));
    agent.launch("t", "exec sleep 1000").unwrap();
    agent.wait("t", TaskState::Running);
    // As an older agent would find the order of a newer one.
    fs::write(agent.directory("t").join("order"), "of another version").unwrap();
    let agent = agent.reopen(config(&root.0));
    assert_eq!(agent.known("t").unwrap().state, TaskState::Running);
    agent.kill("t");
    agent.wait("t", TaskState::Killed);
    assert_eq!(processes_of(&agent.sandbox("t")), Vec::<i32>::new());
}

#[test]
fn after_a_reboot_tasks_are_lost_and_recorded_numbers_are_not_trusted() {
    let root = Directory::new("survive-reboot");
    let mut innocent = Innocent(Command::new("sleep").arg("1000").spawn().unwrap());
    let pid = i32::try_from(innocent.0.id()).unwrap();
    let start_ticks = proc::stat(pid).unwrap().start_ticks;
    let at_ms = clock::wall().as_ms();
    let records = [
        Record::Header(Header {
            task: "www-prod-web-0-x".to_owned(),
            pid,
            start_ticks,
            boot_id: "an-earlier-boot".to_owned(),
            at_ms,
        }),
        Record::Process(ProcessRecord {
            process: "main".to_owned(),
            run: 0,
            event: ProcessEvent::Running { pid, start_ticks },
            at_ms,
        }),
        Record::Task(TaskRecord {
            sequence: 2,
            state: TaskStateRecord::Running,
            message: None,
            at_ms,
        }),
    ];
    let name = "www-prod-web-0-x";
    write_task(&root.0.join("work/tasks"), &version_one().0, &records, name);
    let agent = Agent::open(config(&root.0));
    let end = agent.wait(name, TaskState::Lost);
    assert_eq!(end.message.as_deref(), Some("The machine was rebooted."));
    assert!(end.sequence > 2);
    // The number belongs to another process now.
    assert!(innocent.0.try_wait().unwrap().is_none());
}

#[test]
fn a_task_of_the_first_version_is_taken_up_with_its_end() {
    let root = Directory::new("survive-version");
    let (order, checkpoint) = version_one();
    let directory = root.0.join("work/tasks/www-prod-web-0-x");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("order"), order).unwrap();
    fs::write(directory.join("checkpoint"), checkpoint).unwrap();
    let agent = Agent::open(config(&root.0));
    let end = agent.known("www-prod-web-0-x").unwrap();
    assert_eq!((end.state, end.sequence), (TaskState::Failed, 3));
    assert_eq!(end.message.as_deref(), Some("Task failed."));
}

#[test]
fn an_executor_whose_program_is_replaced_runs_on_and_the_next_task_gets_the_new_one() {
    let root = Directory::new("survive-upgrade");
    let program = root.0.join("aurora-executor");
    fs::copy(executor_path(), &program).unwrap();
    let mut config = config(&root.0);
    config.executor_path = program.clone();
    let agent = Agent::open(config.clone());
    agent.launch("old", "exec sleep 1000").unwrap();
    agent.wait("old", TaskState::Running);
    // As a package does it: another file takes the name.
    let next = root.0.join("next");
    fs::copy(executor_path(), &next).unwrap();
    fs::rename(&next, &program).unwrap();
    let agent = agent.reopen(config);
    let old = fs::read_link(format!("/proc/{}/exe", agent.executor("old"))).unwrap();
    assert!(
        old.to_string_lossy().ends_with("(deleted)"),
        "{}",
        old.display()
    );
    agent.launch("new", "exec sleep 1000").unwrap();
    agent.wait("new", TaskState::Running);
    let new = fs::read_link(format!("/proc/{}/exe", agent.executor("new"))).unwrap();
    assert_eq!(new, program);
    for task in ["old", "new"] {
        assert_eq!(agent.known(task).unwrap().state, TaskState::Running);
        agent.kill(task);
        agent.wait(task, TaskState::Killed);
    }
}

#[test]
fn on_a_full_disk_old_sandboxes_go_and_live_and_untold_ones_stay() {
    let root = Directory::new("survive-disk");
    let mut config = config(&root.0);
    // No disk has so much: as if it were always too full.
    config.disk_headroom_percent = 101;
    let agent = Agent::open(config);
    agent.launch("live", "exec sleep 1000").unwrap();
    agent.wait("live", TaskState::Running);
    agent.launch("untold", "true").unwrap();
    agent.wait("untold", TaskState::Finished);
    agent.launch("told", "true").unwrap();
    let end = agent.wait("told", TaskState::Finished);
    agent.acknowledge(&end);
    let told = agent.directory("told");
    until("it is removed", || (!told.exists()).then_some(()));
    assert!(agent.sandbox("live").exists() && agent.sandbox("untold").exists());
    agent.kill("live");
    agent.wait("live", TaskState::Killed);
}

#[test]
fn executors_killed_at_random_moments_leave_nothing_that_runs_unseen() {
    let root = Directory::new("survive-random");
    let agent = Agent::open(config(&root.0));
    let mut rng = aurora::base::rng::Rng::from_os();
    for round in 0..40 {
        let task = format!("t{round}");
        agent
            .launch(&task, "echo x >> trace; (setsid sleep 1000 &); sleep 0.02")
            .unwrap();
        // Not to wait for something: to hit another point each time.
        let pause = rng.duration(Duration::ZERO, Duration::from_millis(40));
        rt::block_on(rt::sleep(pause));
        let file = fs::File::open(agent.directory(&task).join("checkpoint")).unwrap();
        if let Some(Record::Header(header)) = Tail::default().poll(&file).unwrap().first()
            && let Some(stat) = proc::stat(header.pid)
        {
            proc::signal(&stat, Signal::SIGKILL);
        }
        let end = until("it ends", || {
            while agent.reports.try_recv().is_ok() {}
            agent.known(&task).filter(|it| it.state.is_terminal())
        });
        assert!(
            [TaskState::Finished, TaskState::Lost].contains(&end.state),
            "{end:?}"
        );
        assert_eq!(processes_of(&agent.sandbox(&task)), Vec::<i32>::new());
        assert!(agent.lines(&task, "trace") <= 1);
    }
}
