//! Opening a replica: from a path to a handle.

use super::control::{self, Control};
use super::disk::{Disk, DiskError};
use super::error::OpenError;
use super::evidence::{EvidenceFile, EvidenceOpenError};
use super::handle::{Command, Commands, LogEvent, LogHandle, ReplicaStatus, Shared};
use super::keyspace::FjallStore;
use super::layout::{self, Holding};
use super::peers::{Network, NetworkOptions};
use super::run::{Empty, Inlets, Members, Runner, Wires};
use super::store::Store;
use super::stored::Evidence;
use super::wire::Hello;
use crate::base::rng::Rng;
use crate::base::stamp;
use crate::net::keys::SecretKey;
use crate::net::listener::Incoming;
use crate::paxos::{Incarnation, Member, Options, Recovered, ReplicaId, Timing};
use async_channel::{Receiver, Sender};
use std::cell::RefCell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once, OnceLock, Weak};
use std::time::Duration;

/// Most commands waiting for the run loop.
const COMMANDS_MAX: usize = 4096;
/// Most events waiting for whoever holds the receiver.
const EVENTS_MAX: usize = 1024;

/// Which replica to open, and how.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The directory given to `initialize`.
    pub path: PathBuf,
    /// `-native_log_quorum_size`.
    pub quorum_size: u32,
    /// How often a replica that is not initialised says so.
    pub empty_notice_interval: Duration,
    /// `-native_log_peers`: all replicas by `host:port`, this one among them. Empty on a lone node.
    pub peers: Vec<String>,
    /// Which of them this one is. Empty on a lone node.
    pub address: String,
    /// `-feature_level_delay`: how long a term lasts before it raises the log's feature level.
    pub feature_level_delay: Duration,
}

/// How a replica reaches the others, and operators reach it.
#[derive(Debug)]
pub struct Reach {
    /// What all replicas share.
    pub key: SecretKey,
    /// Where that is, for messages.
    pub key_file: PathBuf,
    /// Connections for `Protocol::Replica`.
    pub replicas: Receiver<Incoming>,
    /// Connections for `Protocol::Control`.
    pub operators: Receiver<Incoming>,
}

/// Opens the replica in `options.path`; never makes one, but in a place that an ensemble keeps for
/// it.
///
/// Blocks while everything is read and checked. A path that does not exist or is empty is no error:
/// the status is `Empty`, and says so once an interval, until the process is started again on a
/// path that has been initialised, or until a peer says that an ensemble has a seat at this
/// replica's address. Otherwise the events are every kept entry, then `Leading` if it leads.
///
/// Without `reach` it talks with nobody.
///
/// # Errors
///
/// See [`OpenError`]. What was refused is refused again: the evidence is never changed to fit.
pub fn open(
    options: LogOptions,
    reach: Option<Reach>,
    rng: Rng,
) -> Result<(LogHandle, Receiver<LogEvent>), OpenError> {
    let path = options.path.clone();
    let found = match layout::inspect(&path) {
        Ok(Holding::Empty) => None,
        Ok(Holding::Foreign(found)) => return Err(OpenError::Foreign { path, found }),
        Ok(Holding::NotADirectory) => return Err(OpenError::NotADirectory { path }),
        Ok(Holding::Replica) => match open_disk(&path) {
            Ok(opened) => Some(opened),
            Err(OpenError::Unproven { cause, .. }) if options.peers.len() > 1 => {
                recover_from_peers(&path, cause)?
            }
            Err(error) => return Err(error),
        },
        Err(cause) => return Err(OpenError::Io { path, cause }),
    };
    start(options, reach, found, rng)
}

/// Starts a replica on what was opened in its path, or without a disk.
pub(super) fn start(
    options: LogOptions,
    reach: Option<Reach>,
    found: Option<(Disk, Recovered)>,
    rng: Rng,
) -> Result<(LogHandle, Receiver<LogEvent>), OpenError> {
    let path = options.path.clone();
    if let Some((_, recovered)) = &found {
        check_quorum(&options, recovered)?;
    }
    let opening = Opening::new(options, reach);
    let opened = match found {
        Some((disk, recovered)) => opening.start(disk, recovered, rng),
        None => Ok(opening.wait(rng)),
    };
    opened.map_err(|cause| OpenError::Io { path, cause })
}

/// Sets a replica aside that cannot prove what it holds, and opens one in its place that has lost
/// everything, to recover from its peers as a new incarnation. `None` if not even its identity is
/// left: whoever listens at its address may join anew.
///
/// One that had no other members is refused: nobody else holds what it has lost.
pub(super) fn recover_from_peers(
    path: &Path,
    cause: DiskError,
) -> Result<Option<(Disk, Recovered)>, OpenError> {
    let io = |cause| OpenError::Io {
        path: path.to_path_buf(),
        cause,
    };
    let evidence = EvidenceFile::open(&layout::evidence_path(path));
    let newest = match &evidence {
        Ok(file) => file.newest().ok(),
        Err(EvidenceOpenError::InUse) => {
            return Err(OpenError::InUse {
                path: path.to_path_buf(),
            });
        }
        Err(EvidenceOpenError::Io(_)) => None,
    };
    if was_alone(path, newest) {
        return Err(OpenError::Unproven {
            path: path.to_path_buf(),
            cause,
        });
    }
    let me = newest.map(|evidence| evidence.me);
    let aside = layout::set_aside(path, me).map_err(io)?;
    drop(evidence);
    log::error!(
        "the replica in {} cannot prove that it still holds everything it has acknowledged: {cause}. \
         It does not vote with that: it is kept in {} for you to look at, and the replica recovers from \
         its peers{}. The disk may be failing, or files were removed, restored or copied by hand",
        path.display(),
        aside.display(),
        match me {
            Some(_) => " as a new incarnation",
            None => " under a new identity",
        }
    );
    match me {
        Some(_) => open_disk(path).map(Some),
        None => Ok(None),
    }
}

/// Whether what can still be read of a replica says that its ensemble has no other members.
fn was_alone(path: &Path, evidence: Option<Evidence>) -> bool {
    // What a damaged database does to its library must not end the process here.
    let opened = std::panic::catch_unwind(|| FjallStore::open(&layout::store_path(path)).ok());
    let store = opened.ok().flatten();
    Disk::was_alone(store.as_ref().map(|store| store as &dyn Store), evidence)
}

/// Makes a replica at an empty path that has to learn everything before it votes, and opens it.
pub(super) fn make_joining(path: &Path, me: Member) -> Result<(Disk, Recovered), OpenError> {
    layout::make_joining(path, me).map_err(|error| OpenError::Io {
        path: path.to_path_buf(),
        cause: std::io::Error::other(error.to_string()),
    })?;
    open_disk(path)
}

/// Opens and proves the replica in `path`, which holds one.
pub(super) fn open_disk(path: &Path) -> Result<(Disk, Recovered), OpenError> {
    let path_buf = || path.to_path_buf();
    let unproven = |cause: DiskError| OpenError::Unproven {
        path: path_buf(),
        cause,
    };
    let evidence = match EvidenceFile::open(&layout::evidence_path(path)) {
        Ok(evidence) => evidence,
        Err(EvidenceOpenError::InUse) => return Err(OpenError::InUse { path: path_buf() }),
        Err(EvidenceOpenError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            let cause = "the evidence file is missing".to_owned();
            return Err(unproven(DiskError::Unproven(cause)));
        }
        Err(EvidenceOpenError::Io(cause)) => {
            return Err(OpenError::Io {
                path: path_buf(),
                cause,
            });
        }
    };
    // The store is opened only if there is one: what is missing must not be made anew.
    let store_path = layout::store_path(path);
    if !store_path.is_dir() {
        let cause = "the database is missing".to_owned();
        return Err(unproven(DiskError::Unproven(cause)));
    }
    let cause = "the database cannot be read: its library gave up (see the panic above or below)";
    let refusal = unproven(DiskError::Unproven(cause.to_owned()));
    explained(refusal.to_string(), || {
        let store = FjallStore::open(&store_path).map_err(|error| unproven(error.into()))?;
        let store: Arc<dyn Store> = Arc::new(store);
        Disk::open(store, evidence).map_err(unproven)
    })
}

thread_local! {
    /// What to say if this thread panics now.
    static EXPLANATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Does `work`; if it panics, says `explanation` first.
///
/// fjall panics on some damaged files. The process ends then, as it must, but the operator has to
/// be told what it means and what to do.
fn explained<T>(explanation: String, work: impl FnOnce() -> T) -> T {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if let Some(text) = EXPLANATION.with(|explanation| explanation.take()) {
                // The logger may not live to write it. Without a stream, nobody is there to read.
                writeln!(std::io::stderr(), "{text}").ok();
            }
            previous(info);
        }));
    });
    EXPLANATION.set(Some(explanation));
    let result = work();
    EXPLANATION.set(None);
    result
}

fn check_quorum(options: &LogOptions, recovered: &Recovered) -> Result<(), OpenError> {
    let is_formed = recovered.configured > crate::paxos::Position::ZERO;
    let (given, stored) = (options.quorum_size, recovered.configuration.quorum);
    let members = recovered.configuration.members.len();
    let largest = members.max(options.peers.len());
    let is_open = !is_formed && members == 1 && options.peers.len() > 1;
    // One that waits to be formed takes what the flags say, which were checked against each other.
    if is_open || (stored as usize..=largest).contains(&(given as usize)) {
        return Ok(());
    }
    Err(OpenError::Quorum {
        given,
        stored,
        members,
    })
}

/// The parts of a replica that are the same whether it has a disk or not.
struct Opening {
    path: PathBuf,
    interval: Duration,
    options: Options,
    members: Members,
    reach: Option<Reach>,
    commands: Sender<Command>,
    asked: Receiver<Command>,
    events: Sender<LogEvent>,
    heard: Receiver<LogEvent>,
    store: Arc<OnceLock<Weak<dyn Store>>>,
    boot_rng: Rng,
}

impl Opening {
    fn new(options: LogOptions, reach: Option<Reach>) -> Self {
        let (commands, asked) = async_channel::bounded(COMMANDS_MAX);
        let (events, heard) = async_channel::bounded(EVENTS_MAX);
        let address: Arc<str> = options.address.into();
        let has_peers = options.peers.len() > 1;
        let peers = options.peers.into_iter().map(Arc::from).collect();
        // A nonce has to differ between processes, whatever seed a test gives.
        let mut boot_rng = Rng::from_os();
        let members = Members::new(
            Arc::clone(&address),
            peers,
            options.quorum_size,
            stamp::feature_level(),
            &mut boot_rng,
        );
        Self {
            path: options.path,
            interval: options.empty_notice_interval,
            options: Options {
                timing: Timing::default(),
                address,
                feature_level: stamp::feature_level(),
                feature_level_delay: options.feature_level_delay,
                has_peers,
            },
            members,
            reach,
            commands,
            asked,
            events,
            heard,
            store: Arc::default(),
            boot_rng,
        }
    }

    /// Makes what connects the loop to the handles and to the peers.
    fn connect(&mut self, hello: Hello, status: ReplicaStatus) -> (LogHandle, Inlets) {
        let shared = Arc::new(Shared::new(status));
        let mut wires = None;
        let mut network = None;
        if let Some(reach) = self.reach.take() {
            let (connected, news, entries) = Network::new(NetworkOptions {
                key: reach.key.clone(),
                key_file: reach.key_file,
                hello,
                rng: Rng::from_seed(self.boot_rng.next_u64()),
            });
            let control = Control {
                key: reach.key,
                commands: self.commands.downgrade(),
                shared: Arc::clone(&shared),
                network: connected.clone(),
            };
            let serving = control::serve(control, reach.operators);
            crate::rt::spawn("operators", serving).detach();
            network = Some(connected.clone());
            wires = Some(Wires {
                network: connected,
                news,
                entries,
                incoming: reach.replicas,
            });
        }
        let handle = LogHandle {
            commands: self.commands.clone(),
            shared: Arc::clone(&shared),
            store: Arc::clone(&self.store),
            network,
        };
        let inlets = Inlets {
            commands: Commands::new(self.asked.clone()),
            events: self.events.clone(),
            shared,
            wires,
        };
        (handle, inlets)
    }

    /// Starts a replica that has a disk.
    fn start(
        mut self,
        disk: Disk,
        recovered: Recovered,
        rng: Rng,
    ) -> std::io::Result<(LogHandle, Receiver<LogEvent>)> {
        let hello = self.members.first_hello(&disk, &recovered);
        let (handle, inlets) = self.connect(hello, ReplicaStatus::Recovering);
        if self.store.set(Arc::downgrade(disk.store())).is_err() {
            log::debug!("the store of a replica was set before");
        }
        let heard = self.heard;
        let runner = Runner::new(disk, recovered, self.options, inlets, self.members, rng)?;
        crate::rt::spawn("replicated log", runner.run()).detach();
        Ok((handle, heard))
    }

    /// Starts a replica that waits for a disk.
    fn wait(mut self, rng: Rng) -> (LogHandle, Receiver<LogEvent>) {
        let member = Member {
            id: ReplicaId(self.boot_rng.next_u64().max(1)),
            incarnation: Incarnation(0),
        };
        let hello = Empty::hello(&self.members, member);
        let (handle, inlets) = self.connect(hello, ReplicaStatus::Empty);
        handle.shared.lock().ensemble.me = member;
        handle.shared.lock().ensemble.address = Arc::clone(self.members.address());
        let empty = Empty {
            path: self.path,
            interval: self.interval,
            member,
            options: self.options,
            inlets,
            members: self.members,
            store: self.store,
            rng,
        };
        crate::rt::spawn("empty replica", empty.run()).detach();
        (handle, self.heard)
    }
}
