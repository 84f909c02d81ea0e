//! `aurora job create`.

use crate::client::args::{Create, WaitUntil};
use crate::client::convert;
use crate::client::exit::{CommandError, Exit, Outcome};
use crate::client::key::ClusterJob;
use crate::client::scheduler::Repeat;
use crate::client::session::{JobSource, Session};
use crate::client::wait::{Goal, wait};
use crate::thrift::service::{CreateJob, Request};
use std::collections::BTreeSet;

/// Loads the job, creates it, waits as asked.
pub fn create(session: &mut Session<'_, '_>, args: &Create) -> Outcome {
    let key = &args.key;
    let source = JobSource {
        file: &args.config_file,
        bind: &args.bind,
        read_json: args.read_json,
    };
    let job = session.load_job(key, &source)?;
    if job.config.cron_schedule.is_some() {
        return Err(CommandError::new(
            Exit::CommandFailure,
            format!(
                "{key} is a cron job: use \"aurora cron schedule\" instead of \"aurora job create\""
            ),
        ));
    }
    session
        .world
        .info(&format!("Creating job {}", key.job.name()));
    let request = Request::CreateJob(Box::new(CreateJob {
        description: Some(convert::job_configuration(&job)),
    }));
    let heading = (Exit::CommandFailure, "Job creation failed due to error:");
    session.demand(&key.cluster, &request, Repeat::ById, heading)?;
    let url = session.job_page(key)?;
    session.world.info(&format!("Job url: {url}"));
    session.open_job_page(key, args.open_browser)?;
    wait_until(session, key, None, args.wait_until)?;
    if session.tasks(key, &[], None, Exit::Api)?.is_empty() {
        return Err(CommandError::new(
            Exit::CommandFailure,
            format!("Error occurred while creating job {key}"),
        ));
    }
    session
        .world
        .print(&format!("Job create succeeded: job url={url}"));
    Ok(Exit::Ok)
}

/// Waits for the state that the command line names.
pub fn wait_until(
    session: &mut Session<'_, '_>,
    key: &ClusterJob,
    instances: Option<&BTreeSet<u32>>,
    until: WaitUntil,
) -> Result<(), CommandError> {
    let goal = match until {
        WaitUntil::Pending => return Ok(()),
        WaitUntil::Running => Goal::Running,
        WaitUntil::Finished => Goal::Ended,
    };
    wait(session, key, instances, goal, None).map(|_| ())
}
