//! What an executor is put into before it starts.

use crate::agent::os::{self, ProcessLimits};
use crate::executor::{memory, paths};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::Command;

/// The control group and the resource limits of a process that is about to start. Its children inherit both.
#[derive(Debug)]
pub struct Cage {
    pub(super) doors: Vec<File>,
    /// Where an executor is born, instead of going in by a door.
    pub(super) birthplace: Option<PathBuf>,
    pub(super) memory: Option<PathBuf>,
    pub(super) limits: ProcessLimits,
}

impl Cage {
    /// Has an executor run in it: one that is born there where that is possible, or else as any program.
    ///
    /// # Errors
    ///
    /// As [`Cage::close_around`].
    pub fn close_around_executor(mut self, command: &mut Command) -> io::Result<()> {
        if let Some(directory) = self.birthplace.take() {
            command.env(paths::CGROUP_VARIABLE, directory);
            self.doors.clear();
        }
        self.close_around(command)
    }

    /// Has the process enter before it becomes its program.
    ///
    /// # Errors
    ///
    /// The limits that the agent itself has cannot be asked for.
    pub fn close_around(self, command: &mut Command) -> io::Result<()> {
        if let Some(directory) = &self.memory {
            command.env(memory::ENVIRONMENT, directory);
        }
        os::confine(command, self.doors, self.limits)
    }
}
