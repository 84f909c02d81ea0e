//! Backups on a disk: written, proved, pruned, refused; staged and changed.

use super::folder::name_of;
use super::*;
use crate::base::clock::Timestamp;
use crate::base::rng::Rng;
use crate::model::Quota;
use crate::rt;
use crate::storage::backup::BackupError;
use crate::storage::{Op, Tables, TaskQuery};
use jiff::tz::TimeZone;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const MINUTE: i64 = 60_000;

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // Whatever stays is in a directory for what is temporary.
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

impl Scratch {
    fn new() -> Self {
        let name = format!("aurora-backups-{}", Rng::from_os().uuid());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn folder(&self, keep: usize) -> BackupFolder {
        BackupFolder {
            dir: self.0.join("some/backups"),
            keep,
        }
    }

    fn backups(&self, interval: Duration) -> Backups {
        Backups::start(BackupOptions {
            folder: self.folder(3),
            interval,
            cluster: "main".into(),
        })
    }
}

/// Tables with a quota for each of these roles.
fn tables(roles: &[&str]) -> Arc<Tables> {
    let mut tables = Tables::default();
    for role in roles {
        let quota = Quota::default();
        let role = (*role).to_owned();
        tables.apply(&Op::SetQuota { role, quota }).unwrap();
    }
    tables.set_version(roles.len() as u64);
    Arc::new(tables)
}

fn roles(tables: &Tables) -> Vec<String> {
    tables.quotas().map(|(role, _)| role.clone()).collect()
}

#[test]
fn a_backup_has_upstreams_name_in_the_machines_time_zone() {
    let taken: jiff::Timestamp = "2026-03-09T23:05:59Z".parse().unwrap();
    let taken = Timestamp(taken.as_millisecond());
    let name = name_of(taken, &TimeZone::UTC);
    assert_eq!(name, "scheduler-backup-2026-03-09-23-05");
    let zone = TimeZone::get("Asia/Tokyo").unwrap();
    assert_eq!(name_of(taken, &zone), "scheduler-backup-2026-03-10-08-05");
}

#[test]
fn a_backup_is_written_proved_and_read_again() {
    let scratch = Scratch::new();
    let folder = scratch.folder(3);
    assert_eq!(folder.names().unwrap(), Vec::<String>::new());
    let path = folder
        .save(tables(&["a", "b"]), "main", Timestamp(0))
        .unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let backup = folder.load(name).unwrap();
    assert_eq!(roles(&backup.tables), ["a", "b"]);
    assert_eq!(backup.header.cluster, "main");
    assert_eq!(folder.names().unwrap(), [name]);
    // They hold descriptions of jobs.
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o007, 0);
    // One of the same minute takes its place.
    folder.save(tables(&["c"]), "main", Timestamp(1)).unwrap();
    assert_eq!(roles(&folder.load(name).unwrap().tables), ["c"]);
}

#[test]
fn the_oldest_backups_and_unfinished_ones_are_removed_and_nothing_else() {
    let scratch = Scratch::new();
    let folder = scratch.folder(2);
    folder.prepare().unwrap();
    for other in ["notes", "temp_scheduler-backup-old", "temp_notes"] {
        fs::write(folder.dir.join(other), "x").unwrap();
    }
    let saved: Vec<PathBuf> = (0..4)
        .map(|i| {
            folder
                .save(tables(&["a"]), "main", Timestamp(i * MINUTE))
                .unwrap()
        })
        .collect();
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let kept = ["notes".to_owned(), name(&saved[2]), name(&saved[3])];
    let mut names = folder.names().unwrap();
    names.retain(|name| name != "temp_notes");
    assert_eq!(names, kept);
    assert!(folder.dir.join("temp_notes").exists());
    assert!(!folder.dir.join("temp_scheduler-backup-old").exists());
}

#[test]
fn the_newest_good_backup_is_found_behind_damaged_ones() {
    let scratch = Scratch::new();
    let folder = scratch.folder(9);
    assert_eq!(folder.newest_good().unwrap(), (None, 0));
    let paths: Vec<PathBuf> = (0..3)
        .map(|i| {
            folder
                .save(tables(&["a"]), "main", Timestamp(i * MINUTE))
                .unwrap()
        })
        .collect();
    let bytes = fs::read(&paths[2]).unwrap();
    fs::write(&paths[2], &bytes[..bytes.len() - 1]).unwrap();
    let (found, bad) = folder.newest_good().unwrap();
    let (name, header) = found.unwrap();
    assert_eq!(paths[1].file_name().unwrap().to_str(), Some(name.as_str()));
    assert_eq!((header.taken, bad), (Timestamp(MINUTE), 1));
    for path in &paths {
        fs::write(path, "x").unwrap();
    }
    assert_eq!(folder.newest_good().unwrap(), (None, 3));
}

#[test]
fn names_that_lead_out_of_the_directory_are_refused() {
    let scratch = Scratch::new();
    let folder = scratch.folder(9);
    folder.prepare().unwrap();
    fs::write(scratch.0.join("some/outside"), "x").unwrap();
    for id in ["../outside", "/etc/passwd", "..", ".", "", "a/b", "./a"] {
        let error = folder.load(id).unwrap_err();
        assert!(matches!(error, LoadError::Name { .. }), "{id}: {error}");
    }
    let error = folder.load("none").unwrap_err().to_string();
    let path = folder.dir.join("none");
    assert_eq!(error, format!("Backup {} does not exist.", path.display()));
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let scratch = Scratch::new();
    fs::write(scratch.0.join("some"), "a file").unwrap();
    let folder = scratch.folder(9);
    for error in [
        folder.prepare().unwrap_err(),
        folder
            .save(tables(&["a"]), "main", Timestamp(0))
            .unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.contains("some/backups"), "{text}");
    }
}

#[test]
fn staging_and_its_refusals_have_upstreams_words() {
    rt::block_on(async {
        let scratch = Scratch::new();
        let backups = scratch.backups(Duration::ZERO);
        let all = TaskQuery::default();
        let none = backups.staged_tasks(&all).unwrap_err();
        assert_eq!(none.to_string(), "No backup loaded.");
        assert!(backups.delete_staged(&all).is_err());
        assert!(backups.staged().is_err());
        assert_eq!(backups.unload(), None);
        let path = backups.save(tables(&["a", "b"])).await.unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let staged = backups.stage(&name).await.unwrap();
        assert_eq!(roles(&staged), ["a", "b"]);
        let again = backups.stage(&name).await.unwrap_err();
        assert_eq!(again.to_string(), "Another backup is already loaded.");
        assert_eq!(backups.unload(), Some(name.clone()));
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(&path, bytes).unwrap();
        let error = backups.stage(&name).await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("Failed to decode backup /"), "{text}");
        assert!(text.ends_with("Nothing was changed."), "{text}");
        let RecoveryError::Load(LoadError::Damaged { cause, .. }) = error else {
            panic!("{error}");
        };
        assert!(matches!(cause, BackupError::Damaged { .. }), "{cause}");
        assert!(backups.staged().is_err());
    });
}

#[test]
fn a_backup_is_taken_along_with_a_snapshot_only_if_the_last_one_is_old_enough() {
    rt::block_on(async {
        let scratch = Scratch::new();
        let often = scratch.backups(Duration::ZERO);
        often.offer(tables(&["a"]));
        // Work is done in order: once this one is there, the one before it is.
        let path = often.save(tables(&["b"])).await.unwrap();
        assert!(path.exists());
        let rare = Scratch::new();
        let backups = rare.backups(Duration::from_secs(3_600));
        backups.offer(tables(&["a"]));
        assert!(backups.stage("x").await.is_err());
        // The process has just begun: nothing is due.
        assert_eq!(backups.names().await.unwrap(), Vec::<String>::new());
    });
}
