//! Hands entries to the log, in order.
//!
//! A fiber of its own, since the log makes appenders wait for whoever receives its events, which is the
//! scheduler's loop. What the loop need not do while it decides is done here: entries become bytes.

use crate::base::{clock, stats};
use crate::replog::{AppendError, Ballot, Position};
use crate::scheduler::engine::Entry;
use crate::scheduler::port::LogPort;
use async_channel::{Receiver, Sender};
use std::sync::Arc;

/// Something for the log.
#[derive(Debug)]
pub(super) enum Write {
    Append {
        ballot: Ballot,
        ticket: u64,
        entry: Entry,
    },
    Truncate {
        ballot: Ballot,
        to: Position,
    },
}

/// The log took no more under this ballot.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) ballot: Ballot,
    pub(super) error: AppendError,
}

/// Writes until nothing more can come.
///
/// Once an entry was refused, no later one of its ballot is appended: it would build on what is not
/// there.
pub(super) async fn write<L: LogPort>(
    log: Arc<L>,
    writes: Receiver<Write>,
    refusals: Sender<Refused>,
) {
    let mut refused = None;
    while let Ok(write) = writes.recv().await {
        match write {
            Write::Append { ballot, .. } if refused == Some(ballot) => {}
            Write::Append {
                ballot,
                ticket,
                entry,
            } => {
                let payload = entry.encode();
                drop(entry);
                if let Err(error) = log.append(ballot, ticket, payload).await {
                    refused = Some(ballot);
                    if refusals.send(Refused { ballot, error }).await.is_err() {
                        return;
                    }
                }
            }
            Write::Truncate { ballot, to } => {
                let start = clock::now();
                let truncated = log.truncate(ballot, to).await;
                let took = clock::now().since(start);
                stats::global()
                    .sliding("scheduler_log_native_truncate", "nanos")
                    .record_nanos(took);
                if let Err(error) = truncated {
                    stats::global()
                        .counter("scheduler_log_native_truncate_failures")
                        .increment();
                    log::warn!("the log was not truncated to {to}: {error}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt;
    use crate::storage::stored::Record;
    use async_channel::bounded;

    /// Refuses its first entry and takes all others.
    struct Flaky(Sender<u64>);

    impl LogPort for Flaky {
        async fn append(&self, _: Ballot, ticket: u64, _: Vec<u8>) -> Result<(), AppendError> {
            self.0.send(ticket).await.unwrap();
            match ticket {
                1 => Err(AppendError::NotCoordinator),
                _ => Ok(()),
            }
        }

        async fn truncate(&self, _: Ballot, _: Position) -> Result<(), AppendError> {
            Ok(())
        }

        async fn read(&self, _: Ballot, _: u64) -> Result<(), AppendError> {
            Err(AppendError::Closed)
        }

        fn feature_level(&self) -> u32 {
            1
        }

        fn is_alone(&self) -> bool {
            true
        }

        fn leader(&self) -> Option<u64> {
            None
        }

        async fn hand_over(&self) -> bool {
            false
        }
    }

    #[test]
    fn nothing_of_a_ballot_is_appended_behind_a_refused_entry() {
        let (tried, tries) = bounded(10);
        let (writes, to_write) = bounded(10);
        let (refusals, refused) = bounded(10);
        let first = Ballot {
            round: 1,
            ..Ballot::ZERO
        };
        let next = Ballot {
            round: 2,
            ..Ballot::ZERO
        };
        for (ballot, ticket) in [(first, 1), (first, 2), (next, 3)] {
            let record = Record::Ops {
                term: 1,
                version: ticket,
                ops: Vec::new(),
            };
            let entry = Entry::new(record, 1);
            let append = Write::Append {
                ballot,
                ticket,
                entry,
            };
            writes.try_send(append).unwrap();
        }
        drop(writes);
        rt::block_on(write(Arc::new(Flaky(tried)), to_write, refusals));
        let tried: Vec<u64> = std::iter::from_fn(|| tries.try_recv().ok()).collect();
        assert_eq!(tried, [1, 3]);
        assert_eq!(refused.try_recv().unwrap().ballot, first);
    }
}
