//! When a backup is taken, and what is staged for a recovery.

use super::folder::{BackupFolder, LoadError, SaveError};
use crate::base::clock::{self, Instant};
use crate::base::stats::{self, Counter};
use crate::model::{ScheduledTask, TaskId};
use crate::rt;
use crate::storage::backup::Header;
use crate::storage::{Op, Tables, TaskQuery};
use async_channel::{Receiver, Sender, bounded};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;

/// How many pieces of work may wait for the disk.
const QUEUE: usize = 8;

/// How backups are kept.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// Where, and how many.
    pub folder: BackupFolder,
    /// The least time between two that are taken unasked (`-backup_interval`).
    pub interval: Duration,
    /// The cluster's name.
    pub cluster: String,
}

/// Why a recovery does not go on. Nothing was changed.
#[derive(Debug, Error)]
pub enum RecoveryError {
    /// Something is staged.
    #[error("Another backup is already loaded.")]
    AlreadyStaged,
    /// Nothing is.
    #[error("No backup loaded.")]
    NotStaged,
    /// The backup cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The process ends.
    #[error("the scheduler stops")]
    Stopping,
}

/// A backup that was read and waits to be committed.
#[derive(Clone, Debug)]
struct Staged {
    name: String,
    tables: Arc<Tables>,
}

#[derive(Debug)]
enum Work {
    Load {
        id: String,
        done: Sender<Result<(Tables, Header), LoadError>>,
    },
    Save {
        tables: Arc<Tables>,
        done: Option<Sender<Result<PathBuf, SaveError>>>,
    },
}

#[derive(Debug)]
struct Shared {
    staged: Option<Staged>,
    /// When the last backup was begun, or the process.
    last: Instant,
}

/// The backups of this scheduler. Cheap to clone.
#[derive(Clone)]
pub struct Backups {
    options: Arc<BackupOptions>,
    shared: Arc<Mutex<Shared>>,
    work: Sender<Work>,
}

impl fmt::Debug for Backups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backups")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Backups {
    /// Starts the fiber that does the work. It ends when nobody holds the backups any more.
    pub fn start(options: BackupOptions) -> Self {
        let (work, todo) = bounded(QUEUE);
        let backups = Self {
            options: Arc::new(options),
            shared: Arc::new(Mutex::new(Shared {
                staged: None,
                last: clock::now(),
            })),
            work,
        };
        let working = work_on(Arc::clone(&backups.options), todo);
        rt::spawn("backups", working).detach();
        backups
    }

    /// Where backups are.
    pub fn dir(&self) -> &std::path::Path {
        &self.options.folder.dir
    }

    /// A snapshot of these tables is being taken: so is a backup, if the last one is old enough.
    ///
    /// Never waits. Upstream's rule: the first one is due one interval after the process began.
    pub fn offer(&self, tables: Arc<Tables>) {
        let now = clock::now();
        {
            let mut shared = self.lock();
            if now.since(shared.last) < self.options.interval {
                return;
            }
            shared.last = now;
        }
        let save = Work::Save { tables, done: None };
        if self.work.try_send(save).is_err() {
            log::warn!("a backup is left out: the one before it is still being written");
        }
    }

    /// Takes a backup of these tables now. Waits until it is on the disk and has been read back.
    ///
    /// # Errors
    ///
    /// A text that says why not.
    pub async fn save(&self, tables: Arc<Tables>) -> Result<PathBuf, String> {
        self.lock().last = clock::now();
        let (done, saved) = bounded(1);
        let done = Some(done);
        let sent = self.work.send(Work::Save { tables, done }).await;
        let gone = |()| RecoveryError::Stopping.to_string();
        sent.map_err(|_| gone(()))?;
        let saved = saved.recv().await.map_err(|_| gone(()))?;
        saved.map_err(|error| error.to_string())
    }

    /// The names of the files among the backups.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub async fn names(&self) -> std::io::Result<Vec<String>> {
        let folder = self.options.folder.clone();
        rt::unblock(move || folder.names()).await
    }

    /// Reads a backup and keeps it until it is committed or unloaded. Gives its tables.
    ///
    /// # Errors
    ///
    /// It cannot be used, or one is staged already.
    pub async fn stage(&self, id: &str) -> Result<Arc<Tables>, RecoveryError> {
        if self.lock().staged.is_some() {
            return Err(RecoveryError::AlreadyStaged);
        }
        let (done, loaded) = bounded(1);
        let id = id.to_owned();
        let load = Work::Load {
            id: id.clone(),
            done,
        };
        let sent = self.work.send(load).await;
        sent.map_err(|_| RecoveryError::Stopping)?;
        let loaded = loaded.recv().await;
        let (tables, header) = loaded.map_err(|_| RecoveryError::Stopping)??;
        log::info!(
            "staged backup {id} of cluster {} with {} tasks; nothing changes until it is committed",
            header.cluster,
            header.tasks
        );
        let tables = Arc::new(tables);
        let mut shared = self.lock();
        // Somebody else may have been faster.
        if shared.staged.is_some() {
            return Err(RecoveryError::AlreadyStaged);
        }
        shared.staged = Some(Staged {
            name: id,
            tables: Arc::clone(&tables),
        });
        Ok(tables)
    }

    /// The staged tasks that a query asks for.
    ///
    /// # Errors
    ///
    /// Nothing is staged.
    pub fn staged_tasks(
        &self,
        query: &TaskQuery,
    ) -> Result<Vec<Arc<ScheduledTask>>, RecoveryError> {
        let tables = self.staged()?;
        Ok(query.run(&tables))
    }

    /// Forgets staged tasks.
    ///
    /// # Errors
    ///
    /// Nothing is staged.
    pub fn delete_staged(&self, query: &TaskQuery) -> Result<(), RecoveryError> {
        let mut shared = self.lock();
        let staged = shared.staged.as_mut().ok_or(RecoveryError::NotStaged)?;
        let found = query.run(&staged.tables);
        let ids: Vec<TaskId> = found.iter().map(|task| task.id.clone()).collect();
        let tables = Arc::make_mut(&mut staged.tables);
        for task in ids {
            let removed = tables.apply(&Op::RemoveTask { task });
            removed.expect("the query found it in these tables");
        }
        Ok(())
    }

    /// What would be committed.
    ///
    /// # Errors
    ///
    /// Nothing is staged.
    pub fn staged(&self) -> Result<Arc<Tables>, RecoveryError> {
        let shared = self.lock();
        let staged = shared.staged.as_ref().ok_or(RecoveryError::NotStaged)?;
        Ok(Arc::clone(&staged.tables))
    }

    /// Drops what is staged, if anything is: its name.
    pub fn unload(&self) -> Option<String> {
        self.lock().staged.take().map(|staged| staged.name)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Nothing in here panics halfway through a change.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does what is asked for, one piece after the other.
async fn work_on(options: Arc<BackupOptions>, todo: Receiver<Work>) {
    let success = stats::global().counter("scheduler_backup_success");
    let failed = stats::global().counter("scheduler_backup_failed");
    while let Ok(work) = todo.recv().await {
        match work {
            Work::Load { id, done } => {
                let folder = options.folder.clone();
                let loaded = rt::unblock(move || folder.load(&id)).await;
                let loaded = loaded.map(|backup| (backup.tables, backup.header));
                if done.send(loaded).await.is_err() {
                    log::debug!("nobody waits for a backup that was read");
                }
            }
            Work::Save { tables, done } => {
                let options = Arc::clone(&options);
                let save = move || {
                    let taken = clock::wall();
                    options.folder.save(tables, &options.cluster, taken)
                };
                let saved = rt::unblock(save).await;
                tell(&saved, &success, &failed);
                if let Some(done) = done
                    && done.send(saved).await.is_err()
                {
                    log::debug!("nobody waits for a backup that was asked for");
                }
            }
        }
    }
}

fn tell(saved: &Result<PathBuf, SaveError>, success: &Counter, failed: &Counter) {
    match saved {
        Ok(path) => {
            success.increment();
            log::info!("wrote and proved backup {}", path.display());
        }
        Err(error) => {
            failed.increment();
            log::error!(
                "no backup was written: {error}. Make room or mend what it names; the next one is \
                 tried with the next snapshot, or by aurora_admin scheduler_backup_now"
            );
        }
    }
}
