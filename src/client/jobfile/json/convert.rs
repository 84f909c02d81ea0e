//! From a rendered job to what the API takes: the same as `loader/convert.py`.

use super::node::Misfit;
use super::pyjson;
use crate::client::jobfile::config::{
    CollisionPolicy, JobConfig, JobConstraint, JobContainer, JobExecutor, JobImage, JobPair,
    JobPartitionPolicy, JobResource, JobSlaPolicy, JobTask, JobTaskConstraint, JobVolume,
    VolumeMode,
};
use serde_json::Value;
use std::collections::BTreeSet;

const MIB: i64 = 1024 * 1024;

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn optional_text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn whole(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A number of 32 bits; the field of an error is seen from the job.
fn int32(job: &Value, name: &str, lowest: i32) -> Result<i32, Misfit> {
    let value = whole(&job[name]);
    i32::try_from(value)
        .ok()
        .filter(|value| *value >= lowest)
        .ok_or_else(|| Misfit::new(format!(".{name}"), format!("{value} is out of range")))
}

/// The configuration of a job that has been checked; `ports` are those it asks for.
pub(super) fn config(job: &Value, user: &str, ports: &[String]) -> Result<JobConfig, Misfit> {
    Ok(JobConfig {
        owner: user.to_owned(),
        cron_schedule: optional_text(&job["cron_schedule"]),
        cron_collision_policy: collision_policy(&job["cron_collision_policy"])?,
        instance_count: int32(job, "instances", 1)?,
        task_config: JobTask {
            is_service: job["service"] == true,
            priority: int32(job, "priority", -i32::MAX)?,
            max_task_failures: int32(job, "max_task_failures", -i32::MAX)?,
            production: job["production"] == true,
            tier: optional_text(&job["tier"]),
            contact_email: optional_text(&job["contact"]),
            resources: resources(&job["task"]["resources"], ports)?,
            constraints: constraints(&job["constraints"])?,
            metadata: metadata(&job["metadata"]),
            partition_policy: job
                .get("partition_policy")
                .map(|policy| JobPartitionPolicy {
                    reschedule: policy["reschedule"] == true,
                    delay_secs: whole(&policy["delay_secs"]),
                }),
            sla_policy: job.get("sla_policy").map(sla_policy),
            container: container(job.get("container")),
            executor_config: executor(job),
        },
    })
}

fn collision_policy(value: &Value) -> Result<CollisionPolicy, Misfit> {
    match text(value).to_uppercase().as_str() {
        "KILL_EXISTING" => Ok(CollisionPolicy::KillExisting),
        "CANCEL_NEW" => Ok(CollisionPolicy::CancelNew),
        "RUN_OVERLAP" => Ok(CollisionPolicy::RunOverlap),
        other => Err(Misfit::new(
            ".cron_collision_policy",
            format!("expected one of KILL_EXISTING, CANCEL_NEW, RUN_OVERLAP, got '{other}'"),
        )),
    }
}

fn resources(got: &Value, ports: &[String]) -> Result<Vec<JobResource>, Misfit> {
    if got.is_null() {
        return Err(Misfit::new(".task.resources", "is required and not set"));
    }
    let cpu = got["cpu"].as_f64().unwrap_or_default();
    let (ram, disk) = (whole(&got["ram"]) / MIB, whole(&got["disk"]) / MIB);
    for (name, enough, least) in [
        ("cpu", cpu > 0.0, "more than 0"),
        ("ram", ram > 0, "at least 1 MB"),
        ("disk", disk > 0, "at least 1 MB"),
    ] {
        if !enough {
            return Err(Misfit::new(
                format!(".task.resources.{name}"),
                format!("must be {least}, is {}", pyjson::text(&got[name])),
            ));
        }
    }
    let mut resources = vec![
        JobResource::NumCpus(cpu),
        JobResource::RamMb(ram),
        JobResource::DiskMb(disk),
    ];
    let gpus = whole(&got["gpu"]);
    resources.extend((gpus > 0).then_some(JobResource::NumGpus(gpus)));
    resources.extend(ports.iter().cloned().map(JobResource::NamedPort));
    Ok(resources)
}

fn constraints(given: &Value) -> Result<Vec<JobConstraint>, Misfit> {
    let mut constraints = Vec::new();
    for (name, value) in given.as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        let limit = value
            .strip_prefix("limit:")
            .filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
        let constraint = if let Some(digits) = limit {
            let limit = digits.parse().map_err(|_| {
                let message = format!("{digits} is out of range");
                Misfit::new(format!(".constraints[{name}]"), message)
            })?;
            JobTaskConstraint::Limit { limit }
        } else {
            let words = value.strip_prefix('!');
            JobTaskConstraint::Value {
                negated: words.is_some(),
                values: words
                    .unwrap_or(value)
                    .split(',')
                    .map(str::to_owned)
                    .collect(),
            }
        };
        constraints.push(JobConstraint {
            name: name.clone(),
            constraint,
        });
    }
    Ok(constraints)
}

fn metadata(given: &Value) -> Vec<JobPair> {
    let pairs: BTreeSet<_> = items(given).map(|one| pair(one, "key")).collect();
    pairs.into_iter().collect()
}

fn pair(value: &Value, key: &str) -> JobPair {
    JobPair {
        key: text(&value[key]),
        value: text(&value["value"]),
    }
}

fn sla_policy(policy: &Value) -> JobSlaPolicy {
    let duration_secs = whole(&policy["duration_secs"]);
    if let Some(percentage) = policy["percentage"].as_f64() {
        JobSlaPolicy::PercentageSlaPolicy {
            percentage,
            duration_secs,
        }
    } else if let Some(count) = policy["count"].as_i64() {
        JobSlaPolicy::CountSlaPolicy {
            count,
            duration_secs,
        }
    } else {
        JobSlaPolicy::CoordinatorSlaPolicy {
            coordinator_url: text(&policy["coordinator_url"]),
            status_key: text(&policy["status_key"]),
        }
    }
}

fn container(given: Option<&Value>) -> JobContainer {
    let Some(given) = given else {
        return JobContainer::Mesos {
            image: None,
            volumes: Vec::new(),
        };
    };
    let given = given.get("docker").unwrap_or(given);
    if let Some(image) = given["image"].as_str() {
        return JobContainer::Docker {
            image: image.to_owned(),
            parameters: items(&given["parameters"])
                .map(|one| pair(one, "name"))
                .collect(),
        };
    }
    JobContainer::Mesos {
        image: given.get("image").map(image),
        volumes: items(&given["volumes"]).map(volume).collect(),
    }
}

fn image(image: &Value) -> JobImage {
    let name = text(&image["name"]);
    match optional_text(&image["image_id"]) {
        Some(image_id) => JobImage::Appc { name, image_id },
        None => JobImage::Docker {
            name,
            tag: text(&image["tag"]),
        },
    }
}

fn volume(volume: &Value) -> JobVolume {
    JobVolume {
        container_path: text(&volume["container_path"]),
        host_path: text(&volume["host_path"]),
        mode: if volume["mode"] == "RW" {
            VolumeMode::ReadWrite
        } else {
            VolumeMode::ReadOnly
        },
    }
}

fn executor(job: &Value) -> JobExecutor {
    let config = &job["executor_config"];
    let name = text(&config["name"]);
    if name != crate::client::jobfile::AURORA_EXECUTOR {
        return JobExecutor {
            name,
            data: text(&config["data"]),
        };
    }
    let mut inner = job.clone();
    if let Some(members) = inner.as_object_mut() {
        members.retain(|name, _| name != "instances" && name != "update_config");
    }
    JobExecutor {
        name,
        data: pyjson::dumps(&inner),
    }
}
