//! One machine: a disk, a clock, and the process that runs a replica on them, or does not.

use crate::checker::Witness;
use crate::checker::ledger::EntryId;
use crate::clock::{Clock, Nanos};
use crate::damage::Damage;
use crate::disk::Disk;
use cores::paxos::{
    Ballot, Configuration, Entry, Member, Position, Record, Recovered, Replica, ReplicaId, Ticket,
};
use cores::replog::disk::{self as durable, DiskError, Fresh};
use cores::replog::evidence::EvidenceFile;
use cores::replog::store::Store;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A machine.
pub struct Machine {
    pub disk: Disk,
    pub clock: Clock,
    pub process: Option<Process>,
    /// Who lives on the disk.
    pub me: Member,
    /// What each incarnation that lived here has said.
    pub witnesses: BTreeMap<Member, Witness>,
    /// Why the disk may be missing what it was given, if it may.
    pub damage: Option<Damage>,
    /// The disk as it was before it was last damaged, and who lived on it.
    pub old_life: Option<(Member, Disk)>,
    /// Whether it refuses to start, and rightly so.
    pub is_out: bool,
    /// No processor until then.
    pub stalled_until: Nanos,
    /// The disk takes longer until then.
    pub disk_slow_until: Nanos,
    /// Counts the processes.
    pub boot: u64,
    /// The number of the last commit that was reported done: others may have been told of it.
    pub reported: u64,
}

/// What was handed to the disk, and what of it has been reported.
pub struct Commit {
    pub ticket: Option<Ticket>,
    pub records: Vec<Record>,
    pub result: Result<(), DiskError>,
}

/// A process that runs a replica.
pub struct Process {
    pub core: Replica,
    pub durable: durable::Disk,
    pub reader: Arc<dyn Store>,
    pub jobs: VecDeque<(Ticket, Vec<Record>)>,
    /// The call to the disk that has not come back.
    pub commit: Option<Commit>,
    /// The last position that was given to the owner.
    pub given: Position,
    /// What the owner was told and has not taken, if there is one that takes it.
    pub news: Vec<News>,
    /// What was proposed under the present ballot and is not learned.
    pub in_flight: VecDeque<(Position, EntryId)>,
    pub leading: Option<Ballot>,
    /// Whether its owner is not ready to lead yet: it must not.
    pub is_cold: bool,
    /// Reads under way: what was acknowledged when they were asked for.
    pub reads: BTreeMap<u64, Position>,
    /// Ballots that it has led and lost.
    pub stale: Vec<Ballot>,
    /// When the timer event that is under way fires.
    pub timer: Option<Nanos>,
}

/// What a replica tells its owner, in the simulation of the whole scheduler.
#[derive(Clone, Debug)]
pub enum News {
    Discarded,
    Leading(Ballot),
    Learned(Entry),
    Skipped,
}

/// Why a replica was not opened.
#[derive(Debug)]
pub enum Refusal {
    /// The disk does not work now.
    Failing(String),
    /// What it holds cannot be proven.
    Unproven(String),
}

impl Machine {
    /// A machine whose disk has been initialised for `me`, by rounds above `begins`.
    pub fn new(me: Member, cluster: u128, begins: u64, clock: Clock) -> Self {
        let disk = Disk::formatted();
        let alone = Configuration::alone(cluster, me);
        let begins = Ballot {
            round: begins,
            ..Ballot::ZERO
        };
        make(&disk, Fresh::voting(me, alone, begins));
        Self {
            disk,
            clock,
            process: None,
            me,
            witnesses: BTreeMap::new(),
            damage: None,
            old_life: None,
            is_out: false,
            stalled_until: 0,
            disk_slow_until: 0,
            boot: 0,
            reported: 0,
        }
    }

    /// Puts a replica in place of what is on the disk that has to learn everything before it votes.
    pub fn make_joining(&mut self, me: Member, needs_incarnation: bool) {
        self.disk.format();
        make(&self.disk, Fresh::joining(me, needs_incarnation));
        self.me = me;
        self.reported = 0;
    }

    pub fn id(&self) -> ReplicaId {
        self.me.id
    }

    /// The witness of who lives here now.
    pub fn witness(&mut self) -> &mut Witness {
        self.witnesses.entry(self.me).or_default()
    }

    /// Whether the evidence on the disk is of everything that was reported done. Where it is behind,
    /// because it rides, only the peers can know that something is gone: see `replog::disk`.
    pub fn is_attested(&self) -> bool {
        let evidence = EvidenceFile::over(self.disk.slots()).newest();
        evidence.is_ok_and(|evidence| evidence.sequence >= self.reported)
    }

    /// Opens the disk as a starting process does.
    pub fn open(&self) -> Result<(durable::Disk, Recovered), Refusal> {
        if !self.disk.has_slots() {
            return Err(Refusal::Unproven("the evidence file is missing".to_owned()));
        }
        if !self.disk.has_store() {
            return Err(Refusal::Unproven("the database is missing".to_owned()));
        }
        let evidence = EvidenceFile::over(self.disk.slots());
        durable::Disk::open(self.disk.writer(), evidence).map_err(|error| match error {
            DiskError::Evidence(cause) => Refusal::Failing(cause),
            DiskError::Store(error) => Refusal::Failing(error.to_string()),
            DiskError::Stored(error) => Refusal::Unproven(error.to_string()),
            DiskError::Unproven(cause) => Refusal::Unproven(cause),
        })
    }
}

/// Writes a fresh replica to an empty disk.
fn make(disk: &Disk, fresh: Fresh) {
    let made = durable::Disk::create(disk.writer().as_ref(), fresh);
    let slots = EvidenceFile::over(disk.slots());
    slots.write(&made.unwrap()).unwrap();
    disk.settle(u64::MAX);
}
