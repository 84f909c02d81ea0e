//! The system's own programs for the formats that are not read here. They run as the task's user.

use crate::executor::order::Identity;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A program that writes what it unpacks; ended when it is dropped.
#[derive(Debug)]
pub(super) struct Unpacker {
    program: &'static str,
    child: Child,
    output: ChildStdout,
}

impl Unpacker {
    /// Starts `program` on a packed file.
    ///
    /// # Errors
    ///
    /// It is not installed, or cannot run as the user.
    pub(super) fn start(
        program: &'static str,
        packed: File,
        identity: &Identity,
    ) -> io::Result<Self> {
        let mut command = Command::new(program);
        command
            .arg("-dc")
            .current_dir("/")
            .stdin(packed)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if identity.is_switched {
            command.gid(identity.gid).uid(identity.uid);
        }
        let mut child = command.spawn().map_err(|error| {
            let text = format!("this machine has no '{program}' to unpack it: {error}");
            io::Error::new(error.kind(), text)
        })?;
        let output = child.stdout.take();
        let output = output.ok_or_else(|| io::Error::other("no pipe from the unpacker"))?;
        Ok(Self {
            program,
            child,
            output,
        })
    }
}

impl Read for Unpacker {
    /// An end is one only if the program says that it was.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.output.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            let status = self.child.wait()?;
            if !status.success() {
                let text = format!("{} cannot unpack it: {status}", self.program);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
        Ok(count)
    }
}

impl Drop for Unpacker {
    fn drop(&mut self) {
        // One that has ended already does not mind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
