//! What an executor is put into before it starts.

use crate::agent::os;
use crate::executor::cage::{self, ProcessLimits};
use crate::executor::paths;
use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::process::Command;

/// The control group and the resource limits of a process that is about to start. Its children inherit both.
#[derive(Debug)]
pub struct Cage {
    pub(super) doors: Vec<PathBuf>,
    /// Where an executor is born, instead of going in by a door.
    pub(super) birthplace: Option<PathBuf>,
    pub(super) memory: Option<PathBuf>,
    pub(super) limits: ProcessLimits,
}

impl Cage {
    /// Has an executor go in by itself, or be born there where that is possible. The command stays one that can
    /// be spawned without a fork of the agent.
    pub fn close_around_executor(mut self, command: &mut Command) {
        if let Some(directory) = self.birthplace.take() {
            command.env(paths::CGROUP_VARIABLE, directory);
            self.doors.clear();
        }
        command.envs(cage::to_environment(&self.doors, &self.limits));
        if let Some(directory) = &self.memory {
            command.env(paths::MEMORY_VARIABLE, directory);
        }
    }

    /// Has any other program enter before it becomes itself.
    ///
    /// # Errors
    ///
    /// The group is not there, or the limits that the agent itself has cannot be asked for.
    pub fn close_around(self, command: &mut Command) -> io::Result<()> {
        if let Some(directory) = &self.memory {
            command.env(paths::MEMORY_VARIABLE, directory);
        }
        let open = |door: &PathBuf| OpenOptions::new().write(true).open(door);
        let doors = self.doors.iter().map(open).collect::<io::Result<_>>()?;
        os::confine(command, doors, self.limits.resolve()?);
        Ok(())
    }
}
