//! What has become due since the cursor.

use super::schedule::Schedule;
use super::zone::Zone;
use crate::base::clock::Timestamp;
use crate::base::units::{UnitError, parse_duration};
use crate::model::TaskConfig;
use std::time::Duration;

/// An instant that is not older than this is on time, whatever the window for catching up.
pub const ON_TIME: Duration = Duration::from_secs(10);

/// The metadata of a task configuration that sets its job's own window for catching up.
pub const CATCH_UP_KEY: &str = "cron_catch_up_window";

/// How far missed instants are counted.
pub const MISSED_COUNTED: u32 = 1_000;

/// How far back the latest instant is looked for, step by step, so that few are gone through.
const BACK: [Duration; 4] = [
    Duration::from_secs(3_600),
    Duration::from_secs(24 * 3_600),
    Duration::from_secs(32 * 24 * 3_600),
    Duration::from_secs(400 * 24 * 3_600),
];

/// Instants that are recorded and not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The first.
    pub first: Timestamp,
    /// The last; where counting stopped, the latest of all that are due.
    pub last: Timestamp,
    /// How many, up to [`MISSED_COUNTED`].
    pub count: u32,
}

/// What is to be decided about the instants after the cursor and up to now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Those that are not run.
    pub missed: Option<Missed>,
    /// The one that is run.
    pub run: Option<Timestamp>,
}

/// Sorts the instants after `cursor` and up to `now`: the latest is run if it is younger than `window`,
/// and all others are missed.
///
/// Several that passed while nobody led are made up for by one run, as a job that collides with itself
/// would not be run several times at once either.
pub fn due(
    schedule: &Schedule,
    zone: &Zone,
    cursor: Timestamp,
    now: Timestamp,
    window: Duration,
) -> Due {
    let Some(latest) = latest(schedule, zone, cursor, now) else {
        return Due::default();
    };
    let run = (now.since(latest) <= window.max(ON_TIME)).then_some(latest);
    let mut missed: Option<Missed> = None;
    let mut at = cursor;
    while let Some(next) = schedule.next_after(zone, at) {
        let end = next > latest || (run.is_some() && next == latest);
        let full = missed.is_some_and(|missed| missed.count >= MISSED_COUNTED);
        if end || full {
            break;
        }
        let so_far = missed.map_or((next, 0), |missed| (missed.first, missed.count));
        missed = Some(Missed {
            first: so_far.0,
            last: next,
            count: so_far.1 + 1,
        });
        at = next;
    }
    if let Some(missed) = missed
        .as_mut()
        .filter(|missed| missed.count >= MISSED_COUNTED)
    {
        missed.last = latest;
    }
    Due { missed, run }
}

/// The latest instant after `cursor` that is not after `now`.
fn latest(
    schedule: &Schedule,
    zone: &Zone,
    cursor: Timestamp,
    now: Timestamp,
) -> Option<Timestamp> {
    let within = |after: Timestamp| schedule.next_after(zone, after).filter(|at| *at <= now);
    let back = BACK.map(|back| {
        let back = i64::try_from(back.as_millis()).unwrap_or(i64::MAX);
        cursor.max(Timestamp(now.0.saturating_sub(back)))
    });
    let starts = back.into_iter().chain([cursor]);
    let mut found = starts.filter(|start| *start < now).find_map(within)?;
    while let Some(next) = within(found) {
        found = next;
    }
    Some(found)
}

/// How long after its instant a run of this job is still worth it: what its metadata say, or `default`.
///
/// # Errors
///
/// The metadata hold no duration.
pub fn catch_up_window(config: &TaskConfig, default: Duration) -> Result<Duration, UnitError> {
    let mut metadata = config.metadata.iter();
    match metadata.find(|metadata| metadata.key == CATCH_UP_KEY) {
        Some(metadata) => parse_duration(&metadata.value),
        None => Ok(default),
    }
}
