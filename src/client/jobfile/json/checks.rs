//! Rules about values that go together: the same as `loader/checks.py`.

use super::node::Misfit;
use super::ports::End;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Characters of the parts of a job key.
pub(super) fn check_identifiers(job: &Value) -> Result<(), Misfit> {
    for name in ["role", "environment", "name"] {
        let value = job[name].as_str().unwrap_or_default();
        let legal = |c: char| c.is_alphanumeric() || "_-.".contains(c);
        if value.is_empty() || !value.chars().all(legal) {
            return Err(Misfit::new(
                format!(".{name}"),
                format!("'{value}' may hold only letters, digits, and . _ -"),
            ));
        }
    }
    Ok(())
}

/// What announcing asks of the ports.
pub(super) fn check_announce(
    job: &Value,
    referenced: &BTreeSet<String>,
    ends: &BTreeMap<String, End>,
    warnings: &mut Vec<String>,
) -> Result<(), Misfit> {
    let Some(announce) = job.get("announce") else {
        return Ok(());
    };
    let primary = announce["primary_port"].as_str().unwrap_or_default();
    if !referenced.contains(primary) && !ends.contains_key(primary) {
        warnings.push(format!(
            "announced port {primary} is neither used by a process nor in the portmap"
        ));
    }
    let fixed = ends.values().any(|end| *end == End::Number);
    if fixed && job["constraints"].get("dedicated").is_none() {
        return Err(Misfit::new(
            ".announce.portmap",
            "fixed port numbers need a host of their own: a constraint 'dedicated'",
        ));
    }
    Ok(())
}

/// What upstream's client ends with status 1 for, and the warnings.
pub(super) fn check_rules(job: &Value, warnings: &mut Vec<String>) -> Result<(), Misfit> {
    let allowed = whole(&job["update_config"]["max_total_failures"]);
    let instances = whole(&job["instances"]);
    let field = ".update_config.max_total_failures";
    if allowed >= instances {
        let message =
            format!("must be less than the number of instances, {instances}, is {allowed}");
        return Err(Misfit::new(field, message));
    }
    let least = instances / 50;
    if job["constraints"].get("dedicated").is_some() && allowed < least {
        let message = format!(
            "must be at least 2 % of the instances ({least}) on dedicated hosts, is {allowed}"
        );
        return Err(Misfit::new(field, message));
    }
    for (part, name) in [
        ("update_config", "watch_secs"),
        ("health_check_config", "max_consecutive_failures"),
        ("health_check_config", "min_consecutive_successes"),
        ("health_check_config", "initial_interval_secs"),
        ("health_check_config", "interval_secs"),
    ] {
        let value = &job[part][name];
        if value.as_f64().is_some_and(|number| number < 0.0) {
            return Err(Misfit::new(
                format!(".{part}.{name}"),
                format!("must not be negative, is {value}"),
            ));
        }
    }
    if job["production"] == true && job.get("tier").is_none() {
        let part = |name: &str| job[name].as_str().unwrap_or_default();
        warnings.push(format!(
            "{}/{}/{}/{}: `production` is deprecated; set `tier` instead, for example tier = \
             'preferred'",
            part("cluster"),
            part("role"),
            part("environment"),
            part("name")
        ));
    }
    Ok(())
}

fn whole(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}
