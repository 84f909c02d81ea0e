//! Equal descriptions, found without comparing each with each.

use super::{InstanceId, TaskConfig};
use std::collections::HashMap;
use std::sync::Arc;

/// Numbers descriptions from zero in the order in which they come; equal ones have one number.
///
/// A job may have as many descriptions as instances, thousands, that differ at their end only: comparing
/// them one by one with all before takes seconds. The tasks of one description mostly share it, and those are
/// told by where it is, without a look at its contents.
#[derive(Debug, Default)]
struct Alike {
    /// By address. What is here is kept, so that no other description takes its place.
    shared: HashMap<usize, (Arc<TaskConfig>, usize)>,
    equal: HashMap<Arc<TaskConfig>, usize>,
}

impl Alike {
    /// The number of a description. It is new if it is how many there were before.
    fn number(&mut self, config: &Arc<TaskConfig>) -> usize {
        let address = Arc::as_ptr(config).addr();
        if let Some((_, number)) = self.shared.get(&address) {
            return *number;
        }
        let next = self.equal.len();
        let number = *self.equal.entry(Arc::clone(config)).or_insert(next);
        self.shared.insert(address, (Arc::clone(config), number));
        number
    }
}

/// Instances with equal descriptions together, in the order of their first instances.
pub fn by_description<'a>(
    instances: impl Iterator<Item = (InstanceId, &'a Arc<TaskConfig>)>,
) -> Vec<(Arc<TaskConfig>, Vec<InstanceId>)> {
    let mut alike = Alike::default();
    let mut groups: Vec<(Arc<TaskConfig>, Vec<InstanceId>)> = Vec::new();
    for (instance, config) in instances {
        match groups.get_mut(alike.number(config)) {
            Some((_, instances)) => instances.push(instance),
            None => groups.push((Arc::clone(config), vec![instance])),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixture;

    #[test]
    fn equal_descriptions_have_one_number_wherever_they_are() {
        let made = |priority| Arc::new(fixture::config("j", |config| config.priority = priority));
        let first = made(0);
        let mut alike = Alike::default();
        assert_eq!(alike.number(&first), 0);
        assert_eq!(alike.number(&made(1)), 1);
        assert_eq!(alike.number(&made(0)), 0, "equal, but not shared");
        assert_eq!(alike.number(&first), 0);
        // Where a description was that is gone, another one may be.
        for priority in 2..200 {
            assert_eq!(alike.number(&made(priority)), priority as usize);
            assert_eq!(alike.number(&made(priority)), priority as usize);
        }
    }
}
