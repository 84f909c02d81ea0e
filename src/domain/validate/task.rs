//! What a task may ask for.

use super::bounds;
use super::{Invalid, Rules};
use crate::model::{ConstraintKind, Container, TaskConfig, is_identifier};
use std::collections::BTreeSet;
use std::fmt;

/// The containers that tasks run in, by the names that flags use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContainerType {
    /// By a Docker engine.
    Docker,
    /// By the agent.
    Mesos,
}

impl ContainerType {
    /// The type with this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let kinds = [Self::Docker, Self::Mesos];
        let found = |kind: &Self| kind.to_string().eq_ignore_ascii_case(name);
        kinds.into_iter().find(found)
    }
}

impl fmt::Display for ContainerType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "DOCKER",
            Self::Mesos => "MESOS",
        })
    }
}

/// The kinds of resources that a task may name once only, in the order in which messages list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    /// Processor time.
    Cpu,
    /// GPUs.
    Gpu,
    /// Memory.
    Ram,
    /// Disk.
    Disk,
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "CPU",
            Self::Gpu => "GPU",
            Self::Ram => "RAM",
            Self::Disk => "disk",
        })
    }
}

pub(super) fn refuse<T>(message: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid(message.into()))
}

fn shown(text: &str) -> String {
    text.chars().take(300).collect()
}

impl Rules {
    /// Checks what the tasks of a job of `instances` instances run and need, and fills in what the
    /// client left open: the tier, `production`, links to well-known ports. `repeated` names the
    /// resources that the client gave more than once.
    ///
    /// # Errors
    ///
    /// The sentence for the client; `config` may have been filled in part.
    pub fn populate(
        &self,
        config: &mut TaskConfig,
        instances: u32,
        repeated: &BTreeSet<ResourceKind>,
    ) -> Result<(), Invalid> {
        bounds::check(config)?;
        self.populate_tier(config)?;
        self.check_executor(config)?;
        check_dedicated(config)?;
        self.check_container(config)?;
        self.check_resources(config, repeated)?;
        if !config.fetcher_uris.is_empty() && !self.allow_fetcher {
            return refuse("Mesos Fetcher for individual jobs is disabled in this cluster.");
        }
        self.check_volumes(config)?;
        self.check_sla(config, instances)?;
        populate_links(config);
        Ok(())
    }

    fn populate_tier(&self, config: &mut TaskConfig) -> Result<(), Invalid> {
        if let Some(tier) = &config.tier
            && !is_identifier(tier)
        {
            return refuse(format!("Tier contains illegal characters: {}", shown(tier)));
        }
        let default = || self.tiers.default_name().to_owned();
        let name = config.tier.get_or_insert_with(default);
        let Some(tier) = self.tiers.get(name) else {
            return refuse(format!("Invalid tier '{name}' in TaskConfig."));
        };
        config.production = tier.is_production();
        Ok(())
    }

    fn check_executor(&self, config: &TaskConfig) -> Result<(), Invalid> {
        let Some(executor) = &config.executor else {
            return match config.container {
                Container::Docker { .. } => Ok(()),
                Container::Mesos { .. } => refuse("Configuration may not be null."),
            };
        };
        match &executor.name {
            None => refuse("Executor name may not be left unset."),
            Some(name) if !self.executors.contains(name) => refuse(format!(
                "Configuration for executor '{}' doesn't exist.",
                shown(name)
            )),
            Some(_) => Ok(()),
        }
    }

    fn check_container(&self, config: &TaskConfig) -> Result<(), Invalid> {
        let kind = match &config.container {
            Container::Docker { image, parameters } => {
                if image.is_empty() {
                    return refuse("A container must specify an image.");
                }
                if !parameters.is_empty() && !self.allow_docker_parameters {
                    return refuse("This scheduler is configured to disallow Docker parameters.");
                }
                if config.executor.is_none() && self.require_docker_use_executor {
                    return refuse(
                        "This scheduler is configured to require an executor for Docker-based \
                         tasks.",
                    );
                }
                ContainerType::Docker
            }
            Container::Mesos { .. } => ContainerType::Mesos,
        };
        if !self.container_types.contains(&kind) {
            return refuse(format!(
                "This scheduler is not configured to allow the container type {kind}"
            ));
        }
        Ok(())
    }

    fn check_resources(
        &self,
        config: &TaskConfig,
        repeated: &BTreeSet<ResourceKind>,
    ) -> Result<(), Invalid> {
        if !repeated.is_empty() {
            let names: Vec<String> = repeated.iter().map(ToString::to_string).collect();
            return refuse(format!(
                "Multiple resource values are not supported for {}",
                names.join(", ")
            ));
        }
        let needs = &config.resources;
        let amounts = [
            ("num_cpus", needs.cpus.0),
            ("ram_mb", needs.ram_mb),
            ("disk_mb", needs.disk_mb),
        ];
        for (name, amount) in amounts {
            if amount <= 0 {
                return refuse(format!("{name} must be greater than 0.0"));
            }
        }
        if config.names_gpus && !self.allow_gpus {
            return refuse("GPU resource support is disabled in this cluster.");
        }
        Ok(())
    }

    fn check_volumes(&self, config: &TaskConfig) -> Result<(), Invalid> {
        match &config.container {
            Container::Mesos { volumes, .. } if !volumes.is_empty() && !self.allow_volumes => {
                refuse("This scheduler is configured to disallow container volumes.")
            }
            Container::Mesos { .. } | Container::Docker { .. } => Ok(()),
        }
    }
}

/// A job may use machines that are dedicated to its role, or to everybody (`*`), and to no other role.
fn check_dedicated(config: &TaskConfig) -> Result<(), Invalid> {
    let dedicated = config
        .constraints
        .iter()
        .filter(|constraint| constraint.name == "dedicated");
    for constraint in dedicated {
        let ConstraintKind::Value { values, .. } = &constraint.kind else {
            return refuse("A dedicated constraint must be of value type.");
        };
        let mut all = values.iter();
        let (Some(value), None) = (all.next(), all.next()) else {
            return refuse("A dedicated constraint must have exactly one value");
        };
        let role = value.split('/').next().unwrap_or_default();
        if role != "*" && role != config.job.role() {
            return refuse(format!(
                "Only {} may use hosts dedicated for that role.",
                shown(role)
            ));
        }
    }
    Ok(())
}

/// Links to the ports that are usually pages, if the client gave none.
fn populate_links(config: &mut TaskConfig) {
    if !config.task_links.is_empty() {
        return;
    }
    for port in ["health", "http"] {
        if config.port_names.contains(port) {
            let link = format!("http://%host%:%port:{port}%");
            config.task_links.insert(port.to_owned(), link);
        }
    }
}
