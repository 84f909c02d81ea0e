//! A scheduler made of one thread and a list of tasks, behind real HTTP on the loopback.

use aurora::thrift::api::{
    AssignedTask, ConfigGroup, ConfigSummary, ConfigSummaryResult, GetJobsResult,
    GetPendingReasonResult, GetQuotaResult, GetTierConfigResult, JobConfiguration, JobKey,
    PendingReason, PopulateJobResult, Range, Resource, ResourceAggregate, Response, ResponseCode,
    ResponseDetail, ResponseResult, ScheduleStatus, ScheduleStatusResult, ScheduledTask,
    TaskConfig, TaskEvent, TaskQuery, TierConfig,
};
use aurora::thrift::message::{Protocol, decode_call, encode_reply};
use aurora::thrift::service::Request;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

/// What happens to the next call instead of an answer.
#[derive(Clone, Debug)]
pub enum Mishap {
    /// This HTTP answer, without a body.
    Http(String),
    /// The connection is closed after the call was carried out.
    CloseAfter,
    /// This code with this text, and nothing is done.
    Code(ResponseCode, String),
}

/// What the scheduler knows, and what it is to do wrong.
#[derive(Default)]
pub struct State {
    pub tasks: Vec<ScheduledTask>,
    /// The calls, by name, with the ids that they carried.
    pub calls: Vec<(String, Option<String>)>,
    /// The last login that came with a call.
    pub login: Option<String>,
    /// The jobs that were created.
    pub created: Vec<JobConfiguration>,
    /// For the calls to come; a method name and what happens.
    pub mishaps: VecDeque<(&'static str, Mishap)>,
    /// Killed tasks hang in KILLING.
    pub stubborn: bool,
    /// Restarted instances get yet another task at each look.
    pub flapping: bool,
    /// For how many looks tasks stay PENDING.
    pub full: u32,
    /// Whether it says that it keeps request ids.
    pub keeps_ids: bool,
    done: Vec<(String, Response)>,
    births: i64,
}

/// The scheduler, stopped when dropped.
pub struct Fake {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Fake {
    /// Starts to listen.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            keeps_ids: true,
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream.unwrap(), &shared));
            }
        });
        Self { address, state }
    }

    /// What it knows.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Makes the next call of `method` go wrong.
    pub fn spoil(&self, method: &'static str, mishap: Mishap) {
        self.state().mishaps.push_back((method, mishap));
    }

    /// The names of the calls so far.
    pub fn calls(&self) -> Vec<String> {
        self.state()
            .calls
            .iter()
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Puts `count` running instances of a job there.
    pub fn put(&self, role: &str, name: &str, count: i32) {
        let key = JobKey {
            role: Some(role.to_owned()),
            environment: Some("prod".to_owned()),
            name: Some(name.to_owned()),
        };
        let config = TaskConfig {
            job: Some(key),
            max_task_failures: 1,
            resources: vec![
                Resource::NumCpus(1.0),
                Resource::RamMb(128),
                Resource::DiskMb(64),
            ],
            ..TaskConfig::default()
        };
        let mut state = self.state();
        for instance in 0..count {
            state.add(&config, instance, ScheduleStatus::Running);
        }
    }
}

/// Answers the calls of one connection.
fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some((id, login, body)) = read_request(&mut reader) {
        let call = decode_call(Protocol::Binary, &body).unwrap();
        let request = call.request.unwrap();
        let mut state = state.lock().unwrap();
        state.calls.push((call.method.clone(), id.clone()));
        state.login = login;
        let spoiled = state
            .mishaps
            .front()
            .is_some_and(|(method, _)| *method == call.method);
        let mishap = spoiled.then(|| state.mishaps.pop_front().unwrap().1);
        let response = match &mishap {
            Some(Mishap::Http(head)) => {
                write!(stream, "HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n").unwrap();
                continue;
            }
            Some(Mishap::Code(code, text)) => answer(*code, text, None),
            Some(Mishap::CloseAfter) | None => state.once(id, &request),
        };
        if matches!(mishap, Some(Mishap::CloseAfter)) {
            return;
        }
        let body = encode_reply(Protocol::Binary, &call.method, call.seqid, &response);
        let server = if state.keeps_ids {
            "Server: aurora\r\n"
        } else {
            ""
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\n{server}Content-Length: {}\r\n\r\n",
            body.len()
        );
        if stream
            .write_all(&[head.as_bytes(), &body].concat())
            .is_err()
        {
            return;
        }
    }
}

/// The request id, the login and the body; `None` at the end of the connection.
fn read_request(reader: &mut impl BufRead) -> Option<(Option<String>, Option<String>, Vec<u8>)> {
    let (mut id, mut login, mut length) = (None, None, 0);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            if line.trim_end().is_empty() {
                break;
            }
            assert_eq!(line.trim_end(), "POST /api HTTP/1.1");
            continue;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "x-aurora-request-id" => id = Some(value.to_owned()),
            "authorization" => login = Some(value.to_owned()),
            "content-length" => length = value.parse().unwrap(),
            "content-type" | "accept" => assert_eq!(value, "application/vnd.apache.thrift.binary"),
            "user-agent" => assert_eq!(value, "Aurora V2"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((id, login, body))
}

fn answer(code: ResponseCode, text: &str, result: Option<ResponseResult>) -> Response {
    let detail = |text: &str| ResponseDetail {
        message: Some(text.to_owned()),
    };
    Response {
        response_code: Some(code),
        result,
        details: Some(text)
            .filter(|t| !t.is_empty())
            .map(detail)
            .into_iter()
            .collect(),
        ..Response::default()
    }
}

fn ok(result: Option<ResponseResult>) -> Response {
    answer(ResponseCode::Ok, "", result)
}

impl State {
    fn add(&mut self, config: &TaskConfig, instance: i32, status: ScheduleStatus) {
        self.births += 1000;
        let event = |status, offset| TaskEvent {
            timestamp: 1_577_934_245_000 + self.births + offset,
            status: Some(status),
            ..TaskEvent::default()
        };
        let mut events = vec![event(ScheduleStatus::Pending, 0)];
        if status != ScheduleStatus::Pending {
            events.push(event(status, 500));
        }
        let placed = status != ScheduleStatus::Pending;
        self.tasks.push(ScheduledTask {
            assigned_task: Some(AssignedTask {
                task_id: Some(format!("task-{}", self.births)),
                slave_host: placed.then(|| "host1".to_owned()),
                task: Some(config.clone()),
                instance_id: instance,
                ..AssignedTask::default()
            }),
            status: Some(status),
            task_events: events,
            ..ScheduledTask::default()
        });
    }

    /// Does a change once however often it is asked for under one id.
    fn once(&mut self, id: Option<String>, request: &Request) -> Response {
        let Some(id) = id else {
            return self.handle(request);
        };
        if let Some((_, response)) = self.done.iter().find(|(done, _)| *done == id) {
            return response.clone();
        }
        let response = self.handle(request);
        self.done.push((id, response.clone()));
        response
    }

    fn handle(&mut self, request: &Request) -> Response {
        match request {
            Request::GetTierConfigs(_) => ok(Some(tiers())),
            Request::GetTasksWithoutConfigs(args) => {
                let tasks = self.look(args.query.as_ref().unwrap());
                let result = ScheduleStatusResult { tasks };
                ok(Some(ResponseResult::ScheduleStatusResult(result)))
            }
            Request::GetJobs(args) => ok(Some(self.jobs(args.owner_role.as_deref()))),
            Request::GetPendingReason(_) => ok(Some(reason())),
            Request::GetQuota(_) => ok(Some(quota())),
            Request::PopulateJobConfig(args) => {
                let task_config = args.description.clone().unwrap().task_config;
                let result = PopulateJobResult { task_config };
                ok(Some(ResponseResult::PopulateJobResult(result)))
            }
            Request::GetConfigSummary(_) => ok(Some(self.summary())),
            Request::CreateJob(args) => self.create(args.description.as_ref().unwrap()),
            Request::KillTasks(args) => {
                self.kill(&args.instances);
                ok(None)
            }
            Request::RestartShards(args) => {
                for shard in &args.shard_ids {
                    self.replace(*shard);
                }
                ok(None)
            }
            Request::AddInstances(args) => {
                let config = self.tasks[0].assigned_task.clone().unwrap().task.unwrap();
                let first = i32::try_from(self.tasks.len()).unwrap();
                for instance in first..first + args.count {
                    self.add(&config, instance, ScheduleStatus::Pending);
                }
                ok(None)
            }
            other => panic!("{} is not expected", other.name()),
        }
    }

    fn create(&mut self, job: &JobConfiguration) -> Response {
        if !self.tasks.is_empty() {
            return answer(
                ResponseCode::InvalidRequest,
                "Job www/prod/hello already exists",
                None,
            );
        }
        self.created.push(job.clone());
        for instance in 0..job.instance_count {
            self.add(
                job.task_config.as_ref().unwrap(),
                instance,
                ScheduleStatus::Pending,
            );
        }
        answer(
            ResponseCode::Ok,
            "2 new tasks pending for job www/prod/hello",
            None,
        )
    }

    /// Gives the tasks that are asked for. Pending ones have moved on at the next look.
    fn look(&mut self, query: &TaskQuery) -> Vec<ScheduledTask> {
        let wanted = |task: &ScheduledTask| {
            let assigned = task.assigned_task.as_ref().unwrap();
            let key = assigned.task.as_ref().unwrap().job.as_ref().unwrap();
            query.job_keys.contains(key)
                && (query.statuses.is_empty() || query.statuses.contains(&task.status.unwrap()))
                && (query.instance_ids.is_empty()
                    || query.instance_ids.contains(&assigned.instance_id))
        };
        let found: Vec<_> = self.tasks.iter().filter(|t| wanted(t)).cloned().collect();
        let places = self.full == 0;
        self.full = self.full.saturating_sub(1);
        for task in &mut self.tasks {
            if places && task.status == Some(ScheduleStatus::Pending) {
                task.status = Some(ScheduleStatus::Running);
            }
        }
        if self.flapping {
            for task in &found {
                self.replace(task.assigned_task.as_ref().unwrap().instance_id);
            }
        }
        found
    }

    fn kill(&mut self, instances: &[i32]) {
        let end = if self.stubborn {
            ScheduleStatus::Killing
        } else {
            ScheduleStatus::Killed
        };
        for task in &mut self.tasks {
            let instance = task.assigned_task.as_ref().unwrap().instance_id;
            if instances.is_empty() || instances.contains(&instance) {
                task.status = Some(end);
            }
        }
    }

    /// The task of an instance ends, and another one runs.
    fn replace(&mut self, instance: i32) {
        let here = |t: &&mut ScheduledTask| {
            t.assigned_task.as_ref().unwrap().instance_id == instance
                && t.status == Some(ScheduleStatus::Running)
        };
        if let Some(task) = self.tasks.iter_mut().find(here) {
            task.status = Some(ScheduleStatus::Finished);
            let config = task.assigned_task.clone().unwrap().task.unwrap();
            self.add(&config, instance, ScheduleStatus::Running);
        }
    }

    fn jobs(&self, role: Option<&str>) -> ResponseResult {
        let key = |t: &ScheduledTask| t.assigned_task.clone().unwrap().task.unwrap().job.unwrap();
        let mut keys: Vec<JobKey> = self.tasks.iter().map(key).collect();
        keys.dedup();
        let mine = |key: &JobKey| role.is_none() || key.role.as_deref() == role;
        let config = |key| JobConfiguration {
            key: Some(key),
            ..JobConfiguration::default()
        };
        let configs = keys.into_iter().filter(mine).map(config).collect();
        ResponseResult::GetJobsResult(GetJobsResult { configs })
    }

    fn summary(&self) -> ResponseResult {
        let group = |task: &ScheduledTask| {
            let assigned = task.assigned_task.clone().unwrap();
            ConfigGroup {
                config: assigned.task,
                instances: vec![Range {
                    first: assigned.instance_id,
                    last: assigned.instance_id,
                }],
            }
        };
        let summary = ConfigSummary {
            key: None,
            groups: self.tasks.iter().map(group).collect(),
        };
        ResponseResult::ConfigSummaryResult(ConfigSummaryResult {
            summary: Some(summary),
        })
    }
}

fn tiers() -> ResponseResult {
    let tier = |name: &str, preemptible: bool| TierConfig {
        name: Some(name.to_owned()),
        settings: [
            ("preemptible".to_owned(), preemptible.to_string()),
            ("revocable".to_owned(), "false".to_owned()),
        ]
        .into(),
    };
    ResponseResult::GetTierConfigResult(GetTierConfigResult {
        default_tier_name: Some("preemptible".to_owned()),
        tiers: vec![tier("preferred", false), tier("preemptible", true)],
    })
}

fn reason() -> ResponseResult {
    let reason = |id: &str| PendingReason {
        task_id: Some(id.to_owned()),
        reason: Some("Insufficient: cpu".to_owned()),
    };
    ResponseResult::GetPendingReasonResult(GetPendingReasonResult {
        reasons: vec![reason("a"), reason("b")],
    })
}

fn quota() -> ResponseResult {
    let resources = vec![
        Resource::NumCpus(1.5),
        Resource::RamMb(2048),
        Resource::DiskMb(4096),
    ];
    ResponseResult::GetQuotaResult(GetQuotaResult {
        quota: Some(ResourceAggregate { resources }),
        ..GetQuotaResult::default()
    })
}
