//! Three schedulers, one on a disk that is full: its process ends with a status of its own and says why,
//! the others go on, and with room it comes back by itself.

use crate::chaos::insist;
use crate::ensemble::{Ensemble, begin};
use crate::job::create;
use crate::world::wait;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The status of a scheduler whose log has failed.
const LOG_POISONED: i32 = 70;

/// A file system of a few megabytes. Unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Over what is in `path` already, which it keeps.
    fn over(path: &Path) -> Self {
        let aside = path.with_extension("aside");
        fs::rename(path, &aside).unwrap();
        fs::create_dir(path).unwrap();
        mount(
            Some("tmpfs"),
            path,
            Some("tmpfs"),
            MsFlags::empty(),
            Some("size=12m"),
        )
        .unwrap();
        let small = Self(path.to_path_buf());
        let copied = std::process::Command::new("cp")
            .args(["-a", "--sparse=always"])
            .arg(aside.join("."))
            .arg(path)
            .status();
        assert!(copied.unwrap().success());
        small
    }

    /// Until nothing goes in any more.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("lost+found");
        fs::create_dir_all(&path).unwrap();
        let path = path.join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What is still busy goes when it is free.
        umount2(&self.0, MntFlags::MNT_DETACH).ok();
    }
}

#[test]
fn a_full_disk_ends_its_scheduler_and_the_others_go_on() {
    if !nix::unistd::geteuid().is_root() {
        println!("only root can make a small file system: not run");
        return;
    }
    let mut ensemble = Ensemble::new("full-disk");
    let judge = ensemble.world.path("judge");
    let small = SmallDisk::over(&ensemble.disk(2));
    ensemble.start_all();
    ensemble.wait_for_leader();
    wait("all to vote", || ensemble.all_vote());
    begin(&ensemble, &judge);
    let filler = small.fill();
    let mut count = 0;
    wait("the full disk to be noticed", || {
        count += 1;
        let name = format!("full{count}");
        insist(&ensemble.world, &create(&name, 1, true, "true"), &name);
        let child = ensemble.members[2].child.as_mut().unwrap();
        child.try_wait().unwrap().is_some()
    });
    assert_eq!(ensemble.join(2), LOG_POISONED);
    let log = fs::read_to_string(ensemble.world.path("scheduler2.log")).unwrap();
    assert!(log.contains("the replicated log has failed"), "{log}");
    // The others still take changes.
    ensemble.wait_for_leader();
    for number in 0..5 {
        let name = format!("without{number}");
        insist(&ensemble.world, &create(&name, 1, true, "true"), &name);
    }
    fs::remove_file(filler).unwrap();
    ensemble.start(2);
    wait("all to vote again", || ensemble.all_vote());
    // It counts: with it alone the leader goes on.
    let leader = ensemble.wait_for_leader();
    let other = (0..3).find(|at| *at != leader && *at != 2);
    ensemble.kill(other.unwrap_or((leader + 1) % 3));
    let name = "with-it-again";
    insist(&ensemble.world, &create(name, 1, true, "true"), name);
    ensemble.kill(2);
}
