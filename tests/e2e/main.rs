//! End to end: the real programs, as processes, with real files, ports and signals.
#![expect(
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests of real processes run in real time, say what they skip, and may stop at a surprise"
)]

mod answers;
mod backup;
mod chaos;
mod cron;
mod daemons;
mod ensemble;
mod examples;
mod failing;
mod job;
mod links;
mod maintenance;
mod membership;
mod monit;
mod names;
mod outage;
mod programs;
mod secrets;
mod statistics;
mod trouble;
mod updates;
mod verbs;
mod versions;
mod world;
