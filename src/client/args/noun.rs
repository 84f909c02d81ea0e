//! The nouns, and the verbs of all but `job`.

use super::cron::Cron;
use super::job::Job;
use super::sla::Sla;
use super::update::Update;
use crate::client::key::{Binding, RoleKey};
use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;

/// The client of the aurora job scheduler.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(
    name = "aurora",
    note = "Every command also takes -v (--verbose) and --skip-hooks HOOK,HOOK|all.",
    note = "Other programs: aurora quickstart, aurora scheduler, aurora agent, aurora log, aurora admin."
)]
pub struct Aurora {
    /// print the version
    #[argh(switch)]
    pub version: bool,
    /// what the command is about
    #[argh(subcommand)]
    pub noun: Option<Noun>,
}

/// What a command is about.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum Noun {
    /// See [`Job`].
    Job(Job),
    /// See [`Config`].
    Config(Config),
    /// See [`Quota`].
    Quota(Quota),
    /// See [`Cron`].
    Cron(Cron),
    /// See [`Update`].
    Update(Update),
    /// See [`Task`].
    Task(Task),
    /// See [`Sla`].
    Sla(Sla),
}

/// Look at configuration files.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "config")]
pub struct Config {
    /// what to do
    #[argh(subcommand)]
    pub verb: ConfigVerb,
}

/// The verbs of `aurora config`.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum ConfigVerb {
    /// See [`ConfigList`].
    List(ConfigList),
}

/// List the jobs that a configuration file describes.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "list")]
pub struct ConfigList {
    /// the file
    #[argh(positional, arg_name = "config_file")]
    pub config_file: PathBuf,
    /// a value for a name in the file, as NAME=VALUE; may be repeated
    #[argh(option, arg_name = "name=value")]
    pub bind: Vec<Binding>,
    /// the file is JSON
    #[argh(switch)]
    pub read_json: bool,
}

/// Look at quotas.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "quota")]
pub struct Quota {
    /// what to do
    #[argh(subcommand)]
    pub verb: QuotaVerb,
}

/// The verbs of `aurora quota`.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum QuotaVerb {
    /// See [`QuotaGet`].
    Get(QuotaGet),
}

/// Show the quota of a role and what it uses.
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "get")]
pub struct QuotaGet {
    /// the role, as CLUSTER/ROLE
    #[argh(positional, arg_name = "role")]
    pub role: RoleKey,
    /// print JSON
    #[argh(switch)]
    pub write_json: bool,
}

/// Declares nouns whose verbs are known but do nothing yet.
macro_rules! later {
    ($(
        $(#[doc = $doc:tt])+
        $noun:ident $verbs:ident $name:tt {
            $( $variant:ident($verb:ident) $verb_name:tt $verb_doc:tt, )+
        }
    )+) => { $(
        $(#[doc = $doc])+
        #[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
        #[argh(subcommand, name = $name)]
        pub struct $noun {
            /// what to do
            #[argh(subcommand)]
            pub verb: $verbs,
        }

        /// The verbs of this noun.
        #[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
        #[argh(subcommand)]
        pub enum $verbs { $(
            /// The verb of this name.
            $variant($verb),
        )+ }

        $(
            #[doc = $verb_doc]
            #[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
            #[argh(subcommand, name = $verb_name)]
            pub struct $verb {}
        )+
    )+

    /// The nouns whose verbs do nothing yet.
    pub const LATER: &[&str] = &[ $( $name, )+ ];
    };
}

later! {
    /// Work inside running tasks (not supported yet).
    Task TaskVerb "task" {
        Run(TaskRun) "run" "Run a command beside each task (not supported yet).",
        Ssh(TaskSsh) "ssh" "Open a shell beside a task (not supported yet).",
        Scp(TaskScp) "scp" "Copy files to or from a task (not supported yet).",
    }
}
