//! Tasks as their files tell: the order, and the checkpoint of the executor.

use crate::agent::host::TaskDirectory;
use crate::executor::checkpoint::{
    Header, ProcessEvent, Record, Tail, TaskRecord, TaskStateRecord,
};
use crate::executor::order::Order;
use crate::executor::paths;
use crate::model::TaskId;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Where the tasks are, below the work directory.
const TASKS: &str = "tasks";

/// What happened in one run of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) number: u32,
    pub(super) state: RunState,
    pub(super) start_ms: Option<i64>,
    pub(super) stop_ms: Option<i64>,
    /// When its shell started, in clock ticks since boot.
    pub(super) start_ticks: u64,
}

/// The states of a run, with what goes with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RunState {
    Failed(i32),
    Killed(i32),
    NotStarted(String),
    Running(i32),
    Success,
}

impl RunState {
    /// As the original's observer calls it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Failed(_) | Self::NotStarted(_) => "FAILED",
            Self::Killed(_) => "KILLED",
            Self::Running(_) => "RUNNING",
            Self::Success => "SUCCESS",
        }
    }
}

/// A process of a task.
#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    pub(super) cmdline: String,
    pub(super) runs: Vec<Run>,
}

/// A task.
#[derive(Debug)]
pub(super) struct TaskView {
    pub(super) order: Order,
    /// Its states, oldest first.
    pub(super) states: Vec<TaskRecord>,
    pub(super) processes: BTreeMap<String, Process>,
    pub(super) sandbox: PathBuf,
    /// Who runs it, if somebody took it.
    pub(super) header: Option<Header>,
}

impl TaskView {
    /// The present state, as the original's observer calls it.
    pub(super) fn state(&self) -> &'static str {
        match self.states.last().map(|s| s.state) {
            None | Some(TaskStateRecord::Running | TaskStateRecord::Starting) => "ACTIVE",
            Some(TaskStateRecord::Failed) => "FAILED",
            Some(TaskStateRecord::Finished) => "SUCCESS",
            Some(TaskStateRecord::Killed) => "KILLED",
            Some(TaskStateRecord::Lost) => "LOST",
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.state() == "ACTIVE"
    }

    /// When the present state began, in milliseconds since the epoch.
    pub(super) fn state_at_ms(&self) -> i64 {
        self.states
            .last()
            .map_or(self.order.taken_at_ms, |s| s.at_ms)
    }

    /// The job, as `role/environment/name/instance`.
    pub(super) fn job(&self) -> String {
        let order = &self.order;
        format!(
            "{}/{}/{}/{}",
            order.role, order.environment, order.job, order.instance
        )
    }
}

/// All tasks, the newest first. Those that cannot be read are left out.
pub(super) fn all(work_dir: &Path) -> Vec<TaskView> {
    let Ok(entries) = fs::read_dir(work_dir.join(TASKS)) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut tasks: Vec<TaskView> = paths
        .filter_map(|path| read_or_log(&path, &TaskDirectory::at(path.clone())))
        .collect();
    tasks.sort_by(|a, b| {
        let key = |t: &TaskView| (-t.state_at_ms(), t.order.task.clone());
        key(a).cmp(&key(b))
    });
    tasks
}

/// One task. `None` if there is none of that name, or its files cannot be read.
pub(super) fn one(work_dir: &Path, id: &str) -> Option<TaskView> {
    let task = TaskId::new(id);
    if !task.is_path_safe() {
        return None;
    }
    let directory = TaskDirectory::of(&work_dir.join(TASKS), &task);
    read_or_log(Path::new(id), &directory)
}

fn read_or_log(name: &Path, directory: &TaskDirectory) -> Option<TaskView> {
    read(directory).unwrap_or_else(|error| {
        log::debug!("task {} cannot be shown: {error}", name.display());
        None
    })
}

fn read(directory: &TaskDirectory) -> io::Result<Option<TaskView>> {
    let Some(order) = directory.read_order()? else {
        return Ok(None);
    };
    let mut view = TaskView {
        processes: processes(&order.data),
        order,
        states: Vec::new(),
        sandbox: directory.sandbox(),
        header: None,
    };
    let checkpoint = File::open(directory.path().join(paths::CHECKPOINT));
    match checkpoint {
        Ok(file) => {
            let records = Tail::default().poll(&file)?;
            records.into_iter().for_each(|r| apply_record(&mut view, r));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // The agent's own last word on a task whose executor has none.
    view.states.extend(directory.read_verdict()?);
    Ok(Some(view))
}

fn apply_record(view: &mut TaskView, record: Record) {
    let record = match record {
        Record::Header(header) => return view.header = Some(header),
        Record::Task(state) => return view.states.push(state),
        Record::Process(record) => record,
    };
    let process = view.processes.entry(record.process).or_default();
    let (state, started) = match record.event {
        ProcessEvent::Running { pid, start_ticks } => (RunState::Running(pid), Some(start_ticks)),
        ProcessEvent::Success => (RunState::Success, None),
        ProcessEvent::Failed { return_code } => (RunState::Failed(return_code), None),
        ProcessEvent::Killed { signal } => (RunState::Killed(signal), None),
        ProcessEvent::NotStarted { reason } => (RunState::NotStarted(reason), None),
    };
    let at = process.runs.iter().position(|r| r.number == record.run);
    let index = at.unwrap_or_else(|| {
        process.runs.push(Run {
            number: record.run,
            state: state.clone(),
            start_ms: None,
            stop_ms: None,
            start_ticks: 0,
        });
        process.runs.len() - 1
    });
    let run = &mut process.runs[index];
    run.state = state;
    if let Some(start_ticks) = started {
        run.start_ticks = start_ticks;
        run.start_ms = Some(record.at_ms);
    } else {
        run.stop_ms = Some(record.at_ms);
    }
}

/// The processes that the order's data describes; the data may be anything.
fn processes(data: &str) -> BTreeMap<String, Process> {
    let job: serde_json::Value = serde_json::from_str(data).unwrap_or_default();
    let list = job.pointer("/task/processes").and_then(|p| p.as_array());
    let process = |p: &serde_json::Value| {
        let name = p.get("name")?.as_str()?.to_owned();
        let cmdline = p
            .get("cmdline")
            .and_then(|c| c.as_str())
            .unwrap_or_default();
        let process = Process {
            cmdline: cmdline.to_owned(),
            runs: Vec::new(),
        };
        Some((name, process))
    };
    list.into_iter().flatten().filter_map(process).collect()
}
