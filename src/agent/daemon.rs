//! The agent as a whole: host, session and pages, until it is told to stop.

use super::host::{HostConfig, HostError, TaskHost};
use super::observe::{self, Observer};
use super::resources::{self, ResourceSpec};
use super::session::{self, Drain, SessionConfig, Standing, Timing};
use crate::base::clock;
use crate::base::rng::Rng;
use crate::model::{AgentSession, Attribute};
use crate::net::keys::SecretKey;
use crate::rt::{self, Shutdown};
use futures_lite::FutureExt;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use thiserror::Error;

/// Pause between two looks at tasks that are being killed.
const KILL_PAUSE: Duration = Duration::from_millis(50);

/// Between two tries to take the observer's port.
const BIND_AGAIN: Duration = Duration::from_secs(2);

/// What killing all tasks may take beyond the host's own limits.
const KILL_SLACK: Duration = Duration::from_secs(10);

/// All that an agent is told.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// Where and how tasks run.
    pub host: HostConfig,
    /// The schedulers' peer addresses, `host:port`; never empty.
    pub schedulers: Vec<String>,
    /// The agents' key.
    pub key: SecretKey,
    /// What the machine gives to tasks; the rest is detected.
    pub resources: ResourceSpec,
    /// Properties of the machine beside `host`.
    pub attributes: Vec<Attribute>,
    /// Where the observer's pages are served, if at all.
    pub observer: Option<SocketAddr>,
    /// Whether the tasks are killed when the agent is told to stop. Otherwise they run on.
    pub kill_tasks_on_exit: bool,
    /// Whether the machine takes new tasks; may be turned at any time.
    pub drain: Drain,
    /// How patient the session is.
    pub timing: Timing,
}

/// Why an agent cannot start.
#[derive(Debug, Error)]
pub enum AgentError {
    /// The work directory cannot be used.
    #[error("{}", with_cause(.0))]
    Host(#[from] HostError),
    /// The work directory cannot be looked at.
    #[error("cannot look at {path}: {source}")]
    Place {
        /// The directory.
        path: String,
        /// Why.
        source: io::Error,
    },
}

fn with_cause(error: &HostError) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// Runs an agent until `shutdown`. Its tasks run on, unless the options say otherwise. Calls `ready` with
/// what it says of itself once it knows its tasks and takes orders.
///
/// # Errors
///
/// The work directory is unusable or in use.
pub async fn run(
    options: AgentOptions,
    shutdown: Shutdown,
    ready: impl FnOnce(&str),
) -> Result<(), AgentError> {
    let work_dir = options.host.work_dir.clone();
    let hostname = options.host.hostname.clone();
    let kill_limit = options.host.kill_wait + options.host.stop_timeout + KILL_SLACK;
    let (host, reports) = TaskHost::open(options.host)?;
    let (total, ports) = resources::detect(&options.resources, &work_dir);
    let session = AgentSession(Rng::from_os().next_u64());
    log::info!(
        "agent {} on {hostname} offers {} cpus, {} MB ram, {} MB disk, {} ports",
        host.agent_id(),
        total.cpus.as_cores(),
        total.ram_mb,
        total.disk_mb,
        total.ports
    );
    let config = SessionConfig {
        schedulers: options.schedulers,
        key: options.key,
        session,
        place: place(&work_dir)?,
        host: hostname.clone(),
        total,
        ports,
        attributes: resources::with_host(options.attributes, &hostname),
        timing: options.timing,
    };
    options.drain.open(&work_dir);
    if options.drain.is_on() {
        log::warn!("this machine drains: it offers nothing until it is told otherwise by SIGUSR2");
    }
    let standing = Standing::new(options.drain);
    let pages = options.observer.map(|address| {
        let observer = Observer::new(work_dir.clone(), hostname.clone(), standing.clone());
        rt::spawn("observer", serve_pages(address, observer, shutdown.clone()))
    });
    let running = host.reports().len();
    ready(&format!("Taking orders; {running} tasks found"));
    session::run(host.clone(), reports.clone(), config, standing, shutdown).await;
    if options.kill_tasks_on_exit {
        let drain = async { while reports.recv().await.is_ok() {} };
        let killing = rt::timeout(kill_limit, kill_all(&host).or(drain)).await;
        if let Err(late) = killing {
            log::error!("killing all tasks {late}; some may run on");
        }
    }
    if let Some(pages) = pages {
        pages.join().await;
    }
    log::info!("agent {} stops", host.agent_id());
    Ok(())
}

/// Serves the observer's pages. A port that somebody else has costs the pages, not the tasks: it is tried again
/// until it is free.
async fn serve_pages(address: SocketAddr, observer: Observer, shutdown: Shutdown) {
    let mut is_told = false;
    loop {
        let bound =
            TcpListener::bind(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
        match bound {
            Ok((address, listener)) => {
                log::info!("the observer's pages are at http://{address}/");
                return observe::serve(listener, observer, shutdown).await;
            }
            Err(error) if !is_told => {
                is_told = true;
                log::error!(
                    "cannot serve the observer's pages on {address}: {error}; tasks run without them, \
                     and it is tried again every {BIND_AGAIN:?}. -observer_port names another port"
                );
            }
            Err(_) => {}
        }
        let is_stopped = async {
            shutdown.wait().await;
            true
        };
        let later = async {
            rt::sleep(BIND_AGAIN).await;
            false
        };
        if is_stopped.or(later).await {
            return;
        }
    }
}

/// Tells copies of one work directory apart: a copy has another inode, another machine another boot.
fn place(work_dir: &Path) -> Result<String, AgentError> {
    let meta = fs::metadata(work_dir).map_err(|source| AgentError::Place {
        path: work_dir.display().to_string(),
        source,
    })?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Ok(format!("{}/{}/{}", boot.trim(), meta.dev(), meta.ino()))
}

/// Kills all tasks and waits until they have ended. The host limits how long that takes.
async fn kill_all(host: &TaskHost) {
    let started = clock::now();
    let mut killed = 0;
    loop {
        let reports = host.reports();
        let alive: Vec<_> = reports.iter().filter(|r| !r.state.is_terminal()).collect();
        if alive.is_empty() {
            break;
        }
        if killed == 0 {
            killed = alive.len();
            for report in alive {
                if let Err(error) = host.kill(&report.task).await {
                    log::debug!("{error}");
                }
            }
        }
        rt::sleep(KILL_PAUSE).await;
    }
    log::info!("killed {killed} tasks in {:?}", clock::now().since(started));
}
