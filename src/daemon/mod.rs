//! Composition: which program this is, flags, logging, wiring, exit codes.
//!
//! The one layer that reads the command line and the environment, and that names every other one.

mod agent;
mod backups;
mod exit;
mod flags;
mod log_tool;
mod logging;
mod notify;
mod observer;
mod placing;
mod private;
mod probe;
mod quickstart;
mod replica_key;
mod scheduler;
mod signals;

use exit::Failure;
use std::io::Write;
use std::process::ExitCode;

/// What this executable can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Admin,
    Agent,
    Client,
    Executor,
    Log,
    Observer,
    Quickstart,
    Scheduler,
}

impl Program {
    /// By the name of the executable, which packages link to several.
    fn of_name(name: &str) -> Option<Self> {
        match name {
            "aurora-executor" | "thermos_executor" => Some(Self::Executor),
            "aurora-agent" => Some(Self::Agent),
            "thermos_observer" => Some(Self::Observer),
            "aurora-log" | "mesos-log" => Some(Self::Log),
            "aurora-scheduler" => Some(Self::Scheduler),
            "aurora_admin" | "aurora-admin" => Some(Self::Admin),
            _ => None,
        }
    }

    /// By the first argument of `aurora`.
    fn of_word(word: &str) -> Option<Self> {
        match word {
            "admin" => Some(Self::Admin),
            "agent" => Some(Self::Agent),
            "log" => Some(Self::Log),
            "observer" => Some(Self::Observer),
            "quickstart" => Some(Self::Quickstart),
            "scheduler" => Some(Self::Scheduler),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Admin => "aurora_admin",
            Self::Agent => "aurora-agent",
            Self::Client => "aurora",
            Self::Executor => "aurora-executor",
            Self::Log => "aurora-log",
            Self::Observer => "thermos_observer",
            Self::Quickstart => "aurora quickstart",
            Self::Scheduler => "aurora-scheduler",
        }
    }

    /// The program that a command line names, and its own arguments.
    fn pick(mut args: Vec<String>) -> (Self, Vec<String>) {
        let called = if args.is_empty() {
            String::new()
        } else {
            args.remove(0)
        };
        let name = called.rsplit('/').next().unwrap_or_default();
        if let Some(program) = Self::of_name(name) {
            return (program, args);
        }
        match args.first().and_then(|word| Self::of_word(word)) {
            Some(program) => {
                args.remove(0);
                (program, args)
            }
            None => (Self::Client, args),
        }
    }
}

/// Runs the program under the name it was called by.
pub fn main() -> ExitCode {
    let args = std::env::args_os()
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    let (program, args) = Program::pick(args);
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    if args == ["--version"] || args == ["-version"] {
        let version = crate::base::stamp::version();
        return code(u8::from(
            writeln!(out, "{} {version}", program.name()).is_err(),
        ));
    }
    let result = match program {
        Program::Admin => return code(crate::client::admin::main(&args, &mut out, &mut err)),
        Program::Agent => agent::run(&args, &mut out),
        Program::Client => return code(crate::client::main(&args, &mut out, &mut err)),
        Program::Executor => return crate::executor::main(),
        Program::Log => return code(log_tool::run(&args, &mut out, &mut err)),
        Program::Observer => observer::run(&args, &mut out),
        Program::Quickstart => signals::listen()
            .map_err(Failure::from)
            .and_then(|signals| quickstart::run(&args, &mut out, &signals)),
        Program::Scheduler => scheduler::run(&args, &mut out),
    };
    match result {
        Ok(()) => code(exit::OK),
        Err(failure) => {
            logging::flush();
            // Where nobody reads it, the status still says it.
            writeln!(err, "{}: {failure}", program.name()).unwrap_or_default();
            logging::flush();
            code(failure.status())
        }
    }
}

fn code(status: u8) -> ExitCode {
    ExitCode::from(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(line: &str) -> (Program, usize) {
        let (program, args) = Program::pick(line.split(' ').map(str::to_owned).collect());
        (program, args.len())
    }

    #[test]
    fn the_name_or_the_first_argument_picks_the_program() {
        assert_eq!(
            pick("/usr/bin/mesos-log initialize --path=/x"),
            (Program::Log, 2)
        );
        assert_eq!(pick("aurora log initialize --path=/x"), (Program::Log, 2));
        assert_eq!(
            pick("target/release/aurora scheduler -ip=::"),
            (Program::Scheduler, 1)
        );
        assert_eq!(pick("aurora job create a b"), (Program::Client, 4));
        assert_eq!(pick("aurora_admin set_quota"), (Program::Admin, 1));
        assert_eq!(pick("thermos_observer --port=1"), (Program::Observer, 1));
        assert_eq!(pick("aurora"), (Program::Client, 0));
    }
}
