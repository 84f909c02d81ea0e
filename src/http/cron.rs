//! `/cron`: the cron jobs as JSON.
//!
//! `scheduled` is upstream's, in its shape; `jobs` says the rest: where each job's clock stands and what
//! became of its latest runs.

use super::state::Shared;
use super::vars::json_response;
use crate::base::clock::{self, Timestamp};
use crate::domain::cron::{Schedule, next_run};
use crate::model::{CronCollisionPolicy, CronJob, CronOutcome, CronRun, CronTrigger};
use serde_json::{Map, Value, json};
use tide::Request;

pub(super) async fn cron(request: Request<Shared>) -> tide::Result {
    let tables = request.state().config.source.tables();
    let now = clock::wall();
    let (mut scheduled, mut jobs) = (Map::new(), Map::new());
    for cron in tables.cron_jobs() {
        let key = cron.job.key.to_string();
        scheduled.insert(key.clone(), normal(cron).into());
        jobs.insert(key, job(cron, now));
    }
    json_response(&request, &json!({ "scheduled": scheduled, "jobs": jobs }))
}

/// The schedule in its normal form; as it was given if it cannot be read.
fn normal(cron: &CronJob) -> String {
    let given = cron.job.cron_schedule.clone().unwrap_or_default();
    Schedule::parse(&given).map_or(given, |schedule| schedule.to_string())
}

fn job(cron: &CronJob, now: Timestamp) -> Value {
    let runs: Vec<Value> = cron.runs.iter().rev().map(run).collect();
    json!({
        "schedule": cron.job.cron_schedule,
        "timezone": &*cron.zone,
        "collisionPolicy": policy(cron.job.cron_collision_policy),
        "version": cron.version,
        "decidedUpToMs": cron.cursor.as_ms(),
        "nextRunMs": next_run(cron, now).map(Timestamp::as_ms),
        "runs": runs,
    })
}

/// A policy's name.
pub(super) fn policy(policy: CronCollisionPolicy) -> &'static str {
    match policy {
        CronCollisionPolicy::CancelNew => "CANCEL_NEW",
        CronCollisionPolicy::KillExisting => "KILL_EXISTING",
        CronCollisionPolicy::RunOverlap => "RUN_OVERLAP",
    }
}

fn run(run: &CronRun) -> Value {
    let mut shown = json!({
        "number": run.number,
        "atMs": run.at.as_ms(),
        "decidedMs": run.decided.as_ms(),
        "outcome": run.outcome.name(),
    });
    if let CronTrigger::User(user) = &run.trigger {
        shown["startedBy"] = user.as_str().into();
    }
    match run.outcome {
        CronOutcome::Ended {
            started,
            ended,
            failed,
        } => {
            shown["startedMs"] = started.as_ms().into();
            shown["endedMs"] = ended.as_ms().into();
            shown["failedInstances"] = failed.into();
        }
        CronOutcome::Missed { first, count } => {
            shown["firstMs"] = first.as_ms().into();
            shown["count"] = count.into();
        }
        CronOutcome::Started { at, instances } => {
            shown["startedMs"] = at.as_ms().into();
            shown["instances"] = instances.into();
        }
        CronOutcome::Cancelled
        | CronOutcome::Overtaken
        | CronOutcome::Waiting
        | CronOutcome::WouldOverlap => {}
    }
    shown
}
