//! `aurora job kill` and `aurora job killall`.

use super::{check_limits, instances_of, warn_of_promises};
use crate::client::args::{Kill, KillAll};
use crate::client::convert;
use crate::client::exit::{CommandError, Exit, Outcome};
use crate::client::key::ClusterJob;
use crate::client::scheduler::Repeat;
use crate::client::session::{Session, show_instances, wire_instances};
use crate::client::wait::{Goal, KILL_LIMIT, wait};
use crate::thrift::service::{KillTasks, Request};
use std::collections::BTreeSet;

/// Kills some instances.
pub fn kill(session: &mut Session<'_, '_>, args: &Kill) -> Outcome {
    let key = &args.spec.key;
    let Some(wanted) = &args.spec.instances else {
        return Err(CommandError::parameter(
            "Instances are missing: name them, as in CLUSTER/ROLE/ENV/NAME/0-3, \
             or kill all with \"aurora job killall\"",
        ));
    };
    check_limits(args.batch_size, args.max_total_failures)?;
    session.check_config(key, args.config.as_ref(), &args.bind, args.read_json)?;
    let tasks = session.active_tasks(key)?;
    warn_of_promises(session, &tasks, "Killing");
    let active = instances_of(&tasks);
    if args.strict && !wanted.is_subset(&active) {
        let absent = show_instances(wanted.difference(&active));
        return Err(CommandError::parameter(format!(
            "Invalid instance parameter: {absent}"
        )));
    }
    let order = Order {
        key,
        batch_size: args.batch_size as usize,
        max_total_failures: args.max_total_failures,
        message: args.message.as_deref(),
    };
    if args.no_batching {
        kill_at_once(session, &order, Some(wanted))?;
    } else {
        let found = wanted.intersection(&active).copied().collect();
        kill_in_batches(session, &order, &found)?;
    }
    finish(session, key, args.open_browser, "Job kill succeeded")
}

/// Kills all instances.
pub fn kill_all(session: &mut Session<'_, '_>, args: &KillAll) -> Outcome {
    let key = &args.key;
    check_limits(args.batch_size, args.max_total_failures)?;
    session.check_config(key, args.config.as_ref(), &args.bind, args.read_json)?;
    let tasks = session.active_tasks(key)?;
    warn_of_promises(session, &tasks, "Killing");
    let order = Order {
        key,
        batch_size: args.batch_size as usize,
        max_total_failures: args.max_total_failures,
        message: args.message.as_deref(),
    };
    if args.no_batching {
        kill_at_once(session, &order, None)?;
    } else {
        kill_in_batches(session, &order, &instances_of(&tasks))?;
    }
    finish(session, key, args.open_browser, "Job killall succeeded")
}

struct Order<'o> {
    key: &'o ClusterJob,
    batch_size: usize,
    max_total_failures: i64,
    message: Option<&'o str>,
}

fn finish(
    session: &mut Session<'_, '_>,
    key: &ClusterJob,
    open_browser: bool,
    text: &str,
) -> Outcome {
    session.open_job_page(key, open_browser)?;
    session.world.print(text);
    Ok(Exit::Ok)
}

/// Sends one kill; `None` means every instance.
fn send(
    session: &mut Session<'_, '_>,
    order: &Order<'_>,
    instances: Option<&BTreeSet<u32>>,
) -> Result<(), CommandError> {
    let which = match instances {
        None => "Kill of all instances".to_owned(),
        Some(instances) => format!("Kill of instances {}", show_instances(instances)),
    };
    let request = Request::KillTasks(Box::new(KillTasks {
        job: Some(convert::job_key(&order.key.job)),
        instances: instances.map(wire_instances).unwrap_or_default(),
        message: order.message.map(str::to_owned),
    }));
    let heading = format!("{which} failed with error:");
    session.demand(
        &order.key.cluster,
        &request,
        Repeat::ById,
        (Exit::Api, &heading),
    )?;
    Ok(())
}

fn kill_at_once(
    session: &mut Session<'_, '_>,
    order: &Order<'_>,
    instances: Option<&BTreeSet<u32>>,
) -> Result<(), CommandError> {
    // An empty list means every instance to the scheduler, and must never be sent for none.
    if instances.is_some_and(|wanted| wire_instances(wanted).is_empty()) {
        return Err(CommandError::parameter(format!(
            "No such instance of {}",
            order.key
        )));
    }
    send(session, order, instances)?;
    if wait(session, order.key, instances, Goal::Ended, Some(KILL_LIMIT))? {
        return Ok(());
    }
    let which = instances.map_or_else(
        || "All instances".to_owned(),
        |instances| format!("Instances {}", show_instances(instances)),
    );
    Err(CommandError::new(
        Exit::Timeout,
        format!("{which} were not killed in time"),
    ))
}

fn kill_in_batches(
    session: &mut Session<'_, '_>,
    order: &Order<'_>,
    instances: &BTreeSet<u32>,
) -> Result<(), CommandError> {
    if instances.is_empty() {
        // Upstream goes on to say that it worked, and scripts that clean up count on it.
        let text = format!("No tasks to kill found for job {}", order.key);
        session.world.complain(&text);
        return Ok(());
    }
    let all: Vec<u32> = instances.iter().copied().collect();
    let mut errors = 0;
    for batch in all.chunks(order.batch_size) {
        let batch: BTreeSet<u32> = batch.iter().copied().collect();
        send(session, order, Some(&batch))?;
        let shown = show_instances(&batch);
        if wait(
            session,
            order.key,
            Some(&batch),
            Goal::Ended,
            Some(KILL_LIMIT),
        )? {
            session
                .world
                .print(&format!("Successfully killed instances {shown}"));
            continue;
        }
        session
            .world
            .complain(&format!("Instances {shown} were not killed in time"));
        errors += 1;
        if errors > order.max_total_failures {
            return Err(CommandError::new(
                Exit::CommandFailure,
                "Exceeded maximum number of errors while killing instances",
            ));
        }
    }
    if errors > 0 {
        let message = "Errors occurred while killing instances";
        return Err(CommandError::new(Exit::CommandFailure, message));
    }
    Ok(())
}
