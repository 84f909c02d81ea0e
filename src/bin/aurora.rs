//! The program `aurora`, under all of its names.

fn main() -> std::process::ExitCode {
    aurora::daemon::main()
}
