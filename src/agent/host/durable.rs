//! Files that are either there and whole, or not there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Puts a file in place such that after a loss of power the old or the new one is there, and on return the
/// new one is.
///
/// # Errors
///
/// The file cannot be written, synced or moved. Either content may be there.
pub(super) fn write(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = directory.join(format!("{name}.new"));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(name))?;
    sync_directory(directory)
}

/// Makes what was created, renamed or removed in a directory survive a loss of power.
///
/// # Errors
///
/// The directory cannot be opened or synced.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Reads a file; none if it is not there.
///
/// # Errors
///
/// It is there and cannot be read.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Scratch;
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_cannot_be_written_or_synced_leaves_the_old_one_in_place() {
        let scratch = Scratch::new("durable");
        write(&scratch.0, "it", b"old").unwrap();
        // One device takes nothing, the other takes all and cannot be synced.
        for device in ["/dev/full", "/dev/null"] {
            let temporary = scratch.0.join("it.new");
            symlink(device, &temporary).unwrap();
            assert!(write(&scratch.0, "it", b"new").is_err(), "{device}");
            let there = read(&scratch.0.join("it")).unwrap();
            assert_eq!(there.as_deref(), Some(&b"old"[..]), "{device}");
            fs::remove_file(temporary).unwrap();
        }
        write(&scratch.0, "it", b"new").unwrap();
        let there = read(&scratch.0.join("it")).unwrap();
        assert_eq!(there.as_deref(), Some(&b"new"[..]));
        assert_eq!(read(&scratch.0.join("it.new")).unwrap(), None);
    }
}
