//! What this machine gives to tasks: detected, or as flags say.

use crate::model::{Attribute, MilliCpus, PortRange, Ports, Resources};
use nix::sys::statvfs::statvfs;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use thiserror::Error;

/// The ports that are given out unless a flag says otherwise.
pub const DEFAULT_PORTS: PortRange = PortRange {
    first: 31_000,
    last: 32_000,
};

/// Memory left to the system, in MiB; on small machines half of all.
const RAM_HEADROOM_MB: i64 = 1_024;

/// Disk left to the system, in MiB; on small disks half of all.
const DISK_HEADROOM_MB: i64 = 5 * 1_024;

/// A flag's text that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{item}' in '{text}': want {expected}")]
pub struct SpecError {
    item: String,
    text: String,
    expected: &'static str,
}

/// What a flag says of the machine; what it does not name is detected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceSpec {
    cpus: Option<MilliCpus>,
    ram_mb: Option<i64>,
    disk_mb: Option<i64>,
    gpus: Option<i64>,
    ports: Option<Ports>,
}

const RESOURCE: &str =
    "cpus:N, mem:MB, disk:MB, gpus:N or ports:[FIRST-LAST], separated by semicolons";

/// Reads resources as Mesos writes them: `cpus:2;mem:1024;disk:4096;ports:[31000-32000]`.
///
/// A role in parentheses behind a name is allowed and ignored. Empty text names nothing.
///
/// # Errors
///
/// Names the item that cannot be read.
pub fn parse_resources(text: &str) -> Result<ResourceSpec, SpecError> {
    let mut spec = ResourceSpec::default();
    for item in text.split(';').map(str::trim).filter(|i| !i.is_empty()) {
        parse_resource(item, &mut spec).ok_or_else(|| SpecError {
            item: item.to_owned(),
            text: text.to_owned(),
            expected: RESOURCE,
        })?;
    }
    Ok(spec)
}

fn parse_resource(item: &str, spec: &mut ResourceSpec) -> Option<()> {
    let (name, value) = item.split_once(':')?;
    let name = name.split('(').next()?.trim();
    let value = value.trim();
    let whole = || -> Option<i64> {
        let amount: f64 = value.parse().ok()?;
        (amount.is_finite() && amount >= 0.0).then_some(amount as i64)
    };
    match name {
        "cpus" => {
            let cores: f64 = value.parse().ok()?;
            let good = cores.is_finite() && cores >= 0.0;
            spec.cpus = Some(good.then(|| MilliCpus::from_cores(cores))?);
        }
        "mem" | "ram" => spec.ram_mb = Some(whole()?),
        "disk" => spec.disk_mb = Some(whole()?),
        "gpus" => spec.gpus = Some(whole()?),
        "ports" => spec.ports = Some(parse_ports(value)?),
        _ => return None,
    }
    Some(())
}

/// `[31000-32000, 33000-33010]`, in any order; ranges that touch or overlap become one.
fn parse_ports(value: &str) -> Option<Ports> {
    let inner = value.strip_prefix('[')?.strip_suffix(']')?;
    let mut ranges = Vec::new();
    for part in inner.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = PortRange {
            first: first.trim().parse().ok()?,
            last: last.trim().parse().ok()?,
        };
        (range.first <= range.last && range.first > 0).then(|| ranges.push(range))?;
    }
    ranges.sort();
    let mut merged: Vec<PortRange> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.first <= last.last.saturating_add(1) => {
                last.last = last.last.max(range.last);
            }
            _ => merged.push(range),
        }
    }
    Some(Ports(merged))
}

/// Reads attributes as Mesos writes them: `rack:a;zone:b`. A name that repeats has several values.
///
/// # Errors
///
/// Names the item that cannot be read.
pub fn parse_attributes(text: &str) -> Result<Vec<Attribute>, SpecError> {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for item in text.split(';').map(str::trim).filter(|i| !i.is_empty()) {
        let pair = item.split_once(':').map(|(n, v)| (n.trim(), v.trim()));
        let Some((name, value)) = pair.filter(|(n, v)| !n.is_empty() && !v.is_empty()) else {
            return Err(SpecError {
                item: item.to_owned(),
                text: text.to_owned(),
                expected: "name:value pairs separated by semicolons, such as rack:a;zone:b",
            });
        };
        values
            .entry(name.to_owned())
            .or_default()
            .insert(value.to_owned());
    }
    let attribute = |(name, values)| Attribute { name, values };
    Ok(values.into_iter().map(attribute).collect())
}

/// Reads what a machine may take back at any time, such as `cpus:2;mem:512`, as the attribute by which the
/// scheduler is told; `None` for nothing.
///
/// # Errors
///
/// Names the item that is neither processor time nor memory.
pub fn parse_revocable(text: &str) -> Result<Option<Attribute>, SpecError> {
    let mut values = BTreeSet::new();
    for item in text.split(';').map(str::trim).filter(|i| !i.is_empty()) {
        let error = || SpecError {
            item: item.to_owned(),
            text: text.to_owned(),
            expected: "cpus:N or mem:MB, separated by semicolons",
        };
        let mut spec = ResourceSpec::default();
        parse_resource(item, &mut spec).ok_or_else(error)?;
        let value = match spec {
            ResourceSpec {
                cpus: Some(cpus), ..
            } => format!("cpus:{}", cpus.as_cores()),
            ResourceSpec {
                ram_mb: Some(mb), ..
            } => format!("mem:{mb}"),
            _ => return Err(error()),
        };
        values.insert(value);
    }
    let name = "revocable".to_owned();
    Ok((!values.is_empty()).then_some(Attribute { name, values }))
}

/// The attributes of a machine: what a flag says, and `host` unless the flag names it.
pub fn with_host(mut attributes: Vec<Attribute>, hostname: &str) -> Vec<Attribute> {
    if attributes.iter().all(|a| a.name != "host") {
        let values = BTreeSet::from([hostname.to_owned()]);
        let name = "host".to_owned();
        attributes.insert(0, Attribute { name, values });
    }
    attributes
}

/// All that this machine gives to tasks whose files live under `work_dir`.
pub fn detect(spec: &ResourceSpec, work_dir: &Path) -> (Resources, Ports) {
    let ports = spec.ports.clone();
    let ports = ports.unwrap_or_else(|| Ports(vec![DEFAULT_PORTS]));
    let total = Resources {
        cpus: spec.cpus.unwrap_or_else(detect_cpus),
        ram_mb: spec.ram_mb.unwrap_or_else(detect_ram_mb),
        disk_mb: spec.disk_mb.unwrap_or_else(|| detect_disk_mb(work_dir)),
        ports: ports.count(),
        gpus: spec.gpus.unwrap_or(0),
    };
    (total, ports)
}

/// Leaves `headroom` to the system, or half where that is all there is.
fn after_headroom(have: i64, headroom: i64) -> i64 {
    (have - headroom).max(have / 2)
}

/// The processors that this process may use: affinity and control group are respected.
fn detect_cpus() -> MilliCpus {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    MilliCpus::from_cores(count as f64)
}

fn detect_ram_mb() -> i64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let mut total_mb = total_ram_kb(&info).unwrap_or(0) / 1024;
    // In a container the limit of its control group is nearer than the machine's memory.
    for limit in [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ] {
        let bytes = fs::read_to_string(limit).ok();
        let bytes = bytes.and_then(|text| text.trim().parse::<u64>().ok());
        if let Some(bytes) = bytes {
            total_mb = total_mb.min(i64::try_from(bytes >> 20).unwrap_or(i64::MAX));
        }
    }
    after_headroom(total_mb, RAM_HEADROOM_MB)
}

fn total_ram_kb(info: &str) -> Option<i64> {
    let line = info.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What is free where the sandboxes are.
fn detect_disk_mb(work_dir: &Path) -> i64 {
    let Ok(stat) = statvfs(work_dir) else {
        log::warn!(
            "the size of the disk under {} is unknown",
            work_dir.display()
        );
        return 0;
    };
    let bytes = u128::from(stat.blocks_available()) * u128::from(stat.fragment_size());
    after_headroom(
        i64::try_from(bytes >> 20).unwrap_or(i64::MAX),
        DISK_HEADROOM_MB,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_read_as_mesos_writes_them() {
        let text = "cpus(*):2.5;mem:1024; disk:4096;ports:[32000-32100, 31000-31500,31501-31600]";
        let (total, ports) = detect(&parse_resources(text).unwrap(), Path::new("/"));
        assert_eq!((total.cpus, total.ram_mb), (MilliCpus(2500), 1024));
        assert_eq!((total.disk_mb, total.ports), (4096, 702));
        let range = |first, last| PortRange { first, last };
        assert_eq!(ports.0, [range(31000, 31600), range(32000, 32100)]);
        for bad in [
            "cpus",
            "cpus:x",
            "cpus:-1",
            "cpus:NaN",
            "ports:31000",
            "ports:[5-4]",
            "ports:[0-9]",
            "ports:[1-70000]",
            "tapes:1",
            "[{}]",
        ] {
            assert!(parse_resources(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_no_flag_names_is_detected() {
        let (total, ports) = detect(&parse_resources("").unwrap(), Path::new("/"));
        assert!(total.cpus.0 >= 1000 && total.ram_mb > 0);
        assert_eq!(ports.0, [DEFAULT_PORTS]);
        assert_eq!(total.ports, 1001);
        assert_eq!(
            total_ram_kb("MemTotal:       2048 kB\nMemFree: 1 kB\n"),
            Some(2048)
        );
        assert_eq!(
            (after_headroom(4096, 1024), after_headroom(512, 1024)),
            (3072, 256)
        );
    }

    #[test]
    fn what_may_be_taken_back_is_processor_time_and_memory() {
        let attribute = parse_revocable("cpus:1.5;mem(*):64").unwrap().unwrap();
        let values: Vec<&str> = attribute.values.iter().map(String::as_str).collect();
        assert_eq!(attribute.name, "revocable");
        assert_eq!(values, ["cpus:1.5", "mem:64"]);
        assert_eq!(parse_revocable("").unwrap(), None);
        for text in ["disk:5", "cpus", "cpus:-1"] {
            assert!(parse_revocable(text).is_err(), "{text}");
        }
    }

    #[test]
    fn attributes_collect_values_and_know_the_host() {
        let read = parse_attributes("rack:a; zone:b;rack:c;dedicated:www/web").unwrap();
        let attributes = with_host(read, "h1");
        let text: Vec<String> = attributes
            .iter()
            .map(|a| format!("{}={:?}", a.name, a.values))
            .collect();
        assert_eq!(
            text,
            [
                r#"host={"h1"}"#,
                r#"dedicated={"www/web"}"#,
                r#"rack={"a", "c"}"#,
                r#"zone={"b"}"#
            ]
        );
        assert_eq!(
            with_host(parse_attributes("host:x").unwrap(), "h1").len(),
            1
        );
        assert!(parse_attributes("rack").is_err());
        assert!(parse_attributes(":x").is_err());
    }
}
