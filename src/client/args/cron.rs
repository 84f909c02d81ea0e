//! `aurora cron`.

use crate::client::key::{Binding, ClusterJob};
use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;

/// Schedule, look at, start and deschedule cron jobs.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "cron")]
pub struct Cron {
    /// what to do
    #[argh(subcommand)]
    pub verb: CronVerb,
}

/// The verbs of `aurora cron`.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum CronVerb {
    /// See [`CronDeschedule`].
    Deschedule(CronDeschedule),
    /// See [`CronSchedule`].
    Schedule(CronSchedule),
    /// See [`CronShow`].
    Show(CronShow),
    /// See [`CronStart`].
    Start(CronStart),
}

/// Create a cron job, or replace its template.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "schedule")]
pub struct CronSchedule {
    /// the job, as CLUSTER/ROLE/ENV/NAME
    #[argh(positional, arg_name = "jobspec")]
    pub key: ClusterJob,
    /// the file that describes it
    #[argh(positional, arg_name = "config_file")]
    pub config_file: PathBuf,
    /// a value for a name in the file, as NAME=VALUE; may be repeated
    #[argh(option, arg_name = "name=value")]
    pub bind: Vec<Binding>,
    /// the file is JSON
    #[argh(switch)]
    pub read_json: bool,
}

/// Remove a cron job; what runs of it goes on.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "deschedule")]
pub struct CronDeschedule {
    /// the job, as CLUSTER/ROLE/ENV/NAME
    #[argh(positional, arg_name = "jobspec")]
    pub key: ClusterJob,
}

/// Run a cron job now, whatever its schedule.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "start")]
pub struct CronStart {
    /// the job, as CLUSTER/ROLE/ENV/NAME
    #[argh(positional, arg_name = "jobspec")]
    pub key: ClusterJob,
    /// a value for a name in the file, as NAME=VALUE; may be repeated
    #[argh(option, arg_name = "name=value")]
    pub bind: Vec<Binding>,
    /// the file is JSON
    #[argh(switch)]
    pub read_json: bool,
    /// the file that describes the job, for its hooks
    #[argh(option, arg_name = "pathname")]
    pub config: Option<PathBuf>,
    /// open the job's page in a browser
    #[argh(switch)]
    pub open_browser: bool,
}

/// Show a cron job's schedule.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "show")]
pub struct CronShow {
    /// the job, as CLUSTER/ROLE/ENV/NAME
    #[argh(positional, arg_name = "jobspec")]
    pub key: ClusterJob,
}
