//! What the kernel says of the memory of a task's control group. Open files, so that neither another root
//! directory nor another user stands in the way later.

use crate::supervise::limits::{Exceeded, MemoryCounters, counter};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The most that one of the files may say.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// The counters of one group.
#[derive(Debug)]
pub enum MemoryGroup {
    /// Of version 1.
    V1 {
        /// `memory.oom_control`
        kills: File,
        /// `memory.failcnt`
        hits: File,
        /// `memory.limit_in_bytes`
        limit: File,
        /// `memory.max_usage_in_bytes`
        peak: File,
    },
    /// Of version 2.
    V2 {
        /// `memory.events`
        events: File,
        /// `memory.max`
        limit: File,
        /// `memory.peak`; older kernels have none.
        peak: Option<File>,
    },
}

impl MemoryGroup {
    /// Opens the counters in a group's directory.
    ///
    /// # Errors
    ///
    /// They are not there.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let open = |name: &str| File::open(directory.join(name));
        match open("memory.events") {
            Ok(events) => Ok(Self::V2 {
                events,
                limit: open("memory.max")?,
                peak: open("memory.peak").ok(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::V1 {
                kills: open("memory.oom_control")?,
                hits: open("memory.failcnt")?,
                limit: open("memory.limit_in_bytes")?,
                peak: open("memory.max_usage_in_bytes")?,
            }),
            Err(error) => Err(error),
        }
    }

    /// The counters as they are now.
    ///
    /// # Errors
    ///
    /// The group is gone.
    pub fn read(&self) -> io::Result<MemoryCounters> {
        Ok(match self {
            Self::V1 {
                kills,
                hits,
                limit,
                peak,
            } => MemoryCounters {
                kills: counter(&text(kills)?, "oom_kill").unwrap_or(0),
                hits: number(hits)?,
                limit: number(limit)?,
                peak: number(peak)?,
            },
            Self::V2 {
                events,
                limit,
                peak,
            } => {
                let events = text(events)?;
                MemoryCounters {
                    kills: counter(&events, "oom_kill").unwrap_or(0),
                    hits: counter(&events, "max").unwrap_or(0),
                    limit: number(limit)?,
                    peak: peak.as_ref().map(number).transpose()?.unwrap_or(0),
                }
            }
        })
    }

    /// Whether the group in `directory` has lost a process for want of memory. Cheaper than opening it.
    ///
    /// # Errors
    ///
    /// There is no such group.
    pub fn has_kills(directory: &Path) -> io::Result<bool> {
        let read = |name: &str| std::fs::read_to_string(directory.join(name));
        let text = read("memory.events").or_else(|_| read("memory.oom_control"))?;
        Ok(counter(&text, "oom_kill").unwrap_or(0) > 0)
    }

    /// The limit that was exceeded, if it cost a process its life.
    pub fn exceeded(&self) -> Option<Exceeded> {
        self.read().ok()?.exceeded()
    }
}

fn text(file: &File) -> io::Result<String> {
    let mut bytes = [0; TEXT_BYTES_MAX];
    let read = file.read_at(&mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes[..read]).into_owned())
}

/// What is not a number is no limit: `max`.
fn number(file: &File) -> io::Result<u64> {
    Ok(text(file)?.trim().parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn both_versions_are_read() {
        let id = crate::base::rng::Rng::from_os().next_u64();
        let root = std::env::temp_dir().join(format!("aurora-memory-{id:x}"));
        let (v1, v2) = (root.join("v1"), root.join("v2"));
        for (directory, files) in [
            (
                &v1,
                &[
                    ("memory.oom_control", "under_oom 0\noom_kill 2\n"),
                    ("memory.failcnt", "7\n"),
                    ("memory.limit_in_bytes", "4096\n"),
                    ("memory.max_usage_in_bytes", "4095\n"),
                ][..],
            ),
            (
                &v2,
                &[
                    ("memory.events", "low 0\nhigh 0\nmax 7\noom 2\noom_kill 2\n"),
                    ("memory.max", "4096\n"),
                    ("memory.peak", "4095\n"),
                ][..],
            ),
        ] {
            fs::create_dir_all(directory).unwrap();
            for (name, text) in files {
                fs::write(directory.join(name), text).unwrap();
            }
            assert!(MemoryGroup::has_kills(directory).unwrap());
            let counters = MemoryGroup::open(directory).unwrap().read().unwrap();
            let expected = MemoryCounters {
                kills: 2,
                hits: 7,
                limit: 4096,
                peak: 4095,
            };
            assert_eq!(counters, expected);
        }
        fs::remove_file(v2.join("memory.peak")).unwrap();
        fs::write(v2.join("memory.max"), "max\n").unwrap();
        let counters = MemoryGroup::open(&v2).unwrap().read().unwrap();
        assert_eq!((counters.limit, counters.peak), (u64::MAX, 0));
        fs::remove_dir_all(root).unwrap();
    }
}
