//! What others hold of the scheduler: commands in, committed tables and the published view out.

use super::admin::AdminCommand;
use super::run::Reader;
use crate::base::clock::{self, Instant};
use crate::base::frame;
use crate::base::stats::{self, Sliding};
use crate::model::{
    AgentId, AgentSession, Attribute, InstanceId, JobConfiguration, JobKey, MaintenanceMode, Ports,
    Resources, ScheduledTask, TaskConfig, TaskId,
};
use crate::storage::Tables;
use async_channel::{Receiver, Sender, TrySendError, bounded};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use thiserror::Error;

pub use crate::storage::{Reply, ReplyCode};

use super::update::UpdateCommand;

/// A change that someone asks for. It has been validated as far as it can be without the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// More instances of a job, alike to one it has.
    AddInstances {
        /// The job.
        job: JobKey,
        /// The instance to copy.
        instance: InstanceId,
        /// How many; refused unless positive.
        count: i32,
        /// Who asks.
        user: String,
    },
    /// A new job that is no cron job.
    CreateJob {
        /// The job.
        job: JobConfiguration,
        /// Who asks.
        user: String,
    },
    /// Forgets a cron job; what runs of it goes on.
    DescheduleCronJob {
        /// The job.
        job: JobKey,
        /// Who asks.
        user: String,
    },
    /// Kills instances of a job.
    KillTasks {
        /// The job.
        job: JobKey,
        /// Which instances; empty for all.
        instances: BTreeSet<InstanceId>,
        /// Why, for the tasks' history.
        message: Option<String>,
        /// Who asks.
        user: String,
    },
    /// Kills instances so that they run again.
    RestartShards {
        /// The job.
        job: JobKey,
        /// Which instances; never empty.
        shards: BTreeSet<InstanceId>,
        /// Who asks.
        user: String,
    },
    /// An operator's order.
    Admin(AdminCommand),
    /// Starts or changes a job update.
    Update(UpdateCommand),
    /// A cron job, new or in the place of the one of its key.
    ScheduleCronJob {
        /// The job.
        job: JobConfiguration,
        /// Refused if there is no such cron job yet.
        replace: bool,
        /// Who asks.
        user: String,
    },
    /// Runs a cron job now.
    StartCronJob {
        /// The job.
        job: JobKey,
        /// Who asks.
        user: String,
    },
}

/// The tables cannot be read: not recovered yet, not leading, or stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("Storage is not READY")]
pub struct NotReady;

/// Why a command has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// Nothing was done: too many commands wait.
    #[error("too many requests wait")]
    Busy,
    /// Nothing was done: not recovered yet, not leading, or stopped.
    #[error("Storage is not READY")]
    NotReady,
    /// The command may or may not have been done.
    #[error("outcome unknown")]
    Unknown,
}

/// Where the scheduler is in its life, by upstream's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lifecycle {
    /// Leads and schedules.
    Active,
    /// Ends.
    Dead,
    /// Not begun.
    #[default]
    Idle,
    /// Leads, and waits for machines or a master.
    LeaderAwaitingRegistration,
    /// Opens its log.
    PreparingStorage,
    /// Its log is open; it waits to lead.
    StoragePrepared,
}

impl Lifecycle {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 6] = [
        Self::Idle,
        Self::PreparingStorage,
        Self::StoragePrepared,
        Self::LeaderAwaitingRegistration,
        Self::Active,
        Self::Dead,
    ];

    /// The name in upper case, as in `scheduler_lifecycle_<name>`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Dead => "DEAD",
            Self::Idle => "IDLE",
            Self::LeaderAwaitingRegistration => "LEADER_AWAITING_REGISTRATION",
            Self::PreparingStorage => "PREPARING_STORAGE",
            Self::StoragePrepared => "STORAGE_PREPARED",
        }
    }
}

impl fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Tasks of one description that wait for a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingGroup {
    /// What they run.
    pub config: Arc<TaskConfig>,
    /// The tasks, first to be placed first.
    pub tasks: Vec<TaskId>,
    /// The pause before the next attempt.
    pub penalty: Duration,
    /// Why the machine that came nearest does not do; empty when none was tried.
    pub reasons: Vec<String>,
}

/// A machine as the scheduler sees it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentView {
    /// The agent.
    pub agent: AgentId,
    /// Its present run.
    pub session: AgentSession,
    /// The machine's name.
    pub host: String,
    /// Whether it is connected.
    pub connected: bool,
    /// Its properties.
    pub attributes: Vec<Attribute>,
    /// How far it is out of service.
    pub mode: MaintenanceMode,
    /// All it gives to tasks.
    pub total: Resources,
    /// The ports it gives out, taken ones included.
    pub ports: Ports,
    /// What is left of it, executors subtracted.
    pub free: Resources,
    /// What is left beside it of what the machine may take back.
    pub revocable: Resources,
}

/// The replica of a program that cannot read what the log holds: it accepts, and does not apply or lead.
pub const OUTDATED: &str = "OUTDATED";

/// What pages and variables show of the scheduler. Published anew a few times a second at most.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Where it is in its life.
    pub lifecycle: Lifecycle,
    /// The state of the log's replica, such as `EMPTY` or `VOTING`; [`OUTDATED`] if a newer program has
    /// written the log.
    pub replica: &'static str,
    /// The leader's `host:port` for clients, if one is known.
    pub leader: Option<String>,
    /// Tasks that wait for a machine.
    pub pending: Vec<PendingGroup>,
    /// The machines that were ever seen by this leader.
    pub agents: Vec<AgentView>,
    /// Tasks that run, with their agents, and that a log without any job does not know.
    pub held: BTreeMap<TaskId, AgentId>,
    /// Counters and gauges by upstream's names.
    pub counters: BTreeMap<String, i64>,
}

impl View {
    /// Why a pending task waits: the reasons joined by commas, empty when none is known.
    ///
    /// Looks at all groups; who asks for many tasks asks [`View::pending_reasons`].
    pub fn pending_reason(&self, task: &ScheduledTask) -> String {
        reason(self.pending.iter(), task)
    }

    /// The same for the tasks of any number of jobs.
    pub fn pending_reasons(&self) -> PendingReasons<'_> {
        let mut by_job: BTreeMap<&JobKey, Vec<&PendingGroup>> = BTreeMap::new();
        for group in &self.pending {
            by_job.entry(&group.config.job).or_default().push(group);
        }
        PendingReasons(by_job)
    }
}

/// Why pending tasks wait, by job.
#[derive(Debug)]
pub struct PendingReasons<'a>(BTreeMap<&'a JobKey, Vec<&'a PendingGroup>>);

impl PendingReasons<'_> {
    /// What [`View::pending_reason`] says of a task.
    pub fn of(&self, task: &ScheduledTask) -> String {
        let groups = self.0.get(task.job());
        reason(groups.into_iter().flatten().copied(), task)
    }
}

fn reason<'a>(mut groups: impl Iterator<Item = &'a PendingGroup>, task: &ScheduledTask) -> String {
    let group = groups
        .find(|group| Arc::ptr_eq(&group.config, &task.config) || group.config == task.config);
    group.map(|g| g.reasons.join(",")).unwrap_or_default()
}

/// A request as the engine knows it: the id that its sender gave it and a digest of what it asks for, so
/// that a repeat is told from another request under the same id.
pub fn request_of(id: &str, content: &[u8]) -> String {
    format!("{id} {:08x}", frame::checksum(content))
}

/// The id in what [`request_of`] gave, with the space behind it; the rest is the digest.
pub(super) fn id_of(request: &str) -> Option<&str> {
    request.rfind(' ').map(|space| &request[..=space])
}

/// A command on its way to the engine.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) request: Option<String>,
    pub(super) command: Command,
    /// When it was handed in.
    pub(super) at: Instant,
    /// Closed without a reply: the outcome is unknown.
    pub(super) reply: Sender<Result<Reply, SubmitError>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<Published>,
    /// The loop's last turn, in nanoseconds of the monotonic clock.
    turned: AtomicU64,
}

#[derive(Debug)]
struct Published {
    tables: Arc<Tables>,
    ready: bool,
    view: Arc<View>,
}

/// What others hold of the scheduler. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    /// Boxed, as the queue keeps its whole length in memory from the start.
    commands: Sender<Box<Submission>>,
    reads: Sender<Reader>,
    /// Whether nobody else could lead, by the log's newest word.
    is_alone: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

/// Where the handle's questions arrive.
#[derive(Debug)]
pub(super) struct Arrivals {
    pub(super) commands: Receiver<Box<Submission>>,
    pub(super) reads: Receiver<Reader>,
}

impl Handle {
    /// The committed tables as they are now; empty before the log was read. Weakly consistent.
    pub fn tables(&self) -> Arc<Tables> {
        Arc::clone(&self.lock().tables)
    }

    /// Committed tables that are not older than this call. In an ensemble they wait for a round that
    /// confirms that this scheduler still leads.
    ///
    /// # Errors
    ///
    /// Before the scheduler leads with all of its log read, and after it stopped.
    pub async fn read(&self) -> Result<Arc<Tables>, NotReady> {
        static TIMED: OnceLock<Sliding> = OnceLock::new();
        let timed =
            TIMED.get_or_init(|| stats::global().sliding("mem_storage_read_operation", "nanos"));
        let start = clock::now();
        let read = self.read_confirmed().await;
        timed.record_nanos(clock::now().since(start));
        read
    }

    async fn read_confirmed(&self) -> Result<Arc<Tables>, NotReady> {
        // Nobody else can lead: what is committed here is all there is.
        let is_alone = (self.is_alone)();
        {
            let state = self.lock();
            match state.ready {
                true if is_alone => return Ok(Arc::clone(&state.tables)),
                true => {}
                false => return Err(NotReady),
            }
        }
        let (reader, answer) = bounded(1);
        if self.reads.send(reader).await.is_err() {
            return Err(NotReady);
        }
        answer.recv().await.unwrap_or(Err(NotReady))
    }

    /// Runs a command in one step. The reply comes only when its changes are learned by the log.
    ///
    /// A repeat of a `request_id`, as [`request_of`] gives it, within 15 minutes gets the first reply and
    /// does nothing. Another request under the same id is refused.
    ///
    /// # Errors
    ///
    /// See [`SubmitError`]: nothing was done, except for [`SubmitError::Unknown`].
    ///
    /// # Cancellation
    ///
    /// The command is carried out even if the caller goes away.
    pub async fn submit(
        &self,
        request_id: Option<String>,
        command: Command,
    ) -> Result<Reply, SubmitError> {
        let ready = self.lock().ready;
        if !ready {
            return Err(SubmitError::NotReady);
        }
        let (reply, answer) = bounded(1);
        let submission = Submission {
            request: request_id,
            command,
            at: clock::now(),
            reply,
        };
        match self.commands.try_send(Box::new(submission)) {
            Ok(()) => answer.recv().await.unwrap_or(Err(SubmitError::Unknown)),
            Err(TrySendError::Full(_)) => Err(SubmitError::Busy),
            Err(TrySendError::Closed(_)) => Err(SubmitError::NotReady),
        }
    }

    /// What pages and variables show.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.lock().view)
    }

    /// When the scheduler's loop last turned. It turns at least once a second unless it is stuck.
    pub fn last_turn(&self) -> Instant {
        Instant::from_nanos(self.shared.turned.load(Ordering::Relaxed))
    }

    /// A handle, and where its questions arrive.
    pub(super) fn new(
        queue: usize,
        is_alone: impl Fn() -> bool + Send + Sync + 'static,
    ) -> (Self, Arrivals) {
        let (commands, submissions) = bounded(queue);
        let (reads, readers) = bounded(queue);
        let shared = Arc::new(Shared {
            state: Mutex::new(Published {
                tables: Arc::default(),
                ready: false,
                view: Arc::default(),
            }),
            turned: AtomicU64::new(0),
        });
        let handle = Self {
            shared,
            commands,
            reads,
            is_alone: Arc::new(is_alone),
        };
        let arrivals = Arrivals {
            commands: submissions,
            reads: readers,
        };
        (handle, arrivals)
    }

    pub(super) fn publish_tables(&self, tables: Arc<Tables>) {
        // Dropped when the lock is given back: what is only in the old ones takes its time to go.
        let old = std::mem::replace(&mut self.lock().tables, tables);
        drop(old);
    }

    pub(super) fn publish_view(&self, view: View) {
        let old = std::mem::replace(&mut self.lock().view, Arc::new(view));
        drop(old);
    }

    pub(super) fn set_ready(&self, ready: bool) {
        self.lock().ready = ready;
    }

    pub(super) fn turned(&self, now: Instant) {
        self.shared.turned.store(now.as_nanos(), Ordering::Relaxed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Published> {
        // Nothing in here panics halfway through a change.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Handle {
    /// For tests of those who hold handles: a scheduler whose storage is not ready.
    pub fn unready() -> Self {
        Self::new(1, || true).0
    }

    /// For tests of those who hold handles: as if the loop had turned at this time.
    pub fn turn_for_test(&self, now: Instant) {
        self.turned(now);
    }

    /// For tests of the loop: a command in its queue, whatever its state.
    ///
    /// False if the queue is closed.
    pub(super) fn force(&self, submission: Submission) -> bool {
        self.commands.try_send(Box::new(submission)).is_ok()
    }

    /// For tests of the loop: a read in its queue, whatever its state. False if the queue is closed.
    pub(super) fn force_read(&self, reader: Reader) -> bool {
        self.reads.try_send(reader).is_ok()
    }

    /// For tests of those who hold handles: fixed tables and view, and `answer` instead of an engine.
    pub fn scripted(
        tables: Tables,
        view: View,
        answer: impl Fn(Option<String>, Command) -> Result<Reply, SubmitError> + Send + 'static,
    ) -> Self {
        let (handle, Arrivals { commands, .. }) = Self::new(16, || true);
        handle.publish_tables(Arc::new(tables));
        handle.publish_view(view);
        handle.set_ready(true);
        let fiber = crate::rt::spawn("scripted scheduler", async move {
            while let Ok(submission) = commands.recv().await {
                let result = answer(submission.request, submission.command);
                submission.reply.send(result).await.unwrap();
            }
        });
        fiber.detach();
        handle
    }
}
