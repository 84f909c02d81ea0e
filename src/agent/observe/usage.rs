//! What the processes of a task use now, looked up when somebody asks.

use crate::agent::limits::disk_usage;
use crate::base::clock::{self, Instant};
use crate::executor::checkpoint::Header;
use crate::executor::os::proc::{self, ProcessStat};
use nix::unistd::{SysconfVar, sysconf};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Within this time the same look at `/proc` serves everybody.
const FRESH: Duration = Duration::from_secs(1);

/// Disks are looked at no more often.
const DISK_FRESH: Duration = Duration::from_secs(60);

/// Clock ticks per second of all times in `/proc`: fixed in what the kernel tells programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// What all processes of a task use together, the executor left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Cores in use: since the last look, or on average since their start.
    pub(super) cpu: f64,
    /// Bytes in memory.
    pub(super) rss: u64,
    /// Bytes on the disk; of a whole task only.
    pub(super) disk: u64,
    /// Bytes of address space.
    pub(super) vms: u64,
    /// Seconds spent in programs.
    pub(super) user: f64,
    /// Seconds spent in the kernel.
    pub(super) system: f64,
    pub(super) processes: usize,
    pub(super) threads: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Figures {
    user_ticks: u64,
    system_ticks: u64,
    threads: u64,
    vms: u64,
    rss_pages: u64,
    start_ticks: u64,
}

/// The time that a root's descendants had used at an instant.
type Seen = (Instant, f64);

#[derive(Debug, Default)]
struct State {
    scan: Option<(Instant, Arc<Vec<ProcessStat>>)>,
    /// By the root's process id and start: the last look, and the rate that came out of it.
    seen: BTreeMap<(i32, u64), (Seen, f64)>,
    /// By sandbox: when it was looked at, and what it took.
    disks: BTreeMap<PathBuf, (Instant, u64)>,
}

/// Looks at `/proc`, at most once a second.
#[derive(Debug, Default)]
pub(super) struct Meter(Mutex<State>);

impl Meter {
    /// What the task uses whose executor wrote `header`. None if that executor is not there any more.
    pub(super) fn of_task(&self, header: &Header) -> Option<Usage> {
        let executor = self.root(header, header.pid, header.start_ticks)?;
        self.below(executor, false)
    }

    /// What a sandbox takes on the disk, as of a minute ago at most; zero if it cannot be read.
    pub(super) fn disk(&self, sandbox: &Path) -> u64 {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        if let Some((at, used)) = lock().disks.get(sandbox)
            && now.since(*at) < DISK_FRESH
        {
            return *used;
        }
        // Nobody waits for the lock as long as that takes.
        let used = disk_usage(sandbox).unwrap_or(0);
        let mut state = lock();
        state.disks.retain(|_, (at, _)| now.since(*at) < DISK_FRESH);
        state.disks.insert(sandbox.to_owned(), (now, used));
        used
    }

    /// What one process of the task and its children use.
    pub(super) fn of_process(&self, header: &Header, pid: i32, start: u64) -> Option<Usage> {
        let shell = self.root(header, pid, start)?;
        self.below(shell, true)
    }

    /// A number alone proves nothing: it is used again, and after a reboot by anybody.
    fn root(&self, header: &Header, pid: i32, start_ticks: u64) -> Option<ProcessStat> {
        if header.boot_id != proc::boot_id() {
            return None;
        }
        let all = self.scan()?;
        let found = all.iter().find(|it| it.pid == pid).copied();
        found.filter(|it| it.start_ticks == start_ticks)
    }

    fn scan(&self) -> Option<Arc<Vec<ProcessStat>>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        if let Some((at, all)) = &state.scan
            && now.since(*at) < FRESH
        {
            return Some(Arc::clone(all));
        }
        let all = Arc::new(proc::all().ok()?);
        let there: BTreeSet<(i32, u64)> = all.iter().map(|p| (p.pid, p.start_ticks)).collect();
        state.seen.retain(|root, _| there.contains(root));
        state.scan = Some((now, Arc::clone(&all)));
        Some(all)
    }

    fn below(&self, root: ProcessStat, with_root: bool) -> Option<Usage> {
        let all = self.scan()?;
        let members = proc::with_descendants(&all, BTreeSet::from([root.pid]));
        let members = members.into_iter().filter(|p| with_root || *p != root.pid);
        let mut usage = Usage::default();
        let page = page_bytes();
        let mut oldest = u64::MAX;
        for figures in members.filter_map(read) {
            usage.processes += 1;
            usage.threads += figures.threads;
            usage.vms += figures.vms;
            usage.rss += figures.rss_pages * page;
            usage.user += figures.user_ticks as f64 / TICKS_PER_SECOND;
            usage.system += figures.system_ticks as f64 / TICKS_PER_SECOND;
            oldest = oldest.min(figures.start_ticks);
        }
        usage.cpu = self.rate(&root, usage.user + usage.system, oldest);
        Some(usage)
    }

    /// Cores in use: between two looks, or for the first one since `oldest` started.
    fn rate(&self, root: &ProcessStat, seconds: f64, oldest: u64) -> f64 {
        let now = clock::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (root.pid, root.start_ticks);
        let rate = match state.seen.get(&key) {
            Some(((at, _), rate)) if now.since(*at) < FRESH => return *rate,
            // Less than before: a process that had used much has ended.
            Some(((at, before), _)) => (seconds - before).max(0.0) / now.since(*at).as_secs_f64(),
            None => uptime()
                .map(|up| up - oldest as f64 / TICKS_PER_SECOND)
                .filter(|age| *age > 0.0)
                .map_or(0.0, |age| seconds / age),
        };
        state.seen.insert(key, ((now, seconds), rate));
        rate
    }
}

fn page_bytes() -> u64 {
    let size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|it| u64::try_from(it).ok()).unwrap_or(4_096)
}

fn uptime() -> Option<f64> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

fn read(pid: i32) -> Option<Figures> {
    parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(bytes: &[u8]) -> Option<Figures> {
    // The name in parentheses may hold anything.
    let close = bytes.iter().rposition(|b| *b == b')')?;
    let rest = std::str::from_utf8(bytes.get(close + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // The state is field 3 of the whole line.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Figures {
        user_ticks: number(14)?,
        system_ticks: number(15)?,
        threads: number(20)?,
        start_ticks: number(22)?,
        vms: number(23)?,
        rss_pages: number(24)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_the_program_is_called() {
        let line = b"7 (a) Z 1 (b) S 5 7 7 0 -1 4194304 1 0 0 0 11 12 3 4 20 0 13 0 987 4096 2 5";
        let expected = Figures {
            user_ticks: 11,
            system_ticks: 12,
            threads: 13,
            start_ticks: 987,
            vms: 4096,
            rss_pages: 2,
        };
        assert_eq!(parse(line), Some(expected));
        assert_eq!(parse(b"7 (a) S 1 2"), None);
    }

    #[test]
    fn this_process_is_measured_and_a_wrong_identity_is_not() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let start_ticks = proc::stat(pid).unwrap().start_ticks;
        let header = Header {
            task: "t".to_owned(),
            pid,
            start_ticks,
            boot_id: proc::boot_id(),
            at_ms: 0,
        };
        let meter = Meter::default();
        let usage = meter.of_process(&header, pid, start_ticks).unwrap();
        assert!(usage.rss > 0 && usage.threads > 0 && usage.processes > 0);
        assert!(meter.of_task(&header).is_some());
        assert_eq!(meter.of_process(&header, pid, start_ticks + 1), None);
        let other_boot = Header {
            boot_id: "another".to_owned(),
            ..header
        };
        assert_eq!(meter.of_task(&other_boot), None);
    }
}
