//! The executor's own log: its standard error, a file in the task's directory.

use std::fmt::Arguments;
use std::io::Write;

/// Writes a line. A log that cannot be written stops nothing.
pub(super) fn note(text: Arguments<'_>) {
    let line = format!("{} {text}\n", crate::base::clock::wall());
    drop(std::io::stderr().write_all(line.as_bytes()));
}
