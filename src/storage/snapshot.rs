//! Snapshots: the tables of one moment, cut into chunks that fit between other entries.

use super::op::Op;
use super::stored::Chunk;
use super::tables::Tables;
use super::updates::Cursor;
use crate::model::{TaskConfig, TaskId};
use std::sync::Arc;

/// How many tasks a chunk holds.
const TASKS_PER_CHUNK: usize = 500;

/// How many bytes of descriptions a chunk holds, roughly: far below the longest entry of the log.
const CONFIG_BYTES_PER_CHUNK: usize = 2 << 20;

/// Cuts tables into chunks, one when asked. The tables are shared, not copied.
#[derive(Debug)]
pub struct Snapshot {
    tables: Arc<Tables>,
    attempt: u64,
    next: u32,
    after: Option<TaskId>,
    tasks_done: bool,
    updates: Cursor,
    done: bool,
}

impl Snapshot {
    /// A snapshot of `tables`. `attempt` tells apart those of equal tables.
    pub fn new(tables: Arc<Tables>, attempt: u64) -> Self {
        Self {
            tables,
            attempt,
            next: 0,
            after: None,
            tasks_done: false,
            updates: Cursor::default(),
            done: false,
        }
    }

    /// The next chunk; `None` after the last.
    pub fn next_chunk(&mut self) -> Option<Chunk> {
        if self.done {
            return None;
        }
        let mut ops = match self.next {
            0 => self.small_tables(),
            _ => Vec::new(),
        };
        if self.tasks_done {
            let mut updates = Vec::new();
            self.done = self.updates.portion(self.tables.updates(), &mut updates);
            ops.extend(updates.into_iter().map(Op::Update));
        } else {
            self.next_tasks(&mut ops);
            self.done = self.tasks_done && self.tables.updates().count() == 0;
        }
        let chunk = Chunk {
            version: self.tables.version(),
            attempt: self.attempt,
            index: self.next,
            last: self.done,
            ops,
        };
        self.next += 1;
        Some(chunk)
    }

    fn next_tasks(&mut self, ops: &mut Vec<Op>) {
        let after = self.after.take();
        let mut rest = self.tables.tasks_after(after.as_ref()).peekable();
        let (mut count, mut bytes) = (0, 0);
        let mut config: Option<&Arc<TaskConfig>> = None;
        while count < TASKS_PER_CHUNK
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
            count += 1;
            ops.push(Op::RestoreTask(Arc::clone(task)));
        }
        self.tasks_done = rest.peek().is_none();
        self.after = match ops.last() {
            Some(Op::RestoreTask(task)) => Some(task.id.clone()),
            _ => after.clone(),
        };
    }

    fn small_tables(&self) -> Vec<Op> {
        let tables = &self.tables;
        let mut ops = Vec::new();
        ops.extend(
            tables
                .framework_id()
                .map(|id| Op::SetFrameworkId(id.to_owned())),
        );
        ops.extend(tables.leader().map(|it| Op::SetLeader((**it).clone())));
        ops.extend(tables.hosts().map(|host| Op::SetHost(Arc::clone(host))));
        ops.extend(tables.quotas().map(|(role, quota)| Op::SetQuota {
            role: role.clone(),
            quota: *quota,
        }));
        ops.extend(
            tables
                .cron_jobs()
                .map(|job| Op::SetCronJob(Arc::clone(job))),
        );
        ops.extend(tables.answers().map(|(request, answer)| Op::SetAnswer {
            request: request.clone(),
            answer: (**answer).clone(),
        }));
        let requests = tables.maintenance_requests();
        ops.extend(requests.map(|request| Op::SetMaintenance(Arc::clone(request))));
        ops
    }
}
