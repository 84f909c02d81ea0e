//! What the scheduler serves over HTTP: the API's door, health, variables, tables, pages.
//!
//! [`serve`] puts the routes behind the codec of `net::http1`. tide routes; it is handed requests that
//! have been read whole and gives back answers, and never sees a socket.
//!
//! Everything is read from the committed tables and the published view ([`Source`]): no page waits for
//! the engine, and a page that takes long to build is built off the reactor's thread. Pages are HTML
//! made here, escaped by maud, with one style sheet and no script, and say when they were made.
//!
//! This module knows no rule of Aurora: it shows what is there and hands requests to `api`.

mod api;
pub mod coordinator;
mod cron;
mod door;
mod graph;
mod gzip;
mod inspect;
mod metrics;
mod opening;
mod operate;
mod pages;
mod path;
mod probe;
mod process;
mod routes;
mod state;
mod tables;
mod threads;
mod vars;

#[cfg(test)]
mod endpoints_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod routes_tests;

pub use api::{ApiCall, ApiDoor, ApiReply, Boxed};
pub use door::serve;
pub use opening::serve_opening;
pub use state::{HttpState, LogLevels, NoLogLevels, Operator, Source};
