//! Unpacks archives in a directory that they cannot leave.
//!
//! Names are plain and relative; nothing is written through a link; links lead to places inside; there are
//! no devices and no rights beyond those of a plain file. Sizes are counted before anything is unpacked.

use super::error::Cause;
use super::unpacker::Unpacker;
use super::zip;
use crate::executor::order::Identity;
use flate2::read::MultiGzDecoder;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, Entry, EntryType};

/// Longest name that an extension of the format may give; read into memory.
const NAME_BYTES_MAX: u64 = 64 << 10;
pub(super) const MEMBERS_MAX: usize = 200_000;
/// Each member takes a block at least.
pub(super) const MEMBER_BYTES: u64 = 512;
const DIRECTORY_MODE: u32 = 0o755;

/// What an archive's name says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Not an archive.
    Plain,
    /// One packed file.
    Gz,
    Tar,
    /// Unpacked by the system's own `bzip2`.
    TarBz2,
    TarGz,
    /// Unpacked by the system's own `xz`.
    TarXz,
    Zip,
}

impl Kind {
    pub(super) fn of_name(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let ends = |all: &[&str]| all.iter().any(|end| name.ends_with(end));
        if ends(&[".tar"]) {
            Self::Tar
        } else if ends(&[".tar.gz", ".tgz"]) {
            Self::TarGz
        } else if ends(&[".tar.bz2", ".tbz2"]) {
            Self::TarBz2
        } else if ends(&[".tar.xz", ".txz"]) {
            Self::TarXz
        } else if ends(&[".gz"]) {
            Self::Gz
        } else if ends(&[".zip"]) {
            Self::Zip
        } else {
            Self::Plain
        }
    }
}

/// What is asked between two pieces of work, and how much may be written.
pub(super) trait Guard {
    /// Counts bytes that are about to be written.
    fn check(&mut self, bytes: u64) -> Result<(), Cause>;
}

fn reader(path: &Path, kind: Kind, identity: &Identity) -> io::Result<Box<dyn Read>> {
    let file = File::open(path)?;
    Ok(match kind {
        Kind::Gz | Kind::TarGz => Box::new(MultiGzDecoder::new(BufReader::new(file))),
        Kind::TarBz2 => Box::new(Unpacker::start("bzip2", file, identity)?),
        Kind::TarXz => Box::new(Unpacker::start("xz", file, identity)?),
        Kind::Plain | Kind::Tar | Kind::Zip => Box::new(BufReader::new(file)),
    })
}

/// Unpacks the archive in the file `path` into `root`, on behalf of a user. As one of the sandbox it would be
/// called `name`.
pub(super) fn unpack(
    path: &Path,
    name: &Path,
    kind: Kind,
    root: &Path,
    identity: &Identity,
    guard: &mut dyn Guard,
) -> Result<(), Cause> {
    match kind {
        Kind::Plain => return Ok(()),
        Kind::Gz => {
            let mut file = create(&name.with_extension(""), 0o644)?;
            return copy(&mut reader(path, kind, identity)?, &mut file, guard);
        }
        Kind::Zip => return zip::unpack(path, root, guard),
        Kind::Tar | Kind::TarBz2 | Kind::TarGz | Kind::TarXz => {}
    }
    measure(Archive::new(reader(path, kind, identity)?), guard)?;
    let mut archive = Archive::new(reader(path, kind, identity)?);
    for entry in archive.entries()? {
        unpack_member(entry?, root, guard)?;
    }
    Ok(())
}

pub(super) fn member(name: &Path, why: &'static str) -> Cause {
    Cause::Member {
        name: name.display().to_string(),
        why,
    }
}

/// Reads all without unpacking: what would take too much memory or time is found before it does.
fn measure(mut archive: Archive<Box<dyn Read>>, guard: &mut dyn Guard) -> Result<(), Cause> {
    for (count, entry) in archive.entries()?.raw(true).enumerate() {
        let entry = entry?;
        let kind = entry.header().entry_type();
        let is_extension = kind.is_gnu_longname()
            || kind.is_gnu_longlink()
            || kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions();
        if is_extension && entry.size() > NAME_BYTES_MAX {
            return Err(member(Path::new("?"), "its name is too long"));
        }
        if count >= MEMBERS_MAX {
            return Err(member(Path::new("?"), "it is one of too many"));
        }
        guard.check(0)?;
    }
    Ok(())
}

/// The parts of a plain relative name.
pub(super) fn plain_parts(name: &Path) -> Option<Vec<&OsStr>> {
    let mut parts = Vec::new();
    for part in name.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part),
            Component::ParentDir | Component::Prefix(_) | Component::RootDir => return None,
        }
    }
    Some(parts)
}

/// Makes the directories that `parts` name below `root`, never through a link.
pub(super) fn make_directories(root: &Path, parts: &[&OsStr]) -> Result<PathBuf, Cause> {
    let mut path = root.to_owned();
    for part in parts {
        path.push(part);
        match DirBuilder::new().mode(DIRECTORY_MODE).create(&path) {
            Ok(()) => fs::set_permissions(&path, Permissions::from_mode(DIRECTORY_MODE))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if !path.symlink_metadata()?.is_dir() {
                    return Err(member(&path, "a file or link is in its way"));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(path)
}

/// A new file in the place of an older one of the same fetch.
pub(super) fn create(path: &Path, mode: u32) -> Result<File, Cause> {
    make_room(path)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let file = options.open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    Ok(file)
}

fn make_room(path: &Path) -> Result<(), Cause> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Copies what is read, in pieces that the guard allows.
pub(super) fn copy(
    from: &mut dyn Read,
    to: &mut dyn Write,
    guard: &mut dyn Guard,
) -> Result<(), Cause> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        guard.check(count as u64)?;
        to.write_all(&buffer[..count])?;
    }
}

fn unpack_member<R: Read>(
    mut entry: Entry<'_, R>,
    root: &Path,
    guard: &mut dyn Guard,
) -> Result<(), Cause> {
    let name = entry.path()?.into_owned();
    let parts = plain_parts(&name).ok_or_else(|| member(&name, "it would be outside"))?;
    let kind = entry.header().entry_type();
    guard.check(MEMBER_BYTES)?;
    let Some((last, parents)) = parts.split_last() else {
        return Ok(());
    };
    if kind.is_dir() {
        make_directories(root, &parts)?;
        return Ok(());
    }
    if kind.is_pax_global_extensions() {
        return Ok(());
    }
    let path = make_directories(root, parents)?.join(last);
    match kind {
        EntryType::Regular | EntryType::Continuous => {
            let mode = entry.header().mode()? & 0o777 | 0o600;
            let mut file = create(&path, mode)?;
            copy(&mut entry, &mut file, guard)
        }
        EntryType::Symlink => {
            let target = target(&entry, &name)?;
            place_link(&name, parents, &target, &path)
        }
        EntryType::Link => {
            let target = target(&entry, &name)?;
            let parts =
                plain_parts(&target).ok_or_else(|| member(&name, "the link leads outside"))?;
            let old =
                find_file(root, &parts).ok_or_else(|| member(&name, "it links to no file"))?;
            if old == path {
                return Ok(());
            }
            make_room(&path)?;
            Ok(fs::hard_link(old, &path)?)
        }
        _ => Err(member(&name, "it is neither file, directory nor link")),
    }
}

fn target<R: Read>(entry: &Entry<'_, R>, name: &Path) -> Result<PathBuf, Cause> {
    let target = entry.link_name()?;
    let target = target.ok_or_else(|| member(name, "the link leads nowhere"))?;
    Ok(target.into_owned())
}

/// Makes the link `path` in the directory `parents`, if it leads to a place inside.
pub(super) fn place_link(
    name: &Path,
    parents: &[&OsStr],
    target: &Path,
    path: &Path,
) -> Result<(), Cause> {
    if !stays_inside(parents, target) {
        return Err(member(name, "the link leads outside"));
    }
    make_room(path)?;
    Ok(symlink(target, path)?)
}

/// Whether a link in the directory `parents` leads to a place inside, whatever is there.
fn stays_inside(parents: &[&OsStr], target: &Path) -> bool {
    let mut depth = parents.len();
    // A way that goes down and up again could go up from where another link has led.
    let mut has_gone_down = false;
    for part in target.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(_) => has_gone_down = true,
            Component::ParentDir if depth > 0 && !has_gone_down => depth -= 1,
            Component::ParentDir | Component::Prefix(_) | Component::RootDir => return false,
        }
    }
    true
}

/// The plain file of this name, not reached through any link.
fn find_file(root: &Path, parts: &[&OsStr]) -> Option<PathBuf> {
    let mut path = root.to_owned();
    for (at, part) in parts.iter().enumerate() {
        path.push(part);
        let kind = path.symlink_metadata().ok()?.file_type();
        let is_last = at + 1 == parts.len();
        if !(is_last && kind.is_file() || !is_last && kind.is_dir()) {
            return None;
        }
    }
    (!parts.is_empty()).then_some(path)
}
