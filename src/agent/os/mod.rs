//! What the operating system is asked that needs care: users, and processes without a supervisor.

mod leftovers;
mod users;

pub(super) use leftovers::Leftovers;
pub(super) use users::identity_of;
