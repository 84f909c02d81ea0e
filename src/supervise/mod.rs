//! The decisions of one task: which process starts when, what its end means, how the task ends.
//!
//! Sans-IO: a [`Supervisor`] is told what happened and when, and answers with [`Effect`]s in order and the
//! next instant at which it wants to be woken. It never reads a clock, starts a process or sends a signal.
//!
//! ```text
//! Active --plan complete or unhealthy--------------------> Cleaning -> Finalizing -> Ending -> Ended
//!    \--kill or failed health--> Asking (by HTTP, if any) -----^            (budget spent) ----^
//! ```
//!
//! *Active* runs the regular plan. *Asking* posts to the task's own shutdown endpoints. *Cleaning* has sent
//! SIGTERM to all that runs and waits until nothing is left. *Finalizing* runs the final plan. *Ending* kills
//! whatever is still there, until nothing is. The terminal report is made only then, so that a task that was
//! reported ended has no process left.
//!
//! Invariants ([`Supervisor::check_invariants`]): a process runs only once at a time, only after all its
//! predecessors finished, never over `max_concurrency`; regular processes start only in Active, final ones
//! only in Finalizing; exactly one terminal report is made, and it is the last.

mod checks;
mod definition;
mod health;
pub mod limits;
mod plan;
mod supervisor;
#[cfg(test)]
mod tests;

pub use checks::CheckId;
pub use definition::{
    DefinitionError, HealthPolicy, Lifecycle, ProcessDefinition, StatusCheck, TaskDefinition,
};
pub use supervisor::{Effect, Endpoint, Exit, KillReason, ProcessSignal, Run, Supervisor};
