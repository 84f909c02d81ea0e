//! Fills in the tier of a job, in its configuration and in the executor's data alike.

use super::config::{JobTask, TierSettings};

/// Gives a job without a tier one, and a job with a tier the `production` flag that goes with it.
///
/// `job` is the whole job as JSON; `task` holds the executor's data, whose text is changed in place so
/// that every other byte of it stays: the scheduler compares it as text.
pub(super) fn apply(
    job: &mut serde_json::Value,
    task: &mut JobTask,
    default: &str,
    tiers: &[(String, TierSettings)],
) {
    match &task.tier {
        None => {
            let wanted = tiers.iter().find(|(_, settings)| {
                is_set(settings, "preemptible") != task.production && !is_set(settings, "revocable")
            });
            let tier = wanted.map_or(default, |(name, _)| name.as_str()).to_owned();
            set(job, task, "tier", &serde_json::Value::from(tier.as_str()));
            task.tier = Some(tier);
        }
        Some(tier) => {
            if let Some((_, settings)) = tiers.iter().find(|(name, _)| name == tier) {
                let production = !is_set(settings, "preemptible");
                set(
                    job,
                    task,
                    "production",
                    &serde_json::Value::from(production),
                );
                task.production = production;
            }
        }
    }
}

fn is_set(settings: &TierSettings, name: &str) -> bool {
    settings
        .get(name)
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

fn set(job: &mut serde_json::Value, task: &mut JobTask, key: &str, value: &serde_json::Value) {
    if let Some(members) = job.as_object_mut() {
        members.insert(key.to_owned(), value.clone());
        members.sort_keys();
    }
    if task.executor_config.name == super::AURORA_EXECUTOR {
        let data = &mut task.executor_config.data;
        *data = with_member(data, key, &value.to_string());
    }
}

/// A JSON object with sorted keys with one member set.
fn with_member(object: &str, key: &str, value: &str) -> String {
    let quoted = serde_json::Value::from(key).to_string();
    let member = format!("{quoted}: {value}");
    let mut members = members(object);
    match members.binary_search_by_key(&quoted.as_str(), |text| key_of(text)) {
        Ok(at) => members[at] = &member,
        Err(at) => members.insert(at, &member),
    }
    format!("{{{}}}", members.join(", "))
}

/// The key of a member, in its quotes.
fn key_of(member: &str) -> &str {
    member.split_once(':').map_or(member, |(key, _)| key)
}

/// The members of a JSON object as text.
fn members(object: &str) -> Vec<&str> {
    let inner = object
        .trim()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .unwrap_or_default();
    let mut found = Vec::new();
    let (mut depth, mut quoted, mut escaped, mut start) = (0_u32, false, false, 0);
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                found.push(inner[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    let last = inner[start..].trim();
    if !last.is_empty() {
        found.push(last);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_put_in_its_place_and_nothing_else_changes() {
        let data = r#"{"a": "x, {\"q\": 1}", "task": {"b": [1.50, 2]}, "z": 1e3}"#;
        assert_eq!(
            with_member(data, "tier", "\"preferred\""),
            r#"{"a": "x, {\"q\": 1}", "task": {"b": [1.50, 2]}, "tier": "preferred", "z": 1e3}"#
        );
        assert_eq!(
            with_member(data, "z", "true"),
            r#"{"a": "x, {\"q\": 1}", "task": {"b": [1.50, 2]}, "z": true}"#
        );
        assert_eq!(with_member("{}", "a", "1"), r#"{"a": 1}"#);
        assert_eq!(with_member("{\"b\": 2}", "a", "1"), r#"{"a": 1, "b": 2}"#);
    }
}
