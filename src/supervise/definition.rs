//! What a task consists of.

use std::collections::BTreeMap;
use std::time::Duration;
use thiserror::Error;

/// Name bytes of a process: it names a directory.
const NAME_BYTES_MAX: usize = 200;

/// One command of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessDefinition {
    /// Its name, unique in the task; names its log directory.
    pub name: String,
    /// What the shell is given.
    pub cmdline: String,
    /// After this many failed runs the process has failed; 0 is no limit.
    pub max_failures: u32,
    /// Runs again after every success.
    pub daemon: bool,
    /// The task does not wait for it.
    pub ephemeral: bool,
    /// Least time between the end of a run and the start of the next.
    pub min_duration: Duration,
    /// Belongs to the plan that runs when the regular one is over.
    pub is_final: bool,
}

/// The task's own shutdown endpoints, asked before any signal is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// How long to wait after the first endpoint took the request.
    pub graceful_wait: Duration,
    /// How long to wait after the second one did.
    pub shutdown_wait: Duration,
}

/// When a task counts as healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthPolicy {
    /// From the end of a check to the start of the next.
    pub interval: Duration,
    /// Failures of so many first checks do not count.
    pub grace_checks: u32,
    /// More failures in a row than this end the task.
    pub max_consecutive_failures: u32,
    /// So many successes in a row make it running.
    pub min_consecutive_successes: u32,
}

/// Something beside the processes that has a say in whether a task runs: a health check today, and whatever else
/// has to be so for a task to count as running. All of a task's checks are one list.
///
/// The supervisor decides when a check is due and what its result means; how it is made is the executor's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusCheck {
    /// What is said before the reason of a failure.
    pub failure: &'static str,
    /// When it is due and how its results are counted.
    pub policy: HealthPolicy,
}

/// A task: its processes and how they hang together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDefinition {
    /// At least one.
    pub processes: Vec<ProcessDefinition>,
    /// Chains of names: each may start only after the one before it has finished.
    pub orders: Vec<Vec<String>>,
    /// So many failed regular processes make the task failed; 0 is no limit.
    pub max_failures: u32,
    /// How many processes may run at once; 0 is no limit.
    pub max_concurrency: usize,
    /// For Cleaning and Finalizing together, when the task ends by itself.
    pub finalization_wait: Duration,
    /// The same when it is killed.
    pub kill_wait: Duration,
    /// Asked before signals are sent, if the task has such endpoints.
    pub lifecycle: Option<Lifecycle>,
    /// The task is running when all of them say so, and fails when one does; without any, one that started runs.
    pub checks: Vec<StatusCheck>,
}

/// Why a task cannot run as it is described.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DefinitionError {
    /// The order leads back to this process.
    #[error("process '{0}' has to wait for itself")]
    Cycle(String),
    /// A process waits for one that never finishes.
    #[error("process '{process}' cannot wait for the daemon '{daemon}'")]
    DependsOnDaemon {
        /// Who waits.
        process: String,
        /// For whom.
        daemon: String,
    },
    /// A process that counts waits for one that does not.
    #[error("process '{process}' is not ephemeral and cannot wait for '{ephemeral}', which is")]
    DependsOnEphemeral {
        /// Who waits.
        process: String,
        /// For whom.
        ephemeral: String,
    },
    /// Two processes of one name.
    #[error("two processes are called '{0}'")]
    Duplicate(String),
    /// A constraint names final and regular processes.
    #[error("a constraint orders final and regular processes: '{0}' and '{1}'")]
    MixedOrder(String, String),
    /// There is nothing to run.
    #[error("a task needs a process")]
    NoProcess,
    /// A constraint names a process that is not there.
    #[error("a constraint names the unknown process '{0}'")]
    UnknownProcess(String),
    /// A name that cannot name a directory.
    #[error("'{0}' cannot name a process: 1 to 200 bytes without '/', not starting with '.'")]
    UnsafeName(String),
}

impl TaskDefinition {
    /// For each process, the indexes of those that must have finished before it starts.
    ///
    /// # Errors
    ///
    /// The first rule of planning that is broken.
    pub(super) fn predecessors(&self) -> Result<Vec<Vec<usize>>, DefinitionError> {
        let index = self.index_names()?;
        let mut before = vec![Vec::new(); self.processes.len()];
        for order in &self.orders {
            let find = |name: &String| {
                let unknown = || DefinitionError::UnknownProcess(name.clone());
                index.get(name.as_str()).copied().ok_or_else(unknown)
            };
            let chain = order.iter().map(find).collect::<Result<Vec<_>, _>>()?;
            for pair in chain.windows(2) {
                self.check_edge(pair[0], pair[1])?;
                if !before[pair[1]].contains(&pair[0]) {
                    before[pair[1]].push(pair[0]);
                }
            }
        }
        self.check_cycles(&before)?;
        Ok(before)
    }

    fn index_names(&self) -> Result<BTreeMap<&str, usize>, DefinitionError> {
        if self.processes.is_empty() {
            return Err(DefinitionError::NoProcess);
        }
        let mut index = BTreeMap::new();
        for (at, process) in self.processes.iter().enumerate() {
            let name = process.name.as_str();
            let unsafe_name = name.is_empty()
                || name.len() > NAME_BYTES_MAX
                || name.starts_with('.')
                || name.contains(['/', '\0']);
            if unsafe_name {
                return Err(DefinitionError::UnsafeName(name.chars().take(80).collect()));
            }
            if index.insert(name, at).is_some() {
                return Err(DefinitionError::Duplicate(name.to_owned()));
            }
        }
        Ok(index)
    }

    fn check_edge(&self, first: usize, then: usize) -> Result<(), DefinitionError> {
        let (first, then) = (&self.processes[first], &self.processes[then]);
        if first.is_final != then.is_final {
            return Err(DefinitionError::MixedOrder(
                first.name.clone(),
                then.name.clone(),
            ));
        }
        if first.daemon {
            return Err(DefinitionError::DependsOnDaemon {
                process: then.name.clone(),
                daemon: first.name.clone(),
            });
        }
        if first.ephemeral && !then.ephemeral {
            return Err(DefinitionError::DependsOnEphemeral {
                process: then.name.clone(),
                ephemeral: first.name.clone(),
            });
        }
        Ok(())
    }

    /// Takes processes whose predecessors are all taken until none is left; what stays is on a cycle.
    fn check_cycles(&self, before: &[Vec<usize>]) -> Result<(), DefinitionError> {
        let mut waits: Vec<usize> = before.iter().map(Vec::len).collect();
        let mut after = vec![Vec::new(); before.len()];
        for (at, list) in before.iter().enumerate() {
            for first in list {
                after[*first].push(at);
            }
        }
        let mut ready: Vec<usize> = (0..before.len()).filter(|at| waits[*at] == 0).collect();
        while let Some(at) = ready.pop() {
            for next in &after[at] {
                waits[*next] -= 1;
                if waits[*next] == 0 {
                    ready.push(*next);
                }
            }
        }
        match waits.iter().position(|count| *count > 0) {
            Some(at) => Err(DefinitionError::Cycle(self.processes[at].name.clone())),
            None => Ok(()),
        }
    }
}
