//! The tool's command line: `--name=value`, `-name=value` or `--name value`, with `_` or `-`.

use super::Failure;
use crate::base::units;
use argh::{EarlyExit, FromArgs};
use std::path::PathBuf;
use std::time::Duration;

const PROGRAM: &str = "aurora-log";

/// Works on the files of a stopped replica of the replicated log, and on running ensembles.
#[derive(Debug, FromArgs)]
struct TopLevel {
    #[argh(subcommand)]
    command: Command,
}

/// What is to be done.
#[derive(Debug, FromArgs)]
#[argh(subcommand)]
pub(super) enum Command {
    AddMember(AddMember),
    Benchmark(Benchmark),
    ForceNewEnsemble(ForceNewEnsemble),
    Initialize(Initialize),
    Read(Read),
    RemoveMember(RemoveMember),
    Replica(Replica),
    ReplaceMember(ReplaceMember),
    SetQuorum(SetQuorum),
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
    /// show what the entries hold: text as it is, other bytes in hexadecimal
    #[argh(switch)]
    pub(super) decode: bool,
}

/// Reads and checks every record of a replica, and its evidence.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "verify")]
pub(super) struct Verify {
    /// directory of the replica
    #[argh(option)]
    path: Option<String>,
}

/// Says what a directory holds and how far its replica is; or, with --peer, how every replica of a
/// running ensemble is.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "status")]
pub(super) struct Status {
    /// directory of a replica
    #[argh(option)]
    path: Option<String>,
    /// host:port of the peer port of a running replica
    #[argh(option)]
    pub(super) peer: Option<String>,
    /// file of the replica key (default: replica.key beside --path, or of the installed scheduler)
    #[argh(option)]
    key: Option<String>,
    /// print one JSON object
    #[argh(switch)]
    pub(super) json: bool,
    /// give up after this long (default: 10secs)
    #[argh(option)]
    timeout: Option<String>,
}

/// Adds a replica to a running ensemble. Give it any member; the leader is found. Start the new replica
/// with the same replica key, and with -native_log_peers that name it and the members: it need not be
/// initialised. It learns everything first, and votes then. Adding one that is a member changes nothing.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "add-member")]
pub(super) struct AddMember {
    /// host:port of the peer port of a running replica
    #[argh(option)]
    peer: Option<String>,
    /// host:port of the peer port of the new replica
    #[argh(option)]
    pub(super) member: Option<String>,
    /// file of the replica key (default: that of the installed scheduler)
    #[argh(option)]
    key: Option<String>,
    /// give up after this long (default: 2mins); the change may still be made
    #[argh(option)]
    timeout: Option<String>,
}

/// Removes a replica from a running ensemble; stop it afterwards, for good. Removing one that is no
/// member changes nothing.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "remove-member")]
pub(super) struct RemoveMember {
    /// host:port of the peer port of a running replica
    #[argh(option)]
    peer: Option<String>,
    /// the replica to remove: its host:port, or its id as status shows it
    #[argh(option)]
    pub(super) member: Option<String>,
    /// file of the replica key (default: that of the installed scheduler)
    #[argh(option)]
    key: Option<String>,
    /// give up after this long (default: 2mins); the change may still be made
    #[argh(option)]
    timeout: Option<String>,
}

/// Puts a new replica into the place of one that is gone for good, in one step.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "replace-member")]
pub(super) struct ReplaceMember {
    /// host:port of the peer port of a running replica
    #[argh(option)]
    peer: Option<String>,
    /// the replica that is gone: its host:port, or its id as status shows it
    #[argh(option)]
    pub(super) member: Option<String>,
    /// host:port of the peer port of the new replica
    #[argh(option)]
    pub(super) with: Option<String>,
    /// file of the replica key (default: that of the installed scheduler)
    #[argh(option)]
    key: Option<String>,
    /// give up after this long (default: 2mins); the change may still be made
    #[argh(option)]
    timeout: Option<String>,
}

/// Changes how many members of a running ensemble decide: a majority at least, all of them at most.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "set-quorum")]
pub(super) struct SetQuorum {
    /// host:port of the peer port of a running replica
    #[argh(option)]
    peer: Option<String>,
    /// how many members decide
    #[argh(option)]
    pub(super) size: Option<u32>,
    /// file of the replica key (default: that of the installed scheduler)
    #[argh(option)]
    key: Option<String>,
    /// give up after this long (default: 2mins); the change may still be made
    #[argh(option)]
    timeout: Option<String>,
}

/// The last resort when a quorum is gone for good: makes the stopped replica in --path the only member
/// of a new ensemble that holds what this replica holds. Entries that were acknowledged and that it does
/// not hold are lost. Without --accept-loss it only says what that is, and what to add to the command.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "force-new-ensemble")]
pub(super) struct ForceNewEnsemble {
    /// directory of the replica
    #[argh(option)]
    path: Option<String>,
    /// what is lost, as the command says it without this option
    #[argh(option)]
    pub(super) accept_loss: Option<String>,
}

/// Runs a replica that only votes: a witness on a machine without a scheduler. Ends on SIGTERM.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "replica")]
pub(super) struct Replica {
    /// directory of the replica
    #[argh(option)]
    path: Option<String>,
    /// all replicas by host:port of their peer port, this one among them
    #[argh(option)]
    pub(super) peers: Option<String>,
    /// which of them this one is (default: the only one with this machine's name or address and --port)
    #[argh(option)]
    pub(super) address: Option<String>,
    /// where to listen (default: 8083)
    #[argh(option)]
    pub(super) port: Option<u16>,
    /// on which address to listen (default: all)
    #[argh(option)]
    pub(super) ip: Option<String>,
    /// how many members decide (default: a majority of --peers)
    #[argh(option)]
    pub(super) quorum: Option<u32>,
    /// file of the replica key (default: replica.key beside --path)
    #[argh(option)]
    key: Option<String>,
    /// accepted for the sake of old scripts: discovery by ZooKeeper is not in this version
    #[argh(option)]
    pub(super) servers: Option<String>,
    /// accepted for the sake of old scripts
    #[argh(option)]
    pub(super) znode: Option<String>,
    /// initialise the directory first if it is empty
    #[argh(switch)]
    pub(super) initialize: bool,
    /// never initialise (the default)
    #[argh(switch)]
    pub(super) no_initialize: bool,
}

/// Appends to a log of its own and measures: the trace of --input one entry after another, or with
/// --count or --seconds many at once. With --peers it is one replica of an ensemble, whose others run elsewhere
/// (aurora-log replica), and must come to lead.
#[derive(Debug, FromArgs)]
#[argh(subcommand, name = "benchmark")]
pub(super) struct Benchmark {
    /// directory of the replica; made if it does not exist
    #[argh(option)]
    path: Option<String>,
    /// file with one size a line, such as 100B or 2MB
    #[argh(option)]
    pub(super) input: Option<String>,
    /// file for one line about each append
    #[argh(option)]
    pub(super) output: Option<String>,
    /// what the entries are made of: zero, one or random (default: random)
    #[argh(option, long = "type")]
    pub(super) kind: Option<String>,
    /// load mode: how many entries to append
    #[argh(option)]
    pub(super) count: Option<u64>,
    /// load mode: for how many seconds to append
    #[argh(option)]
    pub(super) seconds: Option<u64>,
    /// load mode: how long each is (default: 256B)
    #[argh(option)]
    pub(super) size: Option<String>,
    /// load mode: how many may be in flight (default: 1000)
    #[argh(option)]
    pub(super) inflight: Option<u64>,
    /// load mode: truncate, so that this many of the last entries are kept (default: 1000000)
    #[argh(option)]
    pub(super) keep: Option<u64>,
    /// all replicas by host:port of their peer port, this one among them (default: this one alone)
    #[argh(option)]
    pub(super) peers: Option<String>,
    /// which of them this one is
    #[argh(option)]
    pub(super) address: Option<String>,
    /// where to listen (default: 8083)
    #[argh(option)]
    pub(super) port: Option<u16>,
    /// on which address to listen (default: all)
    #[argh(option)]
    pub(super) ip: Option<String>,
    /// how many members decide (default: a majority of --peers)
    #[argh(option)]
    pub(super) quorum: Option<u32>,
    /// file of the replica key (default: replica.key beside --path)
    #[argh(option)]
    key: Option<String>,
    /// accepted for the sake of old scripts: discovery by ZooKeeper is not in this version
    #[argh(option)]
    pub(super) servers: Option<String>,
    /// accepted for the sake of old scripts
    #[argh(option)]
    pub(super) znode: Option<String>,
    /// initialise the directory first if it is empty (the default)
    #[argh(switch)]
    pub(super) initialize: bool,
    /// never initialise
    #[argh(switch)]
    pub(super) no_initialize: bool,
}

/// What the arguments ask for.
#[derive(Debug)]
pub(super) enum Parsed {
    Help(String),
    Run(Box<Command>),
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
        Ok(TopLevel { command }) => Parsed::Run(Box::new(command)),
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

/// Where the installed scheduler has its replica key.
const INSTALLED_KEY: &str = "/var/lib/aurora/scheduler/replica.key";

fn key(given: Option<&String>, path: Option<&String>) -> PathBuf {
    match (given, path) {
        (Some(key), _) => PathBuf::from(key),
        (None, Some(path)) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
            let beside = path.parent().map(|parent| parent.join("replica.key"));
            beside.unwrap_or_else(|| PathBuf::from("replica.key"))
        }
        (None, None) => PathBuf::from(INSTALLED_KEY),
    }
}

/// A required option's text.
pub(super) fn required<'a>(given: Option<&'a String>, name: &str) -> Result<&'a str, Failure> {
    match given {
        Some(text) if !text.is_empty() => Ok(text),
        Some(_) | None => Err(Failure(format!("Missing required option --{name}"))),
    }
}

/// Which running replica to ask, and with which key, for how long.
#[derive(Debug)]
pub(super) struct Whom {
    pub(super) peer: String,
    pub(super) key: PathBuf,
    pub(super) timeout: Duration,
}

fn whom(
    peer: Option<&String>,
    key_file: Option<&String>,
    path: Option<&String>,
    limit: Option<&String>,
    default: Duration,
) -> Result<Whom, Failure> {
    Ok(Whom {
        peer: required(peer, "peer")?.to_owned(),
        key: key(key_file, path),
        timeout: timeout(limit)?.unwrap_or(default),
    })
}

/// How long a change may take.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long an answer about the status may take.
const STATUS_TIMEOUT: Duration = Duration::from_secs(10);

impl AddMember {
    pub(super) fn whom(&self) -> Result<Whom, Failure> {
        let (peer, key) = (self.peer.as_ref(), self.key.as_ref());
        whom(peer, key, None, self.timeout.as_ref(), CHANGE_TIMEOUT)
    }
}

impl RemoveMember {
    pub(super) fn whom(&self) -> Result<Whom, Failure> {
        let (peer, key) = (self.peer.as_ref(), self.key.as_ref());
        whom(peer, key, None, self.timeout.as_ref(), CHANGE_TIMEOUT)
    }
}

impl ReplaceMember {
    pub(super) fn whom(&self) -> Result<Whom, Failure> {
        let (peer, key) = (self.peer.as_ref(), self.key.as_ref());
        whom(peer, key, None, self.timeout.as_ref(), CHANGE_TIMEOUT)
    }
}

impl SetQuorum {
    pub(super) fn whom(&self) -> Result<Whom, Failure> {
        let (peer, key) = (self.peer.as_ref(), self.key.as_ref());
        whom(peer, key, None, self.timeout.as_ref(), CHANGE_TIMEOUT)
    }
}

impl ForceNewEnsemble {
    pub(super) fn path(&self) -> Result<PathBuf, Failure> {
        path(self.path.as_ref())
    }
}

impl Benchmark {
    pub(super) fn path(&self) -> Result<PathBuf, Failure> {
        path(self.path.as_ref())
    }

    pub(super) fn key(&self) -> PathBuf {
        key(self.key.as_ref(), self.path.as_ref())
    }
}

impl Replica {
    pub(super) fn path(&self) -> Result<PathBuf, Failure> {
        path(self.path.as_ref())
    }

    pub(super) fn key(&self) -> PathBuf {
        key(self.key.as_ref(), self.path.as_ref())
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

    pub(super) fn whom(&self) -> Result<Whom, Failure> {
        let (key, path) = (self.key.as_ref(), self.path.as_ref());
        whom(
            self.peer.as_ref(),
            key,
            path,
            self.timeout.as_ref(),
            STATUS_TIMEOUT,
        )
    }
}

impl Verify {
    pub(super) fn path(&self) -> Result<PathBuf, Failure> {
        path(self.path.as_ref())
    }
}
