//! `aurora quickstart`: a scheduler, an agent and a first job on this machine, with nothing configured.
//!
//! Everything lives in one directory and ends with the command: the daemons follow their parent, and the
//! agent kills its tasks when it stops.

use super::exit::Failure;
use super::flags::{QUICKSTART_FLAGS, Values, help};
use super::log_tool;
use async_channel::Receiver;
use indicatif::{ProgressBar, ProgressStyle};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const EXAMPLE: &str = include_str!("../../packaging/examples/hello_world.aurora");
const MARKER: &str = ".aurora-quickstart";
const STEP: Duration = Duration::from_millis(50);
/// How long a daemon may take until it serves, and a stop until it is enforced, in steps.
const STEPS_MAX: u32 = 600;

/// Runs the command.
///
/// # Errors
///
/// One line that says what is in the way. Nothing that was started is left running.
pub fn run(
    args: &[String],
    out: &mut dyn Write,
    signals: &Receiver<Signal>,
) -> Result<(), Failure> {
    let flags = Values::parse(QUICKSTART_FLAGS, args)?;
    if flags.help {
        let purpose = "Starts a scheduler, an agent and a first job on this machine.";
        write!(
            out,
            "{}",
            help("aurora quickstart", purpose, QUICKSTART_FLAGS)
        )?;
        return Ok(());
    }
    let plan = Plan::new(&flags)?;
    let mut session = Session {
        plan,
        signals,
        children: Vec::new(),
        bar: progress(),
    };
    let result = session.start_and_show(out, flags.is_on("once"));
    session.bar.finish_and_clear();
    let stopped = session.stop();
    result.and(stopped)
}

fn progress() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar
}

/// What is to be started, all checked.
struct Plan {
    dir: PathBuf,
    program: PathBuf,
    user: String,
    is_root: bool,
    http_port: u16,
    peer_port: u16,
    observer_port: u16,
}

impl Plan {
    fn new(flags: &Values) -> Result<Self, Failure> {
        let uid = Uid::effective();
        let user = User::from_uid(uid)
            .ok()
            .flatten()
            .map(|u| u.name)
            .ok_or_else(|| {
                Failure::new(format!(
                    "user id {uid} has no name in the user database; run as a known user"
                ))
            })?;
        let program = std::env::current_exe()
            .map_err(|e| Failure::new(format!("cannot find this program's own file: {e}")))?;
        let plan = Self {
            dir: directory(flags)?,
            program,
            user,
            is_root: uid.is_root(),
            http_port: flags.count("http_port")?,
            peer_port: flags.count("peer_port")?,
            observer_port: flags.count("observer_port")?,
        };
        check_python()?;
        for (port, flag) in [
            (plan.http_port, "http_port"),
            (plan.peer_port, "peer_port"),
            (plan.observer_port, "observer_port"),
        ] {
            check_port(port, flag)?;
        }
        prepare(&plan.dir)?;
        Ok(plan)
    }

    fn job(&self) -> String {
        format!("local/{}/devel/hello_world", self.user)
    }

    fn client(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .env("AURORA_CONFIG_ROOT", &self.dir)
            .process_group(0)
            .stdin(Stdio::null());
        command
    }
}

fn directory(flags: &Values) -> Result<PathBuf, Failure> {
    if let Some(dir) = flags.text("dir") {
        return std::path::absolute(dir)
            .map_err(|e| Failure::new(format!("-dir={dir} is no usable path: {e}")));
    }
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|h| Path::new(&h).join(".local/state"));
    let base = state.or(home).filter(|p| p.is_absolute());
    let base = base.ok_or_else(|| {
        Failure::new(
            "neither HOME nor XDG_STATE_HOME is set; name a directory with -dir=DIR".into(),
        )
    })?;
    Ok(base.join("aurora/quickstart"))
}

fn check_python() -> Result<(), Failure> {
    let python = std::env::var_os("AURORA_PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = Command::new(&python);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) | Err(_) => Err(Failure::new(format!(
            "{} cannot be run; .aurora files are Python: install python3 and try again",
            python.display()
        ))),
    }
}

fn check_port(port: u16, flag: &str) -> Result<(), Failure> {
    if port == 0 {
        // The system would choose one, and nobody would find what listens on it.
        return Err(Failure::new(format!("-{flag}=0: choose a port from 1 on")));
    }
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::new(format!(
            "port {port} cannot be used ({error}); free it, or choose another one with -{flag}=PORT"
        ))),
    }
}

/// Makes the directory, or empties it if an earlier run left it. Never touches another's.
fn prepare(dir: &Path) -> Result<(), Failure> {
    let failed = |what: &str, error: &std::io::Error| {
        Failure::new(format!(
            "cannot {what} {}: {error}; name a writable directory with -dir=DIR",
            dir.display()
        ))
    };
    fs::create_dir_all(dir).map_err(|e| failed("create", &e))?;
    let marker = dir.join(MARKER);
    let mut entries = fs::read_dir(dir).map_err(|e| failed("read", &e))?;
    if entries.next().is_some() && !marker.exists() {
        return Err(Failure::new(format!(
            "{} holds something that quickstart did not make; name another directory with -dir=DIR",
            dir.display()
        )));
    }
    let file = fs::File::create(&marker).map_err(|e| failed("write to", &e))?;
    // Held until this process ends: two runs in one directory would delete each other's files.
    match nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock) {
        Ok(lock) => drop(Box::leak(Box::new(lock))),
        Err(_) => {
            return Err(Failure::new(format!(
                "another quickstart runs in {}; stop it, or name another directory with -dir=DIR",
                dir.display()
            )));
        }
    }
    for entry in fs::read_dir(dir).map_err(|e| failed("read", &e))? {
        let path = entry.map_err(|e| failed("read", &e))?.path();
        if path == marker {
            continue;
        }
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(|e| failed("empty", &e))?;
    }
    Ok(())
}

struct Session<'a> {
    plan: Plan,
    signals: &'a Receiver<Signal>,
    /// In the order they were started.
    children: Vec<(&'static str, Child)>,
    bar: ProgressBar,
}

impl Session<'_> {
    fn start_and_show(&mut self, out: &mut dyn Write, once: bool) -> Result<(), Failure> {
        self.write_files()?;
        self.start_scheduler()?;
        self.start_agent()?;
        self.create_job()?;
        if once {
            self.say("killing the job again");
            let job = self.plan.job();
            self.client("kill the job", &["job", "killall", &job])?;
            self.bar.finish_and_clear();
            writeln!(out, "{job} was RUNNING and is killed again")?;
            return Ok(());
        }
        self.bar.finish_and_clear();
        self.welcome(out)?;
        self.wait_for_the_end()
    }

    fn say(&self, message: &str) {
        self.bar.set_message(message.to_owned());
        self.bar.tick();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.plan.dir.join(name)
    }

    fn write_files(&self) -> Result<(), Failure> {
        self.say("initialising the log");
        let (mut said, mut complaint) = (Vec::new(), Vec::new());
        let path = format!("--path={}", self.path("db").display());
        let args = ["initialize".to_owned(), path];
        if log_tool::run(&args, &mut said, &mut complaint) != 0 {
            let text = String::from_utf8_lossy(&complaint).trim().to_owned();
            return Err(Failure::new(text));
        }
        let clusters = serde_json::json!([{
            "name": "local",
            "scheduler_uri": format!("http://127.0.0.1:{}", self.plan.http_port),
            "slave_root": self.path("agent"),
            "slave_run_directory": "latest",
            "auth_mechanism": "UNAUTHENTICATED",
        }]);
        fs::write(self.path("clusters.json"), format!("{clusters:#}\n"))?;
        fs::write(self.path("hello_world.aurora"), EXAMPLE)?;
        Ok(())
    }

    fn start(&mut self, name: &'static str, args: &[String]) -> Result<(), Failure> {
        let log = fs::File::create(self.path(&format!("{name}.log")))?;
        let child = Command::new(&self.plan.program)
            .arg(name)
            .args(args)
            .arg("-exit_with_parent=true")
            // A terminal's Ctrl-C goes to a whole group. It is for us: who we started is stopped by us,
            // in order, and does not seem to have died by itself.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| Failure::new(format!("cannot start the {name}: {e}")))?;
        self.children.push((name, child));
        Ok(())
    }

    fn start_scheduler(&mut self) -> Result<(), Failure> {
        self.say("starting the scheduler");
        let args = [
            "-cluster_name=local".to_owned(),
            "-ip=127.0.0.1".to_owned(),
            "-hostname=127.0.0.1".to_owned(),
            format!("-http_port={}", self.plan.http_port),
            format!("-peer_port={}", self.plan.peer_port),
            format!("-native_log_file_path={}", self.path("db").display()),
            format!("-agent_key_file={}", self.path("agent.key").display()),
        ];
        self.start("scheduler", &args)?;
        let port = self.plan.http_port;
        self.wait("the scheduler to lead", || {
            super::probe::status(port, "/leaderhealth") == Some(200)
        })
    }

    fn start_agent(&mut self) -> Result<(), Failure> {
        self.say("starting the agent");
        let mut args = vec![
            "-hostname=127.0.0.1".to_owned(),
            "-ip=127.0.0.1".to_owned(),
            format!("-observer_port={}", self.plan.observer_port),
            format!("-scheduler=127.0.0.1:{}", self.plan.peer_port),
            format!("-work_dir={}", self.path("agent").display()),
            format!("-agent_key_file={}", self.path("agent.key").display()),
            "-kill_tasks_on_exit=true".to_owned(),
        ];
        if self.plan.is_root {
            args.push("-allow_root_tasks=true".to_owned());
        }
        self.start("agent", &args)?;
        let port = self.plan.observer_port;
        self.wait("the agent to serve", || {
            super::probe::status(port, "/health") == Some(200)
        })
    }

    fn create_job(&mut self) -> Result<(), Failure> {
        let job = self.plan.job();
        let file = self.path("hello_world.aurora").display().to_string();
        self.say(&format!("creating {job} and waiting until it is RUNNING"));
        self.client(
            "create the job",
            &["job", "create", "--wait-until=RUNNING", &job, &file],
        )
    }

    /// Waits until `done`, a daemon has died, a signal came, or too long.
    fn wait(&mut self, what: &str, done: impl Fn() -> bool) -> Result<(), Failure> {
        for _ in 0..STEPS_MAX {
            if done() {
                return Ok(());
            }
            self.check_children()?;
            self.check_signal()?;
            self.bar.tick();
            std::thread::sleep(STEP);
        }
        Err(Failure::new(format!(
            "waited too long for {what}; see {}",
            self.plan.dir.display()
        )))
    }

    fn check_signal(&self) -> Result<(), Failure> {
        match self.signals.try_recv() {
            Ok(_) => Err(Failure::new("interrupted".into())),
            Err(_) => Ok(()),
        }
    }

    fn check_children(&mut self) -> Result<(), Failure> {
        for (name, child) in &mut self.children {
            if let Some(status) = child.try_wait()? {
                let log = self.plan.dir.join(format!("{name}.log"));
                let last = last_line(&log).unwrap_or_default();
                return Err(Failure::new(format!(
                    "the {name} has ended ({status}): {last}"
                )));
            }
        }
        Ok(())
    }

    /// Runs the client to its end, watching for signals and for daemons that die.
    fn client(&mut self, what: &str, args: &[&str]) -> Result<(), Failure> {
        let log = self.path("client.log");
        let file = fs::File::create(&log)?;
        let mut command = self.plan.client(args);
        let mut child = command.stdout(file.try_clone()?).stderr(file).spawn()?;
        loop {
            if let Some(status) = child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                let last = last_line(&log).unwrap_or_default();
                return Err(Failure::new(format!("could not {what}: {last}")));
            }
            if let Err(failure) = self.check_children().and_then(|()| self.check_signal()) {
                // It may have ended by itself meanwhile.
                if child.kill().is_ok() {
                    child.wait()?;
                }
                return Err(failure);
            }
            self.bar.tick();
            std::thread::sleep(STEP);
        }
    }

    fn welcome(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let job = self.plan.job();
        let here = std::env::current_dir().unwrap_or_default();
        let program = match self.plan.program.strip_prefix(&here) {
            Ok(short) => Path::new(".").join(short),
            Err(_) => self.plan.program.clone(),
        };
        let program = program.display();
        writeln!(out, "{job} is RUNNING\n")?;
        writeln!(
            out,
            "  web      http://127.0.0.1:{}/scheduler",
            self.plan.http_port
        )?;
        writeln!(out, "  files    {}\n", self.plan.dir.display())?;
        writeln!(out, "Try next, in another terminal:\n")?;
        writeln!(
            out,
            "  export AURORA_CONFIG_ROOT='{}'",
            self.plan.dir.display()
        )?;
        writeln!(out, "  {program} job status {job}")?;
        writeln!(out, "  {program} job restart {job}")?;
        writeln!(out, "  {program} job killall {job}\n")?;
        writeln!(out, "Ctrl-C stops everything that was started here.")?;
        out.flush()?;
        Ok(())
    }

    fn wait_for_the_end(&mut self) -> Result<(), Failure> {
        loop {
            self.check_children()?;
            if self.signals.try_recv().is_ok() {
                return Ok(());
            }
            std::thread::sleep(STEP);
        }
    }

    /// Stops the daemons, the last one first: the agent ends its tasks before it goes.
    fn stop(&mut self) -> Result<(), Failure> {
        let mut result = Ok(());
        while let Some((name, mut child)) = self.children.pop() {
            if let Err(error) = stop_child(&mut child) {
                result = Err(Failure::new(format!("cannot stop the {name}: {error}")));
            }
        }
        result
    }
}

fn stop_child(child: &mut Child) -> std::io::Result<()> {
    if child.try_wait()?.is_some() {
        return Ok(());
    }
    if let Ok(pid) = i32::try_from(child.id()) {
        kill(Pid::from_raw(pid), Signal::SIGTERM)?;
    }
    for _ in 0..STEPS_MAX {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        std::thread::sleep(STEP);
    }
    child.kill()?;
    child.wait().map(|_| ())
}

/// The last line of a file that says something.
fn last_line(path: &Path) -> Option<String> {
    let mut file = fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(4096)))
        .ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.lines()
        .rev()
        .find(|l| !l.trim().is_empty())
        .map(|l| l.trim().to_owned())
}
