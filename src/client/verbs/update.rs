//! `aurora update`.

use crate::base::rng::Rng;
use crate::client::args::{UpdateInfo, UpdateList, UpdateRollback, UpdateStart, UpdateWait};
use crate::client::convert;
use crate::client::exit::{CommandError, Exit, Outcome};
use crate::client::key::ClusterJob;
use crate::client::render::diff::ranges;
use crate::client::render::update as render;
use crate::client::scheduler::{COMMAND_FAILURE, Repeat, details, expect_ok};
use crate::client::session::{JobSource, Session};
use crate::thrift::api::{
    ACTIVE_JOB_UPDATE_STATES, ConfigGroup, JobUpdateDetails, JobUpdateKey, JobUpdateQuery,
    JobUpdateRequest, JobUpdateStatus, JobUpdateSummary, Metadata, Response, ResponseCode,
    ResponseResult, StartJobUpdateResult,
};
use crate::thrift::service::{
    AbortJobUpdate, GetJobUpdateDetails, GetJobUpdateDiff, GetJobUpdateSummaries, PauseJobUpdate,
    Request, ResumeJobUpdate, RollbackJobUpdate, StartJobUpdate,
};
use std::collections::BTreeSet;
use std::time::Duration;

/// How often the state of an update is asked for.
const POLL: Duration = Duration::from_secs(5);

/// What marks an update as ours, so that one whose answer was lost is known again.
const MARK: &str = "org.apache.aurora.client.update_id";

/// Starts an update.
pub fn start(session: &mut Session<'_, '_>, args: &UpdateStart) -> Outcome {
    let key = &args.spec.key;
    let source = JobSource {
        file: &args.config_file,
        bind: &args.bind,
        read_json: args.read_json,
    };
    let job = session.load_job(key, &source)?;
    if job.config.cron_schedule.is_some() {
        let message = format!(
            "{key} is a cron job: use \"aurora cron schedule\" instead of \"aurora update start\""
        );
        return Err(CommandError::new(Exit::CommandFailure, message));
    }
    let settings = job.update.as_ref().map_err(|reason| {
        let message = format!("Error loading configuration: {reason}");
        CommandError::new(Exit::InvalidConfiguration, message)
    })?;
    let configuration = convert::job_configuration(&job);
    let mark = Metadata {
        key: Some(MARK.to_owned()),
        value: Some(Rng::from_os().uuid()),
    };
    let request = JobUpdateRequest {
        task_config: configuration.task_config,
        instance_count: configuration.instance_count,
        settings: Some(convert::update_settings(
            settings,
            args.spec.instances.as_ref(),
        )),
        metadata: vec![mark.clone()],
    };
    show_diff(session, key, &request)?;
    session
        .world
        .info(&format!("Starting update for: {}", key.job.name()));
    let request = Request::StartJobUpdate(Box::new(StartJobUpdate {
        request: Some(request),
        message: args.message.clone(),
    }));
    let response = session.call(&key.cluster, &request, Repeat::Always)?;
    let said = details(&response);
    let Some(update) = started(session, response, &mark)? else {
        session.world.print(&said);
        return Ok(Exit::Ok);
    };
    let id = update.id.clone().unwrap_or_default();
    let url = format!("{}/update/{id}", session.job_page(key)?);
    session.world.print(&format!(
        "Job update has started. View your update progress at {url}"
    ));
    session.open_job_page(key, args.open_browser)?;
    match args.wait {
        true => wait_for(session, key, update, JobUpdateStatus::RolledForward),
        false => Ok(Exit::Ok),
    }
}

/// The update that was started; `None` if nothing is to change.
///
/// An update under way that bears our mark is ours: the answer to its start was lost.
fn started(
    session: &mut Session<'_, '_>,
    response: Response,
    mark: &Metadata,
) -> Result<Option<JobUpdateKey>, CommandError> {
    let marked = |result: &StartJobUpdateResult| {
        let summary = result.update_summary.as_ref();
        summary.is_some_and(|summary| summary.metadata.contains(mark))
    };
    if response.response_code == Some(ResponseCode::InvalidRequest)
        && let Some(ResponseResult::StartJobUpdateResult(result)) = &response.result
        && marked(result)
    {
        return Ok(result.key.clone());
    }
    let heading = "Failed to start update due to error:";
    match expect_ok(session.world, response, Exit::Api, heading)? {
        Some(ResponseResult::StartJobUpdateResult(result)) => Ok(result.key),
        _ => Ok(None),
    }
}

fn show_diff(
    session: &mut Session<'_, '_>,
    key: &ClusterJob,
    request: &JobUpdateRequest,
) -> Result<(), CommandError> {
    let request = Request::GetJobUpdateDiff(Box::new(GetJobUpdateDiff {
        request: Some(request.clone()),
    }));
    let heading = (Exit::Api, COMMAND_FAILURE);
    let result = session.demand(&key.cluster, &request, Repeat::Always, heading)?;
    let Some(ResponseResult::GetJobUpdateDiffResult(diff)) = result else {
        let message = "the scheduler's reply holds no difference";
        return Err(CommandError::new(Exit::Unknown, message));
    };
    session.world.print("This job update will:");
    let lines = [
        ("add instances", &diff.add),
        ("remove instances", &diff.remove),
        ("update instances", &diff.update),
        ("not change instances", &diff.unchanged),
    ];
    for (what, groups) in lines {
        let instances = instances(groups);
        if !instances.is_empty() {
            let text = format!("{what}: {}", ranges(&instances));
            session.world.print(&text);
        }
    }
    Ok(())
}

fn instances(groups: &[ConfigGroup]) -> BTreeSet<u32> {
    /// Replies are bounded by what a scheduler can hold.
    const MOST: usize = 1_000_000;
    let one = |n: i32| u32::try_from(n).unwrap_or(0);
    let ranges = groups.iter().flat_map(|group| group.instances.iter());
    let all = ranges.flat_map(|range| one(range.first)..=one(range.last));
    all.take(MOST).collect()
}

/// What is done to the update that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It ends where it stands.
    Abort,
    /// It stops for a while.
    Pause,
    /// It goes on.
    Resume,
}

/// Changes the update of a job that is under way.
pub fn change(
    session: &mut Session<'_, '_>,
    key: &ClusterJob,
    message: Option<&String>,
    change: Change,
) -> Outcome {
    let update = the_active_one(session, key)?;
    let (update, message) = (Some(update), message.cloned());
    let (request, verb, done) = match change {
        Change::Abort => {
            let args = AbortJobUpdate {
                key: update,
                message,
            };
            let request = Request::AbortJobUpdate(Box::new(args));
            (request, "abort", "Update has been aborted.")
        }
        Change::Pause => {
            let args = PauseJobUpdate {
                key: update,
                message,
            };
            let request = Request::PauseJobUpdate(Box::new(args));
            (request, "pause", "Update has been paused.")
        }
        Change::Resume => {
            let args = ResumeJobUpdate {
                key: update,
                message,
            };
            let request = Request::ResumeJobUpdate(Box::new(args));
            (request, "resume", "Update has been resumed.")
        }
    };
    let heading = format!("Failed to {verb} update due to error:");
    let heading = (Exit::Api, heading.as_str());
    session.demand(&key.cluster, &request, Repeat::ById, heading)?;
    session.world.print(done);
    Ok(Exit::Ok)
}

/// Undoes the update of a job that is under way.
pub fn rollback(session: &mut Session<'_, '_>, args: &UpdateRollback) -> Outcome {
    let key = &args.key;
    let update = the_active_one(session, key)?;
    let request = Request::RollbackJobUpdate(Box::new(RollbackJobUpdate {
        key: Some(update.clone()),
        message: args.message.clone(),
    }));
    let heading = (Exit::Api, "Failed to rollback update due to error:");
    session.demand(&key.cluster, &request, Repeat::ById, heading)?;
    session.world.print("Update rollback has started.");
    match args.wait {
        true => wait_for(session, key, update, JobUpdateStatus::RolledBack),
        false => Ok(Exit::Ok),
    }
}

/// Waits for an update.
pub fn wait(session: &mut Session<'_, '_>, args: &UpdateWait) -> Outcome {
    let key = &args.key;
    let update = match &args.id {
        Some(id) => named(key, id),
        None => the_active_one(session, key)?,
    };
    wait_for(session, key, update, JobUpdateStatus::RolledForward)
}

fn wait_for(
    session: &mut Session<'_, '_>,
    key: &ClusterJob,
    update: JobUpdateKey,
    goal: JobUpdateStatus,
) -> Outcome {
    let mut last = None;
    loop {
        let query = JobUpdateQuery {
            key: Some(update.clone()),
            ..JobUpdateQuery::default()
        };
        let found = summaries(session, &key.cluster, query)?;
        let summary = match found.as_slice() {
            [summary] => summary,
            [] => return Err(CommandError::parameter("Job update not found.")),
            [_, _, ..] => return Err(ambiguous()),
        };
        let status = summary.state.as_ref().and_then(|state| state.status);
        let status = status.ok_or_else(|| {
            CommandError::new(Exit::Unknown, "the scheduler's reply holds no state")
        })?;
        if last != Some(status) {
            let text = format!("Current state {}", status.name());
            session.world.print(&text);
            last = Some(status);
        }
        if !ACTIVE_JOB_UPDATE_STATES.contains(&status) {
            return Ok(match status {
                status if status == goal => Exit::Ok,
                JobUpdateStatus::RolledForward | JobUpdateStatus::RolledBack => {
                    Exit::CommandFailure
                }
                _ => Exit::Unknown,
            });
        }
        session.world.time().sleep(POLL);
    }
}

/// Lists updates.
pub fn list(session: &mut Session<'_, '_>, args: &UpdateList) -> Outcome {
    let cluster = &args.filter.cluster;
    let path: Vec<&str> = args.filter.path.iter().map(String::as_str).collect();
    let job = match path.as_slice() {
        [role, environment, name] => {
            let job = crate::model::JobKey::new(role, environment, name);
            let job = job.map_err(|error| CommandError::parameter(error.to_string()))?;
            Some(convert::job_key(&job))
        }
        _ => None,
    };
    let role = path.first().filter(|_| job.is_none());
    let states: BTreeSet<i32> = args
        .status
        .iter()
        .flat_map(|states| states.0.iter().map(|s| s.number()))
        .collect();
    let query = JobUpdateQuery {
        role: role.map(|role| (*role).to_owned()),
        job_key: job,
        user: args.user.clone(),
        update_statuses: states
            .into_iter()
            .filter_map(JobUpdateStatus::from_number)
            .collect(),
        ..JobUpdateQuery::default()
    };
    let mut found = summaries(session, cluster, query)?;
    if let Some(wanted) = path.get(1) {
        found.retain(|summary| {
            let job = summary.key.as_ref().and_then(|key| key.job.as_ref());
            job.and_then(|job| job.environment.as_deref()) == Some(*wanted)
        });
    }
    if args.write_json {
        session.world.print(&render::table_json(cluster, &found));
        return Ok(Exit::Ok);
    }
    for line in render::table(cluster, &found) {
        session.world.print(&line);
    }
    Ok(Exit::Ok)
}

/// Shows an update.
pub fn info(session: &mut Session<'_, '_>, args: &UpdateInfo) -> Outcome {
    let (key, cluster) = (&args.key, &args.key.cluster);
    let update = match &args.id {
        Some(id) => Some(named(key, id)),
        None => active(session, key)?,
    };
    let Some(update) = update else {
        let message = "There is no active update for this job.";
        return Err(CommandError::parameter(message));
    };
    let request = Request::GetJobUpdateDetails(Box::new(GetJobUpdateDetails {
        key: None,
        query: Some(JobUpdateQuery {
            key: Some(update),
            ..JobUpdateQuery::default()
        }),
    }));
    let heading = (Exit::Api, COMMAND_FAILURE);
    let found: Vec<JobUpdateDetails> =
        match session.demand(cluster, &request, Repeat::Always, heading)? {
            Some(ResponseResult::GetJobUpdateDetailsResult(result)) => result.details_list,
            _ => Vec::new(),
        };
    let Some(details) = found.first() else {
        return Err(CommandError::parameter("Job update not found."));
    };
    let text = match args.write_json {
        true => render::info_json(cluster, details),
        false => render::info(cluster, details),
    };
    session.world.print(&text);
    Ok(Exit::Ok)
}

fn named(key: &ClusterJob, id: &str) -> JobUpdateKey {
    JobUpdateKey {
        job: Some(convert::job_key(&key.job)),
        id: Some(id.to_owned()),
    }
}

fn ambiguous() -> CommandError {
    let message = "The scheduler shows more than one update where there can be only one.";
    CommandError::new(Exit::Api, message)
}

/// The update of a job that is under way.
fn active(
    session: &mut Session<'_, '_>,
    key: &ClusterJob,
) -> Result<Option<JobUpdateKey>, CommandError> {
    let query = JobUpdateQuery {
        job_key: Some(convert::job_key(&key.job)),
        update_statuses: ACTIVE_JOB_UPDATE_STATES.to_vec(),
        ..JobUpdateQuery::default()
    };
    match summaries(session, &key.cluster, query)?.as_slice() {
        [] => Ok(None),
        [summary] => Ok(summary.key.clone()),
        [_, _, ..] => Err(ambiguous()),
    }
}

fn the_active_one(
    session: &mut Session<'_, '_>,
    key: &ClusterJob,
) -> Result<JobUpdateKey, CommandError> {
    let found = active(session, key)?;
    found.ok_or_else(|| CommandError::parameter("No active update found for this job."))
}

fn summaries(
    session: &mut Session<'_, '_>,
    cluster: &str,
    query: JobUpdateQuery,
) -> Result<Vec<JobUpdateSummary>, CommandError> {
    let request = Request::GetJobUpdateSummaries(Box::new(GetJobUpdateSummaries {
        job_update_query: Some(query),
    }));
    let heading = (Exit::Api, COMMAND_FAILURE);
    match session.demand(cluster, &request, Repeat::Always, heading)? {
        Some(ResponseResult::GetJobUpdateSummariesResult(result)) => Ok(result.update_summaries),
        _ => Ok(Vec::new()),
    }
}
