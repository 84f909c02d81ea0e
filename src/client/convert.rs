//! From a loaded job to the API's structs.

use super::jobfile::{
    CollisionPolicy, JobConstraint, JobContainer, JobImage, JobPair, JobResource, JobSlaPolicy,
    JobTask, JobTaskConstraint, JobVolume, LoadedJob, UpdateSettings, UpdateStrategy, VolumeMode,
};
use crate::model::{InstanceRange, JobKey as ModelKey};
use crate::thrift::api::{
    AppcImage, BatchJobUpdateStrategy, Constraint, Container, CoordinatorSlaPolicy, CountSlaPolicy,
    CronCollisionPolicy, DockerContainer, DockerImage, DockerParameter, ExecutorConfig, Identity,
    Image, JobConfiguration, JobKey, JobUpdateSettings, JobUpdateStrategy, LimitConstraint,
    MesosContainer, Metadata, Mode, PartitionPolicy, PercentageSlaPolicy, QueueJobUpdateStrategy,
    Range, Resource, SlaPolicy, TaskConfig, TaskConstraint, ValueConstraint,
    VariableBatchJobUpdateStrategy, Volume,
};
use std::collections::BTreeSet;

/// A key as the API has it.
pub fn job_key(key: &ModelKey) -> JobKey {
    JobKey {
        role: Some(key.role().to_owned()),
        environment: Some(key.environment().to_owned()),
        name: Some(key.name().to_owned()),
    }
}

/// The job as the API takes it.
pub fn job_configuration(loaded: &LoadedJob) -> JobConfiguration {
    let config = &loaded.config;
    let key = JobKey {
        role: Some(loaded.key.role.clone()),
        environment: Some(loaded.key.environment.clone()),
        name: Some(loaded.key.name.clone()),
    };
    let owner = Identity {
        user: Some(config.owner.clone()),
    };
    JobConfiguration {
        task_config: Some(task_config(&config.task_config, &key, &owner)),
        key: Some(key),
        owner: Some(owner),
        cron_schedule: config.cron_schedule.clone(),
        cron_collision_policy: Some(match config.cron_collision_policy {
            CollisionPolicy::KillExisting => CronCollisionPolicy::KillExisting,
            CollisionPolicy::CancelNew => CronCollisionPolicy::CancelNew,
            CollisionPolicy::RunOverlap => CronCollisionPolicy::RunOverlap,
        }),
        instance_count: config.instance_count,
    }
}

/// The settings of an update, which touches only these instances if any are named.
pub fn update_settings(
    settings: &UpdateSettings,
    instances: Option<&BTreeSet<u32>>,
) -> JobUpdateSettings {
    let strategy = match &settings.update_strategy {
        UpdateStrategy::QueueStrategy { group_size } => {
            JobUpdateStrategy::QueueStrategy(QueueJobUpdateStrategy {
                group_size: *group_size,
            })
        }
        UpdateStrategy::BatchStrategy {
            group_size,
            autopause_after_batch,
        } => JobUpdateStrategy::BatchStrategy(BatchJobUpdateStrategy {
            group_size: *group_size,
            autopause_after_batch: *autopause_after_batch,
        }),
        UpdateStrategy::VarBatchStrategy {
            group_sizes,
            autopause_after_batch,
        } => JobUpdateStrategy::VarBatchStrategy(VariableBatchJobUpdateStrategy {
            group_sizes: group_sizes.clone(),
            autopause_after_batch: *autopause_after_batch,
        }),
    };
    let only = InstanceRange::of(instances.into_iter().flatten().copied());
    let range = |range: &InstanceRange| Range {
        first: range.first.cast_signed(),
        last: range.last.cast_signed(),
    };
    JobUpdateSettings {
        update_group_size: settings.update_group_size,
        max_per_instance_failures: settings.max_per_instance_failures,
        max_failed_instances: settings.max_failed_instances,
        min_wait_in_instance_running_ms: settings.min_wait_in_instance_running_ms,
        rollback_on_failure: settings.rollback_on_failure,
        update_only_these_instances: only.iter().map(range).collect(),
        wait_for_batch_completion: settings.wait_for_batch_completion,
        block_if_no_pulses_after_ms: settings.block_if_no_pulses_after_ms.unwrap_or(0),
        sla_aware: settings.sla_aware,
        update_strategy: Some(strategy),
    }
}

fn task_config(task: &JobTask, key: &JobKey, owner: &Identity) -> TaskConfig {
    TaskConfig {
        job: Some(key.clone()),
        owner: Some(owner.clone()),
        is_service: task.is_service,
        priority: task.priority,
        max_task_failures: task.max_task_failures,
        production: task.production,
        tier: task.tier.clone(),
        resources: task.resources.iter().map(resource).collect(),
        constraints: task.constraints.iter().map(constraint).collect(),
        contact_email: task.contact_email.clone(),
        executor_config: Some(ExecutorConfig {
            name: Some(task.executor_config.name.clone()),
            data: Some(task.executor_config.data.clone()),
        }),
        metadata: task.metadata.iter().map(metadata).collect(),
        partition_policy: task.partition_policy.as_ref().map(|p| PartitionPolicy {
            reschedule: p.reschedule,
            delay_secs: p.delay_secs,
        }),
        sla_policy: task.sla_policy.as_ref().map(sla_policy),
        container: Some(container(&task.container)),
        ..TaskConfig::default()
    }
}

fn resource(resource: &JobResource) -> Resource {
    match resource {
        JobResource::NumCpus(n) => Resource::NumCpus(*n),
        JobResource::RamMb(n) => Resource::RamMb(*n),
        JobResource::DiskMb(n) => Resource::DiskMb(*n),
        JobResource::NamedPort(name) => Resource::NamedPort(name.clone()),
        JobResource::NumGpus(n) => Resource::NumGpus(*n),
    }
}

fn constraint(given: &JobConstraint) -> Constraint {
    let constraint = match &given.constraint {
        JobTaskConstraint::Value { negated, values } => TaskConstraint::Value(ValueConstraint {
            negated: *negated,
            values: values.clone(),
        }),
        JobTaskConstraint::Limit { limit } => {
            TaskConstraint::Limit(LimitConstraint { limit: *limit })
        }
    };
    Constraint {
        name: Some(given.name.clone()),
        constraint: Some(constraint),
    }
}

fn metadata(pair: &JobPair) -> Metadata {
    Metadata {
        key: Some(pair.key.clone()),
        value: Some(pair.value.clone()),
    }
}

fn sla_policy(policy: &JobSlaPolicy) -> SlaPolicy {
    match policy {
        JobSlaPolicy::PercentageSlaPolicy {
            percentage,
            duration_secs,
        } => SlaPolicy::PercentageSlaPolicy(PercentageSlaPolicy {
            percentage: *percentage,
            duration_secs: *duration_secs,
        }),
        JobSlaPolicy::CountSlaPolicy {
            count,
            duration_secs,
        } => SlaPolicy::CountSlaPolicy(CountSlaPolicy {
            count: *count,
            duration_secs: *duration_secs,
        }),
        JobSlaPolicy::CoordinatorSlaPolicy {
            coordinator_url,
            status_key,
        } => SlaPolicy::CoordinatorSlaPolicy(CoordinatorSlaPolicy {
            coordinator_url: Some(coordinator_url.clone()),
            status_key: Some(status_key.clone()),
        }),
    }
}

fn container(container: &JobContainer) -> Container {
    match container {
        JobContainer::Mesos { image, volumes } => Container::Mesos(MesosContainer {
            image: image.as_ref().map(self::image),
            volumes: volumes.iter().map(volume).collect(),
        }),
        JobContainer::Docker { image, parameters } => Container::Docker(DockerContainer {
            image: Some(image.clone()),
            parameters: parameters
                .iter()
                .map(|p| DockerParameter {
                    name: Some(p.key.clone()),
                    value: Some(p.value.clone()),
                })
                .collect(),
        }),
    }
}

fn image(image: &JobImage) -> Image {
    match image {
        JobImage::Docker { name, tag } => Image::Docker(DockerImage {
            name: Some(name.clone()),
            tag: Some(tag.clone()),
        }),
        JobImage::Appc { name, image_id } => Image::Appc(AppcImage {
            name: Some(name.clone()),
            image_id: Some(image_id.clone()),
        }),
    }
}

fn volume(volume: &JobVolume) -> Volume {
    Volume {
        container_path: Some(volume.container_path.clone()),
        host_path: Some(volume.host_path.clone()),
        mode: Some(match volume.mode {
            VolumeMode::ReadWrite => Mode::Rw,
            VolumeMode::ReadOnly => Mode::Ro,
        }),
    }
}
