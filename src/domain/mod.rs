//! The scheduler's decisions, without input or output.
//!
//! Nothing here waits, reads a clock or holds a handle to the world: time and randomness are arguments,
//! so that whole histories can be replayed from a seed.

pub mod cron;
#[cfg(test)]
pub(crate) mod fixture;
pub mod flapping;
pub mod lifecycle;
pub mod maintenance;
pub mod placement;
pub mod preemption;
pub mod quota;
pub mod sla;
pub mod tier;
pub mod update;
pub mod usage;
pub mod validate;
