//! The host itself: opening a work directory and the calls of the agent's session.

use super::config::HostConfig;
use super::directory::{History, TaskDirectory, to_report};
use super::ended::EndedLog;
use super::error::{HostError, LaunchError, UnknownTask};
use super::identity::{self, file_error};
use super::sandboxes::{self, Kept};
use super::shared::{Opened, Shared, lock};
use super::watch::Watch;
use super::{durable, launch, limits};
use crate::base::clock::{self, Timestamp};
use crate::executor::checkpoint::TaskRecord;
use crate::model::{AgentId, LaunchOrder, TaskId, TaskReport, TaskState};
use crate::rt::{self, Fiber};
use async_channel::{Receiver, Sender};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Reports that wait for the session.
const REPORTS_MAX: usize = 1_024;
/// The lock of an agent that was just killed may be held a moment longer by a child that it was about to
/// make; so often, and so long between, it is tried.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Starts, adopts, watches and ends executors. Cheap to clone; all clones are one host.
#[derive(Clone, Debug)]
pub struct TaskHost {
    shared: Arc<Shared>,
    /// Not in `shared`, which they hold: they end with the last clone of the host.
    fibers: Arc<Mutex<BTreeMap<TaskId, Fiber<()>>>>,
}

fn open_lock(path: &Path) -> Result<File, HostError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.mode(0o600).open(path).map_err(file_error(path))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(file_error(path)(error)),
        }
    }
    Err(HostError::InUse(path.to_owned()))
}

fn create_directory(path: &Path, mode: u32) -> Result<(), HostError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(mode);
    builder.create(path).map_err(file_error(path))
}

impl TaskHost {
    /// Opens the work directory and adopts every executor that is still there.
    ///
    /// The receiver gives every new report of every task and must be drained. Reports that were made
    /// before are in [`TaskHost::reports`]. Blocks for as long as it takes to read the directories.
    ///
    /// # Errors
    ///
    /// A work directory that cannot be used, or is used by another agent.
    pub fn open(config: HostConfig) -> Result<(Self, Receiver<TaskReport>), HostError> {
        create_directory(&config.work_dir, 0o755)?;
        let work_dir = fs::canonicalize(&config.work_dir).map_err(file_error(&config.work_dir))?;
        let lock = open_lock(&work_dir.join("lock"))?;
        let tasks_dir = work_dir.join("tasks");
        create_directory(&tasks_dir, 0o711)?;
        durable::sync_directory(&work_dir).map_err(file_error(&work_dir))?;
        let opened = Opened {
            agent_id: identity::open_agent_id(&work_dir)?,
            ended: EndedLog::open(&work_dir).map_err(file_error(&work_dir))?,
            ballot: identity::read_fence(&work_dir)?,
            config: HostConfig { work_dir, ..config },
            tasks_dir,
            lock,
        };
        if !nix::unistd::Uid::effective().is_root() {
            log::info!("the agent is not root: all tasks run as its own user, whatever their role");
        }
        let (sender, reports) = async_channel::bounded(REPORTS_MAX);
        let (sweep, swept) = async_channel::bounded(1);
        let shared = Arc::new(Shared::new(opened, sender, sweep));
        let fibers = Arc::new(Mutex::new(BTreeMap::new()));
        let host = Self { shared, fibers };
        let kept = host.adopt_all()?;
        let weak = Arc::downgrade(&host.shared);
        rt::spawn("sandboxes", sandboxes::run(weak, swept, kept)).detach();
        host.watch_limits();
        Ok((host, reports))
    }

    fn watch_limits(&self) {
        let config = &self.shared.config.limits;
        let weak = || Arc::downgrade(&self.shared);
        let memory = limits::watch_memory(weak(), config.memory_interval);
        rt::spawn("memory", memory).detach();
        rt::spawn("disk", limits::watch_disk(weak(), config.disk_interval)).detach();
        rt::spawn("strays", limits::remove_strays(self.shared.clone())).detach();
    }

    /// Looks at every task's directory. Gives those of tasks that are over.
    fn adopt_all(&self) -> Result<Kept, HostError> {
        let tasks_dir = &self.shared.tasks_dir;
        let mut kept = Kept::new();
        for entry in fs::read_dir(tasks_dir).map_err(file_error(tasks_dir))? {
            let path = entry.map_err(file_error(tasks_dir))?.path();
            if let Some(at) = self.adopt(&path).map_err(file_error(&path))? {
                kept.insert((at, path));
            }
        }
        let adopted = self.shared.all_reports().len();
        if adopted > 0 {
            log::info!("{adopted} tasks found in {}", tasks_dir.display());
        }
        Ok(kept)
    }

    /// Takes up one directory. Gives when its task ended if that is over.
    fn adopt(&self, path: &Path) -> io::Result<Option<Timestamp>> {
        let directory = TaskDirectory::at(path.to_owned());
        let order = directory.read_order()?;
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let mut history = History::default();
        let states = directory.read_history(&mut history)?;
        // An executor that began has read its order: whoever cannot read it need not.
        let began = history.header.as_ref().map(|header| header.task.as_str());
        let ordered = order.as_ref().map(|order| order.task.as_str());
        let task = TaskId::new(ordered.or(began).unwrap_or(name));
        if let Some(at) = lock(&self.shared.ended).ended_at(&task) {
            return Ok(Some(at));
        }
        let verdict = directory.read_verdict()?;
        if ordered.or(began).is_none() && verdict.is_none() {
            if directory.has_order() {
                log::error!(
                    "the order in {} is damaged: the task is lost",
                    path.display()
                );
                let record =
                    directory.store_verdict(None, TaskState::Lost, "Its order is damaged.")?;
                self.enter(&task, &directory, Some(&record));
                return Ok(None);
            }
            // The agent ended before it had taken the task: nobody was told that it had. Removed before any
            // order can come, which may well be for the same task.
            directory.remove()?;
            return Ok(None);
        }
        let last = verdict.as_ref().or(states.last());
        let is_over = last.is_some_and(|last| to_report(&task, last).state.is_terminal());
        let Some(woken) = self.enter(&task, &directory, last) else {
            log::error!("{} is a second directory of task {task}", path.display());
            return Ok(None);
        };
        if !is_over {
            if let Some(order) = &order {
                let sandbox = directory.sandbox();
                self.shared.limiter.begin(&task, order, &sandbox);
            }
            let flags = order.map(|order| order.flags).unwrap_or_default();
            let stop_timeout = launch::stop_timeout(&flags);
            self.watch(task, directory, woken, history, stop_timeout);
        }
        Ok(None)
    }

    fn enter(
        &self,
        task: &TaskId,
        directory: &TaskDirectory,
        last: Option<&TaskRecord>,
    ) -> Option<Receiver<()>> {
        let woken = self.shared.enter(task, directory, clock::wall())?;
        if let Some(last) = last {
            self.shared.enter_report(&to_report(task, last));
        }
        Some(woken)
    }

    fn watch(
        &self,
        task: TaskId,
        directory: TaskDirectory,
        woken: Receiver<()>,
        history: History,
        stop_timeout: Option<Duration>,
    ) {
        let watch = Watch {
            shared: self.shared.clone(),
            task: task.clone(),
            directory,
            woken,
            history,
            stop_timeout,
        };
        lock(&self.fibers).insert(task, rt::spawn("task", watch.run()));
    }

    /// The name of this agent, made once and kept in the work directory.
    pub fn agent_id(&self) -> AgentId {
        self.shared.agent_id.clone()
    }

    /// Takes a task: written down durably first, then started. A task that is already here is left alone.
    ///
    /// What goes wrong after it was written down is a report (FAILED or LOST), not an error. So is a role
    /// that may not run tasks here.
    ///
    /// # Errors
    ///
    /// Nothing was started and nothing will be.
    ///
    /// # Cancellation
    ///
    /// The task may or may not be taken.
    pub async fn launch(&self, order: LaunchOrder) -> Result<(), LaunchError> {
        let task = order.task.clone();
        if !task.is_path_safe() {
            return Err(LaunchError::UnsafeId(task));
        }
        if lock(&self.shared.ended).ended_at(&task).is_some() {
            return Err(LaunchError::Ended(task));
        }
        let directory = TaskDirectory::of(&self.shared.tasks_dir, &task);
        let Some(woken) = self.shared.enter(&task, &directory, clock::wall()) else {
            return Ok(());
        };
        let (done, result) = async_channel::bounded(1);
        let host = self.clone();
        // In a fiber of its own, so that a caller who goes away does not leave half a launch.
        rt::spawn("launch", async move {
            let taken = host.take(order, directory, woken).await;
            drop(done.send(taken).await);
        })
        .detach();
        match result.recv().await {
            Ok(taken) => taken.map_err(|source| LaunchError::Storage { task, source }),
            Err(_) => Err(LaunchError::Storage {
                task,
                source: io::Error::from(io::ErrorKind::Interrupted),
            }),
        }
    }

    async fn take(
        &self,
        order: LaunchOrder,
        directory: TaskDirectory,
        woken: Receiver<()>,
    ) -> io::Result<()> {
        let task = order.task.clone();
        let stop_timeout = launch::stop_timeout(&order.setup.flags);
        let (shared, place) = (self.shared.clone(), directory.clone());
        match rt::unblock(move || launch::store(&shared, &place, &order)).await {
            Ok(None) => {
                self.watch(task, directory, woken, History::default(), stop_timeout);
                Ok(())
            }
            Ok(Some(verdict)) => {
                self.shared.publish(to_report(&task, &verdict)).await;
                Ok(())
            }
            Err(error) => {
                self.shared.remove(&task);
                Err(error)
            }
        }
    }

    /// Ends a task. Harmless if it is being ended or has ended; its end is a report.
    ///
    /// # Errors
    ///
    /// The task is not known here.
    pub async fn kill(&self, task: &TaskId) -> Result<(), UnknownTask> {
        let wake = self.shared.with(task, |entry| {
            entry.killed_at.get_or_insert_with(clock::now);
            entry.wake.clone()
        });
        let wake: Sender<()> = wake.ok_or_else(|| UnknownTask(task.clone()))?;
        // A full channel wakes too; a closed one belongs to a task that has ended.
        wake.try_send(()).unwrap_or_default();
        Ok(())
    }

    /// The latest report of every task that is known and not yet forgotten.
    ///
    /// A task that was taken and has not reported yet is `Starting` with sequence 0.
    pub fn reports(&self) -> Vec<TaskReport> {
        self.shared.all_reports()
    }

    /// A report was stored by the scheduler. A task whose end was acknowledged is forgotten: its id is
    /// remembered as ended, its sandbox is kept for a while. Anything else changes nothing.
    pub async fn acknowledge(&self, task: &TaskId, sequence: u64) {
        let due = self.shared.with(task, |entry| {
            let is_end = entry.report.state.is_terminal() && entry.report.sequence == sequence;
            is_end.then(|| entry.directory.path().to_owned())
        });
        let Some(Some(path)) = due else {
            return;
        };
        let (shared, ended) = (self.shared.clone(), task.clone());
        let remembered = rt::unblock(move || {
            let at = clock::wall();
            lock(&shared.ended).append(&ended, at).map(|()| at)
        });
        match remembered.await {
            Ok(at) => self.forget(task, at, path),
            // It stays known, is reported again, and can be acknowledged again.
            Err(error) => log::warn!("task {task}: cannot remember that it ended: {error}"),
        }
    }

    fn forget(&self, task: &TaskId, at: Timestamp, path: PathBuf) {
        self.shared.remove(task);
        lock(&self.fibers).remove(task);
        lock(&self.shared.forgotten).insert((at, path));
        // A full channel wakes too.
        self.shared.sweep.try_send(()).unwrap_or_default();
    }

    /// The highest ballot of a leader that was stored; zero if none was.
    pub fn highest_ballot(&self) -> u64 {
        *lock(&self.shared.ballot)
    }

    /// Stores the ballot of a leader durably, if it is higher than the one stored.
    ///
    /// # Errors
    ///
    /// The file cannot be written: the order that came with it must not be obeyed.
    pub async fn store_ballot(&self, ballot: u64) -> Result<(), HostError> {
        let shared = self.shared.clone();
        rt::unblock(move || {
            let mut highest = lock(&shared.ballot);
            if ballot > *highest {
                identity::write_fence(&shared.config.work_dir, ballot)?;
                *highest = ballot;
            }
            Ok(())
        })
        .await
    }
}
