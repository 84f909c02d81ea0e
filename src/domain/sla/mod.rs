//! Promises that instances stay up, and how well they did.
//!
//! [`may_kill`] is asked before an instance is taken down for maintenance or by an update that minds the
//! job's promise. It looks only at what it is given: the caller gathers the job's tasks.

mod figures;
mod policy;

pub use figures::{Metric, Wanted, Window, figures};
pub use policy::{Permit, SlaRules, may_kill};
