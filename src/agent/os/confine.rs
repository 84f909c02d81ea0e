//! Limits that a process takes upon itself between its birth and its program.

use nix::sys::resource::{Resource, setrlimit};
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Has the child write itself into `doors`, the process lists of control groups, and limit itself. It does not
/// start if it cannot.
pub fn confine(command: &mut Command, doors: Vec<File>, limits: Vec<(Resource, u64)>) {
    let enter = move || {
        for mut door in &doors {
            door.write_all(b"0")?;
        }
        for (resource, limit) in &limits {
            setrlimit(*resource, *limit, *limit)?;
        }
        Ok(())
    };
    // SAFETY: the closure only calls write and setrlimit, and takes no lock and no memory.
    unsafe { command.pre_exec(enter) };
}
