//! Brings files into a sandbox before its task starts: from this machine, by `http` and by `https`.
//!
//! While it works, the sandbox belongs to the agent and nobody else can enter it; so there is no race with
//! the task's user. Only when all is there, the whole tree is handed over. A fetch that was cut off begins
//! anew with an empty sandbox.
//!
//! What a URI asks to be kept goes through a cache, which spares the server and not the disk: each task has its
//! own copy.
//!
//! A file of this machine is read only if the task's user could read it.

mod archive;
mod cache;
#[cfg(test)]
mod cache_tests;
mod error;
#[cfg(test)]
mod format_tests;
mod sandbox;
mod source;
#[cfg(test)]
mod tests;
mod unpacker;
mod zip;

pub(super) use cache::Cache;
pub(super) use sandbox::{FetchJob, RETRY_PAUSE, fetch};
