//! The state of the cluster: tables, the operations that change them, and their stored form.
//!
//! [`Tables`] are persistent maps: a clone costs nothing and never changes, so readers hold one and the
//! engine goes on. Every change is an [`Op`], which is data: [`Tables::apply`] is deterministic, so that
//! equal ops in equal order give equal tables on every machine. `stored` holds the frozen bytes.

mod answer;
pub mod backup;
mod op;
mod query;
mod replay;
mod snapshot;
pub mod stored;
mod tables;
mod updates;
mod usage;

pub use answer::{Answer, Reply, ReplyCode, ReplyResult};
pub use op::{ApplyError, Leader, Op};
pub use query::TaskQuery;
pub use replay::{Replay, ReplayError};
pub use snapshot::Snapshot;
pub use tables::{AgentLoad, JobTasks, Tables};
pub use updates::{UpdateOp, UpdateRecord, Updates};
