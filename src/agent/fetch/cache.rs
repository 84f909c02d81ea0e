//! Files that several tasks fetch, kept between them.
//!
//! As Mesos' fetcher cache: one copy for each user and URI, brought once however many ask at the same time,
//! never looked at again on the server, and gone with the agent: what an earlier agent has left is removed at
//! the start. The oldest use goes first when room is needed; what is being read stays. A file for which there
//! is no room goes straight into the sandbox.
//!
//! Only whole files are in the table: one that is still being brought belongs to whoever brings it, and goes
//! away with it.

use super::archive::Guard;
use super::error::Cause;
use crate::executor::order::Identity;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Between two looks whether whoever waits for a file still wants it.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Whose copy of what. What one user may read is nothing that another one gets from here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    user: String,
    uid: u32,
    uri: String,
}

impl Key {
    pub(super) fn new(identity: &Identity, uri: &str) -> Self {
        Self {
            user: identity.user.clone(),
            uid: identity.uid,
            uri: uri.to_owned(),
        }
    }
}

#[derive(Debug)]
struct Entry {
    path: PathBuf,
    /// What it takes, or is allowed to take while it comes.
    bytes: u64,
    is_whole: bool,
    readers: u32,
    /// Rises with each use.
    used_at: u64,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    /// The sum of the entries' bytes.
    bytes: u64,
    /// Numbers files and uses.
    count: u64,
}

/// The files, and who brings and reads them.
#[derive(Debug)]
pub(in crate::agent) struct Cache {
    directory: PathBuf,
    bytes_max: u64,
    state: Mutex<State>,
    /// A file has come, or will not.
    changed: Condvar,
}

/// What a look into the cache finds.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// The whole file.
    Here(Lease<'a>),
    /// Nothing, and nobody else brings it.
    Missing(Arrival<'a>),
    /// Nothing can be kept now.
    Unusable,
}

/// The room is taken by what is in use, or the disk is full.
#[derive(Debug)]
pub(super) struct NoRoom;

impl Cache {
    /// Empties the part of `directory` that belongs to the agent of this name.
    ///
    /// # Errors
    ///
    /// The directory cannot be made, or somebody else could put files into it.
    pub(in crate::agent) fn open(
        directory: &Path,
        agent: &str,
        bytes_max: u64,
    ) -> io::Result<Self> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o755).create(directory)?;
        let meta = fs::metadata(directory)?;
        let own = nix::unistd::Uid::effective().as_raw();
        let is_foreign = meta.uid() != own && meta.uid() != 0;
        if is_foreign || meta.mode() & WRITABLE_BY_OTHERS != 0 && meta.mode() & STICKY == 0 {
            let text = "others than this agent's user can change what is in it";
            return Err(io::Error::other(text));
        }
        let directory = directory.join(agent);
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // Made by us alone: whatever somebody puts there first is an error.
        DirBuilder::new().mode(0o700).create(&directory)?;
        Ok(Self {
            directory,
            bytes_max,
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A poisoned lock is only left by a thread that panicked, and that ends the program.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for a file; waits as long as somebody else brings it. Blocks.
    ///
    /// # Errors
    ///
    /// The guard ends the wait.
    pub(super) fn find(&self, key: &Key, guard: &mut dyn Guard) -> Result<Found<'_>, Cause> {
        let mut state = self.lock();
        loop {
            state.count += 1;
            let now = state.count;
            match state.entries.get_mut(key) {
                Some(entry) if entry.is_whole => match open_whole(entry) {
                    Ok(file) => {
                        entry.readers += 1;
                        entry.used_at = now;
                        let (key, path) = (key.clone(), entry.path.clone());
                        return Ok(Found::Here(Lease {
                            cache: self,
                            key,
                            path,
                            file,
                        }));
                    }
                    Err(error) if entry.readers == 0 => {
                        log::warn!("{}: {error}; fetched again", entry.path.display());
                        state.remove(key);
                    }
                    // Whoever reads it has it open.
                    Err(_) => return Ok(Found::Unusable),
                },
                Some(_) => {
                    let waited = self.changed.wait_timeout(state, LOOK_AGAIN);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                    guard.check(0)?;
                }
                None => {
                    let path = self.directory.join(now.to_string());
                    let mut options = OpenOptions::new();
                    options.write(true).create_new(true).mode(0o600);
                    let file = match options.open(&path) {
                        Ok(file) => file,
                        Err(error) => {
                            log::warn!("nothing is cached: {}: {error}", path.display());
                            return Ok(Found::Unusable);
                        }
                    };
                    let entry = Entry {
                        path: path.clone(),
                        bytes: 0,
                        is_whole: false,
                        readers: 0,
                        used_at: now,
                    };
                    state.entries.insert(key.clone(), entry);
                    return Ok(Found::Missing(Arrival {
                        cache: self,
                        key: key.clone(),
                        file,
                        written: 0,
                        reserved: 0,
                        is_finished: false,
                    }));
                }
            }
        }
    }

    /// Removes all that nobody uses, for a disk that is too full. Gives how many bytes that were.
    pub(in crate::agent) fn remove_unused(&self) -> u64 {
        let mut state = self.lock();
        let before = state.bytes;
        while state.remove_oldest() {}
        before - state.bytes
    }
}

/// Opens a file of the table, which has to be as it was left.
fn open_whole(entry: &Entry) -> io::Result<File> {
    let file = File::open(&entry.path)?;
    match file.metadata()?.len() == entry.bytes {
        true => Ok(file),
        false => Err(io::Error::other("somebody has changed it")),
    }
}

impl State {
    fn remove(&mut self, key: &Key) {
        let Some(entry) = self.entries.remove(key) else {
            return;
        };
        self.bytes -= entry.bytes;
        match fs::remove_file(&entry.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                log::warn!("cannot remove {}: {error}", entry.path.display());
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Removes what was used longest ago; false if all is in use.
    fn remove_oldest(&mut self) -> bool {
        let unused = |it: &(&Key, &Entry)| it.1.is_whole && it.1.readers == 0;
        let unused = self.entries.iter().filter(unused);
        let Some((key, _)) = unused.min_by_key(|(_, entry)| entry.used_at) else {
            return false;
        };
        let key = key.clone();
        self.remove(&key);
        true
    }
}

/// A file that is being brought. Dropped before its end it is gone, and somebody else may bring it.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    cache: &'a Cache,
    key: Key,
    file: File,
    written: u64,
    reserved: u64,
    is_finished: bool,
}

impl<'a> Arrival<'a> {
    /// Keeps room for so many bytes in all, for which other files may have to go.
    pub(super) fn reserve(&mut self, bytes: u64) -> Result<(), NoRoom> {
        let Some(more) = bytes.checked_sub(self.reserved).filter(|more| *more > 0) else {
            return Ok(());
        };
        let mut state = self.cache.lock();
        // Nothing is thrown away for what will not fit even so.
        if bytes > self.cache.bytes_max {
            return Err(NoRoom);
        }
        while state.bytes.saturating_add(more) > self.cache.bytes_max {
            if !state.remove_oldest() {
                return Err(NoRoom);
            }
        }
        state.bytes += more;
        if let Some(entry) = state.entries.get_mut(&self.key) {
            entry.bytes += more;
        }
        self.reserved = bytes;
        Ok(())
    }

    /// Appends bytes. What cannot be written is no error of the task's.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        self.reserve(self.written + bytes.len() as u64)?;
        self.file.write_all(bytes).map_err(|error| {
            log::warn!("{}: {error}", self.cache.directory.display());
            NoRoom
        })?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// So many bytes were written.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// All of it is there.
    ///
    /// # Errors
    ///
    /// It cannot be read again; it is gone.
    pub(super) fn finish(mut self) -> io::Result<Lease<'a>> {
        let cache = self.cache;
        let mut state = cache.lock();
        // A length that was told and is not kept makes a file that is not; so nothing of the room is left over.
        debug_assert_eq!(self.reserved, self.written, "all of the room is used");
        let entry = state.entries.get_mut(&self.key);
        let entry = entry.ok_or_else(|| io::Error::other("it is gone from the cache"))?;
        let file = File::open(&entry.path)?;
        entry.is_whole = true;
        entry.readers = 1;
        let path = entry.path.clone();
        self.is_finished = true;
        drop(state);
        cache.changed.notify_all();
        Ok(Lease {
            cache,
            key: self.key.clone(),
            path,
            file,
        })
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            self.cache.lock().remove(&self.key);
            self.cache.changed.notify_all();
        }
    }
}

/// A whole file that stays as long as this does.
#[derive(Debug)]
pub(super) struct Lease<'a> {
    cache: &'a Cache,
    key: Key,
    pub(super) path: PathBuf,
    pub(super) file: File,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.cache.lock().entries.get_mut(&self.key) {
            entry.readers -= 1;
        }
    }
}
