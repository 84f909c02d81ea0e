//! Reads that must not come from the past.
//!
//! A leader of an ensemble may have been deposed without knowing it, so a read is answered only after a
//! quorum has confirmed the term in a round that began after the read arrived. One round serves all
//! that wait; what arrives meanwhile waits for the next. Source of the rule: design, section 4; the
//! literature calls it a read index.

use crate::replog::Ballot;
use crate::scheduler::handle::NotReady;
use crate::scheduler::port::LogPort;
use crate::storage::Tables;
use async_channel::{Receiver, Sender};
use std::sync::Arc;

/// Where a read is answered.
pub(in crate::scheduler) type Reader = Sender<Result<Arc<Tables>, NotReady>>;

/// Reads on their way.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// They wait for the next round.
    waiting: Vec<Reader>,
    /// The round that is under way, by its token, and whom it serves.
    round: Option<(u64, Vec<Reader>)>,
    /// Their round has been confirmed: they are answered at the end of the turn.
    confirmed: Vec<Reader>,
    rounds: u64,
}

impl Reads {
    /// A read has arrived.
    pub(super) fn add(&mut self, reader: Reader) {
        self.waiting.push(reader);
    }

    /// Begins a round, if one is needed and none is under way, and gives its token.
    pub(super) fn begin(&mut self) -> Option<u64> {
        if self.round.is_some() || self.waiting.is_empty() {
            return None;
        }
        self.rounds += 1;
        self.round = Some((self.rounds, std::mem::take(&mut self.waiting)));
        Some(self.rounds)
    }

    /// The round of this token is confirmed.
    pub(super) fn confirm(&mut self, token: u64) {
        if let Some((_, readers)) = self.round.take_if(|(round, _)| *round == token) {
            self.confirmed.extend(readers);
        }
    }

    /// The round of this token came to nothing.
    pub(super) fn fail(&mut self, token: u64) {
        if let Some((_, readers)) = self.round.take_if(|(round, _)| *round == token) {
            refuse(readers);
        }
    }

    /// Nobody leads here any more.
    pub(super) fn fail_all(&mut self) {
        refuse(std::mem::take(&mut self.waiting));
        refuse(std::mem::take(&mut self.confirmed));
        if let Some((_, readers)) = self.round.take() {
            refuse(readers);
        }
    }

    /// Those who may be answered now.
    pub(super) fn take_confirmed(&mut self) -> Vec<Reader> {
        std::mem::take(&mut self.confirmed)
    }
}

fn refuse(readers: Vec<Reader>) {
    for reader in readers {
        answer(&reader, Err(NotReady));
    }
}

pub(super) fn answer(reader: &Reader, result: Result<Arc<Tables>, NotReady>) {
    if reader.try_send(result).is_err() {
        log::debug!("nobody waits for the answer to a read");
    }
}

/// Asks the log for rounds. A fiber of its own, as the log makes those who ask wait for the loop.
pub(super) async fn ask<L: LogPort>(
    log: Arc<L>,
    rounds: Receiver<(Ballot, u64)>,
    failures: Sender<u64>,
) {
    while let Ok((ballot, token)) = rounds.recv().await {
        if log.read(ballot, token).await.is_err() && failures.send(token).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_channel::bounded;

    #[test]
    fn a_read_waits_for_a_round_that_began_after_it_arrived() {
        let mut reads = Reads::default();
        let (first, first_answer) = bounded(1);
        let (second, second_answer) = bounded(1);
        reads.add(first);
        let round = reads.begin().unwrap();
        reads.add(second);
        assert_eq!(reads.begin(), None, "one round at a time");
        reads.confirm(round + 1);
        assert!(reads.take_confirmed().is_empty(), "another round's token");
        reads.confirm(round);
        assert_eq!(reads.take_confirmed().len(), 1);
        let next = reads.begin().unwrap();
        assert_ne!(next, round);
        reads.fail(next);
        assert!(matches!(second_answer.try_recv(), Ok(Err(NotReady))));
        assert!(first_answer.try_recv().is_err(), "taken, not refused");
    }

    #[test]
    fn standing_down_refuses_every_read() {
        let mut reads = Reads::default();
        let answers: Vec<_> = (0..3)
            .map(|n| {
                let (reader, answer) = bounded(1);
                reads.add(reader);
                if n < 2 {
                    let round = reads.begin();
                    if n == 0 {
                        reads.confirm(round.unwrap());
                    }
                }
                answer
            })
            .collect();
        reads.fail_all();
        for answer in answers {
            assert!(matches!(answer.try_recv(), Ok(Err(NotReady))));
        }
    }
}
