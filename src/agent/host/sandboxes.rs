//! Removes the directories of tasks that are over: the oldest first, by age, by number, and as long as the
//! disk is too full. Only tasks whose end the scheduler has acknowledged are here: what runs, and what was not
//! told yet, is never touched.

use super::directory::TaskDirectory;
use super::shared::{Shared, lock};
use crate::base::clock::{self, Timestamp};
use crate::rt;
use async_channel::Receiver;
use futures_lite::FutureExt;
use nix::sys::statvfs::statvfs;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::Duration;

/// Between two looks if nothing ends.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Directories of tasks that are over, and when they ended.
pub(super) type Kept = BTreeSet<(Timestamp, PathBuf)>;

/// Takes the directories that are to go.
fn take_due(kept: &mut Kept, now: Timestamp, age_max: Duration, count_max: usize) -> Vec<PathBuf> {
    let mut due = Vec::new();
    while let Some((at, _)) = kept.first() {
        if kept.len() <= count_max && now.since(*at) < age_max {
            break;
        }
        due.extend(kept.pop_first().map(|(_, path)| path));
    }
    due
}

/// How much of the disk is free to users; all of it if the system does not say.
fn free_percent(directory: &Path) -> f64 {
    let Ok(disk) = statvfs(directory) else {
        return 100.0;
    };
    let (free, all) = (disk.blocks_available() as f64, disk.blocks() as f64);
    if all > 0.0 { free / all * 100.0 } else { 100.0 }
}

async fn remove(path: PathBuf) {
    let directory = TaskDirectory::at(path);
    let removed: io::Result<()> = rt::unblock(move || directory.remove()).await;
    if let Err(error) = removed {
        log::warn!("cannot remove an old sandbox: {error}");
    }
}

/// Removes what is due whenever a task was forgotten, and from time to time.
pub(super) async fn run(shared: Weak<Shared>, woken: Receiver<()>, mut kept: Kept) {
    loop {
        let Some(host) = shared.upgrade() else {
            return;
        };
        kept.append(&mut lock(&host.forgotten));
        let (age, count) = (host.config.sandbox_age_max, host.config.sandbox_count_max);
        let headroom = f64::from(host.config.disk_headroom_percent);
        let tasks_dir = host.tasks_dir.clone();
        let cache = host.cache.clone();
        drop(host);
        for path in take_due(&mut kept, clock::wall(), age, count) {
            remove(path).await;
        }
        if let Some(cache) = cache
            && free_percent(&tasks_dir) < headroom
        {
            // What can be fetched again goes before what cannot.
            let bytes = rt::unblock(move || cache.remove_unused()).await;
            if bytes > 0 {
                log::info!(
                    "less than {headroom} percent of the disk are free: {bytes} bytes of fetched files are removed"
                );
            }
        }
        while !kept.is_empty() && free_percent(&tasks_dir) < headroom {
            let Some((_, path)) = kept.pop_first() else {
                break;
            };
            log::info!(
                "less than {headroom} percent of the disk are free: {} is removed",
                path.display()
            );
            remove(path).await;
        }
        let is_open = async { woken.recv().await.is_ok() };
        let later = async {
            rt::sleep(LOOK_AGAIN).await;
            true
        };
        if !is_open.or(later).await {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_by_age_and_by_number() {
        let entry = |at: i64| (Timestamp(at * 1_000), PathBuf::from(at.to_string()));
        let mut kept: Kept = (0..10).map(entry).collect();
        let age = Duration::from_secs(7);
        let due = take_due(&mut kept, Timestamp(9_000), age, 100);
        assert_eq!(due, ["0", "1", "2"].map(PathBuf::from));
        let due = take_due(&mut kept, Timestamp(9_000), age, 5);
        assert_eq!(due, ["3", "4"].map(PathBuf::from));
        assert_eq!(kept.len(), 5);
    }
}
