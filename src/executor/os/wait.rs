//! Learns of ended children. Written here because nix cannot name real-time signals and gives up on them.

use nix::libc;
use std::io;

/// A child that has ended and is still a zombie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::executor) struct Ended {
    pub(in crate::executor) pid: i32,
    /// The status, or the signal's number.
    pub(in crate::executor) code: i32,
    pub(in crate::executor) is_signalled: bool,
}

/// What the children do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::executor) enum Children {
    Ended(Ended),
    None,
    Running,
}

/// Looks for an ended child and leaves it a zombie.
pub(in crate::executor) fn peek() -> io::Result<Children> {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: all zeroes is a valid value of this plain C structure.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a structure of our own, of the type that the call fills.
    if unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) } != 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ECHILD) => Ok(Children::None),
            _ => Err(error),
        };
    }
    // SAFETY: after a successful call the structure is zero or describes a child.
    let pid = unsafe { info.si_pid() };
    if pid == 0 {
        return Ok(Children::Running);
    }
    Ok(Children::Ended(Ended {
        pid,
        // SAFETY: as above: the structure describes a child.
        code: unsafe { info.si_status() },
        is_signalled: info.si_code != libc::CLD_EXITED,
    }))
}

/// Takes away the zombie `pid`, a child of this process.
pub(in crate::executor) fn reap(pid: i32) {
    let mut status = 0;
    // SAFETY: the pointer is to an integer of our own.
    let reaped = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
    debug_assert_eq!(reaped, pid, "only this thread reaps");
}
