//! Tasks for tests of decisions.

use crate::base::clock::Timestamp;
use crate::model::{
    JobKey, MilliCpus, Resources, ScheduleStatus, ScheduledTask, TaskConfig, TaskEvent, TaskId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A description of role `r`, with `change` made to it.
pub(crate) fn config(name: &str, change: impl FnOnce(&mut TaskConfig)) -> TaskConfig {
    let mut config = TaskConfig {
        job: JobKey::new("r", "e", name).unwrap(),
        owner: None,
        is_service: true,
        priority: 0,
        max_task_failures: 1,
        production: false,
        tier: Some("preemptible".into()),
        resources: Resources {
            cpus: MilliCpus(1_000),
            ram_mb: 100,
            ..Resources::default()
        },
        port_names: BTreeSet::new(),
        names_gpus: false,
        constraints: BTreeSet::new(),
        fetcher_uris: BTreeSet::new(),
        task_links: BTreeMap::new(),
        contact_email: None,
        executor: None,
        metadata: BTreeSet::new(),
        partition_policy: None,
        sla_policy: None,
        container: Default::default(),
    };
    change(&mut config);
    config
}

/// An instance of job `r/e/j` whose only event, at `at` milliseconds, is that it took `status`.
pub(crate) fn task(
    instance: usize,
    status: ScheduleStatus,
    at: i64,
    change: impl FnOnce(&mut TaskConfig),
) -> Arc<ScheduledTask> {
    let event = TaskEvent {
        at: Timestamp(at),
        status,
        message: None,
        scheduler: None,
    };
    Arc::new(ScheduledTask {
        id: TaskId::new(&format!("t{instance}")),
        config: Arc::new(config("j", change)),
        instance: u32::try_from(instance).unwrap(),
        status,
        failure_count: 0,
        times_partitioned: 0,
        ancestor: None,
        agent: None,
        host: None,
        ports: BTreeMap::new(),
        events: vec![event],
    })
}
