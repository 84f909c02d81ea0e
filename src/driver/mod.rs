//! How work reaches machines: the port between the scheduler and whatever runs tasks.
//!
//! The scheduler sends [`DriverCommand`]s and receives [`DriverEvent`]s; it knows nothing else of the
//! machines. A driver does not decide: it carries orders out, at least once where it can, and reports.
//! Nothing is assumed sent: after a restart the scheduler asks again by [`DriverCommand::Reconcile`].
//!
//! `embedded` speaks to our own agents. A Mesos driver will stand beside it.

pub mod embedded;

use crate::model::{
    AgentId, AgentSession, Attribute, LaunchOrder, Ports, Resources, TaskId, TaskReport,
};

/// A machine that offers itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentOffer {
    /// The agent.
    pub agent: AgentId,
    /// Its present run. Launches are planned for it.
    pub session: AgentSession,
    /// The machine's name.
    pub host: String,
    /// All that the machine gives to tasks, whatever runs on it now. `ports` is their count.
    ///
    /// The scheduler subtracts what it has assigned there, so that nothing is sold twice.
    pub total: Resources,
    /// The ports it gives out.
    pub ports: Ports,
    /// Its properties.
    pub attributes: Vec<Attribute>,
}

/// What the scheduler wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriverCommand {
    /// Reports were stored: the agent may forget them (and the tasks of those that were terminal).
    Acknowledge {
        /// The agent that sent them.
        agent: AgentId,
        /// The tasks, and the numbers of their reports.
        reports: Vec<(TaskId, u64)>,
    },
    /// End a task. Unknown tasks are reported lost.
    Kill {
        /// The agent that has the task.
        agent: AgentId,
        /// The task.
        task: TaskId,
    },
    /// Start a task.
    Launch {
        /// The agent.
        agent: AgentId,
        /// The session it was planned for. For another one it is dropped: the scheduler hears of that
        /// one by [`DriverEvent::AgentUp`], without this task.
        session: AgentSession,
        /// What to run.
        order: Box<LaunchOrder>,
    },
    /// Report these tasks again; those that the agent does not know are reported lost. None means: report
    /// all that there are.
    Reconcile {
        /// The agent.
        agent: AgentId,
        /// The tasks the scheduler believes to be there.
        tasks: Vec<TaskId>,
    },
}

/// What happened out there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriverEvent {
    /// An agent cannot be reached. Its tasks may well run on.
    AgentDown {
        /// The agent.
        agent: AgentId,
        /// The session that ended.
        session: AgentSession,
    },
    /// An agent connected, or changed what it offers.
    ///
    /// `tasks` are all tasks it has: what it has not acknowledged, ended ones among them.
    AgentUp {
        /// What it offers.
        offer: AgentOffer,
        /// The latest report of each task it has.
        tasks: Vec<TaskReport>,
    },
    /// News of a task.
    Status {
        /// The agent that reports.
        agent: AgentId,
        /// The news.
        report: TaskReport,
    },
}

/// The scheduler's side of a driver. Its events come through a bounded channel that the driver's maker
/// hands out.
///
/// All methods return at once. A command for a machine that is not connected, or cannot keep up, is
/// dropped: the machine's next [`DriverEvent::AgentUp`] is the moment to reconcile. Commands to one
/// machine are carried out in the order they were given, so that a `Reconcile` after a `Launch` tells
/// whether the launch arrived.
pub trait Driver: Send + Sync {
    /// Carries `command` out, if this scheduler leads.
    fn command(&self, command: DriverCommand);

    /// This scheduler leads: orders carry `ballot` from now on, and machines may connect.
    ///
    /// Every machine connects anew and is announced by [`DriverEvent::AgentUp`]. Events of an earlier
    /// term that were not received yet are dropped.
    fn lead(&self, ballot: u64);

    /// Where another scheduler that leads expects machines, `host:port`, if one is known: machines that
    /// come here are sent there.
    fn set_leader(&self, leader: Option<String>);

    /// This scheduler does not lead any more: machines are sent away.
    fn stand_down(&self);
}
