//! A small cluster for tests of pages and routes, and a door into them without sockets.

use super::api::{ApiCall, ApiDoor, Boxed};
use super::door::Door;
use super::state::{App, HttpState, Source};
use crate::api::ApiReply;
use crate::base::clock::{self, Instant, Timestamp};
use crate::base::stats::Registry;
use crate::model::{
    AgentId, AgentSession, Attribute, Container, ExecutorConfig, JobKey, MaintenanceMode,
    MilliCpus, PortRange, Ports, Resources, ScheduleStatus, TaskConfig, TaskEvent, TaskId,
};
use crate::net::http1::{Answer, Body, Handler, Headers, Method, Request, Response, Version};
use crate::rt::{self, Shutdown};
use crate::scheduler::handle::{AgentView, PendingGroup};
use crate::scheduler::{Lifecycle, View};
use crate::storage::{Op, Tables};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A text that would do harm if a page did not escape it.
pub(super) const EVIL: &str = "<script>alert('x')</script>";

pub(super) struct Fixed {
    pub(super) tables: Arc<Tables>,
    pub(super) view: Arc<View>,
    pub(super) last_turn: Instant,
}

impl Source for Fixed {
    fn tables(&self) -> Arc<Tables> {
        Arc::clone(&self.tables)
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view)
    }

    fn last_turn(&self) -> Instant {
        self.last_turn
    }
}

fn reply(text: String, close: bool) -> ApiReply {
    ApiReply {
        status: 200,
        content_type: "application/x-test",
        body: text.into_bytes(),
        close,
    }
}

/// Answers with what it was asked; hangs up on the body `unknown`.
struct EchoApi;

impl ApiDoor for EchoApi {
    fn serve<'a>(&'a self, call: ApiCall<'a>) -> Boxed<'a, ApiReply> {
        let text = format!(
            "{:?} {:?} {:?}",
            call.content_type, call.accept, call.request_id
        );
        let close = call.body == b"unknown";
        Box::pin(async move { reply(text, close) })
    }

    fn serve_json<'a>(&'a self, method: &'a str, call: ApiCall<'a>) -> Boxed<'a, ApiReply> {
        let text = format!("{method} {}", String::from_utf8_lossy(call.body));
        Box::pin(async move { reply(text, false) })
    }
}

pub(super) fn web() -> JobKey {
    JobKey::new("www-data", "prod", "web").unwrap()
}

fn config(key: JobKey) -> Arc<TaskConfig> {
    let data =
        format!(r#"{{"task":{{"processes":[{{"name":"serve","cmdline":"./serve {EVIL}"}}]}}}}"#);
    Arc::new(TaskConfig {
        job: key,
        owner: Some(EVIL.to_owned()),
        is_service: true,
        priority: 7,
        max_task_failures: 1,
        production: false,
        tier: Some("preemptible".to_owned()),
        resources: Resources {
            cpus: MilliCpus(250),
            ram_mb: 1536,
            disk_mb: 64,
            ports: 1,
            gpus: 0,
        },
        port_names: BTreeSet::from(["http".to_owned()]),
        names_gpus: false,
        constraints: BTreeSet::new(),
        fetcher_uris: BTreeSet::new(),
        task_links: BTreeMap::new(),
        contact_email: None,
        executor: Some(ExecutorConfig {
            name: None,
            data: Some(data),
        }),
        metadata: BTreeSet::new(),
        partition_policy: None,
        sla_policy: None,
        container: Container::default(),
    })
}

fn event(status: ScheduleStatus, message: Option<&str>) -> TaskEvent {
    TaskEvent {
        at: Timestamp(clock::wall().as_ms() - 60_000),
        status,
        message: message.map(str::to_owned),
        scheduler: Some("here".into()),
    }
}

/// `www-data/prod/web` with instance 0 running, 1 pending, and a failed task before 0.
pub(super) fn cluster() -> Fixed {
    let mut tables = Tables::default();
    let config = config(web());
    let id = |text: &str| TaskId::new(text);
    let mut apply = |op: &Op| tables.apply(op).unwrap();
    apply(&Op::AddTasks {
        config: Arc::clone(&config),
        tasks: vec![(0, id("old-0")), (1, id("web-1"))],
        event: event(ScheduleStatus::Pending, None),
    });
    let assign = |task: &str| Op::Assign {
        task: id(task),
        agent: AgentId::new("agent-1"),
        host: "host-1".into(),
        ports: BTreeMap::from([("http".to_owned(), 31_000)]),
        event: event(ScheduleStatus::Assigned, None),
    };
    let enter = |task: &str, status, message: Option<&str>, failed| Op::SetStatus {
        task: id(task),
        event: event(status, message),
        failed,
    };
    apply(&assign("old-0"));
    apply(&enter("old-0", ScheduleStatus::Failed, Some(EVIL), true));
    apply(&Op::ReplaceTask {
        ancestor: id("old-0"),
        task: id("web-0"),
        event: event(ScheduleStatus::Pending, Some("Rescheduled")),
    });
    apply(&assign("web-0"));
    apply(&enter("web-0", ScheduleStatus::Running, None, false));
    apply(&Op::SetQuota {
        role: "ops".to_owned(),
        quota: config.resources,
    });
    let total = Resources {
        cpus: MilliCpus(4000),
        ram_mb: 8192,
        disk_mb: 4096,
        ports: 9,
        gpus: 0,
    };
    let view = View {
        held: Default::default(),
        lifecycle: Lifecycle::Active,
        replica: "VOTING",
        leader: None,
        pending: vec![PendingGroup {
            config: Arc::clone(&config),
            tasks: vec![id("web-1")],
            penalty: Duration::from_secs(2),
            reasons: vec!["Insufficient: cpus".to_owned(), "Host <busy>".to_owned()],
        }],
        agents: vec![AgentView {
            agent: AgentId::new("agent-1"),
            session: AgentSession(3),
            host: "host-1".to_owned(),
            connected: true,
            attributes: vec![Attribute {
                name: "rack".to_owned(),
                values: BTreeSet::from(["b".to_owned(), "a".to_owned()]),
            }],
            mode: MaintenanceMode::None,
            total,
            ports: Ports(vec![PortRange {
                first: 30_999,
                last: 31_002,
            }]),
            free: total.minus(config.resources),
            revocable: Resources {
                cpus: MilliCpus(500),
                ..Resources::default()
            },
        }],
        counters: BTreeMap::from([("scheduler_resource_offers".to_owned(), 12)]),
    };
    Fixed {
        tables: Arc::new(tables),
        view: Arc::new(view),
        last_turn: Instant::ZERO,
    }
}

/// The routes over a source, without sockets.
pub(super) struct Site {
    door: Door,
    pub(super) shutdown: Shutdown,
}

pub(super) fn site(source: Fixed) -> Site {
    site_with(source, |_| {})
}

/// The same with other choices.
pub(super) fn site_with(source: Fixed, change: impl FnOnce(&mut HttpState)) -> Site {
    let (trigger, shutdown) = Shutdown::new();
    let mut state = HttpState {
        stats: Box::leak(Box::new(Registry::default())),
        stuck_after: Duration::from_millis(100),
        ..HttpState::new(
            "test".to_owned(),
            "here:8081".to_owned(),
            Arc::new(source),
            Arc::new(EchoApi),
            Arc::new(trigger),
        )
    };
    change(&mut state);
    Site {
        door: Door::new(App::new(state)),
        shutdown,
    }
}

impl Site {
    pub(super) fn ask(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut text = String::new();
        let mut entries = Vec::new();
        for (name, value) in headers {
            let start = text.len();
            text.push_str(name);
            let middle = text.len();
            text.push_str(value);
            entries.push((start..middle, middle..text.len()));
        }
        let request = Request {
            method,
            target: target.to_owned(),
            version: Version::Http11,
            headers: Headers::from_parts(text, entries),
            body: body.to_vec(),
            peer: "127.0.0.1:1".parse().unwrap(),
        };
        rt::block_on(self.door.handle(request))
    }

    /// Status, headers and text of a GET.
    pub(super) fn get(&self, target: &str) -> (u16, String, String) {
        open(self.ask(Method::Get, target, &[], b""))
    }
}

/// Status, header lines and text of an answer.
pub(super) fn open(answer: Answer) -> (u16, String, String) {
    let Answer::Reply(Response {
        status,
        headers,
        body,
        ..
    }) = answer
    else {
        panic!("the connection was closed without an answer");
    };
    let Body::Bytes(bytes) = body else {
        panic!("the body is streamed")
    };
    let lines = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\n"))
        .collect();
    (status, lines, String::from_utf8(bytes).unwrap())
}
