//! The fibers that look at what tasks use, and end those that use too much.

use super::shared::Shared;
use crate::base::clock;
use crate::model::TaskId;
use crate::rt;
use crate::supervise::limits::Exceeded;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A look is followed by a rest of at least so many times its length.
const REST_FACTOR: u32 = 20;
/// So many rounds of killing among what no task owns.
const STRAY_ROUNDS: u32 = 1_000;

/// Has a task fail. The fiber that watches it does the rest.
fn fail(shared: &Shared, task: &TaskId, exceeded: Exceeded) {
    let message = exceeded.to_string();
    let wake = shared.with(task, |entry| {
        let is_news = entry.failed.is_none() && !entry.report.state.is_terminal();
        is_news.then(|| {
            log::warn!("task {task}: {message}");
            entry.failed = Some((clock::now(), message));
            entry.wake.clone()
        })
    });
    if let Some(Some(wake)) = wake {
        // A full channel wakes too; a closed one belongs to a task that has ended.
        wake.try_send(()).unwrap_or_default();
    }
}

/// Looks at memory until the host is closed.
pub(super) async fn watch_memory(shared: Weak<Shared>, interval: Duration) {
    loop {
        rt::sleep(interval).await;
        let Some(host) = shared.upgrade() else {
            return;
        };
        let began = clock::now();
        let looking = host.clone();
        for (task, exceeded) in rt::unblock(move || looking.limiter.check_memory()).await {
            fail(&host, &task, exceeded);
        }
        drop(host);
        rt::sleep((clock::now().since(began) * REST_FACTOR).saturating_sub(interval)).await;
    }
}

/// Looks at sandboxes, one after the other, until the host is closed.
pub(super) async fn watch_disk(shared: Weak<Shared>, interval: Duration) {
    if interval.is_zero() {
        return;
    }
    loop {
        rt::sleep(interval).await;
        let Some(tasks) = shared.upgrade().map(|host| host.limiter.tasks()) else {
            return;
        };
        for (task, limited) in tasks {
            let exceeded = rt::unblock(move || limited.check_disk()).await;
            let Some(host) = shared.upgrade() else {
                return;
            };
            if let Some(exceeded) = exceeded {
                fail(&host, &task, exceeded);
            }
        }
    }
}

/// Kills what is in groups that belong to no task: of tasks that ended while no agent was there.
pub(super) async fn remove_strays(shared: Arc<Shared>) {
    let strays = shared.limiter.strays();
    if strays.is_empty() {
        return;
    }
    log::info!("{} control groups of ended tasks are removed", strays.len());
    for stray in strays {
        let name = stray.name().unwrap_or_default().to_owned();
        if let Err(error) = rt::unblock(move || stray.kill(STRAY_ROUNDS)).await {
            log::error!("control group {name} cannot be removed: {error}");
        }
    }
}
