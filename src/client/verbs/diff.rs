//! `aurora job diff`: a file against the running job.

use crate::base::rng::Rng;
use crate::client::args::Diff;
use crate::client::convert;
use crate::client::exit::{CommandError, Exit, Outcome};
use crate::client::key::ClusterJob;
use crate::client::render::diff::{dump, ranges};
use crate::client::scheduler::{COMMAND_FAILURE, Repeat};
use crate::client::session::{JobSource, Session};
use crate::thrift::api::{ConfigGroup, ResponseResult, TaskConfig};
use crate::thrift::service::{GetConfigSummary, PopulateJobConfig, Request};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Command;

/// Says which instances would come, go, change or stay.
pub fn diff(session: &mut Session<'_, '_>, args: &Diff) -> Outcome {
    let key = &args.spec.key;
    let source = JobSource {
        file: &args.config_file,
        bind: &args.bind,
        read_json: args.read_json,
    };
    let job = session.load_job(key, &source)?;
    let configuration = convert::job_configuration(&job);
    let count = u32::try_from(configuration.instance_count).unwrap_or(0);
    let request = Request::PopulateJobConfig(Box::new(PopulateJobConfig {
        description: Some(configuration),
    }));
    let heading = (Exit::Api, COMMAND_FAILURE);
    let result = session.demand(&key.cluster, &request, Repeat::Always, heading)?;
    let local = match result {
        Some(ResponseResult::PopulateJobResult(result)) => result.task_config,
        _ => None,
    };
    let local = local.ok_or_else(|| {
        CommandError::new(
            Exit::Unknown,
            "the scheduler's reply holds no task description",
        )
    })?;
    let remote = remote_groups(session, args.from.as_ref().unwrap_or(key))?;
    let change = Change::between(&local, count, &remote, args.spec.instances.as_ref());
    show(session, &local, &change)?;
    Ok(Exit::Ok)
}

fn remote_groups(
    session: &mut Session<'_, '_>,
    key: &ClusterJob,
) -> Result<Vec<ConfigGroup>, CommandError> {
    let request = Request::GetConfigSummary(Box::new(GetConfigSummary {
        job: Some(convert::job_key(&key.job)),
    }));
    let heading = (Exit::Api, COMMAND_FAILURE);
    let result = session.demand(&key.cluster, &request, Repeat::Always, heading)?;
    Ok(match result {
        Some(ResponseResult::ConfigSummaryResult(result)) => {
            result.summary.map(|s| s.groups).unwrap_or_default()
        }
        _ => Vec::new(),
    })
}

/// What becomes of each instance.
#[derive(Debug, Default)]
struct Change {
    add: BTreeSet<u32>,
    remove: BTreeSet<u32>,
    unchanged: BTreeSet<u32>,
    /// By the description that runs now, as text.
    update: BTreeMap<String, BTreeSet<u32>>,
}

impl Change {
    fn between(
        local: &TaskConfig,
        count: u32,
        remote: &[ConfigGroup],
        only: Option<&BTreeSet<u32>>,
    ) -> Self {
        let concerned = |instance: &u32| only.is_none_or(|only| only.contains(instance));
        let wanted = dump(local);
        let mut change = Self {
            add: (0..count).filter(concerned).collect(),
            ..Self::default()
        };
        for group in remote {
            let text = group.config.as_ref().map(dump).unwrap_or_default();
            for instance in instances(group).into_iter().filter(concerned) {
                change.add.remove(&instance);
                let kind = if instance >= count {
                    &mut change.remove
                } else if text == wanted {
                    &mut change.unchanged
                } else {
                    change.update.entry(text.clone()).or_default()
                };
                kind.insert(instance);
            }
        }
        change
    }
}

fn instances(group: &ConfigGroup) -> BTreeSet<u32> {
    /// Replies are bounded by what a scheduler can hold.
    const MOST: usize = 1_000_000;
    let one = |n: i32| u32::try_from(n).unwrap_or(0);
    let all = group
        .instances
        .iter()
        .flat_map(|r| one(r.first)..=one(r.last));
    all.take(MOST).collect()
}

fn show(
    session: &mut Session<'_, '_>,
    local: &TaskConfig,
    change: &Change,
) -> Result<(), CommandError> {
    session.world.print("This job update will:");
    if !change.add.is_empty() {
        session
            .world
            .print(&format!("add instances: {}", ranges(&change.add)));
    }
    if !change.remove.is_empty() {
        session
            .world
            .print(&format!("remove instances: {}", ranges(&change.remove)));
    }
    let local = dump(local);
    for (remote, instances) in &change.update {
        session
            .world
            .print(&format!("update instances: {}", ranges(instances)));
        session.world.print("with diff:\n");
        let text = compare(&session.world.settings.diff_viewer, remote, &local)?;
        session.world.print(&text);
    }
    if !change.unchanged.is_empty() {
        session.world.print(&format!(
            "not change instances: {}",
            ranges(&change.unchanged)
        ));
    }
    Ok(())
}

/// A file that is gone when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(text: &str) -> std::io::Result<Self> {
        let name = format!("aurora-diff-{}", Rng::from_os().uuid());
        let path = std::env::temp_dir().join(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let scratch = Self(path);
        file.write_all(text.as_bytes())?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            log::debug!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// What the user's program says of two texts.
fn compare(program: &str, remote: &str, local: &str) -> Result<String, CommandError> {
    let failed = |reason: String| {
        CommandError::new(Exit::CommandFailure, format!("{program} failed: {reason}"))
    };
    let mut words = program.split_whitespace();
    let name = words
        .next()
        .ok_or_else(|| failed("no program".to_owned()))?;
    let scratch = |text: &str| Scratch::new(text).map_err(|error| failed(error.to_string()));
    let (remote, local) = (scratch(remote)?, scratch(local)?);
    let output = Command::new(name)
        .args(words)
        .args([&remote.0, &local.0])
        .stdin(std::process::Stdio::inherit())
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    // Such programs end with 1 where the files differ.
    match output.status.code() {
        Some(0 | 1) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        _ => Err(failed(output.status.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thrift::api::Range;

    #[test]
    fn instances_come_go_change_and_stay() {
        let group = |priority, first, last| ConfigGroup {
            config: Some(TaskConfig {
                priority,
                ..TaskConfig::default()
            }),
            instances: vec![Range { first, last }],
        };
        let local = group(1, 0, 0).config.unwrap();
        let remote = [group(1, 0, 1), group(2, 2, 5)];
        let change = Change::between(&local, 4, &remote, None);
        assert!(change.add.is_empty());
        assert_eq!(change.unchanged, BTreeSet::from([0, 1]));
        assert_eq!(change.remove, BTreeSet::from([4, 5]));
        assert_eq!(change.update.values().next(), Some(&BTreeSet::from([2, 3])));
        let change = Change::between(&local, 8, &remote, Some(&BTreeSet::from([0, 7])));
        assert_eq!(change.add, BTreeSet::from([7]));
        assert_eq!(change.unchanged, BTreeSet::from([0]));
        assert!(change.update.is_empty() && change.remove.is_empty());
    }

    #[test]
    fn differences_are_shown_and_failures_named() {
        let text = compare("diff -u", "a\n", "b\n").unwrap();
        assert!(text.contains("-a") && text.contains("+b"), "{text}");
        assert_eq!(compare("false", "", "").unwrap(), "");
        assert_eq!(
            compare("no-such-program", "", "").unwrap_err().exit,
            Exit::CommandFailure
        );
    }
}
