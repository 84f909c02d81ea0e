//! The host: launching, adopting, ending.

use crate::fixture::{Directory, PATIENCE, executor_path, processes_of, until};
use aurora::agent::host::{HostConfig, LaunchError, TaskHost};
use aurora::base::clock::{self, Instant};
use aurora::executor::checkpoint::{Record, Tail};
use aurora::model::{JobKey, LaunchOrder, Resources, TaskId, TaskReport, TaskState};
use aurora::rt;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub struct Agent {
    pub host: TaskHost,
    pub reports: async_channel::Receiver<TaskReport>,
    work_dir: PathBuf,
}

pub fn config(root: &Path) -> HostConfig {
    let mut config = HostConfig::new(root.join("work"), executor_path(), "one.example");
    config.kill_wait = Duration::from_secs(5);
    config
}

/// A user that every machine has and that is not root.
pub fn role() -> &'static str {
    "nobody"
}

pub fn data(cmdline: &str) -> String {
    let cmdline = serde_json::Value::from(cmdline);
    format!(r#"{{"task": {{"processes": [{{"name": "main", "cmdline": {cmdline}}}]}}}}"#)
}

pub fn order(task: &str, data: &str) -> LaunchOrder {
    LaunchOrder {
        task: TaskId::new(task),
        job: JobKey::new(role(), "test", "job").unwrap(),
        instance: 0,
        executor: "AuroraExecutor".to_owned(),
        data: data.to_owned(),
        resources: Resources::default(),
        ports: Default::default(),
        metadata: Vec::new(),
        setup: Default::default(),
        uris: Vec::new(),
    }
}

impl Agent {
    pub fn open(config: HostConfig) -> Self {
        let work_dir = config.work_dir.clone();
        let (host, reports) = TaskHost::open(config).unwrap();
        Self {
            host,
            reports,
            work_dir: fs::canonicalize(work_dir).unwrap(),
        }
    }

    pub fn launch(&self, task: &str, cmdline: &str) -> Result<(), LaunchError> {
        rt::block_on(self.host.launch(order(task, &data(cmdline))))
    }

    pub fn kill(&self, task: &str) {
        rt::block_on(self.host.kill(&TaskId::new(task))).unwrap();
    }

    pub fn known(&self, task: &str) -> Option<TaskReport> {
        let mut all = self.host.reports().into_iter();
        all.find(|it| it.task.as_str() == task)
    }

    /// Waits until the task is in a state, by its reports.
    pub fn wait(&self, task: &str, state: TaskState) -> TaskReport {
        let deadline: Instant = clock::now() + PATIENCE;
        loop {
            if let Some(report) = self.known(task).filter(|it| it.state == state) {
                return report;
            }
            let left = deadline.since(clock::now());
            let next = rt::block_on(rt::timeout(left, self.reports.recv()));
            next.unwrap_or_else(|_| panic!("{task} is not {state:?}: {:?}", self.known(task)))
                .unwrap();
        }
    }

    pub fn acknowledge(&self, report: &TaskReport) {
        rt::block_on(self.host.acknowledge(&report.task, report.sequence));
    }

    pub fn directory(&self, task: &str) -> PathBuf {
        self.work_dir.join("tasks").join(task)
    }

    pub fn sandbox(&self, task: &str) -> PathBuf {
        self.directory(task).join("sandbox")
    }

    pub fn executor(&self, task: &str) -> i32 {
        let file = File::open(self.directory(task).join("checkpoint")).unwrap();
        match Tail::default().poll(&file).unwrap().first() {
            Some(Record::Header(header)) => header.pid,
            other => panic!("{other:?}"),
        }
    }

    pub fn kill_executor(&self, task: &str) {
        kill(Pid::from_raw(self.executor(task)), Signal::SIGKILL).unwrap();
    }

    pub fn reopen(self, config: HostConfig) -> Self {
        drop(self.host);
        drop(self.reports);
        Self::open(config)
    }

    pub fn lines(&self, task: &str, file: &str) -> usize {
        let text = fs::read_to_string(self.sandbox(task).join(file)).unwrap_or_default();
        text.lines().count()
    }
}

#[test]
fn a_task_runs_as_its_role_and_ends() {
    let root = Directory::new("host-run");
    let agent = Agent::open(config(&root.0));
    agent.launch("t", "id -u; id -G; pwd; umask").unwrap();
    let end = agent.wait("t", TaskState::Finished);
    assert_eq!(end.message.as_deref(), Some("Task finished."));
    let log = fs::read_to_string(agent.sandbox("t").join(".logs/main/0/stdout")).unwrap();
    let mut lines = log.lines();
    if Uid::effective().is_root() {
        assert_ne!(lines.next(), Some("0"));
        let groups = lines.next().unwrap();
        assert!(!groups.split(' ').any(|group| group == "0"), "{groups}");
        let sandbox = agent.sandbox("t").display().to_string();
        assert_eq!(lines.next(), Some(sandbox.as_str()));
        assert_eq!(lines.next(), Some("0022"));
    }
}

#[test]
fn a_killed_task_is_reported_killed_and_nothing_is_left() {
    let root = Directory::new("host-kill");
    let agent = Agent::open(config(&root.0));
    agent.launch("t", "sleep 1000 & sleep 1000").unwrap();
    agent.wait("t", TaskState::Running);
    agent.kill("t");
    agent.kill("t");
    agent.wait("t", TaskState::Killed);
    agent.kill("t");
    assert_eq!(processes_of(&agent.sandbox("t")), Vec::<i32>::new());
}

#[test]
fn a_kill_that_comes_with_the_launch_is_not_lost() {
    let root = Directory::new("host-early");
    let agent = Agent::open(config(&root.0));
    for round in 0..8 {
        let name = format!("t{round}");
        agent.launch(&name, "sleep 1000").unwrap();
        agent.kill(&name);
        agent.wait(&name, TaskState::Killed);
        assert_eq!(processes_of(&agent.sandbox(&name)), Vec::<i32>::new());
    }
}

#[test]
fn an_ended_task_is_never_started_again() {
    let root = Directory::new("host-again");
    let agent = Agent::open(config(&root.0));
    agent.launch("t", "echo x >> trace").unwrap();
    let end = agent.wait("t", TaskState::Finished);
    agent.launch("t", "echo x >> trace").unwrap();
    // That an earlier report was stored says nothing of the end.
    let earlier = TaskReport {
        sequence: end.sequence - 1,
        ..end.clone()
    };
    agent.acknowledge(&earlier);
    assert_eq!(agent.known("t"), Some(end.clone()));
    agent.acknowledge(&end);
    assert!(agent.known("t").is_none());
    let again = agent.launch("t", "echo x >> trace");
    assert!(matches!(again, Err(LaunchError::Ended(_))), "{again:?}");
    let agent = agent.reopen(config(&root.0));
    assert!(agent.known("t").is_none(), "it is reported again");
    let again = agent.launch("t", "echo x >> trace");
    assert!(matches!(again, Err(LaunchError::Ended(_))), "{again:?}");
    assert_eq!(agent.lines("t", "trace"), 1);
}

#[test]
fn a_running_task_outlives_the_agent_and_is_adopted() {
    let root = Directory::new("host-adopt");
    let agent = Agent::open(config(&root.0));
    let id = agent.host.agent_id();
    agent
        .launch("t", "echo x >> trace; exec sleep 1000")
        .unwrap();
    let before = agent.wait("t", TaskState::Running);
    until("it wrote", || {
        (agent.lines("t", "trace") == 1).then_some(())
    });
    let executor = agent.executor("t");
    let agent = agent.reopen(config(&root.0));
    assert_eq!(agent.host.agent_id(), id);
    assert_eq!(agent.known("t"), Some(before));
    assert_eq!(agent.executor("t"), executor);
    agent.kill("t");
    agent.wait("t", TaskState::Killed);
    assert_eq!(agent.lines("t", "trace"), 1);
}

#[test]
fn an_end_that_came_while_no_agent_was_there_is_reported() {
    let root = Directory::new("host-absent");
    let agent = Agent::open(config(&root.0));
    agent
        .launch("t", "until [ -e go ]; do sleep 0.01; done; exit 7")
        .unwrap();
    agent.wait("t", TaskState::Running);
    let (sandbox, executor) = (agent.sandbox("t"), agent.executor("t"));
    drop(agent);
    fs::write(sandbox.join("go"), "").unwrap();
    until("the executor has ended", || {
        let stat = aurora::executor::os::proc::stat(executor);
        stat.is_none_or(|it| it.is_zombie).then_some(())
    });
    let agent = Agent::open(config(&root.0));
    assert_eq!(agent.known("t").unwrap().state, TaskState::Failed);
}

#[test]
fn a_killed_executor_means_lost_and_nothing_runs_on() {
    let root = Directory::new("host-sigkill");
    let agent = Agent::open(config(&root.0));
    let script =
        "(setsid bash -c 'trap \"\" TERM; touch away; sleep 1000' &); touch here; sleep 1000";
    agent.launch("t", script).unwrap();
    agent.wait("t", TaskState::Running);
    let sandbox = agent.sandbox("t");
    until("both run", || {
        (sandbox.join("here").exists() && sandbox.join("away").exists()).then_some(())
    });
    agent.kill_executor("t");
    let end = agent.wait("t", TaskState::Lost);
    assert_eq!(
        end.message.as_deref(),
        Some("Executor terminated unexpectedly.")
    );
    assert_eq!(processes_of(&sandbox), Vec::<i32>::new());
}

#[test]
fn without_groups_one_that_dropped_its_environment_is_found_by_its_session() {
    let root = Directory::new("host-session");
    let mut config = config(&root.0);
    config.limits.cgroup_root = None;
    let agent = Agent::open(config);
    // Neither its parent nor its environment says whose it is.
    let script = "env -i sh -c 'echo $$ > pid; exec sleep 1000' & sleep 1000; true";
    agent.launch("t", script).unwrap();
    let file = agent.sandbox("t").join("pid");
    let pid: i32 = until("it runs", || {
        let text = fs::read_to_string(&file).ok();
        text.filter(|it| it.ends_with('\n'))?.trim().parse().ok()
    });
    agent.kill_executor("t");
    agent.wait("t", TaskState::Lost);
    let left = aurora::executor::os::proc::stat(pid);
    assert!(left.is_none_or(|it| it.is_zombie), "{left:?}");
}

#[test]
fn an_executor_that_died_while_no_agent_was_there_is_cleaned_up_after() {
    let root = Directory::new("host-both");
    let agent = Agent::open(config(&root.0));
    agent
        .launch("t", "(setsid sleep 1000 &); touch here; sleep 1000")
        .unwrap();
    let running = agent.wait("t", TaskState::Running);
    let sandbox = agent.sandbox("t");
    until("it runs", || sandbox.join("here").exists().then_some(()));
    let executor = agent.executor("t");
    drop(agent);
    kill(Pid::from_raw(executor), Signal::SIGKILL).unwrap();
    let agent = Agent::open(config(&root.0));
    let end = agent.wait("t", TaskState::Lost);
    assert!(end.sequence > running.sequence);
    assert_eq!(processes_of(&sandbox), Vec::<i32>::new());
    let agent = agent.reopen(config(&root.0));
    assert_eq!(agent.known("t"), Some(end));
}

#[test]
fn an_order_whose_executor_never_began_is_started_once() {
    let root = Directory::new("host-unstarted");
    let agent = Agent::open(config(&root.0));
    agent.launch("t", "echo x >> trace").unwrap();
    agent.wait("t", TaskState::Finished);
    let order = fs::read(agent.directory("t").join("order")).unwrap();
    let sandbox = agent.sandbox("t");
    drop(agent);
    // As if the agent had died between the order and the start.
    for file in ["checkpoint", "lock", "control"] {
        fs::remove_file(root.0.join("work/tasks/t").join(file)).unwrap();
    }
    fs::write(root.0.join("work/tasks/t/order"), order).unwrap();
    fs::remove_file(sandbox.join("trace")).unwrap();
    let agent = Agent::open(config(&root.0));
    agent.wait("t", TaskState::Finished);
    let agent = agent.reopen(config(&root.0));
    assert_eq!(agent.known("t").unwrap().state, TaskState::Finished);
    assert_eq!(agent.lines("t", "trace"), 1);
}

#[test]
fn an_order_that_is_damaged_before_anything_began_is_a_lost_task() {
    let root = Directory::new("host-damaged");
    let agent = Agent::open(config(&root.0));
    let work = root.0.join("work/tasks/t");
    drop(agent);
    fs::create_dir_all(work.join("sandbox")).unwrap();
    fs::write(work.join("order"), "junk").unwrap();
    let agent = Agent::open(config(&root.0));
    let end = agent.known("t").unwrap();
    assert_eq!(end.state, TaskState::Lost);
    assert_eq!(end.message.as_deref(), Some("Its order is damaged."));
    let again = agent.reopen(config(&root.0));
    assert_eq!(again.known("t"), Some(end));
}

#[test]
fn the_executors_flags_may_name_another_user() {
    if !Uid::effective().is_root() {
        return;
    }
    let root = Directory::new("host-user");
    let mut config = config(&root.0);
    config.allow_root_tasks = true;
    let agent = Agent::open(config);
    let other = nix::unistd::User::from_name("daemon").unwrap().unwrap();
    for (task, flags, expected) in [
        ("u", "--execute-as-user=daemon", other.uid.as_raw()),
        ("r", "--nosetuid", 0),
    ] {
        let mut order = order(task, &data("id -u"));
        order.setup.flags = flags.to_owned();
        rt::block_on(agent.host.launch(order)).unwrap();
        agent.wait(task, TaskState::Finished);
        let log = agent.sandbox(task).join(".logs/main/0/stdout");
        let user = fs::read_to_string(log).unwrap();
        assert_eq!(user.trim(), expected.to_string(), "{flags}");
    }
}

#[test]
fn a_directory_without_an_order_was_never_promised() {
    let root = Directory::new("host-half");
    fs::create_dir_all(root.0.join("work/tasks/t/sandbox")).unwrap();
    let agent = Agent::open(config(&root.0));
    assert!(agent.known("t").is_none());
    agent.launch("t", "true").unwrap();
    agent.wait("t", TaskState::Finished);
}

#[test]
fn roles_that_may_not_run_here_fail_with_the_reason() {
    let root = Directory::new("host-role");
    let agent = Agent::open(config(&root.0));
    if !Uid::effective().is_root() {
        return;
    }
    for (task, role, message) in [
        ("a", "root", "as root"),
        ("b", "no-such-user-here", "Unknown user 'no-such-user-here'"),
    ] {
        let mut order = order(task, &data("true"));
        order.job = JobKey::new(role, "test", "job").unwrap();
        rt::block_on(agent.host.launch(order)).unwrap();
        let end = agent.wait(task, TaskState::Failed);
        assert!(end.message.as_deref().unwrap().contains(message), "{end:?}");
    }
    let agent = agent.reopen(config(&root.0));
    assert_eq!(agent.known("a").unwrap().state, TaskState::Failed);
}

#[test]
fn ids_that_lead_elsewhere_are_refused() {
    let root = Directory::new("host-path");
    let agent = Agent::open(config(&root.0));
    for id in ["../x", "", "a/b", ".", "a\0b"] {
        let refused = agent.launch(id, "true");
        assert!(matches!(refused, Err(LaunchError::UnsafeId(_))), "{id}");
    }
}

#[test]
fn long_ids_and_long_work_directories_work() {
    let root = Directory::new("host-long");
    let mut config = config(&root.0);
    config.work_dir = root.0.join("d".repeat(200)).join("e".repeat(100));
    let agent = Agent::open(config.clone());
    let id = format!("{}-{}", "j".repeat(600), "unique");
    agent.launch(&id, "exec sleep 1000").unwrap();
    agent.wait(&id, TaskState::Running);
    let agent = agent.reopen(config);
    agent.kill(&id);
    agent.wait(&id, TaskState::Killed);
}

#[test]
fn a_missing_executor_is_reported_and_not_retried_for_ever() {
    let root = Directory::new("host-missing");
    let mut config = config(&root.0);
    config.executor_path = root.0.join("nothing");
    let agent = Agent::open(config);
    agent.launch("t", "true").unwrap();
    let end = agent.wait("t", TaskState::Lost);
    assert!(end.message.unwrap().contains("did not start"));
}

#[test]
fn a_stopped_executor_does_not_stop_a_kill() {
    let root = Directory::new("host-stopped");
    let mut config = config(&root.0);
    config.kill_wait = Duration::from_millis(100);
    config.stop_timeout = Duration::from_millis(200);
    let agent = Agent::open(config);
    agent.launch("t", "sleep 1000").unwrap();
    agent.wait("t", TaskState::Running);
    kill(Pid::from_raw(agent.executor("t")), Signal::SIGSTOP).unwrap();
    agent.kill("t");
    agent.wait("t", TaskState::Killed);
    assert_eq!(processes_of(&agent.sandbox("t")), Vec::<i32>::new());
}

#[test]
fn a_work_directory_has_one_agent_and_remembers_the_ballot() {
    let root = Directory::new("host-lock");
    let agent = Agent::open(config(&root.0));
    assert!(TaskHost::open(config(&root.0)).is_err());
    rt::block_on(agent.host.store_ballot(7)).unwrap();
    rt::block_on(agent.host.store_ballot(3)).unwrap();
    assert_eq!(agent.host.highest_ballot(), 7);
    let agent = agent.reopen(config(&root.0));
    assert_eq!(agent.host.highest_ballot(), 7);
    // One that cannot be stored is not obeyed, and is stored when that is possible.
    let in_the_way = root.0.join("work/fence.new");
    fs::create_dir(&in_the_way).unwrap();
    rt::block_on(agent.host.store_ballot(9)).unwrap_err();
    assert_eq!(agent.host.highest_ballot(), 7);
    fs::remove_dir(&in_the_way).unwrap();
    rt::block_on(agent.host.store_ballot(9)).unwrap();
    let agent = agent.reopen(config(&root.0));
    assert_eq!(agent.host.highest_ballot(), 9);
}

#[test]
fn sandboxes_of_ended_tasks_are_removed_by_number() {
    let root = Directory::new("host-gc");
    let mut config = config(&root.0);
    config.sandbox_count_max = 1;
    let agent = Agent::open(config);
    for task in ["a", "b", "c"] {
        agent.launch(task, "true").unwrap();
        let end = agent.wait(task, TaskState::Finished);
        agent.acknowledge(&end);
    }
    until("one is left", || {
        let left = fs::read_dir(root.0.join("work/tasks")).unwrap().count();
        (left == 1).then_some(())
    });
    assert!(agent.sandbox("c").exists());
}

#[test]
fn many_tasks_at_once_all_run_once() {
    let root = Directory::new("host-many");
    let agent = Agent::open(config(&root.0));
    let names: Vec<String> = (0..30).map(|n| format!("t{n}")).collect();
    for name in &names {
        agent.launch(name, "echo x >> trace").unwrap();
    }
    for name in &names {
        agent.wait(name, TaskState::Finished);
        assert_eq!(agent.lines(name, "trace"), 1);
    }
}
