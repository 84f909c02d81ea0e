//! The command line: nouns, verbs, their options, in every spelling.

mod job;
mod noun;
mod spelling;

pub use job::{
    Add, Create, Diff, Inspect, JobVerb, Kill, KillAll, List, Open, Restart, Status, WaitUntil,
};
pub use noun::{ConfigList, ConfigVerb, Noun, QuotaGet, QuotaVerb};
pub use spelling::{Invocation, read};
