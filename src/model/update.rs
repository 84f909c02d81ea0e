//! Job updates: what is asked for, and what becomes of it.

use super::job::JobKey;
use super::task::{InstanceId, Metadata, TaskConfig};
use crate::base::clock::Timestamp;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Names an update for ever. Those of one job stand together in their order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpdateKey {
    /// The job that is updated.
    pub job: JobKey,
    /// Tells the updates of a job apart.
    pub id: Arc<str>,
}

impl fmt::Display for UpdateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.job, self.id)
    }
}

impl fmt::Debug for UpdateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The state of an update, by upstream's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum UpdateStatus {
    /// Instances get the new description.
    RollingForward = 0,
    /// Instances get their former description back.
    RollingBack = 1,
    /// Somebody stopped it on its way forward.
    RollForwardPaused = 2,
    /// Somebody stopped it on its way back.
    RollBackPaused = 3,
    /// Done.
    RolledForward = 4,
    /// Undone.
    RolledBack = 5,
    /// Somebody ended it where it stood.
    Aborted = 6,
    /// Ended for a reason of our own.
    Error = 7,
    /// Too many instances failed.
    Failed = 8,
    /// Nobody vouches for it on its way forward.
    RollForwardAwaitingPulse = 9,
    /// Nobody vouches for it on its way back.
    RollBackAwaitingPulse = 10,
}

impl UpdateStatus {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::RollingForward,
        Self::RollingBack,
        Self::RollForwardPaused,
        Self::RollBackPaused,
        Self::RolledForward,
        Self::RolledBack,
        Self::Aborted,
        Self::Error,
        Self::Failed,
        Self::RollForwardAwaitingPulse,
        Self::RollBackAwaitingPulse,
    ];

    /// The state of this number.
    pub fn from_number(number: i32) -> Option<Self> {
        let index = usize::try_from(number).ok()?;
        Self::ALL.get(index).copied()
    }

    /// Upstream's number.
    pub fn number(self) -> i32 {
        i32::from(self as u8)
    }

    /// The name in upper case.
    pub fn name(self) -> &'static str {
        match self {
            Self::RollingForward => "ROLLING_FORWARD",
            Self::RollingBack => "ROLLING_BACK",
            Self::RollForwardPaused => "ROLL_FORWARD_PAUSED",
            Self::RollBackPaused => "ROLL_BACK_PAUSED",
            Self::RolledForward => "ROLLED_FORWARD",
            Self::RolledBack => "ROLLED_BACK",
            Self::Aborted => "ABORTED",
            Self::Error => "ERROR",
            Self::Failed => "FAILED",
            Self::RollForwardAwaitingPulse => "ROLL_FORWARD_AWAITING_PULSE",
            Self::RollBackAwaitingPulse => "ROLL_BACK_AWAITING_PULSE",
        }
    }

    /// Whether the update may still change its job.
    pub fn is_active(self) -> bool {
        !matches!(
            self,
            Self::RolledForward | Self::RolledBack | Self::Aborted | Self::Error | Self::Failed
        )
    }

    /// Whether instances are being changed.
    pub fn is_rolling(self) -> bool {
        matches!(self, Self::RollingForward | Self::RollingBack)
    }

    /// Whether it waits for somebody to vouch for it.
    pub fn is_awaiting_pulse(self) -> bool {
        matches!(
            self,
            Self::RollForwardAwaitingPulse | Self::RollBackAwaitingPulse
        )
    }

    /// Whether somebody stopped it.
    pub fn is_paused(self) -> bool {
        matches!(self, Self::RollForwardPaused | Self::RollBackPaused)
    }
}

impl fmt::Display for UpdateStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What happened to an instance in an update, by upstream's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum UpdateAction {
    /// It runs the new description and stays up.
    Updated = 1,
    /// It runs its former description and stays up.
    RolledBack = 2,
    /// It is given the new description.
    Updating = 3,
    /// It is given its former description.
    RollingBack = 4,
    /// It failed too often under the new description.
    UpdateFailed = 5,
    /// It failed too often under its former description.
    RollbackFailed = 6,
}

impl UpdateAction {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Updated,
        Self::RolledBack,
        Self::Updating,
        Self::RollingBack,
        Self::UpdateFailed,
        Self::RollbackFailed,
    ];

    /// The action of this number.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.number() == number)
    }

    /// Upstream's number.
    pub fn number(self) -> i32 {
        i32::from(self as u8)
    }

    /// The name in upper case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Updated => "INSTANCE_UPDATED",
            Self::RolledBack => "INSTANCE_ROLLED_BACK",
            Self::Updating => "INSTANCE_UPDATING",
            Self::RollingBack => "INSTANCE_ROLLING_BACK",
            Self::UpdateFailed => "INSTANCE_UPDATE_FAILED",
            Self::RollbackFailed => "INSTANCE_ROLLBACK_FAILED",
        }
    }
}

impl fmt::Display for UpdateAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What became of a pulse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PulseStatus {
    /// The update lives and has heard it.
    Ok,
    /// There is no such update any more, or it needs no pulses.
    Finished,
}

/// Instances from the first to the last, both among them. Never inverted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceRange {
    /// The first.
    pub first: InstanceId,
    /// The last.
    pub last: InstanceId,
}

impl InstanceRange {
    /// The ranges that hold exactly these instances.
    pub fn of(instances: impl IntoIterator<Item = InstanceId>) -> Vec<Self> {
        let all: BTreeSet<InstanceId> = instances.into_iter().collect();
        let mut ranges: Vec<Self> = Vec::new();
        for instance in all {
            match ranges.last_mut() {
                Some(range) if range.last.checked_add(1) == Some(instance) => range.last = instance,
                _ => ranges.push(Self {
                    first: instance,
                    last: instance,
                }),
            }
        }
        ranges
    }

    /// How many instances it holds.
    pub fn count(&self) -> u64 {
        u64::from(self.last) - u64::from(self.first) + 1
    }

    /// Whether it holds this instance.
    pub fn contains(&self, instance: InstanceId) -> bool {
        (self.first..=self.last).contains(&instance)
    }

    /// Its instances, in order.
    pub fn instances(self) -> impl Iterator<Item = InstanceId> {
        self.first..=self.last
    }
}

/// Instances and what they run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceConfig {
    /// What they run.
    pub config: Arc<TaskConfig>,
    /// Which ones; never empty.
    pub instances: Vec<InstanceRange>,
}

impl InstanceConfig {
    /// How many instances they are.
    pub fn count(&self) -> u32 {
        let count: u64 = self.instances.iter().map(InstanceRange::count).sum();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Whether this instance is among them.
    pub fn contains(&self, instance: InstanceId) -> bool {
        self.instances.iter().any(|range| range.contains(instance))
    }

    /// Its instances.
    pub fn instances(&self) -> impl Iterator<Item = InstanceId> + '_ {
        self.instances.iter().flat_map(|range| range.instances())
    }
}

/// In which portions instances are updated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UpdateStrategy {
    /// One batch after the other.
    Batch {
        /// Instances per batch.
        group_size: i32,
        /// Whether somebody must let each further batch go.
        autopause: bool,
    },
    /// So many at any time.
    Queue {
        /// Instances at a time.
        group_size: i32,
    },
    /// Batches of different sizes; the last one repeats.
    VariableBatch {
        /// Instances of each batch.
        group_sizes: Vec<i32>,
        /// Whether somebody must let each further batch go.
        autopause: bool,
    },
}

/// How an update proceeds and when it gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateSettings {
    /// In which portions.
    pub strategy: UpdateStrategy,
    /// How often an instance may fail before it counts as failed.
    pub max_per_instance_failures: i32,
    /// How many instances may fail before the update fails.
    pub max_failed_instances: i32,
    /// How long an instance must stay up, in milliseconds.
    pub min_wait_in_running_ms: i32,
    /// Whether an update that fails is undone.
    pub rollback_on_failure: bool,
    /// The only instances it may touch; all if empty.
    pub only: Vec<InstanceRange>,
    /// Somebody must vouch for it this often, in milliseconds; not positive: nobody need.
    pub block_if_no_pulses_after_ms: i32,
    /// Whether instances are taken down only as far as the job's SLA policy allows.
    pub sla_aware: bool,
    /// `updateGroupSize` as the client gave it, which older clients read.
    pub group_size: i32,
    /// `waitForBatchCompletion` as the client gave it, which older clients read.
    pub wait_for_batch_completion: bool,
}

/// An update as it was started. It never changes; what becomes of it is told by events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobUpdate {
    /// Its name.
    pub key: UpdateKey,
    /// Who started it.
    pub user: String,
    /// What its starter noted.
    pub metadata: BTreeSet<Metadata>,
    /// What ran before at the instances that change or go.
    pub initial: Vec<InstanceConfig>,
    /// What is to run at the instances that change or come; none if all only go.
    pub desired: Option<InstanceConfig>,
    /// How it proceeds.
    pub settings: UpdateSettings,
}

impl JobUpdate {
    /// Whether it changes this instance.
    pub fn names(&self, instance: InstanceId) -> bool {
        let mut groups = self.initial.iter().chain(&self.desired);
        groups.any(|group| group.contains(instance))
    }
}

/// A change of an update's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateEvent {
    /// When.
    pub at: Timestamp,
    /// The state from then on.
    pub status: UpdateStatus,
    /// Who asked for it.
    pub user: Option<Arc<str>>,
    /// Why.
    pub message: Option<Arc<str>>,
}

/// Something that happened to an instance in an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceUpdateEvent {
    /// The instance.
    pub instance: InstanceId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub action: UpdateAction,
    /// More about it.
    pub message: Option<Arc<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back_and_ranges_hold_what_they_were_made_of() {
        for status in UpdateStatus::ALL {
            assert_eq!(UpdateStatus::from_number(status.number()), Some(status));
        }
        for action in UpdateAction::ALL {
            assert_eq!(UpdateAction::from_number(action.number()), Some(action));
        }
        assert_eq!(UpdateStatus::from_number(-1), None);
        assert_eq!(
            UpdateStatus::ALL.iter().filter(|s| s.is_active()).count(),
            6
        );
        let ranges = InstanceRange::of([7, 1, 2, 3, u32::MAX]);
        let pairs: Vec<_> = ranges.iter().map(|r| (r.first, r.last)).collect();
        assert_eq!(pairs, [(1, 3), (7, 7), (u32::MAX, u32::MAX)]);
        assert_eq!(ranges.iter().map(InstanceRange::count).sum::<u64>(), 5);
    }
}
