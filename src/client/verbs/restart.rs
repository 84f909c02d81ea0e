//! `aurora job restart`: the client restarts a batch, watches it, and takes the next.

use super::{check_limits, instances_of, warn_of_promises};
use crate::base::clock::Instant;
use crate::client::args::Restart;
use crate::client::convert;
use crate::client::exit::{CommandError, Exit, Outcome};
use crate::client::key::ClusterJob;
use crate::client::progress::Progress;
use crate::client::scheduler::Repeat;
use crate::client::session::{Session, instance_of, show_instances, wire_instances};
use crate::thrift::api::{ScheduleStatus, ScheduledTask};
use crate::thrift::service::{Request, RestartShards};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Restarts instances batch by batch.
pub fn restart(session: &mut Session<'_, '_>, args: &Restart) -> Outcome {
    let key = &args.spec.key;
    check_limits(args.batch_size, args.max_total_failures)?;
    session.check_config(key, args.config.as_ref(), &args.bind, args.read_json)?;
    let tasks = session.active_tasks(key)?;
    let active = instances_of(&tasks);
    if let (true, Some(wanted)) = (args.strict, &args.spec.instances)
        && !wanted.is_subset(&active)
    {
        let absent = show_instances(wanted.difference(&active));
        return Err(CommandError::parameter(format!(
            "Invalid instance parameter: {absent}"
        )));
    }
    let wanted = args.spec.instances.clone().unwrap_or(active);
    if wanted.is_empty() {
        return Err(CommandError::new(
            Exit::Api,
            format!("Error restarting job {key}:\n\tNo active instances"),
        ));
    }
    warn_of_promises(session, &tasks, "Restarting");
    rolling(session, args, key, &wanted)?;
    session.open_job_page(key, args.open_browser)?;
    session
        .world
        .print(&format!("Job {key} restarted successfully"));
    Ok(Exit::Ok)
}

fn rolling(
    session: &mut Session<'_, '_>,
    args: &Restart,
    key: &ClusterJob,
    wanted: &BTreeSet<u32>,
) -> Result<(), CommandError> {
    let mut queue: VecDeque<u32> = wanted.iter().copied().collect();
    let mut failures: BTreeMap<u32, u32> = BTreeMap::new();
    let mut given_up: BTreeSet<u32> = BTreeSet::new();
    while !queue.is_empty() {
        let size = queue.len().min(args.batch_size as usize);
        let batch: BTreeSet<u32> = queue.drain(..size).collect();
        let shown = show_instances(&batch);
        session
            .world
            .info(&format!("Restarting instances: {shown}"));
        let request = Request::RestartShards(Box::new(RestartShards {
            job: Some(convert::job_key(&key.job)),
            shard_ids: wire_instances(&batch),
        }));
        let heading = format!("Error restarting job {key}:");
        // Restarting what was just restarted does no harm: upstream repeats this call too.
        session.demand(
            &key.cluster,
            &request,
            Repeat::Always,
            (Exit::Api, &heading),
        )?;
        let failed = watch(session, args, key, &batch)?;
        for instance in &failed {
            let count = failures.entry(*instance).or_default();
            *count += 1;
            if *count > args.max_per_instance_failures {
                given_up.insert(*instance);
            } else {
                queue.push_back(*instance);
            }
        }
        if !failed.is_empty() {
            let shown = show_instances(&failed);
            session
                .world
                .warn(&format!("Instances {shown} did not stay up"));
        }
        if i64::try_from(given_up.len()).unwrap_or(i64::MAX) > args.max_total_failures {
            let shown = show_instances(&given_up);
            return Err(CommandError::new(
                Exit::CommandFailure,
                format!("Restart of job {key} stopped: instances {shown} failed too often"),
            ));
        }
    }
    Ok(())
}

/// What is known of one instance under watch.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Watched {
    Unseen,
    Up { since: Instant, task_id: String },
}

/// Looks at a batch until each instance has stayed up, or failed. Gives those that failed.
fn watch(
    session: &mut Session<'_, '_>,
    args: &Restart,
    key: &ClusterJob,
    batch: &BTreeSet<u32>,
) -> Result<BTreeSet<u32>, CommandError> {
    let time = session.world.time();
    let stay = Duration::from_secs(u64::from(args.watch_secs));
    // A pause of nothing would flood the scheduler.
    let interval = Duration::from_secs(u64::from(args.healthcheck_interval_seconds.max(1)));
    let mut open: BTreeMap<u32, Watched> = batch.iter().map(|i| (*i, Watched::Unseen)).collect();
    let mut failed = BTreeSet::new();
    let mut progress = Progress::new(session.world, false);
    loop {
        let running = session.tasks(key, &[ScheduleStatus::Running], Some(batch), Exit::Api)?;
        let now = time.now();
        for task in &running {
            look(task, now, stay, &mut open, &mut failed);
        }
        if open.is_empty() {
            return Ok(failed);
        }
        let text = format!(
            "Waiting: instances {} must stay up",
            show_instances(open.keys())
        );
        progress.show(session.world, &text);
        time.sleep(interval);
    }
}

fn look(
    task: &ScheduledTask,
    now: Instant,
    stay: Duration,
    open: &mut BTreeMap<u32, Watched>,
    failed: &mut BTreeSet<u32>,
) {
    let id = task.assigned_task.as_ref().and_then(|a| a.task_id.clone());
    let (Some(instance), Some(id)) = (instance_of(task), id) else {
        return;
    };
    let Some(watched) = open.get_mut(&instance) else {
        return;
    };
    match watched {
        Watched::Unseen => {
            *watched = Watched::Up {
                since: now,
                task_id: id,
            };
        }
        Watched::Up { task_id, .. } if *task_id != id => {
            open.remove(&instance);
            failed.insert(instance);
        }
        Watched::Up { since, .. } => {
            if now.since(*since) > stay {
                open.remove(&instance);
            }
        }
    }
}
