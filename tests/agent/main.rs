//! Real executors and real processes, well behaved and not.

mod executor;
mod fixture;
mod host;
