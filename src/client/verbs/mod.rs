//! What each verb does.

mod add;
mod config;
mod create;
mod cron;
mod diff;
mod inspect;
mod kill;
mod listing;
mod quota;
mod restart;
mod sla;
mod update;

use super::args::{ConfigVerb, CronVerb, JobVerb, Noun, QuotaVerb, SlaVerb, UpdateVerb};
use super::exit::{CommandError, Exit, Outcome};
use super::key::KeyError;
use super::session::{Session, instance_of};
use crate::thrift::api::{ScheduledTask, SlaPolicy};
use update::Change;

impl From<KeyError> for CommandError {
    fn from(error: KeyError) -> Self {
        Self::parameter(error.to_string())
    }
}

/// Does what the command line asks for.
///
/// # Errors
///
/// What ended it.
pub fn run(session: &mut Session<'_, '_>, noun: &Noun) -> Outcome {
    match noun {
        Noun::Job(job) => match &job.verb {
            JobVerb::Create(args) => create::create(session, args),
            JobVerb::Status(args) => listing::status(session, args),
            JobVerb::List(args) => listing::list(session, args),
            JobVerb::Inspect(args) => inspect::inspect(session, args),
            JobVerb::Kill(args) => kill::kill(session, args),
            JobVerb::KillAll(args) => kill::kill_all(session, args),
            JobVerb::Restart(args) => restart::restart(session, args),
            JobVerb::Add(args) => add::add(session, args),
            JobVerb::Diff(args) => diff::diff(session, args),
            JobVerb::Open(args) => listing::open(session, args),
        },
        Noun::Config(config) => match &config.verb {
            ConfigVerb::List(args) => config::list(session, args),
        },
        Noun::Cron(cron) => match &cron.verb {
            CronVerb::Deschedule(args) => cron::deschedule(session, args),
            CronVerb::Schedule(args) => cron::schedule(session, args),
            CronVerb::Show(args) => cron::show(session, args),
            CronVerb::Start(args) => cron::start(session, args),
        },
        Noun::Quota(quota) => match &quota.verb {
            QuotaVerb::Get(args) => quota::get(session, args),
        },
        Noun::Update(update) => match &update.verb {
            UpdateVerb::Abort(args) => {
                update::change(session, &args.key, args.message.as_ref(), Change::Abort)
            }
            UpdateVerb::Info(args) => update::info(session, args),
            UpdateVerb::List(args) => update::list(session, args),
            UpdateVerb::Pause(args) => {
                update::change(session, &args.key, args.message.as_ref(), Change::Pause)
            }
            UpdateVerb::Resume(args) => {
                update::change(session, &args.key, args.message.as_ref(), Change::Resume)
            }
            UpdateVerb::Rollback(args) => update::rollback(session, args),
            UpdateVerb::Start(args) => update::start(session, args),
            UpdateVerb::Wait(args) => update::wait(session, args),
        },
        Noun::Sla(sla) => match &sla.verb {
            SlaVerb::JobUptime(args) => sla::job_uptime(session, args),
            SlaVerb::TaskUpCount(args) => sla::task_up_count(session, args),
        },
        Noun::Task(_) => Err(CommandError::new(
            Exit::InvalidCommand,
            "this command is not supported yet by this version",
        )),
    }
}

/// Refuses failure limits below zero and empty batches.
fn check_limits(batch_size: u32, max_total_failures: i64) -> Result<(), CommandError> {
    if max_total_failures < 0 {
        let message = "--max-total-failures must not be negative";
        return Err(CommandError::parameter(message));
    }
    if batch_size == 0 {
        return Err(CommandError::parameter("--batch-size must be at least 1"));
    }
    Ok(())
}

/// Warns if instances promise to stay up: neither kill nor restart asks.
fn warn_of_promises(session: &mut Session<'_, '_>, tasks: &[ScheduledTask], doing: &str) {
    let promises = |task: &ScheduledTask| {
        let config = task.assigned_task.as_ref().and_then(|a| a.task.as_ref());
        let policy = config.and_then(|c| c.sla_policy.as_ref());
        matches!(
            policy,
            Some(SlaPolicy::CountSlaPolicy(_) | SlaPolicy::PercentageSlaPolicy(_))
        )
    };
    if tasks.iter().any(promises) {
        let text = format!("WARNING: {doing} instances without updating SlaPolicy.");
        session.world.complain(&text);
    }
}

/// The instances of some tasks.
fn instances_of(tasks: &[ScheduledTask]) -> std::collections::BTreeSet<u32> {
    tasks.iter().filter_map(instance_of).collect()
}
