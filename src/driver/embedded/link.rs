//! One connection of an agent, from its first byte to its end.

use super::Shared;
use super::registry::{Link, NotSent, Refusal, Term};
use crate::agent::proto::{
    AgentMessage, Hello, MESSAGE_BYTES_MAX, Order, ProtoError, SchedulerMessage,
    UNKNOWN_TASK_SEQUENCE,
};
use crate::base::clock;
use crate::driver::DriverEvent;
use crate::model::{AgentId, TaskReport, TaskState};
use crate::net::frames::{Connection, ConnectionError, FrameReader, FrameWriter, Hangup};
use crate::net::listener::Incoming;
use crate::rt;
use async_channel::Receiver;
use futures_lite::{FutureExt, future};
use std::time::Duration;
use thiserror::Error;

/// How many tasks one agent may have.
const TASKS_MAX: usize = 200_000;

/// How many bytes are put together before they are sent.
const BATCH_BYTES: usize = 256 << 10;

/// Pause before another attempt to put an event into the full queue of the scheduler.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// Longest pause between two messages to an agent.
const HEARTBEAT_MAX: Duration = Duration::from_secs(2);

/// Why a connection is over.
#[derive(Debug, Error)]
enum LinkError {
    #[error("{0}")]
    Connection(#[from] ConnectionError),
    #[error("nothing was heard for {0:?}")]
    Silent(Duration),
    #[error("{0}")]
    Proto(#[from] ProtoError),
    #[error("it was replaced, or this scheduler stood down")]
    Replaced,
    #[error("it does not take what is sent")]
    Stuck,
    #[error("it has more than {TASKS_MAX} tasks")]
    TooManyTasks,
    #[error("it sent {0} out of turn")]
    Unexpected(&'static str),
}

/// Serves one connection until it ends, and gives the agent up if it does not come back.
pub(super) async fn serve(shared: &Shared, stranger: Incoming) {
    let peer = stranger.peer().to_string();
    let (mut connection, _slot) = match stranger.handshake(&shared.key, MESSAGE_BYTES_MAX).await {
        Ok(established) => established,
        Err(error) => {
            if let Some(muted) = shared.strangers.admit(clock::now()) {
                log::warn!("agent connection from {peer}: {error} ({muted} such before)");
            }
            return;
        }
    };
    let (hello, term) = match greet(shared, &mut connection).await {
        Ok(Some(greeted)) => greeted,
        Ok(None) => return,
        Err(error) => {
            log::warn!("agent connection from {peer}: {error}");
            return;
        }
    };
    let ended = async {
        term.ended().await;
    };
    serve_agent(shared, connection, &hello, &term, peer)
        .or(ended)
        .await;
}

/// Hears the hello and answers it. `None` if the agent was refused.
async fn greet(
    shared: &Shared,
    connection: &mut Connection,
) -> Result<Option<(Hello, Term)>, LinkError> {
    let patience = shared.options.patience;
    let AgentMessage::Hello(hello) = receive(&mut connection.reader, patience).await? else {
        return Err(LinkError::Unexpected("something before its hello"));
    };
    match shared.registry.admit(&hello, shared.options.agent_timeout) {
        Ok(term) => {
            let ballot = term.ballot;
            send(
                &mut connection.writer,
                &SchedulerMessage::Welcome { ballot },
                patience,
            )
            .await?;
            Ok(Some((hello, term)))
        }
        Err(refusal) => {
            refuse(shared, connection, refusal).await?;
            Ok(None)
        }
    }
}

async fn refuse(
    shared: &Shared,
    connection: &mut Connection,
    refusal: Refusal,
) -> Result<(), LinkError> {
    let Refusal {
        reason,
        leader,
        alarming,
    } = refusal;
    if alarming && let Some(muted) = shared.refusals.admit(clock::now()) {
        log::error!("refused: {reason} ({muted} refusals before)");
    }
    let message = SchedulerMessage::Refuse { leader, reason };
    send(&mut connection.writer, &message, shared.options.patience).await?;
    Ok(connection.writer.close().await?)
}

async fn serve_agent(
    shared: &Shared,
    connection: Connection,
    hello: &Hello,
    term: &Term,
    peer: String,
) {
    let Connection {
        mut reader,
        writer,
        hangup,
    } = connection;
    let agent = &hello.agent;
    let (outbox, orders) = async_channel::bounded(term.orders);
    let link = Link {
        outbox,
        hangup: hangup.clone(),
        peer,
    };
    let number = match register(shared, &mut reader, hello, term, &link).await {
        Ok(number) => number,
        Err(error) => {
            log::warn!("agent {agent} on {}: {error}", hello.host);
            return;
        }
    };
    log::info!(
        "agent {agent} on {} is connected from {}",
        hello.host,
        link.peer
    );
    let seat = Seat {
        shared,
        term,
        agent,
        number,
    };
    let why = seat.converse(reader, writer, orders, &hangup).await;
    hangup.hang_up();
    if let Some(heard) = shared.registry.handle_lost(term, agent, number) {
        log::warn!("lost agent {agent} on {}: {why}", hello.host);
        rt::sleep_until(heard + shared.options.agent_timeout).await;
        seat.give_up().await;
    }
}

/// Hears all tasks of the agent, and announces it.
async fn register(
    shared: &Shared,
    reader: &mut FrameReader,
    hello: &Hello,
    term: &Term,
    link: &Link,
) -> Result<u64, LinkError> {
    let mut tasks: Vec<TaskReport> = Vec::new();
    loop {
        match receive(reader, shared.options.patience).await? {
            AgentMessage::Tasks { last, reports } => {
                tasks.extend(reports);
                if tasks.len() > TASKS_MAX {
                    return Err(LinkError::TooManyTasks);
                }
                if last {
                    break;
                }
            }
            AgentMessage::Heartbeat => {}
            AgentMessage::Hello(_) | AgentMessage::Report(_) => {
                return Err(LinkError::Unexpected("something before its tasks"));
            }
        }
    }
    loop {
        match shared.registry.register(term, hello, link, &tasks) {
            Ok(number) => return Ok(number),
            Err(NotSent::Full(_)) => rt::sleep(FULL_PAUSE).await,
            Err(NotSent::Over) => return Err(LinkError::Replaced),
        }
    }
}

/// A registered connection.
struct Seat<'a> {
    shared: &'a Shared,
    term: &'a Term,
    agent: &'a AgentId,
    number: u64,
}

impl Seat<'_> {
    /// Reads and writes until one of both ends.
    async fn converse(
        &self,
        reader: FrameReader,
        writer: FrameWriter,
        orders: Receiver<Vec<SchedulerMessage>>,
        hangup: &Hangup,
    ) -> LinkError {
        let listening = async {
            match self.listen(reader).await {
                Ok(()) => LinkError::Replaced,
                Err(error) => error,
            }
        };
        let speaking = async {
            match self.speak(writer, orders).await {
                Ok(()) => LinkError::Stuck,
                Err(error) => error,
            }
        };
        let why = listening.or(speaking).await;
        hangup.hang_up();
        why
    }

    async fn listen(&self, mut reader: FrameReader) -> Result<(), LinkError> {
        loop {
            let event = match receive(&mut reader, self.shared.options.agent_timeout).await? {
                AgentMessage::Heartbeat => None,
                AgentMessage::Report(report) => Some(DriverEvent::Status {
                    agent: self.agent.clone(),
                    report,
                }),
                AgentMessage::Hello(_) => return Err(LinkError::Unexpected("a second hello")),
                AgentMessage::Tasks { .. } => {
                    return Err(LinkError::Unexpected("its tasks again"));
                }
            };
            self.emit(event).await?;
            // Messages may be there without end; the speaking half has its turn all the same.
            future::yield_now().await;
        }
    }

    /// Gives an event to the scheduler; waits while its queue is full, and the agent waits with it.
    async fn emit(&self, mut event: Option<DriverEvent>) -> Result<(), LinkError> {
        let registry = &self.shared.registry;
        loop {
            match registry.handle_heard(self.term, self.agent, self.number, event) {
                Ok(()) => return Ok(()),
                Err(NotSent::Full(back)) => {
                    event = Some(*back);
                    rt::sleep(FULL_PAUSE).await;
                }
                Err(NotSent::Over) => return Err(LinkError::Replaced),
            }
        }
    }

    async fn speak(
        &self,
        mut writer: FrameWriter,
        orders: Receiver<Vec<SchedulerMessage>>,
    ) -> Result<(), LinkError> {
        let patience = self.shared.options.agent_timeout;
        let heartbeat = (patience / 4).min(HEARTBEAT_MAX);
        loop {
            let quiet = async {
                rt::sleep(heartbeat).await;
                Ok(vec![SchedulerMessage::Heartbeat])
            };
            let Ok(mut messages) = orders.recv().or(quiet).await else {
                return Ok(());
            };
            loop {
                for message in messages {
                    match message.encode() {
                        Some(bytes) => writer.feed(&bytes),
                        None => self.refuse_oversized(message).await?,
                    }
                    if writer.buffered() >= BATCH_BYTES {
                        flush(&mut writer, patience).await?;
                    }
                }
                match orders.try_recv() {
                    Ok(next) => messages = next,
                    Err(_) => break,
                }
            }
            flush(&mut writer, patience).await?;
        }
    }

    /// An order that is too large for any message can only be a launch: it will not happen.
    async fn refuse_oversized(&self, message: SchedulerMessage) -> Result<(), LinkError> {
        let SchedulerMessage::Order {
            order: Order::Launch { order, .. },
            ..
        } = message
        else {
            log::error!("a message to agent {} is over the limit", self.agent);
            return Err(LinkError::Stuck);
        };
        let report = TaskReport {
            task: order.task,
            sequence: UNKNOWN_TASK_SEQUENCE,
            state: TaskState::Lost,
            message: Some(format!("its description is over {MESSAGE_BYTES_MAX} bytes")),
            at: clock::wall(),
        };
        self.emit(Some(DriverEvent::Status {
            agent: self.agent.clone(),
            report,
        }))
        .await
    }

    async fn give_up(&self) {
        while let Err(NotSent::Full(_)) =
            self.shared
                .registry
                .give_up(self.term, self.agent, self.number)
        {
            rt::sleep(FULL_PAUSE).await;
        }
    }
}

async fn receive(reader: &mut FrameReader, patience: Duration) -> Result<AgentMessage, LinkError> {
    let bytes = rt::timeout(patience, reader.receive())
        .await
        .map_err(|_| LinkError::Silent(patience))??;
    Ok(AgentMessage::decode(&bytes)?)
}

async fn send(
    writer: &mut FrameWriter,
    message: &SchedulerMessage,
    patience: Duration,
) -> Result<(), LinkError> {
    writer.feed(&message.encode().ok_or(LinkError::Stuck)?);
    flush(writer, patience).await
}

async fn flush(writer: &mut FrameWriter, patience: Duration) -> Result<(), LinkError> {
    rt::timeout(patience, writer.flush())
        .await
        .map_err(|_| LinkError::Stuck)??;
    Ok(())
}
