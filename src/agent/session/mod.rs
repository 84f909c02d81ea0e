//! The agent's side of its connection to the leading scheduler.
//!
//! [`run`] dials the schedulers it was told of until one welcomes it, says what runs here, and obeys.
//! Nothing depends on the connection: tasks run on without it, and whatever was not acknowledged is
//! said again on the next one.
//!
//! - `pump` takes every report of the host at once and hands it to the connection, if there is one.
//! - `link` is one connection: hello, tasks, then a reading and a writing half.
//! - `drain` is the switch by which the machine stops offering itself.
//! - `ledger` knows which reports the scheduler has not acknowledged.
//! - `obey` carries orders out, those of a deposed leader excepted.

mod drain;
mod ledger;
mod link;
mod obey;
mod pump;

use super::proto::{Hello, VERSION};
use super::runner::TaskRunner;
use crate::base::backoff::Backoff;
use crate::base::clock;
use crate::base::rng::Rng;
use crate::model::{AgentSession, Attribute, Ports, Resources, TaskReport};
use crate::net::Throttle;
use crate::net::keys::SecretKey;
use crate::rt::{self, Shutdown};
use async_channel::Receiver;
pub use drain::Drain;
use futures_lite::FutureExt;
use link::{End, LinkError};
use pump::Pump;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How patient a session is.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// For each of: connecting, the handshake, the answer to the hello.
    pub connect: Duration,
    /// Between heartbeats.
    pub heartbeat: Duration,
    /// A connection on which nothing comes for so long is dead.
    pub dead_after: Duration,
    /// A report that is not acknowledged for so long is sent again.
    pub resend_after: Duration,
    /// The first pause between attempts to connect.
    pub pause: Duration,
    /// The longest one.
    pub pause_max: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            heartbeat: Duration::from_secs(2),
            dead_after: Duration::from_secs(7),
            resend_after: Duration::from_secs(10),
            pause: Duration::from_millis(50),
            pause_max: Duration::from_secs(2),
        }
    }
}

/// Whom to dial, and what to say of this machine.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The schedulers' peer addresses, `host:port`; never empty.
    pub schedulers: Vec<String>,
    /// The agents' key.
    pub key: SecretKey,
    /// This run of the agent.
    pub session: AgentSession,
    /// Tells copies of one work directory apart.
    pub place: String,
    /// The machine's name.
    pub host: String,
    /// All that the machine gives to tasks.
    pub total: Resources,
    /// The ports it gives out, in rising order, without overlaps.
    pub ports: Ports,
    /// Its properties.
    pub attributes: Vec<Attribute>,
    /// How patient to be.
    pub timing: Timing,
}

/// Where the session stands, for pages. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    scheduler: Arc<Mutex<Option<String>>>,
    drain: Drain,
}

impl Standing {
    /// Not connected, and draining as `drain` says.
    pub fn new(drain: Drain) -> Self {
        Self {
            drain,
            ..Self::default()
        }
    }

    /// Whether the machine drains: it offers nothing.
    pub fn is_draining(&self) -> bool {
        self.drain.is_on()
    }

    /// The scheduler that is connected, `host:port`.
    pub fn scheduler(&self) -> Option<String> {
        self.scheduler
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, scheduler: Option<&str>) {
        *self
            .scheduler
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = scheduler.map(str::to_owned);
    }
}

/// Keeps a connection to the leading scheduler until `shutdown`.
///
/// `reports` is the receiver that came with the host; it is drained whether or not there is a
/// connection.
///
/// # Panics
///
/// If no scheduler is configured.
pub async fn run<R: TaskRunner>(
    runner: R,
    reports: Receiver<TaskReport>,
    config: SessionConfig,
    standing: Standing,
    shutdown: Shutdown,
) {
    assert!(
        !config.schedulers.is_empty(),
        "an agent needs a scheduler to dial"
    );
    let pump = Pump::default();
    let dialing = dial_for_ever(&runner, &pump, &config, &standing);
    let pumping = pump.run(&reports);
    dialing.or(pumping).or(shutdown.wait()).await;
    standing.set(None);
}

async fn dial_for_ever<R: TaskRunner>(
    runner: &R,
    pump: &Pump,
    config: &SessionConfig,
    standing: &Standing,
) {
    let mut rng = Rng::from_os();
    let backoff = Backoff::new(config.timing.pause, config.timing.pause_max);
    let throttle = Throttle::new(Duration::from_secs(30));
    let mut pause = Duration::ZERO;
    let mut next = 0;
    let mut hint: Option<String> = None;
    loop {
        let hinted = hint.is_some();
        let scheduler = hint
            .take()
            .unwrap_or_else(|| config.schedulers[next % config.schedulers.len()].clone());
        match link::serve(runner, pump, config, standing, &scheduler).await {
            End::Served(LinkError::OfferChanged) => {
                log::info!("told again to scheduler {scheduler}: what this machine offers");
                continue;
            }
            End::Served(why) => {
                log::warn!("lost scheduler {scheduler}: {why}; tasks run on");
                pause = Duration::ZERO;
            }
            End::Refused { reason, leader } => {
                log_refusal(&throttle, &scheduler, &reason);
                next += 1;
                // A hint is followed at once, but never from hint to hint.
                if let Some(leader) = leader.filter(|l| !hinted && *l != scheduler) {
                    hint = Some(leader);
                    continue;
                }
            }
            End::Failed(why) => {
                log_refusal(&throttle, &scheduler, &why.to_string());
                next += 1;
            }
        }
        pause = backoff.next(pause, &mut rng);
        rt::sleep(pause).await;
    }
}

fn log_refusal(throttle: &Throttle, scheduler: &str, reason: &str) {
    match throttle.admit(clock::now()) {
        Some(0) => log::warn!("no service from scheduler {scheduler}: {reason}"),
        Some(muted) => {
            log::warn!("no service from scheduler {scheduler}: {reason} ({muted} attempts since)");
        }
        None => log::debug!("no service from scheduler {scheduler}: {reason}"),
    }
}

/// What is said of this machine at the beginning of a connection.
///
/// A machine that drains offers nothing, so that nothing new fits; what it has, it keeps.
pub(crate) fn hello<R: TaskRunner>(runner: &R, config: &SessionConfig, drains: bool) -> Hello {
    let (total, ports) = match drains {
        true => (Resources::default(), Ports::default()),
        false => (config.total, config.ports.clone()),
    };
    Hello {
        version: VERSION,
        agent: runner.agent_id(),
        session: config.session,
        place: config.place.clone(),
        host: config.host.clone(),
        total,
        ports,
        attributes: config.attributes.clone(),
        highest_ballot: runner.highest_ballot(),
    }
}
