//! One connection to one scheduler, from dialing to its end.

use super::ledger::Ledger;
use super::obey::{self, Obeyer, OrderError};
use super::pump::Pump;
use super::{SessionConfig, Standing, Timing, hello};
use crate::agent::host::HostError;
use crate::agent::proto::{
    AgentMessage, Hello, MESSAGE_BYTES_MAX, ProtoError, REPORTS_PER_MESSAGE, SchedulerMessage,
};
use crate::agent::runner::TaskRunner;
use crate::base::clock;
use crate::model::TaskReport;
use crate::net::Protocol;
use crate::net::frames::{self, Connection, ConnectionError, FrameReader, FrameWriter};
use crate::rt;
use async_channel::Receiver;
use futures_lite::{FutureExt, future};
use smol::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use thiserror::Error;

/// How many messages wait to be sent at most.
const OUTBOX: usize = 1_024;

/// How many bytes are put together before they are sent.
const BATCH_BYTES: usize = 256 << 10;

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// It never came to a welcome.
    Failed(LinkError),
    /// The scheduler does not want us.
    Refused {
        reason: String,
        leader: Option<String>,
    },
    /// It was good for a while.
    Served(LinkError),
}

/// Why a connection is over.
#[derive(Debug, Error)]
pub(super) enum LinkError {
    #[error("{0}")]
    Connection(#[from] ConnectionError),
    #[error("it leads with ballot {ballot}, but ballot {highest} was obeyed here already")]
    Deposed { ballot: u64, highest: u64 },
    #[error("store its ballot: {0}")]
    Fence(#[from] HostError),
    #[error("it sent us away: {0}")]
    Dismissed(String),
    #[error("what this machine offers has changed")]
    OfferChanged,
    #[error("nothing was heard for {0:?}")]
    Silent(Duration),
    #[error("{0}")]
    Proto(#[from] ProtoError),
    #[error("it sent {0} out of turn")]
    Unexpected(&'static str),
    #[error("it does not take what we send")]
    Stuck,
}

impl From<OrderError> for LinkError {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::Deposed { ballot, highest } => Self::Deposed { ballot, highest },
            OrderError::Fence(error) => Self::Fence(error),
            OrderError::OutboxClosed => Self::Stuck,
        }
    }
}

/// The two halves share it: one notes what was sent, the other what was acknowledged.
pub(super) type SharedLedger = Arc<Mutex<Ledger>>;

/// Dials `scheduler` and serves it until the connection ends.
pub(super) async fn serve<R: TaskRunner>(
    runner: &R,
    pump: &Pump,
    config: &SessionConfig,
    standing: &Standing,
    scheduler: &str,
) -> End {
    let mut connection = match connect(scheduler, config).await {
        Ok(connection) => connection,
        Err(error) => return End::Failed(error),
    };
    let drains = standing.is_draining();
    let ballot = match greet(
        &mut connection,
        runner,
        &hello(runner, config, drains),
        config,
    )
    .await
    {
        Ok(Greeting::Welcome(ballot)) => ballot,
        Ok(Greeting::Refused { reason, leader }) => return End::Refused { reason, leader },
        Err(error) => return End::Failed(error),
    };
    log::info!("connected to scheduler {scheduler}, which leads with ballot {ballot}");
    standing.set(Some(scheduler));
    let (outbox, waiting) = async_channel::bounded(OUTBOX);
    // From here on no report is missed: those made before are among the host's latest ones.
    pump.connect(outbox.clone());
    let ledger = SharedLedger::default();
    let obeyer = Obeyer {
        runner,
        session: config.session,
        outbox,
        ledger: Arc::clone(&ledger),
    };
    let changed = standing.drain.differs_from(drains);
    let talk = converse(connection, &obeyer, config.timing, ledger, waiting, changed);
    let why = talk.await;
    pump.disconnect();
    standing.set(None);
    End::Served(why)
}

async fn connect(scheduler: &str, config: &SessionConfig) -> Result<Connection, LinkError> {
    let patience = config.timing.connect;
    let stream = rt::timeout(patience, TcpStream::connect(scheduler))
        .await
        .map_err(|_| ConnectionError::Slow {
            what: "connecting",
            limit: patience,
        })?
        .map_err(ConnectionError::Io)?;
    let limit = MESSAGE_BYTES_MAX;
    Ok(frames::dial(stream, Protocol::Agent, &config.key, limit, patience).await?)
}

enum Greeting {
    Refused {
        reason: String,
        leader: Option<String>,
    },
    Welcome(u64),
}

/// Says who we are, and believes the answer only if the leader is not older than one before it.
async fn greet<R: TaskRunner>(
    connection: &mut Connection,
    runner: &R,
    hello: &Hello,
    config: &SessionConfig,
) -> Result<Greeting, LinkError> {
    let words = AgentMessage::Hello(hello.clone());
    let words = words.encode().ok_or(LinkError::Stuck)?;
    let patience = config.timing.connect;
    flush_in_time(&mut connection.writer, patience, |w| w.feed(&words)).await?;
    match receive(&mut connection.reader, patience).await? {
        SchedulerMessage::Welcome { ballot } => {
            obey::check_fence(runner, ballot).await?;
            Ok(Greeting::Welcome(ballot))
        }
        SchedulerMessage::Refuse { leader, reason } => Ok(Greeting::Refused { reason, leader }),
        SchedulerMessage::Heartbeat | SchedulerMessage::Order { .. } => {
            Err(LinkError::Unexpected("something before a welcome"))
        }
    }
}

/// Reads and writes until one of both ends, or `changed` does. An order that was begun is always carried out.
async fn converse<R: TaskRunner>(
    connection: Connection,
    obeyer: &Obeyer<'_, R>,
    timing: Timing,
    ledger: SharedLedger,
    waiting: Receiver<AgentMessage>,
    changed: impl Future<Output = ()>,
) -> LinkError {
    let Connection {
        mut reader,
        writer,
        hangup,
    } = connection;
    let speaker = Speaker {
        writer,
        waiting,
        ledger,
        timing,
    };
    let speaking = {
        let (runner, hangup) = (obeyer.runner.clone(), hangup.clone());
        rt::spawn("agent-speaker", async move {
            let why = speaker.run(&runner).await;
            // Wakes the reading half.
            hangup.hang_up();
            why
        })
    };
    let mut changed = std::pin::pin!(changed);
    let why = loop {
        let changed = async {
            changed.as_mut().await;
            Err(LinkError::OfferChanged)
        };
        let message = receive(&mut reader, timing.dead_after).or(changed);
        let message = match message.await {
            Ok(message) => message,
            Err(error) => break error,
        };
        let handled = match message {
            SchedulerMessage::Heartbeat => Ok(()),
            SchedulerMessage::Order { ballot, order } => obeyer.handle_order(ballot, order).await,
            SchedulerMessage::Refuse { reason, .. } => break LinkError::Dismissed(reason),
            SchedulerMessage::Welcome { .. } => break LinkError::Unexpected("a second welcome"),
        };
        if let Err(error) = handled {
            break error.into();
        }
        // Orders may come without end; reports have their turn all the same.
        future::yield_now().await;
    };
    hangup.hang_up();
    speaking.cancel().await.unwrap_or(why)
}

async fn receive(
    reader: &mut FrameReader,
    patience: Duration,
) -> Result<SchedulerMessage, LinkError> {
    let bytes = rt::timeout(patience, reader.receive())
        .await
        .map_err(|_| LinkError::Silent(patience))??;
    Ok(SchedulerMessage::decode(&bytes)?)
}

async fn flush_in_time(
    writer: &mut FrameWriter,
    patience: Duration,
    fill: impl FnOnce(&mut FrameWriter),
) -> Result<(), LinkError> {
    fill(writer);
    rt::timeout(patience, writer.flush())
        .await
        .map_err(|_| LinkError::Stuck)??;
    Ok(())
}

/// The writing half.
struct Speaker {
    writer: FrameWriter,
    waiting: Receiver<AgentMessage>,
    ledger: SharedLedger,
    timing: Timing,
}

impl Speaker {
    async fn run(mut self, runner: &impl TaskRunner) -> LinkError {
        match self.speak(runner).await {
            Ok(()) => LinkError::Stuck,
            Err(error) => error,
        }
    }

    /// Sends all tasks, then what waits; heartbeats and unacknowledged reports in between.
    async fn speak(&mut self, runner: &impl TaskRunner) -> Result<(), LinkError> {
        self.send_tasks(runner.reports()).await?;
        let mut beat = clock::now() + self.timing.heartbeat;
        loop {
            let tick = async {
                rt::sleep_until(beat).await;
                Ok(None)
            };
            let waiting = &self.waiting;
            let next = async { waiting.recv().await.map(Some) };
            match next.or(tick).await {
                Ok(Some(message)) => self.feed_with_followers(message),
                Ok(None) => {
                    beat = clock::now() + self.timing.heartbeat;
                    self.feed(&AgentMessage::Heartbeat);
                    self.feed_unacknowledged(runner.reports());
                }
                Err(_) => return Ok(()),
            }
            flush_in_time(&mut self.writer, self.timing.dead_after, |_| ()).await?;
        }
    }

    async fn send_tasks(&mut self, reports: Vec<TaskReport>) -> Result<(), LinkError> {
        let mut parts: Vec<&[TaskReport]> = reports.chunks(REPORTS_PER_MESSAGE).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let count = parts.len();
        for (n, part) in parts.into_iter().enumerate() {
            self.note_sent(part);
            let message = AgentMessage::Tasks {
                last: n + 1 == count,
                reports: part.to_vec(),
            };
            self.feed(&message);
            flush_in_time(&mut self.writer, self.timing.dead_after, |_| ()).await?;
        }
        Ok(())
    }

    fn feed_with_followers(&mut self, first: AgentMessage) {
        let mut message = first;
        loop {
            if let AgentMessage::Report(report) = &message {
                self.note_sent(std::slice::from_ref(report));
            }
            self.feed(&message);
            if self.writer.buffered() >= BATCH_BYTES {
                return;
            }
            match self.waiting.try_recv() {
                Ok(next) => message = next,
                Err(_) => return,
            }
        }
    }

    fn feed_unacknowledged(&mut self, reports: Vec<TaskReport>) {
        let due = {
            let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            ledger.poll_resend(reports, clock::now(), self.timing.resend_after)
        };
        for report in due {
            if self.writer.buffered() >= BATCH_BYTES {
                return;
            }
            self.note_sent(std::slice::from_ref(&report));
            self.feed(&AgentMessage::Report(report));
        }
    }

    fn note_sent(&self, reports: &[TaskReport]) {
        let now = clock::now();
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        for report in reports {
            ledger.handle_sent(&report.task, report.sequence, now);
        }
    }

    fn feed(&mut self, message: &AgentMessage) {
        match message.encode() {
            Some(bytes) => self.writer.feed(&bytes),
            None => log::error!("a message to the scheduler is over the limit and was not sent"),
        }
    }
}
