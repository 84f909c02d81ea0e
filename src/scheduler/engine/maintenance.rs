//! Machines that are taken out of service, and the tasks on them.
//!
//! A request to drain stays in the tables exactly as long as its machine is DRAINING; the step in which the
//! last task leaves the machine makes it DRAINED. What a task's promise forbids now is tried again at each
//! poll, until the request's timeout.
//!
//! Coordinators are asked by whoever carries out the engine's effects, one question at a time for each
//! URL, so that a coordinator sees what came of its last answer before it gives the next.

use super::step::{Outgoing, Step};
use super::timers::Timer;
use super::{Engine, Means};
use crate::base::clock::Now;
use crate::base::rng::Rng;
use crate::domain::maintenance::{may_drain, remaining_ms};
use crate::domain::sla::Permit;
use crate::model::{
    HostAttributes, MaintenanceMode, MaintenanceRequest, ScheduleStatus, ScheduledTask, SlaPolicy,
    TaskId,
};
use crate::scheduler::admin::{Answered, Question, Ruling};
use crate::storage::{Op, Tables};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const WHY: &str = "Draining machine for maintenance.";

/// Questions that coordinators have not answered yet.
#[derive(Debug, Default)]
pub(super) struct Coordination {
    /// Who is asked about which task.
    asked: BTreeMap<TaskId, String>,
    /// Tasks that were asked about since the last poll.
    round: BTreeSet<TaskId>,
    /// Someone had to wait for a coordinator that was busy.
    starved: bool,
    /// Tasks that had to wait since the last poll. They are asked about again whenever some coordinator has
    /// answered; each counts once.
    waits: BTreeSet<TaskId>,
}

impl Coordination {
    /// Whether this may be asked now; if so it counts as asked.
    pub(super) fn admit(&mut self, question: &Question, means: &mut Means) -> bool {
        let (task, url) = (&question.task.id, &question.url);
        let most = means.options.coordinators;
        if self.round.contains(task) || self.asked.contains_key(task) {
            return false;
        }
        if self.asked.len() >= most || self.asked.values().any(|busy| busy == url) {
            self.starved = true;
            if self.waits.insert(task.clone()) {
                let (job, instance) = (question.task.job(), question.task.instance);
                let key = format!("{}/{job}/{instance}", means.options.cluster);
                means.count("sla_coordinator_lock_starvation", 1);
                means.count_for(format!("sla_coordinator_lock_starvation_{key}"), 1);
            }
            return false;
        }
        means.count("sla_coordinator_attempts", 1);
        self.round.insert(task.clone());
        self.asked.insert(task.clone(), url.clone());
        true
    }
}

/// The machines among these that are known.
fn known(tables: &Tables, hosts: &BTreeSet<String>) -> Vec<Arc<HostAttributes>> {
    let known = hosts.iter().filter_map(|host| tables.host(host));
    known.cloned().collect()
}

fn set_mode(step: &mut Step<'_>, host: &HostAttributes, mode: MaintenanceMode) {
    if step.tables.maintenance(&host.host).is_some() && mode != MaintenanceMode::Draining {
        let host = host.host.clone();
        step.apply(Op::RemoveMaintenance { host });
    }
    if host.mode != mode {
        let host = HostAttributes {
            mode,
            ..host.clone()
        };
        step.apply(Op::SetHost(Arc::new(host)));
    }
}

/// Machines are to be used only if nothing else fits.
pub(super) fn start(step: &mut Step<'_>, hosts: &BTreeSet<String>) {
    let hosts = known(&step.tables, hosts);
    step.means
        .count("thrift_workload_startMaintenance", hosts.len() as u64);
    for host in hosts {
        set_mode(step, &host, MaintenanceMode::Scheduled);
    }
}

/// Machines are in service again.
pub(super) fn end(step: &mut Step<'_>, hosts: &BTreeSet<String>) {
    let hosts = known(&step.tables, hosts);
    step.means
        .count("thrift_workload_endMaintenance", hosts.len() as u64);
    for host in hosts {
        set_mode(step, &host, MaintenanceMode::None);
    }
}

/// Machines are to be emptied: at once without a timeout, and otherwise as soon as the step is kept.
pub(super) fn drain(
    step: &mut Step<'_>,
    hosts: &BTreeSet<String>,
    default_policy: &SlaPolicy,
    timeout_secs: i64,
) {
    let hosts = known(&step.tables, hosts);
    let counter = match timeout_secs {
        ..=0 => "thrift_workload_drainHosts",
        1.. => "thrift_workload_slaDrainHosts",
    };
    step.means.count(counter, hosts.len() as u64);
    for host in hosts {
        if is_empty(&step.tables, &host) {
            set_mode(step, &host, MaintenanceMode::Drained);
            continue;
        }
        set_mode(step, &host, MaintenanceMode::Draining);
        let request = MaintenanceRequest {
            host: host.host.clone(),
            default_policy: default_policy.clone(),
            timeout_secs,
            created: step.now.wall,
        };
        step.apply(Op::SetMaintenance(Arc::new(request)));
        if timeout_secs <= 0 {
            let asks = drain_host(step, &host.host);
            debug_assert!(asks.is_empty(), "without a timeout nobody is asked");
        }
    }
}

/// Whether no task holds anything of a machine.
fn is_empty(tables: &Tables, host: &HostAttributes) -> bool {
    let holds = |task: &Arc<ScheduledTask>| task.status.is_assigned();
    tables.load(&host.agent).is_none() && !tables.tasks_on_host(&host.host).any(holds)
}

/// A task left a machine: if that is drained and was its last, the machine is DRAINED.
pub(super) fn left(step: &mut Step<'_>, host: &str) {
    if step.tables.maintenance(host).is_none() {
        return;
    }
    let host = step.tables.host(host).cloned();
    if let Some(host) = host.filter(|host| is_empty(&step.tables, host)) {
        set_mode(step, &host, MaintenanceMode::Drained);
    }
}

/// Moves away what may leave a machine now; gives what coordinators are to be asked.
fn drain_host(step: &mut Step<'_>, host: &str) -> Vec<Question> {
    use ScheduleStatus::{Assigned, Partitioned, Running, Starting};
    let Some(request) = step.tables.maintenance(host).cloned() else {
        step.means.count("missing_maintenance_request", 1);
        return Vec::new();
    };
    let stays = |task: &&Arc<ScheduledTask>| {
        matches!(task.status, Assigned | Partitioned | Running | Starting)
    };
    let tasks = step.tables.tasks_on_host(host).filter(stays);
    let mut ids: Vec<TaskId> = tasks.map(|task| task.id.clone()).collect();
    shuffle(&mut ids, &mut step.means.rng);
    let mut questions = Vec::new();
    let rules = step.means.options.sla;
    for id in ids {
        let Some(task) = step.tables.task(&id).filter(stays).cloned() else {
            continue;
        };
        let active = step.tables.active_tasks_of_job(task.job());
        let active = active.map(|task| &**task);
        match may_drain(&rules, &request, &task, active, step.now.wall) {
            Permit::Denied => {}
            Permit::Granted => {
                step.transition(&id, ScheduleStatus::Draining, Some(WHY.to_owned()));
            }
            Permit::Ask { url, status_key } => questions.push(Question {
                countdown_ms: Some(remaining_ms(&request, step.now.wall)),
                task,
                url,
                status_key,
            }),
        }
    }
    questions
}

fn shuffle<T>(all: &mut [T], rng: &mut Rng) {
    for i in (1..all.len()).rev() {
        all.swap(i, rng.index(i + 1));
    }
}

impl Engine {
    /// The poll: everything that was refused before is tried again.
    pub(super) fn poll_maintenance(&mut self, now: Now) {
        let interval = self.means.options.maintenance_interval;
        self.timers.set(now.mono + interval, Timer::Maintenance);
        self.coordination.round.clear();
        self.coordination.waits.clear();
        self.drain_all(now);
    }

    fn drain_all(&mut self, now: Now) {
        let requests = self.head.maintenance_requests();
        let hosts: Vec<String> = requests.map(|request| request.host.clone()).collect();
        for host in hosts {
            self.drain_one(now, &host);
        }
    }

    /// Moves away what may leave a machine, and asks coordinators about the rest.
    pub(super) fn drain_one(&mut self, now: Now, host: &str) {
        let mut step = Step::new(now, &mut self.means, &self.head);
        left(&mut step, host);
        if step.tables.maintenance(host).is_some() {
            for question in drain_host(&mut step, host) {
                if self.coordination.admit(&question, step.means) {
                    step.outbox.push(Outgoing::Ask(Box::new(question)));
                }
            }
        }
        let done = step.done();
        self.settle(now, done);
    }

    /// A coordinator has answered, or could not be asked.
    pub fn handle_answered(&mut self, now: Now, answered: &Answered) {
        if !self.is_leading() || self.coordination.asked.remove(&answered.task).is_none() {
            return;
        }
        let counter = match answered.ruling {
            Ruling::Granted => "sla_coordinator_success",
            Ruling::Denied => "sla_coordinator_denied",
            Ruling::Malformed => "sla_coordinator_user_errors",
            Ruling::Unreachable => "sla_coordinator_errors",
        };
        self.means.count(counter, 1);
        if answered.ruling == Ruling::Granted {
            let mut step = Step::new(now, &mut self.means, &self.head);
            let task = step.tables.task(&answered.task);
            let host = task.and_then(|task| task.host.clone());
            // The machine may be back in service by now.
            let drained = host.is_some_and(|host| step.tables.maintenance(&host).is_some());
            if drained {
                let why = Some(WHY.to_owned());
                step.transition(&answered.task, ScheduleStatus::Draining, why);
            }
            let done = step.done();
            self.settle(now, done);
            if !drained && let Some(task) = self.head.task(&answered.task) {
                self.updates.grant(task);
            }
        }
        if std::mem::take(&mut self.coordination.starved) {
            self.drain_all(now);
        }
    }

    /// How long each task that is to leave its machine may still stay, by the names of the statistics.
    pub(super) fn maintenance_countdowns(&self) -> Vec<(String, i64)> {
        let mut all = Vec::new();
        for request in self.bottom.maintenance_requests() {
            let ms = remaining_ms(request, self.seen_at);
            let tasks = self.bottom.tasks_on_host(&request.host);
            for task in tasks.filter(|task| task.status.is_assigned()) {
                let (job, instance) = (task.job(), task.instance);
                all.push((format!("maintenance_countdown_ms_{job}/{instance}"), ms));
            }
        }
        all
    }
}
