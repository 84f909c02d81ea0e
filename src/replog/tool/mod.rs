//! `aurora-log`, also called `mesos-log`: the operators' tool for a replica that is not running, and
//! for an ensemble that is.
//!
//! Usage and every complaint go to the error stream. The exit status is 0 for success and for
//! `help`, and 1 for everything else, asking a command for `--help` included, as it always was.

mod args;
mod ask;
mod benchmark;
mod force;
mod initialize;
mod place;
mod read;
mod replica;
mod status;
mod verify;

use args::{Command, Parsed};
use std::io::{self, Write};

/// Why a command has failed: one line for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failure(String);

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(format!("failed to write the output: {error}"))
    }
}

/// Runs the tool with the arguments behind its name; gives the exit status.
pub fn main(args: Vec<String>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let result = match args::parse(args) {
        Parsed::Run(command) => run(*command, out),
        Parsed::Help(text) => return say(err, &text, 0),
        Parsed::Usage(text) => return say(err, &text, 1),
    };
    match result {
        Ok(()) => 0,
        Err(Failure(text)) => say(err, &text, 1),
    }
}

fn run(command: Command, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        Command::AddMember(options) => ask::add(&options, out),
        Command::Benchmark(options) => benchmark::run(options, out),
        Command::ForceNewEnsemble(options) => force::run(&options, out),
        Command::Initialize(options) => initialize::run(options),
        Command::Read(options) => read::run(options, out),
        Command::RemoveMember(options) => ask::remove(&options, out),
        Command::Replica(options) => replica::run(options),
        Command::ReplaceMember(options) => ask::replace(&options, out),
        Command::SetQuorum(options) => ask::set_quorum(&options, out),
        Command::Status(options) if options.peer.is_some() => ask::status(&options, out),
        Command::Status(options) => status::run(&options, out),
        Command::Verify(options) => verify::run(&options, out),
    }
}

fn say(to: &mut dyn Write, text: &str, status: u8) -> u8 {
    match writeln!(to, "{}", text.trim_end()) {
        Ok(()) => status,
        // Nobody listens any more; the status still tells.
        Err(_) => status.max(1),
    }
}

#[cfg(test)]
mod tests;
