//! Takes a task: lock, detach, header, then the loop.

use super::cage;
use super::checkpoint::{self, Header, Record, Tail, TaskRecord, TaskStateRecord, Writer};
use super::definition::Definition;
use super::flags::{ExecutorFlags, FlagsError};
use super::journal;
use super::listener::Listener;
use super::memory::MemoryGroup;
use super::order::Order;
use super::os::{Detached, detach, proc};
use super::paths;
use super::runner::{Runner, Start};
use crate::base::clock;
use crate::supervise::Supervisor;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use thiserror::Error;

/// Used when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Debug, Error)]
enum TakeError {
    #[error("cannot enter its limits: {0}")]
    Cage(std::io::Error),
    #[error("usage: aurora-executor --task-dir=DIR [FLAGS]")]
    Usage,
    #[error(transparent)]
    Flags(#[from] FlagsError),
    #[error("cannot use {path}: {source}")]
    File {
        path: &'static str,
        source: std::io::Error,
    },
    #[error("another executor has the task")]
    Locked,
    #[error("the agent has given the task up")]
    GivenUp,
    #[error("the task was started before")]
    StartedBefore,
    #[error(transparent)]
    Order(#[from] super::order::OrderError),
    #[error("cannot prepare: {0}")]
    System(#[from] nix::Error),
}

fn file_error(path: &'static str) -> impl FnOnce(std::io::Error) -> TakeError {
    move |source| TakeError::File { path, source }
}

/// Runs the executor. Ends with status 0 when the detached executor has taken the task.
pub fn main() -> ExitCode {
    match take() {
        Ok(code) => code,
        Err(error) => {
            journal::note(format_args!("{error}"));
            ExitCode::FAILURE
        }
    }
}

fn take() -> Result<ExitCode, TakeError> {
    let arguments = std::env::args_os().skip(1).map(OsString::into_string);
    let arguments: Vec<String> = arguments
        .collect::<Result<_, _>>()
        .map_err(|_| TakeError::Usage)?;
    let flags = ExecutorFlags::parse(&arguments)?;
    // A wrapper need not hand on what it was given.
    let directory = match &flags.task_dir {
        Some(directory) => OsString::from(directory),
        None => std::env::var_os(paths::TASK_DIR_VARIABLE).ok_or(TakeError::Usage)?,
    };
    // Relative names from here on: sockets have short ones.
    std::env::set_current_dir(directory).map_err(file_error("the task's directory"))?;
    umask(Mode::from_bits_truncate(0o077));
    close_inherited();
    let lock = private()
        .open(paths::LOCK)
        .map_err(file_error(paths::LOCK))?;
    // Held until the last copy of the descriptor is closed: the starter's end must not release it.
    lock.try_lock().map_err(|_| TakeError::Locked)?;
    // ORDER: with the lock, under which the agent writes it.
    if Path::new(paths::VERDICT).exists() {
        return Err(TakeError::GivenUp);
    }
    let order = Order::decode(&fs::read(paths::ORDER).map_err(file_error(paths::ORDER))?)?;
    let checkpoint = private()
        .open(paths::CHECKPOINT)
        .map_err(file_error(paths::CHECKPOINT))?;
    let old = Tail::default()
        .poll(&checkpoint)
        .map_err(file_error(paths::CHECKPOINT))?;
    if !old.is_empty() {
        return Err(TakeError::StartedBefore);
    }
    cage::enter().map_err(TakeError::Cage)?;
    let group = std::env::var_os(paths::CGROUP_VARIABLE).map(PathBuf::from);
    match detach(group.as_deref()).map_err(file_error("a process of its own"))? {
        Detached::Starter(code) => Ok(code),
        Detached::Executor(ready) => {
            let runner = match prepare(order, checkpoint, &flags)? {
                Some(start) => Some(Runner::begin(start).map_err(file_error(paths::CHECKPOINT))?),
                None => None,
            };
            // The starter may be gone; the task goes on.
            drop(ready.tell());
            if let Some(runner) = runner {
                runner.run();
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.mode(0o600);
    options
}

/// Whatever the starter had open is not ours to keep open.
fn close_inherited() {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return;
    };
    let number =
        |entry: std::io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let open: Vec<i32> = entries.filter_map(number).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        // The one that listed the directory is closed already.
        nix::unistd::close(fd).unwrap_or_default();
    }
}

fn shell() -> PathBuf {
    let bash = Path::new("/bin/bash");
    if bash.exists() {
        bash.to_owned()
    } else {
        PathBuf::from("/bin/sh")
    }
}

/// Writes the header. None if the task ended at once because it cannot be run as it is.
fn prepare(
    order: Order,
    checkpoint: File,
    flags: &ExecutorFlags,
) -> Result<Option<Start>, TakeError> {
    set_child_subreaper(true)?;
    let mut mask = SigSet::empty();
    for signal in [
        Signal::SIGCHLD,
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGTERM,
    ] {
        mask.add(signal);
    }
    mask.thread_block()?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let listener = Listener::bind(Path::new(paths::CONTROL)).map_err(file_error(paths::CONTROL))?;
    let directory = std::env::current_dir().map_err(file_error("the task's directory"))?;
    let mut writer = Writer::create(checkpoint).map_err(file_error(paths::CHECKPOINT))?;
    writer.push(&Record::Header(header(&order)));
    let supervisor = Definition::parse(&order, flags.logger)
        .map_err(|error| error.to_string())
        .and_then(|it| {
            let supervisor = Supervisor::new(it.task.clone(), clock::now());
            Ok((it, supervisor.map_err(|error| error.to_string())?))
        });
    match supervisor {
        Ok((definition, supervisor)) => Ok(Some(Start {
            order,
            definition,
            sandbox: directory.join(paths::SANDBOX),
            shell: shell(),
            preserve_env: flags.preserve_env,
            path: std::env::var("PATH").unwrap_or_else(|_| DEFAULT_PATH.to_owned()),
            writer,
            listener,
            signals,
            memory: memory_group(),
            supervisor,
        })),
        Err(why) => {
            journal::note(format_args!("cannot run the task: {why}"));
            writer.push(&Record::Task(failed(&why)));
            writer.flush().map_err(file_error(paths::CHECKPOINT))?;
            Ok(None)
        }
    }
}

/// The counters of the control group that the agent has put this process into, if it has.
fn memory_group() -> Option<MemoryGroup> {
    let directory = std::env::var_os(paths::MEMORY_VARIABLE)?;
    match MemoryGroup::open(Path::new(&directory)) {
        Ok(group) => Some(group),
        Err(error) => {
            journal::note(format_args!("cannot see what memory is used: {error}"));
            None
        }
    }
}

fn header(order: &Order) -> Header {
    let pid = nix::unistd::getpid().as_raw();
    Header {
        task: order.task.clone(),
        pid,
        start_ticks: proc::stat(pid).map_or(0, |stat| stat.start_ticks),
        boot_id: proc::boot_id(),
        at_ms: clock::wall().as_ms(),
    }
}

fn failed(why: &str) -> TaskRecord {
    TaskRecord {
        sequence: 1,
        state: TaskStateRecord::Failed,
        message: Some(checkpoint::cut_message(why)),
        at_ms: clock::wall().as_ms(),
    }
}
