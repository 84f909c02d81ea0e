//! Cron: schedules, their instants, and what is decided about each.
//!
//! # The dialect
//!
//! Five fields, upstream's and no more: see [`Schedule`]. Of the fields day-of-month and day-of-week one
//! must be open.
//!
//! # The hour that is skipped and the hour that comes twice
//!
//! A schedule is read in a time zone ([`Zone`]), whose clocks are put forward and back. The rule:
//!
//! - **A schedule that names hours** (`30 2 * * *`, `0 */6 * * *`) runs every local time that it names
//!   *exactly once*. A time that is skipped is run as much later as the clocks were put forward: 02:30
//!   becomes 03:30 by the new clock, half an hour after the change. Of a time that comes twice the first
//!   counts.
//! - **A schedule whose hour is open** (`*/10 * * * *`, `0 * * * *`) is one of intervals: it runs whenever
//!   the clock on the wall shows one of its times. What is skipped does not run, what comes twice runs
//!   twice, and the pauses between runs stay what they are.
//!
//! Two local times that come to the same instant are one instant.
//!
//! # Decisions
//!
//! Every instant is decided exactly once per version of a job's schedule: run, or recorded as missed. The
//! *cursor* says up to where; it is stored in the same entry of the log as the decision and the tasks it
//! makes, and it does not go back when the clock does. See [`due`].
//!
//! # Why the instants are found here and not by a crate
//!
//! The crates at hand read larger dialects, which would have to be cut down by a parser of our own
//! anyway, and have rules of their own for the hours above. `croner` and `chrono-tz` are what the tests
//! compare with.

mod collide;
mod due;
mod instants;
#[cfg(test)]
mod oracle_tests;
mod schedule;
#[cfg(test)]
mod tests;
mod zone;

pub use collide::{Verdict, collide};
pub use due::{CATCH_UP_KEY, Due, MISSED_COUNTED, Missed, ON_TIME, catch_up_window, due};
pub use schedule::{Schedule, ScheduleError};
pub use zone::{Zone, ZoneError};

use crate::base::clock::Timestamp;
use crate::model::CronJob;

/// When a cron job runs next by its schedule, seen from `now`; `None` if its schedule cannot be read.
pub fn next_run(cron: &CronJob, now: Timestamp) -> Option<Timestamp> {
    let schedule = Schedule::parse(cron.job.cron_schedule.as_deref()?).ok()?;
    let zone = Zone::named(&cron.zone).ok()?;
    schedule.next_after(&zone, cron.cursor.max(now))
}
