//! Runs tasks on this machine: one executor per task, each a process that outlives the agent.
//!
//! The work directory holds all that must survive:
//!
//! ```text
//! lock                     held by the one agent that has the directory open
//! agent_id                 the agent's name, made once
//! fence                    the highest ballot of a leader
//! ended                    ids of tasks that are over: refused for ever
//! tasks/<task id>/order         what to run, durable before anything starts
//!                /lock          held by the executor as long as it lives
//!                /checkpoint    what happened, by the executor
//!                /control       where the executor listens
//!                /verdict       the agent's own last word, where the executor has none
//!                /executor.log  what the executor has to say of itself
//!                /fetched       the files that the order names are in the sandbox
//!                /executor/     a wrapper and its files, where the order names one
//!                /sandbox/      where the task lives, and its logs in .logs/<process>/<run>/
//! ```
//!
//! Invariants: an executor is started only in a directory with an order, without a verdict, with a free lock
//! and without a header in the checkpoint; so a task is never started twice. A report is told only after it
//! is on disk. An executor is alive if the lock is held, and is signalled only if its process id and start
//! time are those of the header too. A task without a living executor and without a terminal record has
//! nothing running before it is reported lost.

mod config;
mod directory;
mod durable;
mod ended;
mod error;
#[expect(clippy::module_inception, reason = "the host of the module host")]
mod host;
mod identity;
mod launch;
mod limits;
mod prepare;
mod runtime;
mod sandboxes;
mod shared;
#[cfg(test)]
mod tests;
mod watch;

pub use config::HostConfig;
pub(in crate::agent) use directory::TaskDirectory;
pub use error::{HostError, LaunchError, UnknownTask};
pub use host::TaskHost;
