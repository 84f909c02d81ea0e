//! Leaves the program that started the executor behind.

use nix::unistd::{ForkResult, dup2_stdin, dup2_stdout, fork, pipe2, setsid};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::process::ExitCode;

/// Which side of the split this process is.
pub(in crate::executor) enum Detached {
    /// Goes on, in a session of its own; tells by the file that it is ready.
    Executor(Ready),
    /// Ends with this code: 0 when the executor is ready.
    Starter(ExitCode),
}

/// Tells the starter that the executor is ready.
pub(in crate::executor) struct Ready(File);

impl Ready {
    pub(in crate::executor) fn tell(mut self) -> io::Result<()> {
        self.0.write_all(b"r")
    }
}

/// Splits this process in two: a starter that waits, and an executor that is nobody's child.
pub(in crate::executor) fn detach() -> io::Result<Detached> {
    let (reader, writer) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    // SAFETY: the program has one thread, so the child may do what any program may.
    match unsafe { fork() }? {
        ForkResult::Parent { .. } => {
            drop(writer);
            let mut byte = [0];
            let code = match File::from(reader).read_exact(&mut byte) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            };
            Ok(Detached::Starter(code))
        }
        ForkResult::Child => {
            drop(reader);
            setsid()?;
            // Whoever reads what the starter writes must not wait for the executor.
            let null = OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/null")?;
            dup2_stdin(&null)?;
            dup2_stdout(&null)?;
            Ok(Detached::Executor(Ready(File::from(writer))))
        }
    }
}
