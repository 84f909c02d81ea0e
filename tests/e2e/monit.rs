//! Real monit with the recipe of the installation guide: it sees a healthy scheduler as healthy, notices one
//! that hangs, and starts it again.

use crate::world::{AURORA, World, kill_all_below, wait};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn monit() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin".into(), "/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join("monit"))
        .find(|file| file.is_file())
}

fn pid_in(world: &World) -> Option<i32> {
    fs::read_to_string(world.path("scheduler.pid"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Starts the scheduler as an operator's script does, and leaves its process id in a file.
fn start_script(world: &World) -> String {
    // Its parent, the script, ends at once.
    let args: Vec<String> = world
        .scheduler_args()
        .into_iter()
        .filter(|arg| !arg.starts_with("-exit_with_parent"))
        .map(|arg| format!("'{arg}'"))
        .collect();
    format!(
        "#!/bin/sh\n'{AURORA}' {} </dev/null >/dev/null 2>>'{}' &\necho $! > '{}'\n",
        args.join(" "),
        world.path("scheduler.log").display(),
        world.path("scheduler.pid").display()
    )
}

fn script(world: &World, name: &str, text: &str) -> String {
    let file = world.path(name);
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
    file.display().to_string()
}

/// The guide's line, for this port and for two cycles instead of ten.
fn recipe(world: &World) -> String {
    let pid_file = world.path("scheduler.pid").display().to_string();
    let start = script(world, "start", &start_script(world));
    let kill = format!("#!/bin/sh\nkill -9 $(cat '{pid_file}')\n");
    let stop = script(world, "stop", &kill);
    let port = world.http_port;
    let directory = world.dir.display();
    format!(
        "set daemon 1\nset log {directory}/monit.log\nset pidfile {directory}/monit.pid\n\
         set statefile {directory}/monit.state\nset idfile {directory}/monit.id\n\
         check process aurora with pidfile {pid_file}\n\
         start program = \"{start}\"\nstop program = \"{stop}\"\n\
         if failed port {port} send \"GET /health HTTP/1.0\\r\\n\" expect \"OK\\n\" \
         with timeout 2 seconds for 2 cycles then restart\n"
    )
}

#[test]
fn monit_sees_a_healthy_scheduler_and_restarts_one_that_hangs() {
    let Some(monit) = monit() else {
        println!("skipped: the recipe for monit: monit is not installed");
        return;
    };
    let world = World::new("realmonit");
    let rc = script(&world, "monitrc", &recipe(&world));
    let started = Command::new(world.path("start")).status().unwrap();
    assert!(started.success());
    wait("the scheduler to lead", || {
        world.get("/leaderhealth").is_some_and(|(s, _)| s == 200)
    });
    let first = pid_in(&world).unwrap();
    let mut child = Command::new(monit)
        .args(["-I", "-v", "-c", &rc])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let log = || fs::read_to_string(world.path("monit.log")).unwrap_or_default();
    wait("monit to look three times", || {
        log().matches("successfully received: 'HTTP/1.").count() >= 3
    });
    let healthy = log();
    assert!(!healthy.contains("failed protocol test"), "{healthy}");
    assert_eq!(pid_in(&world), Some(first), "it was restarted");

    let pid = nix::unistd::Pid::from_raw(first);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    wait("monit to start another", || {
        pid_in(&world).is_some_and(|pid| pid != first)
    });
    assert!(log().contains("failed protocol test"));
    wait("the scheduler to lead again", || {
        world.get("/leaderhealth").is_some_and(|(s, _)| s == 200)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    kill_all_below(&world.dir);
}
