//! Where a replica's files are, how they come to be, and whose they are.
//!
//! ```text
//! PATH/replica/evidence    two slots and the lock
//! PATH/replica/store/      the database
//! PATH/.initializing/      an initialisation that was cut short: worth nothing
//! PATH/replica.unproven/   a replica that could not prove what it held: for people to look at
//! ```
//!
//! `replica` appears by one rename, after everything in it is durable: there is no half of a
//! replica.

use super::disk::{Disk, Fresh};
use super::error::InitializeError;
use super::evidence::{EvidenceFile, EvidenceOpenError};
use super::keyspace::FjallStore;
use crate::base::clock::{self, Timestamp};
use crate::base::rng::Rng;
use crate::paxos::{Ballot, Configuration, Incarnation, Member, Replica, ReplicaId};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

const REPLICA: &str = "replica";
const UNFINISHED: &str = ".initializing";
const ASIDE: &str = "replica.unproven";
const EVIDENCE: &str = "evidence";
const STORE: &str = "store";

/// What a path holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Nothing, or it does not exist.
    Empty,
    /// Something that is no replica.
    Foreign(String),
    /// It is no directory.
    NotADirectory,
    /// A replica.
    Replica,
}

/// Looks at a path without changing it.
///
/// # Errors
///
/// If it cannot be read.
pub fn inspect(path: &Path) -> io::Result<Holding> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Holding::Empty),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Ok(Holding::NotADirectory);
        }
        Err(error) => return Err(error),
    };
    let mut foreign = None;
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        match name.as_str() {
            REPLICA => return Ok(Holding::Replica),
            // The root of a file system may be given as the path.
            UNFINISHED | ASIDE | "lost+found" => {}
            _ => foreign = Some(name),
        }
    }
    Ok(foreign.map_or(Holding::Empty, Holding::Foreign))
}

/// The evidence file of the replica in `path`.
pub fn evidence_path(path: &Path) -> PathBuf {
    path.join(REPLICA).join(EVIDENCE)
}

/// The database of the replica in `path`.
pub fn store_path(path: &Path) -> PathBuf {
    path.join(REPLICA).join(STORE)
}

/// Makes the replica that `path` will hold, voting and of no ensemble yet.
///
/// Run as root, its files and the directories made for it belong to the owner of the nearest
/// directory that was there before.
///
/// # Errors
///
/// See [`InitializeError`].
pub fn initialize(path: &Path, rng: &mut Rng) -> Result<(), InitializeError> {
    let path_buf = || path.to_path_buf();
    let failed = |cause: io::Error| InitializeError::Io {
        path: path_buf(),
        cause: cause.to_string(),
    };
    refuse_unless_empty(path)?;
    let nearest = nearest_existing(path);
    let owner = fs::metadata(&nearest).map_err(failed)?;
    make_directories(path, &nearest, &owner).map_err(failed)?;
    // Two of these at once: the lock on the directory lets one of them go on, the other looks
    // again.
    let directory = File::open(path).map_err(failed)?;
    directory.lock().map_err(failed)?;
    refuse_unless_empty(path)?;
    let me = Member {
        // Zero names nobody.
        id: ReplicaId(rng.next_u64().max(1)),
        incarnation: Incarnation(0),
    };
    let cluster = (u128::from(rng.next_u64()) << 64) | u128::from(rng.next_u64());
    let configuration = Configuration::alone(cluster, me);
    let fresh = Fresh::voting(me, configuration, first_ballot(clock::wall()));
    publish_replica(path, &directory, &owner, fresh).map_err(failed)
}

/// Makes a replica and gives it its place in `path`.
fn publish_replica(
    path: &Path,
    directory: &File,
    owner: &fs::Metadata,
    fresh: Fresh,
) -> io::Result<()> {
    let unfinished = path.join(UNFINISHED);
    make_replica(&unfinished, owner, fresh)?;
    fs::rename(&unfinished, path.join(REPLICA))?;
    // DURABILITY: the rename is what makes the replica; it has to outlive a power cut.
    directory.sync_all()
}

/// Makes a replica at an empty `path` that has to learn everything from others before it votes.
///
/// # Errors
///
/// See [`InitializeError`].
pub fn make_joining(path: &Path, me: Member) -> Result<(), InitializeError> {
    let failed = |cause: io::Error| InitializeError::Io {
        path: path.to_path_buf(),
        cause: cause.to_string(),
    };
    refuse_unless_empty(path)?;
    let nearest = nearest_existing(path);
    let owner = fs::metadata(&nearest).map_err(failed)?;
    make_directories(path, &nearest, &owner).map_err(failed)?;
    let directory = File::open(path).map_err(failed)?;
    directory.lock().map_err(failed)?;
    refuse_unless_empty(path)?;
    publish_replica(path, &directory, &owner, Fresh::joining(me, false)).map_err(failed)
}

/// Sets a replica aside that cannot prove what it held, and puts one in its place that has lost
/// everything but who it is. Gives the place of the old one.
///
/// What was set aside before is deleted.
///
/// # Errors
///
/// If the file system says no. A replica that is half made is not taken for one.
pub fn set_aside(path: &Path, me: Option<Member>) -> io::Result<PathBuf> {
    let owner = fs::metadata(path)?;
    let directory = File::open(path)?;
    let aside = path.join(ASIDE);
    match fs::remove_dir_all(&aside) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::rename(path.join(REPLICA), &aside)?;
    directory.sync_all()?;
    if let Some(me) = me {
        publish_replica(path, &directory, &owner, Fresh::joining(me, true))?;
    }
    Ok(aside)
}

fn refuse_unless_empty(path: &Path) -> Result<(), InitializeError> {
    let path_buf = path.to_path_buf();
    match inspect(path) {
        Ok(Holding::Empty) => Ok(()),
        Ok(Holding::Foreign(found)) => Err(InitializeError::Foreign {
            path: path_buf,
            found,
        }),
        Ok(Holding::NotADirectory) => Err(InitializeError::NotADirectory { path: path_buf }),
        Ok(Holding::Replica) => match EvidenceFile::open(&evidence_path(path)) {
            Err(EvidenceOpenError::InUse) => Err(InitializeError::InUse { path: path_buf }),
            Ok(_) | Err(EvidenceOpenError::Io(_)) => {
                Err(InitializeError::AlreadyInitialized { path: path_buf })
            }
        },
        Err(cause) => Err(InitializeError::Io {
            path: path_buf,
            cause: cause.to_string(),
        }),
    }
}

/// The path itself, or the closest directory above it that exists.
fn nearest_existing(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if ancestor.as_os_str().is_empty() {
            break;
        }
        if ancestor.exists() {
            return ancestor.to_path_buf();
        }
    }
    PathBuf::from(".")
}

/// Makes `path` and what is missing above it, from the top, each durable in the one above.
fn make_directories(path: &Path, nearest: &Path, owner: &fs::Metadata) -> io::Result<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|ancestor| *ancestor != nearest && !ancestor.as_os_str().is_empty())
        .collect();
    for directory in missing.into_iter().rev() {
        make_directory(directory, owner)?;
        let above = directory.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// Makes one directory, unless somebody else just did.
///
/// It appears under its name with its owner already right: one that were left with a wrong owner by a
/// crash would hand it on to everything that a later try puts below it.
fn make_directory(directory: &Path, owner: &fs::Metadata) -> io::Result<()> {
    let name = directory.file_name().unwrap_or_default();
    let mut draft = std::ffi::OsString::from(".");
    draft.push(name);
    draft.push(format!(".{}.new", std::process::id()));
    let draft = directory.with_file_name(draft);
    match fs::remove_dir(&draft) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::create_dir(&draft)?;
    let made = give(&draft, owner).and_then(|()| publish(&draft, directory));
    if made.is_err() {
        // What went wrong before is what is told.
        fs::remove_dir(&draft).unwrap_or_default();
    }
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Gives a finished directory its name, if nothing has it.
fn publish(draft: &Path, directory: &Path) -> io::Result<()> {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    let flags = RenameFlags::RENAME_NOREPLACE;
    match renameat2(AT_FDCWD, draft, AT_FDCWD, directory, flags) {
        // Some file systems know no such flag. A plain rename replaces an empty directory at most.
        Err(nix::errno::Errno::EINVAL) => fs::rename(draft, directory),
        renamed => Ok(renamed?),
    }
}

/// Where a new log's rounds begin: at the time, in milliseconds.
///
/// Agents refuse orders under lower ballots than they have seen. A log that replaces a lost one
/// must not begin below it, and no log holds an election a millisecond for as long as it lives.
/// (An election a second is less absurd: an ensemble that is lost and made anew at once, as in a
/// drill, has held its first ones within a second.)
///
/// A clock that is set back, or before 1970, makes it begin lower: then it may be below. One that is far
/// ahead does not make it begin where other replicas would not believe it.
pub fn first_ballot(now: Timestamp) -> Ballot {
    Ballot {
        round: u64::try_from(now.as_ms())
            .unwrap_or(0)
            .min(Replica::ROUNDS_BEGIN_BELOW),
        ..Ballot::ZERO
    }
}

fn make_replica(directory: &Path, owner: &fs::Metadata, fresh: Fresh) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    DirBuilder::new().mode(0o750).create(directory)?;
    let failed = |error: super::store::StoreError| io::Error::other(error.to_string());
    let store = FjallStore::open(&directory.join(STORE)).map_err(failed)?;
    let evidence = Disk::create(&store, fresh).map_err(failed)?;
    // The database writes in the background: it has to be gone before its files are synced and
    // moved.
    drop(store);
    EvidenceFile::create(&directory.join(EVIDENCE), &evidence)?;
    settle_tree(directory, owner)
}

/// Gives everything below and including `path` to `owner`, and syncs it, innermost first.
fn settle_tree(path: &Path, owner: &fs::Metadata) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            settle_tree(&entry?.path(), owner)?;
        }
    }
    give(path, owner)?;
    File::open(path)?.sync_all()
}

/// Gives `path` to the owner of another file, where this process may.
fn give(path: &Path, owner: &fs::Metadata) -> io::Result<()> {
    let is_root = nix::unistd::geteuid().is_root();
    let own = fs::metadata(path)?;
    if !is_root || (own.uid() == owner.uid() && own.gid() == owner.gid()) {
        return Ok(());
    }
    std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_made_anew_at_once_begins_above_the_elections_of_the_lost_one() {
        let made = clock::wall();
        let lost = first_ballot(made);
        let elections = 9;
        let anew = first_ballot(Timestamp(made.as_ms() + 10));
        assert!(anew.round > lost.round + elections);
        // What an older program called a round, the time in seconds, is below it too.
        assert!(lost.round > u64::try_from(made.as_ms() / 1000).unwrap() * 2);
        // Whatever the clock says, other replicas believe it.
        assert_eq!(first_ballot(Timestamp(-5)).round, 0);
        let far = first_ballot(Timestamp(i64::MAX)).round;
        assert_eq!(far, Replica::ROUNDS_BEGIN_BELOW);
    }
}
