//! A recovery takes the place of everything.
//!
//! The new tables are appended as a snapshot whose version is the one after the newest: chunk by chunk,
//! and none of it counts before the last chunk is learned. So it is one change of the log, however large
//! it is: a crash or another leader in between leaves what was there.
//!
//! From the order on nothing else is taken or proposed. What had been begun before is learned first, and
//! then replaced with the rest. Once it is done this scheduler is of no more use: it must end, so that
//! whoever leads next begins from what the log holds.

use super::step::Outgoing;
use super::{Engine, Snapshot};
use crate::base::clock::Timestamp;
use crate::scheduler::handle::{Command, Reply, ReplyCode};
use crate::storage::stored::Record;
use crate::storage::{Answer, Op, Tables};
use std::sync::Arc;

/// A recovery that was ordered and is not learned yet.
#[derive(Debug)]
pub(super) struct Restoring {
    /// What takes the place of the tables.
    tables: Arc<Tables>,
    /// What remains to be appended; `None` while earlier entries are still on their way.
    snapshot: Option<Snapshot>,
    /// The last position that it makes superfluous.
    position: u64,
    /// Who waits, until the last chunk is on its way.
    token: Option<u64>,
    /// Kept in the new tables, so that a repeat of the order is answered as the first one was.
    request: Option<String>,
    /// When it was ordered.
    at: Timestamp,
}

impl Restoring {
    /// The command that has no answer yet. Nothing was done.
    pub(super) fn unanswered(self) -> Option<u64> {
        self.token
    }
}

impl Engine {
    /// Lets `tables` take the place of everything. The answer comes once the log has learned it.
    pub(super) fn restore(
        &mut self,
        at: Timestamp,
        token: u64,
        request: Option<&str>,
        tables: Arc<Tables>,
    ) {
        // Its chunks between ours would confuse whoever reads them. Who waits for it gets ours.
        self.snapshot = None;
        self.restoring = Some(Restoring {
            tables,
            snapshot: None,
            position: 0,
            token: Some(token),
            request: request.map(str::to_owned),
            at,
        });
    }

    /// Whether a recovery is on its way, or done: nothing else may be.
    pub fn is_restoring(&self) -> bool {
        self.restoring.is_some()
    }

    /// The answer to whoever wants jobs while tasks are held: with the first job the tables are no longer
    /// blank, and whatever they do not know would end.
    pub(super) fn refuse_over_held(&self, command: &Command) -> Option<Reply> {
        let held = self.means.held.len();
        if held == 0 || !self.head.is_blank() || matches!(command, Command::Admin(_)) {
            return None;
        }
        let message = format!(
            "{held} tasks run that this new log does not know, and would end. Restore a backup by \
             aurora_admin scheduler_restore, or let them end by aurora_admin reconcile_tasks \
             --type=implicit."
        );
        Some(Reply::with(ReplyCode::Error, message))
    }

    /// Proposes as much of a recovery as the log may take now.
    pub(super) fn propose_restore(&mut self) {
        let is_open = !self.open.ops.is_empty() || !self.flights.is_empty();
        let Some(restoring) = &mut self.restoring else {
            return;
        };
        if restoring.snapshot.is_none() {
            if is_open {
                return;
            }
            let tables = restored(restoring, &self.head);
            restoring.position = self.position;
            restoring.tables = Arc::new(tables);
            let attempt = self.means.rng.next_u64();
            restoring.snapshot = Some(Snapshot::new(Arc::clone(&restoring.tables), attempt));
        }
        while self.has_window() {
            let Some(restoring) = &mut self.restoring else {
                return;
            };
            let next = restoring.snapshot.as_mut().and_then(Snapshot::next_chunk);
            let Some(chunk) = next else {
                return;
            };
            let (mut tables, mut outbox, mut truncate) = (None, Vec::new(), None);
            if chunk.last {
                tables = Some(Arc::clone(&restoring.tables));
                truncate = Some(restoring.position);
                let waiters = std::mem::take(&mut self.snapshot_waiters);
                let waiters = restoring.token.take().into_iter().chain(waiters);
                outbox.extend(waiters.map(|token| Outgoing::Reply {
                    token,
                    result: Ok(Reply::ok()),
                }));
                outbox.push(Outgoing::Restored);
            }
            self.propose(Record::Snapshot(chunk), tables, outbox, truncate);
        }
    }
}

/// The tables that follow on `head`.
fn restored(restoring: &Restoring, head: &Tables) -> Tables {
    let mut tables = Tables::clone(&restoring.tables);
    tables.set_version(head.version() + 1);
    let mut apply = |op| {
        let applied: Result<(), _> = tables.apply(&op);
        applied.expect("these need nothing that could be missing");
    };
    // Where the leader of that time was is of no use to anybody.
    if let Some(leader) = head.leader() {
        apply(Op::SetLeader((**leader).clone()));
    }
    if let Some(request) = restoring.request.clone() {
        let reply = Reply::ok();
        let answer = Answer {
            at: restoring.at,
            reply,
        };
        apply(Op::SetAnswer { request, answer });
    }
    tables
}
