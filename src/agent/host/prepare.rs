//! What comes before an executor: files for the sandbox, and a wrapper if the cluster has one.
//!
//! A wrapper runs as the agent does, so it and its files must not be in the hands of the task's user: they
//! are copied into a directory of their own beside the sandbox, which the wrapper finds as `MESOS_SANDBOX`,
//! with the sandbox in it as it would be there. The executor takes the lock itself, whoever started it; so
//! nothing else depends on the wrapper.

use super::watch::Watch;
use crate::agent::fetch::{self, FetchJob, RETRY_PAUSE};
use crate::agent::os::Leftovers;
use crate::base::clock;
use crate::executor::order::Order;
use crate::executor::paths;
use crate::rt;
use futures_lite::FutureExt;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, Uid};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A wrapper has to have started the executor after this time, as upstream's has.
const WRAPPER_LIMIT: Duration = Duration::from_secs(120);
/// What a wrapper may still do when the executor runs.
const WRAPPER_REST: Duration = Duration::from_secs(10);
/// Between two looks at a wrapper.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// What came of the preparations.
pub(super) enum Prepared {
    /// The task cannot run; why.
    Failed(String),
    /// Somebody wants it to end.
    Killed,
    /// The executor may be started.
    Ready(Box<Order>),
}

/// Ends a fetch whose fiber is gone.
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How long a wrapper ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrapper {
    Ended,
    /// Too long, or somebody wants the task to end.
    Late,
}

impl Watch {
    /// Brings what the order names. Safe to do again after any interruption.
    pub(super) async fn prepare(&mut self) -> io::Result<Prepared> {
        let directory = self.directory.clone();
        let order = rt::unblock(move || directory.read_order()).await?;
        let damaged = || io::Error::other("its order is damaged");
        let order = Box::new(order.ok_or_else(damaged)?);
        let fetched = self.directory.path().join(paths::FETCHED);
        if !order.uris.is_empty() && !fetched.exists() {
            match self.fetch(&order).await {
                None => return Ok(Prepared::Killed),
                Some(Err(message)) => return Ok(Prepared::Failed(message)),
                Some(Ok(())) => drop(File::create(&fetched)?),
            }
        }
        if order.wrapper.is_none() {
            return Ok(Prepared::Ready(order));
        }
        let directory = self.directory.clone();
        let staged = rt::unblock(move || {
            let place = directory.path().join(paths::WRAPPER);
            // A wrapper of an agent that is gone must not come second.
            let killed = directory.while_unstarted(|| kill_wrapper(&place))?;
            killed.transpose()?;
            let staged = stage(&place, &order);
            Ok::<_, io::Error>(match staged {
                Ok(()) => Prepared::Ready(order),
                Err(message) => Prepared::Failed(message),
            })
        });
        staged.await
    }

    /// None if the task is killed meanwhile.
    async fn fetch(&self, order: &Order) -> Option<Result<(), String>> {
        let cancel = Cancel(Arc::default());
        let job = FetchJob {
            sandbox: self.directory.sandbox(),
            identity: order.identity.clone(),
            uris: order.uris.clone(),
            disk_mb: order.disk_mb,
            retry_pause: RETRY_PAUSE,
            cache: self.shared.cache.clone(),
            is_cancelled: cancel.0.clone(),
        };
        let work = async {
            let turn = self.shared.fetches.acquire_arc().await;
            let fetched = rt::unblock(move || {
                let done = fetch::fetch(&job);
                // Only now, even if nobody waits any more: until here it took a thread.
                drop(turn);
                done
            });
            let done = fetched.await;
            Some(done.map_err(|error| error.to_string()))
        };
        let killed = async {
            while self.killed_at().is_none() {
                self.woken.recv().await.unwrap_or_default();
            }
            None
        };
        work.or(killed).await
    }

    /// Runs the wrapper until it has ended, or does not end in time.
    pub(super) async fn start_wrapper(
        &mut self,
        wrapper: &Path,
        words: Vec<String>,
    ) -> io::Result<()> {
        let mut command = self.wrapper_command(wrapper, words)?;
        let (shared, task) = (self.shared.clone(), self.task.clone());
        let spawned = rt::unblock(move || {
            shared.limiter.cage(&task)?.close_around(&mut command)?;
            command.spawn()
        });
        let mut child: Child = spawned.await?;
        let group = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        let waited = self.wait_for_wrapper(group).await;
        // Whatever it has left in its group. It is not reaped yet, so that the group is still its own.
        killpg(group, Signal::SIGKILL).unwrap_or_default();
        let status = rt::unblock(move || child.wait()).await?;
        let is_started = self.history.header.is_some();
        if waited? == Wrapper::Ended && !status.success() && !is_started {
            let words = self.directory.last_words();
            return Err(io::Error::other(format!("wrapper: {status}: {words}")));
        }
        Ok(())
    }

    async fn wait_for_wrapper(&mut self, pid: Pid) -> io::Result<Wrapper> {
        let mut late = clock::now() + WRAPPER_LIMIT;
        let (mut is_started, mut has_ended) = (false, false);
        loop {
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
            self.tell_news().await?;
            let header = self.history.header.is_some();
            match waitid(Id::Pid(pid), flags)? {
                WaitStatus::StillAlive => {}
                WaitStatus::Exited(_, 0) if header => return Ok(Wrapper::Ended),
                // What it has left in the background may be about to start the executor.
                WaitStatus::Exited(_, 0) if !has_ended => {
                    has_ended = true;
                    late = late.min(clock::now() + WRAPPER_REST);
                }
                WaitStatus::Exited(_, 0) => {}
                _ => return Ok(Wrapper::Ended),
            }
            if header && !is_started {
                is_started = true;
                late = late.min(clock::now() + WRAPPER_REST);
            }
            if self.killed_at().is_some() || clock::now() >= late {
                return Ok(Wrapper::Late);
            }
            self.wait_or_woken(LOOK_AGAIN).await;
        }
    }

    fn wrapper_command(&self, wrapper: &Path, words: Vec<String>) -> io::Result<Command> {
        let path = self.directory.path();
        let place = path.join(paths::WRAPPER);
        let name = wrapper.file_name().unwrap_or_default();
        let journal = self.directory.open_journal()?;
        let mut command = Command::new(place.join(name));
        command
            .args(words)
            .arg(format!("--task-dir={}", path.display()))
            .current_dir(&place)
            .env_clear()
            .env(paths::TASK_DIR_VARIABLE, path)
            // Also what tells its processes from all others.
            .env("HOME", &place)
            .env("MESOS_DIRECTORY", &place)
            .env("MESOS_EXECUTOR_ID", format!("thermos-{}", self.task))
            .env("MESOS_SANDBOX", &place)
            .stdin(Stdio::null())
            .stdout(journal.try_clone()?)
            .stderr(journal)
            .process_group(0);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        Ok(command)
    }
}

/// Kills what runs in `place` as a wrapper or for one. No executor may be among that.
pub(super) fn kill_wrapper(place: &Path) -> io::Result<usize> {
    match place.exists() {
        true => Leftovers::new(place, BTreeMap::new(), 0).kill(),
        false => Ok(0),
    }
}

/// Copies the wrapper and its files. Gives why that cannot be.
fn stage(place: &Path, order: &Order) -> Result<(), String> {
    let made = match fs::remove_dir_all(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => DirBuilder::new().mode(0o755).create(place),
    };
    let made =
        made.and_then(|()| symlink(Path::new("..").join(paths::SANDBOX), place.join("sandbox")));
    made.map_err(|error| format!("Failed to prepare the executor's directory: {error}"))?;
    let wrapper = order.wrapper.iter();
    for file in wrapper.chain(&order.wrapper_files) {
        copy(Path::new(file), place)
            .map_err(|error| format!("Failed to copy '{file}' for the executor: {error}"))?;
    }
    Ok(())
}

fn copy(from: &Path, place: &Path) -> io::Result<()> {
    let name = from.file_name();
    let name = name.filter(|_| from.is_absolute());
    let name = name.ok_or_else(|| io::Error::other("it is not an absolute path of a file"))?;
    let mut file = File::open(from)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    // It will run as root.
    let is_foreign = metadata.uid() != 0 || metadata.mode() & WRITABLE_BY_OTHERS != 0;
    if Uid::effective().is_root() && is_foreign {
        let why = "the agent is root, so it has to be root's and writable by nobody else";
        return Err(io::Error::other(why));
    }
    let mut options = OpenOptions::new();
    let to = options.write(true).create_new(true).mode(0o700);
    let mut to = to.open(place.join(name))?;
    io::copy(&mut file, &mut to)?;
    to.set_permissions(Permissions::from_mode(0o755))
}
