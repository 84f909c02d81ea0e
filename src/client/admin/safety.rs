//! What hosts going down would do to jobs.
//!
//! Only production jobs with enough instances matter. A group of hosts is safe if after it every such job
//! would still have its share of instances that have been up for long enough.

use super::command::Given;
use super::hosts::{lines, listed, named};
use super::{Admin, Ran, fail};
use crate::client::duration::Span;
use crate::client::exit::CommandError;
use crate::client::scheduler::Repeat;
use crate::client::uptime::{LIVE_STATES, share_up, uptimes};
use crate::thrift::api::{ResponseResult, ScheduledTask, TaskQuery};
use crate::thrift::service::{GetTasksWithoutConfigs, Request};
use std::collections::{BTreeMap, BTreeSet};

/// What a job must keep: a percentage of instances that have been up for so many seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limit {
    pub(super) percentage: f64,
    pub(super) seconds: i64,
}

impl Limit {
    pub(super) fn read(percentage: &str, duration: &str) -> Result<Self, CommandError> {
        let share: f64 = percentage.parse().unwrap_or(f64::NAN);
        if !(share > 0.0 && share <= 100.0) {
            return Err(fail("Percentage must be within (0, 100]"));
        }
        let span: Span = duration.parse().map_err(|error| fail(format!("{error}")))?;
        Ok(Self {
            percentage: share,
            seconds: i64::try_from(span.0).unwrap_or(i64::MAX),
        })
    }
}

/// What would become of a job.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fate {
    /// `cluster/role/env/name`.
    pub(super) job: String,
    pub(super) percentage: f64,
    pub(super) safe: bool,
    /// In how many seconds it would be safe, if ever.
    pub(super) wait: Option<i64>,
    pub(super) limit: Limit,
}

/// The jobs that matter, and what runs where.
pub(super) struct Domain {
    /// For each job the uptime of each instance.
    jobs: BTreeMap<String, BTreeMap<i32, i64>>,
    /// For each host the instances of each job.
    hosts: BTreeMap<String, BTreeMap<String, BTreeSet<i32>>>,
}

impl Domain {
    /// Asks the scheduler.
    pub(super) fn load(admin: &mut Admin<'_, '_>, min_count: usize) -> Result<Self, CommandError> {
        let request = Request::GetTasksWithoutConfigs(Box::new(GetTasksWithoutConfigs {
            query: Some(TaskQuery {
                statuses: LIVE_STATES.to_vec(),
                ..TaskQuery::default()
            }),
        }));
        let tasks = match admin.call(&request, Repeat::Always)? {
            Some(ResponseResult::ScheduleStatusResult(found)) => found.tasks,
            _ => Vec::new(),
        };
        let now = admin.session.world.time().wall();
        let mut of_job: BTreeMap<String, Vec<&ScheduledTask>> = BTreeMap::new();
        let mut hosts: BTreeMap<String, BTreeMap<String, BTreeSet<i32>>> = BTreeMap::new();
        for task in &tasks {
            let Some(assigned) = &task.assigned_task else {
                continue;
            };
            let Some(config) = assigned.task.as_ref().filter(|config| config.production) else {
                continue;
            };
            let key = config.job.clone().unwrap_or_default();
            let part = |part: Option<String>| part.unwrap_or_default();
            let (role, environment) = (part(key.role), part(key.environment));
            let job = format!("{}/{role}/{environment}/{}", admin.cluster, part(key.name));
            of_job.entry(job.clone()).or_default().push(task);
            let host = assigned.slave_host.clone().unwrap_or_default();
            let on_host = hosts.entry(host).or_default().entry(job).or_default();
            on_host.insert(assigned.instance_id);
        }
        of_job.retain(|_, tasks| tasks.len() >= min_count);
        let jobs = of_job
            .into_iter()
            .map(|(job, tasks)| (job, uptimes(tasks, now)));
        Ok(Self {
            jobs: jobs.collect(),
            hosts,
        })
    }

    /// The hosts on which anything that matters runs.
    fn hosts(&self) -> impl Iterator<Item = &String> {
        self.hosts.keys()
    }

    /// What becomes of each job that matters if these hosts go down.
    pub(super) fn without(
        &self,
        down: &BTreeSet<String>,
        limit: Limit,
        overrides: &BTreeMap<String, Limit>,
    ) -> Vec<Fate> {
        let mut gone: BTreeMap<&String, BTreeSet<i32>> = BTreeMap::new();
        for (job, instances) in down
            .iter()
            .filter_map(|host| self.hosts.get(host))
            .flatten()
        {
            gone.entry(job).or_default().extend(instances);
        }
        let fates = gone.into_iter().filter_map(|(job, gone)| {
            let all = self.jobs.get(job)?;
            let limit = overrides.get(job).copied().unwrap_or(limit);
            Some(fate(job, all, &gone, limit))
        });
        fates.collect()
    }
}

fn fate(job: &str, all: &BTreeMap<i32, i64>, gone: &BTreeSet<i32>, limit: Limit) -> Fate {
    let left = all.iter().filter(|(instance, _)| !gone.contains(instance));
    let left: BTreeMap<i32, i64> = left
        .map(|(instance, uptime)| (*instance, *uptime))
        .collect();
    let percentage = share_up(&left, limit.seconds, all.len());
    let safe = percentage >= limit.percentage;
    Fate {
        job: job.to_owned(),
        percentage,
        safe,
        wait: match safe {
            true => Some(0),
            false => wait(&left, all.len(), limit),
        },
        limit,
    }
}

/// How long until enough of those that stay have been up for long enough.
fn wait(left: &BTreeMap<i32, i64>, total: usize, limit: Limit) -> Option<i64> {
    let mut sorted: Vec<i64> = left.values().copied().collect();
    sorted.sort_unstable();
    // The cast saturates; shares are between zero and a hundred.
    let target = (total as f64 * limit.percentage / 100.0).ceil() as usize;
    let index = sorted.len().checked_sub(target)?;
    let uptime = sorted.get(index)?;
    Some((limit.seconds - uptime).max(0))
}

/// Hosts that go down together.
pub(super) fn groups(
    hosts: &BTreeSet<String>,
    grouping: Option<&str>,
) -> Result<BTreeMap<String, BTreeSet<String>>, CommandError> {
    match grouping.unwrap_or("by_host") {
        "by_host" => {
            let alone = |host: &String| (host.clone(), BTreeSet::from([host.clone()]));
            Ok(hosts.iter().map(alone).collect())
        }
        "none" => Ok(BTreeMap::from([("all".to_owned(), hosts.clone())])),
        other => Err(fail(format!(
            "--grouping={other}: expected by_host or none"
        ))),
    }
}

fn min_count(given: &Given) -> Result<usize, CommandError> {
    let count: usize = given.number("min_job_instance_count")?.unwrap_or(10);
    match count {
        0 => Err(fail("--min_job_instance_count must be at least 1")),
        count => Ok(count),
    }
}

fn overrides(path: &str) -> Result<BTreeMap<String, Limit>, CommandError> {
    let mut all = BTreeMap::new();
    for line in lines(path)? {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [job, percentage, duration] = words[..] else {
            let message = format!("{path}: '{line}': expected JOB PERCENTAGE DURATION");
            return Err(fail(message));
        };
        let limit = Limit::read(percentage, duration);
        let limit = limit.map_err(|error| fail(format!("{path}: '{line}': {}", error.message)))?;
        all.insert(job.to_owned(), limit);
    }
    Ok(all)
}

/// Hosts of a file and of a list; `None` if neither is given.
fn either(
    file: Option<&str>,
    list: Option<&str>,
) -> Result<Option<BTreeSet<String>>, CommandError> {
    if file.is_none() && list.is_none() {
        return Ok(None);
    }
    let mut hosts = list.map(listed).unwrap_or_default();
    if let Some(file) = file {
        hosts.extend(lines(file)?);
    }
    Ok(Some(hosts))
}

pub(super) fn list_safe_domain(admin: &mut Admin<'_, '_>, given: &Given) -> Ran {
    let limit = Limit::read(given.word(1), given.word(2))?;
    let own = given.option("override_file").map(overrides).transpose()?;
    let own = own.unwrap_or_default();
    let include = either(given.option("include_file"), given.option("include_hosts"))?;
    let exclude = either(given.option("exclude_file"), given.option("exclude_hosts"))?;
    let exclude = exclude.unwrap_or_default();
    let domain = Domain::load(admin, min_count(given)?)?;
    let wanted = |host: &&String| {
        include.as_ref().is_none_or(|only| only.contains(*host)) && !exclude.contains(*host)
    };
    let hosts: BTreeSet<String> = domain.hosts().filter(wanted).cloned().collect();
    for group in groups(&hosts, given.option("grouping"))?.into_values() {
        let fates = domain.without(&group, limit, &own);
        if !fates.iter().all(|fate| fate.safe) {
            continue;
        }
        for host in &group {
            if !given.is_on("list_jobs") {
                admin.print(host);
                continue;
            }
            let here = BTreeSet::from([host.clone()]);
            for fate in domain.without(&here, limit, &own) {
                let Fate {
                    job,
                    percentage,
                    limit,
                    ..
                } = fate;
                admin.print(&format!(
                    "{host}\t{job}\t{percentage:.2}\t{}",
                    limit.seconds
                ));
            }
        }
    }
    Ok(())
}

pub(super) fn probe_hosts(admin: &mut Admin<'_, '_>, given: &Given) -> Ran {
    let limit = Limit::read(given.word(1), given.word(2))?;
    let hosts = named(given)?;
    let domain = Domain::load(admin, min_count(given)?)?;
    for group in groups(&hosts, given.option("grouping"))?.into_values() {
        let fates = domain.without(&group, limit, &BTreeMap::new());
        for host in &group {
            let here = domain.hosts.get(host);
            let here = |fate: &&Fate| here.is_some_and(|jobs| jobs.contains_key(&fate.job));
            for fate in fates.iter().filter(here) {
                let safe = if fate.safe { "True" } else { "False" };
                let wait = fate.wait.map_or("n/a".to_owned(), |wait| wait.to_string());
                let (job, percentage) = (&fate.job, fate.percentage);
                admin.print(&format!("{host}\t{job}\t{percentage:.2}\t{safe}\t{wait}"));
            }
        }
    }
    Ok(())
}
