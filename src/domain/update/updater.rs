//! One direction of an update at work.

use super::instance::{Need, need};
use super::strategy::next_group;
use crate::base::clock::Timestamp;
use crate::model::{
    InstanceConfig, InstanceId, JobUpdate, ScheduleStatus, ScheduledTask, TaskConfig, UpdateAction,
    UpdateStrategy,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Which way an update goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To what it was started for.
    Forward,
    /// To what was before.
    Back,
}

impl Direction {
    /// What is said of an instance that is begun with.
    pub fn begun(self) -> UpdateAction {
        match self {
            Self::Forward => UpdateAction::Updating,
            Self::Back => UpdateAction::RollingBack,
        }
    }

    /// What is said of an instance that is as it should be.
    pub fn done(self) -> UpdateAction {
        match self {
            Self::Forward => UpdateAction::Updated,
            Self::Back => UpdateAction::RolledBack,
        }
    }

    /// What is said of an instance that failed too often.
    pub fn failed(self) -> UpdateAction {
        match self {
            Self::Forward => UpdateAction::UpdateFailed,
            Self::Back => UpdateAction::RollbackFailed,
        }
    }
}

/// What an updater that begins must know of those before it, since the update last began to roll.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Instances that were begun with.
    pub touched: BTreeSet<InstanceId>,
    /// Instances that are as they should be: what happened to them later is no concern of the update.
    pub done: BTreeSet<InstanceId>,
    /// Instances that failed too often.
    pub failed: BTreeSet<InstanceId>,
    /// Instances that do not run now. On the way back they come first: those that the way forward left
    /// unfinished need not be its last ones, and to take others down before them would be too many.
    pub down: BTreeSet<InstanceId>,
    /// Tasks of the job that ended.
    pub ended: Vec<Arc<ScheduledTask>>,
}

/// Something about one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// The instance.
    pub instance: InstanceId,
    /// What is to be done.
    pub need: Need,
    /// What is to be said, unless it was said before. That an instance is done is said only if
    /// something was said of it before.
    pub event: Option<UpdateAction>,
}

/// Where the update is after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnOutcome {
    /// It ended: too many instances failed, this one last.
    Failed(InstanceId),
    /// A batch is done, and somebody must let the next one go.
    Pause,
    /// It ended well.
    Succeeded,
    /// It goes on.
    Working,
}

/// What a turn comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// What is to be done and said, in order.
    pub acts: Vec<Act>,
    /// Where the update is.
    pub outcome: TurnOutcome,
}

/// States of tasks that somebody asked to end.
const ASKED: [ScheduleStatus; 4] = [
    ScheduleStatus::Draining,
    ScheduleStatus::Killing,
    ScheduleStatus::Preempting,
    ScheduleStatus::Restarting,
];

/// Takes instances from what they run to what they should run. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Updater {
    direction: Direction,
    strategy: UpdateStrategy,
    max_failures: u32,
    max_failed: usize,
    min_wait: Duration,
    /// What each instance should run.
    targets: BTreeMap<InstanceId, Option<Arc<TaskConfig>>>,
    /// Not begun with, in order.
    idle: VecDeque<InstanceId>,
    working: BTreeSet<InstanceId>,
    /// How often instances have failed.
    failures: BTreeMap<InstanceId, u32>,
    failed: BTreeSet<InstanceId>,
    last_failed: InstanceId,
    /// Instances begun with since somebody let the update go.
    touched: BTreeSet<InstanceId>,
}

impl Updater {
    /// An updater to which all instances are idle, except those that have failed.
    pub fn new(update: &JobUpdate, direction: Direction, past: &Past) -> Self {
        let initial = by_instance(update.initial.iter());
        let desired = by_instance(update.desired.iter());
        let mut idle: VecDeque<InstanceId> = order(&initial, &desired).into();
        let targets = match direction {
            Direction::Forward => &desired,
            Direction::Back => &initial,
        };
        let target = |i: &InstanceId| (*i, targets.get(i).cloned());
        let targets = idle.iter().map(target).collect();
        if direction == Direction::Back {
            let idle = idle.make_contiguous();
            idle.reverse();
            idle.sort_by_key(|i| !past.down.contains(i));
        }
        idle.retain(|i| !past.failed.contains(i));
        let settings = &update.settings;
        let mut updater = Self {
            direction,
            strategy: settings.strategy.clone(),
            max_failures: u32::try_from(settings.max_per_instance_failures).unwrap_or(0),
            max_failed: usize::try_from(settings.max_failed_instances).unwrap_or(0),
            min_wait: Duration::from_millis(
                u64::try_from(settings.min_wait_in_running_ms).unwrap_or(0),
            ),
            targets,
            idle,
            working: BTreeSet::new(),
            failures: BTreeMap::new(),
            failed: past.failed.clone(),
            last_failed: past.failed.last().copied().unwrap_or_default(),
            touched: past.touched.clone(),
        };
        for task in &past.ended {
            if past.touched.contains(&task.instance) && !past.done.contains(&task.instance) {
                updater.count_failure(task);
            }
        }
        updater
    }

    /// Which way it goes.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The instances that have been begun with and are neither done nor given up.
    pub fn working(&self) -> &BTreeSet<InstanceId> {
        &self.working
    }

    /// Whether what happens to this instance matters now.
    pub fn is_working(&self, instance: InstanceId) -> bool {
        self.working.contains(&instance)
    }

    /// What this instance should run; `None` if it should be gone or is none of the update's.
    pub fn target(&self, instance: InstanceId) -> Option<&Arc<TaskConfig>> {
        self.targets.get(&instance)?.as_ref()
    }

    /// A task has ended. It counts if it ran what its instance should run, now is its instance's turn,
    /// and it was not asked to end: a kill may still be under way when an update turns back.
    pub fn handle_exit(&mut self, task: &ScheduledTask) {
        if self.is_working(task.instance) {
            self.count_failure(task);
        }
    }

    fn count_failure(&mut self, task: &ScheduledTask) {
        let asked = task.events.iter().any(|e| ASKED.contains(&e.status));
        let same = |target: &Arc<TaskConfig>| {
            Arc::ptr_eq(target, &task.config) || **target == *task.config
        };
        if !asked && self.target(task.instance).is_some_and(same) {
            let count = self.failures.entry(task.instance).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Looks at instances that changed and begins with others as far as may be.
    ///
    /// `look` gives the active task of an instance.
    pub fn evaluate(
        &mut self,
        changed: impl IntoIterator<Item = InstanceId>,
        look: impl Fn(InstanceId) -> Option<Arc<ScheduledTask>>,
        wall: Timestamp,
    ) -> Turn {
        let mut acts = Vec::new();
        for instance in changed {
            if self.working.contains(&instance) {
                let need = self.need(instance, &look, wall);
                self.go_on(instance, need, &mut acts);
            }
        }
        let outcome = loop {
            if self.failed.len() > self.max_failed {
                break TurnOutcome::Failed(self.last_failed);
            }
            if self.idle.is_empty() && self.working.is_empty() {
                break TurnOutcome::Succeeded;
            }
            let count = self.next_group();
            if count == 0 {
                break TurnOutcome::Working;
            }
            let group = self.idle.iter().take(count);
            let group: Vec<(InstanceId, Need)> =
                group.map(|i| (*i, self.need(*i, &look, wall))).collect();
            let new = |(i, need): &(InstanceId, Need)| {
                *need != Need::Nothing && !self.touched.contains(i)
            };
            if self.pauses() && !self.touched.is_empty() && group.iter().any(new) {
                break TurnOutcome::Pause;
            }
            self.idle.drain(..count);
            for (instance, need) in group {
                self.begin(instance, need, &mut acts);
            }
        };
        Turn { acts, outcome }
    }

    fn next_group(&self) -> usize {
        let forward = self.direction == Direction::Forward;
        let (total, idle) = (self.targets.len(), self.idle.len());
        next_group(&self.strategy, forward, total, idle, self.working.len())
    }

    fn pauses(&self) -> bool {
        let asked = match self.strategy {
            UpdateStrategy::Queue { .. } => false,
            UpdateStrategy::Batch { autopause, .. }
            | UpdateStrategy::VariableBatch { autopause, .. } => autopause,
        };
        asked && self.direction == Direction::Forward
    }

    fn need(
        &self,
        instance: InstanceId,
        look: &impl Fn(InstanceId) -> Option<Arc<ScheduledTask>>,
        wall: Timestamp,
    ) -> Need {
        let task = look(instance);
        need(self.target(instance), task.as_deref(), self.min_wait, wall)
    }

    fn begin(&mut self, instance: InstanceId, need: Need, acts: &mut Vec<Act>) {
        if need == Need::Nothing {
            let event = Some(self.direction.done());
            acts.push(Act {
                instance,
                need,
                event,
            });
            return;
        }
        self.working.insert(instance);
        self.touched.insert(instance);
        let event = Some(self.direction.begun());
        acts.push(Act {
            instance,
            need: Need::Wait,
            event,
        });
        self.go_on(instance, need, acts);
    }

    fn go_on(&mut self, instance: InstanceId, need: Need, acts: &mut Vec<Act>) {
        let failures = self.failures.get(&instance).copied().unwrap_or(0);
        let event = if failures > self.max_failures {
            self.failed.insert(instance);
            self.last_failed = instance;
            Some(self.direction.failed())
        } else if need == Need::Nothing {
            Some(self.direction.done())
        } else {
            None
        };
        let need = match event {
            Some(_) => {
                self.working.remove(&instance);
                Need::Nothing
            }
            None => need,
        };
        if event.is_some() || need != Need::Wait {
            acts.push(Act {
                instance,
                need,
                event,
            });
        }
    }
}

fn by_instance<'a>(
    groups: impl Iterator<Item = &'a InstanceConfig>,
) -> BTreeMap<InstanceId, Arc<TaskConfig>> {
    groups
        .flat_map(|group| group.instances().map(|i| (i, Arc::clone(&group.config))))
        .collect()
}

/// Those that come, then those that change, then those that go.
fn order(
    initial: &BTreeMap<InstanceId, Arc<TaskConfig>>,
    desired: &BTreeMap<InstanceId, Arc<TaskConfig>>,
) -> Vec<InstanceId> {
    let (old, new) = (initial.keys(), desired.keys());
    let come = new.clone().filter(|i| !initial.contains_key(i));
    let change = new.filter(|i| initial.contains_key(i));
    let go = old.filter(|i| !desired.contains_key(i));
    come.chain(change).chain(go).copied().collect()
}
