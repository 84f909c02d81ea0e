//! Runs of cron jobs, as parts of steps, and the commands that concern cron jobs.

use super::commands::{check_not_updating, check_size};
use super::step::Step;
use crate::base::clock::Timestamp;
use crate::domain::cron::{CATCH_UP_KEY, Missed, Schedule, Verdict, catch_up_window, collide};
use crate::domain::quota;
use crate::model::{
    CronCollisionPolicy, CronJob, CronOutcome, CronRun, CronTrigger, InstanceId, JobConfiguration,
    JobKey, ScheduleStatus,
};
use crate::scheduler::handle::{Reply, ReplyCode};
use crate::storage::Op;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Decides about a run that is due, and does it.
pub(super) fn trigger(
    step: &mut Step<'_>,
    job: &JobKey,
    trigger: CronTrigger,
    at: Timestamp,
) -> Option<Verdict> {
    let cron = step.tables.cron_job(job).cloned()?;
    let tasks: Vec<_> = step.tables.active_tasks_of_job(job).cloned().collect();
    let policy = cron.job.cron_collision_policy;
    let verdict = collide(policy, cron.waiting().is_some(), !tasks.is_empty());
    step.means.count(
        match verdict {
            Verdict::Overtake => "cron_job_concurrent_runs",
            _ => "cron_job_triggers",
        },
        1,
    );
    if verdict != Verdict::Overtake && !tasks.is_empty() {
        step.means.count("cron_job_collisions", 1);
    }
    let outcome = match verdict {
        Verdict::Cancel => CronOutcome::Cancelled,
        Verdict::KillFirst => CronOutcome::Waiting,
        Verdict::Overtake => CronOutcome::Overtaken,
        Verdict::RefuseOverlap => CronOutcome::WouldOverlap,
        Verdict::Start => start(step, &cron.job),
    };
    let cursor = match trigger {
        CronTrigger::Schedule => at,
        CronTrigger::User(_) => cron.cursor,
    };
    let run = CronRun {
        number: cron.next_number(),
        trigger,
        at,
        decided: step.now.wall,
        outcome,
    };
    note(step, &cron, run, cursor);
    if verdict == Verdict::KillFirst {
        for task in tasks {
            let why = "Killed by cronScheduler".to_owned();
            step.transition(&task.id, ScheduleStatus::Killing, Some(why));
        }
    }
    Some(verdict)
}

/// Records instants that are too old to be made up for.
pub(super) fn miss(step: &mut Step<'_>, cron: &CronJob, missed: Missed) {
    step.means.count("cron_job_misfires", missed.count.into());
    let run = CronRun {
        number: cron.next_number(),
        trigger: CronTrigger::Schedule,
        at: missed.last,
        decided: step.now.wall,
        outcome: CronOutcome::Missed {
            first: missed.first,
            count: missed.count,
        },
    };
    note(step, cron, run, missed.last);
}

/// Nothing of the job is active any more: its open run has ended, and the one that waits begins.
pub(super) fn close(step: &mut Step<'_>, cron: &CronJob) {
    for run in cron.open_runs() {
        let outcome = match run.outcome {
            CronOutcome::Started { at, instances } => CronOutcome::Ended {
                started: at,
                ended: step.now.wall.max(at),
                failed: instances.saturating_sub(finished(step, &cron.job.key, at)),
            },
            CronOutcome::Waiting => start(step, &cron.job),
            _ => continue,
        };
        let run = CronRun {
            outcome,
            ..run.clone()
        };
        note(step, cron, run, cron.cursor);
    }
}

fn note(step: &mut Step<'_>, cron: &CronJob, run: CronRun, cursor: Timestamp) {
    let job = cron.job.key.clone();
    step.apply(Op::NoteCronRun { job, run, cursor });
}

fn start(step: &mut Step<'_>, job: &JobConfiguration) -> CronOutcome {
    step.add_tasks(&job.task, 0..job.instance_count);
    CronOutcome::Started {
        at: step.now.wall,
        instances: job.instance_count,
    }
}

/// How many instances ended well of what was started at this time.
fn finished(step: &Step<'_>, job: &JobKey, started: Timestamp) -> u32 {
    let mut last: BTreeMap<InstanceId, ScheduleStatus> = BTreeMap::new();
    let ended = step.tables.job(job).into_iter().flat_map(|job| job.ended());
    for task in ended.filter_map(|(_, id)| step.tables.task(id)) {
        if task.events.first().is_some_and(|event| event.at >= started) {
            last.insert(task.instance, task.status);
        }
    }
    let well = last.values().filter(|s| **s == ScheduleStatus::Finished);
    u32::try_from(well.count()).unwrap_or(u32::MAX)
}

/// Stores a cron job, or what takes the place of one; only that if `replace`.
pub(super) fn schedule(
    step: &mut Step<'_>,
    job: &JobConfiguration,
    replace: bool,
) -> Result<Reply, Reply> {
    let key = &job.key;
    let Some(text) = job.cron_schedule.as_deref() else {
        return Err(Reply::invalid(format!("Job {key} has no cron schedule")));
    };
    if *key != job.task.job {
        return Err(Reply::invalid("Job key and task key do not agree."));
    }
    check_not_updating(step, key)?;
    check_size(step, 0, job.instance_count)?;
    let old = step.tables.cron_job(key).cloned();
    let active = step.tables.active_tasks_of_job(key).next().is_some();
    match old {
        None if replace => return Err(no_such_job("", key)),
        None if active => return Err(Reply::invalid(format!("Job {key} already exists"))),
        _ => {}
    }
    if text.is_empty() {
        let message = format!("Job {key} has an empty cron schedule.");
        return Err(Reply::invalid(message));
    }
    if job.cron_collision_policy == CronCollisionPolicy::RunOverlap {
        let message = "The RUN_OVERLAP collision policy has been removed (AURORA-38).";
        return Err(Reply::invalid(message));
    }
    let schedule = Schedule::parse(text).map_err(|error| Reply::invalid(error.to_string()))?;
    let default = step.means.options.cron_catch_up;
    if let Err(error) = catch_up_window(&job.task, default) {
        return Err(Reply::invalid(format!("Metadata {CATCH_UP_KEY}: {error}")));
    }
    let new = successor(step, old.as_deref(), job, &schedule);
    step.apply(Op::SetCronJob(Arc::new(new)));
    check_quota(step, job)?;
    let counter = "thrift_workload_createOrUpdateCronTemplate";
    step.means.count(counter, job.instance_count.into());
    Ok(Reply::ok())
}

/// What is stored of a job, given what is stored of it now.
///
/// As long as the schedule means the same, what was decided stays decided. A new schedule is decided
/// about from now on. A job keeps its time zone until it is descheduled.
fn successor(
    step: &Step<'_>,
    old: Option<&CronJob>,
    job: &JobConfiguration,
    schedule: &Schedule,
) -> CronJob {
    let job = Arc::new(job.clone());
    // Rises with the log, so that a job that comes back does not get a version it has had.
    let version = step.tables.version() + 1;
    let Some(old) = old else {
        return CronJob {
            job,
            zone: Arc::clone(&step.means.options.cron_zone),
            version,
            cursor: step.now.wall,
            runs: Vec::new(),
        };
    };
    let before = old.job.cron_schedule.as_deref().unwrap_or_default();
    let same = Schedule::parse(before).as_ref() == Ok(schedule);
    let (version, cursor) = match same {
        true => (old.version, old.cursor),
        false => (version.max(old.version + 1), step.now.wall),
    };
    CronJob {
        job,
        version,
        cursor,
        ..old.clone()
    }
}

/// Whether the role's quota bears its jobs with the template that has just been put in place.
fn check_quota(step: &Step<'_>, job: &JobConfiguration) -> Result<(), Reply> {
    let role = job.key.role();
    let quota = step.tables.quota(role).unwrap_or_default();
    let used = step.tables.consumption(role);
    quota::check_addition(quota, &used, &job.task, 0)
        .map_err(|details| Reply::invalid(format!("Insufficient resource quota: {details}")))
}

/// Forgets a cron job. What runs of it goes on; a run that waits for it never begins.
pub(super) fn deschedule(step: &mut Step<'_>, job: &JobKey) -> Result<Reply, Reply> {
    check_not_updating(step, job)?;
    if step.tables.cron_job(job).is_none() {
        let message = format!("Job {job} is not scheduled with cron");
        return Ok(Reply::with(ReplyCode::Ok, message));
    }
    step.apply(Op::RemoveCronJob { job: job.clone() });
    Ok(Reply::ok())
}

/// Runs a cron job now, whatever its schedule. Its collision policy holds.
pub(super) fn start_now(step: &mut Step<'_>, job: &JobKey, user: &str) -> Result<Reply, Reply> {
    let by = CronTrigger::User(user.to_owned());
    let at = step.now.wall;
    let verdict = trigger(step, job, by, at);
    let verdict = verdict.ok_or_else(|| no_such_job("Failed to start cron job - ", job))?;
    let said = match verdict {
        Verdict::Start => return Ok(Reply::ok()),
        Verdict::Cancel => "is still active, and its collision policy is CANCEL_NEW: not started",
        Verdict::KillFirst => "is still active: it is killed first, and then started",
        Verdict::Overtake => "has a run that waits for the one before it to end: not started again",
        Verdict::RefuseOverlap => "is still active, and its runs must not overlap: not started",
    };
    Ok(Reply::with(ReplyCode::Ok, format!("Job {job} {said}.")))
}

fn no_such_job(prefix: &str, job: &JobKey) -> Reply {
    Reply::invalid(format!("{prefix}No cron job found for {job}."))
}
