//! The small program that runs one task.

/// Runs the executor.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
