use super::*;
use crate::base::rng::Rng;
use crate::model;
use crate::thrift::{Value, api};
use proptest::prelude::*;

fn key() -> api::JobKey {
    api::JobKey {
        role: Some("www".to_owned()),
        environment: Some("prod".to_owned()),
        name: Some("web".to_owned()),
    }
}

proptest! {
    #[test]
    fn what_converts_once_is_stable_from_then_on(seed: u64) {
        let config = api::TaskConfig {
            job: Some(key()),
            ..api::TaskConfig::sample(&mut Rng::from_seed(seed))
        };
        if let Ok(first) = task_config(&config) {
            let wire = task_config_to_wire(&first);
            let again = task_config(&wire).map(|mut again| {
                // Amounts too large for the model do not come back as they were.
                again.resources = first.resources;
                again
            });
            prop_assert_eq!(again, Ok(first));
        }
    }
}

#[test]
fn every_state_has_a_partner() {
    for status in api::ScheduleStatus::ALL {
        assert_eq!(status_to_wire(schedule_status(*status)), *status);
        assert_eq!(schedule_status(*status).name(), status.name());
    }
    assert_eq!(
        model::ScheduleStatus::ALL.len(),
        api::ScheduleStatus::ALL.len()
    );
}

#[test]
fn a_key_that_is_none_is_shown_as_far_as_it_is_there() {
    let bad = api::JobKey {
        name: None,
        ..key()
    };
    let error = job_key(Some(&bad)).expect_err("no name");
    assert_eq!(error.to_string(), "Job key www/prod/null is invalid.");
    let error = job_key(None).expect_err("no key");
    assert_eq!(error.to_string(), "Job key null is invalid.");
    let long = api::JobKey {
        name: Some("x".repeat(256)),
        ..key()
    };
    assert!(job_key(Some(&long)).is_err());
}

#[test]
fn negative_instances_name_nobody_rather_than_everybody() {
    let ids = instance_ids(&[-1, 3]);
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&3) && ids.contains(&u32::MAX));
}

#[test]
fn resources_keep_thousandths_of_a_core_and_the_names_of_ports() {
    let config = api::TaskConfig {
        job: Some(key()),
        resources: vec![
            api::Resource::NamedPort("http".to_owned()),
            api::Resource::NumCpus(0.1),
            api::Resource::NumGpus(0),
            api::Resource::RamMb(128),
        ],
        ..api::TaskConfig::default()
    };
    let config = task_config(&config).expect("a key is all it needs");
    assert_eq!(config.resources.cpus, model::MilliCpus(100));
    assert_eq!((config.resources.ports, config.names_gpus), (1, true));
    let expected = [
        api::Resource::NumCpus(0.1),
        api::Resource::RamMb(128),
        api::Resource::DiskMb(0),
        api::Resource::NamedPort("http".to_owned()),
        api::Resource::NumGpus(0),
    ];
    assert_eq!(task_config_to_wire(&config).resources, expected);
}
