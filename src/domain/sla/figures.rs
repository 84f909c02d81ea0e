//! How well jobs did over a while: the figures that dashboards show.
//!
//! Only services count. Names, groups and formulas are upstream's; all of it is reckoned from the history
//! of tasks, so that it needs no bookkeeping while nothing is asked for.

use crate::base::clock::Timestamp;
use crate::model::{InstanceId, JobKey, ScheduleStatus, ScheduledTask};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A kind of figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// For how long shares of a job's instances have run.
    JobUptimes,
    /// How long tasks wait until they are given to a machine, start and run.
    Medians,
    /// The share of time in which instances were not down for reasons of the platform's.
    PlatformUptime,
}

impl Metric {
    /// The kind with this name, as flags have it.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "JOB_UPTIMES" => Self::JobUptimes,
            "MEDIANS" => Self::Medians,
            "PLATFORM_UPTIME" => Self::PlatformUptime,
            _ => return None,
        })
    }
}

/// What is reckoned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// For production jobs (`-sla_prod_metrics`).
    pub production: BTreeSet<Metric>,
    /// For other jobs (`-sla_non_prod_metrics`).
    pub other: BTreeSet<Metric>,
}

impl Wanted {
    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.production.is_empty() && self.other.is_empty()
    }
}

/// A while that ends now.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Its first moment.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

impl Window {
    /// The last `length` before `now`.
    pub fn before(now: Timestamp, length: Duration) -> Self {
        let ms = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
        Self {
            start: Timestamp(now.0.saturating_sub(ms)),
            end: now,
        }
    }

    fn holds(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

const PERCENTILES: [u32; 5] = [50, 75, 90, 95, 99];

/// The figures of all jobs by name. Each job comes with all its tasks, ended ones among them.
pub fn figures<'a, T>(
    jobs: impl Iterator<Item = (&'a JobKey, T)>,
    wanted: &Wanted,
    window: Window,
) -> BTreeMap<String, f64>
where
    T: Iterator<Item = &'a Arc<ScheduledTask>>,
{
    let mut groups = [Groups::default(), Groups::default()];
    let mut all = BTreeMap::new();
    for (job, tasks) in jobs {
        let mut kinds: [Vec<&ScheduledTask>; 2] = Default::default();
        for task in tasks.filter(|task| task.config.is_service) {
            kinds[usize::from(!task.config.production)].push(task);
        }
        let sets = [(&wanted.production, ""), (&wanted.other, "_nonprod")];
        for (((metrics, suffix), tasks), groups) in sets.into_iter().zip(kinds).zip(&mut groups) {
            if tasks.is_empty() {
                continue;
            }
            let mut put = |name: String, value| all.insert(format!("sla_{name}{suffix}"), value);
            if metrics.contains(&Metric::JobUptimes) {
                let ages = ages(&tasks, window.end);
                for percentile in PERCENTILES {
                    let name = format!("{job}_job_uptime_{percentile}.00_sec");
                    put(name, quantile(&ages, 100 - percentile));
                }
            }
            if metrics.contains(&Metric::PlatformUptime) {
                let uptime = Uptime::of(&tasks, window);
                put(format!("{job}_platform_uptime_percent"), uptime.percent());
                groups.uptime.add(uptime);
            }
            if metrics.contains(&Metric::Medians) {
                groups.add_medians(job, &tasks, window);
            }
        }
    }
    let sets = [(&wanted.production, ""), (&wanted.other, "_nonprod")];
    for ((metrics, suffix), groups) in sets.into_iter().zip(groups) {
        if metrics.contains(&Metric::PlatformUptime) {
            let name = format!("sla_cluster_platform_uptime_percent{suffix}");
            all.insert(name, groups.uptime.percent());
        }
        if metrics.contains(&Metric::Medians) {
            for (name, mut values) in groups.medians {
                values.sort_by(f64::total_cmp);
                all.insert(format!("sla_{name}{suffix}"), quantile(&values, 50));
            }
        }
    }
    all
}

/// What is reckoned across jobs.
#[derive(Default)]
struct Groups {
    uptime: Uptime,
    /// Waits in milliseconds by name.
    medians: BTreeMap<String, Vec<f64>>,
}

impl Groups {
    fn add_medians(&mut self, job: &JobKey, tasks: &[&ScheduledTask], window: Window) {
        let targets = [
            ("mtta_ms", ScheduleStatus::Assigned),
            ("mtts_ms", ScheduleStatus::Starting),
            ("mttr_ms", ScheduleStatus::Running),
        ];
        for task in tasks.iter().filter(|task| task.status.is_active()) {
            let of = task.config.resources;
            let groups = [
                format!("{job}_"),
                "cluster_".to_owned(),
                format!("cpu_{}_", size(of.cpus.0, 1_000, [1, 4, 8, 16])),
                format!("ram_{}_", size(of.ram_mb, 1_024, [1, 8, 16, 32])),
                format!("disk_{}_", size(of.disk_mb, 1_024, [4, 16, 32, 64])),
            ];
            for (name, target) in targets {
                let wait = wait(task, target, window);
                for group in &groups {
                    let values = self.medians.entry(format!("{group}{name}")).or_default();
                    values.extend(wait);
                }
            }
        }
    }
}

/// The class of an amount, by upper bounds in units.
fn size(amount: i64, unit: i64, bounds: [i64; 4]) -> &'static str {
    let names = ["small", "medium", "large", "xlarge"];
    let mut classes = bounds.into_iter().zip(names);
    let class = classes.find(|(bound, _)| amount <= bound * unit);
    class.map_or("xxlarge", |(_, name)| name)
}

/// The milliseconds from the last PENDING before it to the first time in the window that the task took
/// the state.
fn wait(task: &ScheduledTask, target: ScheduleStatus, window: Window) -> Option<f64> {
    let mut pending = None;
    for event in &task.events {
        if event.status == ScheduleStatus::Pending {
            pending = Some(event.at);
        } else if event.status == target && window.holds(event.at) {
            return pending.map(|pending| (event.at.0 - pending.0) as f64);
        }
    }
    None
}

/// For how many seconds each running task has run, ascending.
fn ages(tasks: &[&ScheduledTask], now: Timestamp) -> Vec<f64> {
    let running = tasks
        .iter()
        .filter(|task| task.status == ScheduleStatus::Running);
    let age = |task: &&ScheduledTask| {
        let since = task.last_event_at().unwrap_or_default();
        now.since(since).as_secs_f64()
    };
    let mut ages: Vec<f64> = running.map(age).collect();
    ages.sort_by(f64::total_cmp);
    ages
}

/// The value below which `percent` of the sorted values are, between its neighbours in proportion; zero
/// of none.
fn quantile(sorted: &[f64], percent: u32) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let scaled = last * percent as usize;
    let (index, rest) = (scaled / 100, (scaled % 100) as f64 / 100.0);
    let next = sorted[(index + 1).min(last)];
    sorted[index] + (next - sorted[index]) * rest
}

/// Time of instances, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Uptime {
    up: i64,
    down: i64,
}

/// What an instance is to its platform.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Down,
    Removed,
    Up,
}

impl Standing {
    fn after(self, status: ScheduleStatus) -> Self {
        use ScheduleStatus as S;
        match status {
            S::Lost | S::Draining | S::Preempting => Self::Down,
            S::Pending | S::Assigned | S::Starting if self == Self::Down => Self::Down,
            S::Pending | S::Assigned | S::Starting => Self::Removed,
            S::Throttled | S::Finished | S::Restarting | S::Failed | S::Killing => Self::Removed,
            S::Running | S::Partitioned => Self::Up,
            S::Killed if self == Self::Up => Self::Down,
            S::Killed | S::Init => self,
        }
    }
}

impl Uptime {
    fn of(tasks: &[&ScheduledTask], window: Window) -> Self {
        let mut instances: BTreeMap<InstanceId, Vec<(Timestamp, ScheduleStatus)>> = BTreeMap::new();
        for task in tasks {
            let events = task.events.iter().map(|event| (event.at, event.status));
            instances.entry(task.instance).or_default().extend(events);
        }
        let mut sum = Self::default();
        for mut events in instances.into_values() {
            events.sort_by_key(|(at, _)| *at);
            let (mut standing, mut since) = (Standing::Removed, window.start);
            for (at, status) in events {
                let until = at.clamp(window.start, window.end);
                sum.count(standing, until.0 - since.0);
                (standing, since) = (standing.after(status), until);
            }
            sum.count(standing, window.end.0 - since.0);
        }
        sum
    }

    fn count(&mut self, standing: Standing, ms: i64) {
        match standing {
            Standing::Down => self.down += ms,
            Standing::Removed => {}
            Standing::Up => self.up += ms,
        }
    }

    fn add(&mut self, other: Self) {
        self.up += other.up;
        self.down += other.down;
    }

    fn percent(self) -> f64 {
        match self.up + self.down {
            0 => 100.0,
            total => self.up as f64 * 100.0 / total as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixture;
    use crate::model::TaskEvent;
    use ScheduleStatus as S;

    const NOW: Timestamp = Timestamp(1_000_000);

    /// A task of an instance with this history, in seconds.
    fn task(instance: usize, production: bool, history: &[(i64, S)]) -> Arc<ScheduledTask> {
        let mut task = fixture::task(instance, history[history.len() - 1].1, 0, |c| {
            c.production = production;
        });
        let new = Arc::make_mut(&mut task);
        let event = |(secs, status): &(i64, S)| TaskEvent {
            at: Timestamp(secs * 1_000),
            status: *status,
            message: None,
            scheduler: None,
        };
        new.events = history.iter().map(event).collect();
        task
    }

    fn of(tasks: &[Arc<ScheduledTask>]) -> BTreeMap<String, f64> {
        let all = BTreeSet::from([Metric::JobUptimes, Metric::Medians, Metric::PlatformUptime]);
        let wanted = Wanted {
            production: all.clone(),
            other: all,
        };
        let job = fixture::config("j", |_| {}).job;
        let jobs = [(&job, tasks.iter())];
        let window = Window::before(NOW, Duration::from_secs(60));
        figures(jobs.into_iter(), &wanted, window)
    }

    #[test]
    fn job_uptimes_are_quantiles_of_ages_and_non_production_has_names_of_its_own() {
        let tasks: Vec<_> = (0..5)
            .map(|i| {
                task(
                    i,
                    i < 4,
                    &[(0, S::Pending), (900 + 10 * i as i64, S::Running)],
                )
            })
            .collect();
        let figures = of(&tasks);
        // Ages are 100, 90, 80 and 70 seconds.
        assert_eq!(figures["sla_r/e/j_job_uptime_50.00_sec"], 85.0);
        assert_eq!(figures["sla_r/e/j_job_uptime_75.00_sec"], 77.5);
        assert!((figures["sla_r/e/j_job_uptime_99.00_sec"] - 70.3).abs() < 1e-9);
        assert_eq!(figures["sla_r/e/j_job_uptime_50.00_sec_nonprod"], 60.0);
    }

    #[test]
    fn the_platform_answers_for_what_it_took_down_and_not_for_what_people_did() {
        let percent = |tasks: &[Arc<ScheduledTask>]| of(tasks)["sla_r/e/j_platform_uptime_percent"];
        let up = [(0, S::Pending), (1, S::Running)];
        assert_eq!(percent(&[task(0, true, &up)]), 100.0);
        // The window is from 940 to 1000; down from 970 until it runs again at 985.
        let lost = task(0, true, &[(0, S::Pending), (1, S::Running), (970, S::Lost)]);
        let again = task(
            0,
            true,
            &[(970, S::Pending), (975, S::Assigned), (985, S::Running)],
        );
        assert_eq!(percent(&[lost.clone(), again]), 75.0);
        let restarted = [(1, S::Running), (970, S::Restarting), (971, S::Killed)];
        assert_eq!(percent(&[task(0, true, &restarted)]), 100.0);
        let killed = [(1, S::Running), (970, S::Killed)];
        assert_eq!(percent(&[task(0, true, &killed)]), 50.0);
        let both = [lost, task(1, true, &up)];
        assert_eq!(of(&both)["sla_cluster_platform_uptime_percent"], 75.0);
        assert_eq!(of(&[])["sla_cluster_platform_uptime_percent"], 100.0);
    }

    #[test]
    fn medians_are_waits_that_ended_in_the_window() {
        let started = |i, at| {
            let history = [
                (at - 5, S::Pending),
                (at - 2, S::Assigned),
                (at - 1, S::Starting),
                (at, S::Running),
            ];
            task(i, true, &history)
        };
        let figures = of(&[started(0, 950), started(1, 990), started(2, 900)]);
        assert_eq!(figures["sla_cluster_mttr_ms"], 5_000.0);
        assert_eq!(figures["sla_r/e/j_mtta_ms"], 3_000.0);
        assert_eq!(figures["sla_cpu_small_mtts_ms"], 4_000.0);
        assert_eq!(figures["sla_ram_small_mttr_ms"], 5_000.0);
        let nothing = of(&[started(0, 900)]);
        assert_eq!(nothing["sla_cluster_mttr_ms"], 0.0);
    }
}
