//! The log of the daemons: levels that change at run time, a bounded queue, one line per message.
//!
//! `simple_logger` writes the lines. It prints with a macro that panics when the stream is gone, so that it
//! never gets the real one: file descriptor 2 becomes a pipe that this process itself drains, and
//! the drain drops what the real stderr does not take. A dead or blocked stderr costs lines, not the daemon.

use crate::base::secret::hide;
use async_channel::{Receiver, Sender, TrySendError, bounded};
use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd;
use simple_logger::SimpleLogger;
use std::fmt::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, RwLock};

/// Lines that may wait for a slow stderr.
const QUEUE: usize = 4096;
/// The longest line; the rest is cut.
const LINE_BYTES: usize = 16 << 10;
/// How long a stderr that takes nothing is waited for, in milliseconds.
const STALL_MS: u16 = 1000;

struct Line {
    level: Level,
    target: String,
    text: String,
}

struct Logger {
    lines: Sender<Line>,
    dropped: AtomicU64,
    levels: RwLock<Vec<(String, LevelFilter)>>,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

impl Logger {
    fn level_of(&self, target: &str) -> LevelFilter {
        let levels = match self.levels.read() {
            Ok(levels) => levels,
            Err(poisoned) => poisoned.into_inner(),
        };
        // The longest prefix decides; the root, the empty prefix, is always there.
        let matching = levels
            .iter()
            .filter(|(prefix, _)| target.starts_with(prefix.as_str()));
        matching
            .max_by_key(|(prefix, _)| prefix.len())
            .map_or(LevelFilter::Off, |(_, l)| *l)
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level_of(metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut text = String::new();
        // A `Display` that fails leaves the part it wrote.
        let failed = write!(text, "{}", record.args()).is_err();
        let text = one_line(&text, failed);
        let line = Line {
            level: record.level(),
            target: record.target().to_owned(),
            text,
        };
        if let Err(TrySendError::Full(_)) = self.lines.try_send(line) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

/// One line without control characters, cut to a bearable length.
fn one_line(text: &str, failed: bool) -> String {
    // Whatever an address holds, and whoever logs it.
    let text = hide(text);
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            c if is_unseen(c) => write!(line, "\\x{:02x}", c as u32).unwrap_or_default(),
            c => line.push(c),
        }
        if line.len() > LINE_BYTES {
            line.push_str("...");
            break;
        }
    }
    if failed {
        line.push_str(" (message incomplete)");
    }
    line
}

/// Whether a character moves others about instead of being one: control characters, ends of lines and of
/// paragraphs, changes of the direction in which a terminal writes.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Starts logging at `level` and returns once lines can be written.
///
/// # Errors
///
/// If the process cannot make a pipe or a thread.
pub fn start(level: LevelFilter) -> std::io::Result<()> {
    let (lines, queue) = bounded(QUEUE);
    let levels = RwLock::new(vec![
        (String::new(), level),
        // Chatter of libraries is for those who ask for it.
        ("fjall".to_owned(), level.min(LevelFilter::Warn)),
        ("lsm_tree".to_owned(), level.min(LevelFilter::Warn)),
        ("tide".to_owned(), level.min(LevelFilter::Warn)),
        ("rustls".to_owned(), level.min(LevelFilter::Warn)),
    ]);
    let logger = LOGGER.get_or_init(|| Logger {
        lines,
        dropped: AtomicU64::new(0),
        levels,
    });
    divert_stderr()?;
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_lines(&queue))?;
    if log::set_logger(logger).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
    Ok(())
}

fn write_lines(queue: &Receiver<Line>) {
    let sink = SimpleLogger::new()
        .with_level(LevelFilter::Trace)
        .with_utc_timestamps();
    while let Ok(line) = queue.recv_blocking() {
        let write = |level, target: &str, text: &str| {
            sink.log(
                &Record::builder()
                    .level(level)
                    .target(target)
                    .args(format_args!("{text}"))
                    .build(),
            );
        };
        write(line.level, &line.target, &line.text);
        let dropped = LOGGER
            .get()
            .map_or(0, |l| l.dropped.swap(0, Ordering::Relaxed));
        if dropped > 0 {
            write(
                Level::Warn,
                "aurora::log",
                &format!("{dropped} lines were dropped: stderr is slow"),
            );
        }
    }
}

/// Puts a pipe of our own in the place of stderr and drains it into the real one.
fn divert_stderr() -> std::io::Result<()> {
    let real = std::io::stderr().as_fd().try_clone_to_owned()?;
    let (reader, writer) = unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    unistd::dup2_stderr(&writer)?;
    drop(writer);
    std::thread::Builder::new()
        .name("stderr".to_owned())
        .spawn(move || drain(&reader, &real))?;
    Ok(())
}

fn drain(reader: &OwnedFd, real: &OwnedFd) {
    // At most PIPE_BUF bytes: a stream that polls as writable takes that many without blocking.
    let mut buffer = [0; 4096];
    let mut lines = Lines::default();
    loop {
        let length = match unistd::read(reader, &mut buffer) {
            Ok(0) => return,
            Ok(length) => length,
            Err(nix::Error::EINTR) => continue,
            Err(_) => return,
        };
        lines.pass(&buffer[..length], |bytes| write_some(real, bytes));
    }
}

/// Writes what the stream takes within [`STALL_MS`]: how many bytes.
fn write_some(real: &OwnedFd, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        let mut fds = [PollFd::new(real.as_fd(), PollFlags::POLLOUT)];
        let ready = poll(&mut fds, PollTimeout::from(STALL_MS)).is_ok_and(|n| n > 0);
        if !ready {
            break;
        }
        match unistd::write(real, &bytes[written..]) {
            Ok(length) => written += length,
            Err(nix::Error::EINTR) => {}
            Err(_) => break,
        }
    }
    written
}

/// Keeps lines whole where a stream has not taken all of them: what is left of a cut line is dropped, and the
/// next line begins a new one.
#[derive(Debug, Default)]
struct Lines {
    /// The stream has the beginning of a line whose rest was dropped.
    is_cut: bool,
    /// What comes belongs to a line whose beginning was dropped.
    is_skipping: bool,
    /// The last byte that the stream took was not the end of a line.
    is_within: bool,
}

impl Lines {
    fn pass(&mut self, mut bytes: &[u8], mut write: impl FnMut(&[u8]) -> usize) {
        if self.is_skipping {
            let Some(end) = bytes.iter().position(|b| *b == b'\n') else {
                return;
            };
            self.is_skipping = false;
            bytes = &bytes[end + 1..];
        }
        if bytes.is_empty() {
            return;
        }
        if self.is_cut {
            if write(b"\n") == 0 {
                self.is_skipping = bytes.last() != Some(&b'\n');
                return;
            }
            (self.is_cut, self.is_within) = (false, false);
        }
        let written = write(bytes);
        if written < bytes.len() {
            self.is_skipping = bytes.last() != Some(&b'\n');
        }
        if let Some(last) = bytes[..written].last() {
            self.is_within = *last != b'\n';
        }
        // What follows would stand in the same line.
        self.is_cut = written < bytes.len() && self.is_within;
    }
}

/// Waits, for a moment at most, until the lines so far are handed on.
pub fn flush() {
    let Some(logger) = LOGGER.get() else { return };
    for _ in 0..50 {
        std::thread::sleep(std::time::Duration::from_millis(10));
        if logger.lines.is_empty() {
            // The last line is on its way through the pipe.
            std::thread::sleep(std::time::Duration::from_millis(20));
            return;
        }
    }
}

/// The levels in force: prefix of the target and level; the empty prefix is the root.
pub fn levels() -> Vec<(String, LevelFilter)> {
    let levels = LOGGER
        .get()
        .map(|l| l.levels.read().map(|l| l.clone()).unwrap_or_default());
    levels.unwrap_or_default()
}

/// Sets the level of all targets that start with `prefix`; `None` lets the next shorter prefix decide.
pub fn set_level(prefix: &str, level: Option<LevelFilter>) {
    let Some(logger) = LOGGER.get() else { return };
    let mut levels = match logger.levels.write() {
        Ok(levels) => levels,
        Err(poisoned) => poisoned.into_inner(),
    };
    if let Some(level) = level {
        levels.retain(|(p, _)| p != prefix);
        levels.push((prefix.to_owned(), level));
        levels.sort();
    } else if !prefix.is_empty() {
        levels.retain(|(p, _)| p != prefix);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_it_holds() {
        assert_eq!(one_line("a\nb\x1b[31m", false), "a\\nb\\x1b[31m");
        assert!(one_line(&"x".repeat(1 << 20), false).len() < LINE_BYTES + 16);
        assert_eq!(
            one_line("a\r\u{85}b\u{2028}c\u{202e}d", false),
            "a\\x0d\\x85b\\x2028c\\x202ed"
        );
        assert_eq!(one_line("part", true), "part (message incomplete)");
    }

    #[test]
    fn a_message_shows_no_password_of_an_address() {
        assert_eq!(
            one_line("'http://me:pw@host/x': gone", false),
            "'http://***@host/x': gone"
        );
    }

    #[test]
    fn whatever_a_stream_takes_each_of_its_lines_is_the_beginning_of_a_line_that_was_logged() {
        let mut rng = crate::base::rng::Rng::from_seed(7);
        for _ in 0..2_000 {
            let mut lines = Lines::default();
            let mut taken = Vec::new();
            let input: String = (0..30)
                .map(|n| format!("{n:02}{}\n", "x".repeat((rng.next_u64() % 9) as usize)))
                .collect();
            let mut rest = input.as_bytes();
            while !rest.is_empty() {
                let length = (rng.next_u64() % 16 + 1) as usize;
                let (now, later) = rest.split_at(length.min(rest.len()));
                lines.pass(now, |bytes| {
                    let takes = match rng.next_u64() % 3 {
                        0 => rng.next_u64() as usize % (bytes.len() + 1),
                        _ => bytes.len(),
                    };
                    taken.extend_from_slice(&bytes[..takes]);
                    takes
                });
                rest = later;
            }
            let taken = String::from_utf8(taken).unwrap();
            for line in taken.lines() {
                let is_start = input.lines().any(|whole| whole.starts_with(line));
                assert!(is_start, "{line:?} of {taken:?}");
            }
        }
    }
}
