//! The daemons as processes: their log, their signals, what they let others see.

use crate::job::{create, id_of, status_of, tasks};
use crate::world::{AURORA, World, now, processes_below, wait};
use aurora::thrift::api::ScheduleStatus;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const ROLES: &[u8] = br#"[1,"getRoleSummary",1,1,{}]"#;
const JSON: [(&str, &str); 1] = [("Content-Type", "application/vnd.apache.thrift.json")];

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(pid, signal).unwrap();
}

fn end(mut child: Child, what: &str) {
    signal(&child, Signal::SIGTERM);
    let start = now();
    wait(what, || child.try_wait().unwrap().is_some());
    let took = now() - start;
    assert!(took < Duration::from_secs(15), "{what} took {took:?}");
    assert_eq!(child.wait().unwrap().code(), Some(0), "{what}");
}

/// A scheduler that logs as much as it can to a stderr like this one.
fn with_stderr(world: &World, stderr: Stdio) -> Child {
    Command::new(AURORA)
        .args(world.scheduler_args())
        .arg("-log_level=TRACE")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .unwrap()
}

fn closed_stderr(world: &World) -> Child {
    Command::new("sh")
        .args(["-c", "exec \"$@\" 2>&-", "sh", AURORA])
        .args(world.scheduler_args())
        .arg("-log_level=TRACE")
        .spawn()
        .unwrap()
}

#[test]
fn a_stderr_that_takes_nothing_stops_no_scheduler() {
    let mut world = World::new("stderr");
    for kind in ["closed", "full", "nobody reads", "reader gone"] {
        let mut child = match kind {
            "closed" => closed_stderr(&world),
            "full" => {
                let full = fs::File::options().write(true).open("/dev/full").unwrap();
                with_stderr(&world, full.into())
            }
            _ => with_stderr(&world, Stdio::piped()),
        };
        if kind == "reader gone" {
            drop(child.stderr.take());
        }
        world.wait_for_leader();
        // Some hundred kilobytes of lines, more than any pipe and queue hold.
        for call in 0..1500 {
            let (status, _) = world.post("/api", &JSON, ROLES).unwrap();
            assert_eq!(status, 200, "call {call} with stderr {kind}");
        }
        assert_eq!(world.get("/health").unwrap().0, 200, "stderr {kind}");
        end(child, &format!("a scheduler with stderr {kind} to end"));
    }
}

#[test]
fn levels_change_while_the_scheduler_runs() {
    let mut world = World::new("levels");
    world.start_scheduler();
    world.wait_for_leader();
    let lines = |world: &World| world.scheduler_log().matches("getRoleSummary").count();
    world.post("/api", &JSON, ROLES).unwrap();
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let set = |level: &str| {
        let body = format!("logger=aurora::api&level={level}");
        world.post("/logconfig", &form, body.as_bytes()).unwrap().0
    };
    assert_eq!(lines(&world), 0, "calls are logged at INFO");
    assert_eq!(set("DEBUG"), 303);
    world.post("/api", &JSON, ROLES).unwrap();
    wait("the line of a call", || lines(&world) == 1);
    assert_eq!(set("INHERIT"), 303);
    world.post("/api", &JSON, ROLES).unwrap();
    assert_eq!(set("DEBUG"), 303);
    world.post("/api", &JSON, ROLES).unwrap();
    wait("the next line", || lines(&world) >= 2);
    assert_eq!(lines(&world), 2, "a call was logged at INFO");
}

fn running(world: &World) -> Vec<String> {
    let all = tasks(world).unwrap_or_default();
    let running = all
        .iter()
        .filter(|t| status_of(t) == ScheduleStatus::Running);
    running.map(id_of).collect()
}

#[test]
fn sighup_is_ignored_and_sigterm_leaves_the_tasks_running() {
    let mut world = World::new("signals");
    world.start_all();
    let pids = world.path("pids");
    let line = format!("echo $$ >> {}; exec sleep 86400", pids.display());
    let request = create("stays", 2, true, &line);
    crate::chaos::insist(&world, &request, "stays");
    wait("the tasks", || running(&world).len() == 2);
    let (scheduler, agent) = world.take();
    for child in [&scheduler, &agent] {
        signal(child, Signal::SIGHUP);
    }
    let body = world.post("/api", &JSON, ROLES).unwrap();
    assert_eq!(body.0, 200, "SIGHUP ended the scheduler");
    end(agent, "the agent to end");
    end(scheduler, "the scheduler to end");
    let before = fs::read_to_string(&pids).unwrap();
    for pid in before.lines() {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(line.starts_with(b"sleep\x0086400"), "{pid} is gone");
    }
    world.start_all();
    wait("the same tasks", || running(&world).len() == 2);
    assert_eq!(
        fs::read_to_string(&pids).unwrap(),
        before,
        "a task was started again"
    );
}

#[test]
fn nobody_is_shown_the_key() {
    let mut world = World::new("secrets");
    world.start_all();
    crate::chaos::insist(&world, &create("one", 1, true, "exec sleep 86400"), "one");
    wait("the task", || running(&world).len() == 1);
    let key = fs::read_to_string(world.path("agent.key")).unwrap();
    // The longest word of the file is the key itself.
    let key = key.split_whitespace().max_by_key(|w| w.len()).unwrap();
    assert!(key.len() >= 32, "{key}");
    let mut seen = Vec::new();
    for page in ["/vars", "/vars.json", "/scheduler", "/agents", "/logconfig"] {
        seen.push((page.to_owned(), world.get(page).unwrap().1));
    }
    for file in ["scheduler.log", "agent.log"] {
        let text = fs::read_to_string(world.path(file)).unwrap();
        seen.push((file.to_owned(), text));
    }
    for pid in processes_below(&world.dir) {
        for file in ["cmdline", "environ"] {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            seen.push((format!("{file} of {pid}"), text));
        }
    }
    for (place, text) in seen {
        assert!(!text.contains(key), "{place} shows the key");
    }
}
