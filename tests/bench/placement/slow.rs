//! Upstream's two workloads about what a store costs: snapshots with updates in them, and status updates
//! on a log that is slow.

use crate::cluster;
use crate::figures::Report;
use crate::stores::update;
use crate::world::World;
use aurora::model::{ScheduleStatus, TaskState};
use aurora::storage::stored::{Record, decode, encode};
use aurora::storage::{Op, Replay, Snapshot, Tables, UpdateOp};
use std::sync::Arc;
use std::time::Duration;

/// Tasks of one delivery of reports.
const TASKS: u64 = 1_000;

/// Reports that a turn of the scheduler's loop takes at most.
const PER_TURN: usize = 256;

const RUNNING: ScheduleStatus = ScheduleStatus::Running;

/// `RestoreSnapshotWithUpdates`, and more: upstream only begins the stream of changes; here the whole
/// snapshot is cut and encoded, and then decoded and made tables again.
pub fn snapshots(report: &mut Report) {
    for count in [1, 5, 10] {
        let mut tables = Tables::default();
        for number in 0..count {
            let made = update(&format!("snapshot-{number}"), 10_000, 1, 10);
            for op in &made {
                tables.apply(op).unwrap();
            }
            let [Op::Update(UpdateOp::Start { update, event }), _] = made.as_slice() else {
                unreachable!("an update begins with its start");
            };
            for _ in 1..100 {
                let again = UpdateOp::Event {
                    key: update.key.clone(),
                    event: event.clone(),
                };
                tables.apply(&Op::Update(again)).unwrap();
            }
        }
        tables.advance();
        let tables = Arc::new(tables);
        let cut = |tables: &Arc<Tables>| {
            let mut snapshot = Snapshot::new(Arc::clone(tables), 1);
            let mut entries = Vec::new();
            while let Some(chunk) = snapshot.next_chunk() {
                entries.push(encode(&Record::Snapshot(chunk)));
            }
            entries
        };
        let taken = crate::rate(1.0, || {
            assert!(!cut(&tables).is_empty());
            0.0
        });
        let entries = cut(&tables);
        assert!(decode(&entries[0]).is_ok());
        let restored = crate::rate(1.0, || {
            let mut replay = Replay::default();
            for entry in &entries {
                replay.entry(entry).unwrap();
            }
            assert_eq!(replay.tables().updates().count(), count);
            0.0
        });
        let name = format!("snapshot_{count}_updates_per_s");
        report.figure(&name, taken, "snapshots/s");
        let name = format!("restore_{count}_updates_per_s");
        report.figure(&name, restored, "restores/s");
    }
}

/// `StatusUpdate`: a thousand STARTING tasks become RUNNING while the log takes so long for each entry.
/// Upstream's figure is operations a second, each of which waits for all thousand changes.
pub fn status_updates(report: &mut Report) {
    for ms in [5, 25, 100] {
        let mut world = World::new(TASKS, usize::try_from(TASKS).unwrap());
        let mut number = 0;
        let rate = crate::rate(3.0, || {
            let start = crate::figures::now();
            number += 1;
            let small = cluster::amount(10, 1, 1);
            let config = cluster::config("jmh", &format!("slow-{number}"), small);
            let job = config.job.clone();
            world.place(config, TASKS);
            let tables = Arc::clone(world.engine.tables());
            let tasks: Vec<_> = tables.active_tasks_of_job(&job).cloned().collect();
            assert_eq!(tasks.len() as u64, TASKS);
            for task in &tasks {
                let agent = task.agent.as_ref().unwrap();
                world.report(agent, &task.id, TaskState::Starting);
            }
            world.settle();
            let before = world.engine.tables().count(RUNNING);
            let other = start.elapsed().as_secs_f64();
            world.latency = Duration::from_millis(ms);
            for few in tasks.chunks(PER_TURN) {
                for task in few {
                    let agent = task.agent.as_ref().unwrap();
                    world.report(agent, &task.id, TaskState::Running);
                }
                world.propose();
            }
            world.learn_all();
            world.latency = Duration::ZERO;
            let running = world.engine.tables().count(RUNNING) - before;
            assert_eq!(running, i64::try_from(TASKS).unwrap());
            other
        });
        let name = format!("status_updates_1000_latency_{ms}_ms_per_s");
        report.figure(&name, rate, "operations/s");
    }
}
