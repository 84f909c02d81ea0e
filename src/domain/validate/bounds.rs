//! How much a description may hold. Upstream had no such bounds: whatever one client sent was stored for
//! all time and shown to everybody.

use super::Invalid;
use super::task::refuse;
use crate::model::{ConstraintKind, Container, Metadata, TaskConfig};
use std::collections::BTreeSet;

/// How many ports, constraints, links, files, volumes, parameters or pieces of metadata a task may name.
const ITEMS_MAX: usize = 1_000;
/// How long a name may be, in bytes.
const NAME_MAX: usize = 255;
/// How long any other text may be, in bytes.
const TEXT_MAX: usize = 16 << 10;
/// How long the executor's data may be, in bytes.
const DATA_MAX: usize = 1 << 20;

/// Checks lengths, counts and the form of names.
///
/// # Errors
///
/// The sentence for the client; names what is too long, too many or malformed.
pub(super) fn check(config: &TaskConfig) -> Result<(), Invalid> {
    count("ports", config.port_names.len())?;
    for port in &config.port_names {
        name("Port name", port)?;
    }
    count("constraints", config.constraints.len())?;
    for constraint in &config.constraints {
        name("Constraint name", &constraint.name)?;
        match &constraint.kind {
            ConstraintKind::Limit(limit) if *limit < 0 => {
                return refuse(format!(
                    "Limit constraint {} must not be negative.",
                    constraint.name
                ));
            }
            ConstraintKind::Limit(_) => {}
            ConstraintKind::Value { values, .. } => {
                count("values of a constraint", values.len())?;
                texts("Constraint value", values.iter())?;
            }
        }
    }
    check_metadata(&config.metadata)?;
    count("task links", config.task_links.len())?;
    for (label, link) in &config.task_links {
        texts("Task link", [label, link])?;
    }
    count("fetcher URIs", config.fetcher_uris.len())?;
    for uri in &config.fetcher_uris {
        texts(
            "Fetcher URI",
            std::iter::once(&uri.value).chain(&uri.output_file),
        )?;
    }
    texts("Contact email", &config.contact_email)?;
    if let Some(policy) = config.partition_policy
        && policy.delay_secs < 0
    {
        return refuse("Partition policy delaySecs must not be negative.");
    }
    let data = config.executor.as_ref().and_then(|it| it.data.as_ref());
    if data.is_some_and(|data| data.len() > DATA_MAX) {
        return refuse(format!("Executor data may have at most {DATA_MAX} bytes."));
    }
    container(&config.container)
}

fn check_metadata(metadata: &BTreeSet<Metadata>) -> Result<(), Invalid> {
    count("pieces of metadata", metadata.len())?;
    for metadata in metadata {
        texts("Metadata", [&metadata.key, &metadata.value])?;
    }
    Ok(())
}

fn container(container: &Container) -> Result<(), Invalid> {
    match container {
        Container::Docker { image, parameters } => {
            count("Docker parameters", parameters.len())?;
            for parameter in parameters {
                texts("Docker parameter", [&parameter.name, &parameter.value])?;
            }
            texts("Docker image", [image])
        }
        Container::Mesos { volumes, .. } => {
            count("volumes", volumes.len())?;
            for volume in volumes {
                texts("Volume path", [&volume.container_path, &volume.host_path])?;
            }
            Ok(())
        }
    }
}

fn count(what: &str, found: usize) -> Result<(), Invalid> {
    match found > ITEMS_MAX {
        true => refuse(format!(
            "There may be at most {ITEMS_MAX} {what}; there are {found}."
        )),
        false => Ok(()),
    }
}

/// A name may be of any script, but must be short, there, and fit for a line.
fn name(what: &str, text: &str) -> Result<(), Invalid> {
    if text.is_empty() || text.len() > NAME_MAX || text.chars().any(char::is_control) {
        let shown: String = text.chars().take(40).collect();
        return refuse(format!(
            "{what} {shown:?} must have 1 to {NAME_MAX} bytes and no control characters."
        ));
    }
    Ok(())
}

fn texts<'a>(what: &str, all: impl IntoIterator<Item = &'a String>) -> Result<(), Invalid> {
    match all.into_iter().any(|text| text.len() > TEXT_MAX) {
        true => refuse(format!("{what} may have at most {TEXT_MAX} bytes.")),
        false => Ok(()),
    }
}
