//! The limits of all tasks of one agent.

use super::cage::Cage;
use super::config::LimitConfig;
use super::{disk, memory};
use crate::agent::cgroup::{Allowance, Cgroups, TaskGroup};
use crate::executor::cage::ProcessLimits;
use crate::executor::memory::MemoryGroup;
use crate::executor::order::Order;
use crate::executor::os::proc;
use crate::model::{LaunchOrder, TaskId};
use crate::supervise::limits::{Exceeded, MB, check_disk, check_memory};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many rounds of killing, about a minute and a half; what lives then hangs in the kernel.
const KILL_ROUNDS: u32 = 1_000;
/// So long an executor may take to end by itself after its last word.
const LEAVE_PATIENCE: Duration = Duration::from_secs(1);
const LEAVE_PAUSE: Duration = Duration::from_millis(2);

/// A task under watch.
#[derive(Clone, Debug)]
pub struct Limited {
    cpus_milli: i64,
    /// Whether it runs on what the machine may take back.
    is_revocable: bool,
    /// With the executor's; zero for no limit.
    memory: u64,
    disk_mb: i64,
    sandbox: PathBuf,
    group: Option<TaskGroup>,
    /// The executor's process id and when it started.
    executor: Option<(i32, u64)>,
}

impl Limited {
    /// What the task is found to use too much of on the disk. Blocks for as long as it takes to look.
    pub fn check_disk(&self) -> Option<Exceeded> {
        if self.disk_mb <= 0 {
            return None;
        }
        match disk::usage(&self.sandbox) {
            Ok(used) => check_disk(self.disk_mb, used),
            Err(error) => {
                log::debug!("{}: {error}", self.sandbox.display());
                None
            }
        }
    }
}

/// Holds tasks to their limits.
#[derive(Debug)]
pub struct Limiter {
    config: LimitConfig,
    groups: Option<Cgroups>,
    tasks: Mutex<BTreeMap<TaskId, Limited>>,
}

impl Limiter {
    /// Finds out what this machine and the agent's rights allow, and says so once.
    pub fn open(config: LimitConfig, agent: &str) -> Self {
        let groups = config
            .cgroup_root
            .as_deref()
            .map(|root| Cgroups::open(root, agent));
        let groups = match groups {
            Some(Ok(groups)) => {
                log::info!("tasks have control groups: {}", groups.describe());
                Some(groups)
            }
            Some(Err(why)) => {
                log::warn!(
                    "tasks have no control groups: {why}. Memory is looked at every {:?}; processor \
                     time and process counts are not limited by task",
                    config.memory_interval
                );
                None
            }
            None => {
                log::info!("tasks have no control groups, as they are turned off");
                None
            }
        };
        Self {
            config,
            groups,
            tasks: Mutex::new(BTreeMap::new()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TaskId, Limited>> {
        // A poisoned lock is only left by a fiber that panicked, and that ends the program.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a task under watch.
    pub fn begin(&self, task: &TaskId, order: &Order, sandbox: &Path) {
        let ram_mb = u64::try_from(order.ram_mb).unwrap_or(0);
        let memory = match ram_mb {
            0 => 0,
            ram_mb => ram_mb
                .saturating_mul(MB)
                .saturating_add(self.config.executor_memory),
        };
        let limited = Limited {
            cpus_milli: order.cpus_milli,
            is_revocable: LaunchOrder::says_revocable(&order.metadata),
            memory,
            disk_mb: order.disk_mb,
            sandbox: sandbox.to_owned(),
            group: self.groups.as_ref().map(|it| it.task(task.as_str())),
            executor: None,
        };
        self.lock().insert(task.clone(), limited);
    }

    /// The executor of a task is known.
    pub fn note_executor(&self, task: &TaskId, pid: i32, start_ticks: u64) {
        if let Some(limited) = self.lock().get_mut(task) {
            limited.executor = Some((pid, start_ticks));
        }
    }

    /// Makes the group of a task and gives what its executor has to be put into.
    ///
    /// # Errors
    ///
    /// The group cannot be made as it has to be.
    pub fn cage(&self, task: &TaskId) -> io::Result<Cage> {
        let limited = self.lock().get(task).cloned();
        let limit = |number: u64| (number > 0).then_some(number);
        let mut cage = Cage {
            doors: Vec::new(),
            birthplace: None,
            memory: None,
            limits: ProcessLimits {
                open_files: limit(self.config.open_files),
                processes_of_user: limit(self.config.processes_of_user),
                is_core_dumped: self.config.is_core_dumped,
                is_first_to_go: false,
            },
        };
        let Some(limited) = limited else {
            return Ok(cage);
        };
        cage.limits.is_first_to_go = limited.is_revocable;
        if let Some(group) = &limited.group {
            group.create(&Allowance {
                cpus_milli: limited.cpus_milli,
                is_revocable: limited.is_revocable,
                is_cpu_capped: self.config.is_cpu_capped,
                memory: limited.memory,
                pids: self.config.pids,
            })?;
            cage.doors = group.doors();
            cage.birthplace = group.birthplace().map(Path::to_owned);
            cage.memory = group
                .memory()
                .filter(|_| limited.memory > 0)
                .map(Path::to_owned);
        }
        Ok(cage)
    }

    /// The limit of memory that cost a process of the task its life, as its group tells.
    pub fn memory_exceeded(&self, task: &TaskId) -> Option<Exceeded> {
        let limited = self.lock().get(task).cloned()?;
        exceeded_in(limited.group.as_ref()?)
    }

    /// Kills all in the group of a task and removes the group. Before that an executor may end by itself. Blocks.
    pub fn empty(&self, task: &TaskId, may_leave: bool) {
        let group = self.lock().get(task).and_then(|it| it.group.clone());
        let Some(group) = group.filter(TaskGroup::exists) else {
            return;
        };
        // A group that can be removed is empty. To ask it for its processes costs the kernel far more.
        let mut waited = Duration::ZERO;
        while may_leave && waited < LEAVE_PATIENCE {
            if group.remove().is_ok() {
                return;
            }
            std::thread::sleep(LEAVE_PAUSE);
            waited += LEAVE_PAUSE;
        }
        match group.kill(KILL_ROUNDS) {
            Ok(0) => {}
            Ok(count) => log::warn!("task {task}: {count} processes were left and are killed"),
            Err(error) => log::error!("task {task}: its control group cannot be removed: {error}"),
        }
    }

    /// The task has ended.
    pub fn end(&self, task: &TaskId) {
        self.lock().remove(task);
    }

    /// All groups that belong to no task under watch.
    pub fn strays(&self) -> Vec<TaskGroup> {
        let Some(groups) = &self.groups else {
            return Vec::new();
        };
        let tasks = self.lock();
        let known = |group: &TaskGroup| {
            let mut all = tasks.values().filter_map(|it| it.group.as_ref());
            all.any(|it| it.name() == group.name())
        };
        let all = groups.leftovers().into_iter();
        all.filter(|group| !known(group)).collect()
    }

    /// All tasks under watch.
    pub fn tasks(&self) -> BTreeMap<TaskId, Limited> {
        self.lock().clone()
    }

    /// The tasks that were found to use too much memory. Blocks for one look at all processes, or, with
    /// groups, at one file of each.
    pub fn check_memory(&self) -> Vec<(TaskId, Exceeded)> {
        let tasks = self.tasks();
        let mut found = Vec::new();
        let mut uncounted = Vec::new();
        for (task, limited) in tasks.iter().filter(|(_, it)| it.memory > 0) {
            let directory = limited.group.as_ref().and_then(TaskGroup::memory);
            match directory.map(MemoryGroup::has_kills) {
                Some(Ok(true)) => {
                    let exceeded = limited.group.as_ref().and_then(exceeded_in);
                    found.extend(exceeded.map(|it| (task.clone(), it)));
                }
                Some(Ok(false)) => {}
                // An executor of before may run without a group.
                Some(Err(_)) | None => {
                    uncounted.extend(limited.executor.map(|it| (it, task, limited.memory)));
                }
            }
        }
        if !uncounted.is_empty() {
            found.extend(sample(&uncounted));
        }
        found
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        if let Some(groups) = &self.groups {
            groups.remove_if_empty();
        }
    }
}

fn exceeded_in(group: &TaskGroup) -> Option<Exceeded> {
    MemoryGroup::open(group.memory()?).ok()?.exceeded()
}

/// Tasks by executor, each with its limit.
fn sample(tasks: &[((i32, u64), &TaskId, u64)]) -> Vec<(TaskId, Exceeded)> {
    let all = match proc::all() {
        Ok(all) => all,
        Err(error) => {
            log::warn!("cannot see what memory is used: {error}");
            return Vec::new();
        }
    };
    let roots: Vec<(i32, u64)> = tasks.iter().map(|it| it.0).collect();
    let pages = memory::pages_of(&all, &roots);
    let page = memory::page_bytes();
    let over = tasks.iter().filter_map(|((pid, _), task, limit)| {
        let used = pages.get(pid)?.saturating_mul(page);
        check_memory(*limit, used)?;
        // What is shared was counted more than once: only now it is worth to look closer.
        let used = memory::exact_bytes(&all, *pid).unwrap_or(used);
        check_memory(*limit, used).map(|it| ((*task).clone(), it))
    });
    over.collect()
}
