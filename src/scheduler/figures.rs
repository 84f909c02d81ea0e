//! Figures about jobs, reckoned now and then beside the scheduler's loop.

use super::handle::Handle;
use crate::base::{clock, stats};
use crate::domain::sla::{Wanted, Window, figures};
use crate::domain::usage::{Room, consumption, empty_slots};
use crate::rt;
use std::sync::Arc;
use std::time::Duration;

/// Reckons every `interval` how well jobs did in it, and shows it as `sla_*`, while this scheduler leads.
///
/// Reads tables that do not change, on a thread of its own: neither the loop nor the reactor waits.
pub async fn publish_sla(handle: Handle, wanted: Wanted, interval: Duration) {
    if wanted.is_empty() {
        return;
    }
    let wanted = Arc::new(wanted);
    loop {
        rt::sleep(interval).await;
        let Ok(tables) = handle.read().await else {
            continue;
        };
        let wanted = Arc::clone(&wanted);
        let start = clock::now();
        let window = Window::before(clock::wall(), interval);
        let reckoned = rt::unblock(move || {
            let jobs = tables.jobs();
            figures(
                jobs.map(|job| (job, tables.tasks_of_job(job))),
                &wanted,
                window,
            )
        });
        stats::global().sheet("sla", reckoned.await);
        let took = clock::now().since(start);
        let timed = stats::global().sliding("sla_stats_computation", "nanos");
        timed.record_nanos(took);
    }
}

/// Before figures are reckoned for the first time.
const FIRST: Duration = Duration::from_secs(2);

/// Reckons every `interval` what jobs use, and shows it as `resources_*` and `quota_per_role_*`, while this
/// scheduler leads.
pub async fn publish_usage(handle: Handle, interval: Duration) {
    rt::sleep(interval.min(FIRST)).await;
    loop {
        if let Ok(tables) = handle.read().await {
            let start = clock::now();
            let reckoned = rt::unblock(move || {
                let active = tables.tasks().filter(|task| task.status.is_active());
                let quotas = tables.quotas().map(|(role, quota)| (role.as_str(), *quota));
                consumption(active.map(|task| &*task.config), quotas)
            });
            stats::global().sheet("consumption", reckoned.await);
            timed("task_stat_calculator_run", start);
            rt::sleep(interval).await;
        } else {
            rt::sleep(interval.min(FIRST)).await;
        }
    }
}

/// Counts every `interval` what would still fit into the machines, and shows it as `empty_slots_*`.
pub async fn publish_slots(handle: Handle, interval: Duration) {
    rt::sleep(interval.min(FIRST)).await;
    loop {
        let view = handle.view();
        let start = clock::now();
        let agents = view.agents.iter().filter(|agent| agent.connected);
        let machines = agents.map(|agent| Room {
            attributes: &agent.attributes,
            free: agent.free,
            revocable: agent.revocable,
        });
        stats::global().sheet("slots", empty_slots(machines));
        timed("slot_size_counter_run", start);
        rt::sleep(interval).await;
    }
}

fn timed(name: &str, start: clock::Instant) {
    let took = clock::now().since(start);
    stats::global().sliding(name, "nanos").record_nanos(took);
}
