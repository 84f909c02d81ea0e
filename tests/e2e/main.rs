//! End to end: the real programs, as processes, with real files, ports and signals.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![expect(
    clippy::disallowed_types,
    reason = "tests of real processes run in real time"
)]

mod chaos;
mod job;
mod programs;
mod world;
