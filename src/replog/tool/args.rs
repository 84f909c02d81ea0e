//! The tool's command line: `--name=value`, `-name=value` or `--name value`, with `_` or `-`.

use super::Failure;
use crate::base::units;
use argh::{EarlyExit, FromArgs};
use std::path::PathBuf;
use std::time::Duration;

const PROGRAM: &str = "aurora-log";

/// Works on the files of a replica of the replicated log. The replica must not be running.
#[derive(Debug, FromArgs)]
struct TopLevel {
    #[argh(subcommand)]
    command: Command,
}

/// What is to be done.
#[derive(Debug, FromArgs)]
#[argh(subcommand)]
pub(super) enum Command {
    Benchmark(Benchmark),
    Initialize(Initialize),
    Read(Read),
    Replica(Replica),
    Status(Status),
    Verify(Verify),
}

/// Makes an empty replica, and says with that that it is safe to begin with nothing.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "initialize")]
pub(super) struct Initialize {
    /// directory of the replica; made if it does not exist
    #[argh(option)]
    path: Option<String>,
    /// give up after this long, such as 500ms or 10secs
    #[argh(option)]
    timeout: Option<String>,
}

/// Lists the entries of a replica.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "read")]
pub(super) struct Read {
    /// directory of the replica
    #[argh(option)]
    path: Option<String>,
    /// first position (default: the first kept)
    #[argh(option)]
    pub(super) from: Option<u64>,
    /// last position (default: the last there is)
    #[argh(option)]
    pub(super) to: Option<u64>,
    /// give up after this long, such as 500ms or 10secs
    #[argh(option)]
    timeout: Option<String>,
}

/// Reads and checks every record of a replica, and its evidence.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "verify")]
pub(super) struct Verify {
    /// directory of the replica
    #[argh(option)]
    path: Option<String>,
}

/// Says what a directory holds, and how far its replica is.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "status")]
pub(super) struct Status {
    /// directory of the replica
    #[argh(option)]
    path: Option<String>,
}

/// Runs a replica alone (not supported yet).
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "replica")]
pub(super) struct Replica {
    /// anything
    #[argh(positional, greedy)]
    _rest: Vec<String>,
}

/// Measures appends (not supported yet).
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "benchmark")]
pub(super) struct Benchmark {
    /// anything
    #[argh(positional, greedy)]
    _rest: Vec<String>,
}

/// What the arguments ask for.
#[derive(Debug)]
pub(super) enum Parsed {
    Help(String),
    Run(Command),
    Usage(String),
}

/// Reads the arguments behind the program's name.
pub(super) fn parse(args: Vec<String>) -> Parsed {
    let mut args = rewritten(args);
    let mut asks_help = false;
    match args.first().map(String::as_str) {
        None => args = vec!["--help".to_owned()],
        Some("help") => {
            args.remove(0);
            asks_help = args.is_empty();
            args.push("--help".to_owned());
        }
        Some(_) => {}
    }
    let given: Vec<&str> = args.iter().map(String::as_str).collect();
    match TopLevel::from_args(&[PROGRAM], &given) {
        Ok(TopLevel { command }) => Parsed::Run(command),
        Err(EarlyExit { output, .. }) if asks_help => Parsed::Help(output),
        Err(EarlyExit { output, .. }) => Parsed::Usage(output),
    }
}

/// Brings flags into the one form that the parser knows.
fn rewritten(args: Vec<String>) -> Vec<String> {
    let mut out = Vec::with_capacity(args.len());
    for arg in args {
        let name = arg.trim_start_matches('-');
        if name.len() == arg.len() || name.is_empty() {
            out.push(arg);
            continue;
        }
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (name, None),
        };
        let name = if name == "h" { "help" } else { name };
        out.push(format!("--{}", name.replace('_', "-")));
        out.extend(value.map(str::to_owned));
    }
    out
}

fn path(given: Option<&String>) -> Result<PathBuf, Failure> {
    match given {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        Some(_) | None => Err(Failure("Missing required option --path".to_owned())),
    }
}

fn timeout(given: Option<&String>) -> Result<Option<Duration>, Failure> {
    let parsed = given.map(|text| units::parse_duration(text)).transpose();
    parsed.map_err(|error| Failure(format!("Failed to load option --timeout: {error}")))
}

impl Benchmark {
    pub(super) fn unsupported(&self) -> Failure {
        let why =
            "benchmark is not supported yet: this version runs one replica, without a network";
        Failure(why.to_owned())
    }
}

impl Replica {
    pub(super) fn unsupported(&self) -> Failure {
        let why = "replica is not supported yet: this version runs one, inside the scheduler";
        Failure(why.to_owned())
    }
}

impl Initialize {
    pub(super) fn path(&self) -> Result<PathBuf, Failure> {
        path(self.path.as_ref())
    }

    pub(super) fn timeout(&self) -> Result<Option<Duration>, Failure> {
        timeout(self.timeout.as_ref())
    }
}

impl Read {
    pub(super) fn path(&self) -> Result<PathBuf, Failure> {
        path(self.path.as_ref())
    }

    pub(super) fn timeout(&self) -> Result<Option<Duration>, Failure> {
        timeout(self.timeout.as_ref())
    }
}

impl Status {
    pub(super) fn path(&self) -> Result<PathBuf, Failure> {
        path(self.path.as_ref())
    }
}

impl Verify {
    pub(super) fn path(&self) -> Result<PathBuf, Failure> {
        path(self.path.as_ref())
    }
}
