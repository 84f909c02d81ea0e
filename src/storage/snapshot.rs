//! Snapshots: the tables of one moment, cut into chunks that fit between other entries.
//!
//! The engine proposes one chunk at a time, and the next when the log has learned it, so that a change never
//! waits behind more than one: a snapshot of 200,000 tasks made no change wait longer than the disk did by
//! itself at other times (`cargo bench --bench storage`).

use super::op::Op;
use super::stored::Chunk;
use super::tables::Tables;
use super::updates::Cursor;
use crate::model::{TaskConfig, TaskId};
use std::mem::discriminant;
use std::sync::Arc;

/// How many tasks, machines or answers a chunk holds. Making and writing a chunk is what a change waits for
/// that comes at the wrong moment, so none is much longer than the others.
const PER_CHUNK: usize = 500;

/// How many bytes of descriptions a chunk holds, roughly: far below the longest entry of the log.
const CONFIG_BYTES_PER_CHUNK: usize = 2 << 20;

/// What the next chunk begins with. The kinds follow each other in this order.
#[derive(Debug)]
enum Next {
    /// Who leads.
    Leader,
    /// The machines behind this one.
    Hosts(Option<String>),
    /// Quotas and cron jobs.
    Roles,
    /// The answers behind this request.
    Answers(Option<String>),
    /// Orders to drain.
    Orders,
    /// The tasks behind this one.
    Tasks(Option<TaskId>),
    Updates(Cursor),
    Nothing,
}

/// Cuts tables into chunks, one when asked. The tables are shared, not copied.
#[derive(Debug)]
pub struct Snapshot {
    tables: Arc<Tables>,
    attempt: u64,
    index: u32,
    next: Next,
}

impl Snapshot {
    /// A snapshot of `tables`. `attempt` tells apart those of equal tables.
    pub fn new(tables: Arc<Tables>, attempt: u64) -> Self {
        Self {
            tables,
            attempt,
            index: 0,
            next: Next::Leader,
        }
    }

    /// The next chunk; `None` after the last.
    pub fn next_chunk(&mut self) -> Option<Chunk> {
        if matches!(self.next, Next::Nothing) {
            return None;
        }
        let mut ops = Vec::new();
        while ops.len() < PER_CHUNK && !matches!(self.next, Next::Nothing) {
            let next = std::mem::replace(&mut self.next, Next::Nothing);
            let kind = discriminant(&next);
            self.next = self.take(next, &mut ops);
            // A kind goes on where the chunk is full. What is said of updates is counted by the cursor.
            if discriminant(&self.next) == kind || matches!(self.next, Next::Updates(_)) {
                break;
            }
        }
        let chunk = Chunk {
            version: self.tables.version(),
            attempt: self.attempt,
            index: self.index,
            last: matches!(self.next, Next::Nothing),
            ops,
        };
        self.index += 1;
        Some(chunk)
    }

    /// Adds what comes next, as far as there is room, and gives what comes then.
    fn take(&self, next: Next, ops: &mut Vec<Op>) -> Next {
        let (tables, before) = (&self.tables, ops.len());
        let room = PER_CHUNK.saturating_sub(before);
        let is_done = |ops: &Vec<Op>| ops.len() < before + room;
        match next {
            Next::Leader => {
                let id = tables.framework_id();
                ops.extend(id.map(|id| Op::SetFrameworkId(id.to_owned())));
                ops.extend(tables.leader().map(|it| Op::SetLeader((**it).clone())));
                Next::Hosts(None)
            }
            Next::Roles => {
                ops.extend(tables.quotas().map(|(role, quota)| Op::SetQuota {
                    role: role.clone(),
                    quota: *quota,
                }));
                let cron_jobs = tables.cron_jobs();
                ops.extend(cron_jobs.map(|job| Op::SetCronJob(Arc::clone(job))));
                Next::Answers(None)
            }
            Next::Orders => {
                let requests = tables.maintenance_requests();
                ops.extend(requests.map(|request| Op::SetMaintenance(Arc::clone(request))));
                Next::Tasks(None)
            }
            Next::Hosts(after) => {
                let hosts = tables.hosts_after(after.as_deref()).take(room);
                let mut last = after.clone();
                for host in hosts {
                    last = Some(host.host.clone());
                    ops.push(Op::SetHost(Arc::clone(host)));
                }
                match is_done(ops) {
                    true => Next::Roles,
                    false => Next::Hosts(last),
                }
            }
            Next::Answers(after) => {
                let answers = tables.answers_after(after.as_deref()).take(room);
                let mut last = after.clone();
                for (request, answer) in answers {
                    last = Some(request.clone());
                    ops.push(Op::SetAnswer {
                        request: request.clone(),
                        answer: (**answer).clone(),
                    });
                }
                match is_done(ops) {
                    true => Next::Orders,
                    false => Next::Answers(last),
                }
            }
            Next::Tasks(after) => {
                let mut rest = tables.tasks_after(after.as_ref()).peekable();
                let (mut left, mut bytes) = (room, 0);
                let mut config: Option<&Arc<TaskConfig>> = None;
                while left > 0
                    && bytes < CONFIG_BYTES_PER_CHUNK
                    && let Some(task) = rest.next()
                {
                    // Instances of a job are neighbours and share their description.
                    if config.is_none_or(|config| !Arc::ptr_eq(config, &task.config)) {
                        let executor = task.config.executor.as_ref();
                        let data = executor.and_then(|executor| executor.data.as_ref());
                        bytes += data.map_or(0, String::len);
                        config = Some(&task.config);
                    }
                    left -= 1;
                    ops.push(Op::RestoreTask(Arc::clone(task)));
                }
                match ops.last() {
                    Some(Op::RestoreTask(task)) if rest.peek().is_some() => {
                        Next::Tasks(Some(task.id.clone()))
                    }
                    _ if tables.updates().count() == 0 => Next::Nothing,
                    _ => Next::Updates(Cursor::default()),
                }
            }
            Next::Updates(mut cursor) => {
                let mut updates = Vec::new();
                let done = cursor.portion(tables.updates(), &mut updates);
                ops.extend(updates.into_iter().map(Op::Update));
                match done {
                    true => Next::Nothing,
                    false => Next::Updates(cursor),
                }
            }
            Next::Nothing => Next::Nothing,
        }
    }
}
