//! The verbs of `aurora sla`.

use crate::client::duration::{BadDuration, Span};
use crate::client::key::ClusterJob;
use argh::{ArgsInfo, FromArgs};
use std::str::FromStr;
use thiserror::Error;

/// Look at how well a job stays up.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "sla")]
pub struct Sla {
    /// what to do
    #[argh(subcommand)]
    pub verb: SlaVerb,
}

/// The verbs of `aurora sla`.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum SlaVerb {
    /// See [`JobUptime`].
    JobUptime(JobUptime),
    /// See [`TaskUpCount`].
    TaskUpCount(TaskUpCount),
}

/// Show how long shares of a job's instances have been up.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "get-job-uptime")]
pub struct JobUptime {
    /// the job, as CLUSTER/ROLE/ENV/NAME
    #[argh(positional, arg_name = "jobspec")]
    pub job: ClusterJob,
    /// percentiles, separated by commas (default 99,95,90,85,75,60,50,30,10)
    #[argh(option, arg_name = "percentiles", default = "Percentiles::usual()")]
    pub percentiles: Percentiles,
}

/// Show which share of a job's instances has been up for a while.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "get-task-up-count")]
pub struct TaskUpCount {
    /// the job, as CLUSTER/ROLE/ENV/NAME
    #[argh(positional, arg_name = "jobspec")]
    pub job: ClusterJob,
    /// durations, separated by commas (default 1m,10m,1h,12h,7d)
    #[argh(option, arg_name = "durations", default = "Durations::usual()")]
    pub durations: Durations,
}

/// Durations in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durations(pub Vec<Span>);

impl Durations {
    fn usual() -> Self {
        Self([60, 600, 3_600, 43_200, 604_800].map(Span).to_vec())
    }
}

impl FromStr for Durations {
    type Err = BadDuration;

    fn from_str(text: &str) -> Result<Self, BadDuration> {
        let all: Result<Vec<Span>, _> = text.split(',').map(str::parse).collect();
        let mut all = all?;
        all.sort_unstable();
        Ok(Self(all))
    }
}

/// A text that is no percentile.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{0}' is no percentile: expected a number between 0 and 100, both excluded")]
pub struct BadPercentile(String);

/// Percentiles in descending order.
#[derive(Clone, Debug, PartialEq)]
pub struct Percentiles(pub Vec<f64>);

impl Percentiles {
    fn usual() -> Self {
        Self(vec![99.0, 95.0, 90.0, 85.0, 75.0, 60.0, 50.0, 30.0, 10.0])
    }
}

impl FromStr for Percentiles {
    type Err = BadPercentile;

    fn from_str(text: &str) -> Result<Self, BadPercentile> {
        let one = |text: &str| {
            let number = text.trim().parse::<f64>().ok();
            let inside = number.filter(|number| *number > 0.0 && *number < 100.0);
            inside.ok_or_else(|| BadPercentile(text.to_owned()))
        };
        let all: Result<Vec<f64>, _> = text.split(',').map(one).collect();
        let mut all = all?;
        all.sort_by(|a, b| b.total_cmp(a));
        Ok(Self(all))
    }
}
