//! `aurora job`.

use crate::client::key::{Binding, ClusterJob, InstanceSpec, PageKey, PartialKey, TaskInstance};
use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;
use std::str::FromStr;

/// Create, list, look at, kill and restart jobs.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "job")]
pub struct Job {
    /// what to do
    #[argh(subcommand)]
    pub verb: JobVerb,
}

/// The verbs of `aurora job`.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum JobVerb {
    /// See [`Create`].
    Create(Create),
    /// See [`Status`].
    Status(Status),
    /// See [`List`].
    List(List),
    /// See [`Inspect`].
    Inspect(Inspect),
    /// See [`Kill`].
    Kill(Kill),
    /// See [`KillAll`].
    KillAll(KillAll),
    /// See [`Restart`].
    Restart(Restart),
    /// See [`Add`].
    Add(Add),
    /// See [`Diff`].
    Diff(Diff),
    /// See [`Open`].
    Open(Open),
}

/// The state that a command waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitUntil {
    /// It waits for nothing.
    #[default]
    Pending,
    /// Every instance runs, or has ended.
    Running,
    /// Every instance has ended.
    Finished,
}

impl FromStr for WaitUntil {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "PENDING" => Ok(Self::Pending),
            "RUNNING" => Ok(Self::Running),
            "FINISHED" => Ok(Self::Finished),
            _ => Err("choose from PENDING, RUNNING, FINISHED".to_owned()),
        }
    }
}

/// Create and run a job from a configuration file.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "create")]
pub struct Create {
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
    /// wait until every instance is PENDING, RUNNING or FINISHED (default PENDING: do not wait)
    #[argh(option, default = "WaitUntil::Pending", arg_name = "state")]
    pub wait_until: WaitUntil,
    /// open the job's page in a browser
    #[argh(switch)]
    pub open_browser: bool,
}

/// Show the state of a job's tasks.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "status")]
pub struct Status {
    /// the jobs, as CLUSTER[/ROLE[/ENV[/NAME]]], with * for any
    #[argh(positional, arg_name = "jobspec")]
    pub key: PartialKey,
    /// print JSON
    #[argh(switch)]
    pub write_json: bool,
}

/// List jobs.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "list")]
pub struct List {
    /// the jobs, as CLUSTER[/ROLE[/ENV[/NAME]]], with * for any
    #[argh(positional, arg_name = "jobspec")]
    pub key: PartialKey,
}

/// Check a job of a configuration file and show it.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "inspect")]
pub struct Inspect {
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
    /// print JSON
    #[argh(switch)]
    pub write_json: bool,
    /// print what is sent to the scheduler
    #[argh(switch)]
    pub raw: bool,
}

/// Kill some instances of a job.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "kill")]
pub struct Kill {
    /// the instances, as CLUSTER/ROLE/ENV/NAME/INSTANCES, such as c/r/e/n/0-3,5
    #[argh(positional, arg_name = "instance_spec")]
    pub spec: InstanceSpec,
    /// a value for a name in the file, as NAME=VALUE; may be repeated
    #[argh(option, arg_name = "name=value")]
    pub bind: Vec<Binding>,
    /// the file is JSON
    #[argh(switch)]
    pub read_json: bool,
    /// the file that describes the job, for its hooks
    #[argh(option, arg_name = "pathname")]
    pub config: Option<PathBuf>,
    /// how many instances are killed at a time (default 1)
    #[argh(option, default = "1")]
    pub batch_size: u32,
    /// how many batches may fail (default 0)
    #[argh(option, default = "0")]
    pub max_total_failures: i64,
    /// kill all of them at once
    #[argh(switch)]
    pub no_batching: bool,
    /// why; goes into the tasks' history
    #[argh(option, short = 'm')]
    pub message: Option<String>,
    /// open the job's page in a browser
    #[argh(switch)]
    pub open_browser: bool,
    /// refuse instances that are not active
    #[argh(switch)]
    pub strict: bool,
}

/// Kill all instances of a job.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "killall")]
pub struct KillAll {
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
    /// how many instances are killed at a time (default 1)
    #[argh(option, default = "1")]
    pub batch_size: u32,
    /// how many batches may fail (default 0)
    #[argh(option, default = "0")]
    pub max_total_failures: i64,
    /// kill all of them at once
    #[argh(switch)]
    pub no_batching: bool,
    /// why; goes into the tasks' history
    #[argh(option, short = 'm')]
    pub message: Option<String>,
    /// open the job's page in a browser
    #[argh(switch)]
    pub open_browser: bool,
}

/// Restart a job's instances, a batch at a time.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "restart")]
pub struct Restart {
    /// the job or some of its instances, as CLUSTER/ROLE/ENV/NAME[/INSTANCES]
    #[argh(positional, arg_name = "instance_spec")]
    pub spec: InstanceSpec,
    /// how many instances are restarted at a time (default 1)
    #[argh(option, default = "1")]
    pub batch_size: u32,
    /// a value for a name in the file, as NAME=VALUE; may be repeated
    #[argh(option, arg_name = "name=value")]
    pub bind: Vec<Binding>,
    /// open the job's page in a browser
    #[argh(switch)]
    pub open_browser: bool,
    /// the file that describes the job, for its hooks
    #[argh(option, arg_name = "pathname")]
    pub config: Option<PathBuf>,
    /// accepted for old scripts; changes nothing
    #[argh(switch)]
    pub force: bool,
    /// how often the instances are looked at, in seconds (default 3)
    #[argh(option, default = "3")]
    pub healthcheck_interval_seconds: u32,
    /// the file is JSON
    #[argh(switch)]
    pub read_json: bool,
    /// how many instances may fail (default 0)
    #[argh(option, default = "0")]
    pub max_total_failures: i64,
    /// refuse instances that are not active
    #[argh(switch)]
    pub strict: bool,
    /// how long an instance must stay up, in seconds (default 30)
    #[argh(option, default = "30")]
    pub watch_secs: u32,
    /// how often one instance may fail (default 0)
    #[argh(option, default = "0")]
    pub max_per_instance_failures: u32,
}

/// Add instances like one that is active.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "add")]
pub struct Add {
    /// the pattern, as CLUSTER/ROLE/ENV/NAME/INSTANCE
    #[argh(positional, arg_name = "task_instance")]
    pub pattern: TaskInstance,
    /// how many are added
    #[argh(positional, arg_name = "instance_count")]
    pub count: i32,
    /// open the job's page in a browser
    #[argh(switch)]
    pub open_browser: bool,
    /// a value for a name in the file, as NAME=VALUE; may be repeated
    #[argh(option, arg_name = "name=value")]
    pub bind: Vec<Binding>,
    /// wait until every new instance is PENDING, RUNNING or FINISHED (default PENDING: do not wait)
    #[argh(option, default = "WaitUntil::Pending", arg_name = "state")]
    pub wait_until: WaitUntil,
    /// the file that describes the job, for its hooks
    #[argh(option, arg_name = "pathname")]
    pub config: Option<PathBuf>,
    /// the file is JSON
    #[argh(switch)]
    pub read_json: bool,
}

/// Compare a configuration file with the running job.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "diff")]
pub struct Diff {
    /// the job or some of its instances, as CLUSTER/ROLE/ENV/NAME[/INSTANCES]
    #[argh(positional, arg_name = "instance_spec")]
    pub spec: InstanceSpec,
    /// the file that describes it
    #[argh(positional, arg_name = "config_file")]
    pub config_file: PathBuf,
    /// a value for a name in the file, as NAME=VALUE; may be repeated
    #[argh(option, arg_name = "name=value")]
    pub bind: Vec<Binding>,
    /// the file is JSON
    #[argh(switch)]
    pub read_json: bool,
    /// another running job to compare with, as CLUSTER/ROLE/ENV/NAME
    #[argh(option, arg_name = "jobspec")]
    pub from: Option<ClusterJob>,
}

/// Open the scheduler's page of a cluster, role or job in a browser.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "open")]
pub struct Open {
    /// what to show, as CLUSTER[/ROLE[/ENV[/NAME]]]
    #[argh(positional, arg_name = "key")]
    pub page: PageKey,
}
