//! Which ports a job asks for: the same as `loader/ports.py`.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a name of the port map leads to in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// A port by its name.
    Name(String),
    /// A fixed number.
    Number,
}

/// The port map with chains followed to their end; a circle is an error.
pub(super) fn resolved(portmap: &Value) -> Result<BTreeMap<String, End>, String> {
    let target_of = |name: &str| portmap[name].as_str();
    let mut ends = BTreeMap::new();
    for name in portmap
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
    {
        let mut seen = vec![name.as_str()];
        let mut last = name.as_str();
        while let Some(target) = target_of(last).filter(|target| *target != last) {
            if let Some(start) = seen.iter().position(|one| *one == target) {
                let circle = seen.split_off(start).join(" -> ");
                return Err(format!(
                    "the port names lead in a circle: {circle} -> {target}"
                ));
            }
            seen.push(target);
            last = target;
        }
        let is_number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
        let end = if is_number {
            End::Number
        } else {
            End::Name(last.to_owned())
        };
        ends.insert(name.clone(), end);
    }
    Ok(ends)
}

/// The names to ask for, sorted.
pub(super) fn requested(
    referenced: &BTreeSet<String>,
    ends: &BTreeMap<String, End>,
) -> Vec<String> {
    let by_process = referenced.iter().map(|name| {
        ends.get(name)
            .cloned()
            .unwrap_or_else(|| End::Name(name.clone()))
    });
    let wanted: BTreeSet<String> = by_process
        .chain(ends.values().cloned())
        .filter_map(|end| match end {
            End::Name(name) => Some(name),
            End::Number => None,
        })
        .collect();
    wanted.into_iter().collect()
}
