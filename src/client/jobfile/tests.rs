//! Loading with a real `python3`.

use super::*;
use std::path::Path;

fn request(file: &str) -> LoadRequest {
    LoadRequest {
        file: Path::new(env!("CARGO_MANIFEST_DIR")).join(file),
        bindings: Vec::new(),
        select: None,
        read_json: false,
        user: "me".to_owned(),
    }
}

fn example(name: &str) -> LoadRequest {
    request(&format!("packaging/examples/{name}"))
}

#[test]
fn the_first_example_becomes_a_service() {
    let answer = load(&example("hello_world.aurora")).unwrap();
    let [job] = answer.jobs.as_slice() else {
        panic!("{answer:?}");
    };
    assert_eq!(job.key.cluster, "local");
    assert_eq!(job.key.name, "hello_world");
    let config = &job.config;
    assert_eq!(config.owner, "me");
    assert!(config.task_config.is_service);
    assert_eq!(
        config.task_config.resources,
        [
            JobResource::NumCpus(0.1),
            JobResource::RamMb(16),
            JobResource::DiskMb(16)
        ]
    );
    let update = job.update.as_ref().unwrap();
    assert_eq!(update.min_wait_in_instance_running_ms, 5000);
    assert_eq!(
        update.update_strategy,
        UpdateStrategy::QueueStrategy { group_size: 1 }
    );
}

#[test]
fn every_shape_of_the_answer_is_understood() {
    let answer = load(&request("tests/loader/cases/everything.aurora")).unwrap();
    let tasks: Vec<_> = answer
        .jobs
        .iter()
        .map(|job| &job.config.task_config)
        .collect();
    assert!(matches!(tasks[0].container, JobContainer::Docker { .. }));
    assert!(matches!(
        tasks[1].container,
        JobContainer::Mesos {
            image: Some(JobImage::Docker { .. }),
            ..
        }
    ));
    assert!(matches!(
        tasks[2].container,
        JobContainer::Mesos {
            image: Some(JobImage::Appc { .. }),
            ..
        }
    ));
    assert!(matches!(
        tasks[0].sla_policy,
        Some(JobSlaPolicy::CountSlaPolicy { .. })
    ));
    assert!(matches!(
        tasks[1].sla_policy,
        Some(JobSlaPolicy::PercentageSlaPolicy { .. })
    ));
    assert!(matches!(
        tasks[2].sla_policy,
        Some(JobSlaPolicy::CoordinatorSlaPolicy { .. })
    ));
    assert_eq!(
        tasks[0].constraints,
        [
            JobConstraint {
                name: "dedicated".to_owned(),
                constraint: JobTaskConstraint::Value {
                    negated: false,
                    values: vec!["web/*".to_owned()]
                }
            },
            JobConstraint {
                name: "host".to_owned(),
                constraint: JobTaskConstraint::Limit { limit: 2 }
            },
            JobConstraint {
                name: "rack".to_owned(),
                constraint: JobTaskConstraint::Value {
                    negated: true,
                    values: vec!["a".to_owned(), "b".to_owned()]
                }
            },
        ]
    );
    assert_eq!(
        answer.jobs[1].config.cron_collision_policy,
        CollisionPolicy::CancelNew
    );
    let strategies: Vec<_> = answer
        .jobs
        .iter()
        .map(|job| job.update.as_ref().unwrap().update_strategy.clone())
        .collect();
    assert!(matches!(
        strategies[0],
        UpdateStrategy::VarBatchStrategy { .. }
    ));
    assert!(matches!(
        strategies[1],
        UpdateStrategy::BatchStrategy { .. }
    ));
    assert!(matches!(
        strategies[2],
        UpdateStrategy::QueueStrategy { .. }
    ));
}

#[test]
fn a_job_is_selected_and_bound_and_listed() {
    let mut request = example("profiles.aurora");
    let keys = list(&request).unwrap();
    assert_eq!(keys.len(), 2);
    request.select = Some(keys[1].clone());
    request
        .bindings
        .push(("profile.instances".to_owned(), "7".to_owned()));
    let answer = load(&request).unwrap();
    assert_eq!(answer.jobs.len(), 1);
    assert_eq!(answer.jobs[0].key, keys[1]);
    assert_eq!(answer.jobs[0].config.instance_count, 7);
}

#[test]
fn an_error_names_file_line_and_field() {
    let error = load(&request("tests/loader/cases/bad_ram.aurora")).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("bad_ram.aurora:8: Job.task.resources.ram: "),
        "{text}"
    );
    assert_eq!(error.exit_status(), 3);
}

#[test]
fn tiers_are_filled_in_job_and_data_alike() {
    let tier = |preemptible: &str, revocable: &str| {
        TierSettings::from([
            ("preemptible".to_owned(), preemptible.to_owned()),
            ("revocable".to_owned(), revocable.to_owned()),
        ])
    };
    let tiers = [
        ("revocable".to_owned(), tier("true", "true")),
        ("preferred".to_owned(), tier("false", "false")),
        ("preemptible".to_owned(), tier("true", "false")),
    ];
    let mut job = load(&example("hello_world.aurora")).unwrap().jobs.remove(0);
    job.apply_tiers("preemptible", &tiers);
    assert_eq!(job.config.task_config.tier.as_deref(), Some("preemptible"));
    assert!(!job.config.task_config.production);
    job.config.task_config.tier = Some("preferred".to_owned());
    job.apply_tiers("preemptible", &tiers);
    assert!(job.config.task_config.production);
    assert_eq!(job.job["production"], true);
    let data = &job.config.task_config.executor_config.data;
    assert!(data.contains("\"production\": true, \"role\""), "{data}");
    assert!(data.ends_with(", \"tier\": \"preemptible\"}"), "{data}");
}
