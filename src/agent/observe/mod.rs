//! The observer: pages and JSON about the tasks of this machine, read from the work directory.
//!
//! It needs no running agent, only the files, and changes nothing. Whoever reaches its port may read
//! every sandbox, as with the original; nothing outside the sandboxes can be read.
//!
//! - `tasks` reads orders and checkpoints.
//! - `sandbox` opens files that cannot be outside a sandbox.
//! - `target` takes requests apart; `route` answers them; `json` and `pages` render.

mod json;
mod pages;
mod route;
mod sandbox;
mod target;
mod tasks;

use super::session::Standing;
use crate::net::http1::{Answer, Handler, Limits, Request, Response, serve as serve_http};
use crate::rt::{self, Shutdown};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What the pages are about. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Observer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    work_dir: PathBuf,
    hostname: String,
    standing: Standing,
}

impl Observer {
    /// The tasks below `work_dir`. `standing` tells whether the agent is connected.
    pub fn new(work_dir: PathBuf, hostname: String, standing: Standing) -> Self {
        Self {
            inner: Arc::new(Inner {
                work_dir,
                hostname,
                standing,
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
