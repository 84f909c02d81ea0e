//! The programs as a newcomer and an operator meet them.

use crate::world::{AURORA, World, exchange, processes_below, text, wait};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Output, Stdio};

fn quickstart(world: &World, more: &[&str]) -> Command {
    let mut command = quickstart_in(world, &format!("--dir={}", world.path("quick").display()));
    command.args(more);
    command
}

fn quickstart_in(world: &World, dir: &str) -> Command {
    let mut command = Command::new(AURORA);
    command
        .arg("quickstart")
        .arg(dir)
        .arg(format!("--http_port={}", world.http_port))
        .arg(format!("--peer_port={}", world.peer_port))
        .arg(format!("--observer_port={}", world.observer_port))
        .stdin(Stdio::null());
    command
}

fn assert_one_clear_line(output: &Output, part: &str, world: &World) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success(),
        "it should have failed: {}",
        text(output)
    );
    assert!(said.contains(part), "expected {part:?} in: {said}");
    assert_eq!(said.trim().lines().count(), 1, "more than one line: {said}");
    assert_eq!(
        processes_below(&world.dir),
        [] as [u32; 0],
        "something was left running"
    );
}

#[test]
fn quickstart_once_runs_a_job_and_leaves_nothing_running() {
    let world = World::uninitialised("quick");
    let output = quickstart(&world, &["--once"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("RUNNING"), "{}", text(&output));
    assert_eq!(
        processes_below(&world.dir),
        [] as [u32; 0],
        "something was left running"
    );
    // The same directory serves again.
    let output = quickstart(&world, &["--once"]).output().unwrap();
    assert!(
        output.status.success(),
        "the second time: {}",
        text(&output)
    );
}

#[test]
fn quickstart_ends_with_a_signal_and_stops_what_it_started() {
    let world = World::uninitialised("ctrlc");
    let out = fs::File::create(world.path("out")).unwrap();
    let mut child = quickstart(&world, &[]).stdout(out).spawn().unwrap();
    wait("the welcome", || {
        fs::read_to_string(world.path("out"))
            .unwrap()
            .contains("Ctrl-C")
    });
    let said = fs::read_to_string(world.path("out")).unwrap();
    assert!(
        said.contains(&format!("http://127.0.0.1:{}/scheduler", world.http_port)),
        "{said}"
    );
    assert!(
        world.get("/scheduler").unwrap().1.contains("hello_world") || {
            let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective())
                .unwrap()
                .unwrap()
                .name;
            world
                .get(&format!("/scheduler/{user}"))
                .unwrap()
                .1
                .contains("hello_world")
        }
    );
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(
        processes_below(&world.dir),
        [] as [u32; 0],
        "something was left running"
    );
}

/// A terminal sends Ctrl-C to everything in the foreground at once, not to quickstart alone.
#[test]
fn ctrl_c_in_a_terminal_ends_quickstart_with_status_0_every_time() {
    use std::os::unix::process::CommandExt;
    let world = World::uninitialised("ttyctrlc");
    for round in 0..4 {
        let out = fs::File::create(world.path("out")).unwrap();
        let mut command = quickstart(&world, &[]);
        let mut child = command.stdout(out).process_group(0).spawn().unwrap();
        wait("the welcome", || {
            fs::read_to_string(world.path("out"))
                .unwrap()
                .contains("Ctrl-C")
        });
        let group = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGINT).unwrap();
        assert!(child.wait().unwrap().success(), "round {round}");
        let left = processes_below(&world.dir);
        assert_eq!(left, [] as [u32; 0], "something was left running");
    }
}

/// The daemons must not get a terminal's Ctrl-C themselves: they would seem to have died.
#[test]
fn what_quickstart_starts_is_not_in_its_process_group() {
    let world = World::uninitialised("groups");
    let out = fs::File::create(world.path("out")).unwrap();
    let mut child = quickstart(&world, &[]).stdout(out).spawn().unwrap();
    wait("the welcome", || {
        fs::read_to_string(world.path("out"))
            .unwrap()
            .contains("Ctrl-C")
    });
    let group_of = |pid: u32| {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
        nix::unistd::getpgid(Some(pid)).unwrap()
    };
    let ours = group_of(child.id());
    for pid in processes_below(&world.dir) {
        assert!(pid == child.id() || group_of(pid) != ours, "process {pid}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    wait("everything to end", || {
        processes_below(&world.dir).is_empty()
    });
}

#[test]
fn quickstart_killed_outright_leaves_no_process_behind() {
    let world = World::uninitialised("kill9");
    let out = fs::File::create(world.path("out")).unwrap();
    let mut child = quickstart(&world, &[]).stdout(out).spawn().unwrap();
    wait("the welcome", || {
        fs::read_to_string(world.path("out"))
            .unwrap()
            .contains("Ctrl-C")
    });
    child.kill().unwrap();
    child.wait().unwrap();
    wait("everything to end", || {
        processes_below(&world.dir).is_empty()
    });
}

#[test]
fn quickstart_says_in_one_line_what_is_in_the_way() {
    let world = World::uninitialised("refused");
    let holder = TcpListener::bind(("127.0.0.1", world.http_port)).unwrap();
    let output = quickstart(&world, &["--once"]).output().unwrap();
    assert_one_clear_line(&output, &format!("port {}", world.http_port), &world);
    drop(holder);

    let mut command = quickstart(&world, &["--once"]);
    let output = command
        .env("PATH", world.path("empty"))
        .env_remove("AURORA_PYTHON")
        .output();
    assert_one_clear_line(&output.unwrap(), "python3", &world);

    fs::write(world.path("file"), "x").unwrap();
    let dir = format!("--dir={}", world.path("file").display());
    let output = quickstart_in(&world, &dir).arg("--once").output().unwrap();
    assert_one_clear_line(&output, "file", &world);

    fs::create_dir_all(world.path("mine/photos")).unwrap();
    let dir = format!("--dir={}", world.path("mine").display());
    let output = quickstart_in(&world, &dir).arg("--once").output().unwrap();
    assert_one_clear_line(&output, "another directory", &world);
    assert!(
        world.path("mine/photos").is_dir(),
        "another's files were touched"
    );

    let mut command = Command::new(AURORA);
    let dir = format!("--dir={}", world.path("quick").display());
    command.args(["quickstart", "--once", "--http_port=0", &dir]);
    assert_one_clear_line(&command.output().unwrap(), "-http_port=0", &world);

    let output = quickstart(&world, &["--onec"]).output().unwrap();
    assert_one_clear_line(&output, "--once".trim_start_matches('-'), &world);
}

#[test]
fn an_empty_log_waits_for_initialize_and_a_restart() {
    let mut world = World::uninitialised("empty");
    fs::create_dir_all(world.path("db")).unwrap();
    world.start_scheduler();
    wait("the port", || world.get("/health").is_some());
    assert_eq!(world.get("/health").unwrap(), (200, "OK\n".to_owned()));
    let body = br#"[1,"getRoleSummary",1,1,{}]"#;
    let json = [("Content-Type", "application/vnd.apache.thrift.json")];
    let (status, answer) = world.post("/api", &json, body).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(status, 200);
    assert!(answer.contains("Storage is not READY"), "{answer}");
    let log = || world.scheduler_log();
    wait("two notices", || log().matches("EMPTY status").count() >= 2);
    assert_ne!(world.get("/leaderhealth").unwrap().0, 200);
    assert_eq!(
        fs::read_dir(world.path("db")).unwrap().count(),
        0,
        "it wrote into an empty path"
    );
    world.kill_scheduler();

    let path = format!("--path={}", world.path("db").display());
    let output = world.log_tool(&["initialize", &path]);
    assert!(output.status.success(), "{}", text(&output));
    world.start_scheduler();
    world.wait_for_leader();
    let (_, answer) = world.post("/api", &json, body).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(!answer.contains("not READY"), "{answer}");
}

/// Every file below a directory with its bytes, to show that nothing changed.
fn contents(dir: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

#[test]
fn initialize_refuses_what_it_must_not_touch() {
    let mut world = World::new("init");
    let path = format!("--path={}", world.path("db").display());
    let before = contents(&world.path("db"));
    let output = world.log_tool(&["initialize", &path]);
    assert!(
        !output.status.success(),
        "it initialised twice: {}",
        text(&output)
    );
    assert!(
        contents(&world.path("db")) == before,
        "the second initialize changed something"
    );

    fs::create_dir_all(world.path("other")).unwrap();
    fs::write(world.path("other/letter"), "dear").unwrap();
    let other = format!("--path={}", world.path("other").display());
    assert!(!world.log_tool(&["initialize", &other]).status.success());
    assert_eq!(contents(&world.path("other")).len(), 1);
    let file = format!("--path={}", world.path("other/letter").display());
    assert!(!world.log_tool(&["initialize", &file]).status.success());
    assert!(!world.log_tool(&["initialize"]).status.success());

    world.start_scheduler();
    world.wait_for_leader();
    let output = world.log_tool(&["initialize", &path]);
    assert!(
        !output.status.success(),
        "initialised under a running scheduler: {}",
        text(&output)
    );
    assert_eq!(world.get("/leaderhealth").unwrap().0, 200);
}

#[test]
fn initialize_by_root_gives_the_files_to_the_owner_of_the_parent() {
    if !nix::unistd::Uid::effective().is_root() {
        println!("skipped: owner of initialised files: not root");
        return;
    }
    let world = World::uninitialised("owner");
    let parent = world.path("owned");
    fs::create_dir_all(&parent).unwrap();
    std::os::unix::fs::chown(&parent, Some(65_534), Some(65_534)).unwrap();
    let path = format!("--path={}", parent.join("scheduler/db").display());
    let output = world.log_tool(&["initialize", &path]);
    assert!(output.status.success(), "{}", text(&output));
    let mut seen = 0;
    for (file, _) in contents(&parent) {
        let meta = fs::metadata(&file).unwrap();
        assert_eq!(
            (meta.uid(), meta.gid()),
            (65_534, 65_534),
            "{}",
            file.display()
        );
        seen += 1;
    }
    assert!(seen > 0);
    for closed in ["scheduler/db/replica", "scheduler/agent.key"] {
        let mode = fs::metadata(parent.join(closed))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o007, 0, "{closed} is open to all: {mode:o}");
    }
    assert_eq!(
        fs::metadata(parent.join("scheduler")).unwrap().uid(),
        65_534
    );
}

#[test]
fn the_log_tool_answers_to_its_mesos_name() {
    let world = World::uninitialised("mesoslog");
    let alias = world.path("mesos-log");
    std::os::unix::fs::symlink(AURORA, &alias).unwrap();
    let path = format!("--path={}", world.path("db").display());
    let output = Command::new(&alias)
        .args(["initialize", &path])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let output = Command::new(&alias).args(["read", &path]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(
        !Command::new(&alias)
            .arg("frobnicate")
            .output()
            .unwrap()
            .status
            .success()
    );
}

#[test]
fn health_answers_whatever_monit_sends() {
    let mut world = World::new("monit");
    world.start_scheduler();
    world.wait_for_leader();
    for request in [
        &b"GET /health HTTP/1.0\r\n"[..],
        b"GET /health HTTP/1.0\r\n\r\n",
        b"GET /health HTTP/1.0\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ] {
        let (status, _, body) = exchange(world.http_port, request).unwrap();
        assert_eq!(
            (status, &body[..]),
            (200, &b"OK\n"[..]),
            "{}",
            String::from_utf8_lossy(request)
        );
    }
}

#[test]
fn flags_that_would_mislead_stop_the_start_in_one_line() {
    let world = World::new("flags");
    for (flag, part) in [
        (
            "-http_authentication_mechanism=BASIC",
            "http_authentication_mechanism",
        ),
        ("-zk_endpoints=localhost:2181", "zk_endpoints"),
        ("-mesos_role=gpu", "mesos_role"),
        ("-tls_certificate_file=/x", "tls_certificate_file"),
        ("-http_prot=8081", "http_port"),
        ("-transient_task_state_timeout=5parsecs", "5parsecs"),
    ] {
        let mut args = world.scheduler_args();
        args.push(flag.to_owned());
        let output = Command::new(AURORA).args(&args).output().unwrap();
        assert_one_clear_line(&output, part, &world);
    }
    let holder = TcpListener::bind(("127.0.0.1", world.http_port)).unwrap();
    let args = world.scheduler_args();
    let output = Command::new(AURORA).args(&args).output().unwrap();
    assert!(!output.status.success());
    assert!(
        text(&output).contains(&format!("{}", world.http_port)),
        "{}",
        text(&output)
    );
    drop(holder);
}

#[test]
fn quitquitquit_and_abortabortabort_end_the_scheduler() {
    let mut world = World::new("quit");
    world.start_scheduler();
    world.wait_for_leader();
    assert_eq!(world.get("/quitquitquit").map(|(s, _)| s), Some(405));
    let (status, body) = world.post("/quitquitquit", &[], b"").unwrap();
    assert_eq!((status, &body[..]), (200, &b"Notifying quit listener."[..]));
    assert_eq!(world.join_scheduler(), 0);
    world.start_scheduler();
    world.wait_for_leader();
    // It may be gone before it has answered.
    drop(world.post("/abortabortabort", &[], b""));
    assert_eq!(world.join_scheduler(), 0);
    world.start_scheduler();
    world.wait_for_leader();
}

#[test]
fn apache_thrift_drives_the_api_in_every_protocol() {
    let Some(python) = std::env::var_os("AURORA_THRIFT_PYTHON") else {
        println!(
            "skipped: Apache Thrift as the judge of the wire formats: AURORA_THRIFT_PYTHON is not set"
        );
        return;
    };
    let mut world = World::new("thrift");
    world.start_all();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/thrift_oracle/drive.py");
    for protocol in ["binary", "compact", "json"] {
        let output = Command::new(&python)
            .arg(script)
            .args([
                "--url",
                &format!("http://127.0.0.1:{}/api", world.http_port),
            ])
            .args(["--protocol", protocol])
            .output()
            .unwrap();
        assert!(output.status.success(), "{protocol}: {}", text(&output));
        assert!(
            text(&output).contains("ok createJob"),
            "{protocol}: {}",
            text(&output)
        );
    }
}

/// The first fenced block of README.md that begins with this word.
fn readme_block(language: &str) -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let fence = format!("```{language}\n");
    let block = readme
        .split(&fence)
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let indent = block.len() - block.trim_start_matches(' ').len();
    let lines = block.lines().map(|line| line.get(indent..).unwrap_or(""));
    lines.fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn the_first_job_of_the_readme_runs_as_written() {
    let mut world = World::new("readme");
    world.start_all();
    fs::write(world.path("clock.aurora"), readme_block("python")).unwrap();
    let file = world.path("clock.aurora").display().to_string();
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective())
        .unwrap()
        .unwrap()
        .name;
    let job = format!("local/{user}/devel/clock");
    let run = |args: &[&str]| {
        let output = world.client(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output));
        text(&output)
    };
    run(&["config", "list", &file]);
    run(&["job", "create", "--wait-until=RUNNING", &job, &file]);
    assert!(run(&["job", "status", &job]).contains("RUNNING"));
    assert!(run(&["job", "list", &format!("local/{user}")]).contains(&job));
    run(&["job", "inspect", &job, &file]);
    run(&["job", "restart", &job]);
    assert!(run(&["job", "status", &job]).contains("RUNNING"));
    // What the task printed is on the agent's pages.
    wait("the output", || {
        let request = b"GET /j/task_ids/active HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        exchange(world.observer_port, request)
            .is_ok_and(|(status, _, body)| status == 200 && text_of(&body).contains("clock"))
    });
    let page = world
        .get(&format!("/scheduler/{user}/devel/clock"))
        .unwrap();
    assert_eq!(page.0, 200);
    assert!(
        page.1.contains("RUNNING") && page.1.contains("RESTARTING"),
        "{}",
        page.1
    );
    run(&["job", "killall", &job]);
    let again = world.client(&["job", "status", "local/nobody/devel/nothing"]);
    assert!(!again.status.success(), "{}", text(&again));
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_agent_with_the_right_key_is_not_told_otherwise_while_the_log_is_empty() {
    let mut world = World::new("emptykey");
    fs::remove_dir_all(world.path("db")).unwrap();
    world.start_scheduler();
    wait("the port", || world.get("/health").is_some());
    world.start_agent();
    wait("notices after the agent came", || {
        world.get("/health").is_some()
            && std::net::TcpStream::connect(("127.0.0.1", world.observer_port)).is_ok()
    });
    let before = world.scheduler_log().matches("EMPTY status").count();
    wait("two more notices", || {
        world.scheduler_log().matches("EMPTY status").count() >= before + 2
    });
    let log = world.scheduler_log();
    assert!(!log.contains("same agent key"), "{log}");
}

/// A disk of its own that can be full; gone when dropped.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(path: std::path::PathBuf, option: &str) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", option, "none"])
            .arg(&path);
        let output = command.output().ok()?;
        output.status.success().then_some(Self(path))
    }

    fn grow(&self, option: &str) {
        let mut command = Command::new("mount");
        command.args(["-o", option]).arg(&self.0);
        assert!(command.status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A leftover is the next run's to see; a panic in here would hide why the test failed.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn a_full_disk_ends_the_scheduler_with_status_70_and_loses_nothing() {
    let mut world = World::uninitialised("full");
    let Some(disk) = SmallDisk::mount(world.path("db"), "size=200k") else {
        println!("skipped: a full disk: this user or container may not mount one");
        return;
    };
    let path = format!("--path={}", world.path("db").display());
    let output = world.log_tool(&["initialize", &path]);
    assert!(output.status.success(), "{}", text(&output));
    world.start_scheduler();
    world.wait_for_leader();
    let json = [("Content-Type", "application/vnd.apache.thrift.json")];
    let data = "x".repeat(4_000);
    let create = |name: &str| {
        let text = |text: &str| serde_json::json!({"str": text});
        let key = serde_json::json!(
            {"rec": {"1": text("root"), "2": text("devel"), "3": text(name)}}
        );
        let resources = serde_json::json!(
            ["rec", 3, {"1": {"dbl": 0.1}}, {"2": {"i64": 16}}, {"3": {"i64": 16}}]
        );
        let executor = serde_json::json!({"1": text("AuroraExecutor"), "2": text(&data)});
        let task = serde_json::json!(
            {"28": key, "32": {"set": resources}, "25": {"rec": executor}}
        );
        let job = serde_json::json!({"9": key, "8": {"i32": 1}, "6": {"rec": task}});
        serde_json::json!([1, "createJob", 1, 1, {"1": {"rec": job}}]).to_string()
    };
    let mut acknowledged = Vec::new();
    for number in 0..500 {
        let name = format!("job{number}");
        let Ok((200, answer)) = world.post("/api", &json, create(&name).as_bytes()) else {
            break;
        };
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains(r#""1":{"i32":1}"#), "{answer}");
        acknowledged.push(name);
    }
    assert!(!acknowledged.is_empty() && acknowledged.len() < 500);
    assert_eq!(world.join_scheduler(), 70);
    let log = world.scheduler_log();
    assert!(log.contains("No space left on device"), "{log}");

    disk.grow("remount,size=64m");
    world.start_scheduler();
    world.wait_for_leader();
    let (_, jobs) = world
        .post("/api", &json, br#"[1,"getJobs",1,1,{}]"#)
        .unwrap();
    let jobs = String::from_utf8(jobs).unwrap();
    for name in acknowledged {
        assert!(jobs.contains(&format!(r#""{name}""#)), "{name} is lost");
    }
    world.kill_scheduler();
}
