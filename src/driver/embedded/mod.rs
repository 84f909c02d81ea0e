//! The driver for our own agents: they dial, this answers.
//!
//! - `registry` knows the term of leadership and the agents that are connected. All that must be seen
//!   as one step (an agent is up, an order goes to its connection) happens under its lock, and nothing
//!   under that lock waits.
//! - `link` is one connection: handshake, hello, tasks, then a reading and a writing half.
//!
//! An agent that cannot take its orders fast enough loses its connection rather than an order in the
//! middle: when it comes back, the scheduler reconciles.

mod link;
mod registry;

use super::{Driver, DriverCommand, DriverEvent};
use crate::net::Throttle;
use crate::net::keys::SecretKey;
use crate::net::listener::Incoming;
use crate::rt::{self, Shutdown, Worker};
use async_channel::Receiver;
use futures_lite::FutureExt;
use registry::Registry;
use std::sync::Arc;
use std::time::Duration;

/// How the driver treats agents.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedOptions {
    /// An agent of which nothing was heard for so long is reported down.
    pub agent_timeout: Duration,
    /// For each of: the hello, the list of tasks.
    pub patience: Duration,
    /// How many events wait for the scheduler at most; agents wait when it is full.
    pub events: usize,
    /// How many orders wait for one agent at most; its connection is dropped when it is full.
    pub orders: usize,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            agent_timeout: Duration::from_secs(10),
            patience: Duration::from_secs(10),
            events: 1_024,
            orders: 4_096,
        }
    }
}

/// What the connections share.
#[derive(Debug)]
struct Shared {
    key: SecretKey,
    options: EmbeddedOptions,
    registry: Registry,
    /// Wrong keys and other strangers' errors.
    strangers: Throttle,
    /// Agents that are refused.
    refusals: Throttle,
}

/// Speaks to our own agents. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct EmbeddedDriver {
    shared: Arc<Shared>,
}

impl EmbeddedDriver {
    /// Serves the connections of `incoming` (see `PeerListener::route`) until `shutdown`.
    ///
    /// Agents are refused until [`Driver::lead`].
    ///
    /// # Panics
    ///
    /// If `key` is not an agent key.
    pub fn start(
        key: SecretKey,
        incoming: Receiver<Incoming>,
        options: EmbeddedOptions,
        shutdown: Shutdown,
    ) -> (Self, Receiver<DriverEvent>) {
        let (sender, events) = async_channel::bounded(options.events.max(1));
        let shared = Arc::new(Shared {
            key,
            options,
            registry: Registry::new(sender, events.clone()),
            strangers: Throttle::new(Duration::from_secs(10)),
            refusals: Throttle::new(Duration::from_secs(10)),
        });
        let accepting = accept_agents(Arc::clone(&shared), incoming, shutdown);
        rt::spawn("agent-connections", accepting).detach();
        (Self { shared }, events)
    }

    /// How many agents are connected.
    pub fn connected(&self) -> usize {
        self.shared.registry.connected()
    }
}

impl Driver for EmbeddedDriver {
    fn command(&self, command: DriverCommand) {
        self.shared.registry.command(command);
    }

    fn lead(&self, ballot: u64) {
        self.shared
            .registry
            .lead(ballot, self.shared.options.orders);
    }

    fn set_leader(&self, leader: Option<String>) {
        self.shared.registry.set_leader(leader);
    }

    fn stand_down(&self) {
        self.shared.registry.stand_down();
    }
}

async fn accept_agents(shared: Arc<Shared>, incoming: Receiver<Incoming>, shutdown: Shutdown) {
    // Machines that come all at once, as they do to a new leader, bring all that they have: to read that
    // delays no client and nothing of the log.
    let apart = Worker::start("agents");
    let accepting = async {
        while let Ok(stranger) = incoming.recv().await {
            let (shared, shutdown) = (Arc::clone(&shared), shutdown.clone());
            let serving = async move {
                link::serve(&shared, stranger).or(shutdown.wait()).await;
            };
            const NAME: &str = "agent-connection";
            match &apart {
                Some(worker) => worker.spawn(NAME, serving).detach(),
                None => rt::spawn(NAME, serving).detach(),
            }
        }
    };
    accepting.or(shutdown.wait()).await;
}

#[cfg(test)]
mod tests;
