//! Making room: which tasks must give way to one that waits, and on which machine.
//!
//! The rules are upstream's: a task that is not preemptible may take the place of any that is; within a
//! role, and between tasks that are both preemptible or both not, the higher priority wins.
//!
//! Finding a machine must not cost a look at every task of the cluster. The [`Index`] keeps for each
//! machine what is free and what preemptible tasks hold there, and for each role and priority where its
//! tasks are, so that machines on which all possible victims together are not enough are passed over after
//! a comparison of numbers. Victims are sorted and chosen only where they suffice.
//!
//! Two departures from upstream: victims that turn out not to be needed are spared, and no machine loses
//! a task while one of the others has room.

mod index;
mod victims;

pub use index::{Index, Seeker};
pub use victims::{Eligible, choose};
