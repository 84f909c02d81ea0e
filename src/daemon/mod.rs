//! Composition: flags, logging, wiring, exit codes.

mod flags;
mod logging;
mod signals;

/// Runs the program under the name it was called by.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
