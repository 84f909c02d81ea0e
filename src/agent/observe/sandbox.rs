//! Files of a sandbox, and nothing else: its owner may fill it with links that lead elsewhere.

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::Mode;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

/// Most bytes that are read for one answer.
pub(super) const CHUNK_BYTES_MAX: u64 = 1 << 20;

/// Most entries of a directory that are shown.
const ENTRIES_MAX: usize = 10_000;

/// An entry of a directory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Of the entry itself: links are not followed.
    pub(super) meta: Metadata,
}

/// Something in a sandbox, open.
#[derive(Debug)]
pub(super) enum Opened {
    Directory(Vec<Entry>),
    File(File),
}

/// Opens what `path` names below `root`. Links are followed only as long as they stay below.
///
/// # Errors
///
/// Nothing there, something outside, or neither a regular file nor a directory.
pub(super) fn open_below(root: &Path, path: &str) -> io::Result<Opened> {
    let path = clean(path)?;
    // Not blocking, so that a pipe cannot hold us; it is refused below.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let directory = flags | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let root = open(root, directory, Mode::empty())?;
    let how = OpenHow::new()
        .flags(flags)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let opened = match openat2(&root, &path, how) {
        // Old kernels and some containers do not have it.
        Err(Errno::ENOSYS | Errno::EPERM) => walk(root, &path, flags)?,
        result => result?,
    };
    look(opened)
}

/// The same without help of the kernel: part by part, and no link at all.
fn walk(root: OwnedFd, path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
    let mut at = root;
    for part in path.components() {
        at = openat(
            &at,
            part.as_os_str(),
            flags | OFlag::O_NOFOLLOW,
            Mode::empty(),
        )?;
    }
    Ok(at)
}

/// The path without anything that leads up or to the root.
fn clean(path: &str) -> io::Result<PathBuf> {
    let mut clean = PathBuf::from(".");
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(io::ErrorKind::NotFound.into());
            }
        }
    }
    Ok(clean)
}

fn look(opened: OwnedFd) -> io::Result<Opened> {
    let file = File::from(opened);
    let meta = file.metadata()?;
    if meta.is_file() {
        return Ok(Opened::File(file));
    }
    if !meta.is_dir() {
        return Err(io::ErrorKind::NotFound.into());
    }
    // The open directory itself, whatever its name leads to by now.
    let by_number = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mut entries = Vec::new();
    for entry in fs::read_dir(by_number)?.take(ENTRIES_MAX) {
        let entry = entry?;
        // An entry that went away in between is no error.
        if let (Ok(name), Ok(meta)) = (entry.file_name().into_string(), entry.metadata()) {
            entries.push(Entry { name, meta });
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Opened::Directory(entries))
}

/// Opens a regular file below `root`.
///
/// # Errors
///
/// As [`open_below`]; a directory too.
pub(super) fn open_file(root: &Path, path: &str) -> io::Result<File> {
    match open_below(root, path)? {
        Opened::File(file) => Ok(file),
        Opened::Directory(_) => Err(io::ErrorKind::NotFound.into()),
    }
}

/// A part of a file, at most [`CHUNK_BYTES_MAX`] long.
///
/// # Errors
///
/// The file cannot be read.
pub(super) fn read_part(file: &File, offset: u64, length: Option<u64>) -> io::Result<Vec<u8>> {
    let left = file.metadata()?.len().saturating_sub(offset);
    let length = length.unwrap_or(u64::MAX).min(CHUNK_BYTES_MAX).min(left);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], offset + read as u64)? {
            0 => break,
            n => read += n,
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use std::os::unix::fs::symlink;

    fn sandbox() -> PathBuf {
        let top = std::env::temp_dir().join(format!("aurora-observe-{}", Rng::from_os().uuid()));
        let root = top.join("sandbox");
        fs::create_dir_all(root.join("dir")).unwrap();
        fs::create_dir_all(top.join("sandbox2")).unwrap();
        fs::write(top.join("secret"), "secret").unwrap();
        fs::write(top.join("sandbox2/secret"), "secret").unwrap();
        fs::write(root.join("dir/file"), "0123456789").unwrap();
        symlink("dir/file", root.join("inside")).unwrap();
        symlink("../secret", root.join("outside")).unwrap();
        symlink(top.join("secret"), root.join("absolute")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        nix::unistd::mkfifo(&root.join("pipe"), Mode::S_IRWXU).unwrap();
        root
    }

    #[test]
    fn what_is_inside_can_be_read_and_nothing_else() {
        let root = sandbox();
        for good in ["dir/file", "inside", "./dir//file"] {
            let file = open_file(&root, good).unwrap();
            assert_eq!(read_part(&file, 2, Some(3)).unwrap(), b"234", "{good}");
        }
        for bad in [
            "../secret",
            "/etc/passwd",
            "dir/../../secret",
            "outside",
            "absolute",
            "up/secret",
            "up/sandbox2/secret",
            "magic/etc/passwd",
            "pipe",
            "none",
            "dir",
            "dir/file/x",
            "a\0b",
        ] {
            assert!(open_file(&root, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_walk_without_the_kernels_help_is_as_strict() {
        let root = sandbox();
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
        let top = || open(&root, flags | OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        assert!(walk(top(), Path::new("./dir/file"), flags).is_ok());
        for bad in [
            "outside",
            "absolute",
            "up/secret",
            "magic/etc/passwd",
            "none",
        ] {
            assert!(walk(top(), Path::new(bad), flags).is_err(), "{bad}");
        }
    }

    #[test]
    fn directories_are_listed_without_following_links() {
        let Opened::Directory(entries) = open_below(&sandbox(), "").unwrap() else {
            panic!("a directory");
        };
        let names: Vec<&str> = entries.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "absolute", "dir", "inside", "magic", "outside", "pipe", "up"
            ]
        );
        assert!(entries[0].meta.is_symlink());
    }

    #[test]
    fn parts_beyond_the_end_are_empty() {
        let file = open_file(&sandbox(), "dir/file").unwrap();
        assert_eq!(read_part(&file, 20, None).unwrap(), b"");
        assert_eq!(read_part(&file, 8, None).unwrap(), b"89");
        assert_eq!(read_part(&file, u64::MAX, Some(5)).unwrap(), b"");
    }
}
