//! Replaying much at once: a second thread decodes entries too, ahead of this one, which also applies them.
//!
//! A start with a million tasks consists of the two, and decoding takes the longer (`cargo bench --bench
//! storage`, `restart_1m_s`). Whoever leads decodes nothing: its tables are there already.

use super::{Input, Loop, RunError};
use crate::replog::LogEvent;
use crate::scheduler::port::LogPort;
use crate::storage::stored::{Record, StoredError, decode};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// With fewer bytes of entries a thread costs more than it saves.
const WORTH_A_THREAD: usize = 128 << 10;
/// How many entries are decoded ahead.
const AHEAD: usize = 4;
/// Of so many entries in a row, the other thread decodes so many: this one has to apply them besides.
const ROW: usize = 8;
const OF_A_ROW: usize = 5;

/// Whether the other thread decodes the entry at this place.
fn is_decoded_ahead(place: usize) -> bool {
    place % ROW < OF_A_ROW
}

impl<L: LogPort> Loop<L> {
    /// Takes events of the log in their order.
    pub(super) fn take_events(&mut self, events: Vec<LogEvent>) -> Result<(), RunError> {
        let entries: Vec<Arc<[u8]>> = match self.term {
            None => events.iter().filter_map(entry_of).cloned().collect(),
            Some(_) => Vec::new(),
        };
        let bytes: usize = entries.iter().map(|entry| entry.len()).sum();
        if bytes < WORTH_A_THREAD {
            for event in events {
                self.take(Input::Log(event))?;
            }
            return Ok(());
        }
        thread::scope(|scope| {
            let (tell, decoded) = sync_channel(AHEAD);
            let entries = entries.into_iter().enumerate();
            let work = move || {
                for (_, entry) in entries.filter(|(place, _)| is_decoded_ahead(*place)) {
                    if tell.send(decode(&entry)).is_err() {
                        return;
                    }
                }
            };
            let started = thread::Builder::new()
                .name("decoder".to_owned())
                .spawn_scoped(scope, work);
            self.take_decoded(events, started.is_ok().then_some(&decoded))
        })
    }

    /// The same, with what the decoder gives for the entries that it decodes; it may be missing.
    fn take_decoded(
        &mut self,
        events: Vec<LogEvent>,
        decoded: Option<&Receiver<Result<Record, StoredError>>>,
    ) -> Result<(), RunError> {
        let mut place = 0;
        for event in events {
            let record = match (entry_of(&event), decoded) {
                (Some(_), Some(decoded)) if is_decoded_ahead(place) => decoded.recv().ok(),
                _ => None,
            };
            place += usize::from(entry_of(&event).is_some());
            match (event, record) {
                // In the middle this scheduler may have begun to lead.
                (LogEvent::Learned { position, .. }, Some(record)) if self.term.is_none() => {
                    self.follow(position, record)?;
                    self.stale = true;
                }
                (event, _) => self.take(Input::Log(event))?,
            }
        }
        Ok(())
    }
}

/// The entry that an event brings, if it says anything.
fn entry_of(event: &LogEvent) -> Option<&Arc<[u8]>> {
    match event {
        LogEvent::Learned { payload, .. } if !payload.is_empty() => Some(payload),
        _ => None,
    }
}
