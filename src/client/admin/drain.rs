//! The drain that the client itself watches over: hosts whose jobs would suffer are left alone.

use super::command::Given;
use super::hosts::{mode, named};
use super::safety::{Domain, Limit, groups};
use super::{Admin, Ran, fail};
use crate::client::exit::CommandError;
use crate::thrift::api::MaintenanceMode;
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Jobs with fewer instances do not matter.
const MIN_COUNT: usize = 20;

/// How often hosts are looked at, and for how long.
const PAUSE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(300);

fn limit(admin: &mut Admin<'_, '_>, given: &Given) -> Result<Limit, CommandError> {
    let option = |name: &str| given.option(name);
    match (
        option("override_percentage"),
        option("override_duration"),
        option("override_reason"),
    ) {
        (None, None, None) => Limit::read("95", "30m"),
        (Some(percentage), Some(duration), Some(reason)) => {
            admin.info(&format!(
                "Limits are {percentage} % and {duration} because: {reason}"
            ));
            Limit::read(percentage, duration)
        }
        _ => Err(fail(
            "--override_percentage, --override_duration and --override_reason go together",
        )),
    }
}

pub(super) fn host_drain(admin: &mut Admin<'_, '_>, given: &Given) -> Ran {
    let hosts = named(given)?;
    let limit = limit(admin, given)?;
    let script = given.option("post_drain_script");
    if let Some(script) = script.filter(|script| !std::path::Path::new(script).is_file()) {
        return Err(fail(format!("No such file: {script}")));
    }
    admin.warn("host_drain is deprecated; use sla_host_drain");
    let known = admin.start_maintenance(&hosts)?;
    admin.warn_of_unknown(&hosts, &known);
    let mut left = BTreeSet::new();
    for group in groups(&hosts, given.option("grouping"))?.into_values() {
        let domain = Domain::load(admin, MIN_COUNT)?;
        let fates = domain.without(&group, limit, &BTreeMap::new());
        let harmed: Vec<&str> = fates
            .iter()
            .filter(|f| !f.safe)
            .map(|f| f.job.as_str())
            .collect();
        if !harmed.is_empty() {
            let (names, jobs) = (join(&group), harmed.join(", "));
            admin.info(&format!(
                "Leaving {names} alone: too little would be up of {jobs}"
            ));
            left.extend(group);
            continue;
        }
        let drained = drain(admin, &group)?;
        for host in &drained {
            if let Some(script) = script {
                run(admin, script, host);
            }
        }
        left.extend(group.difference(&drained).cloned());
    }
    if left.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = left.iter().map(String::as_str).collect();
    admin.print(&format!(
        "Hosts that were not drained: {}",
        names.join(", ")
    ));
    if let Some(path) = given.option("unsafe_hosts_file") {
        let text = format!("{}\n", names.join("\n"));
        let written = std::fs::write(path, text);
        written.map_err(|error| fail(format!("cannot write {path}: {error}")))?;
    }
    Ok(())
}

fn join(hosts: &BTreeSet<String>) -> String {
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    names.join(", ")
}

/// Drains hosts and waits for them; gives those that are empty.
fn drain(
    admin: &mut Admin<'_, '_>,
    hosts: &BTreeSet<String>,
) -> Result<BTreeSet<String>, CommandError> {
    admin.drain_hosts(hosts)?;
    let time = admin.session.world.time();
    let start = time.now();
    loop {
        let statuses = admin.maintenance_status(hosts)?;
        let drained = statuses
            .iter()
            .filter(|s| s.mode == Some(MaintenanceMode::Drained));
        let drained: BTreeSet<String> = drained.filter_map(|s| s.host.clone()).collect();
        if drained.len() == statuses.len() || time.now().since(start) >= PATIENCE {
            for status in &statuses {
                let host = status.host.clone().unwrap_or_default();
                admin.info(&format!("{host} is in state: {}", mode(status)));
            }
            return Ok(drained);
        }
        time.sleep(PAUSE);
    }
}

fn run(admin: &mut Admin<'_, '_>, script: &str, host: &str) {
    let ended = Command::new(script).arg(host).stdin(Stdio::null()).status();
    match ended {
        Ok(status) if status.success() => {}
        Ok(status) => admin.warn(&format!("{script} {host}: {status}")),
        Err(error) => admin.warn(&format!("{script} {host}: {error}")),
    }
}
