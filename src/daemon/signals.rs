//! Signals as values.
//!
//! The signals of interest are blocked in every thread and read from a descriptor, so that no code runs in
//! a signal's context. Children get an empty mask again: the standard library resets it when it spawns.

use async_channel::{Receiver, bounded};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use nix::unistd::getppid;

/// Blocks SIGTERM, SIGINT and SIGHUP and delivers them through the channel.
///
/// Call it before the first thread starts: threads inherit the mask.
///
/// # Errors
///
/// If the system refuses the mask or the descriptor.
pub fn listen() -> std::io::Result<Receiver<Signal>> {
    listen_also(&[])
}

/// The same for `more` signals too.
///
/// # Errors
///
/// If the system refuses the mask or the descriptor.
pub fn listen_also(more: &[Signal]) -> std::io::Result<Receiver<Signal>> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        set.add(signal);
    }
    for signal in more {
        set.add(*signal);
    }
    set.thread_block()?;
    let source = SignalFd::new(&set)?;
    let (sender, receiver) = bounded(8);
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            while let Ok(info) = source.read_signal() {
                let number = info.and_then(|i| i32::try_from(i.ssi_signo).ok());
                let signal = number.and_then(|n| Signal::try_from(n).ok());
                if let Some(signal) = signal
                    && sender.send_blocking(signal).is_err()
                {
                    return;
                }
            }
        })?;
    Ok(receiver)
}

/// Asks for SIGTERM when the parent ends. Returns false if it has ended already.
pub fn follow_parent() -> bool {
    let parent = getppid();
    // The parent may have gone between its spawn of us and this call: then nobody would tell us.
    prctl::set_pdeathsig(Signal::SIGTERM).is_ok() && parent == getppid() && parent.as_raw() != 1
}
