//! Answers the operators' tool on the peer port.

use super::handle::{Command, Shared};
use super::peers::Network;
use super::report::report;
use super::wire::{Answer, CONTROL_BYTES_MAX, Request};
use crate::base::clock;
use crate::net::frames::Connection;
use crate::net::keys::SecretKey;
use crate::net::listener::Incoming;
use crate::rt;
use async_channel::{Receiver, WeakSender};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Most connections of operators at once.
const OPERATORS_MAX: usize = 16;
/// How long an idle connection is kept.
const IDLE_PATIENCE: Duration = Duration::from_secs(30);

/// What answers are made of.
pub(super) struct Control {
    /// What all replicas share; operators have to hold it too.
    pub(super) key: SecretKey,
    /// Where changes go. Does not keep the log open.
    pub(super) commands: WeakSender<Command>,
    /// How this replica is.
    pub(super) shared: Arc<Shared>,
    /// How the others are.
    pub(super) network: Network,
}

/// Takes connections until nobody makes them any more.
pub(super) async fn serve(control: Control, incoming: Receiver<Incoming>) {
    let control = Arc::new(control);
    let connected = Arc::new(AtomicUsize::new(0));
    while let Ok(incoming) = incoming.recv().await {
        if connected.load(Ordering::Relaxed) >= OPERATORS_MAX {
            log::warn!("{}: too many operators are connected", incoming.peer());
            continue;
        }
        connected.fetch_add(1, Ordering::Relaxed);
        let (control, connected) = (Arc::clone(&control), Arc::clone(&connected));
        let answering = async move {
            let peer = incoming.peer();
            match incoming.handshake(&control.key, CONTROL_BYTES_MAX).await {
                Ok((connection, _slot)) => control.answer_all(connection).await,
                Err(error) => log::warn!("an operator's tool at {peer} is refused: {error}"),
            }
            connected.fetch_sub(1, Ordering::Relaxed);
        };
        rt::spawn("operator", answering).detach();
    }
}

impl Control {
    async fn answer_all(&self, mut connection: Connection) {
        loop {
            let received = rt::timeout(IDLE_PATIENCE, connection.reader.receive()).await;
            let Ok(Ok(bytes)) = received else {
                return;
            };
            let answer = match Request::decode(&bytes) {
                Ok(request) => self.answer(request).await,
                Err(error) => Answer::Failed {
                    text: error.to_string(),
                },
            };
            let sent = rt::timeout(IDLE_PATIENCE, connection.writer.send(&answer.encode())).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    }

    async fn answer(&self, request: Request) -> Answer {
        let change = match request {
            Request::Status => {
                let shown = self.shared.lock().clone();
                let report = report(&shown, &self.network.known(), clock::now());
                return Answer::Status(Box::new(report));
            }
            Request::Change(change) => change,
        };
        let closed = || Answer::Failed {
            text: "the log of this replica is closed".to_owned(),
        };
        let (answer, answered) = async_channel::bounded(1);
        let Some(commands) = self.commands.upgrade() else {
            return closed();
        };
        let command = Command::Change { change, answer };
        if commands.send(command).await.is_err() {
            return closed();
        }
        drop(commands);
        answered.recv().await.unwrap_or_else(|_| closed())
    }
}
