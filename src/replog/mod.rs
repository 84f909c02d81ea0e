//! The replicated log as a service: runs [`crate::paxos`] on a disk, and hands out the handle.
//!
//! In: entries to append under a ballot, and when to truncate. Out: one ordered, bounded channel of
//! [`LogEvent`]s, from the first kept entry on.
//!
//! A fiber drives the core; a thread of its own owns the disk and turns whatever has queued up into
//! one commit with its syncs (`writer`, `disk`). The core withholds whatever is not durable yet.
//! The store behind the disk is a seam (`store`); fjall is named in `keyspace` and nowhere else.
//!
//! **Durability.** An entry is acknowledged after the store has synced it and the evidence file has
//! synced what the store should hold. A write or sync that fails is never tried again: the log says
//! [`LogEvent::Poisoned`] and the process ends. Opening proves by the evidence that nothing
//! acknowledged is missing, or refuses.
//!
//! This module must not know what an entry means.

mod append;
mod control;
mod disk;
mod error;
mod evidence;
mod handle;
mod keyspace;
mod layout;
mod named;
mod open;
mod peers;
mod report;
mod run;
mod store;
mod stored;
pub mod tool;
mod wire;
mod writer;

pub use crate::paxos::{Ballot, Position};
pub use error::{AppendError, InitializeError, OpenError};
pub use handle::{EnsembleStatus, LogEvent, LogHandle, LogStats, ReplicaStatus};
pub use layout::initialize;
pub use named::Peers;
pub use open::{LogOptions, Reach, open};
pub use wire::{MemberStatus, Role};

/// Longest entry.
pub const ENTRY_BYTES_MAX: usize = 16 << 20;

#[cfg(test)]
mod tests;
