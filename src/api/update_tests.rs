//! Methods about job updates.

use super::tests::{ask, description, key, said, services, stored, tables};
use super::*;
use crate::base::clock::Timestamp;
use crate::model;
use crate::scheduler::handle::{Command, View};
use crate::scheduler::update::{UpdateCommand, UpdateRequest};
use crate::storage::{Op, Reply, ReplyResult, Tables, UpdateOp};
use crate::thrift::api::*;
use crate::thrift::service::*;
use std::sync::Arc;

fn request(change: impl FnOnce(&mut JobUpdateRequest)) -> JobUpdateRequest {
    let mut config = description("web").task_config.unwrap();
    config.is_service = true;
    let mut request = JobUpdateRequest {
        task_config: Some(config),
        instance_count: 3,
        settings: Some(JobUpdateSettings {
            update_group_size: 1,
            rollback_on_failure: true,
            ..JobUpdateSettings::default()
        }),
        metadata: Vec::new(),
    };
    change(&mut request);
    request
}

fn start(request: JobUpdateRequest) -> Request {
    Request::StartJobUpdate(Box::new(StartJobUpdate {
        request: Some(request),
        message: Some("why".into()),
    }))
}

fn update_key(id: &str) -> model::UpdateKey {
    model::UpdateKey {
        job: stored("web").key,
        id: id.into(),
    }
}

/// Tables with a running job, and an update of it for each id, started one after the other.
fn with_updates(ids: &[(&str, model::UpdateStatus)]) -> Tables {
    let running = model::ScheduleStatus::Running;
    let mut tables = tables(&[("web", &[(0, running), (1, running), (4, running)])]);
    for (n, (id, status)) in ids.iter().enumerate() {
        let at = Timestamp(1_000 * i64::try_from(n).unwrap());
        let event = |status| model::UpdateEvent {
            at,
            status,
            user: Some("jane".into()),
            message: None,
        };
        let range = model::InstanceRange { first: 0, last: 1 };
        let settings = JobUpdateSettings {
            update_group_size: 1,
            ..JobUpdateSettings::default()
        };
        let update = Arc::new(model::JobUpdate {
            key: update_key(id),
            user: "jane".into(),
            metadata: Default::default(),
            initial: Vec::new(),
            desired: Some(model::InstanceConfig {
                config: stored("web").task,
                instances: vec![range],
            }),
            settings: crate::thrift::convert::update_settings(&settings).unwrap(),
        });
        let instance = model::InstanceUpdateEvent {
            instance: 1,
            at,
            action: model::UpdateAction::Updating,
            message: None,
        };
        let key = || update_key(id);
        let ops = [
            UpdateOp::Start {
                update,
                event: event(model::UpdateStatus::RollingForward),
            },
            UpdateOp::InstanceEvents {
                key: key(),
                events: vec![instance],
            },
            UpdateOp::Event {
                key: key(),
                event: event(*status),
            },
        ];
        for op in ops {
            tables.apply(&Op::Update(op)).unwrap();
        }
    }
    tables
}

#[test]
fn a_start_becomes_a_command_with_what_was_left_open_filled_in() {
    let key = update_key("u1");
    let answer = Reply::ok().telling(ReplyResult::Update(key));
    let tables = with_updates(&[("u1", model::UpdateStatus::RollingForward)]);
    let (api, seen) = services(tables, View::default(), Ok(answer));
    let response = ask(&api, start(request(|_| ())));
    assert_eq!(response.response_code, Some(ResponseCode::Ok));
    let Some(ResponseResult::StartJobUpdateResult(started)) = response.result else {
        panic!("no result");
    };
    assert_eq!(started.key.unwrap().id.as_deref(), Some("u1"));
    let summary = started.update_summary.unwrap();
    assert_eq!(
        (summary.user.as_deref(), &summary.state),
        (Some("jane"), &None)
    );
    let seen = seen.lock().unwrap();
    let Command::Update(UpdateCommand::Start {
        request,
        message,
        user,
    }) = &seen[0].1
    else {
        panic!("another command");
    };
    let UpdateRequest {
        config,
        instance_count,
        settings,
        ..
    } = &**request;
    assert_eq!((*instance_count, user.as_str()), (3, "UNSECURE"));
    assert_eq!(message.as_deref(), Some("why"));
    assert_eq!(config.tier.as_deref(), Some("preemptible"));
    let queue = model::UpdateStrategy::Queue { group_size: 1 };
    assert_eq!(settings.strategy, queue);
}

#[test]
fn what_is_wrong_with_an_update_is_said_in_upstreams_words() {
    fn settings(change: impl FnOnce(&mut JobUpdateSettings)) -> JobUpdateRequest {
        request(|r| change(r.settings.as_mut().unwrap()))
    }
    let variable = |group_sizes| {
        JobUpdateStrategy::VarBatchStrategy(VariableBatchJobUpdateStrategy {
            group_sizes,
            autopause_after_batch: false,
        })
    };
    let cases = [
        (
            request(|r| r.task_config.as_mut().unwrap().is_service = false),
            "Updates are not supported for non-service tasks.",
        ),
        (
            settings(|s| s.update_strategy = Some(variable(vec![1, 0]))),
            "All update group sizes must be positive.",
        ),
        (
            settings(|s| s.update_strategy = Some(variable(vec![]))),
            "Update results in no instance being modified.",
        ),
        (
            settings(|s| s.update_group_size = 0),
            "Update results in no instance being modified.",
        ),
        (
            settings(|s| s.max_per_instance_failures = -1),
            "maxPerInstanceFailures must be non-negative.",
        ),
        (
            settings(|s| s.max_failed_instances = -1),
            "maxFailedInstances must be non-negative.",
        ),
        (
            settings(|s| s.max_per_instance_failures = 6_667),
            "Your update allows too many failures to occur, consider decreasing the per-instance \
             failures or maxFailedInstances.",
        ),
        (
            settings(|s| s.min_wait_in_instance_running_ms = -1),
            "minWaitInInstanceRunningMs must be non-negative.",
        ),
        (
            settings(|s| s.block_if_no_pulses_after_ms = -1),
            "blockIfNoPulsesAfterMs must be positive.",
        ),
        (
            settings(|s| s.sla_aware = true),
            "slaAware is true, but no task slaPolicy is specified.",
        ),
        (
            request(|r| r.task_config.as_mut().unwrap().tier = Some("gold".into())),
            "Invalid tier 'gold' in TaskConfig.",
        ),
        (
            settings(|s| s.update_only_these_instances = vec![Range { first: 3, last: 1 }]),
            "Instances 3 to 1 are no range.",
        ),
    ];
    let (api, seen) = services(Tables::default(), View::default(), Ok(Reply::ok()));
    for (request, message) in cases {
        let response = ask(&api, start(request));
        assert_eq!(
            said(&response),
            (ResponseCode::InvalidRequest, vec![message])
        );
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[test]
fn the_update_that_stands_in_the_way_is_named() {
    let key = update_key("u1");
    let refused = Reply::invalid("no").telling(ReplyResult::Update(key));
    let tables = with_updates(&[("u1", model::UpdateStatus::RollForwardPaused)]);
    let (api, _) = services(tables, View::default(), Ok(refused));
    let response = ask(&api, start(request(|_| ())));
    assert_eq!(said(&response), (ResponseCode::InvalidRequest, vec!["no"]));
    let Some(ResponseResult::StartJobUpdateResult(result)) = response.result else {
        panic!("no result");
    };
    assert!(result.update_summary.is_some());
}

#[test]
fn summaries_are_found_last_changed_first() {
    use model::UpdateStatus as S;
    let tables = with_updates(&[("a", S::Failed), ("b", S::RolledForward), ("c", S::Aborted)]);
    let (api, _) = services(tables, View::default(), Ok(Reply::ok()));
    let find = |query: JobUpdateQuery| {
        let request = Request::GetJobUpdateSummaries(Box::new(GetJobUpdateSummaries {
            job_update_query: Some(query),
        }));
        let Some(ResponseResult::GetJobUpdateSummariesResult(found)) = ask(&api, request).result
        else {
            panic!("no summaries");
        };
        let ids = found.update_summaries.into_iter();
        ids.map(|s| s.key.unwrap().id.unwrap()).collect::<String>()
    };
    let query = JobUpdateQuery::default;
    assert_eq!(find(query()), "cba");
    let (offset, limit) = (1, 1);
    let page = JobUpdateQuery {
        offset,
        limit,
        ..query()
    };
    assert_eq!(find(page), "b");
    let job_key = Some(key("web"));
    let update_statuses = vec![JobUpdateStatus::Failed, JobUpdateStatus::Aborted];
    let of_job = JobUpdateQuery {
        job_key,
        update_statuses,
        role: Some("www".into()),
        user: Some("jane".into()),
        ..query()
    };
    assert_eq!(find(of_job), "ca");
    let other = JobUpdateQuery {
        role: Some("x".into()),
        ..query()
    };
    assert_eq!(find(other), "");
}

#[test]
fn details_are_found_by_query_and_by_the_old_key() {
    let tables = with_updates(&[("b", model::UpdateStatus::RolledForward)]);
    let (api, _) = services(tables, View::default(), Ok(Reply::ok()));
    let wire = |id: &str| crate::thrift::convert::update_key_to_wire(&update_key(id));
    let details = |key, query| {
        let args = GetJobUpdateDetails { key, query };
        ask(&api, Request::GetJobUpdateDetails(Box::new(args)))
    };
    let by_query = JobUpdateQuery {
        key: Some(wire("b")),
        ..JobUpdateQuery::default()
    };
    let response = details(None, Some(by_query));
    let Some(ResponseResult::GetJobUpdateDetailsResult(found)) = response.result else {
        panic!("no details");
    };
    assert!(found.details.is_none() && found.details_list.len() == 1);
    assert_eq!(found.details_list[0].update_events.len(), 2);
    assert_eq!(found.details_list[0].instance_events.len(), 1);
    let response = details(Some(wire("b")), None);
    let warning = "The key argument is deprecated, use the query argument instead";
    assert_eq!(said(&response), (ResponseCode::Ok, vec![warning]));
    let Some(ResponseResult::GetJobUpdateDetailsResult(found)) = response.result else {
        panic!("no details");
    };
    assert!(found.details.is_some());
    let response = details(Some(wire("x")), None);
    let message = "Invalid update: www/prod/web/x";
    assert_eq!(
        said(&response),
        (ResponseCode::InvalidRequest, vec![message])
    );
    let message = "Either key or query must be set.";
    assert_eq!(
        said(&details(None, None)),
        (ResponseCode::Error, vec![message])
    );
}

#[test]
fn a_diff_shows_what_an_update_would_do() {
    let (api, _) = services(with_updates(&[]), View::default(), Ok(Reply::ok()));
    let request = request(|_| ());
    let diff = Request::GetJobUpdateDiff(Box::new(GetJobUpdateDiff {
        request: Some(request),
    }));
    let Some(ResponseResult::GetJobUpdateDiffResult(diff)) = ask(&api, diff).result else {
        panic!("no diff");
    };
    let instances = |groups: &[ConfigGroup]| {
        let ranges = groups.iter().flat_map(|g| g.instances.iter());
        ranges.map(|r| (r.first, r.last)).collect::<Vec<_>>()
    };
    assert_eq!(instances(&diff.add), [(2, 2)]);
    assert_eq!(instances(&diff.remove), [(4, 4)]);
    // What runs is no service.
    assert_eq!(instances(&diff.update), [(0, 1)]);
    assert!(diff.unchanged.is_empty());
}

#[test]
fn changes_and_pulses_name_their_update() {
    let answer = Reply::ok().telling(ReplyResult::Pulse(model::PulseStatus::Finished));
    let (api, seen) = services(Tables::default(), View::default(), Ok(answer));
    let key = Some(crate::thrift::convert::update_key_to_wire(&update_key("u")));
    let response = ask(
        &api,
        Request::PulseJobUpdate(Box::new(PulseJobUpdate { key: key.clone() })),
    );
    let Some(ResponseResult::PulseJobUpdateResult(pulse)) = response.result else {
        panic!("no result");
    };
    assert_eq!(pulse.status, Some(JobUpdatePulseStatus::Finished));
    let long = Some("x".repeat(1_025));
    let pause = |key, message| Request::PauseJobUpdate(Box::new(PauseJobUpdate { key, message }));
    let response = ask(&api, pause(key.clone(), long));
    assert_eq!(response.response_code, Some(ResponseCode::Error));
    ask(&api, pause(key, None));
    let seen = seen.lock().unwrap();
    let paused = UpdateCommand::Change {
        key: update_key("u"),
        change: UpdateChange::Pause,
        message: None,
        user: "UNSECURE".into(),
    };
    assert_eq!((seen.len(), &seen[1].1), (2, &Command::Update(paused)));
}
