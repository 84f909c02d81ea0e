//! Flags of the scheduler about tiers and about which machine is taken.

use super::exit::Failure;
use super::flags::Values;
use crate::domain::placement::OfferOrder;
use crate::domain::tier::{Tier, Tiers};
use crate::scheduler::EngineOptions;
use crate::scheduler::engine::RevocableRules;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;

/// The tiers of `-tier_config`, or the usual ones.
///
/// # Errors
///
/// A file that cannot be read or says something else than tiers.
pub(super) fn tiers(flags: &Values) -> Result<Tiers, Failure> {
    let Some(path) = flags.text("tier_config") else {
        return Ok(Tiers::default());
    };
    let wrong = |why: String| Failure::new(format!("-tier_config={path}: {why}"));
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    parse(&text).map_err(wrong)
}

fn parse(text: &str) -> Result<Tiers, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let file = value.as_object().ok_or("expected a JSON object")?;
    known(file, &["default", "tiers"], "the file")?;
    let default = file.get("default").and_then(Value::as_str);
    let default = default.ok_or("expected \"default\", the name of a tier")?;
    let named = file.get("tiers").and_then(Value::as_object);
    let named = named.ok_or("expected \"tiers\", an object of tiers by name")?;
    let mut tiers = BTreeMap::new();
    for (name, value) in named {
        let properties = value.as_object();
        let properties = properties.ok_or_else(|| format!("tier {name} is no object"))?;
        known(properties, &["preemptible", "revocable"], name)?;
        let is = |property: &str| match properties.get(property) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(format!("tier {name}: {property} is neither true nor false")),
        };
        let tier = Tier {
            preemptible: is("preemptible")?,
            revocable: is("revocable")?,
        };
        tiers.insert(name.clone(), tier);
    }
    Tiers::new(default, tiers)
        .ok_or_else(|| format!("the default, {default}, is none of the tiers"))
}

/// Checks that an object has no properties but these.
fn known(object: &Map<String, Value>, names: &[&str], whose: &str) -> Result<(), String> {
    match object.keys().find(|key| !names.contains(&key.as_str())) {
        Some(key) => Err(format!(
            "{whose} has a property {key}; known are {}",
            names.join(" and ")
        )),
        None => Ok(()),
    }
}

/// Sets what these flags say.
///
/// # Errors
///
/// A value that is none.
pub(super) fn apply(
    flags: &Values,
    tiers: &Tiers,
    options: &mut EngineOptions,
) -> Result<(), Failure> {
    options.tiers = tiers.clone();
    options.revocable = RevocableRules {
        receive: flags.is_on("receive_revocable_resources"),
        cpus: flags.is_on("enable_revocable_cpus"),
        ram: flags.is_on("enable_revocable_ram"),
    };
    let order = flags.text("offer_order").unwrap_or_default();
    options.offer_order = OfferOrder::parse(order)
        .map_err(|why| Failure::new(format!("-offer_order={order}: {why}")))?;
    options.max_startup_delay = flags.time("max_reschedule_task_delay_on_startup");
    let rate = flags.float("max_schedule_attempts_per_sec");
    // At least one a second; the cast saturates.
    options.max_attempts_per_sec = rate.ceil() as u32;
    Ok(())
}

/// What is to be said of flags that work only in part.
pub(super) fn warnings(flags: &Values) -> Option<String> {
    flags.text("mesos_master_address").map(|_| {
        let delay = flags.text("max_registration_delay").unwrap_or_default();
        format!(
            "-mesos_master_address: this version speaks to no Mesos master yet; agents are not served, and \
             the scheduler ends {delay} after it begins to lead. Remove the flag to use our own agents"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::flags::SCHEDULER_FLAGS;

    #[test]
    fn a_file_of_tiers_is_read_as_upstreams() {
        let text = r#"{"default": "cheap", "tiers": {
            "gold": {"preemptible": false, "revocable": false},
            "cheap": {"preemptible": true}}}"#;
        let tiers = parse(text).unwrap();
        assert_eq!(tiers.default_name(), "cheap");
        assert!(tiers.get("gold").unwrap().is_production());
        let cheap = tiers.get("cheap").unwrap();
        assert!(cheap.preemptible && !cheap.revocable);
        assert_eq!(tiers.iter().count(), 2);
    }

    #[test]
    fn what_is_no_file_of_tiers_is_refused_with_what_is_wrong() {
        for (text, part) in [
            ("", "EOF"),
            ("[]", "object"),
            (r#"{"tiers": {}}"#, "default"),
            (r#"{"default": "a"}"#, "tiers"),
            (r#"{"default": "a", "tiers": {}}"#, "none of the tiers"),
            (
                r#"{"default": "a", "tiers": {"a": {}}, "x": 1}"#,
                "property x",
            ),
            (
                r#"{"default": "a", "tiers": {"a": {"cheap": true}}}"#,
                "cheap",
            ),
            (
                r#"{"default": "a", "tiers": {"a": {"revocable": 1}}}"#,
                "revocable",
            ),
            (r#"{"default": "a", "tiers": {"a": true}}"#, "no object"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }

    #[test]
    fn flags_of_placing_reach_the_engine() {
        let args = [
            "-offer_order=MEMORY,CPU",
            "-receive_revocable_resources=true",
            "-enable_revocable_ram=true",
            "-max_schedule_attempts_per_sec=0.5",
            "-max_reschedule_task_delay_on_startup=3secs",
        ];
        let args = args.map(str::to_owned);
        let flags = Values::parse(SCHEDULER_FLAGS, &args).unwrap();
        let mut options = EngineOptions::default();
        apply(&flags, &tiers(&flags).unwrap(), &mut options).unwrap();
        assert_eq!(options.offer_order, [OfferOrder::Memory, OfferOrder::Cpu]);
        assert!(options.revocable.receive && options.revocable.cpus && options.revocable.ram);
        assert_eq!(options.max_attempts_per_sec, 1);
        assert_eq!(options.max_startup_delay.as_secs(), 3);
        let wrong = ["-offer_order=CPUS".to_owned()];
        let flags = Values::parse(SCHEDULER_FLAGS, &wrong).unwrap();
        assert!(apply(&flags, &Tiers::default(), &mut options).is_err());
    }
}
