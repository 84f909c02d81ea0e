//! An agent that is killed again and again while it launches and kills. The files that the tasks themselves
//! write are the judge of what ran and how often.

use crate::fixture::{Directory, PATIENCE, executor_path, processes_of};
use aurora::agent::host::{HostConfig, TaskHost};
use aurora::base::rng::Rng;
use aurora::model::{JobKey, LaunchOrder, Resources, TaskId, TaskState};
use aurora::rt;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const ROUNDS: u32 = 20;
const DIRECTORY: &str = "AURORA_TEST_CRASH_DIRECTORY";
const FIRST: &str = "AURORA_TEST_CRASH_FIRST";

fn config(root: &Path) -> HostConfig {
    let mut config = HostConfig::new(root.join("work"), executor_path(), "one.example");
    config.kill_wait = Duration::from_secs(10);
    config
}

/// Task `n`: every other one runs on, the rest end at once.
fn order(root: &Path, n: u32) -> LaunchOrder {
    let trace = root.join("traces").join(n.to_string());
    let more = if n.is_multiple_of(2) {
        "exec sleep 120"
    } else {
        "true"
    };
    let cmdline = format!(
        "echo {{{{thermos.task_id}}}} >> {}; {more}",
        trace.display()
    );
    LaunchOrder {
        task: TaskId::new(&format!("t{n}")),
        job: JobKey::new("nobody", "test", "job").unwrap(),
        instance: n,
        executor: "AuroraExecutor".to_owned(),
        data: format!(
            r#"{{"task": {{"processes": [{{"name": "main", "cmdline": "{cmdline}"}}]}}}}"#
        ),
        resources: Resources::default(),
        ports: BTreeMap::new(),
        metadata: Vec::new(),
        setup: Default::default(),
        uris: Vec::new(),
    }
}

/// The agent that is killed: this very program, called by the test below. Alone it does nothing.
#[test]
fn an_agent_of_the_crash_test() {
    let (Some(root), Ok(first)) = (std::env::var_os(DIRECTORY), std::env::var(FIRST)) else {
        return;
    };
    let root = Path::new(&root);
    let (host, reports) = TaskHost::open(config(root)).unwrap();
    rt::spawn(
        "drain",
        async move { while reports.recv().await.is_ok() {} },
    )
    .detach();
    for n in first.parse().unwrap().. {
        rt::block_on(host.launch(order(root, n))).unwrap();
        // Kills are not counted: one may be lost with the agent, and the scheduler would ask again.
        if n.is_multiple_of(4) && n > 20 {
            let old = TaskId::new(&format!("t{}", n - 20));
            rt::block_on(host.kill(&old)).unwrap_or_default();
        }
        // In one write, which a kill does not cut.
        let line = format!("launched {n}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
}

/// Runs an agent until it is killed; gives the number of the task after the last that it took.
fn run_and_kill(root: &Path, first: u32, rng: &mut Rng) -> u32 {
    let mut agent = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crash::an_agent_of_the_crash_test",
            "--nocapture",
        ])
        .env(DIRECTORY, root)
        .env(FIRST, first.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(agent.stderr.take().unwrap()).lines();
    // Killed after so many launches, at any point of the next ones.
    let launches = 1 + rng.below(8);
    let (mut next, mut count) = (first, 0);
    while let Some(line) = lines.next() {
        let line = line.unwrap();
        let Some(n) = line.strip_prefix("launched ") else {
            let rest: Vec<String> = lines.map_while(Result::ok).collect();
            panic!("the agent failed: {line} {}", rest.join(" "));
        };
        next = n.parse::<u32>().unwrap() + 1;
        count += 1;
        if count == launches {
            let pause = rng.duration(Duration::ZERO, Duration::from_millis(12));
            // Not to wait for something: to hit another point each time.
            rt::block_on(rt::sleep(pause));
            agent.kill().unwrap();
        }
    }
    agent.wait().unwrap();
    next
}

#[test]
fn an_agent_killed_at_any_moment_loses_no_task_and_starts_none_twice() {
    let root = Directory::new("crash");
    let traces = root.0.join("traces");
    fs::create_dir(&traces).unwrap();
    fs::set_permissions(&traces, fs::Permissions::from_mode(0o777)).unwrap();
    let seed = Rng::from_os().next_u64();
    let mut rng = Rng::from_seed(seed);
    let mut next = 0;
    for _ in 0..ROUNDS {
        next = run_and_kill(&root.0, next, &mut rng);
    }
    let (host, reports) = TaskHost::open(config(&root.0)).unwrap();
    let is_settled = || {
        host.reports().iter().all(|report| {
            let n: u32 = report.task.as_str()[1..].parse().unwrap();
            report.state.is_terminal()
                || (n.is_multiple_of(2) && report.state == TaskState::Running)
        })
    };
    while !is_settled() {
        let report = rt::block_on(rt::timeout(PATIENCE, reports.recv()));
        assert!(report.is_ok(), "seed {seed}: {:?}", host.reports());
    }
    let known: BTreeMap<String, TaskState> = host
        .reports()
        .into_iter()
        .map(|it| (it.task.as_str().to_owned(), it.state))
        .collect();
    for n in 0..next {
        let state = known.get(&format!("t{n}")).copied();
        let lines = fs::read_to_string(traces.join(n.to_string())).unwrap_or_default();
        let runs = lines.lines().count();
        assert!(runs <= 1, "seed {seed}: task {n} ran {runs} times");
        assert!(
            state.is_some(),
            "seed {seed}: task {n} was taken and is lost"
        );
        if state == Some(TaskState::Finished) {
            assert_eq!(runs, 1, "seed {seed}: task {n}");
        }
        assert_ne!(state, Some(TaskState::Lost), "seed {seed}: task {n}");
        assert_ne!(state, Some(TaskState::Failed), "seed {seed}: task {n}");
    }
    for task in known.keys() {
        rt::block_on(host.kill(&TaskId::new(task))).unwrap();
    }
    while host.reports().iter().any(|it| !it.state.is_terminal()) {
        let report = rt::block_on(rt::timeout(PATIENCE, reports.recv()));
        assert!(report.is_ok(), "seed {seed}: {:?}", host.reports());
    }
    for task in known.keys() {
        let sandbox = root.0.join("work/tasks").join(task).join("sandbox");
        assert_eq!(processes_of(&sandbox), Vec::<i32>::new(), "{task}");
    }
}
