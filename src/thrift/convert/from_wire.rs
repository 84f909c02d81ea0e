//! From the interface to the model.

use crate::model;
use crate::thrift::api;
use std::collections::BTreeSet;
use std::sync::Arc;
use thiserror::Error;

/// Why a value of the interface is none of the model.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConvertError {
    /// A job key with a part that is missing or no identifier.
    #[error("Job key {0} is invalid.")]
    JobKey(String),
    /// A range of instances that ends before it begins, or begins below zero.
    #[error("Instances {0} to {1} are no range.")]
    Range(i32, i32),
    /// A way to proceed that a newer client knows and this program does not.
    #[error("Update strategy provided is unknown.")]
    Strategy,
    /// A field without which the value means nothing.
    #[error("{0} is not set")]
    Unset(&'static str),
}

type Converted<T> = Result<T, ConvertError>;

fn set<T>(value: Option<T>, what: &'static str) -> Converted<T> {
    value.ok_or(ConvertError::Unset(what))
}

/// A job key, as far as it is there, for messages.
fn show(key: Option<&api::JobKey>) -> String {
    let Some(key) = key else {
        return "null".to_owned();
    };
    let part = |part: &Option<String>| match part {
        Some(text) => text.chars().take(300).collect(),
        None => "null".to_owned(),
    };
    let (role, environment, name) = (&key.role, &key.environment, &key.name);
    format!("{}/{}/{}", part(role), part(environment), part(name))
}

/// The job that `key` names.
///
/// # Errors
///
/// [`ConvertError::JobKey`] if a part is missing or no identifier.
pub fn job_key(key: Option<&api::JobKey>) -> Converted<model::JobKey> {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    key.and_then(|key| {
        model::JobKey::new(&text(&key.role), &text(&key.environment), &text(&key.name)).ok()
    })
    .ok_or_else(|| ConvertError::JobKey(show(key)))
}

/// Instance numbers. A negative one becomes a number that no instance has: dropping it could turn
/// "these instances" into "all".
pub fn instance_ids(ids: &[i32]) -> BTreeSet<model::InstanceId> {
    ids.iter().map(|id| id.cast_unsigned()).collect()
}

/// The model's name for a state.
pub fn schedule_status(status: api::ScheduleStatus) -> model::ScheduleStatus {
    model::ScheduleStatus::from_number(status.number())
        .expect("the model has every state of the interface")
}

/// A job. Its instance count is zero if the client's was negative.
///
/// # Errors
///
/// A job key that is none, or a member without which the job means nothing.
pub fn job_configuration(job: &api::JobConfiguration) -> Converted<model::JobConfiguration> {
    Ok(model::JobConfiguration {
        key: job_key(job.key.as_ref())?,
        owner: owner(job.owner.as_ref()),
        cron_schedule: job.cron_schedule.clone(),
        cron_collision_policy: match job.cron_collision_policy {
            None | Some(api::CronCollisionPolicy::KillExisting) => {
                model::CronCollisionPolicy::KillExisting
            }
            Some(api::CronCollisionPolicy::CancelNew) => model::CronCollisionPolicy::CancelNew,
            Some(api::CronCollisionPolicy::RunOverlap) => model::CronCollisionPolicy::RunOverlap,
        },
        task: Arc::new(task_config(set(job.task_config.as_ref(), "taskConfig")?)?),
        instance_count: u32::try_from(job.instance_count).unwrap_or(0),
    })
}

/// What a task runs and needs.
///
/// # Errors
///
/// A job key that is none, or a member without which the description means nothing.
pub fn task_config(config: &api::TaskConfig) -> Converted<model::TaskConfig> {
    let (resources, port_names) = resources(&config.resources);
    let executor = config.executor_config.as_ref();
    Ok(model::TaskConfig {
        job: job_key(config.job.as_ref())?,
        owner: owner(config.owner.as_ref()),
        is_service: config.is_service,
        priority: config.priority,
        max_task_failures: config.max_task_failures,
        production: config.production,
        tier: config.tier.clone(),
        resources,
        port_names,
        names_gpus: config
            .resources
            .iter()
            .any(|resource| matches!(resource, api::Resource::NumGpus(_))),
        constraints: all(&config.constraints, constraint)?,
        fetcher_uris: all(&config.mesos_fetcher_uris, fetcher_uri)?,
        task_links: config.task_links.clone(),
        contact_email: config.contact_email.clone(),
        executor: executor.map(|executor| model::ExecutorConfig {
            name: executor.name.clone(),
            data: executor.data.clone(),
        }),
        metadata: all(&config.metadata, |pair| {
            Ok(model::Metadata {
                key: pair.key.clone().unwrap_or_default(),
                value: pair.value.clone().unwrap_or_default(),
            })
        })?,
        partition_policy: config
            .partition_policy
            .as_ref()
            .map(|policy| model::PartitionPolicy {
                reschedule: policy.reschedule,
                delay_secs: policy.delay_secs,
            }),
        sla_policy: config.sla_policy.as_ref().map(sla_policy),
        container: match &config.container {
            Some(given) => container(given)?,
            None => model::Container::default(),
        },
    })
}

fn owner(owner: Option<&api::Identity>) -> Option<String> {
    owner.map(|owner| owner.user.clone().unwrap_or_default())
}

fn all<W, M: Ord>(values: &[W], convert: impl Fn(&W) -> Converted<M>) -> Converted<BTreeSet<M>> {
    values.iter().map(convert).collect()
}

/// The sum of all resources.
pub fn resource_amounts(values: &[api::Resource]) -> model::Resources {
    resources(values).0
}

/// The sum of all resources, and the names of the ports.
fn resources(values: &[api::Resource]) -> (model::Resources, BTreeSet<String>) {
    let mut names = BTreeSet::new();
    let mut sum = model::Resources::default();
    for value in values {
        let mut one = model::Resources::default();
        match value {
            api::Resource::NumCpus(cores) => one.cpus = model::MilliCpus::from_cores(*cores),
            api::Resource::RamMb(mb) => one.ram_mb = *mb,
            api::Resource::DiskMb(mb) => one.disk_mb = *mb,
            api::Resource::NumGpus(count) => one.gpus = *count,
            api::Resource::NamedPort(name) => {
                names.insert(name.clone());
            }
        }
        sum = sum.plus(one);
    }
    sum.ports = u32::try_from(names.len()).unwrap_or(u32::MAX);
    (sum, names)
}

fn constraint(constraint: &api::Constraint) -> Converted<model::Constraint> {
    let kind = match set(constraint.constraint.as_ref(), "constraint")? {
        api::TaskConstraint::Limit(limit) => model::ConstraintKind::Limit(limit.limit),
        api::TaskConstraint::Value(value) => model::ConstraintKind::Value {
            negated: value.negated,
            values: value.values.iter().cloned().collect(),
        },
    };
    Ok(model::Constraint {
        name: set(constraint.name.clone(), "constraint name")?,
        kind,
    })
}

fn fetcher_uri(uri: &api::MesosFetcherUri) -> Converted<model::FetcherUri> {
    Ok(model::FetcherUri {
        value: set(uri.value.clone(), "mesosFetcherUri value")?,
        extract: Some(uri.extract),
        cache: Some(uri.cache),
        output_file: uri.output_file.clone(),
    })
}

/// A promise. What is missing is zero or empty.
pub fn sla_policy(policy: &api::SlaPolicy) -> model::SlaPolicy {
    match policy {
        api::SlaPolicy::CoordinatorSlaPolicy(policy) => model::SlaPolicy::Coordinator {
            url: policy.coordinator_url.clone().unwrap_or_default(),
            status_key: policy.status_key.clone().unwrap_or_default(),
        },
        api::SlaPolicy::CountSlaPolicy(policy) => model::SlaPolicy::Count {
            count: policy.count,
            duration_secs: policy.duration_secs,
        },
        api::SlaPolicy::PercentageSlaPolicy(policy) => model::SlaPolicy::Percentage {
            // The cast saturates and maps NaN to zero, which is what is wanted.
            milli_percent: (policy.percentage * 1000.0).round() as i64,
            duration_secs: policy.duration_secs,
        },
    }
}

fn container(container: &api::Container) -> Converted<model::Container> {
    match container {
        api::Container::Docker(docker) => Ok(model::Container::Docker {
            image: docker.image.clone().unwrap_or_default(),
            parameters: docker.parameters.iter().map(docker_parameter).collect(),
        }),
        api::Container::Mesos(mesos) => Ok(model::Container::Mesos {
            image: mesos.image.as_ref().map(image),
            volumes: mesos.volumes.iter().map(volume).collect::<Converted<_>>()?,
        }),
    }
}

fn docker_parameter(parameter: &api::DockerParameter) -> model::DockerParameter {
    model::DockerParameter {
        name: parameter.name.clone().unwrap_or_default(),
        value: parameter.value.clone().unwrap_or_default(),
    }
}

fn image(image: &api::Image) -> model::Image {
    match image {
        api::Image::Docker(docker) => model::Image::Docker {
            name: docker.name.clone().unwrap_or_default(),
            tag: docker.tag.clone().unwrap_or_default(),
        },
        api::Image::Appc(appc) => model::Image::Appc {
            name: appc.name.clone().unwrap_or_default(),
            image_id: appc.image_id.clone().unwrap_or_default(),
        },
    }
}

fn volume(volume: &api::Volume) -> Converted<model::Volume> {
    Ok(model::Volume {
        container_path: set(volume.container_path.clone(), "volume containerPath")?,
        host_path: set(volume.host_path.clone(), "volume hostPath")?,
        mode: match set(volume.mode, "volume mode")? {
            api::Mode::Ro => model::VolumeMode::ReadOnly,
            api::Mode::Rw => model::VolumeMode::ReadWrite,
        },
    })
}
