//! Snapshots, backups, and what is done with them.

use super::command::Given;
use super::{Admin, Ran, fail};
use crate::client::exit::CommandError;
use crate::client::scheduler::Repeat;
use crate::thrift::api::{ACTIVE_STATES, ResponseResult, TaskQuery};
use crate::thrift::service::{
    DeleteRecoveryTasks, GetTasksWithoutConfigs, NoArguments, QueryRecovery, Request, StageRecovery,
};
use std::time::Duration;

fn plain(admin: &mut Admin<'_, '_>, request: &Request) -> Ran {
    admin.call(request, Repeat::ById).map(|_| ())
}

pub(super) fn backup_now(admin: &mut Admin<'_, '_>) -> Ran {
    plain(admin, &Request::PerformBackup(Box::new(NoArguments)))
}

pub(super) fn snapshot(admin: &mut Admin<'_, '_>) -> Ran {
    plain(admin, &Request::Snapshot(Box::new(NoArguments)))
}

pub(super) fn commit(admin: &mut Admin<'_, '_>) -> Ran {
    plain(admin, &Request::CommitRecovery(Box::new(NoArguments)))
}

pub(super) fn unload(admin: &mut Admin<'_, '_>) -> Ran {
    plain(admin, &Request::UnloadRecovery(Box::new(NoArguments)))
}

pub(super) fn list_backups(admin: &mut Admin<'_, '_>) -> Ran {
    let request = Request::ListBackups(Box::new(NoArguments));
    let result = admin.call(&request, Repeat::Always)?;
    let mut backups = match result {
        Some(ResponseResult::ListBackupsResult(found)) => found.backups,
        _ => Vec::new(),
    };
    backups.sort();
    admin.print(&format!("{} available backups:", backups.len()));
    for backup in backups {
        admin.print(&backup);
    }
    Ok(())
}

pub(super) fn stage(admin: &mut Admin<'_, '_>, given: &Given) -> Ran {
    let request = Request::StageRecovery(Box::new(StageRecovery {
        backup_id: Some(given.word(1).to_owned()),
    }));
    plain(admin, &request)
}

/// Staging, looking, asking and committing in one command.
pub(super) fn restore(admin: &mut Admin<'_, '_>, given: &Given) -> Ran {
    let backup_id = given.word(1).to_owned();
    let stage = Request::StageRecovery(Box::new(StageRecovery {
        backup_id: Some(backup_id.clone()),
    }));
    let staged = admin.call_for_all(&stage, Repeat::ById)?;
    let result = admin.call(&active_tasks(), Repeat::Always)?;
    let tasks = match result {
        Some(ResponseResult::QueryRecoveryResult(found)) => found.tasks.len(),
        _ => 0,
    };
    admin.print(&format!(
        "{backup_id} has {tasks} active task(s). Those of them that still run go on; the others are run \
         again. Everything that was changed after the backup is forgotten."
    ));
    let unknown: Vec<String> = staged
        .details
        .into_iter()
        .filter_map(|it| it.message)
        .collect();
    match unknown.is_empty() {
        true => admin.print("No running task that is known here ends."),
        false => unknown.iter().for_each(|line| admin.print(line)),
    }
    if !given.is_on("yes") {
        let why = match is_confirmed(admin) {
            Some(true) => None,
            Some(false) => Some("nothing was changed"),
            None => Some("nobody answered, nothing was changed; --yes restores without asking"),
        };
        if let Some(why) = why {
            unload(admin)?;
            return Err(fail(why));
        }
    }
    commit(admin)?;
    admin.print("The backup is in the log. The scheduler ends now; waiting for the next leader.");
    let running = wait_for_leader(admin)?;
    admin.print(&format!(
        "Restored. The scheduler serves again, with {running} active task(s)."
    ));
    Ok(())
}

/// How often a question is put again to somebody who says neither yes nor no.
const QUESTIONS: usize = 3;

/// What was answered; `None` if there is nobody to answer.
fn is_confirmed(admin: &mut Admin<'_, '_>) -> Option<bool> {
    for _ in 0..QUESTIONS {
        let answer = admin.session.world.ask("Restore it? [y/N]")?;
        match answer.to_lowercase().as_str() {
            "y" | "yes" => return Some(true),
            "" | "n" | "no" => return Some(false),
            _ => admin.print("Please answer y or n."),
        }
    }
    Some(false)
}

/// Asks until a scheduler answers that has begun with the backup: how many active tasks it has.
fn wait_for_leader(admin: &mut Admin<'_, '_>) -> Result<usize, CommandError> {
    // The one that took the backup reads nothing any more; its port may live for a moment.
    admin.session.world.time().sleep(Duration::from_millis(500));
    let active = Request::GetTasksWithoutConfigs(Box::new(GetTasksWithoutConfigs {
        query: Some(TaskQuery {
            statuses: ACTIVE_STATES.to_vec(),
            ..TaskQuery::default()
        }),
    }));
    match admin.call(&active, Repeat::Always) {
        Ok(Some(ResponseResult::ScheduleStatusResult(found))) => Ok(found.tasks.len()),
        Ok(_) => Ok(0),
        Err(error) => Err(fail(format!(
            "the backup is in the log, but no scheduler serves it yet: start the schedulers again (a \
             supervisor does), they begin with the backup. {}",
            error.message
        ))),
    }
}

fn active_tasks() -> Request {
    Request::QueryRecovery(Box::new(QueryRecovery {
        query: Some(TaskQuery {
            statuses: ACTIVE_STATES.to_vec(),
            ..TaskQuery::default()
        }),
    }))
}

pub(super) fn print_tasks(admin: &mut Admin<'_, '_>) -> Ran {
    let result = admin.call(&active_tasks(), Repeat::Always)?;
    let tasks = match result {
        Some(ResponseResult::QueryRecoveryResult(found)) => found.tasks,
        _ => Vec::new(),
    };
    admin.info("Role\tJob\tShard\tStatus\tTask ID");
    for task in tasks {
        let status = task.status.map_or("", |status| status.name());
        let assigned = task.assigned_task.unwrap_or_default();
        let job = assigned
            .task
            .and_then(|config| config.job)
            .unwrap_or_default();
        admin.info(&format!(
            "{}\t{}\t{}\t{status}\t{}",
            job.role.unwrap_or_default(),
            job.name.unwrap_or_default(),
            assigned.instance_id,
            assigned.task_id.unwrap_or_default()
        ));
    }
    Ok(())
}

pub(super) fn delete_tasks(admin: &mut Admin<'_, '_>, given: &Given) -> Ran {
    let ids = given.word(1).split(',').filter(|id| !id.is_empty());
    let request = Request::DeleteRecoveryTasks(Box::new(DeleteRecoveryTasks {
        query: Some(TaskQuery {
            task_ids: ids.map(str::to_owned).collect(),
            ..TaskQuery::default()
        }),
    }));
    plain(admin, &request)
}
