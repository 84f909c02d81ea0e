//! Methods that sum up tasks by job and by role.

use super::Api;
use super::respond::{self, Answer};
use crate::base::clock;
use crate::domain::cron;
use crate::model::{self, JobKey, ScheduleStatus, ScheduledTask};
use crate::storage::Tables;
use crate::thrift::api::*;
use crate::thrift::convert;
use crate::thrift::service::{GetConfigSummary, GetJobSummary, GetJobs};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Api {
    pub(super) async fn get_jobs(&self, args: &GetJobs) -> Answer {
        let tables = self.scheduler.read().await?;
        let role = restriction(args.owner_role.as_ref());
        let mut configs = BTreeMap::new();
        for job in jobs(&tables, role) {
            let active: Vec<_> = tables.active_tasks_of_job(job).collect();
            if let Some(config) = synthesised(job, &active) {
                configs.insert(job.clone(), config);
            }
        }
        for cron in cron_jobs(&tables, role) {
            let config = convert::job_configuration_to_wire(&cron.job);
            configs.insert(cron.job.key.clone(), config);
        }
        Ok(respond::found(ResponseResult::GetJobsResult(
            GetJobsResult {
                configs: configs.into_values().collect(),
            },
        )))
    }

    pub(super) async fn get_job_summary(&self, args: &GetJobSummary) -> Answer {
        let tables = self.scheduler.read().await?;
        let role = restriction(args.role.as_ref());
        let now = clock::wall();
        let mut summaries = BTreeMap::new();
        for job in jobs(&tables, role) {
            let tasks: Vec<_> = tables.tasks_of_job(job).collect();
            let summary = JobSummary {
                job: synthesised(job, &tasks),
                stats: Some(stats(&tasks)),
                next_cron_run_ms: None,
            };
            summaries.insert(job.clone(), summary);
        }
        for cron in cron_jobs(&tables, role) {
            let summary = summaries
                .entry(cron.job.key.clone())
                .or_insert_with(|| JobSummary {
                    stats: Some(JobStats::default()),
                    ..JobSummary::default()
                });
            summary.job = Some(convert::job_configuration_to_wire(&cron.job));
            summary.next_cron_run_ms = cron::next_run(cron, now).map(|at| at.as_ms());
        }
        Ok(respond::found(ResponseResult::JobSummaryResult(
            JobSummaryResult {
                summaries: summaries.into_values().collect(),
            },
        )))
    }

    pub(super) async fn get_role_summary(&self) -> Answer {
        let tables = self.scheduler.read().await?;
        let mut roles: BTreeMap<&str, (i32, i32)> = BTreeMap::new();
        for job in tables.jobs() {
            roles.entry(job.role()).or_default().0 += 1;
        }
        for cron in tables.cron_jobs() {
            roles.entry(cron.job.key.role()).or_default().1 += 1;
        }
        let summary = |(role, (jobs, crons)): (&str, (i32, i32))| RoleSummary {
            role: Some(role.to_owned()),
            job_count: jobs,
            cron_job_count: crons,
        };
        Ok(respond::found(ResponseResult::RoleSummaryResult(
            RoleSummaryResult {
                summaries: roles.into_iter().map(summary).collect(),
            },
        )))
    }

    pub(super) async fn get_config_summary(&self, args: &GetConfigSummary) -> Answer {
        let job = respond::asserted_key(args.job.as_ref())?;
        let tables = self.scheduler.read().await?;
        let tasks = tables.active_tasks_of_job(&job);
        let groups = model::by_description(tasks.map(|task| (task.instance, &task.config)));
        let group = |(config, instances): (Arc<model::TaskConfig>, Vec<model::InstanceId>)| {
            let mut ranges = Vec::new();
            // Ordered by instance, so ranges grow at their end.
            instances
                .into_iter()
                .for_each(|instance| extend(&mut ranges, instance));
            ConfigGroup {
                config: Some(convert::task_config_to_wire(&config)),
                instances: ranges,
            }
        };
        Ok(respond::found(ResponseResult::ConfigSummaryResult(
            ConfigSummaryResult {
                summary: Some(ConfigSummary {
                    key: Some(convert::job_key_to_wire(&job)),
                    groups: groups.into_iter().map(group).collect(),
                }),
            },
        )))
    }
}

/// A role to restrict to; blank is none.
fn restriction(role: Option<&String>) -> Option<&str> {
    role.map(String::as_str)
        .filter(|role| !role.trim().is_empty())
}

fn jobs<'a>(
    tables: &'a Tables,
    role: Option<&'a str>,
) -> Box<dyn Iterator<Item = &'a JobKey> + 'a> {
    match role {
        Some(role) => Box::new(tables.jobs_of_role(role)),
        None => Box::new(tables.jobs()),
    }
}

fn cron_jobs<'a>(
    tables: &'a Tables,
    role: Option<&'a str>,
) -> impl Iterator<Item = &'a Arc<model::CronJob>> {
    let wanted = move |key: &JobKey| role.is_none_or(|role| role == key.role());
    tables.cron_jobs().filter(move |cron| wanted(&cron.job.key))
}

/// The job that `tasks` are of, as its latest active task describes it; `None` without tasks.
fn synthesised(key: &JobKey, tasks: &[&Arc<ScheduledTask>]) -> Option<JobConfiguration> {
    let rank = |task: &&&Arc<ScheduledTask>| (task.status.is_active(), task.last_event_at());
    let latest = tasks.iter().max_by_key(rank)?;
    let config = convert::task_config_to_wire(&latest.config);
    Some(JobConfiguration {
        key: Some(convert::job_key_to_wire(key)),
        owner: config.owner.clone(),
        task_config: Some(config),
        instance_count: i32::try_from(tasks.len()).unwrap_or(i32::MAX),
        ..JobConfiguration::default()
    })
}

fn stats(tasks: &[&Arc<ScheduledTask>]) -> JobStats {
    let mut stats = JobStats::default();
    for task in tasks {
        let count = match task.status {
            ScheduleStatus::Init | ScheduleStatus::Pending | ScheduleStatus::Throttled => {
                &mut stats.pending_task_count
            }
            ScheduleStatus::Assigned
            | ScheduleStatus::Starting
            | ScheduleStatus::Restarting
            | ScheduleStatus::Running
            | ScheduleStatus::Killing
            | ScheduleStatus::Draining
            | ScheduleStatus::Partitioned
            | ScheduleStatus::Preempting => &mut stats.active_task_count,
            ScheduleStatus::Killed | ScheduleStatus::Finished => &mut stats.finished_task_count,
            ScheduleStatus::Lost | ScheduleStatus::Failed => &mut stats.failed_task_count,
        };
        *count += 1;
    }
    stats
}

/// Adds the next instance to ranges that are in order.
fn extend(ranges: &mut Vec<Range>, instance: model::InstanceId) {
    let instance = instance.cast_signed();
    match ranges.last_mut() {
        Some(range) if range.last.checked_add(1) == Some(instance) => range.last = instance,
        _ => ranges.push(Range {
            first: instance,
            last: instance,
        }),
    }
}
