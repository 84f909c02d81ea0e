//! `aurora job add`.

use super::create::wait_until;
use super::{instances_of, warn_of_promises};
use crate::client::args::Add;
use crate::client::convert;
use crate::client::exit::{CommandError, Exit, Outcome};
use crate::client::scheduler::{COMMAND_FAILURE, Repeat};
use crate::client::session::Session;
use crate::thrift::api::InstanceKey;
use crate::thrift::service::{AddInstances, Request};

/// Adds instances like one that is active, behind the highest.
pub fn add(session: &mut Session<'_, '_>, args: &Add) -> Outcome {
    let key = &args.pattern.key;
    let count = u32::try_from(args.count).ok().filter(|&count| count > 0);
    let count = count.ok_or_else(|| CommandError::parameter("instance_count must be positive"))?;
    let tasks = session.active_tasks(key)?;
    let active = instances_of(&tasks);
    let (Some(&highest), true) = (active.last(), active.contains(&args.pattern.instance)) else {
        let message = format!("No active instance {} of {key}", args.pattern.instance);
        return Err(CommandError::parameter(message));
    };
    warn_of_promises(session, &tasks, "Adding");
    let request = Request::AddInstances(Box::new(AddInstances {
        key: Some(InstanceKey {
            job_key: Some(convert::job_key(&key.job)),
            instance_id: i32::try_from(args.pattern.instance).unwrap_or(i32::MAX),
        }),
        count: args.count,
    }));
    let heading = (Exit::Api, COMMAND_FAILURE);
    session.demand(&key.cluster, &request, Repeat::ById, heading)?;
    session.open_job_page(key, args.open_browser)?;
    let added = (highest + 1..=highest + count).collect();
    wait_until(session, key, Some(&added), args.wait_until)?;
    Ok(Exit::Ok)
}
