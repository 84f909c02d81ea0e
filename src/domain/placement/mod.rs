//! Where a task may run: the filter with its vetoes, the book of machines, the choice of one.
//!
//! Two departures from upstream. Limits hold within a batch too: counts grow with every task placed.
//! And a machine is a standing total, of which any number of tasks may take a share.

mod book;
mod order;
mod veto;

pub use book::{Book, Machine, Scan, Search};
pub use order::{OfferOrder, Ranked};
pub use veto::{Demand, Host, Limits, NearestFit, Refusal, Veto, VetoKind, evaluate};

use crate::base::rng::Rng;
use crate::model::{NamedPorts, Ports};
use std::collections::BTreeSet;

/// Gives each name a port of its own, chosen at random among those that are not taken.
///
/// `None` if there are too few.
pub fn assign_ports(
    names: &BTreeSet<String>,
    ports: &Ports,
    taken: impl Fn(u16) -> bool,
    rng: &mut Rng,
) -> Option<NamedPorts> {
    if names.is_empty() {
        return Some(NamedPorts::new());
    }
    let mut free: Vec<u16> = ports
        .free(&BTreeSet::new())
        .filter(|p| !taken(*p))
        .collect();
    let mut given = NamedPorts::new();
    for name in names {
        if free.is_empty() {
            return None;
        }
        let port = free.swap_remove(rng.index(free.len()));
        given.insert(name.clone(), port);
    }
    Some(given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PortRange;

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
