//! Control groups: one per task, by plain file writes. Version 2 first, version 1 where that is what the
//! machine has.
//!
//! ```text
//! <hierarchy>/<-cgroup_root>/<agent id>/<task>
//! ```
//!
//! The agent id keeps agents on one machine apart: what an agent finds below its own id is its own. A task's
//! group is made before its executor starts, the executor enters it before it becomes the executor's program,
//! and all that the task ever starts is in it, whatever session, user or environment it gives itself. The group
//! is removed after the task's end; until it can be, something of the task is alive, and is killed.
//!
//! Version 2 knows one hierarchy. An agent that systemd has started in a group below that of its unit
//! (`Delegate=yes`, and `DelegateSubgroup=agent`, which systemd has from 254 on) keeps its tasks within the unit;
//! any other agent of root keeps them below the top, since systemd could not start it again in a unit's group whose
//! controllers are handed on. The parent of the groups must hold no process, so an agent that may use nothing but
//! its own group moves itself one level down. Version 1 has a hierarchy per controller; of cpu, memory,
//! pids and freezer those are used that are mounted and writable.

mod group;
mod mounts;
mod root;
mod settings;
#[cfg(test)]
mod tests;

pub use group::TaskGroup;
pub use root::{Cgroups, Unusable};
pub use settings::Allowance;
