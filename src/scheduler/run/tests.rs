//! The loop on a log in memory and a driver that records.

use super::*;
use crate::base::stamp;
use crate::driver::{AgentOffer, DriverCommand};
use crate::model::{
    AgentId, AgentSession, Container, JobConfiguration, JobKey, Ports, Resources, ScheduleStatus,
    TaskConfig, TaskReport, TaskState,
};
use crate::replog::ReplicaStatus;
use crate::scheduler::handle::{Command, OUTDATED, ReplyCode, Submission};
use crate::storage::Op;
use crate::storage::stored::{Record, encode, encode_at};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Learns at once what is appended under the one ballot.
struct MemoryLog {
    events: Sender<LogEvent>,
    position: Mutex<u64>,
    ballot: Ballot,
    /// Told of each try.
    appended: Sender<()>,
    /// The rest of the ensemble, if there is one.
    others: Arc<Mutex<Option<Others>>>,
    /// Told of each round that is asked for.
    rounds: Sender<(Ballot, u64)>,
    /// How often it was asked to hand over.
    asked: Arc<AtomicU32>,
    level: Arc<AtomicU32>,
}

#[derive(Clone, Copy, Default)]
struct Others {
    /// The round of the leader's ballot, as the log believes.
    leader: Option<u64>,
    /// Whether one of them is ready to lead.
    take_over: bool,
}

/// The round of a term whose log has closed.
const CLOSED: u64 = 9;

impl LogPort for MemoryLog {
    async fn append(
        &self,
        ballot: Ballot,
        ticket: u64,
        payload: Vec<u8>,
    ) -> Result<(), AppendError> {
        self.appended.send(()).await.unwrap();
        // A term's first entry, which says where the leader is, gets through.
        if ballot != self.ballot && *self.position.lock().unwrap() > 0 {
            return match ballot.round {
                CLOSED => Err(AppendError::Closed),
                _ => Err(AppendError::NotCoordinator),
            };
        }
        let position = {
            let mut position = self.position.lock().unwrap();
            *position += 1;
            Position(*position)
        };
        let event = LogEvent::Learned {
            position,
            ballot,
            ticket: Some(ticket),
            payload: payload.into(),
        };
        self.events
            .send(event)
            .await
            .map_err(|_| AppendError::Closed)
    }

    async fn truncate(&self, _: Ballot, _: Position) -> Result<(), AppendError> {
        Ok(())
    }

    async fn read(&self, ballot: Ballot, token: u64) -> Result<(), AppendError> {
        self.rounds.send((ballot, token)).await.unwrap();
        Ok(())
    }

    fn feature_level(&self) -> u32 {
        self.level.load(Ordering::Relaxed)
    }

    fn is_alone(&self) -> bool {
        self.others.lock().unwrap().is_none()
    }

    fn leader(&self) -> Option<u64> {
        self.others
            .lock()
            .unwrap()
            .as_ref()
            .and_then(|it| it.leader)
    }

    async fn hand_over(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let others = self.others.lock().unwrap();
        others.as_ref().is_some_and(|it| it.take_over)
    }
}

struct FakeDriver {
    commands: Sender<DriverCommand>,
    terms: Sender<Option<u64>>,
    leader: Arc<Mutex<Option<String>>>,
}

impl Driver for FakeDriver {
    fn command(&self, command: DriverCommand) {
        self.commands.try_send(command).unwrap();
    }

    fn lead(&self, ballot: u64) {
        self.terms.try_send(Some(ballot)).unwrap();
    }

    fn set_leader(&self, leader: Option<String>) {
        *self.leader.lock().unwrap() = leader;
    }

    fn stand_down(&self) {
        self.terms.try_send(None).unwrap();
    }
}

struct Bench {
    handle: Handle,
    fiber: Fiber<Result<(), RunError>>,
    log: Sender<LogEvent>,
    driver: Sender<DriverEvent>,
    orders: Receiver<DriverCommand>,
    terms: Receiver<Option<u64>>,
    stop: rt::ShutdownTrigger,
    ballot: Ballot,
    appended: Receiver<()>,
    others: Arc<Mutex<Option<Others>>>,
    rounds: Receiver<(Ballot, u64)>,
    leader: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicU32>,
    level: Arc<AtomicU32>,
}

fn bench() -> Bench {
    bench_for(Duration::from_secs(3_600))
}

fn bench_for(max_leading: Duration) -> Bench {
    let (rounds_in, rounds) = bounded(100);
    let others = Arc::default();
    let asked = Arc::default();
    let level = Arc::new(AtomicU32::new(1));
    let leader = Arc::default();
    let (log, log_events) = bounded(1_000);
    let (driver, driver_events) = bounded(1_000);
    let (commands, orders) = bounded(1_000);
    let (terms_in, terms) = bounded(10);
    let (stop, shutdown) = Shutdown::new();
    let (tell, appended) = bounded(1_000);
    let ballot = Ballot {
        round: 7,
        ..Ballot::ZERO
    };
    let port = MemoryLog {
        events: log.clone(),
        position: Mutex::new(0),
        ballot,
        appended: tell,
        others: Arc::clone(&others),
        rounds: rounds_in,
        asked: Arc::clone(&asked),
        level: Arc::clone(&level),
    };
    let fake = Arc::new(FakeDriver {
        commands,
        terms: terms_in,
        leader: Arc::clone(&leader),
    });
    let options = Options {
        engine: EngineOptions::default(),
        queue: 16,
        address: "here:8081".into(),
        agents_address: "here:8083".into(),
        max_leading,
        awaits_master: None,
        backups: None,
        coordinators: None,
    };
    let (handle, fiber) = start(options, port, log_events, fake, driver_events, shutdown);
    Bench {
        handle,
        fiber,
        log,
        driver,
        orders,
        terms,
        stop,
        ballot,
        appended,
        others,
        rounds,
        leader,
        asked,
        level,
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    rt::timeout(Duration::from_secs(10), future)
        .await
        .expect("it happens soon")
}

/// Waits until the view satisfies `what`.
async fn until(handle: &Handle, what: impl Fn(&super::super::handle::View) -> bool) {
    soon(async {
        while !what(&handle.view()) {
            rt::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn job(name: &str) -> Command {
    let key = JobKey::new("role", "prod", name).unwrap();
    let config = TaskConfig {
        job: key.clone(),
        owner: None,
        is_service: true,
        priority: 0,
        max_task_failures: 1,
        production: false,
        tier: None,
        resources: Resources::default(),
        port_names: Default::default(),
        names_gpus: false,
        constraints: Default::default(),
        fetcher_uris: Default::default(),
        task_links: Default::default(),
        contact_email: None,
        executor: None,
        metadata: Default::default(),
        partition_policy: None,
        sla_policy: None,
        container: Container::default(),
    };
    Command::CreateJob {
        job: JobConfiguration {
            key,
            owner: None,
            cron_schedule: None,
            cron_collision_policy: Default::default(),
            task: Arc::new(config),
            instance_count: 1,
        },
        user: "u".into(),
    }
}

#[test]
fn whoever_leads_is_shown_to_lead_before_the_first_command_is_answered() {
    rt::block_on(async {
        let bench = bench();
        let handle = &bench.handle;
        let ballot = bench.ballot;
        // The view has been made a moment ago, and is made anew only now and then.
        bench.log.send(LogEvent::Leading { ballot }).await.unwrap();
        assert_eq!(soon(bench.terms.recv()).await, Ok(Some(7)));
        let reply = loop {
            match soon(handle.submit(None, job("j"))).await {
                Err(SubmitError::NotReady) => rt::sleep(Duration::from_millis(1)).await,
                answered => break answered.unwrap(),
            }
        };
        assert_eq!(reply.code, ReplyCode::Ok);
        assert_eq!(handle.view().lifecycle, Lifecycle::Active);
        assert_eq!(handle.view().leader.as_deref(), Some("here:8081"));

        bench
            .log
            .send(LogEvent::Discarded { ballot })
            .await
            .unwrap();
        assert_eq!(soon(bench.terms.recv()).await, Ok(None));
        until(handle, |v| v.lifecycle == Lifecycle::StoragePrepared).await;
    });
}

#[test]
fn a_command_waits_for_leading_and_its_task_goes_through_the_driver() {
    rt::block_on(async {
        let bench = bench();
        let handle = &bench.handle;
        bench
            .log
            .send(LogEvent::Status(ReplicaStatus::Empty))
            .await
            .unwrap();
        until(handle, |v| {
            v.lifecycle == Lifecycle::StoragePrepared && v.replica == "EMPTY"
        })
        .await;
        assert_eq!(
            handle.submit(None, job("j")).await,
            Err(SubmitError::NotReady)
        );
        assert_eq!(handle.read().await.err(), Some(NotReady));

        let ballot = bench.ballot;
        bench.log.send(LogEvent::Leading { ballot }).await.unwrap();
        until(handle, |v| v.lifecycle == Lifecycle::Active).await;
        assert_eq!(soon(bench.terms.recv()).await, Ok(Some(7)));
        assert_eq!(handle.view().leader.as_deref(), Some("here:8081"));

        let reply = soon(handle.submit(None, job("j"))).await.unwrap();
        assert_eq!(reply.code, ReplyCode::Ok);
        let tables = handle.read().await.unwrap();
        let task = tables.tasks().next().unwrap().id.clone();
        let offer = AgentOffer {
            agent: AgentId::new("a"),
            session: AgentSession(1),
            host: "h".into(),
            total: Resources::default(),
            ports: Ports::default(),
            attributes: Vec::new(),
        };
        let up = DriverEvent::AgentUp {
            offer,
            tasks: Vec::new(),
        };
        bench.driver.send(up).await.unwrap();
        let order = soon(bench.orders.recv()).await.unwrap();
        assert!(matches!(order, DriverCommand::Launch { ref order, .. } if order.task == task));
        let report = TaskReport {
            task: task.clone(),
            sequence: 1,
            state: TaskState::Running,
            message: None,
            at: clock::wall(),
        };
        let agent = AgentId::new("a");
        bench
            .driver
            .send(DriverEvent::Status { agent, report })
            .await
            .unwrap();
        let order = soon(bench.orders.recv()).await.unwrap();
        assert!(
            matches!(&order, DriverCommand::Acknowledge { reports, .. } if reports[0].1 == 1),
            "{order:?}"
        );
        assert_eq!(handle.tables().count(ScheduleStatus::Running), 1);

        bench.stop.fire();
        soon(bench.fiber.join()).await.unwrap();
        assert_eq!(bench.handle.view().lifecycle, Lifecycle::Dead);
        assert_eq!(
            bench.handle.submit(None, job("k")).await,
            Err(SubmitError::NotReady)
        );
        assert_eq!(soon(bench.terms.recv()).await, Ok(None));
    });
}

#[test]
fn a_refused_entry_ends_the_term_and_its_command_is_unknown() {
    rt::block_on(async {
        let bench = bench();
        let ballot = Ballot {
            round: 8,
            ..Ballot::ZERO
        };
        bench.log.send(LogEvent::Leading { ballot }).await.unwrap();
        until(&bench.handle, |v| v.lifecycle == Lifecycle::Active).await;
        let reply = soon(bench.handle.submit(None, job("j"))).await;
        assert_eq!(reply, Err(SubmitError::Unknown));
        until(&bench.handle, |v| v.lifecycle == Lifecycle::StoragePrepared).await;
        assert_eq!(bench.handle.tables().task_count(), 0);
    });
}

#[test]
fn a_failed_log_ends_the_scheduler() {
    rt::block_on(async {
        let bench = bench();
        let reason = "no space".to_owned();
        bench.log.send(LogEvent::Poisoned { reason }).await.unwrap();
        let ended = soon(bench.fiber.join()).await;
        assert!(matches!(ended, Err(RunError::Poisoned(_))), "{ended:?}");
    });
}

#[test]
fn the_loop_turns_even_if_nothing_happens() {
    rt::block_on(async {
        let bench = bench();
        let first = bench.handle.last_turn();
        soon(async {
            while bench.handle.last_turn() <= first {
                rt::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    });
}

#[test]
fn a_log_that_closed_because_its_disk_failed_says_so_before_anything_ends() {
    rt::block_on(async {
        let (bench, closed) = (
            bench(),
            Ballot {
                round: CLOSED,
                ..Ballot::ZERO
            },
        );
        bench
            .log
            .send(LogEvent::Leading { ballot: closed })
            .await
            .unwrap();
        until(&bench.handle, |v| v.lifecycle == Lifecycle::Active).await;
        let handle = bench.handle.clone();
        let asked = rt::spawn(
            "command",
            async move { handle.submit(None, job("j")).await },
        );
        soon(bench.appended.recv()).await.unwrap();
        soon(bench.appended.recv()).await.unwrap();
        let reason = "no space".to_owned();
        bench.log.send(LogEvent::Poisoned { reason }).await.unwrap();
        let ended = soon(bench.fiber.join()).await;
        assert!(matches!(ended, Err(RunError::Poisoned(_))), "{ended:?}");
        assert_eq!(soon(asked.join()).await, Err(SubmitError::Unknown));
    });
}

#[test]
fn what_was_not_taken_before_the_end_is_refused() {
    rt::block_on(async {
        for _ in 0..50 {
            let bench = bench();
            // As if it had been submitted just before the stop; it comes while the loop ends, mostly.
            let (reply, answer) = bounded(1);
            let submission = Submission {
                request: None,
                command: job("late"),
                at: clock::now(),
                reply,
            };
            bench.stop.fire();
            let (reader, tables) = bounded(1);
            let taken = bench.handle.force(submission);
            let read = bench.handle.force_read(reader);
            soon(bench.fiber.join()).await.unwrap();
            if taken {
                assert_eq!(soon(answer.recv()).await, Ok(Err(SubmitError::NotReady)));
            }
            if read {
                assert_eq!(soon(tables.recv()).await.unwrap().err(), Some(NotReady));
            }
        }
    });
}

/// An entry of another scheduler that leads.
fn announcement(term: u64, version: u64) -> LogEvent {
    let leader = Leader {
        term,
        http: format!("there{term}:8081"),
        agents: format!("there{term}:8083"),
    };
    let record = Record::Ops {
        term,
        version,
        ops: vec![Op::SetLeader(leader)],
    };
    LogEvent::Learned {
        position: Position(version),
        ballot: Ballot::ZERO,
        ticket: None,
        payload: encode(&record).into(),
    }
}

#[test]
fn a_follower_knows_the_leader_as_long_as_the_log_believes_it_alive() {
    rt::block_on(async {
        let bench = bench();
        let set = |leader| {
            *bench.others.lock().unwrap() = Some(Others {
                leader,
                ..Others::default()
            });
        };
        set(Some(4));
        bench.log.send(announcement(3, 1)).await.unwrap();
        bench.log.send(announcement(4, 2)).await.unwrap();
        let handle = &bench.handle;
        until(handle, |v| v.leader.as_deref() == Some("there4:8081")).await;
        assert_eq!(bench.leader.lock().unwrap().as_deref(), Some("there4:8083"));
        // The tables that have been followed are shown too, less often.
        until(handle, |_| {
            handle.tables().leader().is_some_and(|it| it.term == 4)
        })
        .await;
        assert_eq!(handle.read().await.err(), Some(NotReady));
        // A term whose leader has not said yet where it is, then none.
        for believed in [Some(5), None] {
            set(Some(4));
            until(handle, |v| v.leader.is_some()).await;
            set(believed);
            until(handle, |v| v.leader.is_none()).await;
        }
        assert_eq!(*bench.leader.lock().unwrap(), None);
    });
}

#[test]
fn a_read_in_an_ensemble_waits_for_its_round() {
    rt::block_on(async {
        let bench = bench();
        *bench.others.lock().unwrap() = Some(Others::default());
        let ballot = bench.ballot;
        bench.log.send(LogEvent::Leading { ballot }).await.unwrap();
        until(&bench.handle, |v| v.lifecycle == Lifecycle::Active).await;
        let read = |name| {
            let handle = bench.handle.clone();
            rt::spawn(name, async move { handle.read().await })
        };
        let first = read("first read");
        let (asked, token) = soon(bench.rounds.recv()).await.unwrap();
        assert_eq!(asked, ballot);
        let reply = soon(bench.handle.submit(None, job("j"))).await.unwrap();
        assert_eq!(reply.code, ReplyCode::Ok);
        bench.log.send(LogEvent::ReadReady { token }).await.unwrap();
        let tables = soon(first.join()).await.unwrap();
        assert_eq!(tables.task_count(), 1, "what was learned before is seen");

        let second = read("second read");
        let (_, token) = soon(bench.rounds.recv()).await.unwrap();
        bench
            .log
            .send(LogEvent::ReadFailed { token })
            .await
            .unwrap();
        assert_eq!(soon(second.join()).await.err(), Some(NotReady));

        let third = read("third read");
        soon(bench.rounds.recv()).await.unwrap();
        bench
            .log
            .send(LogEvent::Discarded { ballot })
            .await
            .unwrap();
        assert_eq!(soon(third.join()).await.err(), Some(NotReady));
    });
}

#[test]
fn a_term_that_lasted_long_enough_is_handed_over_if_somebody_can_lead() {
    rt::block_on(async {
        let bench = bench_for(Duration::from_millis(50));
        *bench.others.lock().unwrap() = Some(Others {
            take_over: true,
            ..Others::default()
        });
        let ballot = bench.ballot;
        bench.log.send(LogEvent::Leading { ballot }).await.unwrap();
        soon(async {
            while bench.asked.load(Ordering::Relaxed) == 0 {
                rt::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let refused = soon(bench.handle.submit(None, job("j"))).await;
        assert_eq!(refused, Err(SubmitError::NotReady));
        bench
            .log
            .send(LogEvent::Discarded { ballot })
            .await
            .unwrap();
        until(&bench.handle, |v| v.lifecycle == Lifecycle::StoragePrepared).await;
    });
}

#[test]
fn who_cannot_hand_over_leads_on() {
    rt::block_on(async {
        for others in [None, Some(Others::default())] {
            let bench = bench_for(Duration::from_millis(30));
            *bench.others.lock().unwrap() = others;
            let ballot = bench.ballot;
            bench.log.send(LogEvent::Leading { ballot }).await.unwrap();
            until(&bench.handle, |v| v.lifecycle == Lifecycle::Active).await;
            rt::sleep(Duration::from_millis(100)).await;
            soon(async {
                while bench.handle.submit(None, job("j")).await.is_err() {
                    rt::sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
        }
    });
}

#[test]
fn what_a_newer_program_wrote_is_not_applied_and_ends_nothing() {
    rt::block_on(async {
        let bench = bench();
        *bench.others.lock().unwrap() = Some(Others {
            leader: Some(4),
            ..Others::default()
        });
        bench.log.send(announcement(4, 1)).await.unwrap();
        let handle = &bench.handle;
        until(handle, |v| v.leader.as_deref() == Some("there4:8081")).await;
        let newer = Record::Ops {
            term: 4,
            version: 2,
            ops: Vec::new(),
        };
        let learned = |position, payload: Vec<u8>| LogEvent::Learned {
            position: Position(position),
            ballot: Ballot::ZERO,
            ticket: None,
            payload: payload.into(),
        };
        let above = stamp::feature_level() + 1;
        let newer = learned(2, encode_at(&newer, above));
        bench.log.send(newer).await.unwrap();
        until(handle, |v| v.replica == OUTDATED).await;
        // What it could read builds on what it could not.
        bench.log.send(announcement(5, 3)).await.unwrap();
        let voting = LogEvent::Status(ReplicaStatus::Voting);
        bench.log.send(voting).await.unwrap();
        until(handle, |v| v.lifecycle == Lifecycle::StoragePrepared).await;
        assert_eq!(handle.view().replica, OUTDATED);
        assert_eq!(handle.tables().version(), 1, "nothing behind it is applied");
        // The log would never let it: but if it did, nothing may be decided from old tables.
        let ballot = bench.ballot;
        bench.log.send(LogEvent::Leading { ballot }).await.unwrap();
        let ended = soon(bench.fiber.join()).await;
        assert!(matches!(ended, Err(RunError::Outdated(it)) if it == above));
    });
}

#[test]
fn entries_are_written_for_the_level_that_the_log_has_and_a_newer_log_is_not_led() {
    rt::block_on(async {
        let bench = bench();
        let above = stamp::feature_level() + 1;
        bench.level.store(above, Ordering::Relaxed);
        let voting = LogEvent::Status(ReplicaStatus::Voting);
        bench.log.send(voting).await.unwrap();
        until(&bench.handle, |v| v.replica == OUTDATED).await;
        assert!(bench.appended.try_recv().is_err());
    });
}
