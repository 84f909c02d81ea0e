//! Who must give way on one machine.

use crate::domain::tier::{Tier, Tiers};
use crate::model::{Resources, ScheduleStatus, ScheduledTask, TaskConfig};
use std::cmp::Reverse;
use std::sync::Arc;

/// Whose place a waiting task may take.
#[derive(Clone, Copy, Debug)]
pub struct Eligible<'a> {
    /// The task that waits.
    pub waiting: &'a TaskConfig,
    /// The tiers of the cluster.
    pub tiers: &'a Tiers,
}

impl Eligible<'_> {
    /// The tier of a task; of one that names none, or none that there is, the default.
    pub(super) fn tier(tiers: &Tiers, config: &TaskConfig) -> Tier {
        tiers.of(config.tier.as_deref())
    }

    /// Whether `victim` must give way.
    pub fn takes(&self, victim: &TaskConfig) -> bool {
        let waiting = Self::tier(self.tiers, self.waiting).preemptible;
        let other = Self::tier(self.tiers, victim).preemptible;
        match (waiting, other) {
            (false, true) => true,
            (true, false) => false,
            (true, true) | (false, false) => {
                victim.job.role() == self.waiting.job.role()
                    && self.waiting.priority > victim.priority
            }
        }
    }
}

/// The tasks that must end for `need` to fit, where `free` is what the machine has left; `None` if all
/// that are eligible are not enough. Empty if nobody must end.
///
/// The largest go first, by processor time, memory, disk, ports and GPUs in this order; of equal ones
/// those of lower priority. Tasks that already make room are no victims. `freed` is what the end of one
/// would free.
pub fn choose<'a>(
    eligible: &Eligible<'_>,
    need: &Resources,
    free: Resources,
    tasks: impl Iterator<Item = &'a Arc<ScheduledTask>>,
    freed: impl Fn(&TaskConfig) -> Resources,
) -> Option<Vec<Arc<ScheduledTask>>> {
    use ScheduleStatus::{Assigned, Running, Starting};
    let mut victims: Vec<(Resources, &Arc<ScheduledTask>)> = tasks
        .filter(|task| matches!(task.status, Assigned | Starting | Running))
        .filter(|task| eligible.takes(&task.config))
        .map(|task| (freed(&task.config), task))
        .collect();
    victims.sort_by(|(a, x), (b, y)| {
        let key = |r: &Resources| Reverse((r.cpus, r.ram_mb, r.disk_mb, r.ports, r.gpus));
        key(a)
            .cmp(&key(b))
            .then_with(|| x.config.priority.cmp(&y.config.priority))
            .then_with(|| x.id.cmp(&y.id))
    });
    let mut room = free;
    let mut chosen = Vec::new();
    for (held, task) in victims {
        if room.fits(need) {
            break;
        }
        room = room.plus(held);
        chosen.push((held, task));
    }
    if !room.fits(need) {
        return None;
    }
    chosen.retain(|(held, _)| {
        let without = room.minus(*held);
        // Ports stop at zero when subtracted.
        let spared = held.ports <= room.ports && without.fits(need);
        if spared {
            room = without;
        }
        !spared
    });
    Some(
        chosen
            .into_iter()
            .map(|(_, task)| Arc::clone(task))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixture;
    use crate::model::{JobKey, MilliCpus};

    fn task(
        instance: usize,
        cpus: i64,
        ram_mb: i64,
        change: impl FnOnce(&mut TaskConfig),
    ) -> Arc<ScheduledTask> {
        fixture::task(instance, ScheduleStatus::Running, 0, |c| {
            c.resources = Resources {
                cpus: MilliCpus(cpus),
                ram_mb,
                ..Resources::default()
            };
            change(c);
        })
    }

    fn preferred(c: &mut TaskConfig) {
        c.tier = Some("preferred".into());
    }

    #[test]
    fn tiers_come_before_priorities_and_priorities_count_within_a_role() {
        let tiers = Tiers::default();
        let takes = |waiting: &TaskConfig, victim: &TaskConfig| {
            let tiers = &tiers;
            Eligible { waiting, tiers }.takes(victim)
        };
        let of = |name: &str, role: &str, tier: &str, priority| {
            fixture::config(name, |c| {
                c.job = JobKey::new(role, "e", name).unwrap();
                c.tier = Some(tier.to_owned());
                c.priority = priority;
            })
        };
        let production = of("p", "r", "preferred", 0);
        for tier in ["preemptible", "revocable"] {
            assert!(takes(&production, &of("v", "other", tier, 9)));
            assert!(!takes(&of("v", "r", tier, 9), &production));
        }
        for tier in ["preferred", "preemptible"] {
            let high = of("h", "r", tier, 2);
            assert!(takes(&high, &of("l", "r", tier, 1)));
            assert!(!takes(&high, &of("l", "r", tier, 2)));
            assert!(!takes(&high, &of("l", "other", tier, 1)));
        }
    }

    fn chosen(
        need: (i64, i64),
        free: (i64, i64),
        tasks: &[Arc<ScheduledTask>],
    ) -> Option<Vec<u32>> {
        let amount = |(cpus, ram_mb): (i64, i64)| Resources {
            cpus: MilliCpus(cpus),
            ram_mb,
            ..Resources::default()
        };
        let waiting = fixture::config("w", preferred);
        let eligible = Eligible {
            waiting: &waiting,
            tiers: &Tiers::default(),
        };
        let none = Resources::default();
        let freed = |victim: &TaskConfig| super::super::index::cost(victim, none);
        let victims = choose(&eligible, &amount(need), amount(free), tasks.iter(), freed)?;
        Some(victims.iter().map(|task| task.instance).collect())
    }

    #[test]
    fn the_largest_end_first_and_only_as_many_as_needed() {
        let tasks = [
            task(0, 1_000, 10, |_| {}),
            task(1, 3_000, 10, |_| {}),
            task(2, 2_000, 10, |_| {}),
            task(3, 9_000, 10, preferred),
        ];
        assert_eq!(chosen((3_000, 10), (0, 0), &tasks), Some(vec![1]));
        assert_eq!(chosen((5_000, 10), (0, 0), &tasks), Some(vec![1, 2]));
        assert_eq!(chosen((5_000, 10), (1_500, 0), &tasks), Some(vec![1, 2]));
        assert_eq!(chosen((6_500, 10), (500, 0), &tasks), Some(vec![1, 2, 0]));
        assert_eq!(chosen((6_501, 10), (500, 0), &tasks), None);
        assert_eq!(chosen((500, 0), (500, 0), &tasks), Some(vec![]));
    }

    #[test]
    fn who_is_not_needed_in_the_end_is_spared() {
        // The first has the most processor time but no memory; the second has enough of both.
        let tasks = [task(0, 3_000, 0, |_| {}), task(1, 2_000, 100, |_| {})];
        assert_eq!(chosen((2_000, 100), (0, 0), &tasks), Some(vec![1]));
    }
}
