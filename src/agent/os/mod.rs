//! What the operating system is asked that needs care: users, limits, and processes without a supervisor.
#![expect(
    unsafe_code,
    reason = "what a child does before it becomes its program has no safe interface"
)]

mod confine;
mod leftovers;
mod users;

pub(super) use confine::confine;
pub(super) use leftovers::Leftovers;
pub(super) use users::identity_of;
