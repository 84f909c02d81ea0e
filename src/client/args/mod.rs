//! The command line: nouns, verbs, their options, in every spelling.

mod cron;
mod job;
mod noun;
mod sla;
mod spelling;
mod update;

pub use cron::{CronDeschedule, CronSchedule, CronShow, CronStart, CronVerb};
pub use job::{
    Add, Create, Diff, Inspect, JobVerb, Kill, KillAll, List, Open, Restart, Status, WaitUntil,
};
pub use noun::{ConfigList, ConfigVerb, Noun, QuotaGet, QuotaVerb};
pub use sla::{JobUptime, SlaVerb, TaskUpCount};
pub use spelling::{Invocation, read};
pub use update::{
    States, UpdateAbort, UpdateInfo, UpdateList, UpdatePause, UpdateResume, UpdateRollback,
    UpdateStart, UpdateVerb, UpdateWait,
};
