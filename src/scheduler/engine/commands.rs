//! Commands: what people ask for.

use super::admin;
use super::cron_runs;
use super::step::Step;
use super::updates;
use crate::domain::lifecycle::Outcome;
use crate::domain::quota;
use crate::model::{
    InstanceId, JobConfiguration, JobKey, ScheduleStatus, ScheduledTask, TaskConfig,
};
use crate::scheduler::handle::{Command, Reply, ReplyCode};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Carries a command out. What is not [`ReplyCode::Ok`] has changed nothing that may be kept.
pub(super) fn run(step: &mut Step<'_>, command: &Command) -> Reply {
    let done = match command {
        Command::Admin(command) => admin::run(step, command),
        Command::AddInstances {
            job,
            instance,
            count,
            user: _,
        } => add_instances(step, job, *instance, *count),
        Command::CreateJob { job, user: _ } => create_job(step, job),
        Command::DescheduleCronJob { job, user: _ } => cron_runs::deschedule(step, job),
        Command::KillTasks {
            job,
            instances,
            message,
            user,
        } => kill_tasks(step, job, instances, message.as_deref(), user),
        Command::RestartShards { job, shards, user } => restart_shards(step, job, shards, user),
        Command::Update(command) => updates::run(step, command),
        Command::ScheduleCronJob {
            job,
            replace,
            user: _,
        } => cron_runs::schedule(step, job, *replace),
        Command::StartCronJob { job, user } => cron_runs::start_now(step, job, user),
    };
    done.unwrap_or_else(|refusal| refusal)
}

fn create_job(step: &mut Step<'_>, job: &JobConfiguration) -> Result<Reply, Reply> {
    if job.cron_schedule.is_some() {
        let message = "Cron jobs may only be created/updated by calling scheduleCronJob.";
        return Err(Reply::invalid(message));
    }
    if job.key != job.task.job {
        return Err(Reply::invalid("Job key and task key do not agree."));
    }
    check_not_updating(step, &job.key)?;
    let active = step.tables.active_tasks_of_job(&job.key).next().is_some();
    if active || step.tables.cron_job(&job.key).is_some() {
        return Err(Reply::invalid(format!("Job {} already exists", job.key)));
    }
    check_size(step, 0, job.instance_count)?;
    check_quota(step, &job.task, job.instance_count)?;
    step.add_tasks(&job.task, 0..job.instance_count);
    step.means
        .count("thrift_workload_createJob", job.instance_count.into());
    let (count, key) = (job.instance_count, &job.key);
    let message = format!("{count} new tasks pending for job {key}");
    Ok(Reply::with(ReplyCode::Ok, message))
}

fn add_instances(
    step: &mut Step<'_>,
    job: &JobKey,
    instance: InstanceId,
    count: i32,
) -> Result<Reply, Reply> {
    let count = u32::try_from(count).unwrap_or(0);
    if count == 0 {
        return Err(Reply::invalid("Instance count must be positive."));
    }
    check_not_updating(step, job)?;
    if step.tables.cron_job(job).is_some() {
        return Err(Reply::invalid("Instances may not be added to cron jobs."));
    }
    let Some(model) = step.tables.active_instance(job, instance).cloned() else {
        return Err(Reply::invalid(
            "No active task found for a given instance ID.",
        ));
    };
    let tasks = step.tables.job(job);
    let active = tasks.map_or(0, |tasks| tasks.active_count());
    let highest = tasks.and_then(|tasks| tasks.highest_active()).unwrap_or(0);
    check_size(step, active, count)?;
    check_quota(step, &model.config, count)?;
    let Some(end) = highest
        .checked_add(count)
        .and_then(|end| end.checked_add(1))
    else {
        return Err(Reply::invalid("Instance ID collision detected."));
    };
    step.add_tasks(&model.config, highest + 1..end);
    step.means
        .count("thrift_workload_addInstances", count.into());
    Ok(Reply::ok())
}

fn kill_tasks(
    step: &mut Step<'_>,
    job: &JobKey,
    instances: &BTreeSet<InstanceId>,
    message: Option<&str>,
    user: &str,
) -> Result<Reply, Reply> {
    check_not_updating(step, job)?;
    let mut text = format!("Killed by {user}");
    if let Some(message) = message {
        text = format!("{text}.\n{message}");
    }
    let mut killed = 0;
    for task in active(step, job, instances) {
        let outcome = step.transition(&task.id, ScheduleStatus::Killing, Some(text.clone()));
        killed += u64::from(outcome == Outcome::Success);
    }
    step.means.count("thrift_workload_killTasks", killed);
    Ok(match killed {
        0 => Reply::with(ReplyCode::Ok, "No tasks to kill."),
        _ => Reply::ok(),
    })
}

fn restart_shards(
    step: &mut Step<'_>,
    job: &JobKey,
    shards: &BTreeSet<InstanceId>,
    user: &str,
) -> Result<Reply, Reply> {
    if shards.is_empty() {
        return Err(Reply::with(
            ReplyCode::Error,
            "At least one shard must be specified.",
        ));
    }
    check_not_updating(step, job)?;
    let tasks = active(step, job, shards);
    if tasks.len() != shards.len() {
        return Err(Reply::invalid("Not all requested shards are active."));
    }
    for task in tasks {
        let text = format!("Restarted by {user}");
        step.transition(&task.id, ScheduleStatus::Restarting, Some(text));
    }
    step.means
        .count("thrift_workload_restartShards", shards.len() as u64);
    Ok(Reply::ok())
}

/// The active tasks among these instances, or all if none is named.
fn active(
    step: &Step<'_>,
    job: &JobKey,
    instances: &BTreeSet<InstanceId>,
) -> Vec<Arc<ScheduledTask>> {
    if instances.is_empty() {
        return step.tables.active_tasks_of_job(job).cloned().collect();
    }
    let one = |i: &InstanceId| step.tables.active_instance(job, *i).cloned();
    instances.iter().filter_map(one).collect()
}

/// Whoever updates a job has it for itself: what others would change is refused until the update ends.
pub(super) fn check_not_updating(step: &Step<'_>, job: &JobKey) -> Result<(), Reply> {
    match step.tables.updates().active_of(job) {
        None => Ok(()),
        Some(_) => Err(Reply::with(
            ReplyCode::JobUpdatingError,
            "Job is currently updating",
        )),
    }
}

pub(super) fn check_size(step: &Step<'_>, have: usize, more: u32) -> Result<(), Reply> {
    let max = step.means.options.max_tasks_per_job;
    let sum = have.saturating_add(more as usize);
    match more >= 1 && sum <= max as usize {
        true => Ok(()),
        false => Err(Reply::invalid(format!(
            "Instance count must be between 1 and {max} inclusive."
        ))),
    }
}

fn check_quota(step: &Step<'_>, config: &TaskConfig, count: u32) -> Result<(), Reply> {
    if !config.production {
        return Ok(());
    }
    let role = config.job.role();
    let quota = step.tables.quota(role).unwrap_or_default();
    let used = step.tables.consumption(role);
    quota::check_addition(quota, &used, config, count)
        .map_err(|details| Reply::invalid(format!("Insufficient resource quota: {details}")))
}
