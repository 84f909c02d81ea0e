//! Where a task may run: the filter with its vetoes, the book of machines, the choice of one.
//!
//! Two departures from upstream. Limits hold within a batch too: counts grow with every task placed.
//! And a machine is a standing total, of which any number of tasks may take a share.

mod book;
mod order;
mod veto;

pub use book::{Book, Machine, Refusals, Scan, Search};
pub use order::{OfferOrder, Ranked};
pub use veto::{Demand, Host, Limits, NearestFit, Refusal, Veto, VetoKind, evaluate, mismatch};

use crate::base::rng::Rng;
use crate::model::{NamedPorts, Ports};
use std::collections::BTreeSet;

/// How often a port is drawn blindly before all that are free are listed.
const BLIND_DRAWS: u32 = 16;

/// Gives each name a port of its own, chosen at random among those that are not taken.
///
/// `None` if there are too few.
pub fn assign_ports(
    names: &BTreeSet<String>,
    ports: &Ports,
    taken: impl Fn(u16) -> bool,
    rng: &mut Rng,
) -> Option<NamedPorts> {
    let mut given = NamedPorts::new();
    let mut used: BTreeSet<u16> = BTreeSet::new();
    // Once drawing was in vain, what is free is listed, for all names that are left: a task may want
    // hundreds of ports.
    let mut listed: Option<Vec<u16>> = None;
    for name in names {
        let is_free = |port: u16| !taken(port) && !used.contains(&port);
        let drawn = match listed {
            None => drawn(ports, rng, is_free),
            Some(_) => None,
        };
        let port = match drawn {
            Some(port) => port,
            None => {
                let all = || ports.all().filter(|port| is_free(*port)).collect();
                let free = listed.get_or_insert_with(all);
                if free.is_empty() {
                    return None;
                }
                free.swap_remove(rng.index(free.len()))
            }
        };
        used.insert(port);
        given.insert(name.clone(), port);
    }
    Some(given)
}

/// A port at random that is free, if one is found soon: a machine offers tens of thousands of them, and
/// listing those took most of the time of placing tasks with ports.
fn drawn(ports: &Ports, rng: &mut Rng, is_free: impl Fn(u16) -> bool) -> Option<u16> {
    let count = usize::try_from(ports.count()).unwrap_or(0);
    if count == 0 {
        return None;
    }
    let mut draws = (0..BLIND_DRAWS).filter_map(|_| ports.nth(rng.index(count)));
    draws.find(|port| is_free(*port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PortRange;

    /// Every port that is free is given, and none far more often than others: drawn blindly or not.
    #[test]
    fn ports_are_given_at_random() {
        let range = |first, last| PortRange { first, last };
        let ports = Ports(vec![range(100, 109), range(200, 209)]);
        let names = BTreeSet::from(["http".to_owned()]);
        for free in [19, 3] {
            let mut rng = Rng::from_seed(free);
            let is_taken = |port: u16| u64::from(port % 100) + u64::from(port / 200) * 10 >= free;
            let mut counts = std::collections::BTreeMap::new();
            for _ in 0..free * 200 {
                let given = assign_ports(&names, &ports, is_taken, &mut rng).unwrap();
                *counts.entry(given["http"]).or_insert(0) += 1;
            }
            assert_eq!(counts.len() as u64, free, "{counts:?}");
            assert!(
                counts
                    .keys()
                    .all(|port| ports.contains(*port) && !is_taken(*port))
            );
            assert!(
                counts.values().all(|count| (100..320).contains(count)),
                "{counts:?}"
            );
        }
    }

    /// What is free is not listed for each name anew: that is quadratic in what a task may want.
    #[test]
    fn the_last_ports_of_a_machine_are_found_without_looking_at_all_for_each() {
        let ports = Ports(vec![PortRange {
            first: 31_000,
            last: 32_999,
        }]);
        let names: BTreeSet<String> = (0..2_000).map(|n| format!("p{n}")).collect();
        let looked_at = std::cell::Cell::new(0);
        let taken = |_| {
            looked_at.set(looked_at.get() + 1);
            false
        };
        let given = assign_ports(&names, &ports, taken, &mut Rng::from_seed(1)).unwrap();
        let distinct: BTreeSet<u16> = given.values().copied().collect();
        assert_eq!((given.len(), distinct.len()), (2_000, 2_000));
        let most = 2_000 * (BLIND_DRAWS as usize + 1);
        assert!(looked_at.get() <= most, "{}", looked_at.get());
    }

    #[test]
    fn ports_are_distinct_free_and_as_many_as_there_are_names() {
        let ports = Ports(vec![PortRange {
            first: 100,
            last: 104,
        }]);
        let names = |n: usize| (0..n).map(|i| format!("p{i}")).collect::<BTreeSet<_>>();
        let mut rng = Rng::from_seed(5);
        let given = assign_ports(&names(4), &ports, |p| p == 102, &mut rng).unwrap();
        let distinct: BTreeSet<u16> = given.values().copied().collect();
        assert_eq!(distinct, BTreeSet::from([100, 101, 103, 104]));
        assert_eq!(
            assign_ports(&names(5), &ports, |p| p == 102, &mut rng),
            None
        );
    }
}
