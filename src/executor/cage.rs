//! What an executor puts itself into before it takes its task: control groups and limits, as its agent says.
//!
//! The agent could do it between fork and exec. But to fork an agent of many megabytes costs more than all
//! the rest of a start, and a program that is spawned without a fork has to help itself.

use super::paths::{DOORS_VARIABLE as DOORS, LIMITS_VARIABLE as LIMITS};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Resource limits of a process; none leaves what the agent has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessLimits {
    /// Open files.
    pub open_files: Option<u64>,
    /// Processes and threads of its user.
    pub processes_of_user: Option<u64>,
    /// Whether it may leave core dumps.
    pub is_core_dumped: bool,
    /// Whether the kernel kills it before others when the machine has no memory left.
    pub is_first_to_go: bool,
}

/// What a process that is first to go adds to its score, of at most 1,000.
const FIRST_TO_GO: &str = "900";

impl ProcessLimits {
    /// The limits that are to be set, never above what this process may have itself.
    ///
    /// # Errors
    ///
    /// The system does not say what this process may have.
    pub fn resolve(&self) -> io::Result<Vec<(Resource, u64)>> {
        let mut limits = Vec::new();
        for (resource, limit) in [
            (Resource::RLIMIT_NOFILE, self.open_files),
            (Resource::RLIMIT_NPROC, self.processes_of_user),
            (Resource::RLIMIT_CORE, (!self.is_core_dumped).then_some(0)),
        ] {
            if let Some(limit) = limit {
                let (_, hard) = getrlimit(resource)?;
                limits.push((resource, limit.min(hard)));
            }
        }
        Ok(limits)
    }

    fn encode(&self) -> String {
        let number = |name: &str, value: Option<u64>| value.map(|it| format!("{name}={it}"));
        let all = [
            number("files", self.open_files),
            number("processes", self.processes_of_user),
            self.is_core_dumped.then(|| "cores=1".to_owned()),
            self.is_first_to_go.then(|| "first_to_go=1".to_owned()),
        ];
        all.into_iter().flatten().collect::<Vec<_>>().join(",")
    }

    fn decode(text: &str) -> Option<Self> {
        let mut limits = Self::default();
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=')?;
            let value = value.parse().ok()?;
            match name {
                "cores" => limits.is_core_dumped = value == 1,
                "first_to_go" => limits.is_first_to_go = value == 1,
                "files" => limits.open_files = Some(value),
                "processes" => limits.processes_of_user = Some(value),
                _ => return None,
            }
        }
        Some(limits)
    }
}

/// The variables by which an agent tells its executor where to go.
pub fn to_environment(doors: &[PathBuf], limits: &ProcessLimits) -> [(&'static str, OsString); 2] {
    let doors: Vec<&[u8]> = doors.iter().map(|it| it.as_os_str().as_bytes()).collect();
    [
        (DOORS, OsString::from_vec(doors.join(&b'\n'))),
        (LIMITS, OsString::from(limits.encode())),
    ]
}

/// Enters what the agent has named in the environment. Without any word of it there is nothing to enter: a
/// wrapper has done so already.
///
/// # Errors
///
/// A group cannot be entered or a limit not be set: no task may be run.
pub(super) fn enter() -> io::Result<()> {
    let doors = std::env::var_os(DOORS).unwrap_or_default();
    let doors = doors.as_bytes().split(|byte| *byte == b'\n');
    for door in doors.filter(|door| !door.is_empty()) {
        let door = Path::new(OsStr::from_bytes(door));
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", door.display()));
        let mut door = OpenOptions::new().write(true).open(door).map_err(named)?;
        // The program has one thread; `0` is whoever writes it.
        door.write_all(b"0")?;
    }
    let Some(limits) = std::env::var_os(LIMITS) else {
        return Ok(());
    };
    let limits = limits.to_str().and_then(ProcessLimits::decode);
    let limits = limits.ok_or_else(|| io::Error::other(format!("{LIMITS} is not understood")))?;
    for (resource, limit) in limits.resolve()? {
        setrlimit(resource, limit, limit)?;
    }
    if limits.is_first_to_go {
        // Its children inherit it. To raise one's own score needs no right.
        std::fs::write("/proc/self/oom_score_adj", FIRST_TO_GO)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_come_back_and_nonsense_is_refused() {
        for limits in [
            ProcessLimits::default(),
            ProcessLimits {
                open_files: Some(7),
                processes_of_user: Some(u64::MAX),
                is_core_dumped: true,
                is_first_to_go: true,
            },
        ] {
            assert_eq!(ProcessLimits::decode(&limits.encode()), Some(limits));
        }
        for bad in ["files", "files=", "files=-1", "other=1"] {
            assert_eq!(ProcessLimits::decode(bad), None, "{bad}");
        }
    }
}
