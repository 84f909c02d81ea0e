//! How long entries take from their proposal until they are learned, as operators watch it.
//!
//! Each entry is one event of `scheduler_log_native_append`, so that the ratio of its two counters' rates
//! is the mean latency of a write, whatever shared a sync with it.

use crate::base::clock::Instant;
use crate::base::stats::{self, Counter, Sliding};
use std::collections::BTreeMap;

/// Entries on their way, and what became of those before.
#[derive(Debug)]
pub(super) struct Latency {
    proposed: BTreeMap<u64, Instant>,
    appends: Sliding,
    failures: Counter,
}

impl Default for Latency {
    fn default() -> Self {
        let registry = stats::global();
        Self {
            proposed: BTreeMap::new(),
            appends: registry.sliding("scheduler_log_native_append", "nanos"),
            failures: registry.counter("scheduler_log_native_append_failures"),
        }
    }
}

impl Latency {
    pub(super) fn proposed(&mut self, now: Instant, ticket: u64) {
        self.proposed.insert(ticket, now);
    }

    pub(super) fn learned(&mut self, now: Instant, ticket: Option<u64>) {
        let at = ticket.and_then(|ticket| self.proposed.remove(&ticket));
        if let Some(at) = at {
            self.appends.record_nanos(now.since(at));
        }
    }

    /// What is on its way may or may not be learned: for this scheduler it has failed.
    pub(super) fn give_up(&mut self) {
        let lost = std::mem::take(&mut self.proposed);
        self.failures.add(lost.len() as u64);
    }
}
