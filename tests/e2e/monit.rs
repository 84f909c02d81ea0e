//! Real monit with the recipe of the installation guide: it sees a healthy scheduler as healthy, under load
//! too, notices one that hangs or dies, and starts it again. And what the check says of a loop that is stuck.

use crate::job::{call, create, kill as kill_job, tasks};
use crate::world::{AURORA, World, kill_all_below, now, wait};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

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

/// The guide's line word for word, but for the port. A cycle is a second here.
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
         {}\n",
        GUIDE.replace("8081", &port.to_string())
    )
}

/// What the guide says, as it says it.
pub const GUIDE: &str = r#"if failed port 8081 send "GET /health HTTP/1.0\r\n" expect "OK\n" with timeout 2 seconds for 10 cycles then restart"#;

/// Everything that people and programs ask of a scheduler, from several sides at once, for some seconds.
fn load(world: &World) {
    let end = now() + Duration::from_secs(8);
    std::thread::scope(|scope| {
        for side in 0..6 {
            let world = world.view();
            scope.spawn(move || {
                let mut round = 0;
                while now() < end {
                    let name = format!("load{side}x{round}");
                    // No agent is there: they wait, and are tried again and again.
                    call(&world, &create(&name, 200, true, "true"), None);
                    tasks(&world);
                    for path in ["/vars", "/scheduler", "/pendingtasks", "/state"] {
                        world.get(path);
                    }
                    if round % 3 == 2 {
                        call(&world, &kill_job(&name), None);
                    }
                    round += 1;
                }
            });
        }
    });
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

    load(&world);
    let looks = |log: &str| log.matches("successfully received: 'HTTP/1.").count();
    let before = looks(&log());
    wait("monit to look again", || looks(&log()) > before);
    assert_eq!(
        pid_in(&world),
        Some(first),
        "load made it look sick: {}",
        log()
    );

    let mut last = first;
    for signal in [Signal::SIGKILL, Signal::SIGSTOP] {
        nix::sys::signal::kill(Pid::from_raw(last), signal).unwrap();
        wait("monit to start another", || {
            pid_in(&world).is_some_and(|pid| pid != last)
        });
        wait("the scheduler to lead again", || {
            world.get("/leaderhealth").is_some_and(|(s, _)| s == 200)
        });
        last = pid_in(&world).unwrap();
    }
    assert!(log().contains("failed protocol test"));
    child.kill().unwrap();
    child.wait().unwrap();
    kill_all_below(&world.dir);
}

/// Holds one thread of a process until its input ends.
const HOLD: &str = r"
import ctypes, os, sys
pid, name = sys.argv[1:]
for thread in os.listdir('/proc/%s/task' % pid):
    with open('/proc/%s/task/%s/comm' % (pid, thread)) as comm:
        if comm.read().strip() == name:
            break
else:
    sys.exit('no thread ' + name)
libc = ctypes.CDLL(None, use_errno=True)
SEIZE, INTERRUPT = 0x4206, 0x4207
for request in SEIZE, INTERRUPT:
    if libc.ptrace(request, int(thread), None, None) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
print('held', flush=True)
sys.stdin.read()
";

#[test]
fn a_stuck_loop_is_sick_while_its_http_port_lives_and_well_when_it_goes_on() {
    let mut world = World::new("stuck");
    world.start_all();
    let is = |path: &str, status: u16| world.get(path).is_some_and(|(s, _)| s == status);
    assert!(is("/health", 200) && is("/livez", 200));
    let pid = world.scheduler_pid().to_string();
    let mut holder = Command::new("python3")
        .args(["-c", HOLD, &pid, "scheduler"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut out = BufReader::new(holder.stdout.take().unwrap());
    out.read_line(&mut said).unwrap();
    if said != "held\n" {
        println!("skipped: a stuck loop: this user may not trace processes");
        holder.wait().unwrap();
        return;
    }
    wait("the check to tell", || is("/health", 503));
    assert_eq!(world.get("/health").unwrap().1, "SICK\n");
    assert!(is("/livez", 503));
    assert!(is("/vars", 200), "the port lives");
    let (status, verbose) = world.get("/readyz?verbose").unwrap();
    assert_eq!(status, 503);
    assert!(verbose.contains("[-]loop not ready"), "{verbose}");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    wait("it to be well again", || is("/health", 200));
    assert!(is("/readyz", 200));
}
