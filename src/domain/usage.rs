//! What jobs use and what machines have left, as figures under upstream's names.

use super::quota::is_dedicated;
use crate::base::stats::clean_name;
use crate::model::{Attribute, MilliCpus, Quota, Resources, TaskConfig};
use std::collections::BTreeMap;

/// What active tasks use by kind of work, in all and by role, and what quota was given out.
///
/// Names are in lower case as a whole, roles included, as upstream's.
pub fn consumption<'a>(
    active: impl Iterator<Item = &'a TaskConfig>,
    quotas: impl Iterator<Item = (&'a str, Quota)>,
) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<String, Resources> = BTreeMap::new();
    let all = ["total", "dedicated", "quota", "free_pool"];
    for kind in all {
        sums.insert(format!("resources_{kind}_consumed"), Resources::default());
    }
    let mut add = |name: String, amount: Resources| {
        let sum = sums.entry(name).or_default();
        *sum = sum.plus(amount);
    };
    for config in active {
        let kind = match (is_dedicated(config), config.production) {
            (true, _) => "dedicated",
            (false, true) => "quota",
            (false, false) => "free_pool",
        };
        for kind in ["total", kind] {
            add(format!("resources_{kind}_consumed"), config.resources);
            let role = config.job.role();
            let name = format!("resources_per_role_{kind}_consumed_{role}");
            add(name, config.resources);
        }
    }
    add("resources_allocated_quota".into(), Resources::default());
    for (role, quota) in quotas {
        add("resources_allocated_quota".into(), quota);
        add(format!("quota_per_role_{role}"), quota);
    }
    let mut figures = BTreeMap::new();
    for (name, sum) in sums {
        let amounts = [
            ("cpu_cores", sum.cpus.as_cores()),
            ("ram_mb", sum.ram_mb as f64),
            ("disk_mb", sum.disk_mb as f64),
        ];
        for (unit, amount) in amounts {
            figures.insert(
                clean_name(&format!("{name}_{unit}").to_lowercase()),
                amount.trunc(),
            );
        }
    }
    figures
}

/// The sizes of tasks that are counted: cores, MB of memory, MB of disk.
const SIZES: [(&str, i64, i64, i64); 4] = [
    ("small", 1, 1_024, 4_096),
    ("medium", 4, 8_192, 16_384),
    ("large", 8, 16_384, 32_768),
    ("xlarge", 16, 32_768, 65_536),
];

/// What a machine has left.
#[derive(Clone, Copy, Debug)]
pub struct Room<'a> {
    /// Its properties.
    pub attributes: &'a [Attribute],
    /// What it offers for good.
    pub free: Resources,
    /// What it may take back.
    pub revocable: Resources,
}

/// How many tasks of each size would fit into what machines have left.
///
/// A task on what may be taken back needs the rest of what it needs from the machine's own: where no
/// processor time is revocable no such slot is counted, and where no memory is, the machine's counts.
pub fn empty_slots<'a>(machines: impl Iterator<Item = Room<'a>>) -> BTreeMap<String, f64> {
    let mut slots = BTreeMap::new();
    for infix in ["", "dedicated_", "revocable_", "dedicated_revocable_"] {
        for (size, ..) in SIZES {
            slots.insert(format!("empty_slots_{infix}{size}"), 0.0);
        }
    }
    for machine in machines {
        let dedicated = machine.attributes.iter().any(|a| a.name == "dedicated");
        let infix = if dedicated { "dedicated_" } else { "" };
        let (free, revocable) = (machine.free, machine.revocable);
        let shared = Resources {
            cpus: revocable.cpus,
            ram_mb: match revocable.ram_mb {
                0 => free.ram_mb,
                ram_mb => ram_mb,
            },
            ..free
        };
        for (kind, room) in [("", free), ("revocable_", shared)] {
            for (size, cores, ram_mb, disk_mb) in SIZES {
                let cores = MilliCpus::from_cores(cores as f64);
                let by_kind = [
                    room.cpus.0 / cores.0,
                    room.ram_mb / ram_mb,
                    room.disk_mb / disk_mb,
                ];
                let count = by_kind.into_iter().min().unwrap_or(0).max(0);
                let name = format!("empty_slots_{infix}{kind}{size}");
                *slots.entry(name).or_default() += count as f64;
            }
        }
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixture;
    use crate::model::{Constraint, ConstraintKind, JobKey};

    fn amount(cores: i64, ram_mb: i64, disk_mb: i64) -> Resources {
        Resources {
            cpus: MilliCpus(cores * 1_000),
            ram_mb,
            disk_mb,
            ..Resources::default()
        }
    }

    #[test]
    fn every_task_counts_once_in_all_and_once_by_its_kind() {
        let of = |role: &str, production: bool, dedicated: bool| {
            fixture::config("j", |c| {
                c.job = JobKey::new(role, "prod", "j").unwrap();
                c.production = production;
                c.resources = amount(2, 30, 400);
                if dedicated {
                    c.constraints.insert(Constraint {
                        name: "dedicated".into(),
                        kind: ConstraintKind::Limit(1),
                    });
                }
            })
        };
        let configs = [
            of("Web", true, false),
            of("Web", false, false),
            of("ads", true, true),
        ];
        let quotas = [("Web", amount(9, 8, 7))];
        let figures = consumption(configs.iter(), quotas.into_iter());
        let expect = [
            ("resources_total_consumed_cpu_cores", 6.0),
            ("resources_dedicated_consumed_ram_mb", 30.0),
            ("resources_quota_consumed_disk_mb", 400.0),
            ("resources_free_pool_consumed_cpu_cores", 2.0),
            ("resources_per_role_total_consumed_web_cpu_cores", 4.0),
            ("resources_allocated_quota_cpu_cores", 9.0),
            ("quota_per_role_web_ram_mb", 8.0),
        ];
        for (name, value) in expect {
            assert_eq!(figures.get(name), Some(&value), "{name}");
        }
        assert!(figures.keys().all(|name| *name == name.to_lowercase()));
    }

    #[test]
    fn slots_are_counted_by_what_is_shortest() {
        let dedicated = [Attribute {
            name: "dedicated".into(),
            values: ["r/x".to_owned()].into(),
        }];
        let room = |attributes, free, cores| Room {
            attributes,
            free,
            revocable: amount(cores, 0, 0),
        };
        let machines = [
            room(&[][..], amount(9, 9 * 1_024, 100_000), 0),
            room(&dedicated[..], amount(16, 32_768, 65_536), 4),
            room(&[][..], amount(-3, 8_192, 20_000), 7),
        ];
        let slots = empty_slots(machines.into_iter());
        let of = |name: &str| slots[&format!("empty_slots_{name}")];
        assert_eq!((of("small"), of("medium"), of("large")), (9.0, 1.0, 0.0));
        assert_eq!((of("dedicated_small"), of("dedicated_xlarge")), (16.0, 1.0));
        let shared = ["revocable_small", "revocable_medium", "revocable_large"];
        assert_eq!(shared.map(of), [4.0, 1.0, 0.0]);
        assert_eq!(of("dedicated_revocable_medium"), 1.0);
    }
}
