//! Hands entries to the log, in order.
//!
//! A fiber of its own, since the log makes appenders wait for whoever receives its events, which is the
//! scheduler's loop.

use crate::replog::{AppendError, Ballot, Position};
use crate::scheduler::port::LogPort;
use async_channel::{Receiver, Sender};

/// Something for the log.
#[derive(Debug)]
pub(super) enum Write {
    Append {
        ballot: Ballot,
        ticket: u64,
        payload: Vec<u8>,
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
pub(super) async fn write(log: impl LogPort, writes: Receiver<Write>, refusals: Sender<Refused>) {
    let mut refused = None;
    while let Ok(write) = writes.recv().await {
        match write {
            Write::Append { ballot, .. } if refused == Some(ballot) => {}
            Write::Append {
                ballot,
                ticket,
                payload,
            } => {
                if let Err(error) = log.append(ballot, ticket, payload).await {
                    refused = Some(ballot);
                    if refusals.send(Refused { ballot, error }).await.is_err() {
                        return;
                    }
                }
            }
            Write::Truncate { ballot, to } => {
                if let Err(error) = log.truncate(ballot, to).await {
                    log::warn!("the log was not truncated to {to}: {error}");
                }
            }
        }
    }
}
