//! Methods about backups and recovery.

use super::tests::{ask, said, services, tables};
use super::*;
use crate::base::rng::Rng;
use crate::model::ScheduleStatus as S;
use crate::rt::block_on;
use crate::scheduler::backups::{BackupFolder, BackupOptions, Backups};
use crate::scheduler::handle::{Command, View};
use crate::scheduler::{AdminCommand, Handle};
use crate::storage::{Reply, Tables};
use crate::thrift::api::*;
use crate::thrift::service::*;
use std::path::PathBuf;
use std::time::Duration;

struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        // Whatever stays is in a directory for what is temporary.
        std::fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

impl Place {
    fn new() -> Self {
        let name = format!("aurora-recovery-{}", Rng::from_os().uuid());
        Self(std::env::temp_dir().join(name))
    }

    fn backups(&self) -> Backups {
        Backups::start(BackupOptions {
            folder: BackupFolder {
                dir: self.0.clone(),
                keep: 3,
            },
            interval: Duration::from_secs(3_600),
            cluster: "test".into(),
        })
    }
}

fn jobs() -> Tables {
    let web: &[(u32, S)] = &[(0, S::Running), (1, S::Pending), (2, S::Finished)];
    tables(&[("web", web), ("db", &[(0, S::Running)])])
}

fn plain(name: &str) -> Request {
    match name {
        "commit" => Request::CommitRecovery(Box::default()),
        "list" => Request::ListBackups(Box::default()),
        "perform" => Request::PerformBackup(Box::default()),
        _ => Request::UnloadRecovery(Box::default()),
    }
}

fn stage(id: &str) -> Request {
    let backup_id = Some(id.to_owned());
    Request::StageRecovery(Box::new(StageRecovery { backup_id }))
}

fn active() -> TaskQuery {
    TaskQuery {
        statuses: ACTIVE_STATES.to_vec(),
        ..TaskQuery::default()
    }
}

fn staged_ids(api: &Api, query: TaskQuery) -> Vec<String> {
    let query = Some(query);
    let response = ask(
        api,
        Request::QueryRecovery(Box::new(QueryRecovery { query })),
    );
    let Some(ResponseResult::QueryRecoveryResult(found)) = response.result else {
        panic!("{response:?}");
    };
    let id = |task: &ScheduledTask| task.assigned_task.as_ref().unwrap().task_id.clone();
    let mut ids: Vec<String> = found.tasks.iter().filter_map(id).collect();
    ids.sort();
    ids
}

#[test]
fn a_backup_is_taken_listed_staged_changed_and_committed() {
    let place = Place::new();
    let (api, seen) = services(jobs(), View::default(), Ok(Reply::ok()));
    let api = api.with_backups(place.backups());
    assert_eq!(said(&ask(&api, plain("perform"))).0, ResponseCode::Ok);
    let listed = ask(&api, plain("list"));
    let Some(ResponseResult::ListBackupsResult(found)) = listed.result else {
        panic!("{listed:?}");
    };
    let [name] = found.backups.as_slice() else {
        panic!("{:?}", found.backups);
    };
    assert!(name.starts_with("scheduler-backup-"), "{name}");
    let said_of_stage = ask(&api, stage(name));
    assert_eq!(said(&said_of_stage), (ResponseCode::Ok, vec![]));
    let again = ask(&api, stage(name));
    let taken = "Another backup is already loaded.";
    assert_eq!(said(&again), (ResponseCode::Error, vec![taken]));
    let all = ["db-0-RUNNING", "web-0-RUNNING", "web-1-PENDING"];
    assert_eq!(staged_ids(&api, active()), all);
    let delete = |id: &str| {
        let query = Some(TaskQuery {
            task_ids: vec![id.to_owned()],
            ..TaskQuery::default()
        });
        Request::DeleteRecoveryTasks(Box::new(DeleteRecoveryTasks { query }))
    };
    assert_eq!(
        said(&ask(&api, delete("web-0-RUNNING"))).0,
        ResponseCode::Ok
    );
    assert_eq!(
        staged_ids(&api, active()),
        ["db-0-RUNNING", "web-1-PENDING"]
    );
    assert!(seen.lock().unwrap().is_empty(), "nothing changed so far");
    assert_eq!(said(&ask(&api, plain("commit"))).0, ResponseCode::Ok);
    let commands = seen.lock().unwrap();
    let [(None, Command::Admin(AdminCommand::Restore(restored)))] = commands.as_slice() else {
        panic!("{commands:?}");
    };
    assert_eq!(restored.0.task_count(), 3);
    drop(commands);
    assert_eq!(said(&ask(&api, plain("unload"))).0, ResponseCode::Ok);
    assert_eq!(said(&ask(&api, plain("unload"))).0, ResponseCode::Ok);
}

#[test]
fn what_is_not_staged_is_not_shown_changed_or_committed() {
    let place = Place::new();
    let (api, seen) = services(jobs(), View::default(), Ok(Reply::ok()));
    let api = api.with_backups(place.backups());
    let query = || Some(TaskQuery::default());
    let delete = DeleteRecoveryTasks { query: query() };
    for request in [
        Request::QueryRecovery(Box::new(QueryRecovery { query: query() })),
        Request::DeleteRecoveryTasks(Box::new(delete)),
        plain("commit"),
    ] {
        let response = ask(&api, request);
        let none = "No backup loaded.";
        assert_eq!(said(&response), (ResponseCode::Error, vec![none]));
    }
    let response = ask(&api, stage("scheduler-backup-none"));
    let path = place.0.join("scheduler-backup-none");
    let missing = format!("Backup {} does not exist.", path.display());
    assert_eq!(said(&response), (ResponseCode::Error, vec![&*missing]));
    let response = ask(&api, stage("../x"));
    assert_eq!(said(&response).0, ResponseCode::Error);
    assert!(seen.lock().unwrap().is_empty());
}

#[test]
fn only_a_leader_takes_and_stages_backups() {
    let place = Place::new();
    let api = Api::new(Handle::unready(), ApiConfig::default()).with_backups(place.backups());
    for request in [plain("perform"), stage("scheduler-backup-x")] {
        let response = ask(&api, request);
        let not_ready = (ResponseCode::ErrorTransient, vec!["Storage is not READY"]);
        assert_eq!(said(&response), not_ready);
    }
    assert!(!place.0.exists());
}

#[test]
fn a_repeated_commit_gets_the_answer_that_the_recovery_brought_along() {
    let place = Place::new();
    let mut tables = jobs();
    let request = plain("commit");
    let content = message::encode_call(Protocol::Binary, 0, &request);
    let answer = crate::storage::Answer {
        at: clock::Timestamp(0),
        reply: Reply::ok(),
    };
    let named = request_of("once", &content);
    let set = crate::storage::Op::SetAnswer {
        request: named,
        answer,
    };
    tables.apply(&set).unwrap();
    let (api, seen) = services(tables, View::default(), Ok(Reply::ok()));
    let api = api.with_backups(place.backups());
    let ok = |id| match block_on(api.call(Some(id), plain("commit"))) {
        Outcome::Answer(response) => response.response_code == Some(ResponseCode::Ok),
        Outcome::Unknown => false,
    };
    assert!(ok("once"));
    assert!(!ok("twice"));
    assert!(seen.lock().unwrap().is_empty());
}
