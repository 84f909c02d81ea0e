//! What operators do to the process: end it, change the log's levels.

use super::door;
use super::pages;
use super::path;
use super::probe::plain;
use super::state::Shared;
use log::LevelFilter;
use tide::{Request, Response};

/// The name under which the root is shown and changed; its prefix is empty.
const ROOT: &str = "root";

pub(super) async fn quit(request: Request<Shared>) -> tide::Result {
    let incoming = door::incoming(&request);
    log::warn!("orderly end asked for over HTTP by {}", incoming.peer);
    // ORDER: the answer still leaves, because the end drains what is in flight.
    request.state().config.operator.quit();
    Ok(plain(200, "Notifying quit listener."))
}

pub(super) async fn abort(request: Request<Shared>) -> tide::Result {
    log::warn!(
        "abort asked for over HTTP by {}",
        door::incoming(&request).peer
    );
    request.state().config.operator.abort();
    Ok(plain(200, "Aborting."))
}

pub(super) async fn log_levels(request: Request<Shared>) -> tide::Result {
    let app = request.state();
    let mut levels: Vec<(String, String)> = app
        .config
        .log_levels
        .levels()
        .into_iter()
        .map(|(prefix, level)| {
            let name = if prefix.is_empty() {
                ROOT.to_owned()
            } else {
                prefix
            };
            (name, level.to_string())
        })
        .collect();
    levels.sort();
    Ok(pages::log_levels(app, &levels))
}

pub(super) async fn set_log_level(request: Request<Shared>) -> tide::Result {
    let incoming = door::incoming(&request);
    let form = String::from_utf8_lossy(&incoming.body);
    let Some(logger) = path::form(&form, "logger").filter(|name| is_target(name)) else {
        return Ok(plain(
            400,
            "a form field `logger` is needed: root, or a module's path\n",
        ));
    };
    let level = parse_level(&path::form(&form, "level").unwrap_or_default());
    let prefix = if logger == ROOT { "" } else { &logger };
    log::warn!(
        "log level of {logger} set to {level:?} over HTTP by {}",
        incoming.peer
    );
    request.state().config.log_levels.set_level(prefix, level);
    let mut response = Response::new(303);
    response.insert_header("location", "/logconfig");
    Ok(response)
}

/// Whether a text could be a log target. Names from outside must not fill the table with anything.
fn is_target(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.' | '-');
    (1..=200).contains(&name.len()) && name.chars().all(good)
}

/// Upstream's words; INHERIT and words that it did not know let a shorter prefix decide.
fn parse_level(word: &str) -> Option<LevelFilter> {
    match word.to_ascii_uppercase().as_str() {
        "OFF" => Some(LevelFilter::Off),
        "ERROR" => Some(LevelFilter::Error),
        "WARN" => Some(LevelFilter::Warn),
        "INFO" => Some(LevelFilter::Info),
        "DEBUG" => Some(LevelFilter::Debug),
        "TRACE" | "ALL" => Some(LevelFilter::Trace),
        _ => None,
    }
}
