//! From an order to a directory that says so, durably.

use super::directory::TaskDirectory;
use super::shared::Shared;
use crate::agent::os::identity_of;
use crate::base::clock;
use crate::executor::checkpoint::TaskRecord;
use crate::executor::order::{Identity, Order, Uri};
use crate::model::{FetcherUri, LaunchOrder, TaskState};
use std::io;

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
    let stored = match identity_of(order.job.role(), shared.config.allow_root_tasks) {
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
        Err(error) => {
            let made = directory.create(None);
            let message = error.to_string();
            made.and_then(|()| directory.store_verdict(None, TaskState::Failed, &message))
                .map(Some)
        }
    };
    if stored.is_err() {
        directory.remove()?;
    }
    stored
}

fn to_stored(order: &LaunchOrder, identity: Identity, shared: &Shared) -> Order {
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
        kill_wait_ms: u64::try_from(shared.config.kill_wait.as_millis()).unwrap_or(u64::MAX),
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
    }
}
