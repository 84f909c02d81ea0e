//! Frozen copies of what a task runs and needs.

use super::pool::impossible;
use crate::model::{
    Constraint, ConstraintKind, Container, DockerParameter, ExecutorConfig, FetcherUri, Image,
    JobKey, Metadata, MilliCpus, PartitionPolicy, Resources, SlaPolicy, TaskConfig, Volume,
    VolumeMode,
};
use crate::storage::stored::StoredError;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JobKeyV1(pub String, pub String, pub String);

impl JobKeyV1 {
    pub(super) fn of(key: &JobKey) -> Self {
        Self(
            key.role().into(),
            key.environment().into(),
            key.name().into(),
        )
    }

    pub(super) fn into_model(self) -> Result<JobKey, StoredError> {
        let key = JobKey::new(&self.0, &self.1, &self.2);
        key.map_err(|error| impossible("job key", error))
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ResourcesV1 {
    milli_cpus: i64,
    ram_mb: i64,
    disk_mb: i64,
    ports: u32,
    gpus: i64,
}

impl ResourcesV1 {
    pub(super) fn of(r: &Resources) -> Self {
        Self {
            milli_cpus: r.cpus.0,
            ram_mb: r.ram_mb,
            disk_mb: r.disk_mb,
            ports: r.ports,
            gpus: r.gpus,
        }
    }

    pub(super) fn into_model(self) -> Resources {
        Resources {
            cpus: MilliCpus(self.milli_cpus),
            ram_mb: self.ram_mb,
            disk_mb: self.disk_mb,
            ports: self.ports,
            gpus: self.gpus,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
enum ConstraintV1 {
    Limit(String, i32),
    Value(String, bool, Vec<String>),
}

#[derive(Debug, Serialize, Deserialize)]
struct FetcherUriV1 {
    value: String,
    extract: Option<bool>,
    cache: Option<bool>,
    output_file: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ExecutorV1 {
    name: Option<String>,
    data: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum SlaPolicyV1 {
    Coordinator(String, String),
    Count(i64, i64),
    Percentage(i64, i64),
}

#[derive(Debug, Serialize, Deserialize)]
enum ImageV1 {
    Appc(String, String),
    Docker(String, String),
}

#[derive(Debug, Serialize, Deserialize)]
struct VolumeV1 {
    container_path: String,
    host_path: String,
    read_write: bool,
}

#[derive(Debug, Serialize, Deserialize)]
enum ContainerV1 {
    Docker(String, Vec<(String, String)>),
    Mesos(Option<ImageV1>, Vec<VolumeV1>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TaskConfigV1 {
    job: JobKeyV1,
    owner: Option<String>,
    is_service: bool,
    priority: i32,
    max_task_failures: i32,
    production: bool,
    tier: Option<String>,
    resources: ResourcesV1,
    port_names: Vec<String>,
    names_gpus: bool,
    constraints: Vec<ConstraintV1>,
    fetcher_uris: Vec<FetcherUriV1>,
    task_links: Vec<(String, String)>,
    contact_email: Option<String>,
    executor: Option<ExecutorV1>,
    metadata: Vec<(String, String)>,
    partition_policy: Option<(bool, i64)>,
    sla_policy: Option<SlaPolicyV1>,
    container: ContainerV1,
}

impl TaskConfigV1 {
    pub(super) fn of(c: &TaskConfig) -> Self {
        let pair = |a: &String, b: &String| (a.clone(), b.clone());
        Self {
            job: JobKeyV1::of(&c.job),
            owner: c.owner.clone(),
            is_service: c.is_service,
            priority: c.priority,
            max_task_failures: c.max_task_failures,
            production: c.production,
            tier: c.tier.clone(),
            resources: ResourcesV1::of(&c.resources),
            port_names: c.port_names.iter().cloned().collect(),
            names_gpus: c.names_gpus,
            constraints: c.constraints.iter().map(constraint).collect(),
            fetcher_uris: c.fetcher_uris.iter().map(fetcher_uri).collect(),
            task_links: c.task_links.iter().map(|(k, v)| pair(k, v)).collect(),
            contact_email: c.contact_email.clone(),
            executor: c.executor.as_ref().map(|e| ExecutorV1 {
                name: e.name.clone(),
                data: e.data.clone(),
            }),
            metadata: c.metadata.iter().map(|m| pair(&m.key, &m.value)).collect(),
            partition_policy: c.partition_policy.map(|p| (p.reschedule, p.delay_secs)),
            sla_policy: c.sla_policy.as_ref().map(SlaPolicyV1::of),
            container: container(&c.container),
        }
    }

    pub(super) fn into_model(self) -> Result<TaskConfig, StoredError> {
        let metadata = |(key, value)| Metadata { key, value };
        Ok(TaskConfig {
            job: self.job.into_model()?,
            owner: self.owner,
            is_service: self.is_service,
            priority: self.priority,
            max_task_failures: self.max_task_failures,
            production: self.production,
            tier: self.tier,
            resources: self.resources.into_model(),
            port_names: self.port_names.into_iter().collect(),
            names_gpus: self.names_gpus,
            constraints: self
                .constraints
                .into_iter()
                .map(ConstraintV1::into_model)
                .collect(),
            fetcher_uris: self
                .fetcher_uris
                .into_iter()
                .map(FetcherUriV1::into_model)
                .collect(),
            task_links: self.task_links.into_iter().collect(),
            contact_email: self.contact_email,
            executor: self.executor.map(|e| ExecutorConfig {
                name: e.name,
                data: e.data,
            }),
            metadata: self.metadata.into_iter().map(metadata).collect(),
            partition_policy: self.partition_policy.map(|(reschedule, delay_secs)| {
                PartitionPolicy {
                    reschedule,
                    delay_secs,
                }
            }),
            sla_policy: self.sla_policy.map(SlaPolicyV1::into_model),
            container: self.container.into_model(),
        })
    }
}

fn constraint(c: &Constraint) -> ConstraintV1 {
    match &c.kind {
        ConstraintKind::Limit(limit) => ConstraintV1::Limit(c.name.clone(), *limit),
        ConstraintKind::Value { negated, values } => {
            ConstraintV1::Value(c.name.clone(), *negated, values.iter().cloned().collect())
        }
    }
}

impl ConstraintV1 {
    fn into_model(self) -> Constraint {
        let (name, kind) = match self {
            Self::Limit(name, limit) => (name, ConstraintKind::Limit(limit)),
            Self::Value(name, negated, values) => {
                let values = values.into_iter().collect();
                (name, ConstraintKind::Value { negated, values })
            }
        };
        Constraint { name, kind }
    }
}

fn fetcher_uri(u: &FetcherUri) -> FetcherUriV1 {
    FetcherUriV1 {
        value: u.value.clone(),
        extract: u.extract,
        cache: u.cache,
        output_file: u.output_file.clone(),
    }
}

impl FetcherUriV1 {
    fn into_model(self) -> FetcherUri {
        FetcherUri {
            value: self.value,
            extract: self.extract,
            cache: self.cache,
            output_file: self.output_file,
        }
    }
}

impl SlaPolicyV1 {
    pub(super) fn of(p: &SlaPolicy) -> Self {
        match p {
            SlaPolicy::Coordinator { url, status_key } => {
                Self::Coordinator(url.clone(), status_key.clone())
            }
            SlaPolicy::Count {
                count,
                duration_secs,
            } => Self::Count(*count, *duration_secs),
            SlaPolicy::Percentage {
                milli_percent,
                duration_secs,
            } => Self::Percentage(*milli_percent, *duration_secs),
        }
    }

    pub(super) fn into_model(self) -> SlaPolicy {
        match self {
            Self::Coordinator(url, status_key) => SlaPolicy::Coordinator { url, status_key },
            Self::Count(count, duration_secs) => SlaPolicy::Count {
                count,
                duration_secs,
            },
            Self::Percentage(milli_percent, duration_secs) => SlaPolicy::Percentage {
                milli_percent,
                duration_secs,
            },
        }
    }
}

fn container(c: &Container) -> ContainerV1 {
    match c {
        Container::Docker { image, parameters } => {
            let pairs = parameters.iter().map(|p| (p.name.clone(), p.value.clone()));
            ContainerV1::Docker(image.clone(), pairs.collect())
        }
        Container::Mesos { image, volumes } => {
            let image = image.as_ref().map(|image| match image {
                Image::Appc { name, image_id } => ImageV1::Appc(name.clone(), image_id.clone()),
                Image::Docker { name, tag } => ImageV1::Docker(name.clone(), tag.clone()),
            });
            let volume = |v: &Volume| VolumeV1 {
                container_path: v.container_path.clone(),
                host_path: v.host_path.clone(),
                read_write: v.mode == VolumeMode::ReadWrite,
            };
            ContainerV1::Mesos(image, volumes.iter().map(volume).collect())
        }
    }
}

impl ContainerV1 {
    fn into_model(self) -> Container {
        match self {
            Self::Docker(image, pairs) => {
                let parameter = |(name, value)| DockerParameter { name, value };
                Container::Docker {
                    image,
                    parameters: pairs.into_iter().map(parameter).collect(),
                }
            }
            Self::Mesos(image, volumes) => Container::Mesos {
                image: image.map(|image| match image {
                    ImageV1::Appc(name, image_id) => Image::Appc { name, image_id },
                    ImageV1::Docker(name, tag) => Image::Docker { name, tag },
                }),
                volumes: volumes.into_iter().map(VolumeV1::into_model).collect(),
            },
        }
    }
}

impl VolumeV1 {
    fn into_model(self) -> Volume {
        Volume {
            container_path: self.container_path,
            host_path: self.host_path,
            mode: match self.read_write {
                true => VolumeMode::ReadWrite,
                false => VolumeMode::ReadOnly,
            },
        }
    }
}
