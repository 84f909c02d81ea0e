//! Carries the output of processes from pipes to files, for those whose files are rotated or shared.
//!
//! A part of the one poll loop: [`Logs::pump`] gives back after a bounded time, and a stream whose disk was
//! slow rests as long as it had held the loop up, so that the other half of the time is for everything else.
//! A process that writes faster than that waits at its pipe, as it would at its file.
//!
//! The files are in the hands of the task's user. All work on them is done with that user's rights to files,
//! so that nothing put in their place leads further than the user could go.

use super::journal;
use super::log_file::{LogFile, News, Rotation};
use super::logger::{Destination, Logger};
use super::order::Identity;
use crate::base::clock::{self, Instant};
use crate::supervise::Run;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Read at once.
const READ_BYTES: usize = 64 << 10;
/// After this long the loop goes on with other things.
const PUMP_TIME: Duration = Duration::from_millis(50);
/// A write that takes longer makes its stream rest.
const SLOW_WRITE: Duration = Duration::from_millis(100);
/// So much is taken of a stream when its process has ended, besides what the loop takes.
const DRAIN_BYTES_MAX: usize = 1 << 20;
/// And so long at most.
const DRAIN_TIME: Duration = Duration::from_secs(2);
/// Streams that a child of an ended process holds open; of more the oldest is closed.
const LINGERING_MAX: usize = 64;
/// Below the logs of the processes, which cannot have this name: what the processes of the task share.
const CONSOLE: &str = ".console";
/// What the streams are called.
const NAMES: [&str; 2] = ["stdout", "stderr"];

#[derive(Debug)]
struct Stream {
    run: Run,
    /// Which of [`NAMES`].
    which: usize,
    pipe: File,
    file: Option<LogFile>,
    is_shared: bool,
    /// The process has ended; a child of it holds the pipe.
    is_lingering: bool,
    rests_until: Option<Instant>,
}

/// All streams of a task.
#[derive(Debug)]
pub(super) struct Logs {
    directory: PathBuf,
    user: Option<(Uid, Gid)>,
    streams: Vec<Stream>,
    consoles: [LogFile; 2],
    buffer: Vec<u8>,
    /// The stream whose turn it is.
    turn: usize,
}

/// The user's rights to files, until it is dropped. The program has one thread.
struct FileRights(bool);

impl FileRights {
    fn of(user: Option<(Uid, Gid)>) -> Self {
        if let Some((uid, gid)) = user {
            setfsgid(gid);
            setfsuid(uid);
        }
        Self(user.is_some())
    }
}

impl Drop for FileRights {
    fn drop(&mut self) {
        if self.0 {
            setfsuid(Uid::effective());
            setfsgid(Gid::effective());
        }
    }
}

impl Logs {
    /// Of the task whose logs are in `directory`, made if missing.
    pub(super) fn new(directory: PathBuf, identity: &Identity) -> Self {
        let new = Logger::default();
        let console = |name: &str| {
            let path = directory.join(CONSOLE).join(name);
            // What nobody asked to be rotated must not grow for ever either.
            let (log_bytes, backups) = (new.log_bytes, new.backups);
            LogFile::new(path, Some(Rotation { log_bytes, backups }))
        };
        let consoles = NAMES.map(console);
        let user = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
        Self {
            directory,
            user: identity.is_switched.then_some(user),
            streams: Vec::new(),
            consoles,
            buffer: Vec::new(),
            turn: 0,
        }
    }

    /// Takes over the streams of a run.
    ///
    /// # Errors
    ///
    /// The pipes cannot be used. Files that cannot be used are only noted.
    pub(super) fn add(
        &mut self,
        run: Run,
        process: &str,
        logger: Logger,
        pipes: Vec<OwnedFd>,
    ) -> nix::Result<()> {
        let own = self.directory.join(process).join(run.number.to_string());
        let is_shared = logger.destination != Destination::File;
        let has_file = logger.destination != Destination::Console;
        {
            let _rights = FileRights::of(self.user);
            if has_file {
                make_directory(&own);
            }
            if is_shared {
                make_directory(&self.directory.join(CONSOLE));
            }
        }
        let rotation = logger.rotates.then_some(Rotation {
            log_bytes: logger.log_bytes,
            backups: logger.backups,
        });
        for (which, pipe) in pipes.into_iter().enumerate() {
            fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            let mut file = has_file.then(|| LogFile::new(own.join(NAMES[which]), rotation));
            if let Some(file) = &mut file {
                let _rights = FileRights::of(self.user);
                let news = file.write(clock::now(), &[]);
                note(file.path(), news);
            }
            self.streams.push(Stream {
                run,
                which,
                pipe: File::from(pipe),
                file,
                is_shared,
                is_lingering: false,
                rests_until: None,
            });
        }
        Ok(())
    }

    /// What to wait for.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let awake = self.streams.iter().filter(|it| it.rests_until.is_none());
        awake.map(|it| it.pipe.as_fd())
    }

    /// When a stream has rested.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.streams.iter().filter_map(|it| it.rests_until).min()
    }

    /// Carries what is there, for a bounded time.
    pub(super) fn pump(&mut self) {
        if self.streams.is_empty() {
            return;
        }
        let begin = clock::now();
        for stream in &mut self.streams {
            stream.rests_until = stream.rests_until.filter(|due| *due > begin);
        }
        let mut idle = 0;
        while idle < self.streams.len() && clock::now().since(begin) < PUMP_TIME {
            self.turn %= self.streams.len();
            let at = self.turn;
            if self.streams[at].rests_until.is_some() {
                idle += 1;
                self.turn += 1;
                continue;
            }
            match self.carry(at) {
                Carried::Bytes(_) => {
                    idle = 0;
                    self.turn += 1;
                }
                Carried::Nothing => {
                    idle += 1;
                    self.turn += 1;
                }
                Carried::End => {
                    self.streams.remove(at);
                }
            }
        }
    }

    /// A run has ended: takes what it has written.
    pub(super) fn finish_run(&mut self, run: Run) {
        self.drain(|stream| stream.run == run);
        for stream in self.streams.iter_mut().filter(|it| it.run == run) {
            stream.is_lingering = true;
        }
        let lingering = self.streams.iter().filter(|it| it.is_lingering).count();
        for _ in LINGERING_MAX..lingering {
            if let Some(at) = self.streams.iter().position(|it| it.is_lingering) {
                self.streams.remove(at);
            }
        }
    }

    /// The task has ended: takes what there is.
    pub(super) fn finish(&mut self) {
        self.drain(|_| true);
        self.streams.clear();
    }

    fn drain(&mut self, is_due: impl Fn(&Stream) -> bool) {
        let late = clock::now() + DRAIN_TIME;
        let mut at = 0;
        while at < self.streams.len() {
            let mut left = DRAIN_BYTES_MAX;
            let is_over = loop {
                if !is_due(&self.streams[at]) || left == 0 || clock::now() >= late {
                    break false;
                }
                match self.carry(at) {
                    Carried::Bytes(count) => left = left.saturating_sub(count),
                    Carried::Nothing => break false,
                    Carried::End => break true,
                }
            };
            match is_over {
                true => drop(self.streams.remove(at)),
                false => at += 1,
            }
        }
    }

    /// One read and what follows from it.
    fn carry(&mut self, at: usize) -> Carried {
        self.buffer.resize(READ_BYTES, 0);
        let stream = &mut self.streams[at];
        let count = match stream.pipe.read(&mut self.buffer) {
            Ok(0) => return Carried::End,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Carried::Nothing,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Carried::Bytes(0),
            Err(_) => return Carried::End,
        };
        let bytes = &self.buffer[..count];
        let before = clock::now();
        let console = stream.is_shared.then_some(&mut self.consoles[stream.which]);
        let _rights = FileRights::of(self.user);
        for file in stream.file.iter_mut().chain(console) {
            let news = file.write(before, bytes);
            note(file.path(), news);
        }
        let after = clock::now();
        let took = after.since(before);
        if took >= SLOW_WRITE {
            stream.rests_until = Some(after + took);
        }
        Carried::Bytes(count)
    }
}

enum Carried {
    Bytes(usize),
    End,
    Nothing,
}

/// Whether it worked shows when the file in it is opened.
fn make_directory(path: &Path) {
    if let Err(error) = fs::create_dir_all(path) {
        journal::note(format_args!("cannot make {}: {error}", path.display()));
    }
}

fn note(path: &Path, news: Option<News>) {
    let path = path.display();
    match news {
        Some(News::Resumed(dropped)) => journal::note(format_args!(
            "{path} is written again; {dropped} bytes are lost"
        )),
        Some(News::Stopped(error)) => journal::note(format_args!(
            "cannot write {path}, the task goes on without it: {error}"
        )),
        None => {}
    }
}
