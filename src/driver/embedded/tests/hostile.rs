//! Peers that lie, hang or go away.

use super::*;

/// A scheduler in the hands of the test.
struct Raw(FrameReader, FrameWriter);

impl Raw {
    async fn accept(listener: &TcpListener) -> Self {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut preamble = [0; 16];
        stream.read_exact(&mut preamble).await.unwrap();
        let limit = MESSAGE_BYTES_MAX;
        let accepted = frames::accept(stream, Protocol::Agent, &key(1), limit, PATIENCE).await;
        let Connection { reader, writer, .. } = accepted.unwrap();
        Self(reader, writer)
    }

    async fn hear(&mut self) -> Result<AgentMessage, ConnectionError> {
        let bytes = soon("a message", self.0.receive()).await?;
        Ok(AgentMessage::decode(&bytes).unwrap())
    }

    async fn say(&mut self, message: SchedulerMessage) {
        self.1.send(&message.encode().unwrap()).await.unwrap();
    }
}

#[test]
fn an_order_with_a_lower_ballot_ends_the_connection_and_is_not_obeyed() {
    rt::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let disk = Arc::default();
        let agent = agent(&disk, config(&[listener.local_addr().unwrap()], 1));
        let mut scheduler = Raw::accept(&listener).await;
        assert!(
            matches!(scheduler.hear().await, Ok(AgentMessage::Hello(h)) if h.highest_ballot == 0)
        );
        scheduler.say(SchedulerMessage::Welcome { ballot: 5 }).await;
        assert!(matches!(
            scheduler.hear().await,
            Ok(AgentMessage::Tasks { last: true, .. })
        ));
        let launch = |ballot, n| SchedulerMessage::Order {
            ballot,
            order: Order::Launch {
                order: order(n),
                session: AgentSession(1),
            },
        };
        scheduler.say(launch(6, 0)).await;
        until("a higher ballot is stored and obeyed", || {
            disk.lock().unwrap().starts.len() == 1
        })
        .await;
        assert_eq!(disk.lock().unwrap().ballot, 6);
        // An order for an earlier session is left alone: a new one follows for this session.
        let mut late = launch(6, 2);
        if let SchedulerMessage::Order {
            order: Order::Launch { session, .. },
            ..
        } = &mut late
        {
            *session = AgentSession(0);
        }
        scheduler.say(late).await;
        scheduler.say(launch(5, 1)).await;
        while let Ok(message) = scheduler.hear().await {
            let about_late =
                matches!(&message, AgentMessage::Report(report) if report.task == task(2));
            assert!(!about_late, "{message:?}");
        }
        assert_eq!(disk.lock().unwrap().starts.len(), 1);
        // It comes back and says whom it obeys; a welcome of the deposed one is not believed.
        let mut scheduler = Raw::accept(&listener).await;
        assert!(
            matches!(scheduler.hear().await, Ok(AgentMessage::Hello(h)) if h.highest_ballot == 6)
        );
        scheduler.say(SchedulerMessage::Welcome { ballot: 5 }).await;
        assert!(scheduler.hear().await.is_err());
        assert!(!agent.fake.disk().starts.contains_key(&task(1)));
    });
}

#[test]
fn a_wrong_key_is_refused_and_the_right_one_still_works() {
    rt::block_on(async {
        let side = side(EmbeddedOptions::default()).await;
        side.driver.lead(1);
        let stream = TcpStream::connect(side.address).await.unwrap();
        let dialed = frames::dial(stream, Protocol::Agent, &key(2), 100, PATIENCE).await;
        assert!(matches!(
            dialed,
            Err(ConnectionError::Handshake(HandshakeError::WrongKey(
                KeyKind::Agent
            )))
        ));
        let _agent = agent(&Arc::default(), config(&[side.address], 1));
        side.up().await;
    });
}

#[test]
fn two_copies_of_one_agent_are_not_served_at_once() {
    rt::block_on(async {
        let side = side(EmbeddedOptions::default()).await;
        side.driver.lead(1);
        let disk = Arc::default();
        let first = agent(&disk, config(&[side.address], 1));
        side.up().await;
        let mut copied = config(&[side.address], 2);
        copied.place = "elsewhere".to_owned();
        let _copy = agent(&Arc::default(), copied);
        assert!(
            rt::timeout(Duration::from_millis(200), side.events.recv())
                .await
                .is_err()
        );
        // The same place with another session is the same agent, restarted.
        let _restarted = agent(&disk, config(&[side.address], 3));
        assert_eq!(side.up().await.0.session, AgentSession(3));
        drop(first);
    });
}

#[test]
fn a_dead_agent_is_reported_down_and_one_that_returns_in_time_is_not() {
    rt::block_on(async {
        let side = side(EmbeddedOptions {
            agent_timeout: Duration::from_millis(1_500),
            ..EmbeddedOptions::default()
        })
        .await;
        side.driver.lead(1);
        let disk = Arc::default();
        let first = agent(&disk, config(&[side.address], 1));
        side.up().await;
        drop(first);
        let second = agent(&disk, config(&[side.address], 2));
        assert_eq!(side.up().await.0.session, AgentSession(2));
        drop(second);
        let down = DriverEvent::AgentDown {
            agent: AgentId::new("a1"),
            session: AgentSession(2),
        };
        assert_eq!(side.event().await, down);
        // One that says nothing, its connection open, is found too.
        let stream = TcpStream::connect(side.address).await.unwrap();
        let limit = MESSAGE_BYTES_MAX;
        let dialed = frames::dial(stream, Protocol::Agent, &key(1), limit, PATIENCE).await;
        let mut mute = dialed.unwrap();
        let (fake, _reports) = Fake::new("a1", &disk);
        let hello = session::hello(&fake, &config(&[side.address], 3), false);
        let last = AgentMessage::Tasks {
            last: true,
            reports: Vec::new(),
        };
        for message in [AgentMessage::Hello(hello), last] {
            mute.writer.send(&message.encode().unwrap()).await.unwrap();
        }
        side.up().await;
        assert!(
            matches!(side.event().await, DriverEvent::AgentDown { session, .. } if session.0 == 3)
        );
    });
}

#[test]
fn an_agent_that_takes_no_orders_loses_its_connection() {
    rt::block_on(async {
        let side = side(EmbeddedOptions {
            orders: 8,
            ..EmbeddedOptions::default()
        })
        .await;
        side.driver.lead(1);
        let _agent = agent(&Arc::default(), config(&[side.address], 1));
        let (offer, _) = side.up().await;
        // More than the queue holds, without giving the connection a chance to send.
        for n in 0..2_000 {
            side.launch(&offer, offer.session, n);
        }
        let tasks = loop {
            if let DriverEvent::AgentUp { tasks, .. } = side.event().await {
                break tasks;
            }
        };
        assert!(tasks.len() < 2_000, "what was dropped is not there");
    });
}

#[test]
fn a_scheduler_that_goes_silent_is_left_within_its_time() {
    rt::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut impatient = config(&[listener.local_addr().unwrap()], 1);
        impatient.timing.dead_after = Duration::from_millis(150);
        let agent = agent(&Arc::default(), impatient);
        let mut mute = Raw::accept(&listener).await;
        mute.hear().await.unwrap();
        mute.say(SchedulerMessage::Welcome { ballot: 1 }).await;
        let mut next = soon("another attempt", Raw::accept(&listener)).await;
        assert!(matches!(next.hear().await, Ok(AgentMessage::Hello(_))));
        assert_eq!(agent.standing.scheduler(), None);
    });
}

#[test]
fn a_holder_of_the_key_that_sends_nonsense_harms_nobody() {
    rt::block_on(async {
        let side = side(EmbeddedOptions::default()).await;
        side.driver.lead(1);
        let _good = agent(&Arc::default(), config(&[side.address], 1));
        let (offer, _) = side.up().await;
        let (fake, _reports) = Fake::new("a2", &Arc::default());
        let hello = AgentMessage::Hello(session::hello(&fake, &config(&[side.address], 2), false));
        let last = AgentMessage::Tasks {
            last: true,
            reports: Vec::new(),
        };
        let words = [hello.encode().unwrap(), last.encode().unwrap()];
        let mut rng = Rng::from_seed(31);
        for _ in 0..150 {
            let stream = TcpStream::connect(side.address).await.unwrap();
            let limit = MESSAGE_BYTES_MAX;
            let dialed = frames::dial(stream, Protocol::Agent, &key(1), limit, PATIENCE).await;
            let mut bad = dialed.unwrap();
            for word in &words {
                let mut word = word.clone();
                for _ in 0..rng.index(3) {
                    let at = rng.index(word.len());
                    word[at] = rng.next_u64() as u8;
                }
                // The driver may have hung up already.
                bad.writer.send(&word).await.ok();
            }
        }
        side.launch(&offer, offer.session, 0);
        loop {
            if let DriverEvent::Status { agent, report } = side.event().await {
                assert_eq!((agent, report.task), (offer.agent, task(0)));
                break;
            }
        }
    });
}
