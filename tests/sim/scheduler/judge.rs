//! Reads the log, entry by entry, and knows nothing of the engines: each instant of a cron job is decided
//! exactly once, no instance is there twice, no machine is given more than it has, and no update has more
//! down than it may.

use crate::agents;
use crate::clients::INSTANCES;
use crate::life::unwrap;
use aurora::base::clock::Timestamp;
use aurora::domain::cron::{MISSED_COUNTED, Schedule, Zone};
use aurora::domain::update::can_go;
use aurora::model::{
    CronOutcome, CronRun, CronTrigger, JobKey, ScheduleStatus, UpdateKey, UpdateStatus,
    UpdateStrategy,
};
use aurora::storage::stored::{Record, decode};
use aurora::storage::{Op, Tables, UpdateOp};
use cores::paxos::Position;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub struct Judge {
    pub read: Position,
    pub tables: Tables,
    /// The newest change that counts, and the newest term that has made one.
    pub version: u64,
    term: u64,
    /// Changes of deposed leaders that came too late to count.
    pub left_out: u64,
    /// Up to where instants are decided, by job and version.
    cursors: BTreeMap<(JobKey, u64), Timestamp>,
    pub runs: u64,
    pub missed: u64,
    /// How many instances the update under way may have down.
    most: usize,
    pub updates: u64,
    pub rolled_back: u64,
}

impl Judge {
    /// Takes one entry of the log.
    pub fn entry(&mut self, at: Position, payload: Option<&[u8]>) {
        self.read = at;
        let Some((_, record)) = payload.and_then(unwrap) else {
            return;
        };
        let record = decode(record).expect("an engine wrote what nobody can read");
        // Snapshots say nothing new.
        let Record::Ops { term, version, ops } = record else {
            return;
        };
        if term < self.term || version > self.version + 1 {
            self.left_out += 1;
            return;
        }
        assert_eq!(version, self.version + 1, "at {at}: a change came again");
        (self.term, self.version) = (term, version);
        let mut begun: BTreeMap<JobKey, i32> = BTreeMap::new();
        let mut touched: BTreeSet<JobKey> = BTreeSet::new();
        for op in &ops {
            self.look(op, &mut begun, &mut touched);
            let applied = self.tables.apply(op);
            applied.unwrap_or_else(|error| panic!("at {at}: {error}"));
        }
        let alone = begun.values().all(|count| *count == 0);
        assert!(alone, "at {at}: a run and its tasks are not one entry");
        touched.iter().for_each(|job| self.instances(job));
        self.machines();
        self.down(at);
    }

    fn look(&mut self, op: &Op, begun: &mut BTreeMap<JobKey, i32>, touched: &mut BTreeSet<JobKey>) {
        match op {
            Op::AddTasks { config, .. } => {
                touched.insert(config.job.clone());
                if self.tables.cron_job(&config.job).is_some() {
                    let active = self.tables.active_tasks_of_job(&config.job).count();
                    assert_eq!(active, 0, "two runs of {} at once", config.job);
                    *begun.entry(config.job.clone()).or_default() += 1;
                }
            }
            Op::NoteCronRun { job, run, .. } => {
                let cron = self.tables.cron_job(job).unwrap().clone();
                if matches!(run.outcome, CronOutcome::Started { .. }) {
                    *begun.entry(job.clone()).or_default() -= 1;
                }
                let known = cron.runs.iter().any(|known| known.number == run.number);
                if !known && run.trigger == CronTrigger::Schedule {
                    let schedule = cron.job.cron_schedule.as_deref().unwrap();
                    self.decision(job, cron.version, schedule, &cron.zone, run);
                }
            }
            Op::ReplaceTask { ancestor, .. } => {
                touched.extend(self.tables.task(ancestor).map(|task| task.job().clone()));
            }
            Op::SetCronJob(cron) => {
                let version = (cron.job.key.clone(), cron.version);
                self.cursors.entry(version).or_insert(cron.cursor);
            }
            Op::Update(UpdateOp::Start { update, .. }) => {
                self.updates += 1;
                self.most = match &update.settings.strategy {
                    UpdateStrategy::Queue { group_size }
                    | UpdateStrategy::Batch { group_size, .. } => {
                        usize::try_from(*group_size).unwrap()
                    }
                    UpdateStrategy::VariableBatch { .. } => usize::MAX,
                };
            }
            Op::Update(UpdateOp::Event { key, event }) => self.update(key, event.status),
            _ => {}
        }
    }

    fn update(&mut self, key: &UpdateKey, to: UpdateStatus) {
        let from = self.tables.updates().get(key).unwrap().status();
        assert!(can_go(from, to), "{key} goes from {from} to {to}");
        self.rolled_back += u64::from(to == UpdateStatus::RolledBack);
    }

    /// Each decision begins where the one before it ended, at the next instant.
    fn decision(&mut self, job: &JobKey, version: u64, text: &str, zone: &str, run: &CronRun) {
        let (schedule, zone) = (Schedule::parse(text).unwrap(), Zone::named(zone).unwrap());
        let cursor = self.cursors.get_mut(&(job.clone(), version)).unwrap();
        let next = |at: Timestamp| schedule.next_after(&zone, at).unwrap();
        assert!(run.at > *cursor, "{job}: {run:?} was decided before");
        assert!(run.decided >= run.at, "{job}: {run:?} is in the future");
        let first = next(*cursor);
        if let CronOutcome::Missed { first: told, count } = run.outcome {
            assert_eq!(told, first, "{job}: {run:?} leaves something out");
            let all = std::iter::successors(Some(first), |at| Some(next(*at)));
            let all = all.take_while(|at| *at <= run.at).count() as u64;
            let counted = u64::from(count) == all || count == MISSED_COUNTED;
            assert!(counted, "{job}: {run:?} should count {all}");
            self.missed += all;
        } else {
            assert_eq!(run.at, first, "{job}: {run:?} leaves something out");
            self.runs += 1;
        }
        *cursor = run.at;
    }

    fn instances(&self, job: &JobKey) {
        let active = self.tables.active_tasks_of_job(job);
        let instances: Vec<u32> = active.map(|task| task.instance).collect();
        let distinct: BTreeSet<u32> = instances.iter().copied().collect();
        assert_eq!(distinct.len(), instances.len(), "{job}: {instances:?}");
    }

    fn machines(&self) {
        for agent in self.tables.loaded_agents() {
            let used = self.tables.load(agent).map(|load| load.used());
            let used = used.unwrap_or_default();
            assert!(agents::total().fits(&used), "{agent} is given {used:?}");
        }
    }

    fn down(&self, at: Position) {
        let Some(record) = self.tables.updates().active().next() else {
            return;
        };
        let tasks = self.tables.active_tasks_of_job(&record.key().job);
        let up = tasks.filter(|task| task.status == ScheduleStatus::Running);
        let down = (INSTANCES as usize).saturating_sub(up.count());
        let (status, most) = (record.status(), self.most);
        assert!(
            down <= most,
            "at {at}: {down} down of {most} while {status}"
        );
    }
}
