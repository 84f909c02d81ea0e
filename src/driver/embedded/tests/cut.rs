//! Connections that are cut at every byte.

use super::*;

/// Forwards connections to `target`, each only so many bytes in either direction.
async fn cutting_proxy(target: SocketAddr, seed: u64, cuts: u32) -> (SocketAddr, Fiber<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let fiber = rt::spawn("proxy", async move {
        let mut rng = Rng::from_seed(seed);
        for round in 0u32.. {
            let (near, _) = listener.accept().await.unwrap();
            let far = TcpStream::connect(target).await.unwrap();
            let budget = |rng: &mut Rng| {
                if round >= cuts {
                    usize::MAX
                } else {
                    100 + rng.index(6_000)
                }
            };
            let (there, back) = (budget(&mut rng), budget(&mut rng));
            let up = forward(near.clone(), far.clone(), there);
            let down = forward(far.clone(), near.clone(), back);
            up.or(down).await;
            near.shutdown(std::net::Shutdown::Both).ok();
            far.shutdown(std::net::Shutdown::Both).ok();
        }
    });
    (address, fiber)
}

async fn forward(mut from: TcpStream, mut to: TcpStream, mut budget: usize) {
    let mut buffer = [0; 512];
    while budget > 0 {
        let Ok(read) = from.read(&mut buffer).await else {
            return;
        };
        let pass = read.min(budget);
        if pass == 0 || to.write_all(&buffer[..pass]).await.is_err() {
            return;
        }
        budget -= pass;
    }
}

/// A small scheduler: launches, acknowledges everything, kills what runs, reconciles.
struct Scheduler {
    side: Side,
    session: AgentSession,
    open: BTreeSet<TaskId>,
    running: BTreeSet<TaskId>,
    lost: BTreeSet<TaskId>,
    next: usize,
}

impl Scheduler {
    fn handle(&mut self, event: DriverEvent, agent: &AgentId) {
        match event {
            DriverEvent::AgentUp { offer, tasks } => {
                self.session = offer.session;
                for report in tasks {
                    self.handle_report(agent, &report);
                }
                let tasks = self.open.iter().cloned().collect();
                self.command(DriverCommand::Reconcile {
                    agent: agent.clone(),
                    tasks,
                });
                for task in self.running.clone() {
                    self.kill(agent, task);
                }
            }
            DriverEvent::Status { report, .. } => self.handle_report(agent, &report),
            DriverEvent::AgentDown { .. } => {}
        }
    }

    fn handle_report(&mut self, agent: &AgentId, report: &TaskReport) {
        self.side.acknowledge(agent, report);
        if report.sequence == UNKNOWN_TASK_SEQUENCE && self.open.contains(&report.task) {
            self.lost.insert(report.task.clone());
        }
        if report.state.is_terminal() {
            self.open.remove(&report.task);
            self.running.remove(&report.task);
        } else if report.state == TaskState::Running && self.open.contains(&report.task) {
            self.running.insert(report.task.clone());
            self.kill(agent, report.task.clone());
        }
    }

    fn kill(&self, agent: &AgentId, task: TaskId) {
        self.command(DriverCommand::Kill {
            agent: agent.clone(),
            task,
        });
    }

    fn command(&self, command: DriverCommand) {
        self.side.driver.command(command);
    }

    fn launch(&mut self, agent: &AgentId) {
        self.open.insert(task(self.next));
        self.command(DriverCommand::Launch {
            agent: agent.clone(),
            session: self.session,
            order: order(self.next),
        });
        self.next += 1;
    }
}

#[test]
fn cut_connections_lose_and_double_nothing() {
    for seed in 0..6 {
        rt::block_on(cut_and_compare(seed));
    }
}

async fn cut_and_compare(seed: u64) {
    const TASKS: usize = 60;
    let side = side(EmbeddedOptions {
        // Sometimes a queue that is often full.
        events: if seed.is_multiple_of(3) { 2 } else { 4_096 },
        ..EmbeddedOptions::default()
    })
    .await;
    side.driver.lead(1 + seed);
    let (proxy, _proxy) = cutting_proxy(side.address, seed, 25).await;
    let disk = Arc::default();
    let mut running = agent(&disk, config(&[proxy], 0));
    let id = AgentId::new("a1");
    let mut rng = Rng::from_seed(seed);
    let mut scheduler = Scheduler {
        side,
        session: AgentSession(0),
        open: BTreeSet::new(),
        running: BTreeSet::new(),
        lost: BTreeSet::new(),
        next: 0,
    };
    let mut runs = 0;
    soon("all tasks end", async {
        loop {
            // On a slow machine many orders find no agent: it goes on until some have found one.
            let is_enough =
                scheduler.next >= TASKS && disk.lock().unwrap().starts.len() > TASKS / 4;
            if is_enough && scheduler.open.is_empty() {
                break;
            }
            if !is_enough && scheduler.open.len() < TASKS && rng.one_in(2) {
                scheduler.launch(&id);
            }
            if runs < 6 && rng.one_in(40) {
                // The agent's own death, its disk left behind.
                runs += 1;
                drop(running);
                running = agent(&disk, config(&[proxy], runs));
            }
            let short = Duration::from_millis(1 + rng.below(5));
            let events = scheduler.side.events.clone();
            if let Ok(event) = rt::timeout(short, events.recv()).await {
                scheduler.handle(event.unwrap(), &id);
            }
        }
        // What is left to acknowledge.
        while !disk.lock().unwrap().latest.is_empty() {
            let events = scheduler.side.events.clone();
            scheduler.handle(events.recv().await.unwrap(), &id);
        }
    })
    .await;
    let disk: MutexGuard<'_, Disk> = disk.lock().unwrap();
    assert!(
        disk.starts.values().all(|n| *n == 1),
        "seed {seed}: a task was started twice"
    );
    for n in 0..scheduler.next {
        let ran = disk.starts.contains_key(&task(n));
        let lost = scheduler.lost.contains(&task(n));
        // Reported as unknown after its end was acknowledged would have been taken off `open` before.
        assert!(
            ran != lost,
            "seed {seed}: task {n} ran: {ran}, lost: {lost}"
        );
    }
    let ended: Vec<_> = disk.ended.iter().collect();
    assert_eq!(
        ended,
        disk.starts.keys().collect::<Vec<_>>(),
        "all that ran was acknowledged"
    );
}
