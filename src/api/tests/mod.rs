//! The services over fixed tables: changes. What is read is in `look`, bytes are in `entry`.

mod entry;
mod look;

use super::*;
use crate::base::clock::Timestamp;
use crate::model;
use crate::rt::block_on;
use crate::scheduler::SubmitError;
use crate::scheduler::handle::{Command, PendingGroup, View};
use crate::storage::{Op, Reply, Tables};
use crate::thrift::api::*;
use crate::thrift::message::{decode_reply, encode_call};
use crate::thrift::protocol::plain_json;
use crate::thrift::service::*;
use crate::thrift::{Protocol, convert};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) fn key(name: &str) -> JobKey {
    JobKey {
        role: Some("www".to_owned()),
        environment: Some("prod".to_owned()),
        name: Some(name.to_owned()),
    }
}

pub(super) fn description(name: &str) -> JobConfiguration {
    JobConfiguration {
        key: Some(key(name)),
        owner: Some(Identity {
            user: Some("jane".to_owned()),
        }),
        task_config: Some(TaskConfig {
            job: Some(key(name)),
            resources: vec![
                Resource::NumCpus(0.5),
                Resource::RamMb(64),
                Resource::DiskMb(32),
            ],
            executor_config: Some(ExecutorConfig {
                name: Some(AURORA_EXECUTOR_NAME.to_owned()),
                data: Some("{}".to_owned()),
            }),
            ..TaskConfig::default()
        }),
        instance_count: 3,
        ..JobConfiguration::default()
    }
}

pub(super) fn stored(name: &str) -> model::JobConfiguration {
    validate::job(&Rules::default(), &description(name)).expect("the description is good")
}

fn event(status: model::ScheduleStatus, at: i64) -> model::TaskEvent {
    model::TaskEvent {
        at: Timestamp(at),
        status,
        message: None,
        scheduler: None,
    }
}

/// Tables with these instances of `www/prod/NAME`, each in a state.
pub(super) fn tables(jobs: &[(&str, &[(u32, model::ScheduleStatus)])]) -> Tables {
    let mut tables = Tables::default();
    for (name, instances) in jobs {
        let config = stored(name).task;
        for (instance, status) in *instances {
            let id = model::TaskId::new(&format!("{name}-{instance}-{status}"));
            let add = Op::AddTasks {
                config: Arc::clone(&config),
                tasks: vec![(*instance, id)],
                event: event(*status, 1000 + i64::from(*instance)),
            };
            tables.apply(&add).expect("the id is new");
        }
    }
    tables
}

pub(super) type Seen = Arc<Mutex<Vec<(Option<String>, Command)>>>;

/// Services over fixed tables; commands are recorded and get `answer`.
pub(super) fn services(
    tables: Tables,
    view: View,
    answer: Result<Reply, SubmitError>,
) -> (Api, Seen) {
    let seen = Seen::default();
    let record = Arc::clone(&seen);
    let handle = Handle::scripted(tables, view, move |id, command| {
        record
            .lock()
            .expect("no panic holds it")
            .push((id, command));
        answer.clone()
    });
    let config = ApiConfig {
        cluster_name: "test".to_owned(),
        ..ApiConfig::default()
    };
    (Api::new(handle, config), seen)
}

pub(super) fn ask(api: &Api, request: Request) -> Response {
    match block_on(api.call(None, request)) {
        Outcome::Answer(response) => *response,
        Outcome::Unknown => panic!("outcome unknown"),
    }
}

/// What a service over `tables` answers.
fn answer(tables: Tables, request: Request) -> Response {
    let (api, _) = services(tables, View::default(), Ok(Reply::ok()));
    ask(&api, request)
}

pub(super) fn said(response: &Response) -> (ResponseCode, Vec<&str>) {
    let details = response.details.iter();
    (
        response.response_code.expect("always set"),
        details.filter_map(|d| d.message.as_deref()).collect(),
    )
}

fn create(job: JobConfiguration) -> Request {
    Request::CreateJob(Box::new(CreateJob {
        description: Some(job),
    }))
}

fn query(change: impl FnOnce(&mut TaskQuery)) -> Option<TaskQuery> {
    let mut query = TaskQuery::default();
    change(&mut query);
    Some(query)
}

fn status_of(query: Option<TaskQuery>) -> Request {
    Request::GetTasksStatus(Box::new(GetTasksStatus { query }))
}

fn tasks_in(response: Response) -> Vec<ScheduledTask> {
    match response.result {
        Some(ResponseResult::ScheduleStatusResult(found)) => found.tasks,
        other => panic!("not tasks: {other:?}"),
    }
}

use model::ScheduleStatus as State;

#[test]
fn a_good_job_becomes_one_command_and_every_answer_names_the_cluster() {
    let (api, seen) = services(Tables::default(), View::default(), Ok(Reply::ok()));
    let outcome = block_on(api.call(Some("id-1"), create(description("web"))));
    let Outcome::Answer(response) = outcome else {
        panic!("outcome unknown");
    };
    assert_eq!(said(&response), (ResponseCode::Ok, vec![]));
    assert_eq!(response.result, None);
    let cluster = response.server_info.and_then(|info| info.cluster_name);
    assert_eq!(cluster.as_deref(), Some("test"));
    let seen = seen.lock().expect("no panic holds it");
    let command = Command::CreateJob {
        job: stored("web"),
        user: "UNSECURE".to_owned(),
    };
    let content = encode_call(Protocol::Binary, 0, &create(description("web")));
    let request = request_of("id-1", &content);
    assert_eq!(*seen, [(Some(request), command)]);
    assert_eq!(stored("web").task.tier.as_deref(), Some("preemptible"));
}

#[test]
fn a_job_that_is_not_good_is_refused_without_a_command() {
    let cases: [(fn(&mut JobConfiguration), &str); 8] = [
        (
            |job| job.task_config = None,
            "Job configuration must have taskConfig set.",
        ),
        (
            |job| job.instance_count = 0,
            "Instance count must be positive.",
        ),
        (
            |job| job.key = Some(key("a b")),
            "Job key www/prod/a b is invalid.",
        ),
        (|job| job.key = None, "Job key null is invalid."),
        (
            |job| job.owner = Some(Identity { user: None }),
            "Job user contains illegal characters: ",
        ),
        (
            |job| job.cron_schedule = Some(String::new()),
            "Cron jobs may only be created/updated by calling scheduleCronJob.",
        ),
        (
            |job| job.key = Some(key("other")),
            "Job key www/prod/other is not that of its task configuration, www/prod/web.",
        ),
        (
            |job| {
                let config = job.task_config.as_mut().expect("set");
                config.resources.push(Resource::RamMb(1));
            },
            "Multiple resource values are not supported for RAM",
        ),
    ];
    for (change, message) in cases {
        let (api, seen) = services(Tables::default(), View::default(), Ok(Reply::ok()));
        let mut job = description("web");
        change(&mut job);
        let response = ask(&api, create(job));
        assert_eq!(
            said(&response),
            (ResponseCode::InvalidRequest, vec![message])
        );
        assert!(seen.lock().expect("no panic holds it").is_empty());
    }
}

#[test]
fn populating_says_what_createjob_would_and_allows_cron() {
    let populate = |change: fn(&mut JobConfiguration)| {
        let mut job = description("web");
        change(&mut job);
        let args = PopulateJobConfig {
            description: Some(job),
        };
        answer(
            Tables::default(),
            Request::PopulateJobConfig(Box::new(args)),
        )
    };
    let response = populate(|job| job.cron_schedule = Some("* * * * *".to_owned()));
    let Some(ResponseResult::PopulateJobResult(result)) = response.result else {
        panic!("{response:?}");
    };
    let config = result.task_config.expect("populated");
    assert_eq!(config.tier.as_deref(), Some("preemptible"));

    let response = populate(|job| job.instance_count = -1);
    let message = "Invalid configuration: Instance count must be positive.";
    assert_eq!(
        said(&response),
        (ResponseCode::InvalidRequest, vec![message])
    );
    let response = populate(|job| {
        job.cron_schedule = Some(String::new());
        job.task_config.as_mut().expect("set").is_service = true;
    });
    assert!(said(&response).1[0].contains("A service task may not be run on a cron schedule"));
}

#[test]
fn commands_carry_what_the_client_named_and_never_more() {
    let (api, seen) = services(Tables::default(), View::default(), Ok(Reply::ok()));
    let job = model::JobKey::new("www", "prod", "web").expect("a key");
    let user = "UNSECURE".to_owned();
    ask(
        &api,
        Request::KillTasks(Box::new(KillTasks {
            job: Some(key("web")),
            instances: vec![-1],
            message: Some(String::new()),
        })),
    );
    ask(
        &api,
        Request::RestartShards(Box::new(RestartShards {
            job: Some(key("web")),
            shard_ids: vec![2, 2],
        })),
    );
    ask(
        &api,
        Request::AddInstances(Box::new(AddInstances {
            key: Some(InstanceKey {
                job_key: Some(key("web")),
                instance_id: 1,
            }),
            count: 4,
        })),
    );
    let commands: Vec<Command> = {
        let seen = seen.lock().expect("no panic holds it");
        seen.iter().map(|(_, command)| command.clone()).collect()
    };
    let expected = [
        Command::KillTasks {
            job: job.clone(),
            instances: [u32::MAX].into(),
            message: None,
            user: user.clone(),
        },
        Command::RestartShards {
            job: job.clone(),
            shards: [2].into(),
            user: user.clone(),
        },
        Command::AddInstances {
            job,
            instance: 1,
            count: 4,
            user,
        },
    ];
    assert_eq!(commands, expected);
}

#[test]
fn changes_without_sense_are_refused() {
    let restart = RestartShards {
        job: Some(key("web")),
        shard_ids: vec![],
    };
    let response = answer(Tables::default(), Request::RestartShards(Box::new(restart)));
    assert_eq!(said(&response).0, ResponseCode::Error);
    let add = AddInstances {
        key: Some(InstanceKey {
            job_key: Some(key("web")),
            instance_id: 0,
        }),
        count: 0,
    };
    let response = answer(Tables::default(), Request::AddInstances(Box::new(add)));
    let message = "Instance count must be positive.";
    assert_eq!(
        said(&response),
        (ResponseCode::InvalidRequest, vec![message])
    );
    let response = answer(Tables::default(), Request::KillTasks(Box::default()));
    let message = "Job key null is invalid.";
    assert_eq!(said(&response), (ResponseCode::Error, vec![message]));
}

#[test]
fn what_was_not_done_may_be_tried_again_and_what_is_unknown_gets_no_answer() {
    for error in [SubmitError::NotReady, SubmitError::Busy] {
        let (api, _) = services(Tables::default(), View::default(), Err(error));
        let response = ask(&api, create(description("web")));
        assert_eq!(said(&response).0, ResponseCode::ErrorTransient);
    }
    let failed = Err(SubmitError::Unknown);
    let (api, _) = services(Tables::default(), View::default(), failed);
    let outcome = block_on(api.call(None, create(description("web"))));
    assert_eq!(outcome, Outcome::Unknown);

    let body = encode_call(Protocol::Binary, 1, &create(description("web")));
    let reply = block_on(api.serve(Some(BINARY), Some(BINARY), None, &body));
    assert!(reply.close && reply.body.is_empty());
    let reply = block_on(api.serve(Some(BINARY), Some(BINARY), Some(""), &body));
    assert!(reply.close && reply.body.is_empty());
    let reply = block_on(api.serve(Some(BINARY), Some(BINARY), Some("id"), &body));
    assert!(!reply.close);
    let reply = decode_reply(Protocol::Binary, &reply.body).expect("a reply");
    let code = reply.outcome.expect("a response").response_code;
    assert_eq!(code, Some(ResponseCode::ErrorTransient));
}

#[test]
fn nothing_is_read_before_storage_is_ready() {
    let api = Api::new(Handle::unready(), ApiConfig::default());
    for request in [
        status_of(query(|_| {})),
        Request::GetJobs(Box::default()),
        Request::GetJobSummary(Box::default()),
        Request::GetRoleSummary(Box::default()),
        Request::GetQuota(Box::new(GetQuota {
            owner_role: Some("www".to_owned()),
        })),
        create(description("web")),
    ] {
        let name = request.name();
        let response = ask(&api, request);
        let expected = (ResponseCode::ErrorTransient, vec!["Storage is not READY"]);
        assert_eq!(said(&response), expected, "{name}");
    }
}

#[test]
fn calls_about_cron_jobs_become_commands() {
    let (api, seen) = services(Tables::default(), View::default(), Ok(Reply::ok()));
    let cron = || {
        let mut job = description("web");
        job.cron_schedule = Some("* * * * *".into());
        job.task_config.as_mut().expect("set").is_service = false;
        Some(job)
    };
    for request in [
        Request::ScheduleCronJob(Box::new(ScheduleCronJob {
            description: cron(),
        })),
        Request::ReplaceCronTemplate(Box::new(ReplaceCronTemplate { config: cron() })),
        Request::DescheduleCronJob(Box::new(DescheduleCronJob {
            job: Some(key("web")),
        })),
        Request::StartCronJob(Box::new(StartCronJob {
            job: Some(key("web")),
        })),
    ] {
        assert_eq!(said(&ask(&api, request)), (ResponseCode::Ok, vec![]));
    }
    let seen = seen.lock().expect("no panic holds it");
    let kinds: Vec<&str> = seen
        .iter()
        .map(|(_, command)| match command {
            Command::ScheduleCronJob { replace: true, .. } => "replace",
            Command::ScheduleCronJob { replace: false, .. } => "schedule",
            Command::DescheduleCronJob { .. } => "deschedule",
            Command::StartCronJob { .. } => "start",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["schedule", "replace", "deschedule", "start"]);
}

#[test]
fn a_cron_job_says_when_it_runs_next() {
    let mut job = stored("web");
    job.cron_schedule = Some("0 0 1 1 *".into());
    let cron = model::CronJob {
        job: Arc::new(job),
        zone: "GMT".into(),
        version: 1,
        // The first of January 2100.
        cursor: Timestamp(4_102_444_800_000),
        runs: Vec::new(),
    };
    let mut tables = Tables::default();
    tables
        .apply(&Op::SetCronJob(Arc::new(cron)))
        .expect("it fits");
    let (api, _) = services(tables, View::default(), Ok(Reply::ok()));
    let request = Request::GetJobSummary(Box::new(GetJobSummary { role: None }));
    let Some(ResponseResult::JobSummaryResult(found)) = ask(&api, request).result else {
        panic!("no summary");
    };
    assert_eq!(found.summaries.len(), 1);
    assert_eq!(found.summaries[0].next_cron_run_ms, Some(4_133_980_800_000));
}

#[test]
fn without_a_place_for_backups_there_are_none() {
    let (api, seen) = services(Tables::default(), View::default(), Ok(Reply::ok()));
    let request = Request::PerformBackup(Box::default());
    let expected = "This scheduler keeps no backups: set -backup_dir.";
    let response = ask(&api, request);
    assert_eq!(said(&response), (ResponseCode::Error, vec![expected]));
    assert!(seen.lock().expect("no panic holds it").is_empty());
}
