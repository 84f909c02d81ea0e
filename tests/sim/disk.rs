//! A disk in memory: a store with a journal, and the slots of an evidence file. It forgets at a
//! crash what was not synced, tears what was being written, and can be damaged in every way that
//! `fjall` was seen to take without an error.

use cores::base::rng::Rng;
use cores::replog::evidence::Slots;
use cores::replog::store::{Batch, Store, StoreError, Usage, Visit};
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

type Key = Vec<u8>;
type Bytes = Vec<u8>;

/// What undoes one batch.
type Undo = Vec<(Key, Option<Bytes>)>;

/// What was done since the last call that has ended: a crash can come between any two.
#[derive(Clone, Debug)]
enum Step {
    Batch,
    BatchSynced { synced_before: usize },
    SlotWritten,
    SlotsSynced { pending_before: Vec<SlotWrite> },
}

#[derive(Clone, Debug)]
struct SlotWrite {
    offset: usize,
    before: Bytes,
    bytes: Bytes,
}

/// What the next writes meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weather {
    #[default]
    Fine,
    /// Nothing more fits.
    Full,
    /// The next sync fails; what it was for may or may not be on disk, and later syncs say nothing
    /// about it.
    SyncFails,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// What a reader sees.
    map: BTreeMap<Key, Bytes>,
    /// The newest batches, oldest first: what has not gone to a table yet.
    journal: Vec<Undo>,
    /// How many of them are durable.
    synced: usize,
    /// The first batch whose sync has failed. Nothing from there on survives a crash.
    doomed: Option<usize>,
    slots: Bytes,
    slots_pending: Vec<SlotWrite>,
    /// Slot writes whose sync has failed: the cache has them, the disk never gets them.
    slots_doomed: Vec<SlotWrite>,
    steps: Vec<Step>,
    weather: Weather,
    /// Whether the files are there at all.
    has_store: bool,
    has_slots: bool,
}

/// A disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<State>>);

/// How much the store on a disk holds, and what was written last.
impl Disk {
    /// An empty disk with files on it.
    pub fn formatted() -> Self {
        let disk = Self::default();
        disk.format();
        disk
    }

    /// Empties it.
    pub fn format(&self) {
        *self.state() = State {
            has_store: true,
            has_slots: true,
            slots: vec![0; 2 * 4096],
            ..State::default()
        };
    }

    /// Everything on it, to be put back later. Nobody uses it meanwhile.
    pub fn image(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    /// Puts everything back as it was.
    pub fn put(&self, image: &Self) {
        let state = image.state().clone();
        *self.state() = state;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// What the thread that writes uses.
    pub fn writer(&self) -> Arc<dyn Store> {
        Arc::new(Writer(self.clone()))
    }

    /// What everybody else reads: a batch is seen when its call has ended.
    pub fn reader(&self) -> Arc<dyn Store> {
        Arc::new(Reader(self.clone()))
    }

    /// The slots of the evidence.
    pub fn slots(&self) -> Box<dyn Slots> {
        Box::new(Writer(self.clone()))
    }

    pub fn has_store(&self) -> bool {
        self.state().has_store
    }

    pub fn has_slots(&self) -> bool {
        self.state().has_slots
    }

    pub fn set_weather(&self, weather: Weather) {
        self.state().weather = weather;
    }

    /// The calls made so far have ended.
    pub fn settle(&self, journal_batches: u64) {
        let mut state = self.state();
        state.steps.clear();
        let keep = usize::try_from(journal_batches).unwrap_or(usize::MAX);
        if state.journal.len() / 2 > keep && state.doomed.is_none() && state.synced > keep {
            let flushed = state.synced - keep;
            state.journal.drain(..flushed);
            state.synced -= flushed;
        }
    }

    /// The power fails: somewhere between the steps of the calls that are under way.
    pub fn crash(&self, rng: &mut Rng) {
        let mut state = self.state();
        let cut = rng.index(state.steps.len() + 1);
        while state.steps.len() > cut {
            state.take_back();
        }
        state.steps.clear();
        // What was written and not synced: a prefix of the journal, and any of the slots, torn.
        let unsynced = state.journal.len() - state.synced;
        let mut survives = state.synced + rng.index(unsynced + 1);
        if let Some(doomed) = state.doomed.take() {
            survives = survives.min(doomed);
        }
        while state.journal.len() > survives {
            state.take_back_batch();
        }
        state.synced = state.journal.len();
        let pending = std::mem::take(&mut state.slots_pending);
        for write in pending.iter().rev() {
            state.tear(write, rng);
        }
        let doomed = std::mem::take(&mut state.slots_doomed);
        for write in doomed.iter().rev() {
            state.restore_slot(write);
        }
        if state.weather == Weather::SyncFails {
            state.weather = Weather::Fine;
        }
    }

    /// The newest `batches` of the journal are gone, without a word.
    pub fn lose_suffix(&self, batches: usize) -> usize {
        let mut state = self.state();
        let keep = state.journal.len().saturating_sub(batches);
        let lost = state.journal.len() - keep;
        while state.journal.len() > keep {
            state.take_back_batch();
        }
        state.synced = state.journal.len();
        lost
    }

    /// How many batches the journal has.
    pub fn journal_len(&self) -> usize {
        self.state().journal.len()
    }

    /// The store is there and empty.
    pub fn empty_store(&self) {
        let mut state = self.state();
        state.map.clear();
        state.forget_history();
    }

    /// The directory of the store is gone.
    pub fn remove_store(&self) {
        self.empty_store();
        self.state().has_store = false;
    }

    /// The evidence file is gone.
    pub fn remove_slots(&self) {
        let mut state = self.state();
        state.slots.clear();
        state.has_slots = false;
    }

    /// One key is gone. The keys with a higher `index` come after it.
    pub fn lose_key(&self, index: usize) -> bool {
        let mut state = self.state();
        let Some(key) = state.map.keys().nth(index).cloned() else {
            return false;
        };
        state.map.remove(&key);
        state.forget_history();
        true
    }

    /// One bit of one value is another one.
    pub fn flip_value(&self, index: usize, rng: &mut Rng) -> bool {
        let mut state = self.state();
        state.forget_history();
        let Some(value) = state.map.values_mut().nth(index) else {
            return false;
        };
        let at = rng.index(value.len());
        value[at] ^= 1 << rng.index(8);
        true
    }

    /// One key has the value that it had before one of the newest batches.
    pub fn bring_back_key(&self, rng: &mut Rng) -> bool {
        let mut state = self.state();
        if state.journal.is_empty() {
            return false;
        }
        let batch = rng.index(state.journal.len());
        let undo = &state.journal[batch];
        let (key, before) = undo[rng.index(undo.len())].clone();
        match before {
            Some(value) => state.map.insert(key, value),
            None => state.map.remove(&key),
        };
        state.forget_history();
        true
    }

    /// How many keys there are.
    pub fn key_count(&self) -> usize {
        self.state().map.len()
    }

    /// One bit of one slot is another one.
    pub fn flip_slot(&self, slot: usize, rng: &mut Rng) {
        let mut state = self.state();
        let at = slot * 4096 + rng.index(80);
        if let Some(byte) = state.slots.get_mut(at) {
            *byte ^= 1 << rng.index(8);
        }
    }

    /// One slot reads as zeros.
    pub fn zero_slot(&self, slot: usize) {
        let mut state = self.state();
        if let Some(bytes) = state.slots.get_mut(slot * 4096..(slot + 1) * 4096) {
            bytes.fill(0);
        }
    }

    /// The evidence file ends early.
    pub fn cut_slots(&self, length: usize) {
        self.state().slots.truncate(length);
    }
}

impl State {
    fn forget_history(&mut self) {
        self.journal.clear();
        self.synced = 0;
        self.doomed = None;
    }

    fn take_back(&mut self) {
        match self.steps.pop() {
            Some(Step::Batch) => self.take_back_batch(),
            Some(Step::BatchSynced { synced_before }) => self.synced = synced_before,
            Some(Step::SlotWritten) => {
                if let Some(write) = self.slots_pending.pop() {
                    self.restore_slot(&write);
                }
            }
            Some(Step::SlotsSynced { pending_before }) => self.slots_pending = pending_before,
            None => {}
        }
    }

    fn take_back_batch(&mut self) {
        for (key, before) in self.journal.pop().into_iter().flatten().rev() {
            match before {
                Some(value) => self.map.insert(key, value),
                None => self.map.remove(&key),
            };
        }
        self.synced = self.synced.min(self.journal.len());
    }

    fn restore_slot(&mut self, write: &SlotWrite) {
        let end = write.offset + write.before.len();
        if let Some(bytes) = self.slots.get_mut(write.offset..end) {
            bytes.copy_from_slice(&write.before);
        }
    }

    /// A write that was not synced has reached the disk, or not, or in part.
    fn tear(&mut self, write: &SlotWrite, rng: &mut Rng) {
        let kept = match rng.below(3) {
            0 => write.bytes.len(),
            1 => 0,
            _ => rng.index(write.bytes.len() + 1),
        };
        let from = write.offset + kept;
        let end = write.offset + write.before.len();
        if let Some(bytes) = self.slots.get_mut(from..end) {
            bytes.copy_from_slice(&write.before[kept..]);
        }
    }

    fn commit(&mut self, batch: Batch) -> Result<(), StoreError> {
        let failed = |cause: &str| StoreError {
            doing: "committing a batch",
            cause: cause.to_owned(),
        };
        if self.weather == Weather::Full {
            return Err(failed("no space left on device"));
        }
        let mut undo = Undo::with_capacity(batch.puts.len() + batch.removes.len());
        for (key, value) in batch.puts {
            let before = self.map.insert(key.clone(), value);
            undo.push((key, before));
        }
        for key in batch.removes {
            let before = self.map.remove(&key);
            undo.push((key, before));
        }
        self.journal.push(undo);
        self.steps.push(Step::Batch);
        if self.weather == Weather::SyncFails {
            self.weather = Weather::Fine;
            self.doomed.get_or_insert(self.journal.len() - 1);
            return Err(failed("input/output error"));
        }
        let synced_before = self.synced;
        self.synced = self.journal.len();
        self.steps.push(Step::BatchSynced { synced_before });
        Ok(())
    }
}

#[derive(Debug)]
struct Writer(Disk);

impl Store for Writer {
    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.0.state().commit(batch)
    }

    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.state().map.get(key).cloned())
    }

    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let state = self.0.state();
        let range = (Bound::Included(from), Bound::Unbounded);
        for (key, value) in state.map.range::<[u8], _>(range) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn compact(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}

impl Slots for Writer {
    fn read(&self) -> io::Result<Vec<u8>> {
        Ok(self.0.state().slots.clone())
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.0.state();
        let offset = usize::try_from(offset).unwrap();
        let end = offset + bytes.len();
        if state.slots.len() < end {
            state.slots.resize(end, 0);
        }
        let before = state.slots[offset..end].to_vec();
        state.slots[offset..end].copy_from_slice(bytes);
        state.slots_pending.push(SlotWrite {
            offset,
            before,
            bytes: bytes.to_vec(),
        });
        state.steps.push(Step::SlotWritten);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.0.state();
        let pending_before = std::mem::take(&mut state.slots_pending);
        if state.weather == Weather::SyncFails {
            state.weather = Weather::Fine;
            state.slots_doomed.extend(pending_before);
            return Err(io::Error::other("input/output error"));
        }
        state.steps.push(Step::SlotsSynced { pending_before });
        Ok(())
    }
}

#[derive(Debug)]
struct Reader(Disk);

impl Reader {
    /// What the keys of batches under way had before.
    fn before(state: &State) -> BTreeMap<&[u8], Option<&[u8]>> {
        let under_way = state.steps.iter().filter(|s| matches!(s, Step::Batch));
        let count = under_way.count().min(state.journal.len());
        let mut before = BTreeMap::new();
        for undo in state.journal[state.journal.len() - count..].iter().rev() {
            for (key, value) in undo.iter().rev() {
                before.insert(key.as_slice(), value.as_deref());
            }
        }
        before
    }
}

impl Store for Reader {
    fn commit(&self, _batch: Batch) -> Result<(), StoreError> {
        unreachable!("only the writer commits")
    }

    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let state = self.0.state();
        let before = Self::before(&state);
        Ok(match before.get(key) {
            Some(value) => value.map(<[u8]>::to_vec),
            None => state.map.get(key).cloned(),
        })
    }

    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let state = self.0.state();
        let before = Self::before(&state);
        let mut old = before.range(from..).peekable();
        let range = (Bound::Included(from), Bound::Unbounded);
        for (key, value) in state.map.range::<[u8], _>(range) {
            while let Some((deleted, value)) = old.next_if(|(old, _)| **old < key.as_slice()) {
                if value.is_some_and(|value| visit(deleted, value).is_break()) {
                    return Ok(());
                }
            }
            let value = match old.next_if(|(old, _)| **old == key.as_slice()) {
                Some((_, before)) => *before,
                None => Some(value.as_slice()),
            };
            if value.is_some_and(|value| visit(key, value).is_break()) {
                return Ok(());
            }
        }
        for (deleted, value) in old {
            if value.is_some_and(|value| visit(deleted, value).is_break()) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn compact(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}
