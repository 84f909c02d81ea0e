//! Version 1 on the wire. Frozen: agents and schedulers of other releases speak it.
//!
//! Postcard writes fields and variants by position, so that no line here may change, move or go. A new
//! message is a new variant of the envelopes with types of its own.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Serialize, Deserialize)]
pub(super) enum AgentEnvelope {
    V1(AgentMessage),
}

#[derive(Serialize, Deserialize)]
pub(super) enum SchedulerEnvelope {
    V1(SchedulerMessage),
}

#[derive(Serialize, Deserialize)]
pub(super) enum AgentMessage {
    Hello(Hello),
    Tasks { last: bool, reports: Vec<Report> },
    Report(Report),
    Heartbeat,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) version: u32,
    pub(super) agent: String,
    pub(super) session: u64,
    pub(super) place: String,
    pub(super) host: String,
    pub(super) total: Resources,
    pub(super) ports: Vec<PortRange>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) highest_ballot: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Resources {
    pub(super) milli_cpus: i64,
    pub(super) ram_mb: i64,
    pub(super) disk_mb: i64,
    pub(super) ports: u32,
    pub(super) gpus: i64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PortRange {
    pub(super) first: u16,
    pub(super) last: u16,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Attribute {
    pub(super) name: String,
    pub(super) values: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) task: String,
    pub(super) sequence: u64,
    pub(super) state: State,
    pub(super) message: Option<String>,
    pub(super) at_ms: i64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum State {
    Starting,
    Running,
    Finished,
    Failed,
    Killed,
    Lost,
}

#[derive(Serialize, Deserialize)]
pub(super) enum SchedulerMessage {
    Welcome {
        ballot: u64,
    },
    Refuse {
        leader: Option<String>,
        reason: String,
    },
    Launch {
        ballot: u64,
        session: u64,
        order: Box<LaunchOrder>,
    },
    Kill {
        ballot: u64,
        task: String,
    },
    Acknowledge {
        ballot: u64,
        task: String,
        sequence: u64,
    },
    Reconcile {
        ballot: u64,
        tasks: Vec<String>,
    },
    Heartbeat,
}

#[derive(Serialize, Deserialize)]
pub(super) struct LaunchOrder {
    pub(super) task: String,
    pub(super) role: String,
    pub(super) environment: String,
    pub(super) job: String,
    pub(super) instance: u32,
    pub(super) executor: String,
    pub(super) data: String,
    pub(super) resources: Resources,
    pub(super) ports: BTreeMap<String, u16>,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) executor_flags: String,
    pub(super) executor_path: Option<String>,
    pub(super) executor_resources: Vec<String>,
    pub(super) uris: Vec<FetcherUri>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct FetcherUri {
    pub(super) value: String,
    pub(super) extract: Option<bool>,
    pub(super) cache: Option<bool>,
    pub(super) output_file: Option<String>,
}
