//! The durable side of a replica: records in, recovered state out, and proof that nothing is
//! missing.
//!
//! Every commit is one batch of the store: new runs, and the meta record with a write sequence that
//! rises by one and the sum of the hashes of all runs. When the store has synced, the evidence file
//! is told the sequence and the hash of that meta record, and synced too. Only then is the commit
//! durable. Opening reads everything, sums again and compares: a store that has silently lost its
//! tail, its middle or all of it does not match.
//!
//! In an ensemble the evidence of accepted entries, and of nothing else, may ride: it follows a few
//! commits or milliseconds later, since it would double the time of every commit. What is lost in
//! between is missed by the peers, who remember the sequence; a promise is never lost so.

use super::evidence::EvidenceFile;
use super::store::{Batch, Store, StoreError};
use super::stored::{self, Evidence, META_KEY, Meta, StoredError};
use crate::base::clock;
use crate::base::mistake;
use crate::paxos::Value;
use crate::paxos::{
    Ballot, Configuration, Entry, Member, Position, Record, Recovered, Run, Status,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Why a replica's state cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DiskError {
    /// The evidence file failed.
    #[error("writing the evidence file: {0}")]
    Evidence(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record is damaged or too new.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// What is there does not match the evidence.
    #[error("{0}")]
    Unproven(String),
}

/// What one commit took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Committed {
    /// Bytes of runs written.
    pub run_bytes: u64,
    /// From the start of the commit until it was durable.
    pub took: Duration,
    /// The number of the commit.
    pub sequence: u64,
    /// The promise that is durable with it.
    pub promised: Ballot,
}

/// What a replica begins with.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// Who it is.
    pub me: Member,
    /// The ensemble it may form.
    pub configuration: Configuration,
    /// Its ballots will be above this.
    pub promised: Ballot,
    /// Whether it votes.
    pub status: Status,
    /// Whether it has lost what it held, and must ask for another incarnation.
    pub needs_incarnation: bool,
}

impl Fresh {
    /// A replica that `initialize` makes: votes, and is of no ensemble yet.
    pub fn voting(me: Member, configuration: Configuration, promised: Ballot) -> Self {
        Self {
            me,
            configuration,
            promised,
            status: Status::Voting,
            needs_incarnation: false,
        }
    }

    /// A replica that has to learn everything from others before it votes.
    pub fn joining(me: Member, needs_incarnation: bool) -> Self {
        Self {
            me,
            // A cluster of its own, that is never formed: it takes the one of those that it joins.
            configuration: Configuration::alone(0, me),
            promised: Ballot::ZERO,
            status: Status::Recovering,
            needs_incarnation: needs_incarnation && !mistake::is_on("come-back-as-the-same"),
        }
    }
}

/// The store and the evidence of one replica, owned by its writer thread.
pub struct Disk {
    store: Arc<dyn Store>,
    evidence: EvidenceFile,
    meta: Meta,
    /// The first position up to which sweeping has been finished.
    swept_for: Position,
    /// Deleted since the store was last compacted.
    swept_bytes: u64,
    /// The commit that the evidence is of.
    attested: u64,
    /// The last position of any run that may be in the store.
    highest: Position,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk")
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

/// How much is deleted at once.
///
/// What is deleted is read, to take its hash off the sum, and whoever writes next waits for that: a limit of
/// runs alone would not bound it, for runs may be long.
#[derive(Clone, Copy)]
struct Portion {
    runs: usize,
    bytes: u64,
}

/// With a commit that somebody waits for, at least.
const SWEEP_BUSY: Portion = Portion {
    runs: 64,
    bytes: 256 << 10,
};
/// In a commit of its own, for which whoever comes next waits.
const SWEEP_IDLE: Portion = Portion {
    runs: 1024,
    bytes: 1 << 20,
};
/// Most commits whose evidence rides.
const RIDING_MAX: u64 = 32;

impl Disk {
    /// Writes the state of a fresh replica into an empty store and gives the evidence of it.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn create(store: &dyn Store, fresh: Fresh) -> Result<Evidence, StoreError> {
        let meta = Meta {
            me: fresh.me,
            status: fresh.status,
            promised: fresh.promised,
            first: Position::FIRST,
            learned: Position::ZERO,
            swept: Position::FIRST,
            configuration: fresh.configuration,
            configured: Position::ZERO,
            needs_incarnation: fresh.needs_incarnation,
            sequence: 1,
            runs: 0,
            hash: 0,
        };
        let value = meta.encode();
        let evidence = evidence_of(&meta, &value);
        store.commit(Batch {
            puts: vec![(META_KEY.to_vec(), value)],
            removes: Vec::new(),
        })?;
        Ok(evidence)
    }

    /// Reads everything, and proves that it is everything that was ever made durable.
    ///
    /// # Errors
    ///
    /// If it cannot be proven: the replica must not vote, and without peers must not start.
    pub fn open(store: Arc<dyn Store>, file: EvidenceFile) -> Result<(Self, Recovered), DiskError> {
        let evidence = file.newest()?;
        let meta = prove_meta(store.as_ref(), &evidence)?;
        let (accepted, highest) = prove_runs(store.as_ref(), &meta)?;
        let mut disk = Self {
            store,
            evidence: file,
            swept_for: meta.swept,
            meta,
            swept_bytes: 0,
            attested: evidence.sequence,
            highest,
        };
        // The last commit may have reached the store and not the evidence. Acknowledged or not, from
        // here on it counts.
        disk.attest()?;
        let recovered = Recovered {
            me: disk.meta.me,
            status: disk.meta.status,
            promised: disk.meta.promised,
            first: disk.meta.first,
            learned: disk.meta.learned,
            configuration: disk.meta.configuration.clone(),
            configured: disk.meta.configured,
            needs_incarnation: disk.meta.needs_incarnation,
            accepted,
        };
        Ok((disk, recovered))
    }

    /// Whether the ensemble of a replica had no other members, as far as can be told of one that is not
    /// proven: by its store if that can be read, or by the evidence where that is of a later commit. A store
    /// that lacks its end may be back at what it was before the replica had others.
    pub fn was_alone(store: Option<&dyn Store>, evidence: Option<Evidence>) -> bool {
        let stored = store.and_then(|store| store.value(META_KEY).ok()?);
        let meta = stored.and_then(|value| Meta::decode(&value).ok());
        let told = meta.map(|meta| (meta.sequence, meta.configuration.members.len()));
        let attested =
            evidence.and_then(|evidence| Some((evidence.sequence, evidence.members? as usize)));
        told.into_iter()
            .chain(attested)
            .max_by_key(|(sequence, _)| *sequence)
            .is_some_and(|(_, members)| members == 1)
    }

    /// The number of the last commit.
    pub fn sequence(&self) -> u64 {
        self.meta.sequence
    }

    /// Its promise.
    pub fn promised(&self) -> Ballot {
        self.meta.promised
    }

    /// Whether the evidence is behind: [`Disk::attest`] is due soon.
    pub fn is_riding(&self) -> bool {
        self.attested < self.meta.sequence
    }

    /// The store, for reading.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Makes records durable, all or none.
    ///
    /// # Errors
    ///
    /// What is on disk is unknown then. The disk must not be used again: see the module.
    pub fn commit(
        &mut self,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<Committed, DiskError> {
        let started = clock::now();
        let mut batch = Batch::default();
        let mut committed = Committed::default();
        let mut added: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        let mut may_ride = self.meta.configuration.members.len() > 1;
        for record in records {
            may_ride &= matches!(record, Record::Run(_) | Record::Learned(_));
            match record {
                Record::Configuration(configured) => {
                    self.meta.configuration = (*configured.configuration).clone();
                    self.meta.configured = configured.position;
                }
                Record::First(first) => self.meta.first = self.meta.first.max(first),
                Record::Forming(configuration) => {
                    self.meta.configuration = (*configuration).clone();
                }
                Record::Learned(learned) => self.meta.learned = self.meta.learned.max(learned),
                Record::Member(me) => {
                    self.meta.me = me;
                    self.meta.needs_incarnation = false;
                }
                Record::NeedsIncarnation => self.meta.needs_incarnation = true,
                Record::Promise(_) if mistake::is_on("drop-promises") => {}
                Record::Promise(ballot) => {
                    self.meta.promised = self.meta.promised.and_promise(ballot);
                }
                Record::Status(status) => self.meta.status = status,
                Record::Run(run) => {
                    let (key, value) = (stored::run_key(&run), stored::encode_run(&run));
                    committed.run_bytes += value.len() as u64;
                    self.add(&run, &key, &value, &mut added)?;
                    batch.puts.push((key, value));
                }
            }
        }
        if self.needs_sweep() {
            // Never less than is added, or the disk would fill under a load that does not pause.
            let most = Portion {
                runs: SWEEP_BUSY.runs.max(2 * batch.puts.len()),
                bytes: SWEEP_BUSY.bytes.max(2 * committed.run_bytes),
            };
            self.sweep_into(&mut batch, most)?;
        }
        self.write(batch)?;
        if !may_ride || self.meta.sequence - self.attested >= RIDING_MAX {
            self.attest()?;
        }
        committed.took = clock::now().since(started);
        committed.sequence = self.meta.sequence;
        committed.promised = self.meta.promised;
        Ok(committed)
    }

    /// Counts a run in, once however often it is written.
    fn add(
        &mut self,
        run: &Run,
        key: &[u8],
        value: &[u8],
        added: &mut BTreeMap<Vec<u8>, u64>,
    ) -> Result<(), DiskError> {
        let hash = stored::hash(key, value);
        let before = match added.get(key) {
            Some(hash) => Some(*hash),
            // Nothing that reaches so far was ever written.
            None if run.last() > self.highest => None,
            None => self.store.value(key)?.map(|old| stored::hash(key, &old)),
        };
        self.highest = self.highest.max(run.last());
        match before {
            Some(before) => self.meta.hash = self.meta.hash.wrapping_sub(before),
            None => self.meta.runs += 1,
        }
        self.meta.hash = self.meta.hash.wrapping_add(hash);
        added.insert(key.to_vec(), hash);
        Ok(())
    }

    /// Whether runs below the first position wait to be deleted.
    pub fn needs_sweep(&self) -> bool {
        self.swept_for < self.meta.first
    }

    /// Deletes some of the runs that are wholly below the first position.
    ///
    /// # Errors
    ///
    /// As for [`Disk::commit`].
    pub fn sweep(&mut self) -> Result<(), DiskError> {
        let mut batch = Batch::default();
        self.sweep_into(&mut batch, SWEEP_IDLE)?;
        if batch.removes.is_empty() {
            return Ok(());
        }
        self.write(batch)?;
        self.attest()
    }

    /// Adds deletions to a batch. Starts where the last sweep ended, never at the beginning: the
    /// store walks what is deleted.
    fn sweep_into(&mut self, batch: &mut Batch, most: Portion) -> Result<(), DiskError> {
        let first = self.meta.first;
        let (mut swept, mut bytes, mut hash) = (first, 0, self.meta.hash);
        let mut is_done = true;
        let removes = &mut batch.removes;
        self.store
            .scan(&stored::runs_from(self.meta.swept), &mut |key, value| {
                let Some((begins, ends)) = stored::run_bounds(key) else {
                    return ControlFlow::Break(());
                };
                let is_kept = ends >= first && !(mistake::is_on("sweep-too-far") && begins < first);
                let is_enough = removes.len() >= most.runs || bytes >= most.bytes;
                if is_kept || is_enough {
                    swept = begins.min(first);
                    is_done = ends >= first;
                    return ControlFlow::Break(());
                }
                hash = hash.wrapping_sub(stored::hash(key, value));
                bytes += (key.len() + value.len()) as u64;
                removes.push(key.to_vec());
                ControlFlow::Continue(())
            })?;
        self.meta.runs -= removes.len() as u64;
        self.meta.hash = hash;
        self.meta.swept = swept;
        self.swept_bytes += bytes;
        if is_done {
            // A run that straddles the first position stays until a later truncation passes it.
            self.swept_for = first;
        }
        Ok(())
    }

    /// Bytes deleted since [`Disk::take_swept_bytes`] last gave any.
    pub fn swept_bytes(&self) -> u64 {
        self.swept_bytes
    }

    /// Bytes deleted since the last call that gave any: what compacting now would give back.
    pub fn take_swept_bytes(&mut self, at_least: u64) -> Option<u64> {
        if self.swept_bytes < at_least {
            return None;
        }
        Some(std::mem::take(&mut self.swept_bytes))
    }

    fn write(&mut self, mut batch: Batch) -> Result<(), DiskError> {
        self.meta.sequence += 1;
        batch.puts.push((META_KEY.to_vec(), self.meta.encode()));
        if mistake::is_on("evidence-before-store") {
            self.attest()?;
        }
        match self.store.commit(batch) {
            Err(_) if mistake::is_on("go-on-after-a-failed-sync") => Ok(()),
            committed => Ok(committed?),
        }
    }

    /// Brings the evidence up to the last commit, if it is behind.
    ///
    /// # Errors
    ///
    /// As for [`Disk::commit`].
    pub fn attest(&mut self) -> Result<(), DiskError> {
        if !self.is_riding() || mistake::is_on("skip-the-evidence") {
            return Ok(());
        }
        // ORDER: the evidence may lag behind the store, but never be ahead of it.
        let evidence = evidence_of(&self.meta, &self.meta.encode());
        self.evidence
            .write(&evidence)
            .map_err(|error| DiskError::Evidence(error.to_string()))?;
        self.attested = self.meta.sequence;
        Ok(())
    }
}

fn evidence_of(meta: &Meta, value: &[u8]) -> Evidence {
    Evidence {
        cluster: meta.configuration.cluster,
        me: meta.me,
        promised: meta.promised,
        sequence: meta.sequence,
        hash: stored::hash(META_KEY, value),
        members: Some(u32::try_from(meta.configuration.members.len()).unwrap_or(u32::MAX)),
    }
}

fn prove_meta(store: &dyn Store, evidence: &Evidence) -> Result<Meta, DiskError> {
    let unproven = |what: String| Err(DiskError::Unproven(what));
    let Some(value) = store.value(META_KEY)? else {
        return unproven(format!(
            "the database is empty, but {} commits had been acknowledged",
            evidence.sequence
        ));
    };
    let meta = Meta::decode(&value)?;
    if meta.sequence < evidence.sequence && !mistake::is_on("believe-an-older-store") {
        return unproven(format!(
            "the database ends at commit {}, but commit {} had been acknowledged",
            meta.sequence, evidence.sequence
        ));
    }
    // A commit that changed who this is may have reached the store alone. It is still the same
    // replica, and no earlier life of it.
    let is_same = meta.me.id == evidence.me.id && meta.me.incarnation >= evidence.me.incarnation;
    let is_last = meta.sequence == evidence.sequence;
    if !is_same || (is_last && meta.configuration.cluster != evidence.cluster) {
        return unproven("the database and the evidence file belong to different replicas".into());
    }
    if meta.promised < evidence.promised && !evidence.promised.is_nobodys() {
        return unproven("the database has forgotten a promise".into());
    }
    let is_unchecked = mistake::is_on("believe-any-meta");
    if !is_unchecked
        && meta.sequence == evidence.sequence
        && stored::hash(META_KEY, &value) != evidence.hash
    {
        return unproven(format!(
            "commit {} is not the one that was acknowledged",
            meta.sequence
        ));
    }
    Ok(meta)
}

/// Reads all runs, and gives those above the watermark, and the last position of any.
fn prove_runs(store: &dyn Store, meta: &Meta) -> Result<(Vec<Run>, Position), DiskError> {
    let mut result: Result<(), DiskError> = Ok(());
    let (mut runs, mut hash) = (0_u64, 0_u64);
    let mut accepted = Vec::new();
    let mut highest = meta.learned;
    // Everything up to here is covered by a run, from the first position on.
    let mut covered = meta.first.before();
    store.scan(&stored::runs_from(Position::ZERO), &mut |key, value| {
        runs += 1;
        hash = hash.wrapping_add(stored::hash(key, value));
        match stored::decode_run(key, value) {
            Ok(run) => {
                if run.first <= covered.next() {
                    covered = covered.max(run.last());
                }
                highest = highest.max(run.last());
                if run.last() > meta.learned && !mistake::is_on("recover-learned-only") {
                    accepted.push(run);
                }
                ControlFlow::Continue(())
            }
            Err(error) => {
                result = Err(error.into());
                ControlFlow::Break(())
            }
        }
    })?;
    result?;
    let is_unchecked = mistake::is_on("believe-any-runs");
    if !is_unchecked && (runs != meta.runs || hash != meta.hash) {
        return Err(DiskError::Unproven(format!(
            "the database holds {runs} runs of entries where commit {} had {}, or other ones",
            meta.sequence, meta.runs
        )));
    }
    if covered < meta.learned {
        return Err(DiskError::Unproven(format!(
            "the entry at position {} is missing",
            covered.next()
        )));
    }
    Ok((accepted, highest))
}

/// Reads chosen entries from `from` to at most `through`, in order, until about `bytes` are read or
/// one is missing. Where runs overlap, the highest ballot holds.
///
/// # Errors
///
/// If the store cannot be read.
pub fn read_entries(
    store: &dyn Store,
    from: Position,
    through: Position,
    bytes: usize,
) -> Result<Vec<Entry>, DiskError> {
    let mut merge = Merge {
        next: from,
        through,
        pending: BTreeMap::new(),
        entries: Vec::new(),
        bytes_left: bytes,
    };
    let mut result = Ok(());
    // The run that covers `from` may begin before it.
    let start = from.0.saturating_sub(Run::VALUES_MAX as u64 - 1);
    store.scan(&stored::runs_from(Position(start)), &mut |key, value| {
        // Of up to so many runs before it, most have ended.
        if stored::run_bounds(key).is_some_and(|(_, ends)| ends < from) {
            return ControlFlow::Continue(());
        }
        match stored::decode_run(key, value) {
            Ok(run) => merge.add(&run),
            Err(error) => {
                result = Err(error);
                ControlFlow::Break(())
            }
        }
    })?;
    result?;
    merge.emit_below(through.next());
    Ok(merge.entries)
}

/// Merges overlapping runs that come in the order of their first positions.
struct Merge {
    next: Position,
    through: Position,
    pending: BTreeMap<Position, (Ballot, Value)>,
    entries: Vec<Entry>,
    bytes_left: usize,
}

impl Merge {
    fn add(&mut self, run: &Run) -> ControlFlow<()> {
        // No later run begins before this one: what is below it is final.
        self.emit_below(run.first);
        if run.first > self.through || self.bytes_left == 0 {
            return ControlFlow::Break(());
        }
        for entry in run.entries() {
            if entry.position < self.next || entry.position > self.through {
                continue;
            }
            let held = self.pending.get(&entry.position);
            let is_higher = |held: Ballot| held < entry.ballot || mistake::is_on("read-any-ballot");
            if held.is_none_or(|(ballot, _)| is_higher(*ballot)) {
                self.pending
                    .insert(entry.position, (entry.ballot, entry.value));
            }
        }
        ControlFlow::Continue(())
    }

    fn emit_below(&mut self, limit: Position) {
        while self.next < limit && self.bytes_left > 0 {
            let Some((ballot, value)) = self.pending.remove(&self.next) else {
                return;
            };
            self.bytes_left = self.bytes_left.saturating_sub(value.size_bytes());
            let position = self.next;
            self.entries.push(Entry {
                position,
                ballot,
                value,
            });
            self.next = position.next();
        }
    }
}
