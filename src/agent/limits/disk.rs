//! What a sandbox takes on the disk.
//!
//! The tree belongs to a task that may change it while it is read: nothing in it is followed out of it, and
//! each step goes from an open directory to an entry of it.

use crate::base::clock;
use nix::libc::{O_DIRECTORY, O_NOFOLLOW};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, ReadDir, read_dir};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The unit of blocks, whatever the file system's own is.
const BLOCK_BYTES: u64 = 512;
/// Deeper directories are not counted: each level holds a descriptor.
const DEPTH_MAX: usize = 256;
/// Entries between two rests.
const ENTRIES_PER_ROUND: u32 = 512;
/// A rest is so many times as long as the work before it.
const REST_FACTOR: u32 = 3;

/// An open directory on the way down.
struct Level {
    directory: File,
    entries: ReadDir,
}

impl Level {
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(O_DIRECTORY | O_NOFOLLOW);
        let directory = options.open(path)?;
        let entries = read_dir(through(&directory))?;
        Ok(Self { directory, entries })
    }
}

/// A name for what is open, that nobody can put something else under.
fn through(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

/// The bytes that the files below `root` occupy: blocks in use, directories not counted, each file once
/// however many names it has, nothing of other file systems.
///
/// Rests in between, so that it never takes more than a quarter of a core. Blocks.
///
/// # Errors
///
/// `root` cannot be read. What vanishes or is forbidden below it is left out.
pub(in crate::agent) fn usage(root: &Path) -> io::Result<u64> {
    let first = Level::open(root)?;
    let device = first.directory.metadata()?.dev();
    let mut levels = vec![first];
    let mut linked = BTreeSet::new();
    let mut bytes = 0_u64;
    let (mut count, mut began) = (0, clock::now());
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.entries.next() else {
            levels.pop();
            continue;
        };
        count += 1;
        if count == ENTRIES_PER_ROUND {
            let worked = clock::now().since(began);
            std::thread::sleep((worked * REST_FACTOR).min(Duration::from_secs(1)));
            (count, began) = (0, clock::now());
        }
        let Ok(entry) = entry else {
            // The directory cannot be read further.
            levels.pop();
            continue;
        };
        let Ok(meta) = entry.metadata() else {
            continue;
        };
        if meta.dev() != device {
            continue;
        }
        if !meta.is_dir() {
            if meta.nlink() < 2 || linked.insert(meta.ino()) {
                bytes = bytes.saturating_add(meta.blocks().saturating_mul(BLOCK_BYTES));
            }
        } else if levels.len() < DEPTH_MAX
            && let Ok(next) = Level::open(&entry.path())
        {
            levels.push(next);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn blocks_in_use_are_counted_once_and_nothing_outside() {
        let id = crate::base::rng::Rng::from_os().next_u64();
        let root = std::env::temp_dir().join(format!("aurora-disk-{id:x}"));
        let sandbox = root.join("sandbox");
        fs::create_dir_all(sandbox.join("a/b")).unwrap();
        fs::write(root.join("outside"), vec![1; 1 << 20]).unwrap();
        assert_eq!(usage(&sandbox).unwrap(), 0);
        fs::write(sandbox.join("a/b/one"), vec![1; 64 << 10]).unwrap();
        File::open(sandbox.join("a/b/one"))
            .unwrap()
            .sync_all()
            .unwrap();
        let one = usage(&sandbox).unwrap();
        assert!((64 << 10..80 << 10).contains(&one), "{one}");
        fs::hard_link(sandbox.join("a/b/one"), sandbox.join("again")).unwrap();
        symlink(&root, sandbox.join("a/up")).unwrap();
        // A hole takes no blocks.
        let hole = File::create(sandbox.join("hole")).unwrap();
        hole.set_len(1 << 30).unwrap();
        let all = usage(&sandbox).unwrap();
        assert!(all < one + (32 << 10), "{all}");
        assert!(usage(&root.join("none")).is_err());
        fs::remove_dir_all(root).unwrap();
    }
}
