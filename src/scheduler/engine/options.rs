//! What operators may set.

use super::revocable::RevocableRules;
use crate::base::backoff::Backoff;
use crate::domain::flapping::Flapping;
use crate::domain::placement::OfferOrder;
use crate::domain::sla::SlaRules;
use crate::domain::tier::Tiers;
use crate::model::{ExecutorSetup, MilliCpus, Resources};
use std::sync::Arc;
use std::time::Duration;

/// The engine's settings. The defaults are upstream's where it has the thing.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The cluster's name, for statistics of single instances.
    pub cluster: Arc<str>,
    /// Our host's name, for the history of tasks.
    pub scheduler: Arc<str>,
    /// What an executor takes of a machine besides its task. Ours is small; upstream's took 0.25 cores
    /// and 128 MB.
    pub executor_overhead: Resources,
    /// How agents start executors.
    pub executor: ExecutorSetup,
    /// The most instances a job may have.
    pub max_tasks_per_job: u32,
    /// The most tasks one attempt places.
    pub max_tasks_per_attempt: usize,
    /// The most attempts per second, with a burst of one second's worth.
    pub max_attempts_per_sec: u32,
    /// How long a new task waits for others to join it.
    pub first_schedule_delay: Duration,
    /// The pauses between attempts that place nothing.
    pub schedule_penalty: Backoff,
    /// How far the first attempts after a start are spread.
    pub max_startup_delay: Duration,
    /// The time zone that new cron jobs get.
    pub cron_zone: Arc<str>,
    /// Instants of cron jobs that passed while nobody led are made up for if they are younger than this.
    pub cron_catch_up: Duration,
    /// Penalties for tasks that keep ending.
    pub flapping: Flapping,
    /// How long a task may be ASSIGNED, KILLING, RESTARTING, PREEMPTING or DRAINING.
    pub transient_timeout: Duration,
    /// The pauses between repeated kills.
    pub kill_retry: Backoff,
    /// How long an agent may be away before its tasks count as cut off.
    pub agent_timeout: Duration,
    /// When agents are first asked to report everything, and how often after that.
    pub reconcile: (Duration, Duration),
    /// Ended tasks are kept at least this long.
    pub history_min_retention: Duration,
    /// Ended tasks are forgotten after this long.
    pub history_retention: Duration,
    /// Ended tasks of one job above this number are forgotten early.
    pub history_per_job: usize,
    /// How long answers are kept for repeats of their requests.
    pub answer_retention: Duration,
    /// How often a snapshot is taken.
    pub snapshot_interval: Duration,
    /// How many entries may be on their way to the log.
    pub window: usize,
    /// The tiers of the cluster.
    pub tiers: Tiers,
    /// Whom promises protect while machines are drained.
    pub sla: SlaRules,
    /// How often machines that are drained are looked at.
    pub maintenance_interval: Duration,
    /// How many coordinators are asked at once.
    pub coordinators: usize,
    /// How many tasks one order to report again names.
    pub reconcile_batch: usize,
    /// When agents are first asked to report all that they have, and how often after that.
    pub reconcile_implicitly: (Duration, Duration),
    /// When room is first searched for tasks that have waited; never if `None`.
    pub preemption_initial_delay: Option<Duration>,
    /// How often room is searched.
    pub preemption_interval: Duration,
    /// How long a task waits before others end in its favour.
    pub preemption_delay: Duration,
    /// How many tasks of a group may have room made for them at once.
    pub preemption_batch: usize,
    /// How long a machine is kept for those for whom room was made on it.
    pub reservation: Duration,
    /// The order in which machines are tried; empty if they take turns.
    pub offer_order: Vec<OfferOrder>,
    /// Which resources may be taken back.
    pub revocable: RevocableRules,
    /// How long a machine is kept for an instance that an update replaces; not at all if `None`.
    pub update_affinity: Option<Duration>,
    /// The pauses before an update asks again about an instance that a promise protects.
    pub sla_kill_retry: Backoff,
    /// Updates are forgotten this long after they were started, once they have ended.
    pub update_history: Duration,
    /// Updates of one job above this number are forgotten early, once they have ended.
    pub updates_per_job: usize,
    /// How often old updates are looked for.
    pub update_pruning_interval: Duration,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let (secs, mins) = (Duration::from_secs, |m: u64| Duration::from_secs(60 * m));
        Self {
            cluster: "cluster".into(),
            scheduler: "localhost".into(),
            executor_overhead: Resources {
                cpus: MilliCpus(10),
                ram_mb: 8,
                ..Resources::default()
            },
            executor: ExecutorSetup::default(),
            max_tasks_per_job: 4_000,
            max_tasks_per_attempt: 5,
            max_attempts_per_sec: 40,
            first_schedule_delay: Duration::from_millis(1),
            schedule_penalty: Backoff::new(secs(1), mins(1)),
            max_startup_delay: Duration::ZERO,
            cron_zone: "GMT".into(),
            cron_catch_up: mins(15),
            flapping: Flapping {
                backoff: Backoff::new(secs(30), mins(5)),
                threshold: mins(5),
            },
            transient_timeout: mins(5),
            kill_retry: Backoff::new(secs(15), mins(5)),
            agent_timeout: secs(75),
            reconcile: (mins(1), mins(60)),
            history_min_retention: mins(60),
            history_retention: mins(2 * 24 * 60),
            history_per_job: 100,
            answer_retention: mins(15),
            snapshot_interval: mins(60),
            window: 32,
            tiers: Tiers::default(),
            sla: SlaRules::default(),
            maintenance_interval: mins(1),
            coordinators: 10,
            reconcile_batch: 1_000,
            reconcile_implicitly: (mins(31), mins(60)),
            preemption_initial_delay: Some(mins(3)),
            preemption_interval: mins(1),
            preemption_delay: mins(3),
            preemption_batch: 5,
            reservation: mins(3),
            offer_order: Vec::new(),
            revocable: RevocableRules::default(),
            update_affinity: None,
            sla_kill_retry: Backoff::new(mins(1), mins(5)),
            update_history: mins(30 * 24 * 60),
            updates_per_job: 10,
            update_pruning_interval: mins(15),
        }
    }
}
