//! The part of a job's page that concerns its schedule.

use super::super::cron::policy;
use super::text;
use crate::base::clock::Timestamp;
use crate::domain::cron::{MISSED_COUNTED, next_run};
use crate::model::{CronJob, CronOutcome, CronRun, CronTrigger};
use maud::{Markup, html};

/// The schedule, the next run and the latest ones.
pub(super) fn section(cron: &CronJob, now: Timestamp) -> Markup {
    let schedule = cron.job.cron_schedule.as_deref().unwrap_or_default();
    html! {
        p {
            "Scheduled " code { (schedule) } " in " (cron.zone)
            span.soft { " \u{b7} " (policy(cron.job.cron_collision_policy)) }
            @if let Some(next) = next_run(cron, now) {
                span.soft { " \u{b7} next run " (text::stamp(next)) }
            }
            @if cron.cursor > now {
                span.soft {
                    " \u{b7} decided up to " (text::stamp(cron.cursor))
                    ", as the clock was ahead then"
                }
            }
        }
        @if !cron.runs.is_empty() {
            h2 id="runs" { "Runs" small { "latest " (cron.runs.len()) } }
            table {
                thead { tr { th { "Due" } th { "Outcome" } th { "Details" } } }
                tbody { @for run in cron.runs.iter().rev() { tr {
                    td { (text::stamp(run.at)) }
                    td { (run.outcome.name()) }
                    td { (details(run)) }
                } } }
            }
        }
    }
}

fn details(run: &CronRun) -> String {
    let by = match &run.trigger {
        CronTrigger::Schedule => String::new(),
        CronTrigger::User(user) => format!("asked for by {user}; "),
    };
    let what = match run.outcome {
        CronOutcome::Cancelled => "the run before it was still active".to_owned(),
        CronOutcome::Ended {
            started,
            ended,
            failed,
        } => {
            let took = text::age(ended, started);
            match failed {
                0 => format!("took {took}"),
                _ => format!("took {took}; {failed} instances did not finish well"),
            }
        }
        CronOutcome::Missed { first, count } => {
            let more = if count >= MISSED_COUNTED {
                " or more"
            } else {
                ""
            };
            let first = text::stamp(first);
            format!("{count}{more} since {first}: nobody led, or a later one made up for it")
        }
        CronOutcome::Overtaken => "an earlier run waits for its turn".to_owned(),
        CronOutcome::Started { at, instances } => {
            let at = text::stamp(at);
            format!("{instances} instances started at {at}")
        }
        CronOutcome::Waiting => "the run before it is being killed".to_owned(),
        CronOutcome::WouldOverlap => "runs of it may not overlap any more".to_owned(),
    };
    by + &what
}
