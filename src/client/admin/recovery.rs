//! Snapshots, backups, and what is done with them.

use super::command::Given;
use super::{Admin, Ran};
use crate::client::scheduler::Repeat;
use crate::thrift::api::{ACTIVE_STATES, ResponseResult, TaskQuery};
use crate::thrift::service::{
    DeleteRecoveryTasks, NoArguments, QueryRecovery, Request, StageRecovery,
};

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

pub(super) fn print_tasks(admin: &mut Admin<'_, '_>) -> Ran {
    let request = Request::QueryRecovery(Box::new(QueryRecovery {
        query: Some(TaskQuery {
            statuses: ACTIVE_STATES.to_vec(),
            ..TaskQuery::default()
        }),
    }));
    let result = admin.call(&request, Repeat::Always)?;
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
