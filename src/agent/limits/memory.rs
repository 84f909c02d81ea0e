//! What the processes of a task hold in memory, where no control group counts it.

use crate::executor::os::proc::{ProcessStat, with_descendants};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// For each root that is still there, the pages that it and all its descendants hold. What is shared is
/// counted for each that shares it.
pub(super) fn pages_of(all: &[ProcessStat], roots: &[(i32, u64)]) -> BTreeMap<i32, u64> {
    let by_id: BTreeMap<i32, &ProcessStat> = all.iter().map(|it| (it.pid, it)).collect();
    let is_same = |(pid, start): &&(i32, u64)| {
        let there = by_id.get(pid);
        there.is_some_and(|it| it.start_ticks == *start)
    };
    let alive: BTreeSet<i32> = roots.iter().filter(is_same).map(|it| it.0).collect();
    let mut sums: BTreeMap<i32, u64> = alive.iter().map(|pid| (*pid, 0)).collect();
    for process in all {
        if let Some(root) = root_of(&by_id, process, &alive) {
            *sums.entry(root).or_default() += process.rss_pages;
        }
    }
    sums
}

fn root_of(
    by_id: &BTreeMap<i32, &ProcessStat>,
    process: &ProcessStat,
    roots: &BTreeSet<i32>,
) -> Option<i32> {
    let mut at = process;
    // What is read while it changes may go in circles.
    for _ in 0..=by_id.len() {
        if roots.contains(&at.pid) {
            return Some(at.pid);
        }
        at = by_id.get(&at.parent)?;
    }
    None
}

/// The bytes that a process and its descendants hold, each with its part of what it shares. More exact, and
/// far dearer, than [`pages_of`]; none if the kernel does not say.
pub(super) fn exact_bytes(all: &[ProcessStat], root: i32) -> Option<u64> {
    let mut sum = 0_u64;
    for pid in with_descendants(all, BTreeSet::from([root])) {
        // One that has ended since holds nothing.
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else {
            continue;
        };
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kilobytes: u64 = line?.trim().strip_suffix("kB")?.trim().parse().ok()?;
        sum = sum.saturating_add(kilobytes << 10);
    }
    (sum > 0).then_some(sum)
}

/// The size of a page, in bytes.
pub(super) fn page_bytes() -> u64 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    let size = size.ok().flatten().unwrap_or(4_096);
    u64::try_from(size).unwrap_or(4_096)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, rss_pages: u64) -> ProcessStat {
        ProcessStat {
            pid,
            parent,
            session: 0,
            is_zombie: false,
            start_ticks: 7,
            rss_pages,
        }
    }

    #[test]
    fn each_root_has_the_sum_of_its_own_tree() {
        let all = [
            process(1, 0, 100),
            process(10, 1, 1),
            process(11, 10, 2),
            process(12, 11, 4),
            process(20, 1, 8),
            process(21, 20, 16),
            // In a circle, as a torn reading may show.
            process(31, 32, 5),
            process(32, 31, 5),
        ];
        let sums = pages_of(&all, &[(10, 7), (20, 7), (1, 6), (99, 7)]);
        assert_eq!(sums, BTreeMap::from([(10, 7), (20, 24)]));
    }

    #[test]
    fn this_process_holds_something() {
        let own = i32::try_from(std::process::id()).unwrap();
        let all = crate::executor::os::proc::all().unwrap();
        let stat = *all.iter().find(|it| it.pid == own).unwrap();
        assert!(stat.rss_pages * page_bytes() > 100_000);
        if let Some(exact) = exact_bytes(&all, own) {
            assert!(exact > 100_000, "{exact}");
        }
    }
}
