//! `aurora cron`: schedule, deschedule, start, show.

use crate::client::args::{CronDeschedule, CronSchedule, CronShow, CronStart};
use crate::client::convert;
use crate::client::exit::{CommandError, Exit, Outcome};
use crate::client::scheduler::{COMMAND_FAILURE, Repeat};
use crate::client::session::{JobSource, Session};
use crate::thrift::api::ResponseResult;
use crate::thrift::service::{DescheduleCronJob, GetJobs, Request, ScheduleCronJob, StartCronJob};

/// Creates a cron job or replaces its template.
pub fn schedule(session: &mut Session<'_, '_>, args: &CronSchedule) -> Outcome {
    let key = &args.key;
    let source = JobSource {
        file: &args.config_file,
        bind: &args.bind,
        read_json: args.read_json,
    };
    let job = session.load_job(key, &source)?;
    if job.config.cron_schedule.is_none() {
        return Err(CommandError::new(
            Exit::CommandFailure,
            format!(
                "{key} has no cron_schedule: use \"aurora job create\" instead of \
                 \"aurora cron schedule\""
            ),
        ));
    }
    let request = Request::ScheduleCronJob(Box::new(ScheduleCronJob {
        description: Some(convert::job_configuration(&job)),
    }));
    let heading = format!("Error scheduling cron job {key}:");
    session.demand(&key.cluster, &request, Repeat::ById, (Exit::Api, &heading))?;
    let url = session.job_page(key)?;
    session.world.print(&format!(
        "Cron job scheduled, status can be viewed at {url}"
    ));
    Ok(Exit::Ok)
}

/// Removes a cron job.
pub fn deschedule(session: &mut Session<'_, '_>, args: &CronDeschedule) -> Outcome {
    let key = &args.key;
    let request = Request::DescheduleCronJob(Box::new(DescheduleCronJob {
        job: Some(convert::job_key(&key.job)),
    }));
    let heading = format!("Error descheduling cron job {key}:");
    session.demand(
        &key.cluster,
        &request,
        Repeat::Always,
        (Exit::Api, &heading),
    )?;
    session.world.print("Cron descheduling succeeded.");
    Ok(Exit::Ok)
}

/// Runs a cron job now.
pub fn start(session: &mut Session<'_, '_>, args: &CronStart) -> Outcome {
    let key = &args.key;
    session.check_config(key, args.config.as_ref(), &args.bind, args.read_json)?;
    let request = Request::StartCronJob(Box::new(StartCronJob {
        job: Some(convert::job_key(&key.job)),
    }));
    let heading = format!("Error starting cron job {key}:");
    session.demand(&key.cluster, &request, Repeat::ById, (Exit::Api, &heading))?;
    session.open_job_page(key, args.open_browser)?;
    Ok(Exit::Ok)
}

/// Shows a cron job's schedule.
pub fn show(session: &mut Session<'_, '_>, args: &CronShow) -> Outcome {
    let key = &args.key;
    let request = Request::GetJobs(Box::new(GetJobs {
        owner_role: Some(key.job.role().to_owned()),
    }));
    let heading = (Exit::Api, COMMAND_FAILURE);
    let result = session.demand(&key.cluster, &request, Repeat::Always, heading)?;
    let wanted = Some(convert::job_key(&key.job));
    let schedule = match result {
        Some(ResponseResult::GetJobsResult(jobs)) => {
            let mut found = jobs.configs.into_iter().filter(|job| job.key == wanted);
            found.find_map(|job| job.cron_schedule)
        }
        _ => None,
    };
    let Some(schedule) = schedule else {
        let message = format!("No cron entry found for job {key}");
        return Err(CommandError::parameter(message));
    };
    session.world.print(&format!("{key}\t {schedule}"));
    Ok(Exit::Ok)
}
