//! Figures about jobs, reckoned now and then beside the scheduler's loop.

use super::handle::Handle;
use crate::base::{clock, stats};
use crate::domain::sla::{Wanted, Window, figures};
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
