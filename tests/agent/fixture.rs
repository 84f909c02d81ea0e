//! A directory of one test, and one task in it that is run without an agent.

use aurora::base::clock::{self, Instant};
use aurora::executor::checkpoint::{
    ProcessEvent, ProcessRecord, Record, Tail, TaskRecord, TaskStateRecord,
};
use aurora::executor::control::Command as Control;
use aurora::executor::order::{Identity, Order};
use aurora::executor::{flags, os::proc, paths};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Nothing in these tests takes longer on a machine that works.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A fresh directory, removed at the end.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!(
            "aurora-agent-{}-{number}-{name}",
            std::process::id()
        ));
        fs::create_dir_all(&path).unwrap();
        Self(fs::canonicalize(path).unwrap())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

/// The executor that cargo built, unless another one is to be tested.
pub fn executor_path() -> PathBuf {
    std::env::var_os("AURORA_TEST_EXECUTOR").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_aurora-executor")),
        PathBuf::from,
    )
}

/// Waits until `check` gives something. What it asks of the system has no event to wait for.
pub fn until<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline: Instant = clock::now() + PATIENCE;
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(clock::now() < deadline, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Says by name that a test is not run, and why.
pub fn skip(test: &str, why: &str) {
    // Not by a macro, whose output the test runner keeps to itself.
    let line = format!("skipped: {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// The processes that the sandbox of a task leads to: by its directory in their environment.
pub fn processes_of(sandbox: &Path) -> Vec<i32> {
    let marker = format!("HOME={}", sandbox.display()).into_bytes();
    let is_marked = |pid: i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|b| *b == 0).any(|it| it == marker)
    };
    let all = proc::all().unwrap().into_iter();
    all.filter(|it| !it.is_zombie && is_marked(it.pid))
        .map(|it| it.pid)
        .collect()
}

/// A task's directory, with an executor started on it by hand.
pub struct Task {
    pub directory: PathBuf,
    flags: Vec<String>,
    control: Option<UnixStream>,
}

pub fn own_identity() -> Identity {
    Identity {
        user: "tester".to_owned(),
        uid: nix::unistd::getuid().as_raw(),
        gid: nix::unistd::getgid().as_raw(),
        groups: Vec::new(),
        home: "/".to_owned(),
        is_switched: false,
    }
}

impl Task {
    pub fn prepare(root: &Path, data: &str, change: impl FnOnce(&mut Order)) -> Self {
        let directory = root.join("task");
        fs::create_dir_all(directory.join(paths::SANDBOX)).unwrap();
        let mut order = Order {
            task: "task".to_owned(),
            role: "tester".to_owned(),
            environment: "test".to_owned(),
            job: "job".to_owned(),
            instance: 2,
            executor: "AuroraExecutor".to_owned(),
            data: data.to_owned(),
            cpus_milli: 100,
            ram_mb: 16,
            disk_mb: 16,
            gpus: 0,
            ports: vec![("http".to_owned(), 31_337)],
            metadata: Vec::new(),
            hostname: "one.example".to_owned(),
            identity: own_identity(),
            kill_wait_ms: 60_000,
            taken_at_ms: 0,
            flags: String::new(),
            wrapper: None,
            wrapper_files: Vec::new(),
            uris: Vec::new(),
        };
        change(&mut order);
        fs::write(directory.join(paths::ORDER), order.encode()).unwrap();
        Self {
            directory,
            flags: flags::split(&order.flags).unwrap(),
            control: None,
        }
    }

    pub fn start(&mut self) -> Output {
        self.start_with("TEST", "1")
    }

    pub fn start_with(&mut self, name: &str, value: &str) -> Output {
        self.start_by(&[], name, value)
    }

    /// Started by another program, which becomes the executor.
    pub fn start_by(&mut self, program: &[&str], name: &str, value: &str) -> Output {
        let journal = File::create(self.directory.join(paths::JOURNAL)).unwrap();
        let executor = executor_path();
        let mut words = program.iter().map(OsStr::new).chain([executor.as_os_str()]);
        Command::new(words.next().unwrap())
            .args(words)
            .args(&self.flags)
            .arg(format!("--task-dir={}", self.directory.display()))
            .env(name, value)
            .stderr(journal)
            .output()
            .unwrap()
    }

    pub fn run(root: &Path, data: &str, change: impl FnOnce(&mut Order)) -> Self {
        let mut task = Self::prepare(root, data, change);
        let output = task.start();
        assert!(output.status.success(), "{}", task.journal());
        task
    }

    pub fn journal(&self) -> String {
        fs::read_to_string(self.directory.join(paths::JOURNAL)).unwrap_or_default()
    }

    pub fn records(&self) -> Vec<Record> {
        let file = File::open(self.directory.join(paths::CHECKPOINT)).unwrap();
        Tail::default().poll(&file).unwrap()
    }

    pub fn states(&self) -> Vec<TaskRecord> {
        let task = |record| match record {
            Record::Task(task) => Some(task),
            Record::Header(_) | Record::Process(_) => None,
        };
        self.records().into_iter().filter_map(task).collect()
    }

    pub fn processes(&self) -> Vec<ProcessRecord> {
        let process = |record| match record {
            Record::Process(process) => Some(process),
            Record::Header(_) | Record::Task(_) => None,
        };
        self.records().into_iter().filter_map(process).collect()
    }

    pub fn executor(&self) -> i32 {
        match self.records().first() {
            Some(Record::Header(header)) => header.pid,
            other => panic!("{other:?}"),
        }
    }

    /// Waits for a record, woken by the executor's nudges; the end of the stream ends the wait.
    pub fn wait<T>(&mut self, what: &str, check: impl Fn(&Self) -> Option<T>) -> T {
        let control = match self.control.take() {
            Some(control) => Some(control),
            None => UnixStream::connect(self.directory.join(paths::CONTROL)).ok(),
        };
        loop {
            if let Some(value) = check(self) {
                self.control = control;
                return value;
            }
            let Some(mut stream) = control.as_ref() else {
                panic!("the executor is gone before {what}: {:?}", self.records());
            };
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let read = stream.read(&mut [0; 64]);
            let is_alive = read.as_ref().is_ok_and(|read| *read > 0);
            if !is_alive {
                let value = check(self);
                return value.unwrap_or_else(|| {
                    panic!("{what} did not come ({read:?}): {:?}", self.records())
                });
            }
        }
    }

    pub fn wait_for(&mut self, state: TaskStateRecord) -> TaskRecord {
        self.wait(&format!("{state:?}"), |task| {
            task.states().into_iter().find(|it| it.state == state)
        })
    }

    pub fn wait_for_event(&mut self, process: &str, event: impl Fn(&ProcessEvent) -> bool) {
        self.wait(process, |task| {
            let mut all = task.processes().into_iter();
            all.find(|it| it.process == process && event(&it.event))
        });
    }

    pub fn kill(&mut self) {
        let mut stream = UnixStream::connect(self.directory.join(paths::CONTROL)).unwrap();
        stream.write_all(&Control::Kill.encode()).unwrap();
        self.control = Some(stream);
    }

    pub fn sandbox(&self) -> PathBuf {
        self.directory.join(paths::SANDBOX)
    }

    pub fn log(&self, process: &str, run: u32, stream: &str) -> String {
        let path = self
            .sandbox()
            .join(format!(".logs/{process}/{run}/{stream}"));
        String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
    }

    pub fn assert_nothing_is_left(&self) {
        assert_eq!(processes_of(&self.sandbox()), Vec::<i32>::new());
    }
}
