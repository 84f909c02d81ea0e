//! The loop on a log in memory and a driver that records.

use super::*;
use crate::driver::{AgentOffer, DriverCommand};
use crate::model::{
    AgentId, AgentSession, Container, JobConfiguration, JobKey, Ports, Resources, ScheduleStatus,
    TaskConfig, TaskReport, TaskState,
};
use crate::scheduler::handle::{Command, NotReady, ReplyCode};
use std::sync::Mutex;

/// Learns at once what is appended under the one ballot.
struct MemoryLog {
    events: Sender<LogEvent>,
    position: Mutex<u64>,
    ballot: Ballot,
    /// Told of each try.
    appended: Sender<()>,
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
        if ballot.round == CLOSED {
            return Err(AppendError::Closed);
        }
        if ballot != self.ballot {
            return Err(AppendError::NotCoordinator);
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
}

struct FakeDriver {
    commands: Sender<DriverCommand>,
    terms: Sender<Option<u64>>,
}

impl Driver for FakeDriver {
    fn command(&self, command: DriverCommand) {
        self.commands.try_send(command).unwrap();
    }

    fn lead(&self, ballot: u64) {
        self.terms.try_send(Some(ballot)).unwrap();
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
}

fn bench() -> Bench {
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
    };
    let fake = Arc::new(FakeDriver {
        commands,
        terms: terms_in,
    });
    let options = Options {
        engine: EngineOptions::default(),
        queue: 16,
        address: "here:8081".into(),
        awaits_master: false,
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
            matches!(order, DriverCommand::Acknowledge { sequence: 1, .. }),
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
        let reason = "no space".to_owned();
        bench.log.send(LogEvent::Poisoned { reason }).await.unwrap();
        let ended = soon(bench.fiber.join()).await;
        assert!(matches!(ended, Err(RunError::Poisoned(_))), "{ended:?}");
        assert_eq!(soon(asked.join()).await, Err(SubmitError::Unknown));
    });
}

#[test]
fn commands_that_were_not_taken_before_the_end_are_refused() {
    rt::block_on(async {
        for _ in 0..50 {
            let bench = bench();
            // As if it had been submitted just before the stop; it comes while the loop ends, mostly.
            let (reply, answer) = bounded(1);
            let submission = Submission {
                request: None,
                command: job("late"),
                reply,
            };
            bench.stop.fire();
            let taken = bench.handle.force(submission);
            soon(bench.fiber.join()).await.unwrap();
            if taken {
                assert_eq!(soon(answer.recv()).await, Ok(Err(SubmitError::NotReady)));
            }
        }
    });
}
