//! Limits that a process takes upon itself between its birth and its program.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Resource limits of a process; none leaves what the agent has.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessLimits {
    /// Open files.
    pub open_files: Option<u64>,
    /// Processes and threads of its user.
    pub processes_of_user: Option<u64>,
    /// Whether it may leave core dumps.
    pub is_core_dumped: bool,
}

/// Has the child write itself into `doors`, the process lists of control groups, and limit itself. It does not
/// start if it cannot.
///
/// # Errors
///
/// The agent's own limits cannot be read.
pub fn confine(command: &mut Command, doors: Vec<File>, wanted: ProcessLimits) -> io::Result<()> {
    let mut limits = Vec::new();
    for (resource, limit) in [
        (Resource::RLIMIT_NOFILE, wanted.open_files),
        (Resource::RLIMIT_NPROC, wanted.processes_of_user),
        (Resource::RLIMIT_CORE, (!wanted.is_core_dumped).then_some(0)),
    ] {
        if let Some(limit) = limit {
            // Never more than the agent may have itself.
            let (_, hard) = getrlimit(resource)?;
            limits.push((resource, limit.min(hard)));
        }
    }
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
    Ok(())
}
