//! Processes as `/proc` shows them.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

/// What identifies a process and its place among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessStat {
    /// Its id, which is used again after its end.
    pub pid: i32,
    /// Its parent.
    pub parent: i32,
    /// Its session.
    pub session: i32,
    /// Whether it has ended and waits to be reaped.
    pub is_zombie: bool,
    /// When it started, in clock ticks since boot: with the id, unique within a boot.
    pub start_ticks: u64,
    /// Memory it holds, in pages.
    pub rss_pages: u64,
}

/// Reads one process; none if it is not there.
pub fn stat(pid: i32) -> Option<ProcessStat> {
    parse_stat(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(pid: i32, bytes: &[u8]) -> Option<ProcessStat> {
    // The name in parentheses may hold anything, parentheses and spaces too.
    let close = bytes.iter().rposition(|b| *b == b')')?;
    let rest = std::str::from_utf8(bytes.get(close + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    // Field 22 of the whole line; the state is field 3, the session field 6.
    let start_ticks = fields.nth(15)?.parse().ok()?;
    let rss_pages = fields.nth(1)?.parse().ok()?;
    Some(ProcessStat {
        pid,
        parent,
        session,
        is_zombie: matches!(state, "X" | "Z"),
        start_ticks,
        rss_pages,
    })
}

/// All processes that can be seen.
///
/// # Errors
///
/// `/proc` cannot be read.
pub fn all() -> io::Result<Vec<ProcessStat>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        if let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) {
            found.extend(stat(pid));
        }
    }
    Ok(found)
}

/// The children of all threads of a process; none if the kernel does not list them.
///
/// The kernel may leave one out while others end: it is read twice, and whoever must be sure asks again.
fn children(pid: i32) -> Option<BTreeSet<i32>> {
    let mut found = BTreeSet::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let list = thread.ok()?.path().join("children");
        for _ in 0..2 {
            let text = match fs::read_to_string(&list) {
                Ok(text) => text,
                // The thread has ended in between; the directory itself tells whether there are such lists.
                Err(_) if !list.parent()?.exists() => break,
                Err(_) => return None,
            };
            found.extend(
                text.split_whitespace()
                    .filter_map(|it| it.parse().ok())
                    .filter(|it: &i32| *it > 0),
            );
        }
    }
    Some(found)
}

/// The children of `pid`, ended ones that are not reaped among them.
///
/// # Errors
///
/// `/proc` cannot be read.
pub fn children_of(pid: i32) -> io::Result<Vec<ProcessStat>> {
    match children(pid) {
        Some(children) => Ok(children.into_iter().filter_map(stat).collect()),
        None => Ok(all()?.into_iter().filter(|it| it.parent == pid).collect()),
    }
}

/// All that descend from `pid`. Costs as much as they are many, where the kernel lists children.
///
/// # Errors
///
/// `/proc` cannot be read.
pub fn descendants_of(pid: i32) -> io::Result<Vec<ProcessStat>> {
    let Some(children_of_root) = children(pid) else {
        let all = all()?;
        let mut found = with_descendants(&all, BTreeSet::from([pid]));
        found.remove(&pid);
        return Ok(all
            .into_iter()
            .filter(|it| found.contains(&it.pid))
            .collect());
    };
    let mut found = children_of_root.clone();
    let mut open: Vec<i32> = children_of_root.into_iter().collect();
    while let Some(next) = open.pop() {
        // One that has ended in between has none; its children are the subreaper's, which asks again.
        for child in children(next).unwrap_or_default() {
            if found.insert(child) {
                open.push(child);
            }
        }
    }
    Ok(found.into_iter().filter_map(stat).collect())
}

/// Adds to `roots` all processes that descend from one of them.
pub fn with_descendants(all: &[ProcessStat], roots: BTreeSet<i32>) -> BTreeSet<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for process in all {
        children
            .entry(process.parent)
            .or_default()
            .push(process.pid);
    }
    let mut found = roots.clone();
    let mut open: Vec<i32> = roots.into_iter().collect();
    while let Some(pid) = open.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            if found.insert(*child) {
                open.push(*child);
            }
        }
    }
    found
}

/// Signals a process if it is still the one that was seen. Gives whether it was there.
pub fn signal(seen: &ProcessStat, signal: Signal) -> bool {
    let is_same = stat(seen.pid).is_some_and(|now| now.start_ticks == seen.start_ticks);
    is_same && kill(Pid::from_raw(seen.pid), signal).is_ok()
}

/// Which boot of the machine this is; empty where the system does not say.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_does_not_shift_the_fields() {
        let line = b"7 (a) Z 1 (b) S 5 7 7 0 -1 4194304 1 0 0 0 1 2 3 4 20 0 1 0 987 6 7";
        let stat = parse_stat(7, line).unwrap();
        assert_eq!((stat.parent, stat.session, stat.start_ticks), (5, 7, 987));
        assert_eq!(stat.rss_pages, 7);
        assert!(!stat.is_zombie);
        assert_eq!(parse_stat(7, b"7 (a) S 1"), None);
    }

    #[test]
    fn children_and_what_descends_from_them_are_found_without_looking_at_everybody() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "sleep 60 >/dev/null 2>&1 & read line; kill $!"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = i32::try_from(shell.id()).unwrap();
        assert!(children_of(own).unwrap().iter().any(|it| it.pid == pid));
        let below = loop {
            let below = descendants_of(own).unwrap();
            if below.iter().any(|it| it.parent == pid) {
                break below;
            }
        };
        assert!(below.iter().all(|it| it.pid != own));
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert!(children_of(own).unwrap().iter().all(|it| it.pid != pid));
    }

    #[test]
    fn this_process_is_among_all_and_descends_from_its_parent() {
        let own = i32::try_from(std::process::id()).unwrap();
        let all = all().unwrap();
        let stat = *all.iter().find(|it| it.pid == own).unwrap();
        assert!(with_descendants(&all, BTreeSet::from([stat.parent])).contains(&own));
    }
}
