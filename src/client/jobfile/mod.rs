//! Job files: from a `.aurora` or JSON file to what the API takes.
//!
//! `.aurora` files are Python, so a `python3` runs the loader embedded here (`src/client/loader`) and
//! answers with JSON; the request and the answer are described at the top of `loader/main.py`.

mod config;
mod json;
mod python;
mod tiers;

pub use config::{
    CollisionPolicy, JobConfig, JobConstraint, JobContainer, JobExecutor, JobImage, JobPair,
    JobPartitionPolicy, JobResource, JobSlaPolicy, JobTask, JobTaskConstraint, JobVolume,
    LoadedKey, TierSettings, UpdateSettings, UpdateStrategy, VolumeMode,
};

use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::PathBuf;
use thiserror::Error;

const AURORA_EXECUTOR: &str = "AuroraExecutor";

/// What to load and how.
#[derive(Clone, Debug)]
pub struct LoadRequest {
    /// The job file.
    pub file: PathBuf,
    /// `--bind name=value`, in the order given.
    pub bindings: Vec<(String, String)>,
    /// The one job that is wanted; without it all jobs of the file are loaded.
    pub select: Option<LoadedKey>,
    /// `--read-json`.
    pub read_json: bool,
    /// The user who runs the client; becomes `owner.user`.
    pub user: String,
}

/// The jobs of a file.
#[derive(Clone, Debug, Deserialize)]
pub struct LoadAnswer {
    /// In the order of the file; exactly one when the request selects one.
    pub jobs: Vec<LoadedJob>,
    /// For stderr, one message each.
    pub warnings: Vec<String>,
}

/// One job of a file.
#[derive(Clone, Debug, Deserialize)]
pub struct LoadedJob {
    /// Its key.
    pub key: LoadedKey,
    /// The whole job with all defaults, keys sorted, as `job inspect --write-json` prints it.
    pub job: serde_json::Value,
    /// What the API takes.
    pub config: JobConfig,
    /// What an update of it takes, or why its `update_config` is refused (exit status 3).
    pub update: Result<UpdateSettings, String>,
    /// Whether the hooks of the file apply to it.
    pub enable_hooks: bool,
}

/// A job file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    /// There is no Python.
    #[error(
        "python3 was not found in PATH; .aurora files are Python: install python3 or use --read-json"
    )]
    NoPython,
    /// Python could not be run, was killed, ran out of time or answered nonsense.
    #[error("{0}")]
    Python(String),
    /// The file is wrong.
    #[error("{0}")]
    File(FileError),
}

/// What kind of error a job file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileErrorKind {
    /// The file cannot be read.
    NotFound,
    /// The file is no Python, or no JSON.
    Syntax,
    /// The file's own code raised an exception.
    Exception,
    /// No job, or more than one, has the wanted key.
    Selection,
    /// A value has the wrong type, is missing, or is refused.
    Type,
    /// A `{{reference}}` has no value.
    Unbound,
    /// A rule that upstream's client dies of with exit status 1.
    Fatal,
}

/// An error with its place.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FileError {
    /// Kind.
    pub kind: FileErrorKind,
    /// One line, or a few: what is wrong.
    pub message: String,
    /// File of the error.
    pub file: Option<String>,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Path of the field, such as `jobs[0].task.resources.cpu`.
    pub field: Option<String>,
    /// `file:line` of each `include` on the way, the innermost first.
    #[serde(default)]
    pub included_from: Vec<String>,
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            write!(f, " ")?;
        }
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        write!(f, "{}", self.message)?;
        for place in &self.included_from {
            write!(f, "\n  included from {place}")?;
        }
        Ok(())
    }
}

impl LoadError {
    /// The client's exit status: 1 where upstream dies, 3 (invalid configuration) else.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::File(error) if error.kind == FileErrorKind::Fatal => 1,
            Self::NoPython | Self::Python(_) | Self::File(_) => 3,
        }
    }
}

impl LoadedJob {
    /// Fills in tier and production from the answer of `getTierConfigs`, in the config and in the
    /// executor's data: a job without a tier gets the first that is not revocable and whose
    /// `preemptible` is the opposite of its `production`, or else the default; a job with a known tier
    /// gets the `production` of it.
    pub fn apply_tiers(&mut self, default: &str, tiers: &[(String, TierSettings)]) {
        tiers::apply(&mut self.job, &mut self.config.task_config, default, tiers);
    }
}

impl LoadRequest {
    fn to_json(&self, want: &str) -> serde_json::Value {
        json!({
            "version": python::VERSION,
            "want": want,
            "file": self.file.to_string_lossy(),
            "is_json": self.read_json,
            "bindings": self.bindings,
            "select": self.select,
            "user": self.user,
        })
    }
}

/// Loads the jobs of a file. What the file prints goes to standard error.
///
/// # Errors
///
/// See [`LoadError`]; its text is meant to be shown.
pub fn load(request: &LoadRequest) -> Result<LoadAnswer, LoadError> {
    if request.read_json {
        return json::load(request);
    }
    python::ask(&request.to_json("jobs"))
}

/// The keys of the jobs of a file, without checking the jobs any further (`config list`).
///
/// # Errors
///
/// See [`LoadError`].
pub fn list(request: &LoadRequest) -> Result<Vec<LoadedKey>, LoadError> {
    if request.read_json {
        return json::list(request);
    }
    #[derive(Deserialize)]
    struct Listed {
        key: LoadedKey,
    }
    #[derive(Deserialize)]
    struct Listing {
        jobs: Vec<Listed>,
    }
    let listing: Listing = python::ask(&request.to_json("list"))?;
    Ok(listing.jobs.into_iter().map(|job| job.key).collect())
}

#[cfg(test)]
mod tests;
