//! Is it alive, is it ready, does it lead: for monitors and load balancers.

use super::state::{Leadership, Shared};
use crate::base::clock::{self, Instant};
use crate::net::http1;
use crate::scheduler::Lifecycle;
use std::fmt::Write;
use tide::{Request, Response};

const PLAIN: &str = "text/plain; charset=utf-8";

pub(super) fn plain(status: u16, body: impl Into<String>) -> Response {
    let mut response = Response::new(status);
    response.set_body(body.into().into_bytes());
    response.insert_header("content-type", PLAIN);
    response.insert_header("cache-control", "no-store");
    response
}

/// Whether the scheduler's loop is stuck. Before its first turn it is not.
fn stuck(app: &Shared) -> bool {
    let last_turn = app.config.source.last_turn();
    last_turn != Instant::ZERO
        && clock::now().since(last_turn) > app.config.stuck_after
        && app.config.source.view().lifecycle != Lifecycle::Dead
}

/// `OK` in every state but a stuck loop: a monitor that restarts what is not healthy must not restart
/// a scheduler that waits for its log, for a leader, or for machines.
pub(super) async fn health(request: Request<Shared>) -> tide::Result {
    Ok(match stuck(request.state()) {
        true => plain(503, "SICK\n"),
        false => plain(200, "OK\n"),
    })
}

/// What [`health`] answers to this request, if it is a GET of it: without the way through the routes, which
/// costs more than all else of so small an answer (`cargo bench --bench http`).
pub(super) fn health_at_once(app: &Shared, request: &http1::Request) -> Option<http1::Response> {
    let path = request.path().trim_end_matches('/');
    if request.method != http1::Method::Get || !["/health", "/livez"].contains(&path) {
        return None;
    }
    let answer = match stuck(app) {
        true => http1::Response::text(503, "SICK\n"),
        false => http1::Response::text(200, "OK\n"),
    };
    let answer = answer.with("cache-control", "no-store");
    Some(answer.with("x-content-type-options", "nosniff"))
}

/// Whether this scheduler takes work now; with `?verbose`, why.
pub(super) async fn ready(request: Request<Shared>) -> tide::Result {
    let app = request.state();
    let view = app.config.source.view();
    let checks = [
        ("loop", !stuck(app)),
        ("leading", app.leadership() == Leadership::Here),
        ("storage", is_serving(view.lifecycle)),
    ];
    let ready = checks.iter().all(|(_, good)| *good);
    let mut text = String::new();
    if super::path::query(&request, "verbose").is_some() {
        for (name, good) in checks {
            let (mark, word) = if good {
                ('+', "ok")
            } else {
                ('-', "not ready")
            };
            writeln!(text, "[{mark}]{name} {word}")?;
        }
        writeln!(text, "lifecycle {}", view.lifecycle)?;
        writeln!(text, "replica {}", view.replica)?;
    }
    text.push_str(if ready { "OK\n" } else { "NOT READY\n" });
    Ok(plain(if ready { 200 } else { 503 }, text))
}

/// Whether the tables can be read and changed in this state.
pub(super) const fn is_serving(lifecycle: Lifecycle) -> bool {
    match lifecycle {
        Lifecycle::Active | Lifecycle::LeaderAwaitingRegistration => true,
        Lifecycle::Dead
        | Lifecycle::Idle
        | Lifecycle::PreparingStorage
        | Lifecycle::StoragePrepared => false,
    }
}

pub(super) async fn leader_health(request: Request<Shared>) -> tide::Result {
    const HELP: &str = "Answers by status:\n\
        200: this scheduler leads\n\
        502: no scheduler is known to lead\n\
        503: another scheduler leads\n";
    let (status, message) = match request.state().leadership() {
        Leadership::Here => (200, "This is the leading scheduler."),
        Leadership::Other(_) => (503, "Another instance is the leading scheduler."),
        Leadership::Nobody => (
            502,
            "There is no leading scheduler or the leader is unknown.",
        ),
    };
    Ok(plain(
        status,
        format!("Current status: {message}\n\n{HELP}"),
    ))
}
