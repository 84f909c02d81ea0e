//! From the model to the interface.

use crate::model;
use crate::thrift::api;
use std::collections::BTreeMap;

/// The interface's name for a state.
pub fn status_to_wire(status: model::ScheduleStatus) -> api::ScheduleStatus {
    api::ScheduleStatus::from_number(status.number())
        .expect("the interface has every state of the model")
}

/// A job's name.
pub fn job_key_to_wire(key: &model::JobKey) -> api::JobKey {
    api::JobKey {
        role: Some(key.role().to_owned()),
        environment: Some(key.environment().to_owned()),
        name: Some(key.name().to_owned()),
    }
}

/// A job.
pub fn job_configuration_to_wire(job: &model::JobConfiguration) -> api::JobConfiguration {
    api::JobConfiguration {
        key: Some(job_key_to_wire(&job.key)),
        owner: owner(job.owner.as_ref()),
        cron_schedule: job.cron_schedule.clone(),
        cron_collision_policy: Some(match job.cron_collision_policy {
            model::CronCollisionPolicy::KillExisting => api::CronCollisionPolicy::KillExisting,
            model::CronCollisionPolicy::CancelNew => api::CronCollisionPolicy::CancelNew,
            model::CronCollisionPolicy::RunOverlap => api::CronCollisionPolicy::RunOverlap,
        }),
        task_config: Some(task_config_to_wire(&job.task)),
        instance_count: i32::try_from(job.instance_count).unwrap_or(i32::MAX),
    }
}

/// A quota or what counts against one: exactly processor time, memory and disk.
pub fn quota_to_wire(quota: model::Quota) -> api::ResourceAggregate {
    api::ResourceAggregate {
        resources: vec![
            api::Resource::NumCpus(quota.cpus.as_cores()),
            api::Resource::RamMb(quota.ram_mb),
            api::Resource::DiskMb(quota.disk_mb),
        ],
    }
}

/// A task with its place and its past.
pub fn scheduled_task_to_wire(task: &model::ScheduledTask) -> api::ScheduledTask {
    let ports = task.ports.iter();
    api::ScheduledTask {
        assigned_task: Some(api::AssignedTask {
            task_id: Some(task.id.as_str().to_owned()),
            slave_id: task.agent.as_ref().map(|agent| agent.as_str().to_owned()),
            slave_host: task.host.as_deref().map(str::to_owned),
            task: Some(task_config_to_wire(&task.config)),
            assigned_ports: ports
                .map(|(name, port)| (name.clone(), i32::from(*port)))
                .collect::<BTreeMap<_, _>>(),
            instance_id: task.instance.cast_signed(),
        }),
        status: Some(status_to_wire(task.status)),
        failure_count: task.failure_count,
        times_partitioned: task.times_partitioned,
        task_events: task.events.iter().map(task_event).collect(),
        ancestor_id: task.ancestor.as_ref().map(|id| id.as_str().to_owned()),
    }
}

fn task_event(event: &model::TaskEvent) -> api::TaskEvent {
    api::TaskEvent {
        timestamp: event.at.as_ms(),
        status: Some(status_to_wire(event.status)),
        message: event.message.clone(),
        scheduler: event.scheduler.as_deref().map(str::to_owned),
    }
}

/// What a task runs and needs.
pub fn task_config_to_wire(config: &model::TaskConfig) -> api::TaskConfig {
    let executor = config.executor.as_ref();
    api::TaskConfig {
        job: Some(job_key_to_wire(&config.job)),
        owner: owner(config.owner.as_ref()),
        is_service: config.is_service,
        priority: config.priority,
        max_task_failures: config.max_task_failures,
        production: config.production,
        tier: config.tier.clone(),
        resources: resources(config),
        constraints: config.constraints.iter().map(constraint).collect(),
        mesos_fetcher_uris: config.fetcher_uris.iter().map(fetcher_uri).collect(),
        task_links: config.task_links.clone(),
        contact_email: config.contact_email.clone(),
        executor_config: executor.map(|executor| api::ExecutorConfig {
            name: executor.name.clone(),
            data: executor.data.clone(),
        }),
        metadata: config
            .metadata
            .iter()
            .map(|pair| api::Metadata {
                key: Some(pair.key.clone()),
                value: Some(pair.value.clone()),
            })
            .collect(),
        partition_policy: config.partition_policy.map(|policy| api::PartitionPolicy {
            reschedule: policy.reschedule,
            delay_secs: policy.delay_secs,
        }),
        sla_policy: config.sla_policy.as_ref().map(sla_policy),
        container: Some(container(&config.container)),
    }
}

fn owner(owner: Option<&String>) -> Option<api::Identity> {
    owner.map(|user| api::Identity {
        user: Some(user.clone()),
    })
}

fn resources(config: &model::TaskConfig) -> Vec<api::Resource> {
    let amounts = config.resources;
    let mut resources = vec![
        api::Resource::NumCpus(amounts.cpus.as_cores()),
        api::Resource::RamMb(amounts.ram_mb),
        api::Resource::DiskMb(amounts.disk_mb),
    ];
    let ports = config.port_names.iter();
    resources.extend(ports.map(|name| api::Resource::NamedPort(name.clone())));
    if config.names_gpus {
        resources.push(api::Resource::NumGpus(amounts.gpus));
    }
    resources
}

fn constraint(constraint: &model::Constraint) -> api::Constraint {
    let kind = match &constraint.kind {
        model::ConstraintKind::Limit(limit) => {
            api::TaskConstraint::Limit(api::LimitConstraint { limit: *limit })
        }
        model::ConstraintKind::Value { negated, values } => {
            api::TaskConstraint::Value(api::ValueConstraint {
                negated: *negated,
                values: values.iter().cloned().collect(),
            })
        }
    };
    api::Constraint {
        name: Some(constraint.name.clone()),
        constraint: Some(kind),
    }
}

fn fetcher_uri(uri: &model::FetcherUri) -> api::MesosFetcherUri {
    api::MesosFetcherUri {
        value: Some(uri.value.clone()),
        extract: uri.extract.unwrap_or_default(),
        cache: uri.cache.unwrap_or_default(),
        output_file: uri.output_file.clone(),
    }
}

fn sla_policy(policy: &model::SlaPolicy) -> api::SlaPolicy {
    match policy {
        model::SlaPolicy::Coordinator { url, status_key } => {
            api::SlaPolicy::CoordinatorSlaPolicy(api::CoordinatorSlaPolicy {
                coordinator_url: Some(url.clone()),
                status_key: Some(status_key.clone()),
            })
        }
        model::SlaPolicy::Count {
            count,
            duration_secs,
        } => api::SlaPolicy::CountSlaPolicy(api::CountSlaPolicy {
            count: *count,
            duration_secs: *duration_secs,
        }),
        model::SlaPolicy::Percentage {
            milli_percent,
            duration_secs,
        } => api::SlaPolicy::PercentageSlaPolicy(api::PercentageSlaPolicy {
            percentage: *milli_percent as f64 / 1000.0,
            duration_secs: *duration_secs,
        }),
    }
}

fn container(container: &model::Container) -> api::Container {
    match container {
        model::Container::Docker { image, parameters } => {
            api::Container::Docker(api::DockerContainer {
                image: Some(image.clone()),
                parameters: parameters
                    .iter()
                    .map(|parameter| api::DockerParameter {
                        name: Some(parameter.name.clone()),
                        value: Some(parameter.value.clone()),
                    })
                    .collect(),
            })
        }
        model::Container::Mesos {
            image: file_system,
            volumes,
        } => api::Container::Mesos(api::MesosContainer {
            image: file_system.as_ref().map(image),
            volumes: volumes.iter().map(volume).collect(),
        }),
    }
}

fn image(image: &model::Image) -> api::Image {
    match image {
        model::Image::Appc { name, image_id } => api::Image::Appc(api::AppcImage {
            name: Some(name.clone()),
            image_id: Some(image_id.clone()),
        }),
        model::Image::Docker { name, tag } => api::Image::Docker(api::DockerImage {
            name: Some(name.clone()),
            tag: Some(tag.clone()),
        }),
    }
}

fn volume(volume: &model::Volume) -> api::Volume {
    api::Volume {
        container_path: Some(volume.container_path.clone()),
        host_path: Some(volume.host_path.clone()),
        mode: Some(match volume.mode {
            model::VolumeMode::ReadOnly => api::Mode::Ro,
            model::VolumeMode::ReadWrite => api::Mode::Rw,
        }),
    }
}
