//! Jobs and calls for the tests, over the real wire.

use crate::world::{World, wait};
use aurora::thrift::api::*;
use aurora::thrift::service::{CreateJob, GetTasksStatus, KillTasks, Request};
use aurora::thrift::{Protocol, message};

/// What became of a call.
pub enum Outcome {
    /// The scheduler answered.
    Answered(Box<Response>),
    /// The connection ended, or there was none: it may or may not have been done.
    Unknown,
}

const BINARY: &str = "application/vnd.apache.thrift.binary";

/// Calls once, with a request id if there is one.
pub fn call(world: &World, request: &Request, id: Option<&str>) -> Outcome {
    let body = message::encode_call(Protocol::Binary, 7, request);
    let mut headers = vec![("Content-Type", BINARY), ("Accept", BINARY)];
    if let Some(id) = id {
        headers.push(("X-Aurora-Request-Id", id));
    }
    let Ok((status, body)) = world.post("/api", &headers, &body) else {
        return Outcome::Unknown;
    };
    if status == 503 {
        // It still reads its log, and has done nothing; who must know asks again.
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("Storage is not READY"), "{text}");
        return Outcome::Unknown;
    }
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let reply = message::decode_reply(Protocol::Binary, &body).unwrap();
    Outcome::Answered(Box::new(reply.outcome.unwrap()))
}

pub fn is_ok(response: &Response) -> bool {
    response.response_code == Some(ResponseCode::Ok)
}

pub fn is_transient(response: &Response) -> bool {
    response.response_code == Some(ResponseCode::ErrorTransient)
}

pub fn key(name: &str) -> JobKey {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective())
        .unwrap()
        .unwrap()
        .name;
    JobKey {
        role: Some(user),
        environment: Some("devel".into()),
        name: Some(name.into()),
    }
}

/// A job of one process.
pub fn create(name: &str, instances: i32, service: bool, cmdline: &str) -> Request {
    let key = key(name);
    let role = key.role.clone().unwrap();
    let data = serde_json::json!({
        "cluster": "local", "role": role, "environment": "devel", "name": name, "service": service,
        "max_task_failures": 1, "priority": 0, "production": false,
        "task": {
            "name": name, "finalization_wait": 5, "max_concurrency": 0, "max_failures": 1,
            "constraints": [],
            "processes": [{
                "name": "main", "cmdline": cmdline, "daemon": false, "ephemeral": false,
                "final": false, "max_failures": 1, "min_duration": 1,
            }],
            "resources": {"cpu": 0.05, "ram": 8 << 20, "disk": 8 << 20, "gpu": 0},
        },
    });
    let task = TaskConfig {
        job: Some(key.clone()),
        is_service: service,
        max_task_failures: 1,
        resources: vec![
            Resource::NumCpus(0.05),
            Resource::RamMb(8),
            Resource::DiskMb(8),
        ],
        executor_config: Some(ExecutorConfig {
            name: Some("AuroraExecutor".into()),
            data: Some(data.to_string()),
        }),
        ..TaskConfig::default()
    };
    let description = JobConfiguration {
        key: Some(key),
        owner: Some(Identity {
            user: Some("tester".into()),
        }),
        task_config: Some(task),
        instance_count: instances,
        ..JobConfiguration::default()
    };
    Request::CreateJob(Box::new(CreateJob {
        description: Some(description),
    }))
}

pub fn kill(name: &str) -> Request {
    let call = KillTasks {
        job: Some(key(name)),
        ..KillTasks::default()
    };
    Request::KillTasks(Box::new(call))
}

/// All tasks that the scheduler stores.
pub fn tasks(world: &World) -> Option<Vec<ScheduledTask>> {
    let query = GetTasksStatus {
        query: Some(TaskQuery::default()),
    };
    let Outcome::Answered(answer) = call(world, &Request::GetTasksStatus(Box::new(query)), None)
    else {
        return None;
    };
    match answer.result {
        Some(ResponseResult::ScheduleStatusResult(result)) => Some(result.tasks),
        Some(_) | None => None,
    }
}

/// All tasks, from whoever can say: a scheduler that starts knows no leader yet, and clients ask again.
pub fn tasks_at_last(world: &World) -> Vec<ScheduledTask> {
    let mut found = None;
    wait("an answer", || {
        found = tasks(world);
        found.is_some()
    });
    found.unwrap_or_default()
}

pub fn id_of(task: &ScheduledTask) -> String {
    task.assigned_task
        .as_ref()
        .unwrap()
        .task_id
        .clone()
        .unwrap()
}

pub fn job_of(task: &ScheduledTask) -> String {
    let config = task.assigned_task.as_ref().unwrap().task.as_ref().unwrap();
    config.job.as_ref().unwrap().name.clone().unwrap()
}

pub fn status_of(task: &ScheduledTask) -> ScheduleStatus {
    task.status.unwrap()
}
