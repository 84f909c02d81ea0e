//! Secret keys in files: who may speak to whom.
//!
//! A key file is one line, a header that names the kind and 64 hexadecimal digits. The kinds cannot be
//! mixed up: a key loaded as the wrong kind is refused. A file that everyone may read is refused too.

use crate::base::rng::{Rng, secret_bytes};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Length of a key in bytes.
pub const KEY_BYTES: usize = 32;

/// The mode of a key file: its owner writes, its group (the other daemon's) may read.
pub const KEY_FILE_MODE: u32 = 0o640;

/// Longest key file that is read.
const FILE_LIMIT: u64 = 256;

/// Which programs share a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// Agents and schedulers.
    Agent,
    /// The replicas of a log. Never leaves the schedulers' machines.
    Replica,
}

impl KeyKind {
    const ALL: [Self; 2] = [Self::Agent, Self::Replica];

    /// The first word of a key file.
    const fn header(self) -> &'static str {
        match self {
            Self::Agent => "aurora-agent-key-1",
            Self::Replica => "aurora-replica-key-1",
        }
    }

    /// As it is called in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent key",
            Self::Replica => "replica key",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A key in memory. Never shown, not even by `Debug`.
#[derive(Clone)]
pub struct SecretKey {
    kind: KeyKind,
    bytes: [u8; KEY_BYTES],
}

impl SecretKey {
    /// The key of these bytes.
    pub fn from_bytes(kind: KeyKind, bytes: [u8; KEY_BYTES]) -> Self {
        Self { kind, bytes }
    }

    /// A new key from the operating system's entropy.
    pub fn random(kind: KeyKind) -> Self {
        let mut bytes = [0; KEY_BYTES];
        secret_bytes(&mut bytes);
        Self { kind, bytes }
    }

    /// Which programs share it.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.kind)
    }
}

/// Why a key file cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Something is there already: a key in use is never replaced.
    #[error("{} exists already and is not replaced", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The operating system said no.
    #[error("{action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// More people than owner and group could read it, or more than its owner change it.
    #[error(
        "{} has mode {mode:04o}, so that others could read or change the key; run: chmod 0640 {0}",
        .path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A key of the other kind.
    #[error("{} holds the {found}, where the {wanted} is needed", .path.display())]
    WrongKind {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: KeyKind,
        /// What was asked for.
        wanted: KeyKind,
    },
    /// Not a key file at all.
    #[error(
        "{} is not a key file: want '{}' and 64 hexadecimal digits on one line",
        .path.display(), .wanted.header()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        wanted: KeyKind,
    },
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_owned();
    move |source| KeyError::Io {
        action,
        path,
        source,
    }
}

/// Makes a new key and writes it to `path`, with mode 0640, synced.
///
/// The file appears complete or not at all.
///
/// # Errors
///
/// Refuses a path where anything exists; input and output errors.
pub fn generate(path: &Path, kind: KeyKind) -> Result<SecretKey, KeyError> {
    generate_for(path, kind, None)
}

/// Like [`generate`], for a file that belongs to `owner`, a user and a group, from the start.
///
/// # Errors
///
/// As for [`generate`].
pub fn generate_for(
    path: &Path,
    kind: KeyKind,
    owner: Option<(u32, u32)>,
) -> Result<SecretKey, KeyError> {
    let key = SecretKey::random(kind);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", Rng::from_os().next_u64()));
    let draft = path.with_file_name(name);
    let given = |()| match owner {
        Some((user, group)) => {
            chown(&draft, Some(user), Some(group)).map_err(io_error("give away", &draft))
        }
        None => Ok(()),
    };
    let written = write_draft(&draft, &key)
        .and_then(given)
        .and_then(|()| publish(&draft, path));
    if let Err(error) = fs::remove_file(&draft)
        && error.kind() != io::ErrorKind::NotFound
    {
        return written.and(Err(io_error("remove", &draft)(error)));
    }
    written.map(|()| key)
}

/// Writes a given key, for tests that run several programs with it.
#[cfg(test)]
pub(crate) fn write_for_test(path: &Path, key: &SecretKey) {
    write_draft(path, key).expect("a scratch directory can be written");
}

fn write_draft(draft: &Path, key: &SecretKey) -> Result<(), KeyError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(KEY_FILE_MODE)
        .open(draft)
        .map_err(io_error("create", draft))?;
    let mut line = format!("{} ", key.kind.header());
    line.extend(key.bytes.iter().map(|b| format!("{b:02x}")));
    line.push('\n');
    // The umask may have taken the group's right, which the other daemon needs.
    file.set_permissions(fs::Permissions::from_mode(KEY_FILE_MODE))
        .and_then(|()| file.write_all(line.as_bytes()))
        .and_then(|()| file.sync_all())
        .map_err(io_error("write", draft))
}

/// Gives the finished draft its name: a link, which unlike a rename never replaces anything.
fn publish(draft: &Path, path: &Path) -> Result<(), KeyError> {
    fs::hard_link(draft, path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists {
            path: path.to_owned(),
        },
        _ => io_error("create", path)(error),
    })?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(io_error("sync", parent))
}

/// Reads the key of the wanted kind from `path`.
///
/// # Errors
///
/// A file that others may read or its group may change, a key of the other kind, or no key at all; the
/// message says what to do.
pub fn load(path: &Path, wanted: KeyKind) -> Result<SecretKey, KeyError> {
    let file = File::open(path).map_err(io_error("open", path))?;
    let mode = file.metadata().map_err(io_error("stat", path))?.mode() & 0o7777;
    if mode & 0o027 != 0 {
        return Err(KeyError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = String::new();
    file.take(FILE_LIMIT)
        .read_to_string(&mut text)
        .map_err(io_error("read", path))?;
    let malformed = || KeyError::Malformed {
        path: path.to_owned(),
        wanted,
    };
    let (header, digits) = text.trim_end().split_once(' ').ok_or_else(malformed)?;
    let found = KeyKind::ALL
        .into_iter()
        .find(|kind| kind.header() == header)
        .ok_or_else(malformed)?;
    if found != wanted {
        return Err(KeyError::WrongKind {
            path: path.to_owned(),
            found,
            wanted,
        });
    }
    let bytes = parse_hex(digits).ok_or_else(malformed)?;
    Ok(SecretKey { kind: found, bytes })
}

fn parse_hex(digits: &str) -> Option<[u8; KEY_BYTES]> {
    let digits = digits.as_bytes();
    if digits.len() != KEY_BYTES * 2 {
        return None;
    }
    let mut bytes = [0; KEY_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("aurora-keys-{}", Rng::from_os().uuid()));
        fs::create_dir_all(&dir).unwrap();
        dir.join(name)
    }

    #[test]
    fn a_generated_key_loads_again_and_is_never_replaced() {
        let path = scratch("key");
        let key = generate(&path, KeyKind::Agent).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, KEY_FILE_MODE);
        assert_eq!(load(&path, KeyKind::Agent).unwrap().bytes, key.bytes);
        let before = fs::read(&path).unwrap();
        assert!(matches!(
            generate(&path, KeyKind::Agent),
            Err(KeyError::Exists { .. })
        ));
        assert_eq!(fs::read(&path).unwrap(), before);
        let entries = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(entries, 1, "no draft stays behind");
    }

    #[test]
    fn the_kinds_cannot_be_mixed_up() {
        let path = scratch("key");
        generate(&path, KeyKind::Replica).unwrap();
        let error = load(&path, KeyKind::Agent).unwrap_err();
        assert!(
            error.to_string().contains("holds the replica key"),
            "{error}"
        );
    }

    #[test]
    fn an_exposed_key_is_refused_with_what_to_do() {
        let path = scratch("key");
        generate(&path, KeyKind::Agent).unwrap();
        for mode in [0o644, 0o660, 0o641] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = load(&path, KeyKind::Agent).unwrap_err().to_string();
            assert!(error.contains("chmod 0640"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(load(&path, KeyKind::Agent).is_ok());
    }

    #[test]
    fn damaged_files_are_refused() {
        let path = scratch("key");
        generate(&path, KeyKind::Agent).unwrap();
        let good = fs::read(&path).unwrap();
        for cut in 0..good.len() - 1 {
            fs::write(&path, &good[..cut]).unwrap();
            assert!(load(&path, KeyKind::Agent).is_err(), "cut at {cut}");
        }
        for bad in ["", "\u{e9}", "aurora-agent-key-1 +1", &"x".repeat(4096)] {
            fs::write(&path, bad).unwrap();
            assert!(load(&path, KeyKind::Agent).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = SecretKey::from_bytes(KeyKind::Agent, [0xab; KEY_BYTES]);
        assert_eq!(format!("{key:?}"), "SecretKey(agent key)");
    }
}
