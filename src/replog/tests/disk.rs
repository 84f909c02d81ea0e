//! The disk and the formats: golden bytes, proofs, and failures that must not be retried.

use super::Scratch;
use crate::base::rng::Rng;
use crate::paxos::{
    Ballot, Configuration, Incarnation, Member, Options, Position, Record, ReplicaId, Run, Seat,
    Status, Value,
};
use crate::replog::disk::{self, Disk, DiskError, Fresh};
use crate::replog::evidence::EvidenceFile;
use crate::replog::handle::{Commands, LogEvent, LogHandle, ReplicaStatus, Shared};
use crate::replog::run::{Inlets, Members, Runner};
use crate::replog::store::{Batch, Store, StoreError, Usage, Visit};
use crate::replog::stored::{self, Evidence, META_KEY, Meta, StoredError};
use crate::rt;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ME: Member = Member {
    id: ReplicaId(0x1234),
    incarnation: Incarnation(0),
};

fn ballot(round: u64) -> Ballot {
    Ballot {
        round,
        replica: ME.id,
    }
}

fn run(round: u64, first: u64, sizes: &[usize]) -> Run {
    Run {
        ballot: ballot(round),
        first: Position(first),
        values: sizes
            .iter()
            .map(|size| Value::Append(vec![7; *size].into()))
            .collect(),
    }
}

/// Keeps everything in memory, and fails when told to.
#[derive(Default)]
struct Memory {
    map: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    commits: AtomicU64,
    /// The number of the commit that fails; what it holds may or may not get through.
    fails_at: AtomicU64,
}

impl Store for Memory {
    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let number = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
        let mut map = self.map.lock().unwrap();
        map.extend(batch.puts);
        for key in batch.removes {
            map.remove(&key);
        }
        if number == self.fails_at.load(Ordering::SeqCst) {
            return Err(StoreError {
                doing: "syncing",
                cause: "no space left on device".to_owned(),
            });
        }
        Ok(())
    }

    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.map.lock().unwrap().get(key).cloned())
    }

    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let map = self.map.lock().unwrap();
        for (key, value) in map.range::<[u8], _>((Bound::Included(from), Bound::Unbounded)) {
            if visit(key, value) == ControlFlow::Break(()) {
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

/// A fresh replica in memory, with its evidence in a file.
fn fresh(scratch: &Scratch) -> Arc<Memory> {
    fresh_from(scratch, 0)
}

/// One whose rounds begin above `round`.
fn fresh_from(scratch: &Scratch, round: u64) -> Arc<Memory> {
    let store = Arc::new(Memory::default());
    let configuration = Configuration::alone(9, ME);
    let begins = Ballot {
        round,
        ..Ballot::ZERO
    };
    let fresh = Fresh::voting(ME, configuration, begins);
    let evidence = Disk::create(store.as_ref(), fresh).unwrap();
    EvidenceFile::create(&scratch.path().join("evidence"), &evidence).unwrap();
    store
}

fn open(
    scratch: &Scratch,
    store: &Arc<Memory>,
) -> Result<(Disk, crate::paxos::Recovered), DiskError> {
    let evidence = EvidenceFile::open(&scratch.path().join("evidence"));
    Disk::open(Arc::clone(store) as Arc<dyn Store>, evidence.unwrap())
}

#[test]
fn a_first_promise_may_be_below_where_the_rounds_of_its_own_log_began_and_no_later_one() {
    let scratch = Scratch::new();
    let store = fresh_from(&scratch, 1_000);
    let evidence_path = scratch.path().join("evidence");
    let before = std::fs::read(&evidence_path).unwrap();
    let (mut disk, recovered) = open(&scratch, &store).unwrap();
    assert_eq!(recovered.promised.round, 1_000);
    for (promise, held) in [(3, 3), (2, 3), (4, 4)] {
        disk.commit([Record::Promise(ballot(promise))]).unwrap();
        assert_eq!(disk.promised(), ballot(held));
    }
    drop(disk);
    let after = std::fs::read(&evidence_path).unwrap();
    // The evidence of the first one may be all that is left, by a crash behind the store's commit.
    for evidence in [before, after] {
        std::fs::write(&evidence_path, evidence).unwrap();
        let (disk, recovered) = open(&scratch, &store).unwrap();
        assert_eq!(recovered.promised, ballot(4));
        drop(disk);
    }
}

#[test]
fn stored_bytes_of_version_1_stay_what_they_are() {
    let meta = Meta {
        me: ME,
        status: Status::Voting,
        promised: ballot(3),
        first: Position(2),
        learned: Position(300),
        swept: Position(1),
        configuration: {
            let seat = Seat {
                incarnation: ME.incarnation,
                address: "host:8083".into(),
            };
            Configuration::majority(0xabcd, [(ME.id, seat)])
        },
        configured: Position(1),
        needs_incarnation: false,
        sequence: 5,
        runs: 6,
        hash: 7,
    };
    let bytes = meta.encode();
    let meta_hex = hex(&bytes);
    assert_eq!(Meta::decode(&bytes).unwrap(), meta);
    let run = Run {
        ballot: ballot(3),
        first: Position(9),
        values: [
            Value::Nop,
            Value::Append(Arc::from(*b"bytes")),
            Value::Truncate { to: Position(4) },
            Value::Configure(Arc::new(meta.configuration.clone())),
        ]
        .into(),
    };
    let bytes = stored::encode_run(&run);
    // The keys of the first version are read still.
    let keys = [stored::long_run_key(&run), stored::run_key(&run)];
    for key in &keys {
        assert_eq!(stored::decode_run(key, &bytes).unwrap(), run);
        let bounds = Some((Position(9), Position(12)));
        assert_eq!(stored::run_bounds(key), bounds);
    }
    let ([long_key, key], run_hex) = (keys.map(|key| hex(&key)), hex(&bytes));
    assert_eq!(key, KEY_V2);
    let evidence = Evidence {
        cluster: 0xabcd,
        me: ME,
        promised: ballot(3),
        sequence: 5,
        hash: 8,
        members: None,
    };
    let bytes = evidence.encode();
    assert_eq!(Evidence::decode(&bytes).unwrap(), evidence);
    assert_eq!([meta_hex, long_key, run_hex, hex(&bytes)], GOLDEN_V1);
    let evidence = Evidence {
        members: Some(3),
        ..evidence
    };
    let bytes = evidence.encode();
    assert_eq!(Evidence::decode(&bytes).unwrap(), evidence);
    assert_eq!(hex(&bytes), EVIDENCE_V2);
}

/// The second version of an evidence slot.
const EVIDENCE_V2: &str = "0d00000002485d1701cdd702b4240003b424050803";

/// The second version of a run's key.
const KEY_V2: &str = "7200000000000000090003000000000000000334";

/// The meta record, a run's key, a run and an evidence slot. Never changed: a newer version is
/// added.
const GOLDEN_V1: [&str; 4] = [
    "2400000033f6be7600b424000103b42402ac0201cdd7020101b4240009686f73743a38303833010100050607",
    "720000000000000009000000000000000c00000000000000030000000000001234",
    "240000004095e20e0003b42409040001056279746573020403cdd7020101b4240009686f73743a3830383301",
    "0c000000b7e0c67d00cdd702b4240003b4240508",
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_newer_version_is_told_apart_from_damage() {
    let mut newer = Vec::new();
    crate::base::frame::encode(&[1, 2, 3], &mut newer);
    let error = Meta::decode(&newer).unwrap_err();
    assert!(
        matches!(
            error,
            StoredError::Newer {
                version: 2,
                newest: 1,
                ..
            }
        ),
        "{error}"
    );
    let mut slot = Vec::new();
    crate::base::frame::encode(&[2, 2, 3], &mut slot);
    let error = Evidence::decode(&slot).unwrap_err().to_string();
    assert_eq!(
        error,
        "an evidence slot has format version 3; this program reads up to version 2"
    );
    newer[9] ^= 1;
    assert!(matches!(
        Meta::decode(&newer),
        Err(StoredError::Damaged { .. })
    ));
}

#[test]
fn damaged_values_are_refused_whatever_is_changed_or_cut() {
    let stored_run = run(1, 5, &[3, 0, 9]);
    let (key, bytes) = (
        stored::run_key(&stored_run),
        stored::encode_run(&stored_run),
    );
    for at in 0..bytes.len() {
        assert!(stored::decode_run(&key, &bytes[..at]).is_err());
        for bit in 0..8 {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << bit;
            assert!(
                stored::decode_run(&key, &bad).is_err(),
                "byte {at} bit {bit}"
            );
        }
    }
    assert!(stored::decode_run(&stored::run_key(&run(1, 6, &[3, 0, 9])), &bytes).is_err());
}

#[test]
fn bytes_that_mean_nothing_are_errors_even_under_a_right_checksum() {
    let mut rng = Rng::from_seed(5);
    let good = stored::encode_run(&run(1, 5, &[3, 0, 9]))[8..].to_vec();
    for round in 0..20_000 {
        let mut payload = good.clone();
        if round % 2 == 0 {
            let length = rng.index(40);
            payload = (0..length).map(|_| rng.next_u64() as u8).collect();
        }
        for _ in 0..rng.index(4) {
            if let Some(byte) = payload.get_mut(rng.index(good.len())) {
                *byte = rng.next_u64() as u8;
            }
        }
        let mut bytes = Vec::new();
        crate::base::frame::encode(&payload, &mut bytes);
        // Whatever comes out has not taken more memory than the bytes are worth.
        if let Ok(run) = stored::decode_run(&stored::run_key(&run(1, 5, &[3, 0, 9])), &bytes) {
            assert!(run.values.len() <= payload.len());
        }
        Meta::decode(&bytes).ok();
        Evidence::decode(&bytes).ok();
    }
}

#[test]
fn where_runs_overlap_the_highest_ballot_holds() {
    let scratch = Scratch::new();
    let store = fresh(&scratch);
    let (mut disk, _) = open(&scratch, &store).unwrap();
    let runs = [
        run(1, 1, &[1, 1, 1, 1]),
        run(2, 2, &[2, 2]),
        run(3, 3, &[3]),
    ];
    disk.commit(runs.map(Record::Run)).unwrap();
    disk.commit([Record::Promise(ballot(3)), Record::Learned(Position(4))])
        .unwrap();
    drop(disk);
    let (disk, recovered) = open(&scratch, &store).unwrap();
    assert!(recovered.accepted.is_empty());
    for (from, bytes) in [(1, usize::MAX), (2, usize::MAX), (1, 1), (4, 1)] {
        let through = Position(4);
        let entries =
            disk::read_entries(disk.store().as_ref(), Position(from), through, bytes).unwrap();
        let all = [(1, 1), (2, 2), (3, 3), (4, 1)];
        let count = if bytes == 1 {
            1
        } else {
            all.len() + 1 - from as usize
        };
        let wanted: Vec<_> = all[from as usize - 1..]
            .iter()
            .copied()
            .take(count)
            .collect();
        let got: Vec<_> = entries
            .iter()
            .map(|e| (e.position.0, e.ballot.round))
            .collect();
        assert_eq!(got, wanted, "from {from}");
    }
}

#[test]
fn whatever_is_missing_or_changed_is_found_when_opening() {
    let scratch = Scratch::new();
    let store = fresh(&scratch);
    let (mut disk, _) = open(&scratch, &store).unwrap();
    let mut states = vec![store.map.lock().unwrap().clone()];
    for first in 1..=5 {
        disk.commit([Record::Run(run(1, first, &[first as usize]))])
            .unwrap();
        states.push(store.map.lock().unwrap().clone());
    }
    disk.commit([Record::Promise(ballot(1)), Record::Learned(Position(5))])
        .unwrap();
    drop(disk);
    let whole = store.map.lock().unwrap().clone();
    let refused = |map: BTreeMap<Vec<u8>, Vec<u8>>| {
        *store.map.lock().unwrap() = map;
        open(&scratch, &store).is_err()
    };
    assert!(!refused(whole.clone()));
    for state in states {
        assert!(refused(state), "a lost tail");
    }
    assert!(refused(BTreeMap::new()), "everything lost");
    for key in whole.keys() {
        let mut part = whole.clone();
        part.remove(key);
        assert!(refused(part), "a lost record");
    }
    let mut more = whole.clone();
    let extra = run(1, 6, &[1]);
    more.insert(stored::run_key(&extra), stored::encode_run(&extra));
    assert!(refused(more), "a record too many");
    let mut other = whole.clone();
    let another = run(1, 5, &[9]);
    other.insert(stored::run_key(&another), stored::encode_run(&another));
    assert!(refused(other), "another record");
    let mut meta = Meta::decode(&whole[META_KEY]).unwrap();
    meta.learned = Position(3);
    let mut changed = whole.clone();
    changed.insert(META_KEY.to_vec(), meta.encode());
    assert!(refused(changed), "another meta record");
    assert!(!refused(whole), "the evidence itself is unharmed");
}

#[test]
fn a_log_whose_runs_have_the_keys_of_the_first_version_goes_on() {
    let scratch = Scratch::new();
    let store = fresh(&scratch);
    let (mut disk, _) = open(&scratch, &store).unwrap();
    for first in [1, 3, 5] {
        disk.commit([Record::Run(run(1, first, &[1, 2]))]).unwrap();
    }
    disk.commit([Record::Promise(ballot(1)), Record::Learned(Position(4))])
        .unwrap();
    drop(disk);
    let mut map = std::mem::take(&mut *store.map.lock().unwrap());
    let mut meta = Meta::decode(&map.remove(META_KEY).unwrap()).unwrap();
    let mut old = BTreeMap::new();
    meta.hash = 0;
    for (key, value) in map {
        let run = stored::decode_run(&key, &value).unwrap();
        let key = stored::long_run_key(&run);
        meta.hash = meta.hash.wrapping_add(stored::hash(&key, &value));
        old.insert(key, value);
    }
    meta.sequence += 1;
    let value = meta.encode();
    let evidence = Evidence {
        cluster: meta.configuration.cluster,
        me: meta.me,
        promised: meta.promised,
        sequence: meta.sequence,
        hash: stored::hash(META_KEY, &value),
        members: None,
    };
    old.insert(META_KEY.to_vec(), value);
    *store.map.lock().unwrap() = old;
    let path = scratch.path().join("evidence");
    let file = EvidenceFile::open(&path).unwrap();
    file.newest().unwrap();
    file.write(&evidence).unwrap();
    drop(file);
    let (mut disk, recovered) = open(&scratch, &store).unwrap();
    assert_eq!(recovered.accepted, [run(1, 5, &[1, 2])]);
    // Also what is written again.
    for first in [5, 7] {
        disk.commit([Record::Run(run(1, first, &[1, 2]))]).unwrap();
    }
    disk.commit([Record::Learned(Position(8))]).unwrap();
    let entries = disk::read_entries(store.as_ref(), Position(1), Position(8), usize::MAX);
    assert_eq!(entries.unwrap().len(), 8);
    disk.commit([Record::First(Position(7))]).unwrap();
    while disk.needs_sweep() {
        disk.sweep().unwrap();
    }
    drop(disk);
    let kept: Vec<_> = store.map.lock().unwrap().keys().cloned().collect();
    let wanted = [META_KEY.to_vec(), stored::run_key(&run(1, 7, &[1, 2]))];
    assert_eq!(kept, wanted);
    open(&scratch, &store).unwrap();
}

#[test]
fn a_gap_below_the_watermark_is_found_when_opening() {
    let scratch = Scratch::new();
    let store = fresh(&scratch);
    let (mut disk, _) = open(&scratch, &store).unwrap();
    let runs = [run(1, 1, &[1, 1]), run(1, 4, &[1])];
    disk.commit(runs.map(Record::Run)).unwrap();
    disk.commit([Record::Promise(ballot(1)), Record::Learned(Position(4))])
        .unwrap();
    drop(disk);
    let error = open(&scratch, &store).unwrap_err();
    assert!(
        error.to_string().contains("position 3 is missing"),
        "{error}"
    );
}

#[test]
fn a_crash_between_the_store_and_the_evidence_loses_and_refuses_nothing() {
    let scratch = Scratch::new();
    let store = fresh(&scratch);
    let evidence = scratch.path().join("evidence");
    let (mut disk, _) = open(&scratch, &store).unwrap();
    disk.commit([Record::Run(run(1, 1, &[1]))]).unwrap();
    let before = std::fs::read(&evidence).unwrap();
    disk.commit([Record::Run(run(1, 2, &[2])), Record::Promise(ballot(1))])
        .unwrap();
    drop(disk);
    std::fs::write(&evidence, before).unwrap();
    let (disk, recovered) = open(&scratch, &store).unwrap();
    assert_eq!(recovered.accepted.len(), 2);
    drop(disk);
    // Having been opened, it counts.
    let newest = EvidenceFile::open(&evidence).unwrap().newest().unwrap();
    assert_eq!(newest.promised, ballot(1));
}

#[test]
fn a_run_written_twice_is_counted_once() {
    let scratch = Scratch::new();
    let store = fresh(&scratch);
    let (mut disk, _) = open(&scratch, &store).unwrap();
    let twice = || Record::Run(run(1, 1, &[1]));
    disk.commit([twice(), twice()]).unwrap();
    disk.commit([twice()]).unwrap();
    drop(disk);
    assert!(open(&scratch, &store).is_ok());
}

#[test]
fn sweeping_deletes_what_is_wholly_below_and_keeps_what_straddles() {
    let scratch = Scratch::new();
    let store = fresh(&scratch);
    let (mut disk, _) = open(&scratch, &store).unwrap();
    for first in 0..300 {
        disk.commit([Record::Run(run(1, first * 2 + 1, &[1, 1]))])
            .unwrap();
    }
    disk.commit([Record::Learned(Position(600))]).unwrap();
    disk.commit([Record::First(Position(400))]).unwrap();
    while disk.needs_sweep() {
        disk.sweep().unwrap();
    }
    let count = || store.map.lock().unwrap().len() - 1;
    // Positions 399 and 400 are one run.
    assert_eq!(count(), 101);
    let commits = store.commits.load(Ordering::SeqCst);
    disk.commit([Record::First(Position(401))]).unwrap();
    assert_eq!(
        count(),
        100,
        "the run that straddled goes with the next truncation"
    );
    assert_eq!(store.commits.load(Ordering::SeqCst), commits + 1);
    drop(disk);
    let (_, recovered) = open(&scratch, &store).unwrap();
    assert_eq!(recovered.first, Position(401));
}

/// A replica on the memory store, that does not run yet.
fn made(scratch: &Scratch, store: &Arc<Memory>) -> (super::Opened, Runner) {
    let (disk, recovered) = open(scratch, store).unwrap();
    let (commands, asked) = async_channel::bounded(16);
    let (events, heard) = async_channel::bounded(16);
    let shared = Arc::new(Shared::new(ReplicaStatus::Recovering));
    let handle = LogHandle {
        commands,
        shared: Arc::clone(&shared),
        store: Arc::default(),
        network: None,
    };
    let rng = Rng::from_seed(1);
    let runner = {
        let inlets = Inlets {
            commands: Commands::new(asked),
            events,
            shared,
            wires: None,
        };
        let members = Members::new("".into(), BTreeSet::new(), 1, 1, &mut Rng::from_seed(4));
        Runner::new(disk, recovered, Options::default(), inlets, members, rng).unwrap()
    };
    ((handle, heard), runner)
}

/// Runs a replica on the memory store.
fn running(scratch: &Scratch, store: &Arc<Memory>) -> super::Opened {
    let (opened, runner) = made(scratch, store);
    rt::spawn("log under test", runner.run()).detach();
    opened
}

#[test]
fn whoever_closes_a_log_that_ends_by_itself_meanwhile_does_not_wait_for_ever() {
    let scratch = Scratch::new();
    let store = fresh(&scratch);
    rt::block_on(async {
        let ((log, events), runner) = made(&scratch, &store);
        let mut closing = std::pin::pin!(log.close());
        let asked = futures_lite::future::poll_once(closing.as_mut()).await;
        assert!(asked.is_none(), "nobody has taken it");
        // Nobody listens: the loop ends before it looks at what it was asked.
        drop(events);
        rt::spawn("log under test", runner.run()).detach();
        let closed = rt::timeout(Duration::from_secs(60), closing).await;
        assert!(closed.is_ok(), "the log has ended and told nobody");
    });
}

#[test]
fn a_failed_sync_poisons_the_log_and_is_never_tried_again() {
    let scratch = Scratch::new();
    let store = fresh(&scratch);
    rt::block_on(async {
        let (log, events) = running(&scratch, &store);
        let (ballot, _) = super::leading(&events).await;
        let commits = store.commits.load(Ordering::SeqCst);
        store.fails_at.store(commits + 1, Ordering::SeqCst);
        log.append(ballot, 1, vec![1]).await.unwrap();
        let LogEvent::Poisoned { reason } = super::next(&events).await else {
            panic!("the entry was acknowledged");
        };
        assert!(reason.contains("no space left"), "{reason}");
        assert!(events.recv().await.is_err(), "nothing comes after");
        let refused = log.append(ballot, 2, vec![2]).await;
        assert!(refused.is_err());
        assert_eq!(store.commits.load(Ordering::SeqCst), commits + 1);
        log.close().await;
        // What the failed commit left behind is settled by the next term, one way or the other.
        store.fails_at.store(0, Ordering::SeqCst);
        let (log, events) = running(&scratch, &store);
        let (_, entries) = super::leading(&events).await;
        assert!(entries.len() <= 1);
        log.close().await;
    });
}

#[test]
fn whether_there_were_others_is_told_by_the_newest_that_is_left() {
    let scratch = Scratch::new();
    let store = fresh(&scratch);
    let (mut disk, _) = open(&scratch, &store).unwrap();
    let newest = || {
        let path = scratch.path().join("evidence");
        EvidenceFile::open(&path).unwrap().newest().unwrap()
    };
    let before = store.map.lock().unwrap().clone();
    let mut grown = Configuration::alone(1, ME);
    grown.members.insert(
        ReplicaId(9),
        Seat {
            incarnation: Incarnation(0),
            address: "host:1".into(),
        },
    );
    let grown = Record::Forming(grown.into());
    disk.commit([grown]).unwrap();
    drop(disk);
    let evidence = newest();
    assert_eq!(evidence.members, Some(2));
    assert!(!Disk::was_alone(Some(store.as_ref()), None));
    assert!(!Disk::was_alone(Some(store.as_ref()), Some(evidence)));
    // The store is back at a commit from before it grew: the evidence knows better.
    *store.map.lock().unwrap() = before;
    assert!(!Disk::was_alone(Some(store.as_ref()), Some(evidence)));
    assert!(Disk::was_alone(Some(store.as_ref()), None));
    // One of the first version does not say.
    let silent = Evidence {
        members: None,
        ..evidence
    };
    assert!(Disk::was_alone(Some(store.as_ref()), Some(silent)));
    // Nor is an older one believed: what the store has is newer.
    let older = Evidence {
        sequence: 0,
        ..evidence
    };
    assert!(Disk::was_alone(Some(store.as_ref()), Some(older)));
    // Nothing is left but the evidence.
    store.map.lock().unwrap().clear();
    let alone = Evidence {
        members: Some(1),
        ..evidence
    };
    for store in [Some(store.as_ref() as &dyn Store), None] {
        assert!(!Disk::was_alone(store, Some(evidence)));
        assert!(Disk::was_alone(store, Some(alone)));
        assert!(!Disk::was_alone(store, None));
    }
}

#[test]
fn the_newest_evidence_is_never_the_one_that_is_overwritten() {
    let scratch = Scratch::new();
    fresh(&scratch);
    let path = scratch.path().join("evidence");
    let evidence = |sequence| Evidence {
        sequence,
        ..EvidenceFile::open(&path).unwrap().newest().unwrap()
    };
    // As it rides: of commits 3, 5, 9, ...; and the file is opened anew now and then.
    let mut file = None;
    let template = evidence(0);
    let mut before = EvidenceFile::open(&path)
        .unwrap()
        .newest()
        .unwrap()
        .sequence;
    for (round, sequence) in [3, 5, 9, 10, 12, 13, 15, 17].into_iter().enumerate() {
        if round % 3 == 0 {
            drop(file.take());
            let opened = EvidenceFile::open(&path).unwrap();
            opened.newest().unwrap();
            file = Some(opened);
        }
        let file = file.as_ref().unwrap();
        file.write(&Evidence {
            sequence,
            ..template
        })
        .unwrap();
        // Both are there: had the write been torn, the one before would still be.
        let bytes = std::fs::read(&path).unwrap();
        let slots = bytes.chunks(bytes.len() / 2).map(Evidence::decode);
        let mut held: Vec<u64> = slots.filter_map(Result::ok).map(|e| e.sequence).collect();
        held.sort_unstable();
        assert_eq!(held, [before, sequence]);
        before = sequence;
    }
}
