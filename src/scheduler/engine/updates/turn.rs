//! One turn of an update.

use super::super::Engine;
use super::super::affinity::{Place, fits_in_place};
use super::super::maintenance::Coordination;
use super::super::step::{Outgoing, Step};
use super::live::{Protection, Rolling};
use super::{instance_counter, is_unvouched, pulse_ends, set_status};
use crate::base::clock::Now;
use crate::domain::sla::{Permit, may_kill};
use crate::domain::update::{Act, Direction, Need, Turn, TurnOutcome, awaiting, failed};
use crate::model::{
    AgentId, InstanceId, InstanceUpdateEvent, JobKey, ScheduleStatus, ScheduledTask, SlaPolicy,
    UpdateAction, UpdateStatus,
};
use crate::scheduler::admin::Question;
use crate::storage::{Op, UpdateOp, UpdateRecord};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const SILENCE: &str = "Pulses from external service have timed out.";

impl Engine {
    /// Lets updates go on as far as they can now.
    pub(in crate::scheduler::engine) fn run_updates(&mut self, now: Now) {
        while !self.is_full() {
            let Some((job, instances)) = self.updates.take(now.mono) else {
                break;
            };
            self.run_update(now, &job, instances);
        }
    }

    fn run_update(&mut self, now: Now, job: &JobKey, instances: BTreeSet<InstanceId>) {
        let Some(rolling) = self.updates.rolling.get_mut(job) else {
            return;
        };
        let Some(record) = self.head.updates().get(&rolling.key).cloned() else {
            return;
        };
        let update = record.update();
        let mut step = Step::new(now, &mut self.means, &self.head);
        if is_unvouched(update, &step.means.pulses, now) {
            let to = awaiting(record.status());
            set_status(&mut step, &rolling.key, to, None, Some(SILENCE));
            let done = step.done();
            return self.settle(now, done);
        }
        let mut after = After::default();
        if rolling.pulse_check <= now.mono
            && let Some(ends) = pulse_ends(update, &step.means.pulses)
        {
            rolling.pulse_check = ends;
            after.later.push((ends.since(now.mono), None));
        }
        let head = &self.head;
        let look = |i| head.active_instance(job, i).cloned();
        let turn = rolling.updater.evaluate(instances, look, now.wall);
        carry_out(&mut step, rolling, &record, &turn, &mut after);
        ask(&mut step, &mut self.coordination, after.asked);
        let done = step.done();
        for (pause, instance) in after.later {
            self.updates
                .mark_at(now.mono + pause, job.clone(), instance);
        }
        if let Some(hold) = self.means.options.update_affinity {
            self.keep_for_updates(now, after.kept, hold);
        }
        self.settle(now, done);
    }
}

/// What a turn leaves besides its changes.
#[derive(Default)]
struct After {
    /// What is looked at later.
    later: Vec<(Duration, Option<InstanceId>)>,
    /// What coordinators are asked.
    asked: Vec<Question>,
    /// Machines of instances that are to come back to them.
    kept: Vec<(Place, AgentId)>,
}

/// Where it is noted what an act leaves.
struct Notes<'n> {
    /// What is said of instances.
    events: &'n mut Vec<InstanceUpdateEvent>,
    /// What is left for later.
    after: &'n mut After,
}

/// Asks coordinators; one that is busy is asked at the next try.
fn ask(step: &mut Step<'_>, coordination: &mut Coordination, asked: Vec<Question>) {
    for question in asked {
        if coordination.admit(&question, step.means) {
            step.outbox.push(Outgoing::Ask(Box::new(question)));
        }
    }
}

/// Counts what becomes of tries to take down an instance that a promise protects.
fn count(step: &mut Step<'_>, what: &str, task: &ScheduledTask) {
    let name = format!("updates_sla_kill_{what}_{}", task.job());
    step.means.count_for(name, 1);
}

/// Makes of a turn what is stored and done.
fn carry_out(
    step: &mut Step<'_>,
    rolling: &mut Rolling,
    record: &UpdateRecord,
    turn: &Turn,
    after: &mut After,
) {
    let mut events = Vec::new();
    for act in &turn.acts {
        if let Some(action) = act.event {
            let known = record.knows(act.instance);
            let begins = action == rolling.updater.direction().begun();
            let said = record.has_said(act.instance, action);
            let fresh = events
                .iter()
                .any(|e: &InstanceUpdateEvent| e.instance == act.instance);
            if !said && (known || begins || fresh) {
                events.push(event(step, record, act.instance, action, None));
            }
        }
        // An update that has failed does nothing more this way.
        if matches!(turn.outcome, TurnOutcome::Failed(_)) {
            continue;
        }
        let notes = Notes {
            events: &mut events,
            after,
        };
        do_needed(step, rolling, record, act, notes);
    }
    if !events.is_empty() {
        for event in &events {
            step.means.count(instance_counter(event.action), 1);
        }
        let key = rolling.key.clone();
        step.apply(Op::Update(UpdateOp::InstanceEvents { key, events }));
    }
    let from = record.status();
    let (to, message) = match turn.outcome {
        TurnOutcome::Working => return,
        TurnOutcome::Pause => (
            UpdateStatus::RollForwardPaused,
            Some("Update auto paused".to_owned()),
        ),
        TurnOutcome::Succeeded => match rolling.updater.direction() {
            Direction::Forward => (UpdateStatus::RolledForward, None),
            Direction::Back => (UpdateStatus::RolledBack, None),
        },
        TurnOutcome::Failed(instance) => {
            let rollback = record.update().settings.rollback_on_failure;
            let message = format!("Latest failure: instance {instance} exited.");
            (failed(from, rollback), Some(message))
        }
    };
    set_status(step, &rolling.key, to, None, message.as_deref());
}

fn event(
    step: &Step<'_>,
    record: &UpdateRecord,
    instance: InstanceId,
    action: UpdateAction,
    message: Option<&str>,
) -> InstanceUpdateEvent {
    let last = record.events().last().map(|event| event.at);
    InstanceUpdateEvent {
        instance,
        at: step.now.wall.max(last.unwrap_or_default()),
        action,
        message: message.map(Arc::from),
    }
}

fn do_needed(
    step: &mut Step<'_>,
    rolling: &mut Rolling,
    record: &UpdateRecord,
    act: &Act,
    mut notes: Notes<'_>,
) {
    let instance = act.instance;
    match act.need {
        Need::Nothing | Need::Wait => {}
        Need::Watch(rest) => notes.after.later.push((rest, Some(instance))),
        Need::Add => {
            if let Some(config) = rolling.updater.target(instance).cloned() {
                step.add_tasks(&config, std::iter::once(instance));
            }
        }
        Need::Kill => {
            let job = &record.key().job;
            let Some(task) = step.tables.active_instance(job, instance).cloned() else {
                return;
            };
            if !is_allowed(step, rolling, record, &task, &mut notes) {
                return;
            }
            let why = format!("Killed for job update {}", record.key().id);
            step.transition(&task.id, ScheduleStatus::Killing, Some(why));
            let next = rolling.updater.target(instance);
            let agent = task.agent.clone().filter(|_| task.status.is_assigned());
            if let Some(agent) = agent
                && next.is_some_and(|next| fits_in_place(&task.config, next))
            {
                let place = (task.job().clone(), instance);
                notes.after.kept.push((place, agent));
            }
        }
    }
}

/// Whether a task may be taken down now; if not, it is asked again later.
fn is_allowed(
    step: &mut Step<'_>,
    rolling: &mut Rolling,
    record: &UpdateRecord,
    task: &Arc<ScheduledTask>,
    notes: &mut Notes<'_>,
) -> bool {
    let Some(policy) = policy(rolling, record, task.instance) else {
        return true;
    };
    let instance = task.instance;
    let action = rolling.updater.direction().begun();
    let protection = rolling.protected.get(&instance).copied();
    if let Some(Protection::Refused(_, until)) = protection
        && step.now.mono < until
    {
        return false;
    }
    let text = "Checking SLA before continuing.";
    if protection.is_none() && !has_told(record, instance, action, text) {
        let told = event(step, record, instance, action, Some(text));
        notes.events.push(told);
    }
    count(step, "attempt", task);
    let permit = match protection {
        Some(Protection::Granted) => Permit::Granted,
        _ if task.status.is_assigned() => {
            let active = step.tables.active_tasks_of_job(task.job());
            let active = active.map(|task| &**task);
            may_kill(
                &step.means.options.sla,
                &policy,
                task,
                active,
                step.now.wall,
            )
        }
        // Nothing of it is up.
        _ => Permit::Granted,
    };
    if permit == Permit::Granted {
        rolling.protected.remove(&instance);
        let text = "SLA check passed, continuing.";
        let told = event(step, record, instance, action, Some(text));
        notes.events.push(told);
        count(step, "success", task);
        return true;
    }
    if let Permit::Ask { url, status_key } = permit {
        notes.after.asked.push(Question {
            task: Arc::clone(task),
            url,
            status_key,
            countdown_ms: None,
        });
    }
    let last = match protection {
        Some(Protection::Refused(pause, _)) => pause,
        Some(Protection::Granted) | None => Duration::ZERO,
    };
    let backoff = step.means.options.sla_kill_retry;
    let pause = backoff.next(last, &mut step.means.rng);
    let until = step.now.mono + pause;
    let refused = Protection::Refused(pause, until);
    rolling.protected.insert(instance, refused);
    notes.after.later.push((pause, Some(instance)));
    false
}

/// Whether this was said of the instance in these words since the update last began to roll.
fn has_told(record: &UpdateRecord, instance: InstanceId, action: UpdateAction, text: &str) -> bool {
    let mut events = record.instance_events_since_change();
    events
        .any(|e| e.instance == instance && e.action == action && e.message.as_deref() == Some(text))
}

/// The promise that binds an update at an instance, if it minds any.
fn policy(rolling: &Rolling, record: &UpdateRecord, instance: InstanceId) -> Option<SlaPolicy> {
    let update = record.update();
    let config = match rolling.updater.direction() {
        Direction::Forward => update.desired.as_ref().map(|group| &group.config),
        Direction::Back => rolling.updater.target(instance),
    };
    let policy = config.and_then(|config| config.sla_policy.clone());
    policy.filter(|_| update.settings.sla_aware)
}
