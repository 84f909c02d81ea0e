//! What the executor asks of the operating system. With `agent::os` the only place with unsafe code.
#![expect(
    unsafe_code,
    reason = "forking and waiting have no safe interface that does all that is needed"
)]

mod detach;
pub mod proc;
mod signals;
mod spawn;
mod wait;

pub(super) use detach::{Detached, detach};
pub(super) use signals::{signal_child, signal_group};
pub(super) use spawn::{Output, Spawn, Spawned};
pub(super) use wait::{Children, peek, reap};
