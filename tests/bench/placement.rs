//! Upstream's benchmarks of scheduling, of its stores and of its API, with the same sizes and the same work
//! per operation; and what they leave out: the same into a log that syncs, and crowds that wait.
//!
//! Upstream's fixtures: hosts of 8 cores, 16 GB and 256 GB, two to a rack; tasks of 6 cores, 8 GB and 128 GB.
//! Every entry is encoded and learned at once (`world`), except where a figure says *committed*: there the API
//! is called with bytes and a real log syncs (`live`).
//!
//! | upstream's | figure |
//! |---|---|
//! | `FillCluster`: 1 % + 1 % filled; ten new tasks, in portions of five | `fill_cluster_...` |
//! | `InsufficientResources`: 1,000 hosts, an attempt in vain | `attempts_insufficient_...` |
//! | `ValueConstraintMismatch`, `LimitConstraintMismatch`: the same | `attempts_..._mismatch_per_s` |
//! | `ClusterFullUtilization`: 10,000 full hosts, one attempt in vain | `attempts_full_10k_hosts_per_s` |
//! | `PreemptorSlotSearch`: 10,000 full hosts, 1 to 1,000 jobs wait | `preemption_search_...` |
//! | `InsertPendingTasks`, `DeleteTasks`: 1,000 to 50,000 tasks | `insert_...`, `delete_..._tasks_per_s` |
//! | `StatusUpdate`: 1,000 tasks become RUNNING, on a log that takes 5 to 100 ms | `status_updates_...` |
//! | `FetchAll`, `IndexedFetchAndFilter`: 10,000 to 100,000 tasks | `fetch_...` |
//! | `JobDetails`, `JobInstructions`, `JobUpdateMetadata` | `update_..._per_s`, by the API's call |
//! | `RestoreSnapshotWithUpdates`: 1 to 10 updates of 10,000 instance events | `snapshot_..._updates_per_s` |
//! | `GetRoleSummary`, `GetAllTasks`: roles, jobs, instances | `role_summary_..._per_s`, `all_tasks_..._per_s` |
//!
//! `unschedulable_100k_cost_percent`: by how much placing slows while 100,000 tasks of 1,000 jobs wait for
//! machines that do not exist; measured in turns with and without them, medians.
//!
//! Arguments: `--hosts=N` (FillCluster), `--only=N` (1 fill, 2 committed, 3 attempts, 4 preemption, 5 stores,
//! 6 API, 7 crowd, 8 snapshots with updates, 9 status updates on a slow log).
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark may stop at the first surprise"
)]

#[path = "placement/attempts.rs"]
mod attempts;
mod cluster;
mod figures;
#[path = "placement/fill.rs"]
mod fill;
mod live;
#[path = "placement/slow.rs"]
mod slow;
#[path = "placement/stores.rs"]
mod stores;
mod world;

use figures::Report;

/// How often `operation` can be done in a second: repeated for about as long as `seconds`, at least thrice.
/// It gives how much of its time is not its own.
fn rate(seconds: f64, mut operation: impl FnMut() -> f64) -> f64 {
    let (mut took, mut count) = (0.0, 0.0);
    let begun = figures::now();
    while count < 3.0 || begun.elapsed().as_secs_f64() < seconds {
        let start = figures::now();
        let other = operation();
        took += start.elapsed().as_secs_f64() - other;
        count += 1.0;
    }
    count / took
}

fn main() {
    let mut report = Report::new("placement");
    let only = figures::argument("only", 0);
    let parts: [fn(&mut Report); 9] = [
        fill::in_memory,
        fill::committed,
        attempts::in_vain,
        attempts::preemption,
        stores::stores,
        stores::api,
        fill::crowd,
        slow::snapshots,
        slow::status_updates,
    ];
    for (number, part) in (1..).zip(parts) {
        if only == 0 || only == number {
            part(&mut report);
        }
    }
    report.finish();
}
