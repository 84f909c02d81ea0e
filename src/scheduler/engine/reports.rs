//! What machines say: agents that come and go, news of tasks.
//!
//! An agent that comes back with a new session keeps its tasks, as it knows by its own durable record
//! what it has and what has ended. A task that was assigned and that it does not know had its launch
//! lost on the way: the launch is sent again, for the new session. That cannot start it twice, as the
//! agent refuses ids it has or has had. Only if the machine no longer has room for it is it given up.

use super::Engine;
use super::attempts::needs;
use super::revocable::{Revocable, is_revocable};
use super::step::{Outgoing, Step};
use super::timers::Timer;
use crate::base::clock::Now;
use crate::domain::placement::Machine;
use crate::driver::AgentOffer;
use crate::model::{
    AgentId, AgentSession, HostAttributes, Resources, ScheduleStatus, ScheduledTask, TaskId,
    TaskReport, TaskState,
};
use crate::storage::{AgentLoad, Op, Tables};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Engine {
    pub(super) fn agent_up(&mut self, now: Now, offer: AgentOffer, reports: &[TaskReport]) {
        self.means.count("scheduler_resource_offers", 1);
        let known = self.head.host(&offer.host);
        let machine = Machine {
            agent: offer.agent.clone(),
            session: offer.session,
            host: offer.host.as_str().into(),
            total: offer.total,
            ports: offer.ports,
            attributes: offer.attributes,
            mode: known.map(|host| host.mode).unwrap_or_default(),
            connected: true,
        };
        let agent = offer.agent;
        let mut step = Step::new(now, &mut self.means, &self.head);
        store_host(&mut step, &machine);
        let has: BTreeSet<&TaskId> = reports.iter().map(|report| &report.task).collect();
        // A machine that comes back to a new leader may bring thousands of tasks that are known, and all
        // machines come at once: each task is looked up once, which is nearly all that it costs.
        let load = self.head.load(&agent);
        let ids = load.into_iter().flat_map(AgentLoad::tasks);
        let missing = ids.filter(|id| !has.contains(id));
        let missing: Vec<_> = missing
            .filter_map(|id| self.head.task(id).cloned())
            .collect();
        let mut known = 0;
        let mut may_have_lent = !missing.is_empty();
        for report in reports {
            if let Some(task) = known_by(&step.tables, &agent, report) {
                known += 1;
                may_have_lent = may_have_lent || is_revocable(&task.config, &step.means.options);
                step.outbox.push(acknowledgement(&agent, report));
            } else {
                may_have_lent = true;
                take_report(&mut step, &agent, report);
            }
        }
        step.means.count("scheduler_status_update", known);
        let rules = step.means.options.revocable;
        self.revocable.set(&agent, &machine.attributes, rules);
        let left = self
            .revocable
            .left(&step.tables, &machine, &step.means.options);
        let ports = step.tables.load(&agent).map_or(0, |load| load.used().ports);
        let room = left.is_sound() && ports <= machine.total.ports;
        for task in missing {
            if task.status != ScheduleStatus::Assigned {
                let why = "Its agent does not know the task.";
                step.transition(&task.id, ScheduleStatus::Lost, Some(why.to_owned()));
            } else if !room
                || !task
                    .ports
                    .values()
                    .all(|port| machine.ports.contains(*port))
            {
                step.means.count("assigner_launch_failures", 1);
                let why = "Its machine no longer has room for the task.";
                step.transition(&task.id, ScheduleStatus::Lost, Some(why.to_owned()));
            } else if is_assigned_in(&self.bottom, &task.id) {
                // A launch that still waits for the log leaves by itself.
                let task = task.id.clone();
                step.outbox.push(Outgoing::Launch { task });
            }
        }
        if may_have_lent {
            take_back(&mut step, &self.revocable, &machine);
        }
        let done = step.done();
        let news = self.book.get(&agent) != Some(&machine);
        if let Some(index) = self.preemption.index() {
            index.set_machine(&machine);
        }
        self.book.put(machine);
        self.settle(now, done);
        if news {
            let soon = self.means.options.first_schedule_delay;
            self.pending.hurry(now.mono, soon);
        }
    }

    pub(super) fn agent_down(&mut self, now: Now, agent: &AgentId, session: AgentSession) {
        if self
            .book
            .get(agent)
            .is_some_and(|m| m.session == session && m.connected)
        {
            self.means.count("offers_rescinded", 1);
            self.book.disconnect(agent);
            if let Some(index) = self.preemption.index() {
                index.disconnect(agent);
            }
            self.watch_agent(now, agent.clone(), Some(session));
        }
    }

    /// Gives up on an agent after a while, unless it comes back.
    pub(super) fn watch_agent(&mut self, now: Now, agent: AgentId, session: Option<AgentSession>) {
        let at = now.mono + self.means.options.agent_timeout;
        self.timers.set(at, Timer::Agent { agent, session });
    }

    /// An agent has been away for long: its tasks count as cut off.
    ///
    /// One that was only assigned is left to its own time limit.
    pub(super) fn agent_gone(&mut self, now: Now, agent: &AgentId, session: Option<AgentSession>) {
        let machine = self.book.get(agent);
        if machine.is_some_and(|m| m.connected || Some(m.session) != session) {
            return;
        }
        self.means.count("slaves_lost", 1);
        let tasks: Vec<_> = self.head.tasks_on_agent(agent).cloned().collect();
        let mut step = Step::new(now, &mut self.means, &self.head);
        for task in tasks {
            let left = [ScheduleStatus::Assigned, ScheduleStatus::Partitioned];
            if !left.contains(&task.status) {
                let why = "Its agent cannot be reached.";
                step.transition(&task.id, ScheduleStatus::Partitioned, Some(why.to_owned()));
            }
        }
        let done = step.done();
        self.settle(now, done);
    }

    pub(super) fn status(&mut self, now: Now, agent: &AgentId, report: &TaskReport) {
        let mut step = Step::new(now, &mut self.means, &self.head);
        take_report(&mut step, agent, report);
        let done = step.done();
        self.settle(now, done);
    }
}

fn is_assigned_in(tables: &Tables, task: &TaskId) -> bool {
    let task = tables.task(task);
    task.is_some_and(|task| task.status == ScheduleStatus::Assigned)
}

/// Ends tasks on what a machine has lent until they fit into what it lends now, the latest first.
fn take_back(step: &mut Step<'_>, revocable: &Revocable, machine: &Machine) {
    let options = Arc::clone(&step.means.options);
    let here = step.tables.tasks_on_agent(&machine.agent);
    let lent = here.filter(|task| {
        let goes = [ScheduleStatus::Killing, ScheduleStatus::Preempting];
        task.status.is_assigned()
            && !goes.contains(&task.status)
            && is_revocable(&task.config, &options)
    });
    let mut lent: Vec<Arc<ScheduledTask>> = lent.cloned().collect();
    lent.sort_by_key(|task| task.last_event_at());
    let part = |task: &Arc<ScheduledTask>| {
        let needs = needs(&task.config, options.executor_overhead);
        options.revocable.part(needs)
    };
    let lends = revocable.lent_by(&machine.agent);
    let held = lent.iter().map(part);
    let mut held = held.fold(Resources::default(), Resources::plus);
    while !lends.fits(&held) {
        let Some(task) = lent.pop() else {
            return;
        };
        held = held.minus(part(&task));
        let why = "Its machine takes back what it had lent.";
        step.transition(&task.id, ScheduleStatus::Preempting, Some(why.to_owned()));
    }
}

/// Stores what is new about a machine.
fn store_host(step: &mut Step<'_>, machine: &Machine) {
    let host = HostAttributes {
        host: machine.host.to_string(),
        agent: machine.agent.clone(),
        attributes: machine.attributes.clone(),
        mode: machine.mode,
    };
    if step
        .tables
        .host(&host.host)
        .is_none_or(|known| **known != host)
    {
        step.apply(Op::SetHost(Arc::new(host)));
    }
}

/// Takes a report, which is acknowledged whatever it comes to.
fn take_report(step: &mut Step<'_>, agent: &AgentId, report: &TaskReport) {
    step.means.count("scheduler_status_update", 1);
    if report.state == TaskState::Lost {
        // As Mesos names who says so.
        step.means.count("task_lost_SOURCE_SLAVE", 1);
    }
    let task = step.tables.task(&report.task).cloned();
    match task.filter(|task| task.agent.as_ref() == Some(agent)) {
        Some(task) => {
            let to = schedule_status(task.status, report.state);
            step.transition(&report.task, to, report.message.clone());
        }
        // Left alone for a backup to bring back.
        None if !report.state.is_terminal()
            && step.tables.is_blank()
            && !step.means.ends_unknown =>
        {
            let (task, agent) = (report.task.clone(), agent.clone());
            step.means.held.insert(task, agent);
        }
        // Unknown, or not given to this agent: it must not run there.
        None if !report.state.is_terminal() => {
            step.means
                .count("scheduler_illegal_task_state_transitions", 1);
            step.outbox.push(Outgoing::Kill {
                agent: agent.clone(),
                task: report.task.clone(),
            });
        }
        None => {
            step.means.held.remove(&report.task);
        }
    }
    step.outbox.push(acknowledgement(agent, report));
}

fn acknowledgement(agent: &AgentId, report: &TaskReport) -> Outgoing {
    Outgoing::Acknowledge {
        agent: agent.clone(),
        task: report.task.clone(),
        sequence: report.sequence,
    }
}

/// The task of which a machine says what is known, if it does.
fn known_by<'a>(
    tables: &'a Tables,
    agent: &AgentId,
    report: &TaskReport,
) -> Option<&'a Arc<ScheduledTask>> {
    let task = tables.task(&report.task)?;
    let is_known = !report.state.is_terminal()
        && task.agent.as_ref() == Some(agent)
        && schedule_status(task.status, report.state) == task.status;
    is_known.then_some(task)
}

/// The scheduler's word for a machine's.
///
/// The table knows no way from PARTITIONED to KILLED; such a task is gone all the same, so it counts as
/// lost and is run again at once instead of waiting out its partition policy.
fn schedule_status(from: ScheduleStatus, state: TaskState) -> ScheduleStatus {
    match state {
        TaskState::Failed => ScheduleStatus::Failed,
        TaskState::Finished => ScheduleStatus::Finished,
        TaskState::Killed if from == ScheduleStatus::Partitioned => ScheduleStatus::Lost,
        TaskState::Killed => ScheduleStatus::Killed,
        TaskState::Lost => ScheduleStatus::Lost,
        TaskState::Running => ScheduleStatus::Running,
        TaskState::Starting => ScheduleStatus::Starting,
    }
}
