//! Quotas.

use super::to_json;
use crate::thrift::api::{GetQuotaResult, Resource, ResourceAggregate};
use std::fmt::Write;

/// The quota as a text of a few lines.
pub fn text(quota: &GetQuotaResult) -> String {
    let mut out = String::from("Allocated:");
    amounts(&mut out, quota.quota.as_ref());
    let sections = [
        ("Production shared pool", &quota.prod_shared_consumption),
        (
            "Production dedicated pool",
            &quota.prod_dedicated_consumption,
        ),
        (
            "Non-production shared pool",
            &quota.non_prod_shared_consumption,
        ),
        (
            "Non-production dedicated pool",
            &quota.non_prod_dedicated_consumption,
        ),
    ];
    for (name, used) in sections {
        if used.is_some() {
            write!(out, "\n{name} resources consumed:").expect("strings take all that is written");
            amounts(&mut out, used.as_ref());
        }
    }
    out
}

fn amounts(out: &mut String, aggregate: Option<&ResourceAggregate>) {
    let resources = aggregate
        .map(|a| a.resources.as_slice())
        .unwrap_or_default();
    let rank = |r: &Resource| match r {
        Resource::NumCpus(_) => 0,
        Resource::RamMb(_) => 1,
        Resource::DiskMb(_) => 2,
        Resource::NamedPort(_) => 3,
        Resource::NumGpus(_) => 4,
    };
    let mut sorted: Vec<&Resource> = resources.iter().collect();
    sorted.sort_by_key(|r| rank(r));
    for resource in sorted {
        let line = match resource {
            Resource::NumCpus(n) => format!("CPU: {n:?} core(s)"),
            Resource::RamMb(n) => format!("RAM: {n} MB"),
            Resource::DiskMb(n) => format!("Disk: {n} MB"),
            Resource::NamedPort(name) => format!("Port: {name}"),
            Resource::NumGpus(n) => format!("GPU: {n} GPU(s)"),
        };
        out.push_str("\n  ");
        out.push_str(&line);
    }
}

/// The quota as JSON on one line.
pub fn json(quota: &GetQuotaResult) -> String {
    to_json(quota).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_is_shown() {
        let some = |cpus| {
            Some(ResourceAggregate {
                resources: vec![
                    Resource::DiskMb(3),
                    Resource::NumCpus(cpus),
                    Resource::RamMb(2),
                ],
            })
        };
        let quota = GetQuotaResult {
            quota: some(2.0),
            non_prod_shared_consumption: some(0.5),
            ..GetQuotaResult::default()
        };
        let expected = "Allocated:\n  CPU: 2.0 core(s)\n  RAM: 2 MB\n  Disk: 3 MB\n\
                        Non-production shared pool resources consumed:\n  CPU: 0.5 core(s)\n  \
                        RAM: 2 MB\n  Disk: 3 MB";
        assert_eq!(text(&quota), expected);
    }
}
