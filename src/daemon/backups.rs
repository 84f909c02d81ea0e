//! Where backups are, and what to say of them when the log is lost.

use super::exit::Failure;
use super::flags::Values;
use crate::replog::OpenError;
use crate::scheduler::backups::{BackupFolder, BackupOptions, Backups};
use std::any::Any;
use std::path::{Path, PathBuf};

/// How backups are kept, by the flags.
#[derive(Clone, Debug)]
pub struct BackupPlan {
    options: BackupOptions,
    /// Whether the directory was named; otherwise it is made when it is needed.
    is_named: bool,
    /// The log's directory.
    log: PathBuf,
}

impl BackupPlan {
    /// The plan of the flags, for the log at `log`. Without `-backup_dir` backups go beside the log.
    ///
    /// # Errors
    ///
    /// Names the flag that makes no sense.
    pub fn new(flags: &Values, log: &Path) -> Result<Self, Failure> {
        let named = flags.text("backup_dir").filter(|dir| !dir.is_empty());
        let dir = match named {
            Some(dir) => std::path::absolute(dir)?,
            None => log.parent().unwrap_or(Path::new("/")).join("backups"),
        };
        let keep: usize = flags.count("max_saved_backups")?;
        if dir.starts_with(log) {
            return Err(Failure::new(format!(
                "-backup_dir={}: backups must not be inside of -native_log_file_path, as they have to \
                 outlive it",
                dir.display()
            )));
        }
        let folder = BackupFolder { dir, keep };
        Ok(Self {
            options: BackupOptions {
                folder,
                interval: flags.time("backup_interval"),
                cluster: flags.required("cluster_name")?.to_owned(),
            },
            is_named: named.is_some(),
            log: log.to_path_buf(),
        })
    }

    /// Starts keeping backups.
    ///
    /// # Errors
    ///
    /// A directory that was named cannot be written.
    pub fn start(&self) -> Result<Backups, Failure> {
        if self.is_named {
            let prepared = self.options.folder.prepare();
            prepared.map_err(|error| {
                Failure::new(format!(
                    "-backup_dir={}: {error}",
                    self.options.folder.dir.display()
                ))
            })?;
        }
        Ok(Backups::start(self.options.clone()))
    }

    /// Why the log does not open, and what can be done.
    pub fn refusal(&self, error: &OpenError) -> Failure {
        let path = self.log.display();
        let mut text = format!("cannot open the log at {path}: {error}");
        if let OpenError::Unproven { .. } = error {
            text.push_str(&self.advice());
        }
        Failure::new(text)
    }

    /// The log's library gave up on what it found.
    pub fn gave_up(&self, _panic: &(dyn Any + Send)) -> Failure {
        let path = self.log.display();
        Failure::new(format!(
            "cannot open the log at {path}: its database cannot be read, see above. {}",
            self.advice()
        ))
    }

    /// Which backup to restore, and how.
    fn advice(&self) -> String {
        let dir = self.options.folder.dir.display();
        match self.options.folder.newest_good() {
            Ok((Some((name, header)), bad)) => {
                let taken = jiff::Timestamp::from_millisecond(header.taken.as_ms());
                let taken = taken.unwrap_or_default();
                let path = self.log.display();
                let newer = match bad {
                    0 => String::new(),
                    bad => format!(" ({bad} newer one(s) are damaged)"),
                };
                format!(
                    ". The newest good backup in {dir} is {name}{newer}, taken {taken:.0} with {} \
                     task(s). To go on with it: mv {path} {path}.damaged; aurora-log initialize \
                     --path={path}; start the scheduler; aurora_admin scheduler_restore {} {name}",
                    header.tasks, self.options.cluster
                )
            }
            Ok((None, 0)) => format!(". There is no backup in {dir}"),
            Ok((None, bad)) => format!(". None of the {bad} backup(s) in {dir} is whole"),
            Err(error) => format!(". Backups in {dir} cannot be read: {error}"),
        }
    }
}
