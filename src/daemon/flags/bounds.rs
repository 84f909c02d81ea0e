//! Which values of flags make no sense although they are of the right type.
//!
//! An interval of nothing would have the scheduler's loop do one thing for ever, a batch of nothing would do
//! nothing: both look like a scheduler that hangs. Upstream refuses most of these too, some with a stack
//! trace.

use super::{FlagError, Kind, Values};

/// Must be more than nothing.
const POSITIVE: &[&str] = &[
    "agent_timeout",
    "async_slot_stat_update_interval",
    "async_task_stat_update_interval",
    "async_worker_threads",
    "cron_scheduler_num_threads",
    "cron_scheduling_max_batch_size",
    "cron_start_initial_backoff",
    "dlog_snapshot_interval",
    "empty_notice_interval",
    "first_schedule_delay",
    "host_maintenance_polling_interval",
    "initial_flapping_task_delay",
    "initial_schedule_penalty",
    "initial_task_kill_retry_interval",
    "job_update_history_pruning_interval",
    "max_leading_duration",
    "max_parallel_coordinated_maintenance",
    "max_saved_backups",
    "max_schedule_attempts_per_sec",
    "max_sla_duration_secs",
    "max_status_update_batch_size",
    "max_task_event_batch_size",
    "max_tasks_per_job",
    "max_tasks_per_schedule_attempt",
    "max_update_instance_failures",
    "preemption_delay",
    "preemption_reservation_max_batch_size",
    "preemption_slot_hold_time",
    "preemption_slot_search_initial_delay",
    "preemption_slot_search_interval",
    "reconciliation_explicit_batch_interval",
    "reconciliation_explicit_batch_size",
    "reconciliation_explicit_interval",
    "reconciliation_implicit_interval",
    "scheduling_max_batch_size",
    "sla_aware_action_max_batch_size",
    "sla_aware_kill_retry_min_delay",
    "sla_coordinator_timeout",
    "sla_stat_refresh_interval",
    "stat_retention_period",
    "stat_sampling_interval",
    "transient_task_state_timeout",
];

/// May be nothing, but not less.
const NOT_NEGATIVE: &[&str] = &[
    "history_max_per_job_threshold",
    "job_update_history_per_job_threshold",
    "min_required_instances_for_sla_check",
    "native_log_election_retries",
    "offer_static_ban_cache_max_size",
    "thermos_executor_cpu",
];

/// The first must not be more than the second: pauses grow from one to the other.
const ORDERED: &[(&str, &str)] = &[
    ("cron_start_initial_backoff", "cron_start_max_backoff"),
    ("initial_flapping_task_delay", "max_flapping_task_delay"),
    ("initial_schedule_penalty", "max_schedule_penalty"),
    (
        "sla_aware_kill_retry_min_delay",
        "sla_aware_kill_retry_max_delay",
    ),
];

/// Why a value that is of its flag's type makes no sense; `None` if it does.
pub(super) fn refuse(name: &str, kind: Kind, value: &str) -> Option<&'static str> {
    let amount = match kind {
        Kind::Float | Kind::Int => value.parse::<f64>().ok()?,
        Kind::Time => crate::base::units::parse_duration(value)
            .ok()?
            .as_secs_f64(),
        Kind::Bool | Kind::Data | Kind::Text => return None,
    };
    if POSITIVE.contains(&name) && amount <= 0.0 {
        return Some("expected more than zero");
    }
    (NOT_NEGATIVE.contains(&name) && amount < 0.0).then_some("expected zero or more")
}

/// Whether values fit to each other.
///
/// # Errors
///
/// The first pair that does not.
pub(super) fn check_order(values: &Values) -> Result<(), FlagError> {
    let known = |name: &str| values.table.iter().any(|flag| flag.name == name);
    for (low, high) in ORDERED.iter().filter(|(low, _)| known(low)) {
        if values.time(low) > values.time(high) {
            let text = |name| values.text(name).unwrap_or_default();
            return Err(FlagError::BadValue {
                flag: (*low).to_owned(),
                value: text(low).to_owned(),
                reason: format!("expected no more than -{high}, which is {}", text(high)),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::flags::SCHEDULER_FLAGS;

    fn refused(flag: &str) -> Option<String> {
        let values = Values::parse(SCHEDULER_FLAGS, &[flag.to_owned()]);
        values.err().map(|error| error.to_string())
    }

    #[test]
    fn every_bound_is_one_of_a_flag_and_holds() {
        for name in POSITIVE.iter().chain(NOT_NEGATIVE) {
            let flag = SCHEDULER_FLAGS.iter().find(|flag| flag.name == *name);
            let kind = flag.unwrap_or_else(|| panic!("{name} is no flag")).kind;
            let (zero, less) = match kind {
                Kind::Time => ("0secs", None),
                _ => ("0", Some("-1")),
            };
            let found = refused(&format!("-{name}={zero}"));
            assert_eq!(
                found.is_some(),
                POSITIVE.contains(name),
                "{name}: {found:?}"
            );
            if let Some(less) = less {
                let found = refused(&format!("-{name}={less}")).unwrap();
                assert!(
                    found.starts_with(&format!("-{name}=-1: expected ")),
                    "{found}"
                );
            }
        }
    }

    #[test]
    fn pauses_grow_from_the_first_to_the_last() {
        let found = refused("-initial_schedule_penalty=2mins").unwrap();
        assert_eq!(
            found,
            "-initial_schedule_penalty=2mins: expected no more than -max_schedule_penalty, which is 1mins"
        );
        for (low, high) in ORDERED {
            assert!(refused(&format!("-{high}=1ms")).is_some(), "{low}");
        }
    }
}
