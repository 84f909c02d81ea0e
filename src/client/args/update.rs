//! `aurora update`.

use crate::client::key::{Binding, ClusterJob, InstanceSpec, PageKey};
use crate::thrift::api::JobUpdateStatus;
use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;
use std::str::FromStr;

/// Start job updates, follow them, and end them.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "update")]
pub struct Update {
    /// what to do
    #[argh(subcommand)]
    pub verb: UpdateVerb,
}

/// The verbs of `aurora update`.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum UpdateVerb {
    /// See [`UpdateStart`].
    Start(UpdateStart),
    /// See [`UpdatePause`].
    Pause(UpdatePause),
    /// See [`UpdateResume`].
    Resume(UpdateResume),
    /// See [`UpdateAbort`].
    Abort(UpdateAbort),
    /// See [`UpdateRollback`].
    Rollback(UpdateRollback),
    /// See [`UpdateList`].
    List(UpdateList),
    /// See [`UpdateInfo`].
    Info(UpdateInfo),
    /// See [`UpdateWait`].
    Wait(UpdateWait),
}

/// Start an update of a job to what a configuration file says.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "start")]
pub struct UpdateStart {
    /// the job, as CLUSTER/ROLE/ENV/NAME[/INSTANCES]
    #[argh(positional, arg_name = "jobspec")]
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
    /// why, for the update's history
    #[argh(option, short = 'm', arg_name = "message")]
    pub message: Option<String>,
    /// wait until the update has ended
    #[argh(switch)]
    pub wait: bool,
    /// open the job's page in a browser
    #[argh(switch)]
    pub open_browser: bool,
    /// accepted for the sake of old scripts; nothing is polled that way
    #[argh(option, default = "3", arg_name = "seconds")]
    pub healthcheck_interval_seconds: u32,
    /// accepted for the sake of old scripts; instances are always checked
    #[argh(switch)]
    pub strict: bool,
}

/// Declares verbs that name a job and say why.
macro_rules! changes {
    ($( $verb:ident $name:tt $doc:tt, )+) => { $(
        #[doc = $doc]
        #[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
        #[argh(subcommand, name = $name)]
        pub struct $verb {
            /// the job, as CLUSTER/ROLE/ENV/NAME
            #[argh(positional, arg_name = "jobspec")]
            pub key: ClusterJob,
            /// why, for the update's history
            #[argh(option, short = 'm', arg_name = "message")]
            pub message: Option<String>,
        }
    )+ };
}

changes! {
    UpdatePause "pause" "Stop a job's update for a while.",
    UpdateResume "resume" "Let a job's update go on.",
    UpdateAbort "abort" "End a job's update where it stands.",
}

/// Undo a job's update.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "rollback")]
pub struct UpdateRollback {
    /// the job, as CLUSTER/ROLE/ENV/NAME
    #[argh(positional, arg_name = "jobspec")]
    pub key: ClusterJob,
    /// why, for the update's history
    #[argh(option, short = 'm', arg_name = "message")]
    pub message: Option<String>,
    /// wait until the update has ended
    #[argh(switch)]
    pub wait: bool,
}

/// List job updates.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "list")]
pub struct UpdateList {
    /// the jobs, as CLUSTER[/ROLE[/ENV[/NAME]]]
    #[argh(positional, arg_name = "filter")]
    pub filter: PageKey,
    /// a state, or one of active, all, blocked, failed, inactive, paused, succeeded; may be repeated
    #[argh(option, arg_name = "state")]
    pub status: Vec<States>,
    /// only updates that this user started
    #[argh(option, arg_name = "username")]
    pub user: Option<String>,
    /// print JSON
    #[argh(switch)]
    pub write_json: bool,
}

/// Show what an update has done.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "info")]
pub struct UpdateInfo {
    /// the job, as CLUSTER/ROLE/ENV/NAME
    #[argh(positional, arg_name = "jobspec")]
    pub key: ClusterJob,
    /// the update; default: the one that is under way
    #[argh(positional, arg_name = "id")]
    pub id: Option<String>,
    /// print JSON
    #[argh(switch)]
    pub write_json: bool,
}

/// Wait until an update has ended.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "wait")]
pub struct UpdateWait {
    /// the job, as CLUSTER/ROLE/ENV/NAME
    #[argh(positional, arg_name = "jobspec")]
    pub key: ClusterJob,
    /// the update; default: the one that is under way
    #[argh(positional, arg_name = "id")]
    pub id: Option<String>,
}

/// States of updates under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct States(pub Vec<JobUpdateStatus>);

impl FromStr for States {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use crate::thrift::api::{ACTIVE_JOB_UPDATE_STATES, AWAITING_PULSE_JOB_UPDATE_STATES};
        use JobUpdateStatus as S;
        let all = (0..11).filter_map(S::from_number);
        let is_active = |s: &S| ACTIVE_JOB_UPDATE_STATES.contains(s);
        let states: Vec<S> = match text {
            "active" => ACTIVE_JOB_UPDATE_STATES.to_vec(),
            "all" => all.collect(),
            "blocked" => AWAITING_PULSE_JOB_UPDATE_STATES.to_vec(),
            "failed" => vec![S::Error, S::Failed, S::RolledBack],
            "inactive" => all.filter(|s| !is_active(s)).collect(),
            "paused" => vec![S::RollForwardPaused, S::RollBackPaused],
            "succeeded" => vec![S::RolledForward],
            name => all.filter(|s| s.name() == name).collect(),
        };
        match states.is_empty() {
            false => Ok(Self(states)),
            true => Err(
                "choose from active, all, blocked, failed, inactive, paused, succeeded, or a state's \
                 name such as ROLLING_FORWARD"
                    .to_owned(),
            ),
        }
    }
}
