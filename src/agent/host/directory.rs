//! The directory of one task, and what can be told from it.

use super::durable;
use crate::base::clock::{self, Timestamp};
use crate::executor::checkpoint::{self, Header, ProcessEvent, Record, Tail, TaskRecord};
use crate::executor::order::{Identity, Order};
use crate::executor::{os::proc, paths, states};
use crate::model::{TaskId, TaskReport, TaskState};
use nix::unistd::{Gid, Uid, chown};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The number of a verdict is so far above the last one read: the executor may have sent some that a loss
/// of power took.
const VERDICT_DISTANCE: u64 = 1_000;
/// What file systems allow.
const NAME_BYTES_MAX: usize = 255;

/// Where a task lives.
#[derive(Clone, Debug)]
pub(in crate::agent) struct TaskDirectory {
    path: PathBuf,
}

/// What is known of a task from its checkpoint.
#[derive(Debug, Default)]
pub(super) struct History {
    tail: Tail,
    pub(super) header: Option<Header>,
    pub(super) last: Option<TaskRecord>,
    /// Shells whose end is not recorded, and when they started.
    running: BTreeMap<(String, u32), (i32, u64)>,
}

impl History {
    /// The sessions that may still run.
    pub(super) fn sessions(&self) -> BTreeMap<i32, u64> {
        self.running.values().copied().collect()
    }

    fn apply(&mut self, record: Record) -> Option<TaskRecord> {
        match record {
            Record::Header(header) => self.header = Some(header),
            Record::Process(process) => {
                let run = (process.process, process.run);
                match process.event {
                    ProcessEvent::Running { pid, start_ticks } => {
                        self.running.insert(run, (pid, start_ticks));
                    }
                    // Children of an ended shell may be there still: the session stays known.
                    ProcessEvent::Failed { .. }
                    | ProcessEvent::Killed { .. }
                    | ProcessEvent::NotStarted { .. }
                    | ProcessEvent::Success => {}
                }
            }
            Record::Task(task) => {
                self.last = Some(task.clone());
                return Some(task);
            }
        }
        None
    }
}

/// The report that a record makes.
pub(super) fn to_report(task: &TaskId, record: &TaskRecord) -> TaskReport {
    TaskReport {
        task: task.clone(),
        sequence: record.sequence,
        state: states::from_record(record.state),
        message: record.message.clone(),
        at: Timestamp(record.at_ms),
    }
}

/// The directory's name: the id, or for an id that is too long its ends. The middle of a long id is the
/// job's name; its own end is unique. `~` is in no id.
fn name_of(task: &TaskId) -> String {
    let id = task.as_str();
    if id.len() <= NAME_BYTES_MAX {
        return id.to_owned();
    }
    format!("{}~{}", &id[..150], &id[id.len() - 100..])
}

impl TaskDirectory {
    /// Of a task whose id is path safe.
    pub(in crate::agent) fn of(tasks: &Path, task: &TaskId) -> Self {
        Self {
            path: tasks.join(name_of(task)),
        }
    }

    /// Of an entry of the directory of tasks.
    pub(in crate::agent) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    pub(in crate::agent) fn path(&self) -> &Path {
        &self.path
    }

    pub(in crate::agent) fn sandbox(&self) -> PathBuf {
        self.path.join(paths::SANDBOX)
    }

    /// Makes the directory and, for `identity`, the sandbox.
    ///
    /// Others may pass through to the sandbox; they can read nothing else.
    pub(super) fn create(&self, identity: Option<&Identity>) -> io::Result<()> {
        match DirBuilder::new().mode(0o711).create(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        fs::set_permissions(&self.path, Permissions::from_mode(0o711))?;
        let Some(identity) = identity else {
            return Ok(());
        };
        let sandbox = self.sandbox();
        DirBuilder::new().mode(0o700).create(&sandbox)?;
        fs::set_permissions(&sandbox, Permissions::from_mode(0o700))?;
        if identity.is_switched {
            let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
            chown(&sandbox, Some(uid), Some(gid))?;
        }
        Ok(())
    }

    /// Writes the order. From here on the task will be started, or a verdict says why not.
    pub(super) fn store_order(&self, order: &Order) -> io::Result<()> {
        // Made here, so that the one sync of the directory serves the executor too.
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        options.open(self.path.join(paths::CHECKPOINT))?;
        durable::write(&self.path, paths::ORDER, &order.encode())?;
        match self.path.parent() {
            Some(parent) => durable::sync_directory(parent),
            None => Ok(()),
        }
    }

    /// Removes all, the order first, so that nothing is started from what is left.
    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_file(self.path.join(paths::ORDER)) {
            Ok(()) => durable::sync_directory(&self.path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    pub(super) fn has_order(&self) -> bool {
        self.path.join(paths::ORDER).exists()
    }

    /// The order; none if it is missing or damaged.
    pub(in crate::agent) fn read_order(&self) -> io::Result<Option<Order>> {
        let bytes = durable::read(&self.path.join(paths::ORDER))?;
        Ok(bytes.and_then(|bytes| Order::decode(&bytes).ok()))
    }

    /// The agent's own last word, if it was spoken.
    pub(in crate::agent) fn read_verdict(&self) -> io::Result<Option<TaskRecord>> {
        let bytes = durable::read(&self.path.join(paths::VERDICT))?.unwrap_or_default();
        Ok(match Record::decode(&bytes, 0) {
            Some((Record::Task(record), _)) => Some(record),
            Some((Record::Header(_) | Record::Process(_), _)) | None => None,
        })
    }

    /// Stores the agent's own last word. Nothing is started in this directory from here on.
    pub(super) fn store_verdict(
        &self,
        last: Option<&TaskRecord>,
        state: TaskState,
        message: &str,
    ) -> io::Result<TaskRecord> {
        let record = TaskRecord {
            sequence: last.map_or(0, |last| last.sequence) + VERDICT_DISTANCE,
            state: states::to_record(state),
            message: Some(checkpoint::cut_message(message)),
            at_ms: clock::wall().as_ms(),
        };
        let mut bytes = Vec::new();
        Record::Task(record.clone()).encode(&mut bytes);
        durable::write(&self.path, paths::VERDICT, &bytes)?;
        if let Some(parent) = self.path.parent() {
            durable::sync_directory(parent)?;
        }
        Ok(record)
    }

    /// The same for a task that was never started. None if an executor came first after all: one that a dead
    /// agent was about to start may begin at any time.
    pub(super) fn store_verdict_unstarted(
        &self,
        state: TaskState,
        message: &str,
    ) -> io::Result<Option<TaskRecord>> {
        // ORDER: under the lock, so that an executor that gets it later finds the verdict.
        let stored = self.while_unstarted(|| self.store_verdict(None, state, message))?;
        stored.transpose()
    }

    /// Runs `work` while no executor can begin; none if one has begun.
    pub(super) fn while_unstarted<T>(&self, work: impl FnOnce() -> T) -> io::Result<Option<T>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let lock = options.mode(0o600).open(self.path.join(paths::LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut history = History::default();
        let states = self.read_history(&mut history);
        let done = states.map(|_| history.header.is_none().then(work));
        lock.unlock()?;
        done
    }

    /// Reads on; gives the states of the task that are new, in order.
    pub(super) fn read_history(&self, history: &mut History) -> io::Result<Vec<TaskRecord>> {
        let file = match File::open(self.path.join(paths::CHECKPOINT)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let records = history.tail.poll(&file)?;
        Ok(records
            .into_iter()
            .filter_map(|it| history.apply(it))
            .collect())
    }

    /// Whether an executor holds the lock. Must not be asked while one is being started.
    pub(super) fn is_executor_alive(&self) -> io::Result<bool> {
        let lock = match File::open(self.path.join(paths::LOCK)) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match lock.try_lock() {
            Ok(()) => {
                // At once and by name: a copy of the descriptor may be in a child that has not yet become
                // another program.
                lock.unlock()?;
                Ok(false)
            }
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Sends SIGKILL to the executor, if it is still the one that wrote the header.
    pub(super) fn kill_executor(&self, header: &Header) -> io::Result<bool> {
        if header.boot_id != proc::boot_id() || !self.is_executor_alive()? {
            return Ok(false);
        }
        let stat = proc::stat(header.pid).filter(|it| it.start_ticks == header.start_ticks);
        Ok(stat.is_some_and(|it| proc::signal(&it, nix::sys::signal::Signal::SIGKILL)))
    }

    /// The executor's own log, for appending.
    pub(super) fn open_journal(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        options.open(self.path.join(paths::JOURNAL))
    }

    /// The last line of the executor's own log.
    pub(super) fn last_words(&self) -> String {
        let journal = fs::read(self.path.join(paths::JOURNAL)).unwrap_or_default();
        let journal = String::from_utf8_lossy(&journal);
        journal.lines().last().unwrap_or_default().to_owned()
    }
}
