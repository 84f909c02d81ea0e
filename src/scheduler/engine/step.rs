//! One step: changes made on a clone of the head, kept or dropped as a whole.

use super::maintenance;
use super::options::EngineOptions;
use super::updates::Pulses;
use crate::base::clock::Now;
use crate::base::rng::Rng;
use crate::domain::lifecycle::{self, Effect, Facts, Outcome};
use crate::model::{AgentId, NamedPorts, ScheduleStatus, ScheduledTask, TaskEvent, TaskId};
use crate::scheduler::admin::Question;
use crate::scheduler::handle::{Reply, SubmitError};
use crate::storage::{Op, Tables};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Something for the world, withheld until what it follows from is learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    Acknowledge {
        agent: AgentId,
        task: TaskId,
        sequence: u64,
    },
    Ask(Box<Question>),
    Kill {
        agent: AgentId,
        task: TaskId,
    },
    /// The order itself is made when it leaves, for the session that its agent then has.
    Launch {
        task: TaskId,
    },
    Reply {
        token: u64,
        result: Result<Reply, SubmitError>,
    },
    /// A recovery is whole.
    Restored,
}

/// A task that a step changed, made or removed.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// As it was.
    pub(super) before: Option<Arc<ScheduledTask>>,
    /// As it is.
    pub(super) after: Option<Arc<ScheduledTask>>,
}

/// What steps draw on besides the tables.
#[derive(Debug)]
pub(super) struct Means {
    pub(super) options: Arc<EngineOptions>,
    pub(super) rng: Rng,
    /// When updates were last vouched for.
    pub(super) pulses: Pulses,
    /// Tasks that run although tables without any job know nothing of them: a new log, most likely, in
    /// the place of one that was lost. They are left alone until a backup is restored.
    pub(super) held: BTreeMap<TaskId, AgentId>,
    /// An operator has said that what nobody knows shall end.
    pub(super) ends_unknown: bool,
    pub(super) counters: BTreeMap<Cow<'static, str>, i64>,
}

impl Means {
    pub(super) fn count(&mut self, counter: &'static str, by: u64) {
        self.add(Cow::Borrowed(counter), by);
    }

    /// Counts under a name that is not known before, such as one of a job.
    pub(super) fn count_for(&mut self, counter: String, by: u64) {
        self.add(Cow::Owned(counter), by);
    }

    fn add(&mut self, counter: Cow<'static, str>, by: u64) {
        let sum = self.counters.entry(counter).or_default();
        *sum = sum.saturating_add(i64::try_from(by).unwrap_or(i64::MAX));
    }
}

/// Changes that belong together.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) now: Now,
    pub(super) means: &'a mut Means,
    pub(super) tables: Tables,
    pub(super) ops: Vec<Op>,
    pub(super) outbox: Vec<Outgoing>,
    pub(super) changes: Vec<Change>,
}

/// What a successful step leaves.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) tables: Tables,
    pub(super) ops: Vec<Op>,
    pub(super) outbox: Vec<Outgoing>,
    pub(super) changes: Vec<Change>,
}

impl<'a> Step<'a> {
    pub(super) fn new(now: Now, means: &'a mut Means, head: &Tables) -> Self {
        Self {
            now,
            means,
            tables: head.clone(),
            ops: Vec::new(),
            outbox: Vec::new(),
            changes: Vec::new(),
        }
    }

    pub(super) fn done(self) -> Done {
        Done {
            tables: self.tables,
            ops: self.ops,
            outbox: self.outbox,
            changes: self.changes,
        }
    }

    /// Makes a change that follows from the tables as they are.
    pub(super) fn apply(&mut self, op: Op) {
        let applied = self.tables.apply(&op);
        applied.expect("a step makes only changes that fit the tables it looked at");
        self.ops.push(op);
    }

    /// An event of now; never earlier than the task's last one, whatever the wall clock does.
    pub(super) fn event(
        &self,
        task: Option<&ScheduledTask>,
        status: ScheduleStatus,
        message: Option<String>,
    ) -> TaskEvent {
        let last = task
            .and_then(ScheduledTask::last_event_at)
            .unwrap_or_default();
        TaskEvent {
            at: self.now.wall.max(last),
            status,
            message,
            scheduler: Some(Arc::clone(&self.means.options.scheduler)),
        }
    }

    /// Adds tasks of one description, pending.
    pub(super) fn add_tasks(
        &mut self,
        config: &Arc<crate::model::TaskConfig>,
        instances: impl Iterator<Item = u32>,
    ) {
        let fresh = |i| (i, TaskId::fresh(&config.job, i, &mut self.means.rng));
        let tasks: Vec<_> = instances.map(fresh).collect();
        let ids: Vec<TaskId> = tasks.iter().map(|(_, id)| id.clone()).collect();
        let event = self.event(None, ScheduleStatus::Pending, None);
        self.apply(Op::AddTasks {
            config: Arc::clone(config),
            tasks,
            event,
        });
        for id in ids {
            self.changed(None, &id);
        }
    }

    /// Gives a pending task to an agent.
    pub(super) fn assign(
        &mut self,
        task: &Arc<ScheduledTask>,
        agent: &AgentId,
        host: &Arc<str>,
        ports: NamedPorts,
    ) {
        let event = self.event(Some(task), ScheduleStatus::Assigned, None);
        self.apply(Op::Assign {
            task: task.id.clone(),
            agent: agent.clone(),
            host: Arc::clone(host),
            ports,
            event,
        });
        self.changed(Some(Arc::clone(task)), &task.id);
        let task = task.id.clone();
        self.outbox.push(Outgoing::Launch { task });
    }

    /// Takes a task to another state, with all that follows.
    pub(super) fn transition(
        &mut self,
        id: &TaskId,
        to: ScheduleStatus,
        message: Option<String>,
    ) -> Outcome {
        let before = self.tables.task(id).cloned();
        let facts = before.as_deref().map(Facts::of).unwrap_or_default();
        let verdict = lifecycle::decide(before.as_ref().map(|t| t.status), Some(to), facts);
        let illegal = [Outcome::Illegal, Outcome::IllegalWithSideEffects];
        if illegal.contains(&verdict.outcome) {
            self.means
                .count("scheduler_illegal_task_state_transitions", 1);
        }
        let Some(before) = before else {
            return verdict.outcome;
        };
        let failed = verdict.effects.contains(&Effect::IncrementFailures);
        for effect in verdict.effects {
            match effect {
                // Part of what SaveState stores.
                Effect::IncrementFailures => {}
                Effect::SaveState => self.save(&before, to, message.clone(), failed),
                Effect::Reschedule => self.reschedule(&before),
                Effect::TransitionToLost => {
                    let why = "Action performed on partitioned task, marking as LOST.";
                    self.transition(id, ScheduleStatus::Lost, Some(why.to_owned()));
                }
                Effect::Kill => self.kill(&before),
                Effect::Delete => self.remove(&before),
            }
        }
        verdict.outcome
    }

    /// Forgets a task.
    pub(super) fn remove(&mut self, task: &Arc<ScheduledTask>) {
        self.apply(Op::RemoveTask {
            task: task.id.clone(),
        });
        self.changed(Some(Arc::clone(task)), &task.id);
    }

    fn save(
        &mut self,
        before: &Arc<ScheduledTask>,
        to: ScheduleStatus,
        message: Option<String>,
        failed: bool,
    ) {
        let event = self.event(Some(before), to, message);
        let task = before.id.clone();
        self.apply(Op::SetStatus {
            task,
            event,
            failed,
        });
        self.changed(Some(Arc::clone(before)), &before.id);
    }

    /// The machine is told to end a task, if it was given to one.
    pub(super) fn kill(&mut self, task: &ScheduledTask) {
        if let Some(agent) = task.agent.clone() {
            let task = task.id.clone();
            self.outbox.push(Outgoing::Kill { agent, task });
        }
    }

    /// Puts another task in the place of one that has ended.
    fn reschedule(&mut self, ended: &ScheduledTask) {
        let options = Arc::clone(&self.means.options);
        let tables = &self.tables;
        let find = |id: &TaskId| tables.task(id).cloned();
        let penalty = options.flapping.penalty(ended, find, &mut self.means.rng);
        let (status, message) = match penalty.is_zero() {
            true => (ScheduleStatus::Pending, "Rescheduled".to_owned()),
            false => {
                let ms = penalty.as_millis();
                let message = format!("Rescheduled, penalized for {ms} ms for flapping");
                (ScheduleStatus::Throttled, message)
            }
        };
        let task = TaskId::fresh(ended.job(), ended.instance, &mut self.means.rng);
        let event = self.event(Some(ended), status, Some(message));
        self.apply(Op::ReplaceTask {
            ancestor: ended.id.clone(),
            task: task.clone(),
            event,
        });
        self.changed(None, &task);
    }

    fn changed(&mut self, before: Option<Arc<ScheduledTask>>, id: &TaskId) {
        let after = self.tables.task(id).cloned();
        let there = |task: &&Arc<ScheduledTask>| task.status.is_assigned();
        let was = before.as_ref().filter(there);
        let is = after.as_ref().filter(there);
        let left = match is {
            Some(_) => None,
            None => was.and_then(|task| task.host.clone()),
        };
        self.changes.push(Change { before, after });
        if let Some(host) = left {
            maintenance::left(self, &host);
        }
    }
}
