//! Is it alive, is it ready, does it lead: for monitors and load balancers.

use super::state::{Leadership, Shared};
use crate::base::clock::{self, Instant};
use crate::scheduler::Lifecycle;
use std::fmt::Write;
use std::time::Duration;
use tide::{Request, Response};

/// The scheduler's loop turns at least once a second; this long without a turn, it is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);

const PLAIN: &str = "text/plain; charset=utf-8";

pub(super) fn plain(status: u16, body: impl Into<String>) -> Response {
    let mut response = Response::new(status);
    response.set_body(body.into().into_bytes());
    response.insert_header("content-type", PLAIN);
    response.insert_header("cache-control", "no-store");
    response
}

/// Whether a loop that last turned then is stuck now. Before its first turn it is not.
fn is_stuck(last_turn: Instant, lifecycle: Lifecycle, now: Instant) -> bool {
    last_turn != Instant::ZERO && lifecycle != Lifecycle::Dead && now.since(last_turn) > STUCK_AFTER
}

fn stuck(app: &Shared) -> bool {
    let source = &app.config.source;
    is_stuck(source.last_turn(), source.view().lifecycle, clock::now())
}

/// `OK` in every state but a stuck loop: a monitor that restarts what is not healthy must not restart
/// a scheduler that waits for its log, for a leader, or for machines.
pub(super) async fn health(request: Request<Shared>) -> tide::Result {
    Ok(match stuck(request.state()) {
        true => plain(503, "SICK\n"),
        false => plain(200, "OK\n"),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loop_that_turned_and_stopped_turning_is_stuck() {
        let at = |secs: u64| Instant::from_nanos(secs * 1_000_000_000);
        assert!(!is_stuck(Instant::ZERO, Lifecycle::Idle, at(1000)));
        assert!(!is_stuck(at(100), Lifecycle::Active, at(130)));
        assert!(is_stuck(at(100), Lifecycle::Active, at(131)));
        assert!(is_stuck(at(100), Lifecycle::StoragePrepared, at(131)));
        assert!(!is_stuck(at(100), Lifecycle::Dead, at(131)));
    }
}
