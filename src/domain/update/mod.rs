//! Job updates: which instance is taken when, what is done to it, and how the whole ends.
//!
//! [`status`] is the table of an update's states, [`instance`] the table of what one instance needs,
//! [`strategy`] says which instances are next, and [`Updater`] puts them together for one direction.
//!
//! An [`Updater`] is memory only. A new one, after a pause or a new leader, takes all instances as idle:
//! those that are as they should be are passed over at once, and since instances are always taken in
//! one order, those under way when the former one ended come before any that was not touched. So no
//! more of them are down than the strategy allows, however often leaders change. What must survive is
//! told by events and by the history of tasks: which instances failed and how often, and which were
//! touched since an automatic pause.
//!
//! Four departures from upstream. On the way back, instances that do not run come first, so that none
//! of the others is taken down too many. A task that ended because it was asked to, by a drain, a
//! preemption or the update itself before it turned back, is no failure. Failures count across changes of
//! leader. And an update whose pulses stop is blocked when the time is over, not only when something
//! happens to it next.

mod diff;
mod instance;
mod settings;
mod status;
mod strategy;
#[cfg(test)]
mod tests;
mod updater;

pub use diff::{Diff, diff, group};
pub use instance::{Need, need};
pub use settings::{check_metadata, check_settings, irrelevant};
pub use status::{awaiting, can_go, failed, paused, resumed};
pub use strategy::next_group;
pub use updater::{Act, Direction, Past, Turn, TurnOutcome, Updater};
