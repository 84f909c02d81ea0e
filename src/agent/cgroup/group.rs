//! The group of one task.

use super::root::make;
use super::settings::{Allowance, Controller, Version, settings};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PROCS: &str = "cgroup.procs";
/// Of version 1. A process of one thread that moves itself by this file does not wait for all others to pause,
/// which takes newer kernels ten milliseconds and more.
const TASKS: &str = "tasks";
/// Between two looks at processes that were told to end or to stand still.
const PAUSE: Duration = Duration::from_millis(2);
/// So often it is looked whether all stand still before they are killed as they are.
const FREEZE_LOOKS: u32 = 50;

/// A task's group. All of it blocks; none of it for long but [`TaskGroup::kill`].
#[derive(Clone, Debug)]
pub struct TaskGroup {
    version: Version,
    directories: BTreeMap<Controller, PathBuf>,
}

impl TaskGroup {
    pub(super) fn new(version: Version, directories: BTreeMap<Controller, PathBuf>) -> Self {
        Self {
            version,
            directories,
        }
    }

    /// Its name below the agent's group.
    pub fn name(&self) -> Option<&str> {
        let directory = self.directories.values().next()?;
        directory.file_name()?.to_str()
    }

    /// Its directory in the memory hierarchy.
    pub fn memory(&self) -> Option<&Path> {
        self.directories
            .get(&Controller::Memory)
            .map(PathBuf::as_path)
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.distinct().iter().any(|it| it.exists())
    }

    fn distinct(&self) -> BTreeSet<&PathBuf> {
        self.directories.values().collect()
    }

    /// Makes the group with its limits. One that is there is used again.
    ///
    /// # Errors
    ///
    /// A limit cannot be set; what was made is gone again.
    pub fn create(&self, allowance: &Allowance) -> io::Result<()> {
        let made = self.try_create(allowance);
        if made.is_err() {
            self.remove().unwrap_or_default();
        }
        made
    }

    fn try_create(&self, allowance: &Allowance) -> io::Result<()> {
        for (controller, directory) in &self.directories {
            make(directory)?;
            for setting in settings(self.version, *controller, allowance) {
                let path = directory.join(setting.file);
                if let Err(error) = fs::write(&path, &setting.value)
                    && setting.is_needed
                {
                    let text = format!("cannot set {}: {error}", path.display());
                    return Err(io::Error::new(error.kind(), text));
                }
            }
        }
        Ok(())
    }

    /// The files through which a process of one thread enters the group, by writing `0`.
    pub fn doors(&self) -> Vec<PathBuf> {
        let name = match self.version {
            Version::One => TASKS,
            Version::Two => PROCS,
        };
        let distinct = self.distinct().into_iter();
        distinct.map(|directory| directory.join(name)).collect()
    }

    /// The directory that a process can be born into, which is quicker than to enter: of version 2 only.
    pub fn birthplace(&self) -> Option<&Path> {
        match self.version {
            Version::One => None,
            Version::Two => self.directories.values().next().map(PathBuf::as_path),
        }
    }

    /// All processes in the group, in any hierarchy; zombies may be among them.
    pub fn processes(&self) -> BTreeSet<i32> {
        let mut found = BTreeSet::new();
        for directory in self.distinct() {
            found.extend(read_processes(directory));
        }
        found
    }

    /// Kills all in the group until it is empty, and removes it. Gives how many were found alive at first.
    ///
    /// # Errors
    ///
    /// Something does not die within `rounds`; it hangs in the kernel.
    pub fn kill(&self, rounds: u32) -> io::Result<usize> {
        let first = self.processes().len();
        for round in 0..=rounds {
            if self.processes().is_empty() {
                match self.remove() {
                    // What was just killed leaves the group a moment after its list; and a task that may do
                    // as it likes may have made groups below its own.
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
                    other => return other.map(|()| first),
                }
            }
            self.kill_once();
            // Longer and longer, up to a tenth of a second.
            std::thread::sleep(PAUSE * round.clamp(1, 50));
        }
        let count = self.processes().len();
        Err(io::Error::other(format!("{count} processes do not die")))
    }

    fn kill_once(&self) {
        match self.version {
            Version::Two => {
                let kill_file = self
                    .directories
                    .values()
                    .next()
                    .map(|it| it.join("cgroup.kill"));
                if kill_file.is_some_and(|path| fs::write(path, "1").is_ok()) {
                    return;
                }
                self.while_frozen("cgroup.freeze", ("1", "0"), "cgroup.events", "frozen 1");
            }
            Version::One => {
                let state = "freezer.state";
                self.while_frozen(state, ("FROZEN", "THAWED"), state, "FROZEN");
            }
        }
    }

    /// Signals all while none of them can make another.
    fn while_frozen(&self, file: &str, (on, off): (&str, &str), seen_in: &str, seen: &str) {
        let by = match self.version {
            Version::One => self.directories.get(&Controller::Freezer),
            Version::Two => self.directories.values().next(),
        };
        let is_frozen = |directory: &PathBuf| {
            let text = fs::read_to_string(directory.join(seen_in)).unwrap_or_default();
            text.lines().any(|line| line.trim() == seen)
        };
        if let Some(directory) = by.filter(|it| fs::write(it.join(file), on).is_ok()) {
            for _ in 0..FREEZE_LOOKS {
                if is_frozen(directory) {
                    break;
                }
                std::thread::sleep(PAUSE);
            }
        }
        let mut doomed = BTreeSet::new();
        for directory in self.distinct() {
            add_processes(directory, &mut doomed);
        }
        for pid in doomed {
            // Gone since is as good.
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap_or_default();
        }
        if let Some(directory) = by {
            // A signal takes effect when the process may run again.
            drop(fs::write(directory.join(file), off));
        }
    }

    /// Removes the group, and what tasks may have made in it.
    ///
    /// # Errors
    ///
    /// It is not empty.
    pub fn remove(&self) -> io::Result<()> {
        for directory in self.distinct() {
            remove_tree(directory)?;
        }
        Ok(())
    }
}

fn read_processes(directory: &Path) -> Vec<i32> {
    let text = fs::read_to_string(directory.join(PROCS)).unwrap_or_default();
    let ids = text.lines().filter_map(|line| line.parse().ok());
    // Zero is a process that cannot be seen from here.
    ids.filter(|pid| *pid > 0).collect()
}

fn add_processes(directory: &Path, found: &mut BTreeSet<i32>) {
    found.extend(read_processes(directory));
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            add_processes(&entry.path(), found);
        }
    }
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    match fs::remove_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {}
        other => return other,
    }
    for entry in fs::read_dir(directory)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(directory)
}
