//! What an update would change.

use crate::model::{self, InstanceConfig, InstanceId, InstanceRange, TaskConfig};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Descriptions that instances run.
type Running = BTreeMap<InstanceId, Arc<TaskConfig>>;

/// What becomes of instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Those that come.
    pub add: Vec<InstanceRange>,
    /// Those that go, with what they run.
    pub remove: Running,
    /// Those that change, with what they run now.
    pub update: Running,
    /// Those that stay as they are.
    pub unchanged: Running,
}

impl Diff {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty() && self.update.is_empty()
    }

    /// What runs at the instances that change or go, equal descriptions together.
    pub fn initial(&self) -> Vec<InstanceConfig> {
        group(self.update.iter().chain(&self.remove))
    }

    /// The instances that come or change.
    pub fn desired(&self) -> Vec<InstanceRange> {
        let added = self.add.iter().flat_map(|range| range.instances());
        InstanceRange::of(added.chain(self.update.keys().copied()))
    }
}

/// Instances with equal descriptions together, in the order of their first instances.
pub fn group<'a>(
    running: impl Iterator<Item = (&'a InstanceId, &'a Arc<TaskConfig>)>,
) -> Vec<InstanceConfig> {
    let groups = model::by_description(running.map(|(instance, config)| (*instance, config)));
    let made = |(config, instances)| InstanceConfig {
        config,
        instances: InstanceRange::of(instances),
    };
    groups.into_iter().map(made).collect()
}

/// What becomes of instances that run `current` if `count` of them are to run `desired`; only of the
/// instances in `only`, if it is not empty.
pub fn diff(
    current: impl IntoIterator<Item = (InstanceId, Arc<TaskConfig>)>,
    desired: &Arc<TaskConfig>,
    count: u32,
    only: &[InstanceRange],
) -> Diff {
    let current: Running = current.into_iter().collect();
    let mut diff = Diff::default();
    for range in wanted(count, only) {
        add_missing(range, &current, &mut diff.add);
    }
    let meant = |i: &InstanceId| only.is_empty() || only.iter().any(|range| range.contains(*i));
    for (instance, config) in current {
        if !meant(&instance) {
            continue;
        }
        let of_kind = if instance >= count {
            &mut diff.remove
        } else if Arc::ptr_eq(&config, desired) || config == *desired {
            &mut diff.unchanged
        } else {
            &mut diff.update
        };
        of_kind.insert(instance, config);
    }
    diff
}

/// The instances that are to run, as ranges that do not overlap.
fn wanted(count: u32, only: &[InstanceRange]) -> Vec<InstanceRange> {
    let Some(last) = count.checked_sub(1) else {
        return Vec::new();
    };
    let all = InstanceRange { first: 0, last };
    if only.is_empty() {
        return vec![all];
    }
    let mut ranges: Vec<InstanceRange> = only.to_vec();
    ranges.sort();
    let mut merged: Vec<InstanceRange> = Vec::new();
    for range in ranges.iter().filter(|range| range.first <= last) {
        let end = range.last.min(last);
        match merged.last_mut() {
            Some(before) if range.first <= before.last => before.last = before.last.max(end),
            _ => merged.push(InstanceRange {
                first: range.first,
                last: end,
            }),
        }
    }
    merged
}

/// The parts of `range` in which nothing runs.
fn add_missing(range: InstanceRange, current: &Running, add: &mut Vec<InstanceRange>) {
    let mut next = Some(range.first);
    for present in current.range(range.first..=range.last).map(|(i, _)| *i) {
        if let Some(first) = next.filter(|first| *first < present) {
            let last = present - 1;
            add.push(InstanceRange { first, last });
        }
        next = present.checked_add(1);
    }
    if let Some(first) = next.filter(|first| *first <= range.last) {
        let last = range.last;
        add.push(InstanceRange { first, last });
    }
}
