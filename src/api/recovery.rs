//! Methods of operators: backups, and the recovery from one.

use super::query::task_query;
use super::respond::{self, Answer, Refusal};
use super::{Api, Outcome};
use crate::model::TaskId;
use crate::scheduler::backups::RecoveryError;
use crate::scheduler::handle::View;
use crate::scheduler::{AdminCommand, Backups, Command, Restored};
use crate::storage::{Tables, TaskQuery};
use crate::thrift::api::{
    ListBackupsResult, QueryRecoveryResult, Response, ResponseCode, ResponseResult,
};
use crate::thrift::convert;
use crate::thrift::service::{DeleteRecoveryTasks, QueryRecovery, StageRecovery};

/// How many tasks are named that a recovery would end.
const UNKNOWN_MAX: usize = 1_000;

impl From<RecoveryError> for Refusal {
    fn from(error: RecoveryError) -> Self {
        respond::error(error.to_string())
    }
}

/// What runs now and would end with a recovery, as the backup does not know it: how much, and which.
fn unknown(tables: &Tables, view: &View, staged: &Tables) -> Vec<String> {
    let is_known = |id: &TaskId| staged.task(id).is_some_and(|task| task.status.is_active());
    let running = tables.tasks().filter(|task| task.status.is_assigned());
    let stored = running.map(|task| (&task.id, task.host.as_deref().unwrap_or_default()));
    let held = view.held.iter().map(|(task, agent)| (task, agent.as_str()));
    let all = stored.chain(held).filter(|(task, _)| !is_known(task));
    let mut lines: Vec<String> = all
        .map(|(task, place)| format!("{task} on {place}"))
        .collect();
    if lines.is_empty() {
        return lines;
    }
    let count = lines.len();
    if count > UNKNOWN_MAX {
        lines.truncate(UNKNOWN_MAX);
        lines.push(format!("and {} more", count - UNKNOWN_MAX));
    }
    let first = format!(
        "{count} running task(s) are not in this backup and end soon after it is committed:"
    );
    lines.insert(0, first);
    lines
}

fn ok() -> Response {
    respond::with(ResponseCode::Ok, [])
}

impl Api {
    fn backups(&self) -> Result<&Backups, Refusal> {
        let backups = self.backups.as_ref();
        backups.ok_or_else(|| respond::error("This scheduler keeps no backups: set -backup_dir."))
    }

    /// Takes a backup of what is committed. The answer comes when it has been written and read back.
    pub(super) async fn perform_backup(&self) -> Answer {
        let backups = self.backups()?;
        let tables = self.scheduler.read().await?;
        let path = backups.save(tables).await.map_err(respond::error)?;
        log::debug!("asked for a backup: {}", path.display());
        Ok(ok())
    }

    pub(super) async fn list_backups(&self) -> Answer {
        let backups = self.backups()?;
        let names = backups.names().await.map_err(|error| {
            respond::error(format!(
                "failed to list {}: {error}",
                backups.dir().display()
            ))
        })?;
        let result = ListBackupsResult { backups: names };
        Ok(respond::found(ResponseResult::ListBackupsResult(result)))
    }

    /// Reads a backup for a recovery. Only the leader does, as only the leader can commit it.
    pub(super) async fn stage_recovery(&self, args: &StageRecovery) -> Answer {
        let backups = self.backups()?;
        let id = args.backup_id.as_deref().unwrap_or_default();
        if id.is_empty() {
            return Err(respond::error("backupId is not set"));
        }
        let tables = self.scheduler.read().await?;
        let staged = backups.stage(id).await?;
        let unknown = unknown(&tables, &self.scheduler.view(), &staged);
        Ok(respond::with(ResponseCode::Ok, unknown))
    }

    pub(super) fn query_recovery(&self, args: &QueryRecovery) -> Answer {
        let query = task_query(args.query.as_ref())?;
        let tasks = self.backups()?.staged_tasks(&query)?;
        let tasks = tasks
            .iter()
            .map(|task| convert::scheduled_task_to_wire(task));
        let result = QueryRecoveryResult {
            tasks: tasks.collect(),
        };
        Ok(respond::found(ResponseResult::QueryRecoveryResult(result)))
    }

    pub(super) fn delete_recovery_tasks(&self, args: &DeleteRecoveryTasks) -> Answer {
        let query: TaskQuery = task_query(args.query.as_ref())?;
        self.backups()?.delete_staged(&query)?;
        Ok(ok())
    }

    pub(super) fn unload_recovery(&self) -> Answer {
        self.backups()?.unload();
        Ok(ok())
    }

    /// Lets what is staged take the place of everything.
    ///
    /// A repeat finds nothing staged, by another leader or after a restart: it gets the answer that the
    /// recovery itself brought along.
    pub(super) async fn commit_recovery(&self, request_id: Option<&str>) -> Outcome {
        let staged = self
            .backups()
            .and_then(|backups| backups.staged().map_err(Refusal::from));
        let tables = match staged {
            Ok(tables) => tables,
            Err(Refusal(response)) => {
                let tables = self.scheduler.tables();
                let known = request_id.and_then(|request| tables.answer(request));
                let reply = known.map(|answer| answer.reply.clone());
                return Outcome::Answer(match reply {
                    Some(reply) => Box::new(respond::replied(reply)),
                    None => response,
                });
            }
        };
        log::warn!(
            "a recovery is committed: {} tasks of a backup take the place of everything",
            tables.task_count()
        );
        let command = AdminCommand::Restore(Restored(tables));
        self.submit(request_id, Command::Admin(command)).await
    }
}
