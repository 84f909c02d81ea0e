//! The observer: pages and JSON about the tasks of this machine, read from the work directory.
//!
//! It needs no running agent, only the files, and changes nothing. Whoever reaches its port may read
//! every sandbox, as with the original; nothing outside the sandboxes can be read.
//!
//! - `tasks` reads orders and checkpoints; `usage` looks at their processes when somebody asks.
//! - `sandbox` opens files that cannot be outside a sandbox.
//! - `own` tells of the observer's own process.
//! - `target` takes requests apart; `route` answers them; `json` and `pages` render.

mod json;
mod own;
mod pages;
mod route;
mod sandbox;
mod target;
mod tasks;
mod usage;

use super::session::Standing;
use crate::net::http1::{Answer, Handler, Limits, Request, Response, serve as serve_http};
use crate::rt::{self, Shutdown};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use usage::Meter;

/// What the pages are about. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Observer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    place: Place,
    hostname: String,
    /// None where there is no agent, only its files.
    standing: Option<Standing>,
    meter: Meter,
}

#[derive(Debug)]
enum Place {
    /// The directory itself or one below it, which may come later.
    Below(PathBuf),
    WorkDir(PathBuf),
}

impl Inner {
    /// Where the tasks are now.
    fn work_dir(&self) -> PathBuf {
        match &self.place {
            Place::WorkDir(path) => path.clone(),
            Place::Below(root) => find_work_dir(root, DEPTH_MAX).unwrap_or_else(|| root.clone()),
        }
    }
}

/// So many directories below the given one a work directory is looked for.
const DEPTH_MAX: u32 = 3;

/// The first directory that holds what an agent makes in its own.
fn find_work_dir(root: &Path, depth: u32) -> Option<PathBuf> {
    if root.join("agent_id").is_file() && root.join("tasks").is_dir() {
        return Some(root.to_owned());
    }
    if depth == 0 {
        return None;
    }
    let entries = fs::read_dir(root).ok()?;
    let mut below: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok())
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    below.sort();
    below.iter().find_map(|path| find_work_dir(path, depth - 1))
}

impl Observer {
    /// The tasks below `work_dir`. `standing` tells whether the agent is connected.
    pub fn new(work_dir: PathBuf, hostname: String, standing: Standing) -> Self {
        Self {
            inner: Arc::new(Inner {
                place: Place::WorkDir(work_dir),
                hostname,
                standing: Some(standing),
                meter: Meter::default(),
            }),
        }
    }

    /// The tasks in `root`, an agent's work directory or a directory above one, without that agent.
    pub fn alone(root: PathBuf, hostname: String) -> Self {
        Self {
            inner: Arc::new(Inner {
                place: Place::Below(root),
                hostname,
                standing: None,
                meter: Meter::default(),
            }),
        }
    }
}

impl Handler for Observer {
    async fn handle(&self, request: Request) -> Answer {
        let inner = Arc::clone(&self.inner);
        // Files are read: not on the threads that serve everybody.
        let response = rt::unblock(move || route::respond(&inner, &request)).await;
        guard(response).into()
    }
}

/// What tasks wrote must never become a page of ours in somebody's browser.
fn guard(response: Response) -> Response {
    response
        .with(
            "content-security-policy",
            "default-src 'self'; frame-ancestors 'self'",
        )
        .with("x-content-type-options", "nosniff")
        .with("cache-control", "no-store")
}

/// Serves the observer's pages until `shutdown`.
pub async fn serve(listener: TcpListener, observer: Observer, shutdown: Shutdown) {
    let limits = Limits {
        connections_max: 256,
        body_bytes_max: 64 * 1024,
        bodies_bytes_max: 4 << 20,
        drain_timeout: Duration::from_secs(2),
        ..Limits::default()
    };
    if let Err(error) = serve_http(listener, Arc::new(observer), limits, shutdown).await {
        log::error!("the observer's pages are not served: {error}");
    }
}

#[cfg(test)]
mod tests;
