//! A whole scheduler in this process: API, engine and a real log that syncs, over machines that are
//! played.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark may stop at the first surprise"
)]

use super::figures;
use aurora::api::{Api, ApiConfig, BINARY};
use aurora::base::clock::wall;
use aurora::base::rng::Rng;
use aurora::driver::{AgentOffer, Driver, DriverCommand, DriverEvent};
use aurora::model::{TaskReport, TaskState};
use aurora::replog::{self, LogEvent, LogHandle, LogOptions};
use aurora::rt::{self, Fiber, Shutdown, ShutdownTrigger};
use aurora::scheduler::{self, EngineOptions, Handle, RunError};
use aurora::thrift::api::{Response, ResponseCode};
use aurora::thrift::{Protocol, Request, message};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A directory that is gone in the end.
#[derive(Debug)]
pub struct Place(pub PathBuf);

impl Place {
    /// An empty one, under `--dir` or the directory for temporary files.
    pub fn new(name: &str) -> Self {
        let given = std::env::args().find_map(|a| a.strip_prefix("--dir=").map(PathBuf::from));
        let dir = given.unwrap_or_else(std::env::temp_dir);
        let dir = dir.join(format!("aurora-bench-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&dir));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Machines that start whatever they are told to at once.
#[derive(Debug)]
pub struct Machines {
    offers: Vec<AgentOffer>,
    events: async_channel::Sender<DriverEvent>,
    /// Whether they report that tasks run.
    reports: bool,
    waiting: Mutex<Vec<DriverEvent>>,
    ended: AtomicBool,
}

impl Machines {
    /// What they report leaves by a thread of its own, as it does on a network.
    fn carry(self: Arc<Self>) {
        while !self.ended.load(Ordering::Relaxed) {
            let waiting = std::mem::take(&mut *self.waiting.lock().unwrap());
            if waiting.is_empty() {
                std::thread::sleep(Duration::from_millis(1));
            }
            for event in waiting {
                if self.events.send_blocking(event).is_err() {
                    return;
                }
            }
        }
    }
}

impl Driver for Machines {
    fn command(&self, command: DriverCommand) {
        if let DriverCommand::Launch { agent, order, .. } = command
            && self.reports
        {
            let report = TaskReport {
                task: order.task,
                sequence: 1,
                state: TaskState::Running,
                message: None,
                at: wall(),
            };
            let event = DriverEvent::Status { agent, report };
            self.waiting.lock().unwrap().push(event);
        }
    }

    fn lead(&self, _ballot: u64) {
        let up = |offer: &AgentOffer| DriverEvent::AgentUp {
            offer: offer.clone(),
            tasks: Vec::new(),
        };
        let mut waiting = self.waiting.lock().unwrap();
        waiting.extend(self.offers.iter().map(up));
    }

    fn set_leader(&self, _leader: Option<String>) {}

    fn stand_down(&self) {}
}

/// A scheduler that leads.
pub struct Live {
    /// Its services.
    pub api: Arc<Api>,
    /// Its tables and view.
    pub handle: Handle,
    /// Its log.
    pub log: LogHandle,
    /// Its machines.
    pub machines: Arc<Machines>,
    trigger: ShutdownTrigger,
    running: Fiber<Result<(), RunError>>,
}

fn log_options(path: &Path) -> LogOptions {
    LogOptions {
        path: path.to_owned(),
        quorum_size: 1,
        empty_notice_interval: Duration::from_secs(60),
        feature_level_delay: Duration::ZERO,
        peers: Vec::new(),
        address: String::new(),
    }
}

/// Opens a log alone.
pub fn open(path: &Path) -> (LogHandle, async_channel::Receiver<LogEvent>) {
    replog::open(log_options(path), None, Rng::from_os()).unwrap()
}

impl Live {
    /// Makes a log in `path` and starts on it.
    pub fn new(path: &Path, engine: EngineOptions, offers: Vec<AgentOffer>, reports: bool) -> Self {
        replog::initialize(path, &mut Rng::from_os()).unwrap();
        Self::start(path, engine, offers, reports)
    }

    /// Starts on a log that is there; returns when it serves and knows its machines.
    pub fn start(
        path: &Path,
        engine: EngineOptions,
        offers: Vec<AgentOffer>,
        reports: bool,
    ) -> Self {
        let (log, log_events) = open(path);
        let (events, driver_events) = async_channel::bounded(1_024);
        let hosts = offers.len();
        let machines = Arc::new(Machines {
            offers,
            events,
            reports,
            waiting: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let carried = Arc::clone(&machines);
        std::thread::spawn(move || carried.carry());
        let (trigger, shutdown) = Shutdown::new();
        let options = scheduler::Options {
            engine,
            queue: 4_096,
            address: "localhost:1".into(),
            agents_address: "localhost:2".into(),
            max_leading: Duration::from_secs(1_000_000),
            awaits_master: None,
            backups: None,
            coordinators: None,
        };
        let driver = Arc::clone(&machines);
        let (handle, running) = scheduler::start(
            options,
            log.clone(),
            log_events,
            driver,
            driver_events,
            shutdown,
        );
        let api = Arc::new(Api::new(handle.clone(), ApiConfig::default()));
        let live = Self {
            api,
            handle,
            log,
            machines,
            trigger,
            running,
        };
        live.wait_until(|live| rt::block_on(live.handle.read()).is_ok());
        live.wait_until(|live| live.handle.tables().hosts().count() >= hosts);
        live
    }

    /// Waits by looking again and again.
    pub fn wait_until(&self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Stops it, and waits until its files are closed.
    pub fn stop(self) {
        self.trigger.fire();
        self.machines.ended.store(true, Ordering::Relaxed);
        rt::block_on(async {
            self.running.join().await.unwrap();
            drop(self.handle);
            self.log.close().await;
        });
    }
}

/// One call as the HTTP port would make it, between bytes and bytes. It must be answered OK.
pub async fn call(api: &Api, request: Request) -> Response {
    let name = request.name();
    let body = message::encode_call(Protocol::Binary, 1, &request);
    let reply = api.serve(Some(BINARY), Some(BINARY), None, &body).await;
    let reply = message::decode_reply(Protocol::Binary, &reply.body).unwrap();
    let response = reply.outcome.unwrap();
    if response.response_code != Some(ResponseCode::Ok) {
        // Callers are threads, and whoever waits for what they ask would wait for ever.
        drop(writeln!(
            std::io::stderr(),
            "{name} was refused: {response:?}"
        ));
        std::process::abort();
    }
    response
}

/// The median time of a small write with `fdatasync` in `dir`, in milliseconds.
pub fn probe_ms(dir: &Path) -> f64 {
    let mut file = File::create(dir.join("probe")).unwrap();
    let mut times: Vec<f64> = (0..100)
        .map(|_| {
            let start = figures::now();
            file.write_all(&[7; 256]).unwrap();
            file.sync_data().unwrap();
            start.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    figures::median(&mut times)
}

/// What this process holds of memory, in megabytes.
pub fn rss_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kb = line.unwrap().trim().trim_end_matches(" kB");
    kb.trim().parse::<f64>().unwrap() / 1_024.0
}
