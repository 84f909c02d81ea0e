//! The agent: offers one machine to the scheduler and runs tasks on it.
//!
//! [`host`] starts, adopts and ends executors and keeps what must survive a restart in the work directory;
//! `fetch` brings files into sandboxes before that. [`cgroup`] and [`limits`] hold tasks to what they asked
//! for. [`os`] is the only place below the agent that holds unsafe code. [`proto`] is what agents and
//! schedulers say to each other, [`session`] the agent's side of that.

pub mod cgroup;
mod daemon;
mod fetch;
pub mod host;
pub mod limits;
pub mod observe;
mod os;
pub mod proto;
pub mod resources;
mod runner;
pub mod session;

pub use daemon::{AgentError, AgentOptions, run};
pub use runner::TaskRunner;

#[cfg(test)]
mod tests;
