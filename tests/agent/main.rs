//! Real executors and real processes, well behaved and not.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod bad;
mod behaviours;
mod birth;
mod crash;
mod executor;
mod fixture;
mod host;
mod limits;
mod logs;
mod setup;
mod survive;
