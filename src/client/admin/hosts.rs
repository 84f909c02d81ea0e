//! Machines in and out of service.

use super::command::Given;
use super::{Admin, Ran, fail};
use crate::client::duration::Span;
use crate::client::exit::CommandError;
use crate::client::scheduler::Repeat;
use crate::thrift::api::{
    HostStatus, Hosts, MaintenanceMode, PercentageSlaPolicy, ResponseResult, SlaPolicy,
};
use crate::thrift::service::{
    DrainHosts, EndMaintenance, MaintenanceStatus, Request, SlaDrainHosts, StartMaintenance,
};
use std::collections::BTreeSet;

/// The lines of a file, without empty ones.
pub(super) fn lines(path: &str) -> Result<BTreeSet<String>, CommandError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| fail(format!("cannot read {path}: {error}")))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(str::to_owned).collect())
}

/// The names in a list.
pub(super) fn listed(text: &str) -> BTreeSet<String> {
    let names = text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// The hosts that a command is about.
pub(super) fn named(given: &Given) -> Result<BTreeSet<String>, CommandError> {
    let hosts = match (given.option("filename"), given.option("hosts")) {
        (Some(file), None) => lines(file)?,
        (None, Some(hosts)) => listed(hosts),
        (None, None) | (Some(_), Some(_)) => {
            return Err(fail("Please specify either --filename or --hosts"));
        }
    };
    match hosts.is_empty() {
        true => Err(fail("No valid hosts found.")),
        false => Ok(hosts),
    }
}

fn wire(hosts: &BTreeSet<String>) -> Option<Hosts> {
    Some(Hosts {
        host_names: hosts.iter().cloned().collect(),
    })
}

fn statuses(result: Option<ResponseResult>) -> Vec<HostStatus> {
    match result {
        Some(ResponseResult::StartMaintenanceResult(found)) => found.statuses,
        Some(ResponseResult::DrainHostsResult(found)) => found.statuses,
        Some(ResponseResult::MaintenanceStatusResult(found)) => found.statuses,
        Some(ResponseResult::EndMaintenanceResult(found)) => found.statuses,
        _ => Vec::new(),
    }
}

impl Admin<'_, '_> {
    fn on_hosts(
        &mut self,
        request: &Request,
        repeat: Repeat,
    ) -> Result<Vec<HostStatus>, CommandError> {
        Ok(statuses(self.call(request, repeat)?))
    }

    pub(super) fn start_maintenance(
        &mut self,
        hosts: &BTreeSet<String>,
    ) -> Result<Vec<HostStatus>, CommandError> {
        let hosts = wire(hosts);
        let request = Request::StartMaintenance(Box::new(StartMaintenance { hosts }));
        self.on_hosts(&request, Repeat::Always)
    }

    pub(super) fn drain_hosts(
        &mut self,
        hosts: &BTreeSet<String>,
    ) -> Result<Vec<HostStatus>, CommandError> {
        let hosts = wire(hosts);
        self.on_hosts(
            &Request::DrainHosts(Box::new(DrainHosts { hosts })),
            Repeat::Always,
        )
    }

    pub(super) fn maintenance_status(
        &mut self,
        hosts: &BTreeSet<String>,
    ) -> Result<Vec<HostStatus>, CommandError> {
        let hosts = wire(hosts);
        let request = Request::MaintenanceStatus(Box::new(MaintenanceStatus { hosts }));
        self.on_hosts(&request, Repeat::Always)
    }

    /// Warns of hosts that the scheduler says nothing of.
    pub(super) fn warn_of_unknown(&mut self, hosts: &BTreeSet<String>, known: &[HostStatus]) {
        let known: BTreeSet<&str> = known.iter().filter_map(|s| s.host.as_deref()).collect();
        let unknown = hosts.iter().filter(|host| !known.contains(host.as_str()));
        let unknown: Vec<&str> = unknown.map(String::as_str).collect();
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            self.warn(&format!(
                "Skipping maintenance for unknown hosts: {unknown}"
            ));
        }
    }
}

/// The name of a mode.
pub(super) fn mode(status: &HostStatus) -> &'static str {
    status.mode.map_or("UNKNOWN", MaintenanceMode::name)
}

pub(super) fn deactivate(admin: &mut Admin<'_, '_>, given: &Given) -> Ran {
    let hosts = named(given)?;
    let known = admin.start_maintenance(&hosts)?;
    admin.warn_of_unknown(&hosts, &known);
    Ok(())
}

pub(super) fn activate(admin: &mut Admin<'_, '_>, given: &Given) -> Ran {
    let hosts = named(given)?;
    let request = Request::EndMaintenance(Box::new(EndMaintenance {
        hosts: wire(&hosts),
    }));
    admin.on_hosts(&request, Repeat::Always)?;
    let known = admin.maintenance_status(&hosts)?;
    admin.warn_of_unknown(&hosts, &known);
    for status in known {
        if status.mode != Some(MaintenanceMode::None) {
            let (host, mode) = (status.host.clone().unwrap_or_default(), mode(&status));
            admin.warn(&format!(
                "{host} is not in service again: it is in state {mode}"
            ));
        }
    }
    Ok(())
}

pub(super) fn status(admin: &mut Admin<'_, '_>, given: &Given) -> Ran {
    let hosts = named(given)?;
    let mut known = admin.maintenance_status(&hosts)?;
    known.sort_by(|a, b| a.host.cmp(&b.host));
    for status in &known {
        let host = status.host.clone().unwrap_or_default();
        admin.info(&format!("{host} is in state: {}", mode(status)));
    }
    admin.warn_of_unknown(&hosts, &known);
    Ok(())
}

pub(super) fn sla_drain(admin: &mut Admin<'_, '_>, given: &Given) -> Ran {
    let hosts = named(given)?;
    let percentage = given.number::<f64>("default_percentage")?.unwrap_or(95.0);
    let span = |name: &str, default: u64| -> Result<i64, CommandError> {
        let text = given.option(name);
        let span = text.map(str::parse::<Span>).transpose();
        let span = span.map_err(|error| fail(format!("--{name}: {error}")))?;
        let seconds = span.map_or(default, |span| span.0);
        Ok(i64::try_from(seconds).unwrap_or(i64::MAX))
    };
    let policy = PercentageSlaPolicy {
        percentage,
        duration_secs: span("default_duration", 30 * 60)?,
    };
    let request = Request::SlaDrainHosts(Box::new(SlaDrainHosts {
        hosts: wire(&hosts),
        default_sla_policy: Some(SlaPolicy::PercentageSlaPolicy(policy)),
        timeout_secs: span("force_drain_timeout", 7 * 86_400)?,
    }));
    let known = admin.on_hosts(&request, Repeat::Always)?;
    admin.warn_of_unknown(&hosts, &known);
    Ok(())
}
