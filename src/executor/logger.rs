//! How a process logs: where to, and when its files are rotated.

use super::json::{Field, JsonError};

/// The size at which a log is rotated where nothing is said.
const LOG_BYTES: u64 = 100 << 20;
/// How many rotated logs are kept where nothing is said.
const LOG_BACKUPS: u32 = 5;
/// More rotated logs are not kept, whatever is said.
const BACKUPS_MAX: u64 = 1_000;
/// The modes there are, for errors.
pub(super) const MODES: &str = "standard or rotate";

/// Where the output of a process goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Destination {
    /// To files of its own and to those of the task.
    Both,
    /// To the files of the task, which all its processes share.
    Console,
    /// To files of its own.
    #[default]
    File,
    /// Nowhere.
    None,
}

impl Destination {
    /// The names there are, for errors.
    pub const NAMES: &str = "file, console, both or none";

    /// The destination of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "both" => Some(Self::Both),
            "console" => Some(Self::Console),
            "file" => Some(Self::File),
            "none" => Some(Self::None),
            _ => None,
        }
    }
}

/// How a process logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logger {
    /// Where its output goes.
    pub destination: Destination,
    /// Whether its own files are rotated.
    pub rotates: bool,
    /// The size in bytes at which a file is rotated.
    pub log_bytes: u64,
    /// How many rotated files are kept.
    pub backups: u32,
}

impl Default for Logger {
    fn default() -> Self {
        Self {
            destination: Destination::default(),
            rotates: false,
            log_bytes: LOG_BYTES,
            backups: LOG_BACKUPS,
        }
    }
}

impl Logger {
    /// Whether the executor has to carry the output; else the process has its files, or nothing.
    pub(super) fn is_piped(self) -> bool {
        match self.destination {
            Destination::Both | Destination::Console => true,
            Destination::File => self.rotates,
            Destination::None => false,
        }
    }

    /// The logger of a process, which counts as a whole, or else `default`.
    pub(super) fn read(process: &Field<'_>, default: Self) -> Result<Self, JsonError> {
        let Some(logger) = process.optional("logger")? else {
            return Ok(default);
        };
        let new = Self::default();
        let names = "has to be file, console, both or none";
        let destination = logger.choice("destination", Destination::of_name, names)?;
        let modes = "has to be standard or rotate";
        let rotation = logger.optional("rotate")?;
        let size = |name, default| match &rotation {
            Some(rotation) => rotation.size_or(name, default),
            None => Ok(default),
        };
        Ok(Self {
            destination: destination.unwrap_or_default(),
            rotates: logger.choice("mode", rotates, modes)?.unwrap_or(false),
            log_bytes: size("log_size", new.log_bytes)?,
            backups: size("backups", new.backups.into())?.min(BACKUPS_MAX) as u32,
        })
    }
}

/// Whether the mode of this name rotates.
pub(super) fn rotates(name: &str) -> Option<bool> {
    match name {
        "rotate" => Some(true),
        "standard" => Some(false),
        _ => None,
    }
}
