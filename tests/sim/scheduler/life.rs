//! One process' engine: it follows what its replica learns, and leads when its replica does.

use crate::checker::ledger::EntryId;
use aurora::base::rng::Rng;
use aurora::scheduler::{Engine, EngineOptions};
use cores::paxos::{Ballot, Position};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Marks the entries of engines among those of the log's own clients.
pub const MARK: &[u8; 4] = b"ENGN";

pub struct Life {
    /// The process of the machine that it is part of.
    pub boot: u64,
    pub engine: Engine,
    pub leading: Option<Ballot>,
    /// Entries that the log has not taken yet.
    pub to_append: VecDeque<(u64, Vec<u8>)>,
    /// Where entries of this term stand.
    pub tickets: BTreeMap<Position, (u64, EntryId)>,
}

pub fn options() -> EngineOptions {
    EngineOptions {
        max_attempts_per_sec: 10_000,
        preemption_initial_delay: None,
        snapshot_interval: Duration::from_secs(20),
        updates_per_job: 100_000,
        history_per_job: 20,
        history_min_retention: Duration::from_secs(30),
        cron_catch_up: Duration::from_secs(20),
        ..EngineOptions::default()
    }
}

impl Life {
    pub fn new(boot: u64, seed: u64) -> Self {
        Self {
            boot,
            engine: Engine::new(options(), Rng::from_seed(seed)),
            leading: None,
            to_append: VecDeque::new(),
            tickets: BTreeMap::new(),
        }
    }

    /// It leads no more; gives whether it did.
    pub fn stand_down(&mut self) -> bool {
        self.to_append.clear();
        self.tickets.clear();
        if self.engine.is_leading() {
            self.engine.handle_discarded();
        }
        self.leading.take().is_some()
    }
}

/// The bytes of an entry of the log: its name, as the ledger wants it, and the engine's record.
pub fn wrap(name: EntryId, record: &[u8]) -> Vec<u8> {
    [&name.payload(0)[..], MARK, record].concat()
}

/// The name and the engine's record; `None` if it is none of an engine.
pub fn unwrap(payload: &[u8]) -> Option<(EntryId, &[u8])> {
    let (name, rest) = payload.split_at_checked(8)?;
    let record = rest.strip_prefix(MARK)?;
    Some((EntryId(u64::from_be_bytes(name.try_into().ok()?)), record))
}
