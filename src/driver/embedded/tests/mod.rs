//! Driver and agent session against each other, over real sockets, with a fake that runs nothing.

mod cut;
mod hostile;

use super::*;
use crate::agent::TaskRunner;
use crate::agent::host::{HostError, LaunchError, UnknownTask};
use crate::agent::proto::{
    AgentMessage, MESSAGE_BYTES_MAX, Order, SchedulerMessage, UNKNOWN_TASK_SEQUENCE,
};
use crate::agent::session::{self, SessionConfig, Standing, Timing};
use crate::base::clock::Timestamp;
use crate::base::rng::Rng;
use crate::driver::AgentOffer;
use crate::model::{
    AgentId, AgentSession, JobKey, LaunchOrder, PortRange, Ports, Resources, TaskId, TaskReport,
    TaskState,
};
use crate::net::Protocol;
use crate::net::frames::{self, Connection, ConnectionError, FrameReader, FrameWriter};
use crate::net::keys::KeyKind;
use crate::net::listener::{ListenLimits, PeerListener};
use crate::net::noise::HandshakeError;
use crate::rt::{Fiber, ShutdownTrigger};
use async_channel::Sender;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};

const PATIENCE: Duration = Duration::from_secs(60);

/// Fails the test instead of hanging.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match rt::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(late) => panic!("{what}: {late}"),
    }
}

/// Asks again and again until `good`.
async fn until(what: &str, good: impl Fn() -> bool) {
    soon(what, async {
        while !good() {
            rt::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes(KeyKind::Agent, [byte; 32])
}

fn task(n: usize) -> TaskId {
    TaskId::new(&format!("www-prod-web-{n}"))
}

fn order(n: usize) -> Box<LaunchOrder> {
    Box::new(LaunchOrder {
        task: task(n),
        job: JobKey::new("www", "prod", "web").unwrap(),
        instance: n as u32,
        executor: "AuroraExecutor".to_owned(),
        data: "{}".to_owned(),
        resources: Resources::default(),
        ports: BTreeMap::new(),
        metadata: Vec::new(),
        setup: Default::default(),
        uris: Vec::new(),
    })
}

/// What a fake agent would keep on its disk.
#[derive(Default)]
struct Disk {
    ballot: u64,
    starts: BTreeMap<TaskId, u32>,
    latest: BTreeMap<TaskId, TaskReport>,
    ended: BTreeSet<TaskId>,
    acknowledged: BTreeMap<TaskId, u64>,
}

#[derive(Clone)]
struct Fake {
    id: AgentId,
    disk: Arc<Mutex<Disk>>,
    reports: Sender<TaskReport>,
}

impl Fake {
    fn new(id: &str, disk: &Arc<Mutex<Disk>>) -> (Self, Receiver<TaskReport>) {
        let (reports, receiver) = async_channel::bounded(100_000);
        let fake = Self {
            id: AgentId::new(id),
            disk: Arc::clone(disk),
            reports,
        };
        (fake, receiver)
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }

    fn report(&self, disk: &mut Disk, task: &TaskId, state: TaskState) {
        let sequence = disk.latest.get(task).map_or(0, |r| r.sequence + 1);
        let report = TaskReport {
            task: task.clone(),
            sequence,
            state,
            message: None,
            at: Timestamp(1),
        };
        disk.latest.insert(task.clone(), report.clone());
        self.reports.try_send(report).unwrap();
    }
}

impl TaskRunner for Fake {
    fn agent_id(&self) -> AgentId {
        self.id.clone()
    }

    fn highest_ballot(&self) -> u64 {
        self.disk().ballot
    }

    async fn store_ballot(&self, ballot: u64) -> Result<(), HostError> {
        let mut disk = self.disk();
        disk.ballot = disk.ballot.max(ballot);
        Ok(())
    }

    async fn launch(&self, order: LaunchOrder) -> Result<(), LaunchError> {
        let mut disk = self.disk();
        if disk.ended.contains(&order.task) {
            return Err(LaunchError::Ended(order.task));
        }
        if !disk.latest.contains_key(&order.task) {
            *disk.starts.entry(order.task.clone()).or_default() += 1;
            self.report(&mut disk, &order.task, TaskState::Starting);
            self.report(&mut disk, &order.task, TaskState::Running);
        }
        Ok(())
    }

    async fn kill(&self, task: &TaskId) -> Result<(), UnknownTask> {
        let mut disk = self.disk();
        match disk.latest.get(task) {
            None => Err(UnknownTask(task.clone())),
            Some(report) if report.state.is_terminal() => Ok(()),
            Some(_) => {
                self.report(&mut disk, task, TaskState::Killed);
                Ok(())
            }
        }
    }

    fn reports(&self) -> Vec<TaskReport> {
        self.disk().latest.values().cloned().collect()
    }

    async fn acknowledge(&self, task: &TaskId, sequence: u64) {
        let mut disk = self.disk();
        let Some(latest) = disk.latest.get(task) else {
            return;
        };
        assert!(
            sequence <= latest.sequence,
            "{task} was acknowledged before it was reported"
        );
        let forget = latest.state.is_terminal() && latest.sequence == sequence;
        disk.acknowledged.insert(task.clone(), sequence);
        if forget {
            disk.latest.remove(task);
            assert!(disk.ended.insert(task.clone()), "{task} ended twice");
        }
    }
}

fn timing() -> Timing {
    Timing {
        connect: Duration::from_secs(5),
        heartbeat: Duration::from_millis(20),
        dead_after: Duration::from_secs(2),
        resend_after: Duration::from_millis(60),
        pause: Duration::from_millis(1),
        pause_max: Duration::from_millis(20),
    }
}

fn config(schedulers: &[SocketAddr], session: u64) -> SessionConfig {
    SessionConfig {
        schedulers: schedulers.iter().map(ToString::to_string).collect(),
        key: key(1),
        session: AgentSession(session),
        place: "here".to_owned(),
        host: "h1".to_owned(),
        total: Resources::default(),
        ports: Ports(vec![PortRange {
            first: 31000,
            last: 31009,
        }]),
        attributes: Vec::new(),
        timing: timing(),
    }
}

/// One scheduler's listener and driver.
struct Side {
    address: SocketAddr,
    driver: EmbeddedDriver,
    events: Receiver<DriverEvent>,
    _trigger: ShutdownTrigger,
}

async fn side(options: EmbeddedOptions) -> Side {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut listener = PeerListener::bind(any, ListenLimits::default())
        .await
        .unwrap();
    let (_trigger, shutdown) = Shutdown::new();
    let address = listener.local_addr().unwrap();
    let incoming = listener.route(Protocol::Agent);
    rt::spawn("listener", listener.run(shutdown.clone())).detach();
    let (driver, events) = EmbeddedDriver::start(key(1), incoming, options, shutdown);
    Side {
        address,
        driver,
        events,
        _trigger,
    }
}

impl Side {
    async fn event(&self) -> DriverEvent {
        soon("an event", self.events.recv()).await.unwrap()
    }

    async fn up(&self) -> (AgentOffer, Vec<TaskReport>) {
        match self.event().await {
            DriverEvent::AgentUp { offer, tasks } => (offer, tasks),
            other => panic!("not an AgentUp: {other:?}"),
        }
    }

    async fn status(&self) -> TaskReport {
        match self.event().await {
            DriverEvent::Status { report, .. } => report,
            other => panic!("not a Status: {other:?}"),
        }
    }

    fn launch(&self, offer: &AgentOffer, session: AgentSession, n: usize) {
        self.driver.command(DriverCommand::Launch {
            agent: offer.agent.clone(),
            session,
            order: order(n),
        });
    }

    fn acknowledge(&self, agent: &AgentId, report: &TaskReport) {
        self.driver.command(DriverCommand::Acknowledge {
            agent: agent.clone(),
            reports: vec![(report.task.clone(), report.sequence)],
        });
    }
}

/// A running session; dropping it is the agent's `kill -9`.
struct Agent {
    fake: Fake,
    standing: Standing,
    _fiber: Fiber<()>,
    _trigger: ShutdownTrigger,
}

fn agent(disk: &Arc<Mutex<Disk>>, config: SessionConfig) -> Agent {
    let (fake, reports) = Fake::new("a1", disk);
    let (_trigger, shutdown) = Shutdown::new();
    let standing = Standing::default();
    let run = session::run(fake.clone(), reports, config, standing.clone(), shutdown);
    Agent {
        fake,
        standing,
        _fiber: rt::spawn("agent", run),
        _trigger,
    }
}

#[test]
fn a_task_is_launched_reported_killed_and_forgotten() {
    rt::block_on(async {
        let side = side(EmbeddedOptions::default()).await;
        side.driver.lead(7);
        let agent = agent(&Arc::default(), config(&[side.address], 1));
        let (offer, tasks) = side.up().await;
        assert_eq!((offer.host.as_str(), offer.session.0), ("h1", 1));
        assert_eq!((offer.total.ports, tasks.len()), (10, 0));
        assert_eq!(agent.standing.scheduler(), Some(side.address.to_string()));
        assert_eq!(side.driver.connected(), 1);
        side.launch(&offer, offer.session, 0);
        assert_eq!(side.status().await.state, TaskState::Starting);
        let running = side.status().await;
        assert_eq!(running.state, TaskState::Running);
        // Not acknowledged, so it comes again.
        assert_eq!(side.status().await, running);
        side.acknowledge(&offer.agent, &running);
        side.driver.command(DriverCommand::Kill {
            agent: offer.agent.clone(),
            task: task(0),
        });
        let killed = loop {
            let report = side.status().await;
            if report != running {
                break report;
            }
        };
        assert_eq!(killed.state, TaskState::Killed);
        side.acknowledge(&offer.agent, &killed);
        until("the task is forgotten", || {
            agent.fake.disk().ended.contains(&task(0))
        })
        .await;
        assert_eq!(agent.fake.disk().ballot, 7);
        // An ended task never starts again.
        side.launch(&offer, offer.session, 0);
        let refused = loop {
            let report = side.status().await;
            if report.state == TaskState::Lost {
                break report;
            }
        };
        assert_eq!(refused.sequence, UNKNOWN_TASK_SEQUENCE);
        assert_eq!(agent.fake.disk().starts[&task(0)], 1);
    });
}

#[test]
fn what_an_agent_does_not_know_is_reported_lost() {
    rt::block_on(async {
        let side = side(EmbeddedOptions::default()).await;
        side.driver.lead(7);
        let agent = agent(&Arc::default(), config(&[side.address], 2));
        let (offer, _) = side.up().await;
        // For a session of the past: dropped here already.
        side.launch(&offer, AgentSession(1), 0);
        side.driver.command(DriverCommand::Kill {
            agent: offer.agent.clone(),
            task: task(1),
        });
        let lost = side.status().await;
        assert_eq!((lost.task, lost.state), (task(1), TaskState::Lost));
        side.driver.command(DriverCommand::Reconcile {
            agent: offer.agent.clone(),
            tasks: (2..5).map(task).collect(),
        });
        for n in 2..5 {
            let lost = side.status().await;
            assert_eq!((lost.task, lost.state), (task(n), TaskState::Lost));
        }
        assert!(agent.fake.disk().starts.is_empty());
    });
}

#[test]
fn tasks_outlive_the_session_and_an_oversized_one_is_lost() {
    rt::block_on(async {
        let side = side(EmbeddedOptions::default()).await;
        side.driver.lead(7);
        let disk = Arc::default();
        let first = agent(&disk, config(&[side.address], 1));
        let (offer, _) = side.up().await;
        side.launch(&offer, offer.session, 0);
        until("the task runs", || {
            disk.lock().unwrap().latest.contains_key(&task(0))
        })
        .await;
        drop(first);
        let _second = agent(&disk, config(&[side.address], 2));
        let tasks = loop {
            if let DriverEvent::AgentUp { offer, tasks } = side.event().await {
                assert_eq!(offer.session, AgentSession(2));
                break tasks;
            }
        };
        assert_eq!(tasks[0].state, TaskState::Running);
        side.acknowledge(&offer.agent, &tasks[0]);
        side.launch(&offer, AgentSession(2), 0);
        assert_eq!(side.status().await.state, TaskState::Running);
        assert_eq!(disk.lock().unwrap().starts[&task(0)], 1);
        let mut huge = order(1);
        huge.data = "x".repeat(MESSAGE_BYTES_MAX);
        side.driver.command(DriverCommand::Launch {
            agent: offer.agent,
            session: AgentSession(2),
            order: huge,
        });
        let lost = loop {
            let report = side.status().await;
            if report.task == task(1) {
                break report;
            }
        };
        assert_eq!(lost.state, TaskState::Lost);
    });
}

#[test]
fn agents_find_the_leader_and_follow_it() {
    rt::block_on(async {
        let (one, two) = (
            side(EmbeddedOptions::default()).await,
            side(EmbeddedOptions::default()).await,
        );
        one.driver.set_leader(Some(two.address.to_string()));
        two.driver.lead(5);
        let disk = Arc::default();
        // Told of the first one only, it finds the second by its hint.
        let _agent = agent(&disk, config(&[one.address], 1));
        two.up().await;
        two.driver.stand_down();
        one.driver.lead(6);
        one.up().await;
        assert_eq!(disk.lock().unwrap().ballot, 6);
    });
}

#[test]
fn a_deposed_leader_gets_no_agent() {
    rt::block_on(async {
        let side = side(EmbeddedOptions::default()).await;
        side.driver.lead(3);
        let disk = Arc::new(Mutex::new(Disk {
            ballot: 4,
            ..Disk::default()
        }));
        let _agent = agent(&disk, config(&[side.address], 1));
        assert!(
            rt::timeout(Duration::from_millis(200), side.events.recv())
                .await
                .is_err()
        );
        assert_eq!(disk.lock().unwrap().ballot, 4);
        side.driver.lead(5);
        side.up().await;
        assert_eq!(disk.lock().unwrap().ballot, 5);
    });
}
