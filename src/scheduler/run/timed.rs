//! How long the loop's work takes, under the names by which operators know it.
//!
//! The engine has no clock of its own: what it does is measured around it.

use super::Loop;
use crate::base::clock::{self, Instant, Timestamp};
use crate::base::stats::{self, Counter, RequestTimer, Sliding};
use crate::scheduler::port::LogPort;

/// What one input to the engine was.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Change,
    Offer,
    StatusUpdate,
}

#[derive(Debug)]
pub(super) struct Timed {
    began: Instant,
    attempt: Sliding,
    assign: Sliding,
    change: Sliding,
    delivery: RequestTimer,
    offers: Sliding,
    penalty: Sliding,
    prepare: Sliding,
    preemption: Sliding,
    recover: Sliding,
    snapshot: Sliding,
    snapshot_began: Option<Instant>,
    start: Sliding,
    status_updates: Sliding,
    throttle: Sliding,
    /// There is no lock; what a change waits for is its turn, and operators know the name.
    turn: Sliding,
    entries_read: Counter,
    bytes_read: Counter,
}

impl Default for Timed {
    fn default() -> Self {
        let registry = stats::global();
        let nanos = |name| registry.sliding(name, "nanos");
        Self {
            began: clock::now(),
            attempt: nanos("task_schedule_attempt"),
            assign: nanos("assigner_maybe_assign"),
            change: nanos("mem_storage_write_operation"),
            delivery: registry.requests("task_delivery_delay_SOURCE_SLAVE"),
            offers: nanos("scheduler_resource_offers"),
            penalty: registry.sliding("scheduled_task_penalty", "ms"),
            prepare: nanos("scheduler_storage_prepare"),
            preemption: nanos("pending_task_processor_run"),
            recover: nanos("scheduler_storage_recover"),
            snapshot: nanos("scheduler_log_snapshot"),
            snapshot_began: None,
            start: nanos("scheduler_storage_start"),
            status_updates: nanos("scheduler_status_update"),
            throttle: registry.sliding("task_throttle", "ms"),
            turn: registry.sliding("storage_write_lock_wait", "ns"),
            entries_read: registry.counter("scheduler_log_entries_read"),
            bytes_read: registry.counter("scheduler_log_bytes_read"),
        }
    }
}

impl Timed {
    /// The engine has taken an input that came at `start`.
    pub(super) fn taken(&self, kind: Kind, start: Instant) {
        let took = clock::now().since(start);
        self.change.record_nanos(took);
        match kind {
            Kind::Change => {}
            Kind::Offer => self.offers.record_nanos(took),
            Kind::StatusUpdate => self.status_updates.record_nanos(took),
        }
    }

    /// What somebody asked for at `handed_in` has its turn.
    pub(super) fn waited(&self, now: Instant, handed_in: Instant) {
        self.turn.record_nanos(now.since(handed_in));
    }

    /// A machine's news of a task have come.
    pub(super) fn delivered(&self, now: Timestamp, happened: Timestamp) {
        self.delivery.record(now.since(happened));
    }

    /// An entry that this scheduler did not write has been read.
    pub(super) fn read(&self, bytes: usize) {
        self.entries_read.increment();
        self.bytes_read.add(bytes as u64);
    }

    pub(super) fn prepared(&self) {
        self.prepare.record_nanos(clock::now().since(self.began));
    }

    /// Leading has begun; making ready for it began at `start`.
    pub(super) fn leads(&self, start: Instant) {
        let now = clock::now();
        self.start.record_nanos(now.since(start));
        self.recover.record_nanos(now.since(self.began));
    }

    pub(super) fn snapshot_begins(&mut self) {
        self.snapshot_began = Some(clock::now());
    }

    /// A snapshot is whole: the log is truncated behind it.
    pub(super) fn snapshot_ends(&mut self) {
        if let Some(began) = self.snapshot_began.take() {
            self.snapshot.record_nanos(clock::now().since(began));
        }
    }
}

impl<L: LogPort> Loop<L> {
    /// Lets the engine do what is due, and notes how long attempts to place tasks took if there were any.
    pub(super) fn do_what_is_due(&mut self, now: clock::Now) {
        let tried = (
            "scheduled_task_penalty_events",
            "preemptor_task_processor_runs",
        );
        let count = |this: &Self| (this.engine.counted(tried.0), this.engine.counted(tried.1));
        let before = count(self);
        self.engine.handle_timeout(now);
        let after = count(self);
        let took = clock::now().since(now.mono);
        if let Ok(attempts @ 1..) = u32::try_from(after.0 - before.0) {
            for _ in 0..attempts {
                self.timed.attempt.record_nanos(took / attempts);
                self.timed.assign.record_nanos(took / attempts);
            }
        }
        if after.1 > before.1 {
            self.timed.preemption.record_nanos(took);
        }
    }

    /// Shows what the engine has summed up itself.
    pub(super) fn show_sums(&self) {
        for (sliding, name) in [
            (&self.timed.penalty, "scheduled_task_penalty"),
            (&self.timed.throttle, "task_throttle"),
        ] {
            let of = |suffix: &str| self.engine.counted(&format!("{name}_{suffix}"));
            sliding.set(of("events"), of("ms_total"));
        }
    }
}
