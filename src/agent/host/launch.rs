//! From an order to a directory that says so, durably.

use super::directory::TaskDirectory;
use super::shared::Shared;
use crate::agent::os::identity_of;
use crate::base::clock;
use crate::executor::checkpoint::TaskRecord;
use crate::executor::flags::ExecutorFlags;
use crate::executor::order::{Identity, Order, Uri};
use crate::model::{FetcherUri, LaunchOrder, TaskState};
use std::io;
use std::time::Duration;

/// Writes the order down, or a verdict that says why the task cannot run here. Blocks.
///
/// # Errors
///
/// Nothing was written, or what was written is gone again.
pub(super) fn store(
    shared: &Shared,
    directory: &TaskDirectory,
    order: &LaunchOrder,
) -> io::Result<Option<TaskRecord>> {
    if directory.has_order() {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists));
    }
    directory.remove()?;
    let task = &order.task;
    let stored = match identity(shared, order) {
        Ok(identity) => {
            let order = to_stored(order, identity, shared);
            let made = directory.create(Some(&order.identity));
            let made = made.and_then(|()| directory.store_order(&order));
            made.map(|()| {
                let sandbox = directory.sandbox();
                shared.limiter.begin(task, &order, &sandbox);
                None
            })
        }
        Err(message) => {
            let made = directory.create(None);
            made.and_then(|()| directory.store_verdict(None, TaskState::Failed, &message))
                .map(Some)
        }
    };
    if stored.is_err() {
        directory.remove()?;
    }
    stored
}

/// Who the processes run as: the role, unless the executor's flags say something else.
fn identity(shared: &Shared, order: &LaunchOrder) -> Result<Identity, String> {
    let flags = ExecutorFlags::of_text(&order.setup.flags).map_err(|error| error.to_string())?;
    let of = |user: &str| {
        let identity = identity_of(user, shared.config.allow_root_tasks);
        identity.map_err(|error| error.to_string())
    };
    match (flags.execute_as_user, flags.nosetuid) {
        (Some(user), _) => of(&user),
        // Where the agent is root this is root, for which an agent has to be set up.
        (None, true) => of("root").map(|identity| Identity {
            is_switched: false,
            ..identity
        }),
        (None, false) => of(order.job.role()),
    }
}

/// The time that the flags give to the end of a killed task.
pub(super) fn stop_timeout(flags: &str) -> Option<Duration> {
    ExecutorFlags::of_text(flags).ok()?.stop_timeout
}

fn to_stored(order: &LaunchOrder, identity: Identity, shared: &Shared) -> Order {
    let kill_wait = shared.config.kill_wait;
    let kill_wait = stop_timeout(&order.setup.flags).map_or(kill_wait, |it| it.min(kill_wait));
    Order {
        task: order.task.as_str().to_owned(),
        role: order.job.role().to_owned(),
        environment: order.job.environment().to_owned(),
        job: order.job.name().to_owned(),
        instance: order.instance,
        executor: order.executor.clone(),
        data: order.data.clone(),
        cpus_milli: order.resources.cpus.0,
        ram_mb: order.resources.ram_mb,
        disk_mb: order.resources.disk_mb,
        gpus: order.resources.gpus,
        ports: order.ports.iter().map(|(a, b)| (a.clone(), *b)).collect(),
        metadata: order.metadata.clone(),
        hostname: shared.config.hostname.clone(),
        identity,
        kill_wait_ms: u64::try_from(kill_wait.as_millis()).unwrap_or(u64::MAX),
        taken_at_ms: clock::wall().as_ms(),
        flags: order.setup.flags.clone(),
        wrapper: order.setup.path.clone(),
        wrapper_files: order.setup.resources.clone(),
        uris: order.uris.iter().map(to_stored_uri).collect(),
    }
}

fn to_stored_uri(uri: &FetcherUri) -> Uri {
    Uri {
        value: uri.value.clone(),
        // As Mesos does where nothing is said.
        extract: uri.extract.unwrap_or(true),
        output_file: uri.output_file.clone(),
        is_cached: uri.cache.unwrap_or(false),
    }
}
