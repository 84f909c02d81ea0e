//! What the routes need of the rest of the program.

use super::api::ApiDoor;
use super::graph::Series;
use super::process::ProcessClock;
use crate::base::clock::Instant;
use crate::base::stats::{self, Registry};
use crate::domain::tier::Tiers;
use crate::rt::ShutdownTrigger;
use crate::scheduler::{Handle, Lifecycle, View};
use crate::storage::Tables;
use std::sync::Arc;
use std::time::Duration;

/// Where pages and variables come from.
pub trait Source: Send + Sync + 'static {
    /// The committed tables as they are now.
    fn tables(&self) -> Arc<Tables>;
    /// What the scheduler published last.
    fn view(&self) -> Arc<View>;
    /// When the scheduler's loop last turned; zero before it began.
    fn last_turn(&self) -> Instant;
}

impl Source for Handle {
    fn tables(&self) -> Arc<Tables> {
        Self::tables(self)
    }

    fn view(&self) -> Arc<View> {
        Self::view(self)
    }

    fn last_turn(&self) -> Instant {
        Self::last_turn(self)
    }
}

/// What an operator may do to the process over HTTP.
pub trait Operator: Send + Sync + 'static {
    /// Begins an orderly end of the process and returns.
    fn quit(&self);
    /// Ends the process at once, with status 0 and without any hooks.
    fn abort(&self);
}

/// An operator that only fires the shutdown; aborting is the same to it.
impl Operator for ShutdownTrigger {
    fn quit(&self) {
        self.fire();
    }

    fn abort(&self) {
        self.fire();
    }
}

/// The levels of the log, read and changed by `/logconfig`.
pub trait LogLevels: Send + Sync + 'static {
    /// Prefixes of targets and their levels; the empty prefix is the root.
    fn levels(&self) -> Vec<(String, log::LevelFilter)>;
    /// Sets a prefix's level; `None` lets the next shorter prefix decide.
    fn set_level(&self, prefix: &str, level: Option<log::LevelFilter>);
}

/// Levels that cannot be changed: those of the `log` crate.
#[derive(Clone, Copy, Debug)]
pub struct NoLogLevels;

impl LogLevels for NoLogLevels {
    fn levels(&self) -> Vec<(String, log::LevelFilter)> {
        vec![(String::new(), log::max_level())]
    }

    fn set_level(&self, _: &str, level: Option<log::LevelFilter>) {
        if let Some(level) = level {
            log::set_max_level(level);
        }
    }
}

/// What the routes need. Built by the daemon.
#[derive(Clone)]
pub struct HttpState {
    /// The cluster's name, for titles and links.
    pub cluster: String,
    /// `host:port` under which clients reach this scheduler; compared with the leader's.
    pub advertised: String,
    /// Tables and view.
    pub source: Arc<dyn Source>,
    /// The Thrift services.
    pub api: Arc<dyn ApiDoor>,
    /// Ends the process.
    pub operator: Arc<dyn Operator>,
    /// Levels of the log.
    pub log_levels: Arc<dyn LogLevels>,
    /// Counters and gauges.
    pub stats: &'static Registry,
    /// The value of `Access-Control-Allow-Origin` on `/api`, if any (`-enable_cors_for`).
    pub cors_origin: Option<String>,
    /// The tiers of the cluster, for `/tiers`.
    pub tiers: Tiers,
    /// The port of the agents' pages, for links; upstream's is 1338.
    pub observer_port: u16,
    /// The scheduler's loop turns at least once a second; this long without a turn, it is stuck, and
    /// `/health` says so.
    pub stuck_after: Duration,
}

impl HttpState {
    /// State with the usual choices for everything that has one.
    pub fn new(
        cluster: String,
        advertised: String,
        source: Arc<dyn Source>,
        api: Arc<dyn ApiDoor>,
        operator: Arc<dyn Operator>,
    ) -> Self {
        Self {
            cluster,
            advertised,
            source,
            api,
            operator,
            log_levels: Arc::new(NoLogLevels),
            stats: stats::global(),
            cors_origin: None,
            tiers: Tiers::default(),
            observer_port: 1338,
            stuck_after: Duration::from_secs(30),
        }
    }
}

/// What every endpoint gets.
pub(super) struct App {
    pub(super) config: HttpState,
    pub(super) process: ProcessClock,
    /// The variables' last hour.
    pub(super) series: Series,
}

/// What tide holds; cheap to clone.
pub(super) type Shared = Arc<App>;

impl App {
    pub(super) fn new(config: HttpState) -> Shared {
        Arc::new(Self {
            config,
            process: ProcessClock::start(),
            series: Series::default(),
        })
    }

    /// Whether this scheduler leads, another one does, or none is known to.
    pub(super) fn leadership(&self) -> Leadership {
        let view = self.config.source.view();
        match &view.leader {
            Some(leader) if *leader != self.config.advertised => Leadership::Other(leader.clone()),
            Some(_) => Leadership::Here,
            None => match view.lifecycle {
                Lifecycle::Active | Lifecycle::LeaderAwaitingRegistration => Leadership::Here,
                Lifecycle::Dead
                | Lifecycle::Idle
                | Lifecycle::PreparingStorage
                | Lifecycle::StoragePrepared => Leadership::Nobody,
            },
        }
    }
}

/// Who leads, as far as this scheduler knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Leadership {
    Here,
    Nobody,
    /// At this `host:port`.
    Other(String),
}
