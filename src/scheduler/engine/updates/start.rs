//! Starting an update.

use super::super::commands::check_size;
use super::super::step::Step;
use super::transition_counter;
use crate::domain::quota;
use crate::domain::update::{Diff, diff, irrelevant};
use crate::model::{InstanceConfig, JobKey, JobUpdate, UpdateEvent, UpdateKey, UpdateStatus};
use crate::scheduler::handle::{Reply, ReplyCode};
use crate::scheduler::update::UpdateRequest;
use crate::storage::{Op, ReplyResult, UpdateOp};
use std::sync::Arc;

/// Starts an update that leads a job to what `request` describes; the job need not be there.
pub(super) fn start(
    step: &mut Step<'_>,
    request: &UpdateRequest,
    message: Option<&str>,
    user: &str,
) -> Result<Reply, Reply> {
    let job = &request.config.job;
    if step.tables.cron_job(job).is_some() {
        let message = "Cron jobs may only be created/updated by calling scheduleCronJob.";
        return Err(Reply::invalid(message));
    }
    let diff = changes(step, request)?;
    if diff.is_empty() {
        let message = "Job is unchanged by proposed update.";
        return Ok(Reply::with(ReplyCode::Ok, message));
    }
    check_size(step, 0, request.instance_count)?;
    let update = Arc::new(planned(step, request, &diff, user));
    check_quota(step, &update)?;
    check_alone(step, job)?;
    let status = match super::patience(&update) {
        Some(_) => UpdateStatus::RollForwardAwaitingPulse,
        None => UpdateStatus::RollingForward,
    };
    let event = UpdateEvent {
        at: step.now.wall,
        status,
        user: Some(user.into()),
        message: message.map(Arc::from),
    };
    let key = update.key.clone();
    step.apply(Op::Update(UpdateOp::Start { update, event }));
    step.means.count(transition_counter(status), 1);
    let count = request.instance_count.into();
    step.means.count("thrift_workload_startJobUpdate", count);
    Ok(Reply::ok().telling(ReplyResult::Update(key)))
}

/// What would change, unless instances are named that are none.
fn changes(step: &Step<'_>, request: &UpdateRequest) -> Result<Diff, Reply> {
    let (tables, job) = (&step.tables, &request.config.job);
    let (only, count) = (&request.settings.only, request.instance_count);
    let active = |i| tables.active_instance(job, i).is_some();
    let strange = irrelevant(only, active, count);
    if !strange.is_empty() {
        let ids: Vec<String> = strange.iter().map(ToString::to_string).collect();
        return Err(Reply::invalid(format!(
            "The update request attempted to update specific instances, but some are irrelevant to \
             the update and current job state: [{}]",
            ids.join(", ")
        )));
    }
    let tasks = tables.active_tasks_of_job(job);
    let running = tasks.map(|task| (task.instance, Arc::clone(&task.config)));
    Ok(diff(running, &request.config, count, only))
}

fn planned(step: &mut Step<'_>, request: &UpdateRequest, diff: &Diff, user: &str) -> JobUpdate {
    let instances = diff.desired();
    JobUpdate {
        key: UpdateKey {
            job: request.config.job.clone(),
            id: step.means.rng.uuid().into(),
        },
        user: user.to_owned(),
        metadata: request.metadata.clone(),
        initial: diff.initial(),
        desired: (!instances.is_empty()).then(|| InstanceConfig {
            config: Arc::clone(&request.config),
            instances,
        }),
        settings: request.settings.clone(),
    }
}

/// Whether the role's quota allows the update: it counts as if it were under way.
fn check_quota(step: &Step<'_>, update: &Arc<JobUpdate>) -> Result<(), Reply> {
    let Some(desired) = &update.desired else {
        return Ok(());
    };
    let role = update.key.job.role();
    let mut tables = step.tables.clone();
    let event = UpdateEvent {
        at: step.now.wall,
        status: UpdateStatus::RollingForward,
        user: None,
        message: None,
    };
    let update = Arc::clone(update);
    let op = Op::Update(UpdateOp::Start { update, event });
    let applied = tables.apply(&op);
    applied.expect("the update's id is fresh");
    let quota = tables.quota(role).unwrap_or_default();
    let with = tables.consumption(role);
    quota::check_update(quota, &with, Some(&desired.config))
        .map_err(|details| Reply::invalid(format!("Insufficient resource quota: {details}")))
}

fn check_alone(step: &Step<'_>, job: &JobKey) -> Result<(), Reply> {
    let Some(other) = step.tables.updates().active_of(job) else {
        return Ok(());
    };
    let active = UpdateStatus::ALL.into_iter().filter(|s| s.is_active());
    let names: Vec<&str> = active.map(UpdateStatus::name).collect();
    let message = format!(
        "An active update already exists for this job, please terminate it before starting another. \
         Active updates are those in states [{}]",
        names.join(", ")
    );
    Err(Reply::invalid(message).telling(ReplyResult::Update(other.key().clone())))
}
