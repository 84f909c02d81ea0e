//! Backups as files, and the recovery from one of them.
//!
//! `folder` has the directory and blocks; `keeper` decides when a backup is due, holds what is staged,
//! and lets a fiber of its own do the blocking work, one piece after the other.
//!
//! A backup is taken from committed tables, whose clone costs nothing: nobody waits for it. It becomes
//! visible under its name only after it is on the disk and has been read back.

mod folder;
mod keeper;
#[cfg(test)]
mod tests;

pub use folder::{BackupFolder, LoadError, SaveError};
pub use keeper::{BackupOptions, Backups, RecoveryError};
