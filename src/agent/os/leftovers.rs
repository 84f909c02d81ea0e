//! Finds and kills what a dead executor left running.
//!
//! A process belongs to the task if the task's sandbox is its `HOME`, as the executor sets it and children
//! inherit it; or if it is in a session that the executor recorded and that is still the same one; or if it
//! descends from such a process. A bare process id proves nothing: ids are used again.

use crate::executor::os::proc::{self, ProcessStat};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What is known of the processes of a task.
#[derive(Clone, Debug)]
pub struct Leftovers {
    sandbox: PathBuf,
    marker: Vec<u8>,
    /// Session leaders and when they started, in clock ticks since boot.
    sessions: BTreeMap<i32, u64>,
    /// When the executor started: nothing older is the task's.
    since_ticks: u64,
}

impl Leftovers {
    /// Of the task in `sandbox`, whose executor started at `since_ticks` and recorded these `sessions`.
    pub fn new(sandbox: &Path, sessions: BTreeMap<i32, u64>, since_ticks: u64) -> Self {
        let mut marker = b"HOME=".to_vec();
        marker.extend_from_slice(sandbox.as_os_str().as_encoded_bytes());
        Self {
            sandbox: sandbox.to_owned(),
            marker,
            sessions,
            since_ticks,
        }
    }

    /// Sends SIGKILL to all that is found. Gives how many there were.
    ///
    /// # Errors
    ///
    /// `/proc` cannot be read.
    pub fn kill(&self) -> io::Result<usize> {
        let all = proc::all()?;
        let roots = all.iter().filter(|it| self.is_ours(it, &all));
        let doomed = proc::with_descendants(&all, roots.map(|it| it.pid).collect());
        let own = std::process::id();
        let doomed: Vec<&ProcessStat> = all
            .iter()
            .filter(|it| doomed.contains(&it.pid) && !it.is_zombie)
            .filter(|it| u32::try_from(it.pid) != Ok(own))
            .collect();
        for process in &doomed {
            proc::signal(process, Signal::SIGKILL);
        }
        Ok(doomed.len())
    }

    fn is_ours(&self, process: &ProcessStat, all: &[ProcessStat]) -> bool {
        if process.start_ticks < self.since_ticks || process.is_zombie {
            return false;
        }
        self.is_marked(process.pid) || self.is_in_session(process, all)
    }

    fn is_marked(&self, pid: i32) -> bool {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|pair| pair == self.marker)
    }

    fn is_in_session(&self, process: &ProcessStat, all: &[ProcessStat]) -> bool {
        let Some(started) = self.sessions.get(&process.session) else {
            return false;
        };
        match all.iter().find(|it| it.pid == process.session) {
            Some(leader) => leader.start_ticks == *started,
            // The id may lead another session by now: the directory has to agree.
            None => fs::read_link(format!("/proc/{}/cwd", process.pid))
                .is_ok_and(|directory| directory.starts_with(&self.sandbox)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    /// Leads a session of its own, and says by its `HOME` whose it is.
    fn leader(home: &Path) -> (Child, ProcessStat) {
        let mut command = Command::new("setsid");
        let child = command.args(["sleep", "1000"]).env("HOME", home).spawn();
        let child = child.unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        loop {
            // Until it is what it is to be: the name comes before the environment.
            let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
            let is_named = read("comm").trim() == "sleep";
            let has_home = read("environ").contains(&format!("HOME={}", home.display()));
            match proc::stat(pid) {
                Some(stat) if is_named && has_home => return (child, stat),
                _ => std::thread::yield_now(),
            }
        }
    }

    /// Whether one who is looked for like this is killed.
    fn is_found(home: &Path, of: impl FnOnce(&ProcessStat) -> Leftovers) -> bool {
        let (mut child, stat) = leader(home);
        let found = of(&stat).kill().unwrap();
        let is_alive = child.try_wait().unwrap().is_none() && found == 0;
        child.kill().unwrap();
        child.wait().unwrap();
        !is_alive
    }

    #[test]
    fn a_process_is_known_by_its_home_or_by_its_session_and_never_by_its_id_alone() {
        let (ours, other) = (Path::new("/no/such/sandbox"), Path::new("/no/other"));
        let none = BTreeMap::new;
        // By its home, unless it is older than the executor.
        let since = |home, later: u64| {
            is_found(home, |it| {
                Leftovers::new(ours, none(), it.start_ticks + later)
            })
        };
        assert!(since(ours, 0));
        assert!(!since(ours, 1));
        assert!(!since(other, 0));
        // By its session, if that is the one that was recorded.
        let started = |later: u64| {
            is_found(other, |it| {
                let sessions = BTreeMap::from([(it.pid, it.start_ticks + later)]);
                Leftovers::new(ours, sessions, it.start_ticks)
            })
        };
        assert!(started(0));
        assert!(!started(1));
    }
}
