//! What waits to be sent to one peer.

use crate::paxos::{Body, Message, Run};
use async_channel::{Receiver, Sender, TrySendError};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most short messages that wait.
const SHORT_MAX: usize = 4096;
/// Bytes of entries that may wait, whatever comes next.
const LONG_BYTES: usize = 16 << 20;
/// With fewer bytes of entries than this there is room for what is read from the disk.
const ROOM_BYTES: usize = 2 << 20;
/// About how much is sent by one write.
const BATCH_BYTES: usize = 128 << 10;

#[derive(Debug, Default)]
struct Lanes {
    short: VecDeque<Message>,
    long: VecDeque<(usize, Message)>,
    long_bytes: usize,
    /// Whether somebody wants to be told when there is room.
    is_room_wanted: bool,
}

/// Two bounded lanes. Those of a lane leave in order.
#[derive(Debug)]
pub struct Queue {
    lanes: Mutex<Lanes>,
    wake: Sender<()>,
    woken: Receiver<()>,
}

/// About how long a message is on the wire, if it carries entries.
fn entry_bytes(message: &Message) -> Option<usize> {
    let of = |run: &Run| -> usize { run.values.iter().map(|v| v.size_bytes()).sum() };
    match &message.body {
        Body::Learn { runs, .. } => Some(runs.iter().map(of).sum()),
        Body::Write { run, .. } => Some(of(run)),
        _ => None,
    }
}

impl Queue {
    /// An empty queue.
    pub fn new() -> Self {
        let (wake, woken) = async_channel::bounded(1);
        Self {
            lanes: Mutex::default(),
            wake,
            woken,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message behind those of its kind.
    ///
    /// If the entries that wait are too many, all of them go: those behind a gap are of no use, and
    /// the sender's core sends again from the gap on.
    pub fn push(&self, message: Message) {
        let mut lanes = self.lock();
        match entry_bytes(&message) {
            Some(bytes) => {
                if lanes.long_bytes > LONG_BYTES {
                    lanes.long.clear();
                    lanes.long_bytes = 0;
                }
                lanes.long_bytes += bytes;
                lanes.long.push_back((bytes, message));
            }
            None => {
                if lanes.short.len() >= SHORT_MAX {
                    lanes.short.pop_front();
                }
                lanes.short.push_back(message);
            }
        }
        drop(lanes);
        self.wake();
    }

    /// Makes the sender look.
    pub fn wake(&self) {
        match self.wake.try_send(()) {
            // Woken already.
            Ok(()) | Err(TrySendError::Full(())) => {}
            Err(TrySendError::Closed(())) => log::debug!("a queue to a peer is closed"),
        }
    }

    /// Waits until something was pushed since the last call of [`Queue::take`].
    pub async fn wait(&self) {
        if self.woken.recv().await.is_err() {
            log::debug!("a queue to a peer is closed");
        }
    }

    /// Takes what one write should carry, and says whether there is room now for who wanted it.
    pub fn take(&self) -> (Vec<Message>, bool) {
        let mut lanes = self.lock();
        let mut batch: Vec<Message> = lanes.short.drain(..).collect();
        let mut bytes = 0;
        while bytes < BATCH_BYTES
            && let Some((size, message)) = lanes.long.pop_front()
        {
            bytes += size;
            lanes.long_bytes -= size;
            batch.push(message);
        }
        let is_room = lanes.is_room_wanted && lanes.long_bytes < ROOM_BYTES;
        if is_room {
            lanes.is_room_wanted = false;
        }
        (batch, is_room)
    }

    /// Whether what is read from a disk may be pushed; if not, the taker is told when.
    pub fn has_room(&self) -> bool {
        let mut lanes = self.lock();
        let has_room = lanes.long_bytes < ROOM_BYTES;
        lanes.is_room_wanted = !has_room;
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paxos::{Ballot, Member, Position, Value};

    fn message(body: Body) -> Message {
        Message {
            from: Member::default(),
            ballot: Ballot::ZERO,
            body,
        }
    }

    fn write(first: u64, bytes: usize) -> Message {
        message(Body::Write {
            run: Run {
                ballot: Ballot::ZERO,
                first: Position(first),
                values: [Value::Append(vec![0; bytes].into())].into(),
            },
            learned: Position(0),
        })
    }

    #[test]
    fn short_messages_overtake_entries_and_each_kind_keeps_its_order() {
        let queue = Queue::new();
        for n in 1..=3 {
            queue.push(write(n, 10));
            queue.push(message(Body::CatchUp { from: Position(n) }));
        }
        let (batch, _) = queue.take();
        let shown: Vec<String> = batch
            .iter()
            .map(|m| match &m.body {
                Body::Write { run, .. } => format!("w{}", run.first),
                Body::CatchUp { from } => format!("p{from}"),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(shown, ["p1", "p2", "p3", "w1", "w2", "w3"]);
        assert!(queue.take().0.is_empty());
    }

    #[test]
    fn what_waits_is_bounded_and_one_write_is_short() {
        let queue = Queue::new();
        for n in 0..1060 {
            queue.push(write(n + 1, 100 << 10));
        }
        assert!(queue.lock().long_bytes <= LONG_BYTES + (101 << 10));
        assert!(!queue.has_room());
        let (batch, _) = queue.take();
        assert!(batch.len() <= 2);
        // Nothing is missing between those that are left.
        let mut firsts = Vec::new();
        let mut told = 0;
        loop {
            let (batch, is_room) = queue.take();
            told += u32::from(is_room);
            if batch.is_empty() {
                break;
            }
            firsts.extend(batch.iter().map(|m| match &m.body {
                Body::Write { run, .. } => run.first.0,
                other => panic!("{other:?}"),
            }));
        }
        assert!(firsts.windows(2).all(|w| w[0] + 1 == w[1]));
        assert_eq!(told, 1);
        assert_eq!(firsts.last(), Some(&1060));
        for _ in 0..2 * SHORT_MAX {
            queue.push(message(Body::Prepare));
        }
        assert_eq!(queue.take().0.len(), SHORT_MAX);
    }
}
