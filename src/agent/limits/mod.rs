//! What tasks may use: who watches it where the kernel does not, and by what.
//!
//! With control groups the kernel holds memory, processor and process counts; the agent only looks whether the
//! limit cost a process its life. Without them the agent adds up what the processes of each task hold, every few
//! seconds: enough for the careless, not for the wicked. Disk is always watched by looking.

mod cage;
mod config;
mod disk;
mod limiter;
mod memory;

pub use config::LimitConfig;
pub(in crate::agent) use disk::usage as disk_usage;
pub(in crate::agent) use limiter::Limiter;
