//! `aurora sla`.

use crate::client::args::{JobUptime, TaskUpCount};
use crate::client::exit::{Exit, Outcome};
use crate::client::session::Session;
use crate::client::uptime::{LIVE_STATES, reached, share_up, uptimes};

/// Shows how long shares of a job's instances have been up.
pub fn job_uptime(session: &mut Session<'_, '_>, args: &JobUptime) -> Outcome {
    let tasks = session.tasks(&args.job, LIVE_STATES, None, Exit::Api)?;
    let uptimes = uptimes(&tasks, session.world.time().wall());
    for percentile in &args.percentiles.0 {
        let uptime = match reached(&uptimes, *percentile) {
            Some(seconds) => format!("{:?}", seconds as f64),
            None => "0".to_owned(),
        };
        let line = format!("{percentile:?} percentile\t- {uptime} seconds");
        session.world.print(&line);
    }
    Ok(Exit::Ok)
}

/// Shows which share of a job's instances has been up for a while.
pub fn task_up_count(session: &mut Session<'_, '_>, args: &TaskUpCount) -> Outcome {
    let tasks = session.tasks(&args.job, LIVE_STATES, None, Exit::Api)?;
    let uptimes = uptimes(&tasks, session.world.time().wall());
    for duration in &args.durations.0 {
        let seconds = i64::try_from(duration.0).unwrap_or(i64::MAX);
        let share = share_up(&uptimes, seconds, uptimes.len());
        session.world.print(&format!("{duration}\t- {share:.2} %"));
    }
    Ok(Exit::Ok)
}
