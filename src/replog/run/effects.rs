//! Carrying out what the core asks for.

use super::replay::Replay;
use super::{End, READ_BYTES, READS_MAX, ReadDone, Reader, Runner, Wanted};
use crate::base::clock;
use crate::paxos::{Effect, Position, Record, Run, Value};
use crate::replog::disk;
use crate::replog::handle::LogEvent;
use crate::replog::wire::Pulse;
use crate::replog::writer::{Done, Job};
use crate::rt;
use std::sync::Arc;
use std::sync::mpsc::TrySendError;
use std::time::Duration;

/// How long a full queue to the writer is left alone.
const FULL_PAUSE: Duration = Duration::from_millis(1);

impl Runner {
    /// Does everything that the core asks for.
    pub(super) async fn carry_out(&mut self) -> Option<End> {
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                Effect::Broadcast { message } => {
                    if let Some(wires) = &self.wires {
                        for peer in wires.network.connected() {
                            wires.network.send(peer.member.id, message.clone());
                        }
                    }
                }
                Effect::ChangeFailed { error } => self.change_failed(&error),
                Effect::Configured(configured) => self.configured(&configured),
                Effect::Persist { ticket, records } => {
                    let bytes = records.iter().map(record_bytes).sum();
                    self.at_writer.push_back((ticket, bytes));
                    self.at_writer_bytes += bytes;
                    if !self.hand_to_writer(Job { ticket, records }).await {
                        return Some(self.writer_failed());
                    }
                }
                Effect::Learned(run) => self.give(&run),
                Effect::Leader(leader) => self.leader_changed(leader),
                Effect::Leading { ballot } => self.outbox.push_back(LogEvent::Leading { ballot }),
                Effect::Discarded { ballot } => {
                    self.in_flight.clear();
                    self.outbox.push_back(LogEvent::Discarded { ballot });
                }
                Effect::Read {
                    peer,
                    from,
                    through,
                } => self.want(Wanted {
                    peer,
                    from,
                    through,
                }),
                Effect::ReadFailed { token } => {
                    self.outbox.push_back(LogEvent::ReadFailed { token });
                }
                Effect::ReadReady { token, position: _ } => {
                    self.outbox.push_back(LogEvent::ReadReady { token });
                }
                Effect::Send { to, message } => {
                    if let Some(wires) = &self.wires {
                        wires.network.send(to, message);
                    }
                }
                Effect::Settled { .. } => self.settled(),
                Effect::Skipped { first } => {
                    if let Some(replay) = &mut self.replay {
                        replay.skip(first);
                    }
                    self.outbox.push_back(LogEvent::Skipped { first });
                }
                // While it is replaying its owner is told of nothing else.
                Effect::Status(_) if self.replay.as_ref().is_some_and(Replay::is_first) => {}
                Effect::Status(status) => {
                    self.show(status);
                    self.outbox.push_back(LogEvent::Status(status));
                }
            }
        }
        self.read_wanted();
        None
    }

    /// Notes what is to be read for a peer, in the place of what it wanted before.
    fn want(&mut self, wanted: Wanted) {
        self.wanted.retain(|before| before.peer != wanted.peer);
        self.wanted.push_back(wanted);
    }

    /// Reads for peers, as far as what is read could be sent.
    pub(super) fn read_wanted(&mut self) {
        let Some(wires) = &self.wires else {
            self.wanted.clear();
            return;
        };
        for _ in 0..self.wanted.len() {
            if self.reading >= READS_MAX {
                return;
            }
            let Some(wanted) = self.wanted.pop_front() else {
                return;
            };
            // `Room` comes when it has some.
            if !wires.network.has_room(wanted.peer) {
                self.wanted.push_back(wanted);
                continue;
            }
            self.reading += 1;
            let store = Arc::clone(&self.store);
            let tell = self.reads.0.clone();
            let read = async move {
                let Wanted {
                    peer,
                    from,
                    through,
                } = wanted;
                let read = rt::unblock(move || {
                    disk::read_entries(store.as_ref(), from, through, READ_BYTES)
                });
                let runs = read.await.map(Run::collect);
                let runs = runs.map_err(|error| error.to_string());
                let reader = Reader::Peer(peer);
                if tell.send(ReadDone { reader, runs }).await.is_err() {
                    log::debug!("the log is closed");
                }
            };
            rt::spawn("log reader", read).detach();
        }
    }

    /// False if the writer is gone.
    async fn hand_to_writer(&self, mut job: Job) -> bool {
        loop {
            match self.jobs.try_send(job) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                // Hardly ever: what makes jobs stops far below.
                Err(TrySendError::Full(kept)) => job = kept,
            }
            rt::sleep(FULL_PAUSE).await;
        }
    }

    /// The writer is gone: it has said why, or has panicked.
    fn writer_failed(&mut self) -> End {
        while let Ok(news) = self.done.try_recv() {
            if let Done::Failed(reason) = news {
                return End::Poisoned(reason);
            }
        }
        End::Poisoned("the writer thread of the log has ended".to_owned())
    }

    /// Gives learned entries to the receiver, those that are its owner's.
    fn give(&mut self, run: &Run) {
        self.fall_behind(run.first);
        let (in_flight, outbox) = (&mut self.in_flight, &mut self.outbox);
        let replay = &mut self.replay;
        events_of(run, |position, mut event| {
            while let Some((waiting, mine)) = in_flight.front().copied()
                && waiting <= position
            {
                in_flight.pop_front();
                if waiting == position
                    && let LogEvent::Learned { ticket, .. } = &mut event
                {
                    *ticket = Some(mine);
                }
            }
            match replay {
                Some(replay) => replay.learned(position, event),
                None => outbox.push_back(event),
            }
        });
    }

    /// Shows how the replica is, to whoever holds a handle and to the peers.
    pub(super) fn publish(&mut self) {
        let mut shown = self.shared.lock();
        shown.leading = self.core.leading();
        shown.leader = self.core.leader();
        shown.is_alone = shown.leading.is_some() && self.core.is_alone();
        shown.stats.first = self.core.first().0;
        shown.stats.learned = self.core.learned().0;
        shown.stats.end = self.core.end().0;
        shown.ensemble.me = self.core.me();
        shown.ensemble.promised = self.core.promised();
        drop(shown);
        self.beat();
        self.members.note_time(clock::now());
    }

    /// Tells the peers, by the next pulse, how the replica is.
    pub(super) fn beat(&self) {
        if let Some(wires) = &self.wires {
            wires.network.set_pulse(self.pulse());
        }
    }

    /// How the replica is.
    pub(super) fn pulse(&self) -> Pulse {
        Pulse {
            sequence: self.sequence,
            promised: self.promised,
            status: self.core.shown_status(),
            is_leading: self.core.leading().is_some(),
            first: self.core.first(),
            learned: self.core.learned(),
            end: self.core.end(),
        }
    }
}

/// Gives the entries of a run that are the owner's.
pub(super) fn events_of(run: &Run, mut give: impl FnMut(Position, LogEvent)) {
    for (value, position) in run.values.iter().zip(run.first.0..) {
        let position = Position(position);
        match value {
            Value::Append(payload) => give(
                position,
                LogEvent::Learned {
                    position,
                    ballot: run.ballot,
                    ticket: None,
                    payload: Arc::clone(payload),
                },
            ),
            // The log's own.
            Value::Configure(_) | Value::Nop | Value::Truncate { .. } => {}
        }
    }
}

fn record_bytes(record: &Record) -> usize {
    match record {
        Record::Run(run) => run.size_bytes(),
        _ => 64,
    }
}
