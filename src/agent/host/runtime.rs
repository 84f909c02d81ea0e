//! How executors come to run: directly on this machine, and whatever else there may be one day.

use super::directory::TaskDirectory;
use crate::executor::order::Order;
use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Runs the executors of some tasks: those of containers of one kind.
///
/// Whatever it does, the executor has the task's directory under the path that it is told, takes its lock and
/// writes its checkpoint there; all else follows from these, as for any executor. All methods may block.
pub(super) trait ContainerRuntime: Debug + Send + Sync {
    /// Whether it runs this task.
    fn is_for(&self, order: &Order) -> bool;

    /// The program that starts the executor and ends with status 0 when that has taken the task. `words` are the
    /// executor's own flags.
    ///
    /// # Errors
    ///
    /// It cannot be prepared; it is tried again a few times.
    fn starter(
        &self,
        directory: &TaskDirectory,
        order: &Order,
        words: Vec<String>,
    ) -> io::Result<Command>;

    /// Ends and removes what there may be of the task besides its processes. Nothing of it runs any more that this
    /// machine's processes show. May be called again.
    ///
    /// # Errors
    ///
    /// Something is left; the task is reported to have ended all the same.
    fn clean_up(&self, directory: &TaskDirectory) -> io::Result<()>;
}

/// No container: the executor is a process like any other.
#[derive(Debug)]
pub(super) struct Machine {
    /// The executor's program.
    pub(super) executor: PathBuf,
}

impl ContainerRuntime for Machine {
    /// Those that nobody else wants too: the executor says what it cannot run.
    fn is_for(&self, _order: &Order) -> bool {
        true
    }

    fn starter(
        &self,
        directory: &TaskDirectory,
        _order: &Order,
        words: Vec<String>,
    ) -> io::Result<Command> {
        let journal = directory.open_journal()?;
        let mut command = Command::new(&self.executor);
        command
            .args(words)
            .arg(format!("--task-dir={}", directory.path().display()))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(journal);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        Ok(command)
    }

    /// Processes are all that there is.
    fn clean_up(&self, _directory: &TaskDirectory) -> io::Result<()> {
        Ok(())
    }
}
