//! Quota: what a role's production work may use, and what it uses.

use crate::model::{Quota, Resources, TaskConfig};

/// What a role uses, by kind of work. Only processor time, memory and disk count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consumption {
    /// Production work on shared machines: what quota limits.
    pub prod_shared: Resources,
    /// Other work on shared machines.
    pub non_prod_shared: Resources,
    /// Production work on dedicated machines.
    pub prod_dedicated: Resources,
    /// Other work on dedicated machines.
    pub non_prod_dedicated: Resources,
}

impl Consumption {
    /// Counts `count` tasks of this description.
    pub fn add(&mut self, config: &TaskConfig, count: u32) {
        let of_kind = self.kind(config);
        *of_kind = of_kind.plus(countable(config.resources).times(count));
    }

    /// Counts one task of this description no more.
    pub fn remove(&mut self, config: &TaskConfig) {
        let of_kind = self.kind(config);
        *of_kind = of_kind.minus(countable(config.resources));
    }

    /// Counts all that another sum counts.
    pub fn merge(&mut self, other: &Self) {
        self.add_larger(other, &Self::default());
    }

    /// Counts a cron job: its template for all instances, or what runs of it if that is more.
    pub fn add_cron<'a>(
        &mut self,
        template: &TaskConfig,
        instances: u32,
        running: impl Iterator<Item = &'a TaskConfig>,
    ) {
        let mut by_template = Self::default();
        by_template.add(template, instances);
        let mut by_tasks = Self::default();
        running.for_each(|config| by_tasks.add(config, 1));
        self.add_larger(&by_template, &by_tasks);
    }

    /// Counts a job that is being updated: what the update began with or what it leads to, whichever is
    /// more. Each is a description with the number of instances it holds for.
    ///
    /// The instances that the update names must not be counted besides.
    pub fn add_update<'a>(
        &mut self,
        initial: impl Iterator<Item = (&'a TaskConfig, u32)>,
        desired: impl Iterator<Item = (&'a TaskConfig, u32)>,
    ) {
        let (mut before, mut after) = (Self::default(), Self::default());
        initial.for_each(|(config, count)| before.add(config, count));
        desired.for_each(|(config, count)| after.add(config, count));
        self.add_larger(&before, &after);
    }

    fn add_larger(&mut self, a: &Self, b: &Self) {
        let pairs = [
            (&mut self.prod_shared, a.prod_shared, b.prod_shared),
            (
                &mut self.non_prod_shared,
                a.non_prod_shared,
                b.non_prod_shared,
            ),
            (&mut self.prod_dedicated, a.prod_dedicated, b.prod_dedicated),
            (
                &mut self.non_prod_dedicated,
                a.non_prod_dedicated,
                b.non_prod_dedicated,
            ),
        ];
        for (sum, a, b) in pairs {
            *sum = sum.plus(larger(a, b));
        }
    }

    fn kind(&mut self, config: &TaskConfig) -> &mut Resources {
        match (config.production, is_dedicated(config)) {
            (true, false) => &mut self.prod_shared,
            (false, false) => &mut self.non_prod_shared,
            (true, true) => &mut self.prod_dedicated,
            (false, true) => &mut self.non_prod_dedicated,
        }
    }
}

/// Whether a task asks for dedicated machines.
pub fn is_dedicated(config: &TaskConfig) -> bool {
    config.constraints.iter().any(|c| c.name == "dedicated")
}

/// Whether `count` more tasks of this description stay within `quota`; the shortfall in words if not.
///
/// Only production work on shared machines is limited.
///
/// # Errors
///
/// What is exceeded, and by how much.
pub fn check_addition(
    quota: Quota,
    used: &Consumption,
    config: &TaskConfig,
    count: u32,
) -> Result<(), String> {
    if !is_limited(config) {
        return Ok(());
    }
    let more = countable(config.resources).times(count);
    check(quota, used.prod_shared.plus(more))
}

/// Whether a cron job may become `new`, a template with its number of instances, where `used` counts it
/// as `old`; the shortfall in words if not.
///
/// # Errors
///
/// What is exceeded, and by how much.
pub fn check_cron(
    quota: Quota,
    used: &Consumption,
    old: Option<(&TaskConfig, u32)>,
    new: (&TaskConfig, u32),
) -> Result<(), String> {
    if !is_limited(new.0) {
        return Ok(());
    }
    let amount = |(config, count): (&TaskConfig, u32)| match is_limited(config) {
        true => countable(config.resources).times(count),
        false => Resources::default(),
    };
    let before = old.map(amount).unwrap_or_default();
    check(quota, used.prod_shared.plus(amount(new)).minus(before))
}

/// Whether an update may lead a job to `desired`, where `with` is what the role uses as if the update
/// were under way; the shortfall in words if not. `None` stands for an update that only removes instances.
///
/// # Errors
///
/// What is exceeded, and by how much.
pub fn check_update(
    quota: Quota,
    with: &Consumption,
    desired: Option<&TaskConfig>,
) -> Result<(), String> {
    match desired.is_some_and(is_limited) {
        true => check(quota, with.prod_shared),
        false => Ok(()),
    }
}

/// Whether `quota` may be set while `used` is in use.
///
/// # Errors
///
/// The sentence for the operator.
pub fn check_quota(quota: Quota, used: &Consumption) -> Result<(), String> {
    check_positive(quota)?;
    match countable(quota).fits(&used.prod_shared) {
        true => Ok(()),
        false => Err(format!(
            "Quota: {} is less then current prod reservation: {}",
            show(quota),
            show(used.prod_shared)
        )),
    }
}

/// Whether a quota has no negative amount.
///
/// # Errors
///
/// The sentence for the operator.
pub fn check_positive(quota: Quota) -> Result<(), String> {
    if quota.cpus.0 < 0 || quota.ram_mb < 0 || quota.disk_mb < 0 {
        return Err(format!("Negative values in: {}", show(quota)));
    }
    Ok(())
}

fn show(amount: Resources) -> String {
    format!(
        "CPUS={:?}, RAM_MB={}, DISK_MB={}",
        amount.cpus.as_cores(),
        amount.ram_mb,
        amount.disk_mb
    )
}

/// Only production work on shared machines is limited.
fn is_limited(config: &TaskConfig) -> bool {
    config.production && !is_dedicated(config)
}

fn check(quota: Quota, wanted: Resources) -> Result<(), String> {
    let short = wanted.minus(quota);
    let over = [
        (short.cpus.as_cores(), "CPU", "core(s)"),
        (short.ram_mb as f64, "RAM", "MB"),
        (short.disk_mb as f64, "disk", "MB"),
    ];
    let details: Vec<String> = over
        .iter()
        .filter(|(amount, _, _)| *amount > 0.0)
        .map(|(amount, what, unit)| format!("{what} quota exceeded by {amount:.2} {unit}"))
        .collect();
    match details.is_empty() {
        true => Ok(()),
        false => Err(details.join("; ")),
    }
}

fn countable(resources: Resources) -> Resources {
    Resources {
        ports: 0,
        gpus: 0,
        ..resources
    }
}

fn larger(a: Resources, b: Resources) -> Resources {
    Resources {
        cpus: a.cpus.max(b.cpus),
        ram_mb: a.ram_mb.max(b.ram_mb),
        disk_mb: a.disk_mb.max(b.disk_mb),
        ports: 0,
        gpus: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Constraint, ConstraintKind, JobKey, MilliCpus};
    use std::collections::{BTreeMap, BTreeSet};

    fn config(production: bool, dedicated: bool, cores: i64) -> TaskConfig {
        let constraint = Constraint {
            name: "dedicated".into(),
            kind: ConstraintKind::Limit(1),
        };
        TaskConfig {
            job: JobKey::new("r", "e", "j").unwrap(),
            owner: None,
            is_service: true,
            priority: 0,
            max_task_failures: 1,
            production,
            tier: None,
            resources: Resources {
                cpus: MilliCpus(cores * 1_000),
                ram_mb: 2,
                disk_mb: 0,
                ports: 5,
                gpus: 5,
            },
            port_names: BTreeSet::new(),
            names_gpus: false,
            constraints: dedicated.then_some(constraint).into_iter().collect(),
            fetcher_uris: BTreeSet::new(),
            task_links: BTreeMap::new(),
            contact_email: None,
            executor: None,
            metadata: BTreeSet::new(),
            partition_policy: None,
            sla_policy: None,
            container: Default::default(),
        }
    }

    #[test]
    fn only_production_work_on_shared_machines_is_limited() {
        let (used, quota) = (Consumption::default(), Quota::default());
        assert_eq!(
            check_addition(quota, &used, &config(false, false, 1), 9),
            Ok(())
        );
        assert_eq!(
            check_addition(quota, &used, &config(true, true, 1), 9),
            Ok(())
        );
        let refused = check_addition(quota, &used, &config(true, false, 1), 1);
        let details = "CPU quota exceeded by 1.00 core(s); RAM quota exceeded by 2.00 MB";
        assert_eq!(refused, Err(details.to_owned()));
        let enough = config(true, false, 1).resources;
        assert_eq!(
            check_addition(enough, &used, &config(true, false, 1), 1),
            Ok(())
        );
    }

    #[test]
    fn an_update_counts_as_what_it_began_with_or_leads_to_whichever_is_more() {
        let (small, large) = (config(true, false, 1), config(true, false, 5));
        let mut sum = Consumption::default();
        sum.add_update([(&large, 1)].into_iter(), [(&small, 4)].into_iter());
        assert_eq!(sum.prod_shared.cpus, MilliCpus(5_000));
        assert_eq!(sum.prod_shared.ram_mb, 8);
        let quota = sum.prod_shared;
        assert_eq!(check_update(quota, &sum, Some(&small)), Ok(()));
        sum.add(&small, 1);
        assert!(check_update(quota, &sum, Some(&small)).is_err());
        assert_eq!(check_update(quota, &sum, None), Ok(()));
    }

    #[test]
    fn a_cron_template_is_weighed_against_the_one_it_replaces() {
        let (small, large) = (config(true, false, 1), config(true, false, 5));
        let mut used = Consumption::default();
        used.add_cron(&small, 3, std::iter::empty());
        let quota = Quota {
            cpus: MilliCpus(5_000),
            ram_mb: 100,
            ..Quota::default()
        };
        let check = |old, new| check_cron(quota, &used, old, new);
        assert_eq!(check(Some((&small, 3)), (&large, 1)), Ok(()));
        assert!(check(None, (&large, 1)).is_err());
        assert!(check(Some((&small, 3)), (&small, 6)).is_err());
        assert_eq!(check(None, (&config(true, true, 9), 9)), Ok(()));
    }

    #[test]
    fn a_quota_is_neither_negative_nor_below_what_is_used() {
        let mut used = Consumption::default();
        used.add(&config(true, false, 2), 1);
        let quota = |cpus, ram_mb| Quota {
            cpus: MilliCpus(cpus),
            ram_mb,
            ..Quota::default()
        };
        assert_eq!(check_quota(quota(2_000, 2), &used), Ok(()));
        let low = check_quota(quota(1_500, 2), &used).unwrap_err();
        let expected = "Quota: CPUS=1.5, RAM_MB=2, DISK_MB=0 is less then current prod reservation: \
                        CPUS=2.0, RAM_MB=2, DISK_MB=0";
        assert_eq!(low, expected);
        let negative = check_quota(quota(2_000, -1), &used).unwrap_err();
        assert!(negative.starts_with("Negative values in: "), "{negative}");
    }

    #[test]
    fn a_cron_job_counts_as_its_template_or_as_what_runs_whichever_is_more() {
        let (small, large) = (config(true, false, 1), config(true, false, 5));
        let mut sum = Consumption::default();
        sum.add_cron(&small, 3, [&large].into_iter());
        assert_eq!(sum.prod_shared.cpus, MilliCpus(5_000));
        assert_eq!(sum.prod_shared.ram_mb, 6);
        assert_eq!(sum.prod_shared.ports, 0);
    }
}
