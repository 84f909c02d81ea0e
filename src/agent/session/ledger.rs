//! Which reports the scheduler has not acknowledged.

use crate::base::clock::Instant;
use crate::model::{TaskId, TaskReport};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
struct Entry {
    sequence: u64,
    sent: Instant,
    acknowledged: bool,
}

/// What was sent on one connection, and when. Holds no more than the host's tasks.
#[derive(Debug, Default)]
pub(super) struct Ledger(BTreeMap<TaskId, Entry>);

impl Ledger {
    /// A report was sent.
    pub(super) fn handle_sent(&mut self, task: &TaskId, sequence: u64, now: Instant) {
        let fresh = Entry {
            sequence,
            sent: now,
            acknowledged: false,
        };
        let entry = self.0.entry(task.clone()).or_insert(fresh);
        if sequence > entry.sequence {
            *entry = fresh;
        }
        entry.sent = now;
    }

    /// A report was acknowledged, and with it all earlier ones of the task.
    pub(super) fn handle_acknowledged(&mut self, task: &TaskId, sequence: u64) {
        if let Some(entry) = self.0.get_mut(task)
            && sequence >= entry.sequence
        {
            entry.acknowledged = true;
        }
    }

    /// Of the host's latest reports, those to send again at `now`. Forgets all other tasks.
    pub(super) fn poll_resend(
        &mut self,
        reports: Vec<TaskReport>,
        now: Instant,
        after: Duration,
    ) -> Vec<TaskReport> {
        let known: BTreeMap<&TaskId, u64> = reports.iter().map(|r| (&r.task, r.sequence)).collect();
        self.0.retain(|task, _| known.contains_key(task));
        let due = |report: &TaskReport| match self.0.get(&report.task) {
            None => true,
            Some(entry) if report.sequence > entry.sequence => true,
            Some(entry) => !entry.acknowledged && now.since(entry.sent) >= after,
        };
        reports.into_iter().filter(due).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::model::TaskState;

    const AFTER: Duration = Duration::from_secs(10);

    fn report(task: &str, sequence: u64) -> TaskReport {
        TaskReport {
            task: TaskId::new(task),
            sequence,
            state: TaskState::Running,
            message: None,
            at: Timestamp(0),
        }
    }

    fn at(secs: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(secs)
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_after_a_while() {
        let mut ledger = Ledger::default();
        let task = TaskId::new("t");
        let due = |ledger: &mut Ledger, sequence, secs| {
            let reports = vec![report("t", sequence)];
            !ledger.poll_resend(reports, at(secs), AFTER).is_empty()
        };
        assert!(due(&mut ledger, 0, 1), "never sent");
        ledger.handle_sent(&task, 0, at(1));
        assert!(!due(&mut ledger, 0, 10));
        assert!(due(&mut ledger, 0, 11));
        ledger.handle_acknowledged(&task, 0);
        assert!(!due(&mut ledger, 0, 100));
        assert!(due(&mut ledger, 1, 100), "the host has a newer one");
        ledger.handle_sent(&task, 1, at(100));
        ledger.handle_acknowledged(&task, 0);
        assert!(
            due(&mut ledger, 1, 110),
            "an old acknowledgement does not count"
        );
        ledger.handle_acknowledged(&task, 1);
        assert!(!due(&mut ledger, 1, 200));
    }

    #[test]
    fn tasks_that_the_host_forgot_leave_nothing_behind() {
        let mut ledger = Ledger::default();
        ledger.handle_sent(&TaskId::new("t"), 1, at(1));
        assert!(ledger.poll_resend(Vec::new(), at(2), AFTER).is_empty());
        assert!(ledger.0.is_empty());
    }
}
