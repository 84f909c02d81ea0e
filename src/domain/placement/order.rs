//! The order in which machines are tried, where an operator wants another than taking turns.

use crate::model::{AgentId, Resources};
use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What one step of an order goes by; the smallest comes first, which packs machines full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferOrder {
    /// Free processor time.
    Cpu,
    /// Free disk.
    Disk,
    /// Free memory.
    Memory,
    /// Nothing anybody could name, but always the same.
    Random,
    /// Free processor time that may be taken back; machines without any come last.
    RevocableCpu,
}

impl OfferOrder {
    /// The orders of a list such as `CPU,MEMORY`; empty if machines are to take turns, which is what
    /// `RANDOM` alone means here.
    ///
    /// # Errors
    ///
    /// The name that is none.
    pub fn parse(list: &str) -> Result<Vec<Self>, String> {
        let names = list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        let orders: Result<Vec<Self>, String> = names
            .map(|name| match name {
                "CPU" => Ok(Self::Cpu),
                "DISK" => Ok(Self::Disk),
                "MEMORY" => Ok(Self::Memory),
                "RANDOM" => Ok(Self::Random),
                "REVOCABLE_CPU" => Ok(Self::RevocableCpu),
                other => Err(format!(
                    "{other}: expected CPU, MEMORY, DISK, REVOCABLE_CPU or RANDOM, separated by commas"
                )),
            })
            .collect();
        orders.map(|orders| match orders.as_slice() {
            [Self::Random, ..] => Vec::new(),
            _ => orders,
        })
    }

    /// Which of two machines comes first by an order.
    pub fn compare(orders: &[Self], a: &Ranked<'_>, b: &Ranked<'_>) -> Ordering {
        let by = |order: &Self| match order {
            Self::Cpu => a.free.cpus.cmp(&b.free.cpus),
            Self::Disk => a.free.disk_mb.cmp(&b.free.disk_mb),
            Self::Memory => a.free.ram_mb.cmp(&b.free.ram_mb),
            Self::Random => a.hash().cmp(&b.hash()),
            Self::RevocableCpu => {
                let key = |it: &Ranked<'_>| (it.revocable.cpus.0 <= 0, it.revocable.cpus);
                key(a).cmp(&key(b))
            }
        };
        let first = orders.iter().map(by).find(|order| order.is_ne());
        first.unwrap_or(Ordering::Equal)
    }
}

/// A machine as an order sees it.
#[derive(Clone, Copy, Debug)]
pub struct Ranked<'a> {
    /// The machine's agent.
    pub agent: &'a AgentId,
    /// What it has left of what nobody can take back.
    pub free: Resources,
    /// What it has left of what can be taken back.
    pub revocable: Resources,
}

impl Ranked<'_> {
    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.agent.hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MilliCpus;

    fn first(list: &str, machines: &[(&str, i64, i64, i64)]) -> String {
        let orders = OfferOrder::parse(list).unwrap();
        let agents: Vec<AgentId> = machines.iter().map(|m| AgentId::new(m.0)).collect();
        let ranked = |(agent, m): (_, &(&str, i64, i64, i64))| Ranked {
            agent,
            free: Resources {
                cpus: MilliCpus(m.1),
                ram_mb: m.2,
                ..Resources::default()
            },
            revocable: Resources {
                cpus: MilliCpus(m.3),
                ..Resources::default()
            },
        };
        let all = agents.iter().zip(machines).map(ranked);
        let best = all.min_by(|a, b| OfferOrder::compare(&orders, a, b));
        best.unwrap().agent.to_string()
    }

    #[test]
    fn the_fullest_machine_comes_first_and_ties_go_to_the_next_order() {
        let machines = [("a", 4, 1, 0), ("b", 2, 9, 7), ("c", 2, 8, 3)];
        assert_eq!(first("CPU,MEMORY", &machines), "c");
        assert_eq!(first("CPU", &machines), "b");
        assert_eq!(first("MEMORY", &machines), "a");
        assert_eq!(first("REVOCABLE_CPU,CPU", &machines), "c");
    }

    #[test]
    fn lists_are_read_and_wrong_names_are_told() {
        assert_eq!(OfferOrder::parse("RANDOM").unwrap(), []);
        assert_eq!(OfferOrder::parse("").unwrap(), []);
        let wanted = [OfferOrder::Disk, OfferOrder::Random];
        assert_eq!(OfferOrder::parse("DISK, RANDOM").unwrap(), wanted);
        assert!(OfferOrder::parse("CPUS").unwrap_err().starts_with("CPUS"));
    }
}
