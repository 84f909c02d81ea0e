//! Sends signals whose receiver may be gone.

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// Signals a child that is not reaped. One that has ended does not mind.
pub(in crate::executor) fn signal_child(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap_or_default();
}

/// Signals what is in a process group whose leader is not reaped. An empty one is what is hoped for.
pub(in crate::executor) fn signal_group(leader: i32, signal: Signal) {
    killpg(Pid::from_raw(leader), signal).unwrap_or_default();
}
