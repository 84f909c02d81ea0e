//! One machine's worth of real programs in a directory of their own.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub const AURORA: &str = env!("CARGO_BIN_EXE_aurora");
/// What any single wait may take before the test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A scheduler and an agent, started and killed at will. All ends when it is dropped.
pub struct World {
    pub dir: PathBuf,
    pub http_port: u16,
    pub peer_port: u16,
    pub observer_port: u16,
    /// The HTTP ports that a call tries one after the other, where there are several schedulers.
    pub doors: Vec<u16>,
    scheduler: Option<Child>,
    agent: Option<Child>,
    is_view: bool,
}

impl World {
    /// An initialised log and nothing running.
    pub fn new(name: &str) -> Self {
        let world = Self::uninitialised(name);
        let out = world.log_tool(&[
            "initialize",
            &format!("--path={}", world.path("db").display()),
        ]);
        assert!(out.status.success(), "initialize: {}", text(&out));
        world
    }

    /// A directory and nothing in it.
    pub fn uninitialised(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("aurora-e2e-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&dir));
        fs::create_dir_all(&dir).unwrap();
        let [http_port, peer_port, observer_port] = free_ports();
        let world = Self {
            dir,
            http_port,
            peer_port,
            observer_port,
            doors: vec![http_port],
            scheduler: None,
            agent: None,
            is_view: false,
        };
        let clusters =
            format!(r#"[{{"name": "local", "scheduler_uri": "http://127.0.0.1:{http_port}",}}]"#);
        fs::write(world.path("clusters.json"), clusters).unwrap();
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The log tool, under its Mesos name.
    pub fn log_tool(&self, args: &[&str]) -> Output {
        Command::new(AURORA)
            .arg("log")
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// The client, as a person would call it.
    pub fn client(&self, args: &[&str]) -> Output {
        let mut command = Command::new(AURORA);
        command
            .args(args)
            .env("AURORA_CONFIG_ROOT", &self.dir)
            .stdin(Stdio::null());
        command.output().unwrap()
    }

    pub fn scheduler_args(&self) -> Vec<String> {
        vec![
            "scheduler".to_owned(),
            "-cluster_name=local".to_owned(),
            "-ip=127.0.0.1".to_owned(),
            "-hostname=127.0.0.1".to_owned(),
            format!("-http_port={}", self.http_port),
            format!("-peer_port={}", self.peer_port),
            format!("-native_log_file_path={}", self.path("db").display()),
            format!("-agent_key_file={}", self.path("agent.key").display()),
            "-empty_notice_interval=1secs".to_owned(),
            "-unreachable_agent_grace=5mins".to_owned(),
            "-exit_with_parent=true".to_owned(),
        ]
    }

    /// Starts a program whose log is `name`.log.
    pub fn spawn(&self, program: &Path, name: &str, args: &[String]) -> Child {
        self.start_program(program, name, args)
    }

    pub fn agent_args(&self) -> Vec<String> {
        vec![
            "agent".to_owned(),
            "-hostname=127.0.0.1".to_owned(),
            "-ip=127.0.0.1".to_owned(),
            format!("-observer_port={}", self.observer_port),
            format!("-scheduler=127.0.0.1:{}", self.peer_port),
            format!("-work_dir={}", self.path("agent").display()),
            format!("-agent_key_file={}", self.path("agent.key").display()),
            "-resources=cpus:256;mem:65536;disk:65536;ports:[31000-32000]".to_owned(),
            "-allow_root_tasks=true".to_owned(),
            "-exit_with_parent=true".to_owned(),
        ]
    }

    fn start(&self, name: &str, args: &[String]) -> Child {
        self.start_program(Path::new(AURORA), name, args)
    }

    fn start_program(&self, program: &Path, name: &str, args: &[String]) -> Child {
        let log = self.path(&format!("{name}.log"));
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    pub fn start_scheduler(&mut self) {
        assert!(self.scheduler.is_none(), "the scheduler runs already");
        self.scheduler = Some(self.start("scheduler", &self.scheduler_args()));
    }

    pub fn start_agent(&mut self) {
        self.start_agent_as(self.agent_args());
    }

    pub fn start_agent_as(&mut self, args: Vec<String>) {
        assert!(self.agent.is_none(), "the agent runs already");
        self.agent = Some(self.start("agent", &args));
    }

    /// Both, and waits until the scheduler leads.
    pub fn start_all(&mut self) {
        self.start_scheduler();
        self.start_agent();
        self.wait_for_leader();
    }

    pub fn wait_for_leader(&mut self) {
        wait("the scheduler to lead", || {
            self.get("/leaderhealth").is_some_and(|(s, _)| s == 200)
        });
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill_scheduler(&mut self) {
        if let Some(mut child) = self.scheduler.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGKILL, and waits until it is gone. Its tasks run on.
    pub fn kill_agent(&mut self) {
        if let Some(mut child) = self.agent.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Both processes, for a test that ends them itself.
    pub fn take(&mut self) -> (Child, Child) {
        (self.scheduler.take().unwrap(), self.agent.take().unwrap())
    }

    /// The process of the scheduler.
    pub fn scheduler_pid(&self) -> u32 {
        self.scheduler.as_ref().unwrap().id()
    }

    /// Waits for the scheduler to end by itself and gives its status.
    pub fn join_scheduler(&mut self) -> i32 {
        let mut child = self.scheduler.take().unwrap();
        wait("the scheduler to end", || {
            child.try_wait().unwrap().is_some()
        });
        child.wait().unwrap().code().unwrap_or(-1)
    }

    /// What the scheduler has logged.
    pub fn scheduler_log(&self) -> String {
        fs::read_to_string(self.path("scheduler.log")).unwrap_or_default()
    }

    /// GET from the scheduler; `None` if it does not answer.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let (status, _, body) = exchange(self.http_port, request.as_bytes()).ok()?;
        Some((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// POST to the scheduler; an error if the connection ended without a whole answer.
    pub fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<(u16, Vec<u8>)> {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        let mut last = std::io::Error::from(std::io::ErrorKind::NotConnected);
        for door in &self.doors {
            match self.knock(*door, &bytes) {
                Ok(answer) => return Ok(answer),
                // Nothing was done there.
                Err(error) if is_closed_door(&error) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// One request to one scheduler, or to the leader that it names.
    fn knock(&self, door: u16, bytes: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
        let (mut status, head, mut body) = exchange(door, bytes)?;
        if status == 307 {
            let leader = head.lines().find_map(|l| {
                let (name, value) = l.split_once(':')?;
                let location = name
                    .eq_ignore_ascii_case("location")
                    .then_some(value.trim())?;
                let rest = location.strip_prefix("http://127.0.0.1:")?;
                rest.split('/').next()?.parse().ok()
            });
            let leader = leader.unwrap_or_else(|| panic!("a redirection to nowhere: {head}"));
            (status, _, body) = exchange(leader, bytes)?;
        }
        // No leader is known, or it has moved on meanwhile.
        if self.doors.len() > 1 && [307, 503].contains(&status) {
            return Err(std::io::Error::from(std::io::ErrorKind::NotConnected));
        }
        Ok((status, body))
    }

    /// The same ports and files without the processes: for a thread that only calls.
    pub fn view(&self) -> Self {
        Self {
            dir: self.dir.clone(),
            http_port: self.http_port,
            peer_port: self.peer_port,
            observer_port: self.observer_port,
            doors: self.doors.clone(),
            scheduler: None,
            agent: None,
            is_view: true,
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.is_view {
            return;
        }
        self.kill_scheduler();
        self.kill_agent();
        kill_all_below(&self.dir);
        if std::thread::panicking() {
            println!("the files are kept in {}", self.dir.display());
            for name in ["scheduler.log", "agent.log"] {
                let log = fs::read_to_string(self.path(name)).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                println!("-- the end of {name}:");
                for line in &lines[lines.len().saturating_sub(40)..] {
                    println!("{line}");
                }
            }
        } else {
            drop(fs::remove_dir_all(&self.dir));
        }
    }
}

/// Both streams of a program as text.
pub fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// Looks again until `done`, or fails the test.
pub fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let end = now() + PATIENCE;
    while !done() {
        assert!(now() < end, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The clock of the tests.
#[expect(
    clippy::disallowed_methods,
    reason = "tests of real processes run in real time"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// A port that nobody has.
pub fn free_port() -> u16 {
    let [port] = free_ports();
    port
}

/// Whether the request has not reached anybody.
fn is_closed_door(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as K;
    [K::NotConnected, K::ConnectionRefused].contains(&error.kind())
}

pub fn free_ports<const N: usize>() -> [u16; N] {
    // Below the range from which outgoing connections take theirs: a daemon that is down for a moment
    // must find its port free again. All are held at once, so that none is given twice.
    // Another place for each call: tests run side by side, and ports are free until a daemon takes them.
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id() % 200 * 100 + CALLS.fetch_add(1, Ordering::Relaxed) * 30;
    let port = |i: u32| u16::try_from(10_000 + (first + i) % 20_000).unwrap();
    let candidates = (0..20_000).map(port);
    let held: Vec<TcpListener> = candidates
        .filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
        .take(N)
        .collect();
    std::array::from_fn(|i| held[i].local_addr().unwrap().port())
}

/// One request on one connection: status, head, body.
pub fn exchange(port: u16, request: &[u8]) -> std::io::Result<(u16, String, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let cut = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let end = answer
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .ok_or_else(cut)?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .ok_or_else(cut)?;
    let body = answer[end + 4..].to_vec();
    let length = head.lines().find_map(|l| {
        let (name, value) = l.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    if length.is_some_and(|l| l != body.len()) {
        return Err(cut());
    }
    Ok((status, head, body))
}

/// The processes whose command line or environment names `dir`.
pub fn processes_below(dir: &Path) -> Vec<u32> {
    let dir = dir.to_str().unwrap().as_bytes();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<u32>().ok())
        else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        let names = |file: &str| {
            let bytes = fs::read(entry.path().join(file)).unwrap_or_default();
            bytes.windows(dir.len()).any(|w| w == dir)
        };
        let cwd = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        if names("cmdline")
            || names("environ")
            || cwd.as_os_str().as_encoded_bytes().starts_with(dir)
        {
            found.push(pid);
        }
    }
    found
}

/// SIGKILL to everything that names `dir`, until nothing is left.
pub fn kill_all_below(dir: &Path) {
    for _ in 0..50 {
        let left = processes_below(dir);
        if left.is_empty() {
            return;
        }
        for pid in left {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
            // It may have ended by itself.
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap_or_default();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
