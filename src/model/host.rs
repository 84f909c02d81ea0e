//! Machines as the scheduler knows them.

use super::task::SlaPolicy;
use crate::base::clock::Timestamp;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Names an agent for as long as its work directory lives. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(Arc<str>);

impl AgentId {
    /// The id with this text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Arc<str>> for AgentId {
    fn from(text: Arc<str>) -> Self {
        Self(text)
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One run of an agent's program: a launch planned for another session is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentSession(pub u64);

/// A property of a machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attribute {
    /// Its name, such as `rack`.
    pub name: String,
    /// Its values; never empty.
    pub values: BTreeSet<String>,
}

/// How far a machine is taken out of service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MaintenanceMode {
    /// In service.
    #[default]
    None,
    /// Will be taken out; used only if nothing else fits.
    Scheduled,
    /// Its tasks are being moved away.
    Draining,
    /// Empty.
    Drained,
}

/// What the scheduler stores of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAttributes {
    /// The machine's name.
    pub host: String,
    /// The agent on it.
    pub agent: AgentId,
    /// Its properties, by name.
    pub attributes: Vec<Attribute>,
    /// Whether it is in service.
    pub mode: MaintenanceMode,
}

/// The order to move all tasks away from a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenanceRequest {
    /// The machine's name.
    pub host: String,
    /// What holds for tasks that promise nothing themselves.
    pub default_policy: SlaPolicy,
    /// After this many seconds no promise holds any more; zero for at once.
    pub timeout_secs: i64,
    /// When it was given.
    pub created: Timestamp,
}
