//! Resources that a machine may take back at any time, and what is left of each kind.
//!
//! A machine offers them by its attribute `revocable`, whose values are amounts such as `cpus:2` and
//! `mem:512`, beside what it offers for good. Tasks of a revocable tier run on them: their processor time
//! (and memory, by `-enable_revocable_ram`) comes out of the revocable share, everything else out of the
//! machine's own. All other tasks see the machine's own share alone. With `-receive_revocable_resources`
//! off, as it is by default, nothing is revocable, and tasks of such tiers wait, as upstream's do.
//!
//! Most machines offer nothing of the kind; for them the sums that the tables keep are the answer, and no
//! task is looked at.

use super::EngineOptions;
use super::attempts::{free, needs};
use crate::domain::placement::Machine;
use crate::model::{AgentId, Attribute, MilliCpus, Resources, TaskConfig};
use crate::storage::Tables;
use std::collections::BTreeMap;

/// The attribute by which machines offer them.
const ATTRIBUTE: &str = "revocable";

/// Which resources may be revocable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocableRules {
    /// Whether what machines offer of the kind is used at all (`-receive_revocable_resources`).
    pub receive: bool,
    /// Processor time (`-enable_revocable_cpus`).
    pub cpus: bool,
    /// Memory (`-enable_revocable_ram`).
    pub ram: bool,
}

impl Default for RevocableRules {
    fn default() -> Self {
        Self {
            receive: false,
            cpus: true,
            ram: false,
        }
    }
}

impl RevocableRules {
    /// The part of `amount` that is of revocable kinds.
    pub(super) fn part(self, amount: Resources) -> Resources {
        Resources {
            cpus: if self.cpus { amount.cpus } else { MilliCpus(0) },
            ram_mb: if self.ram { amount.ram_mb } else { 0 },
            ..Resources::default()
        }
    }
}

/// What a machine has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// Of what it offers for good.
    pub(super) own: Resources,
    /// Of what it may take back.
    pub(super) revocable: Resources,
}

impl Left {
    /// Whether the machine was not given more than it has.
    pub(super) fn is_sound(&self) -> bool {
        let none = Resources::default();
        self.own.fits(&none) && self.revocable.fits(&none)
    }

    /// What a task sees of it.
    pub(super) fn seen_by(&self, is_revocable: bool, rules: RevocableRules) -> Resources {
        match is_revocable {
            true => self.own.minus(rules.part(self.own)).plus(self.revocable),
            false => self.own,
        }
    }
}

/// The machines that offer such resources, and how much.
#[derive(Debug, Default)]
pub(super) struct Revocable {
    offered: BTreeMap<AgentId, Resources>,
}

impl Revocable {
    /// Takes what a machine offers now.
    pub(super) fn set(&mut self, agent: &AgentId, attributes: &[Attribute], rules: RevocableRules) {
        let named = attributes.iter().filter(|a| a.name == ATTRIBUTE);
        let values = named.flat_map(|a| &a.values);
        let offered = values.filter_map(|value| amount(value));
        let offered = rules.part(offered.fold(Resources::default(), Resources::plus));
        if rules.receive && offered != Resources::default() {
            self.offered.insert(agent.clone(), offered);
        } else {
            self.offered.remove(agent);
        }
    }

    /// What a machine offers of the kind.
    pub(super) fn lent_by(&self, agent: &AgentId) -> Resources {
        self.offered.get(agent).copied().unwrap_or_default()
    }

    /// What a machine has left.
    pub(super) fn left(&self, tables: &Tables, machine: &Machine, options: &EngineOptions) -> Left {
        let all = free(tables, machine, options.executor_overhead);
        let Some(offered) = self.offered.get(&machine.agent) else {
            return Left {
                own: all,
                revocable: Resources::default(),
            };
        };
        let held = tables
            .tasks_on_agent(&machine.agent)
            .filter(|task| task.status.is_assigned())
            .filter(|task| is_revocable(&task.config, options))
            .map(|task| {
                options
                    .revocable
                    .part(needs(&task.config, options.executor_overhead))
            })
            .fold(Resources::default(), Resources::plus);
        Left {
            own: all.plus(held),
            revocable: offered.minus(held),
        }
    }

    /// What the end of a task would free of what a task of this kind sees.
    pub(super) fn freed(
        &self,
        agent: &AgentId,
        victim: &TaskConfig,
        for_revocable: bool,
        options: &EngineOptions,
    ) -> Resources {
        let held = needs(victim, options.executor_overhead);
        let same = is_revocable(victim, options) == for_revocable;
        match same || !self.offered.contains_key(agent) {
            true => held,
            false => held.minus(options.revocable.part(held)),
        }
    }
}

/// Whether a task runs on what can be taken back.
pub(super) fn is_revocable(config: &TaskConfig, options: &EngineOptions) -> bool {
    options.tiers.of(config.tier.as_deref()).revocable
}

/// An amount such as `cpus:2`; `None` if it is none.
fn amount(text: &str) -> Option<Resources> {
    let (name, value) = text.split_once(':')?;
    let value: f64 = value.trim().parse().ok()?;
    if !value.is_finite() || value < 0.0 {
        return None;
    }
    match name.trim() {
        "cpus" => Some(Resources {
            cpus: MilliCpus::from_cores(value),
            ..Resources::default()
        }),
        "mem" | "ram" => Some(Resources {
            ram_mb: value as i64,
            ..Resources::default()
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_anything_else_is_none() {
        assert_eq!(amount("cpus:1.5").unwrap().cpus, MilliCpus(1_500));
        assert_eq!(amount("mem: 64").unwrap().ram_mb, 64);
        for text in ["yes", "cpus:-1", "cpus:NaN", "disk:1", "cpus"] {
            assert_eq!(amount(text), None, "{text}");
        }
    }

    #[test]
    fn a_task_sees_the_share_of_its_kind_and_the_rest_of_the_machine() {
        let own = Resources {
            cpus: MilliCpus(1_000),
            ram_mb: 100,
            disk_mb: 50,
            ports: 3,
            gpus: 0,
        };
        let revocable = Resources {
            cpus: MilliCpus(200),
            ..Resources::default()
        };
        let left = Left { own, revocable };
        let rules = RevocableRules::default();
        assert_eq!(left.seen_by(false, rules), own);
        let seen = left.seen_by(true, rules);
        assert_eq!((seen.cpus, seen.ram_mb), (MilliCpus(200), 100));
        assert_eq!((seen.disk_mb, seen.ports), (50, 3));
        // Processor time is of no revocable kind: such tasks share what the machine has.
        let plain = RevocableRules {
            cpus: false,
            ..rules
        };
        let none = Resources::default();
        let left = Left {
            own,
            revocable: none,
        };
        assert_eq!(left.seen_by(true, plain), own);
    }
}
