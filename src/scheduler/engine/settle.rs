//! What follows from steps inside the engine: groups, timers, the book; beginning and standing down.

use super::cron::CronQueue;
use super::options::EngineOptions;
use super::revocable::is_revocable;
use super::step::Change;
use super::timers::TaskTimer;
use super::{
    Coordination, Done, Effect, Engine, FULL_BATCH, Outgoing, Pending, Preemption, Restoring,
    Timer, Timers,
};
use crate::base::clock::Now;
use crate::domain::placement::Book;
use crate::driver::DriverCommand;
use crate::model::{InstanceConfig, LaunchOrder, ScheduleStatus, ScheduledTask, TaskId};
use crate::scheduler::handle::SubmitError;
use crate::storage::{Op, Replay, Tables, UpdateOp};
use std::sync::Arc;
use std::time::Duration;

/// How often old history and answers are looked for.
pub(super) const HOUSEKEEPING: Duration = Duration::from_secs(60);

/// How often the offers of machines that are connected count as made again: who watches
/// `scheduler_resource_offers` wants to see it rise as long as machines are there.
pub(super) const OFFERS: Duration = Duration::from_secs(5);

/// How long a group waits at most once room was made.
const HURRY: Duration = Duration::from_secs(1);

/// How many groups are told that room was made.
const HURRIED_GROUPS: usize = 1_000;

impl Engine {
    /// Keeps a step: its tables are the head, its changes part of the open batch.
    pub(super) fn settle(&mut self, now: Now, done: Done) {
        self.head = done.tables;
        for op in &done.ops {
            if let Op::SetHost(host) = op {
                self.book.set_mode(&host.host, host.mode);
            }
            if let Op::Update(op) = op {
                let pulses = &mut self.means.pulses;
                self.updates.follow_op(&self.head, op, pulses);
            }
            if let Op::SetMaintenance(request) = op {
                let host = request.host.clone();
                self.timers.set(now.mono, Timer::Drain { host });
            }
        }
        self.open.weight += done.ops.iter().map(weight).sum::<usize>();
        self.follow_cron_ops(now, &done.ops);
        self.open.ops.extend(done.ops);
        self.open.outbox.extend(done.outbox);
        for change in &done.changes {
            self.follow(now, change);
            self.updates.follow_task(change);
        }
        self.follow_cron_tasks(now, &done.changes);
        if self.open.weight >= FULL_BATCH {
            self.seal();
        }
    }

    fn follow(&mut self, now: Now, change: &Change) {
        let is = |task: &Option<Arc<ScheduledTask>>, what: fn(ScheduleStatus) -> bool| {
            task.as_ref().is_some_and(|task| what(task.status))
        };
        let (before, after) = (&change.before, &change.after);
        let pending: fn(ScheduleStatus) -> bool = |s| s == ScheduleStatus::Pending;
        if let Some(task) = before.as_ref().or(after.as_ref()) {
            if is(before, has_timer) {
                self.timers.cancel(&task.id);
            }
            if is(before, pending)
                && !is(after, pending)
                && let Some(group) = self.pending.remove(&task.id)
            {
                let agent = after.as_ref().and_then(|task| task.agent.as_ref());
                self.waits_no_more(now, group, agent);
            }
        }
        if let Some(index) = self.preemption.index() {
            index.change(before.as_deref(), after.as_deref());
        }
        if is(before, ScheduleStatus::is_assigned) != is(after, ScheduleStatus::is_assigned)
            && let Some(agent) = before
                .iter()
                .chain(after)
                .find_map(|task| task.agent.as_ref())
        {
            if is(before, ScheduleStatus::is_assigned) {
                self.book.touch(agent);
                self.room_was_made(now);
            } else if !is(before, pending) {
                // An attempt has noted its own.
                self.book.note_placed(agent);
            }
        }
        if let Some(task) = after {
            self.count_end(before.as_deref().map(|task| task.status), task);
            if is(after, pending) && !is(before, pending) {
                let soon = self.means.options.first_schedule_delay;
                self.pending.add(now.mono, task, soon);
            }
            self.watch(now, task);
        }
    }

    /// Counts a task that was lost or has failed: by its job, and a lost one by what its machine is.
    fn count_end(&mut self, before: Option<ScheduleStatus>, task: &ScheduledTask) {
        let status = task.status;
        let ends = [ScheduleStatus::Failed, ScheduleStatus::Lost].contains(&status);
        if !ends || before == Some(status) {
            return;
        }
        let name = format!("tasks_{status}_{}", task.job());
        self.means.count_for(name, 1);
        if status == ScheduleStatus::Failed {
            return;
        }
        let host = task.host.as_ref().and_then(|host| self.head.host(host));
        let Some(host) = host.cloned() else {
            return;
        };
        for attribute in &host.attributes {
            let kind = attribute.name.as_str();
            if ["rack", "dedicated"].contains(&kind) {
                for value in &attribute.values {
                    let name = format!("tasks_lost_{kind}_{}", value.replace('*', "_"));
                    self.means.count_for(name, 1);
                }
            }
        }
    }

    /// Who waits for room should not wait out a long penalty now.
    ///
    /// At most once a second, and not where a crowd waits, which would be work for every task that ends.
    pub(super) fn room_was_made(&mut self, now: Now) {
        if now.mono.since(self.hurried) >= HURRY && self.pending.len() <= HURRIED_GROUPS {
            self.hurried = now.mono;
            self.pending.hurry(now.mono, HURRY);
        }
    }

    /// Sets the timer that a task's state asks for.
    pub(super) fn watch(&mut self, now: Now, task: &ScheduledTask) {
        use ScheduleStatus as S;
        let options = &self.means.options;
        let limit = now.mono + options.transient_timeout;
        let since = now.wall.since(task.last_event_at().unwrap_or_default());
        let (at, why) = match task.status {
            S::Assigned | S::Preempting | S::Restarting | S::Draining => {
                (limit, TaskTimer::TimedOut)
            }
            S::Killing => {
                let delay = options.kill_retry.next(Duration::ZERO, &mut self.means.rng);
                let at = (now.mono + delay).min(limit);
                (at, TaskTimer::Kill { delay, limit })
            }
            S::Partitioned => {
                let policy = task.config.partition_policy;
                if policy.is_some_and(|policy| !policy.reschedule) {
                    return;
                }
                let secs = policy.map_or(0, |policy| policy.delay_secs);
                let delay = Duration::from_secs(u64::try_from(secs).unwrap_or(0));
                let rest = delay.saturating_sub(since);
                (now.mono + rest, TaskTimer::Partitioned)
            }
            S::Throttled => {
                let head = &self.head;
                let find = |id: &TaskId| head.task(id).cloned();
                let penalty = options.flapping.penalty(task, find, &mut self.means.rng);
                let rest = penalty.saturating_sub(since);
                let ms = u64::try_from(penalty.as_millis()).unwrap_or(u64::MAX);
                self.means.count("task_throttle_ms_total", ms);
                self.means.count("task_throttle_events", 1);
                (now.mono + rest, TaskTimer::Throttled)
            }
            S::Failed | S::Finished | S::Init | S::Killed | S::Lost => return,
            S::Pending | S::Running | S::Starting => return,
        };
        let task = task.id.clone();
        self.timers.set(at, Timer::Task { task, why });
    }

    /// Leading begins: what is not stored is made again from the tables.
    pub(super) fn begin(&mut self, now: Now) {
        let tables = Arc::clone(&self.bottom);
        let options = Arc::clone(&self.means.options);
        self.begin_rousing(now);
        for agent in tables.loaded_agents() {
            self.watch_agent(now, agent.clone(), None);
        }
        let at = |after: Duration| now.mono + after;
        self.timers.set(at(HOUSEKEEPING), Timer::Housekeeping);
        self.timers.set(at(OFFERS), Timer::Offers);
        self.timers.set(at(options.reconcile.0), Timer::Reconcile);
        self.timers
            .set(at(options.snapshot_interval), Timer::Snapshot);
        self.timers
            .set(at(options.update_pruning_interval), Timer::PruneUpdates);
        let pulses = &mut self.means.pulses;
        self.updates.begin(now, &self.head, pulses);
        self.timers
            .set(at(options.maintenance_interval), Timer::Maintenance);
        self.timers.set(
            at(options.reconcile_implicitly.0),
            Timer::ReconcileImplicitly,
        );
        if let Some(delay) = options.preemption_initial_delay {
            self.timers.set(at(delay), Timer::Preemption);
        }
        self.begin_cron(now);
    }

    /// Leading ends: the head is dropped.
    pub(super) fn stand_down(&mut self) {
        let proposed = std::mem::take(&mut self.flights);
        for outgoing in proposed.into_iter().flat_map(|flight| flight.outbox) {
            self.refuse(outgoing, SubmitError::Unknown);
        }
        // What was not proposed has not happened.
        let open = std::mem::take(&mut self.open);
        for outgoing in open.outbox {
            self.refuse(outgoing, SubmitError::NotReady);
        }
        self.replay = Some(Replay::from(Tables::clone(&self.bottom)));
        self.head = Tables::clone(&self.bottom);
        self.book = Book::default();
        self.cron = CronQueue::default();
        self.pending = Pending::new(self.means.options.max_attempts_per_sec);
        self.rousing = None;
        self.timers = Timers::default();
        self.updates = super::Live::default();
        self.means.pulses.clear();
        self.means.held.clear();
        self.means.ends_unknown = false;
        self.snapshot = None;
        if let Some(token) = self.restoring.take().and_then(Restoring::unanswered) {
            let result = Err(SubmitError::NotReady);
            self.effects.push_back(Effect::Reply { token, result });
        }
        for token in std::mem::take(&mut self.snapshot_waiters) {
            let result = Err(SubmitError::Unknown);
            self.effects.push_back(Effect::Reply { token, result });
        }
        self.coordination = Coordination::default();
        self.preemption = Preemption::default();
        self.affinity = super::Affinity::default();
        self.revocable = super::Revocable::default();
    }

    fn refuse(&mut self, outgoing: Outgoing, error: SubmitError) {
        if let Outgoing::Reply { token, .. } = outgoing {
            let result = Err(error);
            self.effects.push_back(Effect::Reply { token, result });
        }
    }

    /// Lets go what was withheld.
    pub(super) fn release(&mut self, outbox: Vec<Outgoing>) {
        for outgoing in outbox {
            let effect = match outgoing {
                Outgoing::Acknowledge {
                    agent: to,
                    task,
                    sequence,
                } => match self.effects.back_mut() {
                    // A machine that has come back has its tasks acknowledged at once.
                    Some(Effect::Driver(DriverCommand::Acknowledge { agent, reports }))
                        if *agent == to =>
                    {
                        reports.push((task, sequence));
                        None
                    }
                    _ => Some(Effect::Driver(DriverCommand::Acknowledge {
                        agent: to,
                        reports: vec![(task, sequence)],
                    })),
                },
                Outgoing::Ask(question) => Some(Effect::Ask(question)),
                Outgoing::Kill { agent, task } => {
                    Some(Effect::Driver(DriverCommand::Kill { agent, task }))
                }
                Outgoing::Launch { task } => self.launch(&task),
                Outgoing::Reply { token, result } => Some(Effect::Reply { token, result }),
                Outgoing::Restored => Some(Effect::Restored),
            };
            self.effects.extend(effect);
        }
    }

    /// The order to start a task, for the session that its agent has now.
    ///
    /// None if the task is no longer to be started, or if the agent is away: when it comes back, the
    /// task is found missing and launched then.
    fn launch(&self, task: &TaskId) -> Option<Effect> {
        let task = self.head.task(task)?;
        if task.status != ScheduleStatus::Assigned {
            return None;
        }
        let machine = self.book.get(task.agent.as_ref()?)?;
        machine.connected.then(|| {
            Effect::Driver(DriverCommand::Launch {
                agent: machine.agent.clone(),
                session: machine.session,
                order: Box::new(order(task, &self.means.options)),
            })
        })
    }
}

/// Whether [`Engine::watch`] may have set a timer for a task in this state.
pub(super) fn has_timer(status: ScheduleStatus) -> bool {
    use ScheduleStatus as S;
    match status {
        S::Assigned | S::Draining | S::Killing | S::Partitioned | S::Preempting => true,
        S::Restarting | S::Throttled => true,
        S::Failed | S::Finished | S::Init | S::Killed | S::Lost => false,
        S::Pending | S::Running | S::Starting => false,
    }
}

/// How many bytes an op takes in an entry, roughly.
fn weight(op: &Op) -> usize {
    match op {
        Op::AddTasks { config, tasks, .. } => {
            let executor = config.executor.as_ref();
            let data = executor
                .and_then(|e| e.data.as_ref())
                .map_or(0, String::len);
            1_000 + data + 150 * tasks.len()
        }
        Op::SetAnswer { answer, .. } => {
            400 + answer.reply.messages.iter().map(String::len).sum::<usize>()
        }
        Op::Update(op) => updates_weight(op),
        _ => 400,
    }
}

fn updates_weight(op: &UpdateOp) -> usize {
    match op {
        UpdateOp::Event { .. } | UpdateOp::Remove { .. } => 400,
        UpdateOp::InstanceEvents { events, .. } => 200 + 20 * events.len(),
        UpdateOp::Start { update, .. } => {
            let groups = update.initial.iter().chain(&update.desired);
            let data = |group: &InstanceConfig| {
                let executor = group.config.executor.as_ref();
                let data = executor.and_then(|e| e.data.as_ref());
                1_000 + data.map_or(0, String::len) + 10 * group.instances.len()
            };
            let metadata = update.metadata.iter();
            let metadata: usize = metadata.map(|m| m.key.len() + m.value.len() + 10).sum();
            1_000 + metadata + groups.map(data).sum::<usize>()
        }
    }
}

fn order(task: &ScheduledTask, options: &EngineOptions) -> LaunchOrder {
    let config = &task.config;
    let lent = is_revocable(config, options);
    let lent = lent.then(|| (LaunchOrder::REVOCABLE.to_owned(), "true".to_owned()));
    let executor = config.executor.as_ref();
    let pairs = config
        .metadata
        .iter()
        .map(|m| (m.key.clone(), m.value.clone()));
    LaunchOrder {
        task: task.id.clone(),
        job: task.job().clone(),
        instance: task.instance,
        executor: executor.and_then(|e| e.name.clone()).unwrap_or_default(),
        data: executor.and_then(|e| e.data.clone()).unwrap_or_default(),
        resources: config.resources,
        ports: task.ports.clone(),
        metadata: pairs.chain(lent).collect(),
        setup: options.executor.clone(),
        uris: config.fetcher_uris.iter().cloned().collect(),
    }
}
