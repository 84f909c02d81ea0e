//! What is counted and logged of calls.

use super::{Outcome, UNSECURE};
use crate::base::stats;
use crate::thrift::api::{Response, ResponseResult};
use crate::thrift::service::Access;
use std::time::Duration;

/// Counts a call that took `took`, and logs it if it is one that changes something.
pub(super) fn call(method: &str, access: Access, outcome: &Outcome, took: Duration) {
    let registry = stats::global();
    registry
        .sliding(&format!("scheduler_thrift_{method}"), "nanos")
        .record_nanos(took);
    let Outcome::Answer(response) = outcome else {
        log::warn!("{method} by {UNSECURE}: the outcome is unknown");
        return;
    };
    let code = response.response_code.map_or("none", |code| code.name());
    registry
        .counter(&format!("scheduler_thrift_response_{code}"))
        .increment();
    if let Some(work) = workload(response) {
        registry
            .counter(&format!("scheduler_thrift_workload_{method}"))
            .add(work as u64);
    }
    let level = match access {
        Access::Open => log::Level::Debug,
        Access::Job | Access::Admin => log::Level::Info,
    };
    let details = response.details.iter();
    let said: Vec<&str> = details.filter_map(|d| d.message.as_deref()).collect();
    log::log!(level, "{method} by {UNSECURE}: {code} {}", said.join("; "));
}

/// How many elements a read gave.
fn workload(response: &Response) -> Option<usize> {
    Some(match response.result.as_ref()? {
        ResponseResult::ScheduleStatusResult(found) => found.tasks.len(),
        ResponseResult::GetPendingReasonResult(found) => found.reasons.len(),
        ResponseResult::ConfigSummaryResult(found) => {
            found.summary.as_ref().map_or(0, |s| s.groups.len())
        }
        ResponseResult::RoleSummaryResult(found) => found.summaries.len(),
        ResponseResult::JobSummaryResult(found) => found.summaries.len(),
        ResponseResult::GetJobsResult(found) => found.configs.len(),
        ResponseResult::GetJobUpdateSummariesResult(found) => found.update_summaries.len(),
        ResponseResult::GetJobUpdateDetailsResult(found) => found.details_list.len(),
        _ => return None,
    })
}
