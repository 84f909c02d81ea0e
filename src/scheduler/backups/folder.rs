//! The directory of backups. Everything here blocks.

use crate::base::clock::Timestamp;
use crate::base::frame;
use crate::storage::Tables;
use crate::storage::backup::{Backup, BackupError, Decoder, Encoder, Header, Looked};
use jiff::tz::TimeZone;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// What the name of every backup begins with.
const PREFIX: &str = "scheduler-backup-";

/// What the name of an unfinished one begins with.
const UNFINISHED: &str = "temp_";

/// Backups hold the descriptions of jobs: not for everybody.
const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;

/// How much is read at once.
const PORTION: usize = 1 << 20;

/// Why a backup was not made. What was there before is still there.
#[derive(Debug, Error)]
pub enum SaveError {
    /// The file system says no.
    #[error("failed to {what} {path}: {cause}", path = path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// What was read back is not what was written.
    #[error(
        "{path} was written, but what is read back {cause}; the disk or the memory may be failing",
        path = path.display()
    )]
    Unproven {
        /// The file, which is removed.
        path: PathBuf,
        /// What is wrong with it.
        cause: BackupError,
    },
}

/// Why a backup cannot be used. Nothing is changed by that.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The name leads out of the directory.
    #[error(
        "'{id}' is not the name of a backup; copy the file into {dir}, then give its name alone",
        dir = dir.display()
    )]
    Name {
        /// What was given.
        id: String,
        /// Where backups are.
        dir: PathBuf,
    },
    /// There is no such file.
    #[error("Backup {path} does not exist.", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file system says no.
    #[error("Failed to read backup {path}: {cause}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The file is damaged or no backup.
    #[error("Failed to decode backup {path}: it {cause}. Nothing was changed.", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: BackupError,
    },
}

/// Where backups are (`-backup_dir`), and how many of them are kept (`-max_saved_backups`).
#[derive(Clone, Debug)]
pub struct BackupFolder {
    /// The directory.
    pub dir: PathBuf,
    /// How many backups are kept.
    pub keep: usize,
}

impl BackupFolder {
    /// Makes the directory if it is missing, and proves that files can be made there.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn prepare(&self) -> Result<(), SaveError> {
        self.make_dir()?;
        let probe = self
            .dir
            .join(format!("{UNFINISHED}probe-{}", std::process::id()));
        create(&probe).map_err(io_error("make a file in", &self.dir))?;
        fs::remove_file(&probe).map_err(io_error("remove", &probe))
    }

    fn make_dir(&self) -> Result<(), SaveError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(FOLDER_MODE);
        let made = builder.create(&self.dir);
        made.map_err(io_error("make the directory", &self.dir))
    }

    /// Writes a backup of `tables` and gives its path. One of the same minute is replaced.
    ///
    /// It has its name only once it is on the disk and has been read back from there. The oldest above
    /// the number to keep are removed.
    ///
    /// # Errors
    ///
    /// See [`SaveError`].
    pub fn save(
        &self,
        tables: Arc<Tables>,
        cluster: &str,
        taken: Timestamp,
    ) -> Result<PathBuf, SaveError> {
        self.make_dir()?;
        let name = name_of(taken, &TimeZone::system());
        let (path, draft) = (
            self.dir.join(&name),
            self.dir.join(format!("{UNFINISHED}{name}")),
        );
        let header = Header::of(&tables, cluster, taken);
        let saved = write(&draft, Encoder::new(header, tables))
            .and_then(|written| prove(&draft, &written))
            .and_then(|()| fs::rename(&draft, &path).map_err(io_error("rename", &draft)))
            .and_then(|()| sync_dir(&self.dir));
        match saved {
            Ok(()) => {
                self.prune();
                Ok(path)
            }
            Err(error) => {
                forget(&draft);
                Err(error)
            }
        }
    }

    /// Removes the oldest backups above the number to keep, and what was left unfinished.
    fn prune(&self) {
        let Ok(names) = self.all_names() else {
            return;
        };
        for name in names.iter().filter(|name| is_unfinished(name)) {
            forget(&self.dir.join(name));
        }
        let backups: Vec<&String> = names.iter().filter(|it| it.starts_with(PREFIX)).collect();
        let surplus = backups.len().saturating_sub(self.keep.max(1));
        for name in backups.iter().take(surplus) {
            forget(&self.dir.join(name));
        }
    }

    /// The files in the directory, by name. Upstream lists all of them, so that one that was copied
    /// there is seen whatever it is called; only what is unfinished is left out.
    ///
    /// # Errors
    ///
    /// What the system says; a directory that does not exist is empty.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = self.all_names()?;
        names.retain(|name| !is_unfinished(name));
        Ok(names)
    }

    fn all_names(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.extend(entry.file_name().into_string());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Reads the backup of this name.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn load(&self, id: &str) -> Result<Backup, LoadError> {
        let mut parts = Path::new(id).components();
        let is_name = matches!(parts.next(), Some(std::path::Component::Normal(it)) if it == id);
        if !is_name || parts.next().is_some() {
            return Err(LoadError::Name {
                id: id.chars().take(300).collect(),
                dir: self.dir.clone(),
            });
        }
        load(&self.dir.join(id))
    }

    /// The newest backup that is whole, and how many newer ones are not.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn newest_good(&self) -> io::Result<(Option<(String, Header)>, usize)> {
        let names = self.names()?;
        let mut bad = 0;
        for name in names.iter().rev().filter(|it| it.starts_with(PREFIX)) {
            match look(&self.dir.join(name)) {
                Ok(looked) => return Ok((Some((name.clone(), looked.header)), bad)),
                Err(_) => bad += 1,
            }
        }
        Ok((None, bad))
    }
}

/// Reads the backup in a file.
///
/// # Errors
///
/// See [`LoadError`].
fn load(path: &Path) -> Result<Backup, LoadError> {
    let mut decoder = Decoder::new();
    let damaged = |cause| LoadError::Damaged {
        path: path.to_path_buf(),
        cause,
    };
    feed(path, |bytes| decoder.take(bytes))?;
    decoder.finish().map_err(damaged)
}

/// Looks whether a file is a whole backup.
fn look(path: &Path) -> Result<Looked, LoadError> {
    let mut decoder = Decoder::that_looks();
    let damaged = |cause| LoadError::Damaged {
        path: path.to_path_buf(),
        cause,
    };
    feed(path, |bytes| decoder.take(bytes))?;
    decoder.finish_look().map_err(damaged)
}

fn feed(
    path: &Path,
    mut take: impl FnMut(&[u8]) -> Result<(), BackupError>,
) -> Result<(), LoadError> {
    let io = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => LoadError::Missing {
            path: path.to_path_buf(),
        },
        _ => LoadError::Io {
            path: path.to_path_buf(),
            cause,
        },
    };
    let mut file = File::open(path).map_err(io)?;
    let mut portion = vec![0; PORTION];
    loop {
        let count = match file.read(&mut portion) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(io(error)),
        };
        let taken = take(portion.get(..count).unwrap_or_default());
        taken.map_err(|cause| LoadError::Damaged {
            path: path.to_path_buf(),
            cause,
        })?;
    }
}

/// What was written: its length and checksum.
struct Written {
    bytes: u64,
    sum: u32,
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    options.mode(FILE_MODE).open(path)
}

fn write(path: &Path, encoder: Encoder) -> Result<Written, SaveError> {
    let mut file = create(path).map_err(io_error("create", path))?;
    let mut written = Written {
        bytes: 0,
        sum: frame::checksum(&[]),
    };
    for portion in encoder {
        file.write_all(&portion).map_err(io_error("write", path))?;
        written.bytes += portion.len() as u64;
        written.sum = frame::checksum_on(written.sum, &portion);
    }
    // DURABILITY: before the rename, or a crash could leave the name on an empty file.
    file.sync_all().map_err(io_error("sync", path))?;
    // What is read back shall come from the disk. Where that cannot be had, from memory will do.
    if let Err(error) = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED) {
        log::debug!("{} stays in memory: {error}", path.display());
    }
    Ok(written)
}

fn prove(path: &Path, written: &Written) -> Result<(), SaveError> {
    let unproven = |cause| SaveError::Unproven {
        path: path.to_path_buf(),
        cause,
    };
    let looked = look(path).map_err(|error| match error {
        LoadError::Damaged { cause, .. } => unproven(cause),
        LoadError::Io { cause, .. } => io_error("read", path)(cause),
        LoadError::Missing { .. } | LoadError::Name { .. } => {
            io_error("read", path)(io::ErrorKind::NotFound.into())
        }
    })?;
    match (looked.bytes, looked.sum) == (written.bytes, written.sum) {
        true => Ok(()),
        false => Err(unproven(BackupError::Sum)),
    }
}

fn sync_dir(dir: &Path) -> Result<(), SaveError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(io_error("sync", dir))
}

/// Removes a file that is of no use; one that stays does no harm and is tried again.
fn forget(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            log::warn!("{} was not removed: {error}", path.display());
        }
        _ => {}
    }
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SaveError {
    let path = path.to_path_buf();
    move |cause| SaveError::Io { what, path, cause }
}

fn is_unfinished(name: &str) -> bool {
    name.strip_prefix(UNFINISHED)
        .is_some_and(|rest| rest.starts_with(PREFIX) || rest.starts_with("probe-"))
}

/// The name of a backup of this time: upstream's, to the minute, in the time zone of the machine.
pub(super) fn name_of(taken: Timestamp, zone: &TimeZone) -> String {
    let moment = jiff::Timestamp::from_millisecond(taken.as_ms()).unwrap_or_default();
    let local = moment.to_zoned(zone.clone());
    format!("{PREFIX}{}", local.strftime("%Y-%m-%d-%H-%M"))
}
