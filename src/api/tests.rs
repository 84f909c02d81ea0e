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
fn tasks_are_found_by_every_restriction() {
    let all: &[(&str, &[(u32, State)])] = &[
        (
            "web",
            &[(0, State::Running), (1, State::Failed), (1, State::Pending)],
        ),
        ("db", &[(0, State::Running)]),
    ];
    let count =
        |change: fn(&mut TaskQuery)| tasks_in(answer(tables(all), status_of(query(change)))).len();
    assert_eq!(count(|_| {}), 4);
    assert_eq!(count(|q| q.role = Some("  ".to_owned())), 4);
    assert_eq!(count(|q| q.role = Some("ads".to_owned())), 0);
    assert_eq!(count(|q| q.job_name = Some("web".to_owned())), 3);
    assert_eq!(count(|q| q.statuses = vec![ScheduleStatus::Running]), 2);
    assert_eq!(count(|q| q.job_keys = vec![key("db"), key("none")]), 1);
    assert_eq!(count(|q| q.instance_ids = vec![1]), 2);
    assert_eq!(count(|q| q.instance_ids = vec![-1]), 0);
    assert_eq!(count(|q| q.task_ids = vec!["db-0-RUNNING".to_owned()]), 1);
    assert_eq!(count(|q| (q.offset, q.limit) = (1, 2)), 2);
    assert_eq!(count(|q| (q.offset, q.limit) = (-1, -2)), 4);

    let response = answer(
        tables(all),
        status_of(query(|q| q.job_keys = vec![key("a b")])),
    );
    let message = "Invalid job key format: www/prod/a b";
    assert_eq!(said(&response), (ResponseCode::Error, vec![message]));
    let response = answer(tables(all), status_of(None));
    assert_eq!(said(&response).0, ResponseCode::Error);
}

#[test]
fn tasks_without_configs_lack_the_executors_data_alone() {
    let all: &[(&str, &[(u32, State)])] = &[("web", &[(0, State::Running)])];
    let args = GetTasksWithoutConfigs {
        query: query(|_| {}),
    };
    let request = Request::GetTasksWithoutConfigs(Box::new(args));
    let mut without = tasks_in(answer(tables(all), request));
    let with = tasks_in(answer(tables(all), status_of(query(|_| {}))));
    let executor = without[0]
        .assigned_task
        .as_mut()
        .and_then(|task| task.task.as_mut())
        .and_then(|config| config.executor_config.as_mut())
        .expect("the executor's name stays");
    assert_eq!(executor.data.take(), None);
    executor.data = Some("{}".to_owned());
    assert_eq!(without, with);
}

#[test]
fn jobs_are_summed_up_from_their_tasks() {
    let all: &[(&str, &[(u32, State)])] = &[
        (
            "web",
            &[
                (0, State::Running),
                (1, State::Failed),
                (1, State::Pending),
                (2, State::Lost),
            ],
        ),
        ("old", &[(0, State::Finished), (1, State::Killed)]),
    ];
    let jobs = |role: Option<&str>| {
        let args = GetJobs {
            owner_role: role.map(str::to_owned),
        };
        let response = answer(tables(all), Request::GetJobs(Box::new(args)));
        match response.result {
            Some(ResponseResult::GetJobsResult(found)) => found.configs,
            other => panic!("not jobs: {other:?}"),
        }
    };
    let active = jobs(None);
    assert_eq!(active.len(), 1);
    assert_eq!(
        (active[0].key.clone(), active[0].instance_count),
        (Some(key("web")), 2)
    );
    assert_eq!((jobs(Some("www")), jobs(Some("ads"))), (active, vec![]));

    let args = GetJobSummary {
        role: Some("www".to_owned()),
    };
    let response = answer(tables(all), Request::GetJobSummary(Box::new(args)));
    let Some(ResponseResult::JobSummaryResult(found)) = response.result else {
        panic!("{response:?}");
    };
    let stats = |name: &str| {
        let of_job = |s: &&JobSummary| s.job.as_ref().is_some_and(|j| j.key == Some(key(name)));
        let summary = found.summaries.iter().find(of_job).expect("a summary");
        let count = summary.job.as_ref().map_or(0, |job| job.instance_count);
        (summary.stats.clone().expect("stats"), count)
    };
    let expected = JobStats {
        active_task_count: 1,
        finished_task_count: 0,
        failed_task_count: 2,
        pending_task_count: 1,
    };
    assert_eq!(stats("web"), (expected, 4));
    assert_eq!(stats("old").0.finished_task_count, 2);

    let response = answer(tables(all), Request::GetRoleSummary(Box::default()));
    let Some(ResponseResult::RoleSummaryResult(found)) = response.result else {
        panic!("{response:?}");
    };
    let expected = RoleSummary {
        role: Some("www".to_owned()),
        job_count: 2,
        cron_job_count: 0,
    };
    assert_eq!(found.summaries, [expected]);
}

#[test]
fn configs_are_summed_up_into_ranges_of_instances() {
    let running = [0, 1, 2, 5, 7, 8].map(|instance| (instance, State::Running));
    let args = GetConfigSummary {
        job: Some(key("web")),
    };
    let request = Request::GetConfigSummary(Box::new(args));
    let response = answer(tables(&[("web", &running)]), request);
    let Some(ResponseResult::ConfigSummaryResult(found)) = response.result else {
        panic!("{response:?}");
    };
    let groups = found.summary.expect("a summary").groups;
    assert_eq!(groups.len(), 1);
    let ranges: Vec<_> = groups[0]
        .instances
        .iter()
        .map(|r| (r.first, r.last))
        .collect();
    assert_eq!(ranges, [(0, 2), (5, 5), (7, 8)]);
}

#[test]
fn pending_tasks_say_why() {
    let all: &[(&str, &[(u32, State)])] = &[
        ("web", &[(0, State::Pending), (1, State::Running)]),
        ("db", &[(0, State::Pending)]),
    ];
    let view = View {
        pending: vec![PendingGroup {
            config: stored("web").task,
            tasks: vec![],
            penalty: Duration::ZERO,
            reasons: vec![
                "Insufficient: CPU".to_owned(),
                "Insufficient: RAM".to_owned(),
            ],
        }],
        ..View::default()
    };
    let (api, _) = services(tables(all), view, Ok(Reply::ok()));
    let ask_for = |change: fn(&mut TaskQuery)| {
        let args = GetPendingReason {
            query: query(change),
        };
        ask(&api, Request::GetPendingReason(Box::new(args)))
    };
    let response = ask_for(|_| {});
    let Some(ResponseResult::GetPendingReasonResult(found)) = response.result else {
        panic!("{response:?}");
    };
    let reasons: Vec<_> = found
        .reasons
        .iter()
        .filter_map(|r| r.reason.as_deref())
        .collect();
    assert_eq!(reasons, ["", "Insufficient: CPU,Insufficient: RAM"]);
    let response = ask_for(|q| q.slave_hosts = vec!["h".to_owned()]);
    assert!(said(&response).1[0].starts_with("SlaveHosts are not supported in {"));
    let response = ask_for(|q| q.statuses = vec![ScheduleStatus::Pending]);
    assert!(said(&response).1[0].starts_with("Statuses is not supported in {"));
}

#[test]
fn quota_is_three_resources_and_what_a_role_uses() {
    let all: &[(&str, &[(u32, State)])] = &[(
        "web",
        &[(0, State::Running), (1, State::Pending), (2, State::Failed)],
    )];
    let ask_for = |role: &str| {
        let args = GetQuota {
            owner_role: Some(role.to_owned()),
        };
        answer(tables(all), Request::GetQuota(Box::new(args)))
    };
    let response = ask_for("www");
    let Some(ResponseResult::GetQuotaResult(found)) = response.result else {
        panic!("{response:?}");
    };
    let zero = convert::quota_to_wire(model::Quota::default());
    assert_eq!(found.quota, Some(zero.clone()));
    assert_eq!(found.prod_shared_consumption, Some(zero));
    let used = [
        Resource::NumCpus(1.0),
        Resource::RamMb(128),
        Resource::DiskMb(64),
    ];
    let consumption = found.non_prod_shared_consumption.expect("set");
    assert_eq!(consumption.resources, used);
    assert_eq!(said(&ask_for(" ")).0, ResponseCode::Error);
}

#[test]
fn tiers_are_named_with_their_properties() {
    let response = answer(Tables::default(), Request::GetTierConfigs(Box::default()));
    let Some(ResponseResult::GetTierConfigResult(found)) = response.result else {
        panic!("{response:?}");
    };
    assert_eq!(found.default_tier_name.as_deref(), Some("preemptible"));
    let tiers: Vec<_> = found
        .tiers
        .iter()
        .map(|tier| {
            (
                tier.name.as_deref().unwrap_or(""),
                tier.settings["revocable"].as_str(),
            )
        })
        .collect();
    let expected = [
        ("preemptible", "false"),
        ("preferred", "false"),
        ("revocable", "true"),
    ];
    assert_eq!(tiers, expected);
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

#[test]
fn calls_are_counted_by_method_and_by_code() {
    let count = || {
        let stats = crate::base::stats::global();
        let work = stats.counter("scheduler_thrift_workload_getConfigSummary");
        let codes = stats.counter("scheduler_thrift_response_OK");
        (work.value(), codes.value())
    };
    let before = count();
    let args = GetConfigSummary {
        job: Some(key("web")),
    };
    let all: &[(&str, &[(u32, State)])] = &[("web", &[(0, State::Running)])];
    answer(tables(all), Request::GetConfigSummary(Box::new(args)));
    let after = count();
    assert!(after.0 > before.0 && after.1 > before.1);
}

#[test]
fn calls_are_answered_in_the_protocol_that_accept_names() {
    let (api, _) = services(Tables::default(), View::default(), Ok(Reply::ok()));
    let request = Request::GetTierConfigs(Box::default());
    let media = [
        (Protocol::Binary, BINARY),
        (Protocol::Compact, COMPACT),
        (Protocol::Json, JSON),
    ];
    for (incoming, content_type) in media {
        let body = encode_call(incoming, 9, &request);
        for (outgoing, accept) in media {
            let reply = block_on(api.serve(Some(content_type), Some(accept), None, &body));
            assert_eq!((reply.status, reply.content_type), (200, accept));
            let reply = decode_reply(outgoing, &reply.body).expect("a reply");
            assert_eq!((reply.method.as_str(), reply.seqid), ("getTierConfigs", 9));
            assert!(reply.outcome.is_ok());
        }
    }
}

#[test]
fn what_is_no_call_is_refused_over_http() {
    let (api, _) = services(Tables::default(), View::default(), Ok(Reply::ok()));
    let reply = block_on(api.serve(Some("text/plain"), None, None, b""));
    assert_eq!(reply.status, 415);
    assert_eq!(reply.body, b"Unsupported Content-Type: text/plain");
    let reply = block_on(api.serve(None, None, None, b"[1,\"getJobs\""));
    assert_eq!(reply.status, 500);
    assert!(String::from_utf8_lossy(&reply.body).contains("at byte 12"));
    let reply = block_on(api.serve(None, Some(BINARY), None, b"[1,\"getAll\",1,5,{}]"));
    assert_eq!((reply.status, reply.content_type), (200, BINARY));
    let reply = decode_reply(Protocol::Binary, &reply.body).expect("an exception");
    let exception = reply.outcome.expect_err("no such method");
    assert_eq!(
        exception.message.as_deref(),
        Some("Invalid method name: 'getAll'")
    );
}

#[test]
fn plain_json_calls_are_keyed_by_the_names_of_parameters() {
    let all: &[(&str, &[(u32, State)])] = &[("web", &[(0, State::Running), (1, State::Failed)])];
    let (api, _) = services(tables(all), View::default(), Ok(Reply::ok()));
    let beta = |method: &str, body: &str| {
        let reply = block_on(api.serve_beta(method, body.as_bytes()));
        assert_eq!(reply.content_type, "application/json");
        let response = plain_json::from_bytes::<Response>(&reply.body).expect("a response");
        (reply.status, response)
    };
    let (status, response) = beta("getTasksStatus", "{\"query\":{\"statuses\":[\"RUNNING\"]}}");
    assert_eq!((status, tasks_in(response).len()), (200, 1));
    let (status, response) = beta("getRoleSummary", "");
    assert_eq!((status, said(&response).0), (200, ResponseCode::Ok));
    for (method, body, status, message) in [
        ("getAll", "", 404, "Method getAll does not exist."),
        (
            "getJobs",
            "[]",
            400,
            "Request data must be a JSON object of method parameters.",
        ),
        ("getJobs", "{", 400, "Request must be valid JSON"),
        (
            "getJobs",
            "{\"ownerRole\":7}",
            400,
            "Failed to parse parameter ownerRole",
        ),
    ] {
        let (found, response) = beta(method, body);
        assert_eq!(found, status, "{method} {body}");
        assert!(said(&response).1[0].starts_with(message), "{response:?}");
    }
}

#[test]
fn a_request_id_goes_with_what_is_asked_for() {
    let (seen, told) = async_channel::bounded(10);
    let handle = Handle::scripted(Tables::default(), View::default(), move |id, _| {
        seen.try_send(id).unwrap();
        Ok(Reply::ok())
    });
    let api = Api::new(handle, ApiConfig::default());
    let kill = |name: &str| {
        let key = JobKey {
            role: Some("role".into()),
            environment: Some("prod".into()),
            name: Some(name.into()),
        };
        let args = KillTasks {
            job: Some(key),
            ..KillTasks::default()
        };
        Request::KillTasks(Box::new(args))
    };
    for (id, name) in [
        (Some("id"), "a"),
        (Some("id"), "a"),
        (Some("id"), "b"),
        (None, "a"),
    ] {
        block_on(api.call(id, kill(name)));
    }
    let next = || told.try_recv().unwrap();
    let (first, again, other, none) = (next(), next(), next(), next());
    assert!(
        first.as_ref().is_some_and(|id| id.starts_with("id ")),
        "{first:?}"
    );
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert_eq!(none, None);
}
