//! The program `aurora-executor`: runs one task.

fn main() -> std::process::ExitCode {
    aurora::executor::main()
}
