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
        let pairs = [
            (
                &mut self.prod_shared,
                by_template.prod_shared,
                by_tasks.prod_shared,
            ),
            (
                &mut self.non_prod_shared,
                by_template.non_prod_shared,
                by_tasks.non_prod_shared,
            ),
            (
                &mut self.prod_dedicated,
                by_template.prod_dedicated,
                by_tasks.prod_dedicated,
            ),
            (
                &mut self.non_prod_dedicated,
                by_template.non_prod_dedicated,
                by_tasks.non_prod_dedicated,
            ),
        ];
        for (sum, template, tasks) in pairs {
            *sum = sum.plus(larger(template, tasks));
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
    if !config.production || is_dedicated(config) {
        return Ok(());
    }
    let wanted = used
        .prod_shared
        .plus(countable(config.resources).times(count));
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
    fn a_cron_job_counts_as_its_template_or_as_what_runs_whichever_is_more() {
        let (small, large) = (config(true, false, 1), config(true, false, 5));
        let mut sum = Consumption::default();
        sum.add_cron(&small, 3, [&large].into_iter());
        assert_eq!(sum.prod_shared.cpus, MilliCpus(5_000));
        assert_eq!(sum.prod_shared.ram_mb, 6);
        assert_eq!(sum.prod_shared.ports, 0);
    }
}
