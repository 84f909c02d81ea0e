//! What a change of a job would do.

use super::to_json;
use crate::thrift::api::TaskConfig;
use serde_json::Value;
use std::collections::BTreeSet;

/// Instances as ranges: `[0-2], [5]`.
pub fn ranges(instances: &BTreeSet<u32>) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &instance in instances {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(instance) => *last = instance,
            _ => runs.push((instance, instance)),
        }
    }
    let show = |(first, last): &(u32, u32)| {
        if first == last {
            format!("[{first}]")
        } else {
            format!("[{first}-{last}]")
        }
    };
    runs.iter().map(show).collect::<Vec<_>>().join(", ")
}

/// A task's description as text in which equal descriptions are equal.
pub fn dump(config: &TaskConfig) -> String {
    let mut value = to_json(config);
    if let Some(fields) = value.as_object_mut() {
        for set in ["constraints", "metadata", "resources", "mesosFetcherUris"] {
            if let Some(Value::Array(items)) = fields.get_mut(set) {
                items.sort_by_key(Value::to_string);
            }
        }
        let data = fields
            .get_mut("executorConfig")
            .and_then(|e| e.get_mut("data"));
        if let Some(data) = data
            && let Some(mut parsed) = data
                .as_str()
                .and_then(|text| serde_json::from_str(text).ok())
        {
            sort_keys(&mut parsed);
            *data = parsed;
        }
    }
    sort_keys(&mut value);
    serde_json::to_string_pretty(&value).unwrap_or_default() + "\n"
}

fn sort_keys(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(sort_keys),
        Value::Object(fields) => {
            fields.sort_keys();
            fields.values_mut().for_each(sort_keys);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thrift::api::{ExecutorConfig, Resource};

    #[test]
    fn neighbours_make_ranges() {
        assert_eq!(
            ranges(&BTreeSet::from([0, 1, 2, 5, 7, 8])),
            "[0-2], [5], [7-8]"
        );
        assert_eq!(ranges(&BTreeSet::from([u32::MAX])), "[4294967295]");
    }

    #[test]
    fn the_order_of_sets_and_keys_does_not_matter() {
        let config = |resources, data: &str| TaskConfig {
            resources,
            executor_config: Some(ExecutorConfig {
                name: None,
                data: Some(data.to_owned()),
            }),
            ..TaskConfig::default()
        };
        let (cpu, ram) = (Resource::NumCpus(1.0), Resource::RamMb(2));
        let one = config(
            vec![cpu.clone(), ram.clone()],
            r#"{"b": 1, "a": [{"d": 1, "c": 2}]}"#,
        );
        let two = config(vec![ram, cpu], r#"{"a":[{"c":2,"d":1}],"b":1}"#);
        assert_eq!(dump(&one), dump(&two));
        let three = config(Vec::new(), r#"{"a":[{"c":2,"d":2}],"b":1}"#);
        assert_ne!(dump(&one), dump(&three));
    }
}
