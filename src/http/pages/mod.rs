//! The pages: made on the server, one style sheet, no script, for light and dark screens.
//!
//! Each page is a function from the committed tables and the published view to markup. maud escapes
//! every text; nothing is ever inserted raw.

mod apiclient;
mod cron;
mod dump;
mod figures;
mod help;
mod job;
mod layout;
mod levels;
mod machines;
mod roles;
mod text;
mod update;
mod utilization;

pub(super) use apiclient::{file, to_documentation};
pub(super) use dump::{mname_usage, struct_cron, struct_task, struct_usage};
pub(super) use help::methods;
pub(super) use job::{instance, job};
pub(super) use layout::{STYLE_PATH, icon, style};
pub(super) use levels::log_levels;
pub(super) use machines::{machine, machines};
pub(super) use roles::{environment, role, roles};
pub(super) use update::{update, updates};
pub(super) use utilization::{utilization, utilization_by_job, utilization_by_role};
