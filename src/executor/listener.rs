//! The executor's end of the control socket.

use super::control::{COMMAND_BYTES_MAX, Command, NUDGE};
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// An agent has one; a new agent may come before the old one's has closed.
const CONNECTIONS_MAX: usize = 4;

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    received: Vec<u8>,
}

/// The socket and who is connected.
#[derive(Debug)]
pub(super) struct Listener {
    socket: UnixListener,
    connections: Vec<Connection>,
}

impl Listener {
    /// Takes the place of a socket that a dead executor left.
    ///
    /// The path is relative to the task's directory, so that its length does not matter.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let socket = UnixListener::bind(path)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            connections: Vec::new(),
        })
    }

    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let connections = self.connections.iter().map(|it| it.stream.as_fd());
        std::iter::once(self.socket.as_fd()).chain(connections)
    }

    /// Takes what has arrived. Whoever connects, asks or misbehaves cannot stop the task.
    pub(super) fn poll(&mut self) -> Vec<Command> {
        while let Ok((mut stream, _)) = self.socket.accept() {
            // The first nudge stands for all that happened before the connection was accepted.
            let is_usable = stream.set_nonblocking(true).and(stream.write_all(&[NUDGE]));
            if is_usable.is_ok() {
                if self.connections.len() >= CONNECTIONS_MAX {
                    self.connections.remove(0);
                }
                self.connections.push(Connection {
                    stream,
                    received: Vec::new(),
                });
            }
        }
        let mut commands = Vec::new();
        self.connections
            .retain_mut(|connection| connection.poll(&mut commands));
        commands
    }

    /// Tells everybody to look at the checkpoint.
    pub(super) fn nudge(&mut self) {
        self.connections.retain_mut(|connection| {
            match connection.stream.write_all(&[NUDGE]) {
                Ok(()) => true,
                // Unread nudges are there already: one more would say nothing new.
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            }
        });
    }
}

impl Connection {
    /// Gives whether the connection is still of use.
    fn poll(&mut self, commands: &mut Vec<Command>) -> bool {
        let mut buffer = [0; 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(read) => self.received.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
            let mut at = 0;
            loop {
                match Command::decode(&self.received, at) {
                    Ok(Some((command, next))) => {
                        commands.push(command);
                        at = next;
                    }
                    Ok(None) => break,
                    Err(_) => return false,
                }
            }
            self.received.drain(..at);
            if self.received.len() > 2 * COMMAND_BYTES_MAX {
                return false;
            }
        }
    }
}
