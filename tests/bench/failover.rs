//! How long nobody leads when the leader is killed outright.
//!
//! Three real schedulers, agents played by this program with their tasks, and one client that asks for a
//! small change again and again. Figures: `kill_to_ack_p50_ms` and `kill_to_ack_max_ms`, from the SIGKILL of
//! the leader to the first change that any scheduler acknowledges after it; `kill_to_back_p50_ms`, from the
//! start of the killed one until it follows the new leader with all that it has missed.
//! With `--quiet-hour=SECONDS`, before any kill, jobs come and go for so long; `false_elections` counts the
//! terms that began meanwhile, and `changes_per_s` what was acknowledged.
//! Arguments: `--tasks=N` (live tasks), `--kills=N`, `--agents=N`, `--quiet-hour=SECONDS`, `--keep=1` (leaves
//! the disks and the schedulers' logs).
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark may stop at the first surprise, and says how far it is"
)]

mod figures;

use aurora::agent::proto::{
    AgentMessage, Hello, MESSAGE_BYTES_MAX, Order, REPORTS_PER_MESSAGE, SchedulerMessage, VERSION,
};
use aurora::base::clock::wall;
use aurora::model::{
    AgentId, AgentSession, MilliCpus, Ports, Resources, TaskId, TaskReport, TaskState,
};
use aurora::net::Protocol;
use aurora::net::frames::{self, Connection};
use aurora::net::keys::{self, KeyKind, SecretKey};
use aurora::rt;
use aurora::thrift::api::{
    ExecutorConfig, Identity, JobConfiguration, JobKey, Resource, ResponseCode, TaskConfig,
};
use aurora::thrift::message;
use aurora::thrift::service::{CreateJob, KillTasks, Request};
use smol::net::TcpStream as AsyncStream;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

const AURORA: &str = env!("CARGO_BIN_EXE_aurora");
const SIZE: usize = 3;
/// Tasks of one job.
const JOB: u64 = 4_000;

struct Member {
    http: u16,
    peer: u16,
    child: Option<Child>,
}

struct Ensemble {
    dir: PathBuf,
    members: Vec<Member>,
    /// Whether the disks and the schedulers' logs are left for a look at them.
    keeps: bool,
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        for member in &mut self.members {
            if let Some(child) = &mut member.child {
                drop(child.kill());
                drop(child.wait());
            }
        }
        if self.keeps {
            println!("kept: {}", self.dir.display());
        } else {
            drop(fs::remove_dir_all(&self.dir));
        }
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    std::array::from_fn(|i| held[i].local_addr().unwrap().port())
}

impl Ensemble {
    fn new() -> Self {
        let name = format!("aurora-bench-failover-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        drop(fs::remove_dir_all(&dir));
        fs::create_dir_all(&dir).unwrap();
        let ports: [u16; 2 * SIZE] = free_ports();
        let member = |pair: &[u16]| Member {
            http: pair[0],
            peer: pair[1],
            child: None,
        };
        let mut ensemble = Self {
            dir,
            members: ports.chunks(2).map(member).collect(),
            keeps: figures::argument("keep", 0) > 0,
        };
        for index in 0..SIZE {
            let path = format!("--path={}", ensemble.disk(index).display());
            let made = Command::new(AURORA)
                .args(["log", "initialize", &path])
                .output();
            assert!(made.unwrap().status.success());
        }
        for index in 0..SIZE {
            ensemble.start(index);
        }
        ensemble
    }

    fn disk(&self, index: usize) -> PathBuf {
        self.dir.join(format!("db{index}"))
    }

    fn peers(&self) -> Vec<String> {
        let peers = self.members.iter().map(|m| format!("127.0.0.1:{}", m.peer));
        peers.collect()
    }

    fn start(&mut self, index: usize) {
        let member = &self.members[index];
        let log = self.dir.join(format!("{index}.log"));
        let log = fs::File::options().append(true).create(true).open(log);
        let log = log.unwrap();
        let child = Command::new(AURORA)
            .arg("scheduler")
            .arg("-cluster_name=bench")
            .arg("-ip=127.0.0.1")
            .arg("-hostname=127.0.0.1")
            .arg(format!("-http_port={}", member.http))
            .arg(format!("-peer_port={}", member.peer))
            .arg(format!(
                "-native_log_file_path={}",
                self.disk(index).display()
            ))
            .arg(format!("-native_log_peers={}", self.peers().join(",")))
            .arg("-native_log_quorum_size=2")
            .arg("-exit_with_parent=true")
            // The defaults are upstream's, and stand for 200 tasks a second.
            .arg("-scheduling_max_batch_size=1000")
            .arg("-max_schedule_attempts_per_sec=1000000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.members[index].child = Some(child);
    }

    fn leader(&self) -> usize {
        for _ in 0..60_000 {
            let leads = |m: &Member| get(m.http, "/leaderhealth").0 == 200;
            if let Some(leader) = self.members.iter().position(leads) {
                return leader;
            }
            sleep(Duration::from_millis(1));
        }
        panic!(
            "nobody leads after a minute; the logs are in {}",
            self.dir.display()
        );
    }

    /// Waits until one leads and all others follow it: whoever was started last has replayed the log up to
    /// what the leader wrote of itself. Before that the loss of another one would leave no quorum.
    fn wait_until_whole(&self) {
        for _ in 0..6_000 {
            let mut said: Vec<u16> = Vec::new();
            said.extend(self.doors().iter().map(|d| get(*d, "/leaderhealth").0));
            said.sort_unstable();
            if said == [200, 503, 503] {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        panic!("not whole again after a minute: {}", self.dir.display());
    }

    /// How many terms have begun, by what the schedulers say.
    fn terms(&self) -> usize {
        let count = |index| {
            let log = self.dir.join(format!("{index}.log"));
            let log = fs::read_to_string(log).unwrap_or_default();
            log.matches(" leading in term ").count()
        };
        (0..SIZE).map(count).sum()
    }

    /// Jobs come and go for so long; gives how many changes were acknowledged, and how many terms began.
    fn stay_quiet(&self, time: Duration) -> (u64, usize) {
        const INSTANCES: u64 = 100;
        let before = self.terms();
        let begun = figures::now();
        let mut changes = 0;
        let mut leader = self.leader();
        for round in 0.. {
            if begun.elapsed() >= time {
                break;
            }
            let name = format!("quiet{round}");
            let port = self.members[leader].http;
            let is_done = create(port, &name, INSTANCES, true) && end(port, &name);
            if is_done {
                changes += 2;
            } else {
                println!("{name} was not taken after {:?}", begun.elapsed());
                leader = self.leader();
            }
            sleep(Duration::from_millis(10));
        }
        (changes, self.terms() - before)
    }

    fn doors(&self) -> Vec<u16> {
        self.members.iter().map(|m| m.http).collect()
    }
}

/// Status and whole answer; status 0 if there is none.
fn exchange(port: u16, request: &[u8]) -> (u16, Vec<u8>) {
    let answer = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        stream.write_all(request)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer = answer().unwrap_or_default();
    let head = String::from_utf8_lossy(&answer[..answer.len().min(16)]).into_owned();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    (status.unwrap_or(0), answer)
}

fn get(port: u16, path: &str) -> (u16, Vec<u8>) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    exchange(port, request.as_bytes())
}

/// Whether this scheduler acknowledged that it has made the job, now or before.
fn create(port: u16, name: &str, instances: u64, service: bool) -> bool {
    let key = job_key(name);
    let config = TaskConfig {
        job: Some(key.clone()),
        is_service: service,
        max_task_failures: 1,
        resources: vec![
            Resource::NumCpus(0.01),
            Resource::RamMb(1),
            Resource::DiskMb(1),
        ],
        executor_config: Some(ExecutorConfig {
            name: Some("AuroraExecutor".into()),
            data: Some("x".repeat(500)),
        }),
        ..TaskConfig::default()
    };
    let description = JobConfiguration {
        key: Some(key),
        owner: Some(Identity {
            user: Some("bench".into()),
        }),
        task_config: Some(config),
        instance_count: i32::try_from(instances).unwrap(),
        ..JobConfiguration::default()
    };
    let request = Request::CreateJob(Box::new(CreateJob {
        description: Some(description),
    }));
    call(port, name, &request)
}

/// Whether this scheduler acknowledged that it ends the job's tasks.
fn end(port: u16, name: &str) -> bool {
    let request = Request::KillTasks(Box::new(KillTasks {
        job: Some(job_key(name)),
        ..KillTasks::default()
    }));
    call(port, &format!("end-{name}"), &request)
}

fn job_key(name: &str) -> JobKey {
    JobKey {
        role: Some("bench".into()),
        environment: Some("prod".into()),
        name: Some(name.into()),
    }
}

/// Whether this scheduler acknowledged a request. `name` tells it from others.
fn call(port: u16, name: &str, request: &Request) -> bool {
    const BINARY: &str = "application/vnd.apache.thrift.binary";
    let body = message::encode_call(aurora::thrift::Protocol::Binary, 1, request);
    let mut bytes = format!(
        "POST /api HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {BINARY}\r\nAccept: {BINARY}\r\n\
         X-Aurora-Request-Id: {name}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(&body);
    let (status, answer) = exchange(port, &bytes);
    if status != 200 {
        return false;
    }
    let at = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let Ok(reply) = message::decode_reply(aurora::thrift::Protocol::Binary, &answer[at..]) else {
        return false;
    };
    let response = reply.outcome.unwrap();
    match response.response_code {
        Some(ResponseCode::Ok) => true,
        Some(ResponseCode::ErrorTransient) => false,
        other => panic!("{name}: {other:?} {:?}", response.details),
    }
}

/// An agent without a machine: every task that it is given runs at once, and for ever.
struct Puppet {
    id: AgentId,
    tasks: BTreeMap<TaskId, TaskReport>,
    ballot: u64,
}

impl Puppet {
    async fn live(mut self, peers: Vec<String>, key: SecretKey, live: Arc<AtomicU64>) {
        for at in 0.. {
            let peer = &peers[at % peers.len()];
            if self.serve(peer, &key, &live).await.is_none() {
                rt::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn serve(&mut self, peer: &str, key: &SecretKey, live: &AtomicU64) -> Option<()> {
        let patience = Duration::from_secs(10);
        let stream = AsyncStream::connect(peer).await.ok()?;
        let dialing = frames::dial(stream, Protocol::Agent, key, MESSAGE_BYTES_MAX, patience);
        let Connection {
            mut reader,
            mut writer,
            ..
        } = dialing.await.ok()?;
        let hello = AgentMessage::Hello(Hello {
            version: VERSION,
            agent: self.id.clone(),
            session: AgentSession(1),
            place: self.id.as_str().to_owned(),
            host: self.id.as_str().to_owned(),
            total: Resources {
                cpus: MilliCpus(1_000_000),
                ram_mb: 1 << 30,
                disk_mb: 1 << 30,
                ports: 0,
                gpus: 0,
            },
            ports: Ports::default(),
            attributes: Vec::new(),
            highest_ballot: self.ballot,
        });
        writer.send(&hello.encode()?).await.ok()?;
        match SchedulerMessage::decode(&reader.receive().await.ok()?).ok()? {
            SchedulerMessage::Welcome { ballot } => self.ballot = ballot,
            _ => return None,
        }
        let all: Vec<TaskReport> = self.tasks.values().cloned().collect();
        let mut chunks: Vec<Vec<TaskReport>> =
            all.chunks(REPORTS_PER_MESSAGE).map(<[_]>::to_vec).collect();
        chunks.push(Vec::new());
        let last = chunks.len() - 1;
        for (index, reports) in chunks.into_iter().enumerate() {
            let tasks = AgentMessage::Tasks {
                last: index == last,
                reports,
            };
            writer.send(&tasks.encode()?).await.ok()?;
        }
        loop {
            let received = rt::timeout(Duration::from_secs(1), reader.receive()).await;
            let reply = match received {
                Err(_) => Some(AgentMessage::Heartbeat),
                Ok(bytes) => self.obey(SchedulerMessage::decode(&bytes.ok()?).ok()?, live),
            };
            if let Some(reply) = reply {
                writer.send(&reply.encode()?).await.ok()?;
            }
        }
    }

    fn obey(&mut self, message: SchedulerMessage, live: &AtomicU64) -> Option<AgentMessage> {
        let SchedulerMessage::Order { order, .. } = message else {
            return None;
        };
        match order {
            Order::Launch { order, .. } => {
                let report = TaskReport {
                    task: order.task.clone(),
                    sequence: 1,
                    state: TaskState::Running,
                    message: None,
                    at: wall(),
                };
                if self.tasks.insert(order.task, report.clone()).is_none() {
                    live.fetch_add(1, Ordering::Relaxed);
                }
                Some(AgentMessage::Report(report))
            }
            Order::Kill { task } => {
                let sequence = self.tasks.get(&task).map_or(u64::MAX, |r| r.sequence + 1);
                if self.tasks.remove(&task).is_some() {
                    live.fetch_sub(1, Ordering::Relaxed);
                }
                Some(AgentMessage::Report(TaskReport {
                    task,
                    sequence,
                    state: TaskState::Killed,
                    message: None,
                    at: wall(),
                }))
            }
            Order::Acknowledge { .. } | Order::Reconcile { .. } => None,
        }
    }
}

fn start_agents(peers: &[String], dir: &Path, count: u64, live: &Arc<AtomicU64>) {
    let key_file = dir.join("agent.key");
    for index in 0..count {
        let puppet = Puppet {
            id: AgentId::new(&format!("agent{index:05}")),
            tasks: BTreeMap::new(),
            ballot: 0,
        };
        let key = keys::load(&key_file, KeyKind::Agent).unwrap();
        let (peers, live) = (peers.to_vec(), Arc::clone(live));
        rt::spawn("puppet", puppet.live(peers, key, live)).detach();
    }
}

fn main() {
    let tasks = figures::argument("tasks", 20_000);
    let kills = figures::argument("kills", 10);
    let agents = figures::argument("agents", 100);
    let mut ensemble = Ensemble::new();
    let live = Arc::new(AtomicU64::new(0));
    let leader = ensemble.leader();
    start_agents(&ensemble.peers(), &ensemble.dir, agents, &live);
    let port = ensemble.members[leader].http;
    let begun = figures::now();
    for (number, first) in (0..tasks).step_by(JOB as usize).enumerate() {
        let instances = JOB.min(tasks - first);
        assert!(
            create(port, &format!("load{number}"), instances, true),
            "job {number}"
        );
    }
    while live.load(Ordering::Relaxed) < tasks {
        assert!(
            begun.elapsed() < Duration::from_secs(600),
            "{live:?} of {tasks} tasks live"
        );
        sleep(Duration::from_millis(100));
    }
    println!(
        "{tasks} tasks live after {:.1} s",
        begun.elapsed().as_secs_f64()
    );

    let mut report = figures::Report::new("failover");
    let quiet = figures::argument("quiet-hour", 0);
    if quiet > 0 {
        let (changes, terms) = ensemble.stay_quiet(Duration::from_secs(quiet));
        report.figure("quiet_s", quiet as f64, "s");
        report.figure("changes_per_s", changes as f64 / quiet as f64, "changes/s");
        report.figure("false_elections", terms as f64, "elections");
    }
    let (mut took, mut back) = (Vec::new(), Vec::new());
    let mut restarted = None;
    for kill in 0..kills {
        ensemble.wait_until_whole();
        back.extend(restarted.map(|at: figures::Moment| at.elapsed().as_secs_f64() * 1_000.0));
        sleep(Duration::from_secs(1));
        let leader = ensemble.leader();
        let mut child = ensemble.members[leader].child.take().unwrap();
        let doors: Vec<u16> = ensemble
            .doors()
            .into_iter()
            .filter(|d| *d != ensemble.members[leader].http)
            .collect();
        let begun = figures::now();
        child.kill().unwrap();
        let name = format!("after{kill}");
        let mut at = 0;
        while !create(doors[at % doors.len()], &name, 1, true) {
            at += 1;
            sleep(Duration::from_millis(1));
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "no leader after a minute"
            );
        }
        let ms = begun.elapsed().as_secs_f64() * 1_000.0;
        println!("kill {kill}: {ms:.0} ms");
        took.push(ms);
        child.wait().unwrap();
        ensemble.start(leader);
        restarted = Some(figures::now());
    }
    if took.is_empty() {
        return report.finish();
    }
    let max = took.iter().copied().fold(0.0, f64::max);
    report.figure("kill_to_ack_p50_ms", figures::median(&mut took), "ms");
    report.figure("kill_to_ack_max_ms", max, "ms");
    if !back.is_empty() {
        report.figure("kill_to_back_p50_ms", figures::median(&mut back), "ms");
    }
    report.finish();
}
