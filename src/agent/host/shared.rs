//! What all parts of a host share: the table of tasks, and who is told of changes.

use super::config::HostConfig;
use super::directory::TaskDirectory;
use super::ended::EndedLog;
use super::runtime::{ContainerRuntime, Machine};
use super::sandboxes::Kept;
use crate::agent::fetch::Cache;
use crate::agent::limits::Limiter;
use crate::base::clock::{Instant, Timestamp};
use crate::model::{AgentId, TaskId, TaskReport, TaskState};
use async_channel::{Receiver, Sender};
use smol::lock::Semaphore;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Far fewer than the threads that may block.
const FETCHES_MAX: usize = 128;

/// A task that is known and not forgotten.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) directory: TaskDirectory,
    pub(super) report: TaskReport,
    /// Since when it should be dead.
    pub(super) killed_at: Option<Instant>,
    /// Since when and why it has to fail.
    pub(super) failed: Option<(Instant, String)>,
    /// Wakes the fiber that watches it.
    pub(super) wake: Sender<()>,
}

/// All of a host.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: HostConfig,
    pub(super) agent_id: AgentId,
    pub(super) tasks_dir: PathBuf,
    pub(super) limiter: Limiter,
    /// How many tasks may fetch at once: each takes a thread.
    pub(super) fetches: Arc<Semaphore>,
    /// Fetched files, if they are kept for other tasks.
    pub(super) cache: Option<Arc<Cache>>,
    /// Of those that are for a task the first runs it.
    pub(super) runtimes: Vec<Box<dyn ContainerRuntime>>,
    tasks: Mutex<BTreeMap<TaskId, Entry>>,
    pub(super) ended: Mutex<EndedLog>,
    pub(super) ballot: Mutex<u64>,
    reports: Sender<TaskReport>,
    /// Directories that were given up since the fiber that removes old ones looked last.
    pub(super) forgotten: Mutex<Kept>,
    /// Wakes that fiber.
    pub(super) sweep: Sender<()>,
    /// Locked as long as the host is open.
    _lock: File,
}

/// What a host starts from.
pub(super) struct Opened {
    pub(super) config: HostConfig,
    pub(super) agent_id: AgentId,
    pub(super) tasks_dir: PathBuf,
    pub(super) ended: EndedLog,
    pub(super) ballot: u64,
    pub(super) lock: File,
}

/// A poisoned lock is only left by a fiber that panicked, and that ends the program.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Without a cache everything works, only slower.
fn open_cache(config: &HostConfig, agent: &AgentId) -> Option<Arc<Cache>> {
    if config.fetch_cache_bytes == 0 {
        return None;
    }
    let own = || config.work_dir.join("fetched");
    let directory = config.fetch_cache_dir.clone().unwrap_or_else(own);
    match Cache::open(&directory, agent.as_str(), config.fetch_cache_bytes) {
        Ok(cache) => Some(Arc::new(cache)),
        Err(error) => {
            let directory = directory.display();
            log::error!(
                "fetched files are not kept for other tasks: {directory}: {error}; -fetcher_cache_dir names \
                 another directory"
            );
            None
        }
    }
}

impl Shared {
    pub(super) fn new(opened: Opened, reports: Sender<TaskReport>, sweep: Sender<()>) -> Self {
        let limiter = Limiter::open(opened.config.limits.clone(), opened.agent_id.as_str());
        let machine = Machine {
            executor: opened.config.executor_path.clone(),
        };
        Self {
            limiter,
            fetches: Arc::new(Semaphore::new(FETCHES_MAX)),
            cache: open_cache(&opened.config, &opened.agent_id),
            runtimes: vec![Box::new(machine)],
            config: opened.config,
            agent_id: opened.agent_id,
            tasks_dir: opened.tasks_dir,
            tasks: Mutex::new(BTreeMap::new()),
            ended: Mutex::new(opened.ended),
            ballot: Mutex::new(opened.ballot),
            reports,
            forgotten: Mutex::new(Kept::new()),
            sweep,
            _lock: opened.lock,
        }
    }

    /// Enters a task that is not known yet. Gives what wakes its fiber; none if it is known.
    pub(super) fn enter(
        &self,
        task: &TaskId,
        directory: &TaskDirectory,
        at: Timestamp,
    ) -> Option<Receiver<()>> {
        let mut tasks = lock(&self.tasks);
        if tasks.contains_key(task) {
            return None;
        }
        let (wake, woken) = async_channel::bounded(1);
        let report = TaskReport {
            task: task.clone(),
            sequence: 0,
            state: TaskState::Starting,
            message: None,
            at,
        };
        let entry = Entry {
            directory: directory.clone(),
            report,
            killed_at: None,
            failed: None,
            wake,
        };
        tasks.insert(task.clone(), entry);
        Some(woken)
    }

    pub(super) fn remove(&self, task: &TaskId) {
        lock(&self.tasks).remove(task);
    }

    /// Looks at or changes the entry of a task.
    pub(super) fn with<T>(&self, task: &TaskId, look: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        lock(&self.tasks).get_mut(task).map(look)
    }

    pub(super) fn all_reports(&self) -> Vec<TaskReport> {
        let tasks = lock(&self.tasks);
        tasks.values().map(|entry| entry.report.clone()).collect()
    }

    /// Takes a report into the table, without telling anybody. Gives whether it is news.
    pub(super) fn enter_report(&self, report: &TaskReport) -> bool {
        let news = |entry: &mut Entry| {
            let is_news = report.sequence > entry.report.sequence;
            if is_news {
                entry.report = report.clone();
            }
            is_news
        };
        self.with(&report.task, news).unwrap_or(false)
    }

    /// Takes a report into the table and tells it.
    pub(super) async fn publish(&self, report: TaskReport) {
        if self.enter_report(&report) {
            // Without a receiver the agent is going down; the table of the next one has the report.
            drop(self.reports.send(report).await);
        }
    }
}
