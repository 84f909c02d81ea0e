//! A log file that is rotated at the ends of lines and survives a full disk.
//!
//! Rotation makes of `stdout` `stdout.1`, of that `stdout.2`, and so on. It happens where a line ends, once the
//! file has its size; so a file is longer than its size by a part of one line at most, and a line longer than
//! the size is the only one that is torn. Where something cannot be written, all is dropped and counted until
//! it can be again; then the log goes on with a whole line.

use crate::base::clock::Instant;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between two tries of a log that cannot be written.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// When a file is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rotation {
    /// The size in bytes, above zero.
    pub(super) log_bytes: u64,
    /// How many old files are kept.
    pub(super) backups: u32,
}

/// What somebody has to be told.
#[derive(Debug)]
pub(super) enum News {
    /// Nothing is written any more; why.
    Stopped(io::Error),
    /// It is written again; how many bytes were lost.
    Resumed(u64),
}

/// One log. The file is made with the first bytes, though there be none of them.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    rotation: Option<Rotation>,
    file: Option<File>,
    size: u64,
    /// Bytes of the line that is not ended yet.
    line: u64,
    dropped: u64,
    /// Set while nothing can be written.
    try_again: Option<Instant>,
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // A name that the user made a pipe must not stop the executor.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    options.append(true).create(true).mode(0o644);
    let file = options.custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a file")),
    }
}

impl LogFile {
    /// Without `rotation` the file grows for ever.
    pub(super) fn new(path: PathBuf, rotation: Option<Rotation>) -> Self {
        Self {
            path,
            rotation,
            file: None,
            size: 0,
            line: 0,
            dropped: 0,
            try_again: None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes or drops all of it. Without bytes it only makes the file. Gives what has changed.
    pub(super) fn write(&mut self, now: Instant, mut bytes: &[u8]) -> Option<News> {
        let mut news = None;
        if let Some(due) = self.try_again {
            if now < due {
                self.dropped += bytes.len() as u64;
                return None;
            }
            bytes = self.skip_torn_line(bytes);
        }
        match self.append(&mut bytes) {
            Ok(()) if self.try_again.take().is_some() => {
                news = Some(News::Resumed(std::mem::take(&mut self.dropped)));
            }
            Ok(()) => {}
            Err(error) => {
                self.dropped += bytes.len() as u64;
                if self.try_again.replace(now + TRY_AGAIN).is_none() {
                    news = Some(News::Stopped(error));
                }
                // Whatever was wrong with it: the next try begins anew.
                self.file = None;
            }
        }
        news
    }

    /// What is left of a line whose beginning was dropped goes after it.
    fn skip_torn_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let rest = end.map_or(bytes, |end| &bytes[end + 1..]);
        self.dropped += (bytes.len() - rest.len()) as u64;
        rest
    }

    fn append(&mut self, bytes: &mut &[u8]) -> io::Result<()> {
        self.write_all(&mut [].as_slice())?;
        if self.try_again.is_some() && self.line > 0 {
            self.write_all(&mut b"\n".as_slice())?;
        }
        while !bytes.is_empty() {
            let (mut part, rest) = match self.rotation {
                None => (*bytes, [].as_slice()),
                Some(rotation) => {
                    if self.is_due(rotation) {
                        self.rotate(rotation)?;
                    }
                    bytes.split_at(self.part(rotation, bytes))
                }
            };
            let written = self.write_all(&mut part);
            if let Err(error) = written {
                *bytes = &bytes[bytes.len() - rest.len() - part.len()..];
                return Err(error);
            }
            *bytes = rest;
        }
        Ok(())
    }

    fn is_due(&self, rotation: Rotation) -> bool {
        let at_line_end = self.line == 0 || self.line >= rotation.log_bytes;
        self.size >= rotation.log_bytes && at_line_end
    }

    /// How many of these bytes go into the file as it is: up to its size, and then to the end of the line,
    /// unless that does not come.
    fn part(&self, rotation: Rotation, bytes: &[u8]) -> usize {
        let room = usize::try_from(rotation.log_bytes.saturating_sub(self.size));
        let room = room.unwrap_or(usize::MAX).min(bytes.len());
        if room > 0 {
            return room;
        }
        let line = usize::try_from(rotation.log_bytes.saturating_sub(self.line));
        let line = line.unwrap_or(usize::MAX).min(bytes.len());
        let end = bytes[..line].iter().position(|byte| *byte == b'\n');
        end.map_or(line, |end| end + 1)
    }

    /// Writes and takes what is written off `bytes`.
    fn write_all(&mut self, bytes: &mut &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            let file = open(&self.path)?;
            self.size = file.metadata()?.size();
            self.file = Some(file);
        }
        let Some(file) = self.file.as_mut() else {
            return Ok(());
        };
        while !bytes.is_empty() {
            let written = match file.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.size += written as u64;
            let done = &bytes[..written];
            match done.iter().rposition(|byte| *byte == b'\n') {
                Some(end) => self.line = (written - end - 1) as u64,
                None => self.line += written as u64,
            }
            *bytes = &bytes[written..];
        }
        Ok(())
    }

    fn rotate(&mut self, rotation: Rotation) -> io::Result<()> {
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        // Only those that are there: nobody waits for a thousand names.
        let mut last = 1;
        while last < rotation.backups && numbered(last).symlink_metadata().is_ok() {
            last += 1;
        }
        for number in (1..last).rev() {
            rename(&numbered(number), &numbered(number + 1))?;
        }
        rename(&self.path, &numbered(1))?;
        self.file = None;
        self.size = 0;
        self.line = 0;
        Ok(())
    }
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        // The user may remove old logs.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;
    use crate::base::rng::Rng;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            let id = Rng::from_os().next_u64();
            let path = std::env::temp_dir().join(format!("aurora-log-{id:x}"));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.0.join(name)).unwrap_or_default()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap_or_default();
        }
    }

    fn rotation(log_bytes: u64, backups: u32) -> Option<Rotation> {
        Some(Rotation { log_bytes, backups })
    }

    #[test]
    fn no_line_is_torn_or_lost_however_the_bytes_come() {
        let mut rng = Rng::from_seed(5);
        for _ in 0..8 {
            let scratch = Scratch::new();
            let limit = 20 + rng.below(200);
            let mut log = LogFile::new(scratch.0.join("out"), rotation(limit, 1_000));
            let mut all = String::new();
            for line in 0..300 {
                let length = rng.index(usize::try_from(limit).unwrap() - 8);
                all.push_str(&format!("{line}:{}\n", "x".repeat(length)));
            }
            let mut rest = all.as_bytes();
            while !rest.is_empty() {
                let (part, more) = rest.split_at(1 + rng.index(rest.len().min(500)));
                assert!(log.write(clock::now(), part).is_none());
                rest = more;
            }
            let mut read = scratch.read("out");
            for number in 1.. {
                let name = format!("out.{number}");
                if !scratch.0.join(&name).exists() {
                    break;
                }
                let old = scratch.read(&name);
                assert!(old.ends_with('\n'));
                let size = old.len() as u64;
                assert!((limit..2 * limit).contains(&size), "{size} of {limit}");
                read.insert_str(0, &old);
            }
            assert!(read == all);
        }
    }

    #[test]
    fn an_endless_line_is_cut_and_old_files_go() {
        let scratch = Scratch::new();
        let mut log = LogFile::new(scratch.0.join("out"), rotation(10, 2));
        for _ in 0..100 {
            assert!(log.write(clock::now(), b"abc").is_none());
        }
        assert_eq!(scratch.read("out.1").len(), 10);
        assert_eq!(scratch.read("out.2").len(), 10);
        assert!(!scratch.0.join("out.3").exists());
    }

    #[test]
    fn a_log_that_cannot_be_written_drops_counts_and_resumes_with_a_whole_line() {
        let scratch = Scratch::new();
        let path = scratch.0.join("out");
        let mut log = LogFile::new(path.clone(), None);
        let now = clock::now();
        assert!(log.write(now, b"one\ntw").is_none());
        log.file = Some(OpenOptions::new().write(true).open("/dev/full").unwrap());
        let news = log.write(now, b"o\nthree\n");
        assert!(matches!(news, Some(News::Stopped(_))), "{news:?}");
        assert!(log.write(now, b"fo").is_none());
        let news = log.write(now + TRY_AGAIN, b"ur\nfive\n");
        assert!(matches!(news, Some(News::Resumed(13))), "{news:?}");
        assert_eq!(scratch.read("out"), "one\ntw\nfive\n");
        assert!(log.write(now + TRY_AGAIN, b"six\n").is_none());
        assert_eq!(scratch.read("out"), "one\ntw\nfive\nsix\n");
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_not_followed() {
        let scratch = Scratch::new();
        let path = scratch.0.join("out");
        std::os::unix::fs::symlink(scratch.0.join("other"), &path).unwrap();
        let news = LogFile::new(path.clone(), None).write(clock::now(), b"x");
        assert!(matches!(news, Some(News::Stopped(_))));
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let news = LogFile::new(path, None).write(clock::now(), b"x");
        assert!(matches!(news, Some(News::Stopped(_))));
        assert!(!scratch.0.join("other").exists());
    }
}
