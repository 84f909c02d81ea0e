//! The one owner of change: commands and reports go in, log entries, replies and orders come out.
//!
//! [`handle`] is what the rest of the program sees.

pub mod admin;
pub mod backups;
pub mod engine;
mod figures;
pub mod handle;
mod port;
mod run;
pub mod update;

pub use admin::{AdminCommand, Answered, Question, Restored, Ruling};
pub use backups::Backups;
pub use engine::{Effect, Engine, EngineOptions, Entry};
pub use figures::{publish_sla, publish_slots, publish_usage};
pub use handle::{Command, Handle, Lifecycle, NotReady, OUTDATED, SubmitError, View, request_of};
pub use port::LogPort;
pub use run::{Coordinators, Options, RunError, start};
