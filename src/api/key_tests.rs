//! Keys that are none, wherever a call may hold one.

use super::tests::{ask, description, key, said, services};
use crate::scheduler::View;
use crate::storage::{Reply, Tables};
use crate::thrift::Request;
use crate::thrift::api::*;
use crate::thrift::service::*;

#[test]
fn keys_that_are_none_are_errors_but_within_descriptions() {
    let (api, seen) = services(Tables::default(), View::default(), Ok(Reply::ok()));
    let bad = || Some(key("a b"));
    let update = || {
        let id = Some("x".to_owned());
        Some(JobUpdateKey { job: bad(), id })
    };
    let described = || {
        Some(JobConfiguration {
            key: bad(),
            ..description("web")
        })
    };
    let instance = InstanceKey {
        job_key: bad(),
        instance_id: 0,
    };
    let (change, error) = (ResponseCode::InvalidRequest, ResponseCode::Error);
    let calls: [(Request, ResponseCode); 14] = [
        (
            Request::CreateJob(Box::new(CreateJob {
                description: described(),
            })),
            change,
        ),
        (
            Request::PopulateJobConfig(Box::new(PopulateJobConfig {
                description: described(),
            })),
            change,
        ),
        (
            Request::ScheduleCronJob(Box::new(ScheduleCronJob {
                description: described(),
            })),
            error,
        ),
        (
            Request::ReplaceCronTemplate(Box::new(ReplaceCronTemplate {
                config: described(),
            })),
            error,
        ),
        (
            Request::DescheduleCronJob(Box::new(DescheduleCronJob { job: bad() })),
            error,
        ),
        (
            Request::StartCronJob(Box::new(StartCronJob { job: bad() })),
            error,
        ),
        (
            Request::KillTasks(Box::new(KillTasks {
                job: bad(),
                ..KillTasks::default()
            })),
            error,
        ),
        (
            Request::RestartShards(Box::new(RestartShards {
                job: bad(),
                shard_ids: vec![0],
            })),
            error,
        ),
        (
            Request::AddInstances(Box::new(AddInstances {
                key: Some(instance),
                count: 1,
            })),
            error,
        ),
        (
            Request::GetConfigSummary(Box::new(GetConfigSummary { job: bad() })),
            error,
        ),
        (
            Request::PauseJobUpdate(Box::new(PauseJobUpdate {
                key: update(),
                message: None,
            })),
            error,
        ),
        (
            Request::RollbackJobUpdate(Box::new(RollbackJobUpdate {
                key: update(),
                message: None,
            })),
            error,
        ),
        (
            Request::PulseJobUpdate(Box::new(PulseJobUpdate { key: update() })),
            error,
        ),
        (Request::KillTasks(Box::default()), error),
    ];
    for (request, code) in calls {
        let name = request.name();
        let response = ask(&api, request);
        let (found, texts) = said(&response);
        assert_eq!(found, code, "{name}: {texts:?}");
        assert!(texts[0].contains("is invalid."), "{name}: {texts:?}");
    }
    assert!(seen.lock().expect("no panic holds it").is_empty());
}
