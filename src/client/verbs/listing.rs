//! `aurora job list`, `status` and `open`: jobs by patterns.

use crate::client::args::{List, Open, Status};
use crate::client::exit::{CommandError, Exit, Outcome};
use crate::client::key::{ClusterJob, PartialKey};
use crate::client::render::status::{self, JobTasks};
use crate::client::scheduler::{COMMAND_FAILURE, Repeat};
use crate::client::session::Session;
use crate::model::JobKey;
use crate::thrift::api::{JobKey as ApiKey, ResponseResult};
use crate::thrift::service::{GetJobs, Request};
use std::collections::BTreeSet;

/// Lists the jobs that match.
pub fn list(session: &mut Session<'_, '_>, args: &List) -> Outcome {
    for key in matching(session, &args.key)? {
        session.world.print(&key.to_string());
    }
    Ok(Exit::Ok)
}

/// Shows the tasks of the jobs that match.
pub fn status(session: &mut Session<'_, '_>, args: &Status) -> Outcome {
    let mut found = Vec::new();
    for key in matching(session, &args.key)? {
        let tasks = session.tasks(&key, &[], None, Exit::InvalidParameter)?;
        if !tasks.is_empty() {
            found.push(JobTasks::new(key, tasks));
        }
    }
    if args.write_json {
        let json = if found.is_empty() {
            status::nothing_json(&args.key)
        } else {
            status::json(&found)
        };
        session.world.print(&json);
        return Ok(Exit::Ok);
    }
    if found.is_empty() {
        let message = format!("Found no jobs matching {}", args.key);
        return Err(CommandError::parameter(message));
    }
    let zone = session.world.settings.zone.clone();
    for job in &found {
        session.world.print(&status::text(job, &zone));
    }
    Ok(Exit::Ok)
}

/// Opens a page.
pub fn open(session: &mut Session<'_, '_>, args: &Open) -> Outcome {
    let path: Vec<&str> = args.page.path.iter().map(String::as_str).collect();
    let url = session.page(&args.page.cluster, &path)?;
    session.open_browser(&url);
    Ok(Exit::Ok)
}

/// The jobs that a pattern means. One that names a single job is not looked up.
fn matching(
    session: &mut Session<'_, '_>,
    pattern: &PartialKey,
) -> Result<Vec<ClusterJob>, CommandError> {
    if let Some(key) = pattern.one_job()? {
        session.cluster(&key.cluster)?;
        return Ok(vec![key]);
    }
    let clusters = match pattern.one_cluster() {
        Some(cluster) => vec![cluster.to_owned()],
        None => session.cluster_names(),
    };
    let request = Request::GetJobs(Box::new(GetJobs {
        owner_role: pattern.one_role().map(str::to_owned),
    }));
    let mut found = BTreeSet::new();
    for cluster in clusters {
        let heading = (Exit::Api, COMMAND_FAILURE);
        let result = session.demand(&cluster, &request, Repeat::Always, heading)?;
        let Some(ResponseResult::GetJobsResult(jobs)) = result else {
            continue;
        };
        let keys = jobs
            .configs
            .iter()
            .filter_map(|c| model_key(c.key.as_ref()?));
        found.extend(
            keys.filter(|job| pattern.matches(job))
                .map(|job| ClusterJob {
                    cluster: cluster.clone(),
                    job,
                }),
        );
    }
    Ok(found.into_iter().collect())
}

fn model_key(key: &ApiKey) -> Option<JobKey> {
    JobKey::new(
        key.role.as_ref()?,
        key.environment.as_ref()?,
        key.name.as_ref()?,
    )
    .ok()
}
