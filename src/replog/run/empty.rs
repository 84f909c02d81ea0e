//! A replica that was never initialised: says so, and takes a place that an ensemble keeps for it.

use super::members::{self, Members};
use super::{Inlets, Runner};
use crate::base::rng::Rng;
use crate::paxos::{Ballot, Configuration, Member, Options, Position, Status};
use crate::replog::error::OpenError;
use crate::replog::handle::{Command, LogEvent, ReplicaStatus};
use crate::replog::open;
use crate::replog::peers::PeerEvent;
use crate::replog::store::Store;
use crate::replog::wire::{Answer, Hello, Pulse};
use crate::rt;
use async_channel::TrySendError;
use futures_lite::FutureExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// A replica without a disk of its own.
pub struct Empty {
    /// Where its disk would be.
    pub path: PathBuf,
    /// How often it says that it is empty.
    pub interval: Duration,
    /// Who it will be if it joins an ensemble.
    pub member: Member,
    /// How it would run then.
    pub options: Options,
    /// The ends of its channels.
    pub inlets: Inlets,
    /// What its flags say of the ensemble.
    pub members: Members,
    /// Where the handles find the store once there is one.
    pub store: Arc<OnceLock<Weak<dyn Store>>>,
    /// For the replica that it becomes.
    pub rng: Rng,
}

/// What is waited for.
enum Input {
    Command(Option<Command>),
    Due,
    News(PeerEvent),
}

/// What an empty replica says of how it is.
fn pulse() -> Pulse {
    Pulse {
        sequence: 0,
        promised: Ballot::ZERO,
        status: Status::Empty,
        is_leading: false,
        first: Position::FIRST,
        learned: Position::ZERO,
        end: Position::ZERO,
    }
}

impl Empty {
    /// What an empty replica says of itself.
    pub fn hello(members: &Members, member: Member) -> Hello {
        // A cluster of its own, that is never formed.
        let configuration = Configuration::alone(0, member);
        members.hello(member, &configuration, false, pulse())
    }

    /// Runs until every handle is gone, the log is closed, or what it has become ends.
    pub async fn run(self) {
        if let Some(wires) = &self.inlets.wires {
            wires.network.listen(wires.incoming.clone());
            wires.network.dial(self.members.peers());
        }
        let mut is_due = true;
        loop {
            if std::mem::take(&mut is_due) && !self.say() {
                return;
            }
            match self.input().await {
                Input::Due => is_due = true,
                Input::Command(None | Some(Command::Close { .. })) => return self.close(),
                Input::Command(Some(Command::Change { answer, .. })) => {
                    let text = "this replica is not initialised, and leads nothing".to_owned();
                    members::tell(&answer, Answer::Failed { text });
                }
                Input::Command(Some(command)) => members::refuse(command),
                Input::News(PeerEvent::Hello(hello)) if self.has_place(&hello) => {
                    return self.take_place(&hello).await;
                }
                Input::News(PeerEvent::Refused { address, refusal }) => {
                    log::warn!("{address} refuses this replica: {refusal:?}");
                }
                // The hello of an ensemble is all that matters here.
                Input::News(
                    PeerEvent::Gone(_)
                    | PeerEvent::Hello(_)
                    | PeerEvent::Message(_)
                    | PeerEvent::Room,
                ) => {}
            }
        }
    }

    /// Says that it is empty. False if nobody listens any more.
    fn say(&self) -> bool {
        let path = self.path.display();
        log::info!(
            "Replica in EMPTY status: the replicated log in {path} has not been initialized. Stop \
             this scheduler, run: aurora-log initialize --path={path} (as the user it runs as, or \
             as root), and start it again"
        );
        let status = LogEvent::Status(ReplicaStatus::Empty);
        match self.inlets.events.try_send(status) {
            Err(TrySendError::Closed(_)) => {
                self.close();
                false
            }
            Ok(()) | Err(TrySendError::Full(_)) => true,
        }
    }

    async fn input(&self) -> Input {
        let command = async { Input::Command(self.inlets.commands.recv().await.ok()) };
        let due = async {
            rt::sleep(self.interval).await;
            Input::Due
        };
        let news = async {
            match &self.inlets.wires {
                Some(wires) => match wires.news.recv().await {
                    Ok(news) => Input::News(news),
                    Err(_) => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        };
        command.or(news).or(due).await
    }

    /// Whether an ensemble keeps a place for the replica at this address.
    fn has_place(&self, hello: &Hello) -> bool {
        let address = self.members.address();
        let mut seats = hello.seats.iter();
        hello.is_formed && !address.is_empty() && seats.any(|seat| seat.address == *address)
    }

    /// Makes a disk, and becomes a replica that has to learn everything before it votes.
    async fn take_place(self, hello: &Hello) {
        log::info!(
            "the ensemble {:032x} keeps a place for this replica, which has lost its state or never \
             had one: it joins as {}",
            hello.cluster,
            self.member.id
        );
        let (path, member) = (self.path.clone(), self.member);
        let opened = rt::unblock(move || open::make_joining(&path, member)).await;
        let events = self.inlets.events.clone();
        let path = self.path.clone();
        let started = opened.and_then(|(disk, recovered)| {
            let store = Arc::downgrade(disk.store());
            if self.store.set(store).is_err() {
                log::debug!("the store of a replica was set before");
            }
            let (options, inlets) = (self.options, self.inlets);
            Runner::new(disk, recovered, options, inlets, self.members, self.rng)
                .map_err(|cause| OpenError::Io { path, cause })
        });
        match started {
            Ok(runner) => runner.run().await,
            Err(error) => {
                let reason = format!("cannot join the ensemble: {error}");
                log::error!("{reason}");
                if events.send(LogEvent::Poisoned { reason }).await.is_err() {
                    log::debug!("the log is closed");
                }
            }
        }
    }

    fn close(&self) {
        if let Some(wires) = &self.inlets.wires {
            wires.network.close();
        }
    }
}
