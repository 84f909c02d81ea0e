//! What tasks may use, and that nothing of them is left: on the control groups of this machine where it has
//! them and lets us, and without.

use crate::fixture::{Directory, PATIENCE, executor_path, skip, until};
use aurora::agent::host::{HostConfig, TaskHost};
use aurora::base::clock;
use aurora::executor::checkpoint::{Record, Tail};
use aurora::executor::os::proc;
use aurora::model::{JobKey, LaunchOrder, Resources, TaskId, TaskReport, TaskState};
use aurora::rt;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const TASK: &str = "t";
/// The test's own group, beside that of installed agents.
const CGROUP_ROOT: &str = "aurora-test";
const LOOK: Duration = Duration::from_millis(50);

struct World {
    /// None only while it is opened again.
    host: Option<TaskHost>,
    reports: async_channel::Receiver<TaskReport>,
    work_dir: PathBuf,
}

fn config(root: &Path) -> HostConfig {
    let mut config = HostConfig::new(root.join("work"), executor_path(), "one.example");
    config.kill_wait = Duration::from_secs(5);
    config.limits.cgroup_root = Some(CGROUP_ROOT.to_owned());
    config.limits.executor_memory = 8 << 20;
    config.limits.memory_interval = LOOK;
    config.limits.disk_interval = LOOK;
    config
}

/// Whether tasks get control groups here; says why a test is skipped if not.
fn has_groups(test: &str) -> bool {
    let name = format!("probe-{}", std::process::id());
    match aurora::agent::cgroup::Cgroups::open(CGROUP_ROOT, &format!("{name}-{test}")) {
        Ok(groups) => {
            groups.remove_if_empty();
            true
        }
        Err(why) => {
            skip(test, &why.to_string());
            false
        }
    }
}

impl World {
    fn open(config: HostConfig) -> Self {
        let work_dir = config.work_dir.clone();
        let (host, reports) = TaskHost::open(config).unwrap();
        Self {
            host: Some(host),
            reports,
            work_dir: fs::canonicalize(work_dir).unwrap(),
        }
    }

    fn host(&self) -> &TaskHost {
        self.host.as_ref().unwrap()
    }

    /// Has the next agent take the work directory over.
    fn reopen(&mut self, config: HostConfig) {
        self.host = None;
        let (host, reports) = TaskHost::open(config).unwrap();
        (self.host, self.reports) = (Some(host), reports);
    }

    fn launch(&self, cmdline: &str, ram_mb: i64, disk_mb: i64) {
        let cmdline = serde_json::Value::from(cmdline);
        self.launch_json(
            &format!(r#"{{"name": "main", "cmdline": {cmdline}}}"#),
            ram_mb,
            disk_mb,
        );
    }

    fn launch_json(&self, processes: &str, ram_mb: i64, disk_mb: i64) {
        self.launch_with(processes, ram_mb, disk_mb, |_| {});
    }

    fn launch_with(
        &self,
        processes: &str,
        ram_mb: i64,
        disk_mb: i64,
        change: impl FnOnce(&mut LaunchOrder),
    ) {
        let mut order = LaunchOrder {
            task: TaskId::new(TASK),
            job: JobKey::new("nobody", "test", "job").unwrap(),
            instance: 0,
            executor: "AuroraExecutor".to_owned(),
            data: format!(r#"{{"task": {{"processes": [{processes}]}}}}"#),
            resources: Resources {
                ram_mb,
                disk_mb,
                ..Resources::default()
            },
            ports: Default::default(),
            metadata: Vec::new(),
            setup: Default::default(),
            uris: Vec::new(),
        };
        change(&mut order);
        rt::block_on(self.host().launch(order)).unwrap();
    }

    fn kill(&self) {
        rt::block_on(self.host().kill(&TaskId::new(TASK))).unwrap();
    }

    fn wait(&self, state: TaskState) -> TaskReport {
        let deadline = clock::now() + PATIENCE;
        loop {
            let last = self.host().reports().pop();
            if let Some(report) = last.clone().filter(|it| it.state == state) {
                return report;
            }
            let left = deadline.since(clock::now());
            let next = rt::block_on(rt::timeout(left, self.reports.recv()));
            next.unwrap_or_else(|_| panic!("not {state:?}: {last:?}"))
                .unwrap();
        }
    }

    fn directory(&self) -> PathBuf {
        self.work_dir.join("tasks").join(TASK)
    }

    fn sandbox(&self) -> PathBuf {
        self.directory().join("sandbox")
    }

    fn output(&self, process: &str) -> String {
        let path = self.sandbox().join(format!(".logs/{process}/0/stdout"));
        fs::read_to_string(path).unwrap_or_default()
    }

    fn executor(&self) -> i32 {
        let file = File::open(self.directory().join("checkpoint")).unwrap();
        match Tail::default().poll(&file).unwrap().first() {
            Some(Record::Header(header)) => header.pid,
            other => panic!("{other:?}"),
        }
    }

    fn kill_executor(&self) {
        kill(Pid::from_raw(self.executor()), Signal::SIGKILL).unwrap();
    }

    /// The directories of the task's groups, in every hierarchy.
    fn groups(&self) -> Vec<PathBuf> {
        let own = self.host().agent_id().as_str().to_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounted = mounts.lines().filter(|line| line.contains(" - cgroup"));
        let at = mounted.filter_map(|line| line.split(' ').nth(4));
        // Below the top, or below the group that was delegated to these tests.
        let lines = fs::read_to_string("/proc/self/cgroup").unwrap();
        let line = lines.lines().find_map(|line| line.strip_prefix("0::/"));
        let delegated = line.and_then(|it| it.strip_suffix("/agent"));
        let tops = at.flat_map(|at| {
            let own = delegated.map(|own| Path::new(at).join(own));
            own.into_iter().chain([PathBuf::from(at)])
        });
        tops.map(|top| top.join(CGROUP_ROOT).join(&own).join("t-t"))
            .filter(|path| path.exists())
            .collect()
    }

    fn processes(&self) -> usize {
        let of = |path: PathBuf| fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        let counts = self.groups().into_iter().map(|it| of(it).lines().count());
        counts.max().unwrap_or(0)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What a failed test leaves is not left to the machine.
        rt::block_on(self.host().kill(&TaskId::new(TASK))).unwrap_or_default();
        let is_over = || {
            self.host()
                .reports()
                .iter()
                .all(|it| it.state.is_terminal())
        };
        until("the task is over", || is_over().then_some(()));
    }
}

/// Processes with this argument, wherever they are.
fn with_argument(argument: &str) -> usize {
    let has = |pid: i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0)
            .any(|it| it == argument.as_bytes())
    };
    let all = proc::all().unwrap();
    all.iter().filter(|it| !it.is_zombie && has(it.pid)).count()
}

#[test]
fn a_memory_hog_is_killed_and_the_limit_and_the_peak_are_named() {
    if !has_groups("a_memory_hog_is_killed_and_the_limit_and_the_peak_are_named") {
        return;
    }
    let root = Directory::new("hog");
    let world = World::open(config(&root.0));
    world.launch("tail /dev/zero", 16, 0);
    let end = world.wait(TaskState::Failed);
    assert_eq!(
        end.message.as_deref(),
        Some(
            "Task used more memory than requested. \
             Memory limit exceeded: limit 24 MB, peak 24 MB."
        )
    );
    assert_eq!(world.groups(), Vec::<PathBuf>::new());
}

#[test]
fn a_memory_hog_fails_its_task_though_its_shell_goes_on() {
    if !has_groups("a_memory_hog_fails_its_task_though_its_shell_goes_on") {
        return;
    }
    let root = Directory::new("hog-child");
    let world = World::open(config(&root.0));
    world.launch("tail /dev/zero; sleep 1000", 16, 0);
    let end = world.wait(TaskState::Failed).message.unwrap();
    assert!(end.contains("Memory limit exceeded: limit 24 MB"), "{end}");
}

#[test]
fn a_memory_hog_whose_shell_fails_at_once_is_told_by_its_executor() {
    if !has_groups("a_memory_hog_whose_shell_fails_at_once_is_told_by_its_executor") {
        return;
    }
    let root = Directory::new("hog-shell");
    let mut blind = config(&root.0);
    blind.limits.memory_interval = Duration::from_secs(3_600);
    let world = World::open(blind);
    world.launch("tail /dev/zero; exit 3", 16, 0);
    let end = world.wait(TaskState::Failed).message.unwrap();
    assert!(end.contains("Memory limit exceeded: limit 24 MB"), "{end}");
}

#[test]
fn a_memory_hog_found_by_the_next_agent_fails_too() {
    if !has_groups("a_memory_hog_found_by_the_next_agent_fails_too") {
        return;
    }
    let root = Directory::new("hog-later");
    let mut blind = config(&root.0);
    blind.limits.memory_interval = Duration::from_secs(3_600);
    let world = World::open(blind);
    world.launch("tail /dev/zero; touch survived; sleep 1000", 16, 0);
    until("the hog is dead", || {
        world.sandbox().join("survived").exists().then_some(())
    });
    // The executor goes with all that it knew; the group still tells.
    world.kill_executor();
    let end = world.wait(TaskState::Failed).message.unwrap();
    assert!(end.contains("Memory limit exceeded: limit 24 MB"), "{end}");
    assert_eq!(world.groups(), Vec::<PathBuf>::new());
}

#[test]
fn a_kill_by_hand_is_no_want_of_memory() {
    let root = Directory::new("by-hand");
    let world = World::open(config(&root.0));
    world.launch("sh -c 'kill -9 $$'; exit 3", 16, 0);
    let end = world.wait(TaskState::Failed);
    let expected = "Task failed. Process 'main' failed with status 3.";
    assert_eq!(end.message.as_deref(), Some(expected));
}

#[test]
fn without_groups_memory_is_looked_at() {
    let root = Directory::new("sampled");
    let mut config = config(&root.0);
    config.limits.cgroup_root = None;
    let world = World::open(config);
    world.launch("(head -c 80000000 /dev/zero; sleep 1000) | tail", 16, 0);
    let end = world.wait(TaskState::Failed).message.unwrap();
    assert!(
        end.contains("Memory limit exceeded: limit 24 MB, peak "),
        "{end}"
    );
}

#[test]
fn a_fork_bomb_is_bounded_and_ends_with_its_task() {
    if !has_groups("a_fork_bomb_is_bounded_and_ends_with_its_task") {
        return;
    }
    let root = Directory::new("bomb");
    let mut config = config(&root.0);
    config.limits.pids = 40;
    // Where the group's limit is missing, the machine has to survive the test.
    config.limits.processes_of_user = 2_000;
    let world = World::open(config);
    let bomb =
        "bomb() { touch bombed; bomb | bomb & sleep 0.01; bomb; }; bomb 2> /dev/null; sleep 1000";
    world.launch(bomb, 256, 0);
    until("the bomb goes off", || {
        (world.processes() >= 20).then_some(())
    });
    for _ in 0..20 {
        assert!(world.processes() <= 40, "{}", world.processes());
    }
    world.kill();
    world.wait(TaskState::Killed);
    assert_eq!(world.groups(), Vec::<PathBuf>::new());
}

#[test]
fn who_leaves_session_environment_and_parent_is_gone_with_the_executor() {
    let name = "who_leaves_session_environment_and_parent_is_gone_with_the_executor";
    if !has_groups(name) {
        return;
    }
    let root = Directory::new("escape");
    let world = World::open(config(&root.0));
    let argument = format!("100{}", std::process::id());
    let script = format!("cd /; (setsid env -i /bin/sleep {argument} &); exec sleep 1000");
    world.launch(&script, 64, 0);
    until("it has escaped", || {
        (with_argument(&argument) == 1).then_some(())
    });
    world.kill_executor();
    world.wait(TaskState::Lost);
    assert_eq!(with_argument(&argument), 0);
    assert_eq!(world.groups(), Vec::<PathBuf>::new());
}

#[test]
fn what_is_left_of_a_task_that_ended_is_found_by_its_group() {
    let name = "what_is_left_of_a_task_that_ended_is_found_by_its_group";
    if !has_groups(name) {
        return;
    }
    let root = Directory::new("stray");
    let mut world = World::open(config(&root.0));
    let argument = format!("200{}", std::process::id());
    world.launch(&format!("exec sleep {argument}"), 64, 0);
    world.wait(TaskState::Running);
    until("it sleeps", || {
        (with_argument(&argument) == 1).then_some(())
    });
    // As after a loss of the task's directory: the group is there and nobody knows the task.
    let beside = |it: &PathBuf| it.with_file_name("t-stray");
    let strays: Vec<PathBuf> = world.groups().iter().map(beside).collect();
    let mut child = std::process::Command::new("/bin/sleep")
        .arg("1000")
        .spawn()
        .unwrap();
    for stray in &strays {
        fs::create_dir_all(stray).unwrap();
        fs::write(stray.join("cgroup.procs"), child.id().to_string()).unwrap();
    }
    world.reopen(config(&root.0));
    child.wait().unwrap();
    until("the stray group is gone", || {
        strays.iter().all(|it| !it.exists()).then_some(())
    });
    assert_eq!(with_argument(&argument), 1);
    world.kill();
    world.wait(TaskState::Killed);
    assert_eq!(with_argument(&argument), 0);
}

#[test]
fn a_disk_hog_fails_with_what_it_reserved_and_used() {
    let root = Directory::new("disk");
    let world = World::open(config(&root.0));
    world.launch("head -c 3000000 /dev/zero > big; sleep 1000", 0, 2);
    let end = world.wait(TaskState::Failed).message.unwrap();
    // It may be looked at while it still grows.
    let used = end.strip_prefix("Disk limit exceeded.  Reserved 2097152 bytes vs used ");
    let used = used.and_then(|it| it.strip_suffix(" bytes."));
    let used: u64 = used.and_then(|it| it.parse().ok()).unwrap_or(0);
    assert!((2_097_153..3_100_000).contains(&used), "{end}");
}

#[test]
fn a_disk_hog_on_a_small_file_system_fails() {
    let name = "a_disk_hog_on_a_small_file_system_fails";
    let root = Directory::new("tmpfs");
    let at = root.0.join("work");
    fs::create_dir(&at).unwrap();
    let options = Some("size=16m,mode=755");
    let mounted = mount(Some("none"), &at, Some("tmpfs"), MsFlags::empty(), options);
    if let Err(why) = mounted {
        return skip(name, &format!("cannot mount a tmpfs: {why}"));
    }
    let world = World::open(config(&root.0));
    let script = "while :; do head -c 500000 /dev/zero >> big || exit 1; sleep 0.05; done";
    world.launch(script, 0, 2);
    let end = world.wait(TaskState::Failed).message.unwrap();
    drop(world);
    umount2(&at, MntFlags::MNT_DETACH).unwrap();
    assert!(
        end.starts_with("Disk limit exceeded.  Reserved 2097152 "),
        "{end}"
    );
}

#[test]
fn a_task_that_fills_the_disk_ends_and_its_end_is_told_though_nothing_can_be_written() {
    let name = "a_task_that_fills_the_disk_ends_and_its_end_is_told_though_nothing_can_be_written";
    let root = Directory::new("full");
    let at = root.0.join("work");
    fs::create_dir(&at).unwrap();
    let options = Some("size=4m,mode=755");
    let mounted = mount(Some("none"), &at, Some("tmpfs"), MsFlags::empty(), options);
    if let Err(why) = mounted {
        return skip(name, &format!("cannot mount a tmpfs: {why}"));
    }
    let mut config = config(&root.0);
    config.limits.disk_interval = Duration::ZERO;
    let world = World::open(config.clone());
    // Its runs fail at once for want of disk, again and again, and each is recorded.
    let processes = r#"{"name": "hog", "max_failures": 20, "min_duration": 0,
        "cmdline": "[ -e big ] || head -c 9000000 /dev/zero > big; echo x >> more || exit 7"}"#;
    world.launch_json(processes, 64, 0);
    let end = world.wait(TaskState::Failed);
    let message = end.message.clone().unwrap();
    let expected = "Task failed. Process 'hog' failed with status ";
    assert!(message.starts_with(expected), "{message}");
    let full = fs::write(at.join("one-more"), vec![1; 64 << 10]);
    assert!(full.is_err(), "the disk was not full");
    // Nor is it forgotten while that cannot be written down.
    let acknowledge = |world: &World| {
        rt::block_on(world.host().acknowledge(&end.task, end.sequence));
    };
    acknowledge(&world);
    assert_eq!(world.host().reports(), std::slice::from_ref(&end));
    drop(world);
    let world = World::open(config);
    assert_eq!(world.wait(TaskState::Failed), end);
    fs::remove_file(world.sandbox().join("big")).unwrap();
    acknowledge(&world);
    assert_eq!(world.host().reports(), []);
    drop(world);
    umount2(&at, MntFlags::MNT_DETACH).unwrap();
}

#[test]
fn a_log_on_a_full_disk_stops_and_goes_on_when_there_is_room() {
    let name = "a_log_on_a_full_disk_stops_and_goes_on_when_there_is_room";
    let root = Directory::new("full-log");
    let at = root.0.join("work");
    fs::create_dir(&at).unwrap();
    let options = Some("size=4m,mode=755");
    let mounted = mount(Some("none"), &at, Some("tmpfs"), MsFlags::empty(), options);
    if let Err(why) = mounted {
        return skip(name, &format!("cannot mount a tmpfs: {why}"));
    }
    let mut config = config(&root.0);
    config.limits.disk_interval = Duration::ZERO;
    let world = World::open(config);
    let script = "head -c 9000000 /dev/zero > big; yes lost | head -c 3000000; touch full; \
                  until [ -e go ]; do sleep 0.01; done; \
                  until grep -q found .logs/main/0/stdout; do echo found; sleep 0.05; done";
    let logger = r#""logger": {"mode": "rotate", "rotate": {"log_size": 100000000}}"#;
    let cmdline = serde_json::Value::from(script);
    let process = format!(r#"{{"name": "main", "cmdline": {cmdline}, {logger}}}"#);
    world.launch_json(&process, 64, 0);
    let sandbox = world.sandbox();
    until("the disk is full", || {
        let told = fs::read_to_string(world.directory().join("executor.log")).unwrap_or_default();
        (sandbox.join("full").exists() || told.contains("goes on without it")).then_some(())
    });
    fs::remove_file(sandbox.join("big")).unwrap();
    fs::write(sandbox.join("go"), "").unwrap();
    world.wait(TaskState::Finished);
    let output = world.output("main");
    // Whole lines before the gap and after it.
    assert!(output.ends_with("found\n"), "{}", output.len());
    assert!(
        output
            .lines()
            .all(|it| ["lost", "found", "", "los", "lo", "l"].contains(&it))
    );
    drop(world);
    umount2(&at, MntFlags::MNT_DETACH).unwrap();
}

#[test]
fn processes_have_bounded_resources_and_a_plain_environment() {
    let root = Directory::new("plain");
    let mut config = config(&root.0);
    config.limits.open_files = 321;
    config.limits.processes_of_user = 4_321;
    let world = World::open(config);
    world.launch(
        "ulimit -n; ulimit -u; ulimit -c; ulimit -Hn; ulimit -Hu; ulimit -Hc; env | cut -d= -f1 | sort",
        64,
        0,
    );
    world.wait(TaskState::Finished);
    let output = world.output("main");
    let lines: Vec<&str> = output.lines().collect();
    // Nor can it raise them again.
    assert_eq!(lines[..6], ["321", "4321", "0", "321", "4321", "0"]);
    // The shell adds some of its own.
    let own = ["OLDPWD", "PWD", "SHLVL", "_"];
    let given: Vec<_> = lines[6..].iter().filter(|it| !own.contains(it)).collect();
    assert_eq!(given, [&"HOME", &"LOGNAME", &"PATH", &"USER"]);
}

#[test]
fn the_sandbox_is_the_roles_alone_and_its_profile_is_read() {
    let root = Directory::new("sandbox");
    let world = World::open(config(&root.0));
    let processes = r#"
        {"name": "first", "cmdline": "echo export COLOUR=green > .thermos_profile"},
        {"name": "second", "min_duration": 0, "max_failures": 90,
         "cmdline": "sleep 0.05; test \"$COLOUR\" && echo $COLOUR $HOME $BASH_ENV > seen"}"#;
    world.launch_json(processes, 64, 0);
    world.wait(TaskState::Finished);
    let sandbox = world.sandbox();
    let seen = fs::read_to_string(sandbox.join("seen")).unwrap();
    let at = sandbox.display();
    assert_eq!(seen, format!("green {at} {at}/.thermos_profile\n"));
    let meta = fs::metadata(&sandbox).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o700);
    if Uid::effective().is_root() {
        let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
        let expected = (nobody.uid.as_raw(), nobody.gid.as_raw());
        assert_eq!((meta.uid(), meta.gid()), expected);
        let logs = fs::metadata(sandbox.join(".logs/first/0/stdout")).unwrap();
        assert_eq!((logs.uid(), logs.gid()), expected);
    }
}

#[test]
fn a_task_is_in_every_group_of_its_own_with_every_limit_and_goes_no_sooner_than_the_agent() {
    let name =
        "a_task_is_in_every_group_of_its_own_with_every_limit_and_goes_no_sooner_than_the_agent";
    let root = Directory::new("inside");
    let mut config = config(&root.0);
    config.limits.is_cpu_capped = true;
    config.limits.pids = 77;
    let world = World::open(config);
    let script = "cat /proc/self/oom_score_adj; cat /proc/self/cgroup; echo end; exec sleep 1000";
    let process = format!(
        r#"{{"name": "main", "cmdline": {}}}"#,
        serde_json::Value::from(script)
    );
    world.launch_with(&process, 16, 0, |order| {
        order.resources.cpus = aurora::model::MilliCpus(1_500);
    });
    let output = until("it wrote", || {
        Some(world.output("main")).filter(|it| it.ends_with("end\n"))
    });
    let mut lines = output.lines();
    let score = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert_eq!(lines.next(), Some(score.trim()));
    if has_groups(name) {
        // Each group that was made holds the task, and no process of it is anywhere else.
        let groups = world.groups();
        assert!(!groups.is_empty());
        let executor = world.executor();
        for group in &groups {
            let inside = fs::read_to_string(group.join("cgroup.procs")).unwrap();
            let inside: Vec<i32> = inside.lines().filter_map(|it| it.parse().ok()).collect();
            assert!(
                inside.contains(&executor),
                "{}: {inside:?}",
                group.display()
            );
            assert!(inside.len() >= 2, "{}: {inside:?}", group.display());
        }
        let inside = lines.filter(|line| line.ends_with("/t-t")).count();
        assert_eq!(inside, groups.len(), "{output}");
        let read = |names: &[&str]| {
            let of = |name: &&str| {
                groups
                    .iter()
                    .find_map(|it| fs::read_to_string(it.join(name)).ok())
            };
            names.iter().find_map(of).map(|it| it.trim().to_owned())
        };
        let memory = read(&["memory.max", "memory.limit_in_bytes"]);
        assert_eq!(memory, Some((24 << 20).to_string()));
        assert_eq!(read(&["pids.max"]), Some("77".to_owned()));
        let quota = read(&["cpu.max"]).or_else(|| read(&["cpu.cfs_quota_us"]));
        let quota = quota.unwrap_or_default();
        assert!(
            ["150000", "150000 100000"].contains(&quota.as_str()),
            "{quota}"
        );
        let weight = read(&["cpu.weight", "cpu.shares"]).unwrap_or_default();
        assert!(["59", "1536"].contains(&weight.as_str()), "{weight}");
    }
    world.kill();
    world.wait(TaskState::Killed);
}

/// What runs on what the machine may take back comes last and goes first.
#[test]
fn a_task_on_what_was_lent_comes_last_and_goes_first() {
    let root = Directory::new("lent");
    let world = World::open(config(&root.0));
    let shown = root.0.join("shown");
    fs::create_dir_all(&shown).unwrap();
    fs::set_permissions(&shown, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let line = format!(
        "cat /proc/self/oom_score_adj > {0}/score; cat /proc/self/cgroup > {0}/groups; exec sleep 600",
        shown.display()
    );
    let line = serde_json::Value::from(line);
    let processes = format!(r#"{{"name": "main", "cmdline": {line}}}"#);
    world.launch_with(&processes, 64, 64, |order| {
        order.resources.cpus = aurora::model::MilliCpus(2_000);
        let pair = (LaunchOrder::REVOCABLE.to_owned(), "true".to_owned());
        order.metadata.push(pair);
    });
    world.wait(TaskState::Running);
    let read = |name: &str| {
        let text = fs::read_to_string(shown.join(name)).ok();
        text.filter(|text| text.ends_with('\n'))
    };
    let score = until("the score of the task's processes", || read("score"));
    assert_eq!(score.trim(), "900");
    if has_groups("lent") {
        let groups = until("the task's groups", || read("groups"));
        match weight_of(&groups) {
            Some(found) => assert!(["1", "2"].contains(&found.as_str()), "{found}: {groups}"),
            None => skip("lent", "the weight of a group cannot be seen from here"),
        }
    }
    world.kill();
    world.wait(TaskState::Killed);
}

/// The weight of a group as `/proc/PID/cgroup` names it, of either version.
fn weight_of(groups: &str) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mounted = |kind: &str, option: &str| {
        let mut lines = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        let found = lines.find(|line| line[2] == kind && line[3].split(',').any(|o| o == option));
        found.map(|line| PathBuf::from(line[1]))
    };
    for line in groups.lines() {
        let parts: Vec<&str> = line.splitn(3, ':').collect();
        let place = parts[2].trim_start_matches('/');
        let file = match parts[1] {
            "" => mounted("cgroup2", "rw").map(|top| top.join(place).join("cpu.weight")),
            names if names.split(',').any(|name| name == "cpu") => {
                mounted("cgroup", "cpu").map(|top| top.join(place).join("cpu.shares"))
            }
            _ => None,
        };
        if let Some(text) = file.and_then(|file| fs::read_to_string(file).ok()) {
            return Some(text.trim().to_owned());
        }
    }
    None
}
