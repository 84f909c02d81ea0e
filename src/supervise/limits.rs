//! The limits of a task: when they are exceeded, and what is said of it.

use std::fmt;

/// The bytes of a megabyte, as resources count them.
pub const MB: u64 = 1 << 20;

/// A limit that a task has exceeded. Shown as the message of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// More disk than was reserved.
    Disk {
        /// What was reserved, in bytes.
        reserved: u64,
        /// What was used, in bytes.
        used: u64,
    },
    /// More memory than the limit.
    Memory {
        /// The limit, in bytes.
        limit: u64,
        /// The most that was used, in bytes.
        peak: u64,
    },
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk { reserved, used } => write!(
                f,
                "Disk limit exceeded.  Reserved {reserved} bytes vs used {used} bytes."
            ),
            Self::Memory { limit, peak } => write!(
                f,
                "Task used more memory than requested. Memory limit exceeded: limit {} MB, peak {} MB.",
                limit.div_ceil(MB),
                peak.div_ceil(MB)
            ),
        }
    }
}

/// What the kernel counts of a group of processes with a memory limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryCounters {
    /// Processes that were killed for want of memory.
    pub kills: u64,
    /// How often the group's own limit was hit.
    pub hits: u64,
    /// The limit, in bytes.
    pub limit: u64,
    /// The most that was used, in bytes; zero if the kernel does not say.
    pub peak: u64,
}

impl MemoryCounters {
    /// Whether the group's own limit cost a process its life.
    ///
    /// A process that the whole machine's want of memory killed is counted too, but has hit no limit of its
    /// group; one that somebody killed by hand is not counted at all.
    pub fn exceeded(&self) -> Option<Exceeded> {
        (self.kills > 0 && self.hits > 0).then_some(Exceeded::Memory {
            limit: self.limit,
            peak: if self.peak == 0 {
                self.limit
            } else {
                self.peak
            },
        })
    }
}

/// Whether a disk usage is over what was reserved. Nothing reserved means no limit.
pub fn check_disk(reserved_mb: i64, used: u64) -> Option<Exceeded> {
    let reserved = u64::try_from(reserved_mb).unwrap_or(0) * MB;
    (reserved > 0 && used > reserved).then_some(Exceeded::Disk { reserved, used })
}

/// Whether a measured use of memory is over the limit. A limit of zero is none.
pub fn check_memory(limit: u64, used: u64) -> Option<Exceeded> {
    (limit > 0 && used > limit).then_some(Exceeded::Memory { limit, peak: used })
}

/// The number behind `key` in lines of a key and a number, as the kernel writes them.
pub fn counter(text: &str, key: &str) -> Option<u64> {
    let value = |line: &str| {
        line.strip_prefix(key)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    };
    text.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_limit_and_what_was_used() {
        let disk = check_disk(1, MB + 1).unwrap().to_string();
        let text = "Disk limit exceeded.  Reserved 1048576 bytes vs used 1048577 bytes.";
        assert_eq!(disk, text);
        let memory = check_memory(16 * MB, 16 * MB + 1).unwrap().to_string();
        assert!(memory.ends_with("limit 16 MB, peak 17 MB."), "{memory}");
        assert_eq!(check_disk(1, MB), None);
        assert_eq!(check_disk(0, MB), None);
        assert_eq!(check_disk(-1, u64::MAX), None);
        assert_eq!(check_memory(16, 16), None);
        assert_eq!(check_memory(0, 16), None);
    }

    #[test]
    fn only_a_kill_at_the_own_limit_counts() {
        let counters = |kills, hits, peak| MemoryCounters {
            kills,
            hits,
            limit: 9,
            peak,
        };
        assert_eq!(counters(0, 5, 9).exceeded(), None);
        assert_eq!(counters(1, 0, 3).exceeded(), None);
        let (limit, peak) = (9, 9);
        assert_eq!(
            counters(1, 1, 0).exceeded(),
            Some(Exceeded::Memory { limit, peak })
        );
    }

    #[test]
    fn counters_are_found_by_their_whole_name() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(counter(text, "oom_kill"), Some(3));
        assert_eq!(counter(text, "oom"), None);
        assert_eq!(counter("max x\n", "max"), None);
    }
}
