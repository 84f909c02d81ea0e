//! Giving every learned entry again at the start, and what an owner has fallen behind with, beside everything
//! else that a replica does.
//!
//! A starting replica votes, accepts and learns at once: where others fail meanwhile, it counts. Only its
//! owner has to wait, and it does not stand for election until the owner has what it needs to lead.
//!
//! The owner gets the entries in their order: those learned before the start, from the disk, then those
//! learned meanwhile. The latter wait behind the replay, but only the newest of them: what would be too much
//! is let go, oldest first, and read from the disk in its turn. So nothing that is learned ever waits for
//! the replay, however long it takes.
//!
//! What is truncated meanwhile is not given any more: the owner is told to begin anew where the log begins,
//! as one that was behind a truncation is.
//!
//! A follower whose owner does not keep up with the log does the same from there on. If it took no more
//! entries instead it would not hear its leader either, whose heartbeats stand behind them in the stream: two
//! slow owners of three would end the term.

use super::{End, OUTBOX_MAX, READ_BYTES, ReadDone, Reader, Runner};
use crate::base::clock;
use crate::paxos::{Position, Run};
use crate::replog::disk;
use crate::replog::handle::LogEvent;
use crate::rt;
use std::collections::VecDeque;
use std::sync::Arc;

/// Most entries, and bytes of them, that wait behind the replay.
const BEHIND_MAX: usize = OUTBOX_MAX / 2;
const BEHIND_BYTES: usize = 16 << 20;
/// With more events waiting for the owner than this, its tables are behind.
const WARM_EVENTS: usize = 256;

/// How far the owner has been told.
#[derive(Debug)]
pub(super) struct Replay {
    /// Whether it is the one at the start, before which the owner is told of nothing else.
    is_first: bool,
    /// The first position that has not been given.
    next: Position,
    /// Everything up to here has to be read from the disk; what is above waits in `behind`.
    through: Position,
    is_reading: bool,
    behind: VecDeque<Behind>,
    behind_bytes: usize,
}

/// An entry that was learned meanwhile.
#[derive(Debug)]
struct Behind {
    position: Position,
    bytes: usize,
    event: LogEvent,
}

/// What a replay does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Everything has been read: what waits behind follows.
    Done,
    /// Reads from here to there.
    Read(Position, Position),
    /// The log begins here by now.
    Skip(Position),
    /// What comes next is not readable yet: it will be with the next commit.
    Unreadable,
    /// Waits for what it reads.
    Wait,
}

impl Replay {
    /// A replay of a log that keeps `first` and has learned up to `learned`.
    pub(super) fn new(first: Position, learned: Position) -> Self {
        Self {
            is_first: true,
            next: first,
            through: learned,
            is_reading: false,
            behind: VecDeque::new(),
            behind_bytes: 0,
        }
    }

    /// One for an owner that has fallen behind, and has been given everything before `next`.
    fn behind(next: Position) -> Self {
        Self {
            is_first: false,
            ..Self::new(next, next.before())
        }
    }

    /// Whether it is the one at the start.
    pub(super) fn is_first(&self) -> bool {
        self.is_first
    }

    /// An entry is learned meanwhile. They come in their order.
    pub(super) fn learned(&mut self, position: Position, event: LogEvent) {
        let bytes = match &event {
            LogEvent::Learned { payload, .. } => payload.len(),
            _ => 0,
        };
        self.behind_bytes += bytes;
        self.behind.push_back(Behind {
            position,
            bytes,
            event,
        });
        while self.behind.len() > BEHIND_MAX || self.behind_bytes > BEHIND_BYTES {
            self.let_go();
        }
    }

    /// Leaves the oldest entry that waits to the disk.
    fn let_go(&mut self) {
        if let Some(oldest) = self.behind.pop_front() {
            self.behind_bytes -= oldest.bytes;
            self.through = self.through.max(oldest.position);
        }
    }

    /// Nothing below `first` is given any more.
    pub(super) fn skip(&mut self, first: Position) {
        self.next = self.next.max(first);
        self.through = self.through.max(first.before());
        while self.behind.front().is_some_and(|b| b.position < first) {
            self.let_go();
        }
    }

    /// What is to be done, with a log that keeps `first` and whose entries can be read up to `readable`.
    fn next(&self, first: Position, readable: Position) -> Next {
        if self.is_reading {
            return Next::Wait;
        }
        if self.next > self.through {
            return Next::Done;
        }
        if self.next < first {
            return Next::Skip(first);
        }
        match self.through.min(readable) {
            through if self.next > through => Next::Unreadable,
            through => Next::Read(self.next, through),
        }
    }

    /// Whether what was read from `from` on is to be given: not if the log begins at a later `first` by now,
    /// since of what is truncated the disk may have lost the newest only.
    fn takes(&mut self, from: Position, first: Position) -> bool {
        self.is_reading = false;
        from == self.next && from >= first
    }
}

impl Runner {
    /// Goes on with the replay, if there is one and the owner has taken what it was given. False if it waits
    /// for something else.
    pub(super) fn go_on_with_replay(&mut self) -> bool {
        let mut goes_on = self.replay.is_some();
        while self.outbox.is_empty()
            && let Some(replay) = &mut self.replay
        {
            match replay.next(self.core.first(), self.core.readable()) {
                Next::Done => self.end_replay(),
                Next::Read(from, through) => {
                    replay.is_reading = true;
                    self.read_again(from, through);
                }
                Next::Skip(first) => {
                    replay.skip(first);
                    self.outbox.push_back(LogEvent::Skipped { first });
                }
                Next::Unreadable => {
                    self.core.flush();
                    goes_on = false;
                    break;
                }
                Next::Wait => {
                    goes_on = false;
                    break;
                }
            }
        }
        let is_warm = self.replay.is_none()
            && (self.core.is_alone() || self.outbox.len() + self.events.len() <= WARM_EVENTS);
        self.core.set_warm(clock::now(), is_warm, &mut self.rng);
        goes_on
    }

    fn end_replay(&mut self) {
        let Some(replay) = self.replay.take() else {
            return;
        };
        if replay.is_first {
            let status = self.core.shown_status();
            self.show(status);
            self.outbox.push_back(LogEvent::Status(status));
            let took = clock::now().since(self.started).as_secs_f64();
            log::info!("the log has been replayed within {took:.3} s");
        }
        let behind = replay.behind.into_iter().map(|b| b.event);
        self.outbox.extend(behind);
    }

    /// Leaves what is learned from `next` on to the disk, if the owner of a follower does not take what it
    /// has been given.
    pub(super) fn fall_behind(&mut self, next: Position) {
        if self.replay.is_none() && self.outbox.len() >= OUTBOX_MAX && self.follows() {
            self.replay = Some(Replay::behind(next));
            // ORDER: before anything else is heard. If it stood by it, its term would be told of before
            // what waits behind the replay.
            self.core.set_warm(clock::now(), false, &mut self.rng);
        }
    }

    /// Whether another one leads, and its owner waits for nothing of its own.
    pub(super) fn follows(&self) -> bool {
        let me = self.core.me().id;
        let is_led = self.core.leader().is_some_and(|led| led.replica != me);
        is_led && self.in_flight.is_empty()
    }

    fn read_again(&self, from: Position, through: Position) {
        let store = Arc::clone(&self.store);
        let tell = self.reads.0.clone();
        let read = async move {
            let read =
                rt::unblock(move || disk::read_entries(store.as_ref(), from, through, READ_BYTES));
            let runs = read.await.map(Run::collect);
            let done = ReadDone {
                reader: Reader::Owner(from),
                runs: runs.map_err(|error| error.to_string()),
            };
            if tell.send(done).await.is_err() {
                log::debug!("the log is closed");
            }
        };
        rt::spawn("log replay", read).detach();
    }

    /// What was read from `from` on for the owner.
    pub(super) fn has_read_again(&mut self, from: Position, runs: &[Run]) -> Option<End> {
        let first = self.core.first();
        let replay = self.replay.as_mut()?;
        if !replay.takes(from, first) {
            return None;
        }
        let Some(last) = runs.last() else {
            let missing = format!("the entry at position {from} is missing");
            return Some(End::Poisoned(missing));
        };
        replay.next = last.last().next();
        for run in runs {
            // Nothing of it was appended in this life: nobody waits for it.
            let outbox = &mut self.outbox;
            super::effects::events_of(run, |_, event| outbox.push_back(event));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::paxos::Ballot;
    use std::collections::BTreeSet;

    /// What the owner is told.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Told {
        Entry(u64),
        BeginsAt(u64),
    }

    /// A log that goes on while its owner is told of it, as the loop and the core do.
    struct World {
        rng: Rng,
        replay: Option<Replay>,
        first: u64,
        learned: u64,
        readable: u64,
        /// Positions that hold something for the owner.
        owned: BTreeSet<u64>,
        /// What is being read.
        reading: Option<(u64, u64)>,
        outbox: VecDeque<Told>,
        taken: Vec<Told>,
        /// How many entries were left to the disk.
        let_go: usize,
        /// How often the owner has fallen behind.
        late: usize,
        payload: Arc<[u8]>,
    }

    impl World {
        fn new(seed: u64) -> Self {
            let mut rng = Rng::from_seed(seed);
            let learned = rng.below(60);
            let first = 1 + rng.below(learned + 1);
            let owned = (1..=learned).filter(|_| !rng.one_in(5)).collect();
            Self {
                replay: Some(Replay::new(Position(first), Position(learned))),
                first,
                learned,
                readable: learned,
                owned,
                reading: None,
                outbox: VecDeque::new(),
                taken: vec![Told::BeginsAt(first)],
                let_go: 0,
                late: 0,
                payload: vec![0; if rng.one_in(2) { 1 } else { 20_000 }].into(),
                rng,
            }
        }

        fn learn(&mut self, count: u64) {
            for _ in 0..count {
                self.learned += 1;
                let at = self.learned;
                if self.rng.one_in(5) {
                    continue;
                }
                self.owned.insert(at);
                if self.replay.is_none() && self.outbox.len() >= 100 {
                    self.late += 1;
                    self.replay = Some(Replay::behind(Position(at)));
                }
                let Some(replay) = &mut self.replay else {
                    self.outbox.push_back(Told::Entry(at));
                    continue;
                };
                let event = LogEvent::Learned {
                    position: Position(at),
                    ballot: Ballot::ZERO,
                    ticket: None,
                    payload: Arc::clone(&self.payload),
                };
                let through = replay.through;
                replay.learned(Position(at), event);
                self.let_go += usize::from(replay.through > through);
                assert!(replay.behind.len() <= BEHIND_MAX && replay.behind_bytes <= BEHIND_BYTES);
            }
        }

        /// Everything below was truncated where it could not be learned.
        fn fall_behind(&mut self) {
            let first = self.learned + 1 + self.rng.below(5) + 1;
            (self.learned, self.first) = (first - 1, first);
            if let Some(replay) = &mut self.replay {
                replay.skip(Position(first));
            }
            self.outbox.push_back(Told::BeginsAt(first));
        }

        fn go_on(&mut self) {
            while self.outbox.is_empty()
                && let Some(replay) = &mut self.replay
            {
                match replay.next(Position(self.first), Position(self.readable)) {
                    Next::Done => {
                        let behind = self.replay.take().map(|r| r.behind).unwrap_or_default();
                        let entries = behind.into_iter().map(|b| Told::Entry(b.position.0));
                        self.outbox.extend(entries);
                    }
                    Next::Read(from, through) => {
                        assert!(through.0 <= self.readable, "not there yet");
                        replay.is_reading = true;
                        self.reading = Some((from.0, through.0));
                    }
                    Next::Skip(first) => {
                        replay.skip(first);
                        self.outbox.push_back(Told::BeginsAt(first.0));
                    }
                    Next::Unreadable | Next::Wait => return,
                }
            }
        }

        fn has_read(&mut self) {
            let Some((from, through)) = self.reading.take() else {
                return;
            };
            let through = through.min(from + self.rng.below(30));
            let Some(replay) = &mut self.replay else {
                return;
            };
            if !replay.takes(Position(from), Position(self.first)) {
                return;
            }
            replay.next = Position(through + 1);
            let read = self.owned.range(from..=through);
            self.outbox.extend(read.map(|at| Told::Entry(*at)));
        }

        fn step(&mut self) {
            match self.rng.below(12) {
                0 if self.rng.one_in(8) => self.learn(2_500),
                0 | 1 => {
                    let count = self.rng.below(9);
                    self.learn(count);
                }
                2 if self.learned >= self.first && self.rng.one_in(4) => {
                    self.first += self.rng.below(self.learned - self.first + 1);
                }
                3 if self.rng.one_in(30) => self.fall_behind(),
                4 | 5 => self.readable += self.rng.below(self.learned - self.readable + 1),
                6 | 7 => self.has_read(),
                8..=10 => {
                    let count = self.rng.index(40).min(self.outbox.len());
                    self.taken.extend(self.outbox.drain(..count));
                }
                _ => {}
            }
            self.go_on();
        }

        fn finish(&mut self) {
            for _ in 0..100_000 {
                self.readable = self.learned;
                self.has_read();
                self.taken.extend(self.outbox.drain(..));
                self.go_on();
                if self.replay.is_none() && self.outbox.is_empty() {
                    return;
                }
            }
            panic!("it does not end: {:?}", self.replay);
        }

        /// Everything from where the owner was told to begin, in its order and once.
        fn check(&self) {
            let mut next = 0;
            for told in &self.taken {
                match *told {
                    Told::BeginsAt(first) => next = first,
                    Told::Entry(at) => {
                        assert_eq!(self.owned.range(next..).next(), Some(&at));
                        next = at + 1;
                    }
                }
            }
            assert_eq!(self.owned.range(next..).next(), None);
        }
    }

    #[test]
    fn the_owner_is_given_everything_in_its_order_and_once_whatever_happens_meanwhile() {
        let (mut restarts, mut let_go, mut late) = (0, 0, 0);
        for seed in 0..400 {
            let mut world = World::new(seed);
            for _ in 0..1 + world.rng.below(600) {
                world.step();
            }
            world.finish();
            world.check();
            let begins = world
                .taken
                .iter()
                .filter(|t| matches!(t, Told::BeginsAt(_)));
            restarts += begins.count() - 1;
            let_go += usize::from(world.let_go > 0);
            late += world.late;
        }
        // Without any of these it would be no test of them.
        assert!(
            restarts > 100 && let_go > 20 && late > 50,
            "{restarts} {let_go} {late}"
        );
    }
}
