//! What is written into which file of a task's group. Pure.

use crate::supervise::limits::MB;

/// The length of the periods that a quota of processor time is given in, in microseconds.
const PERIOD_US: i64 = 100_000;
/// The kernel takes no smaller quota.
const QUOTA_US_MIN: i64 = 1_000;
/// The shares of one core.
const SHARES_PER_CORE: i64 = 1_024;
const SHARES_MIN: i64 = 2;
const SHARES_MAX: i64 = 262_144;

/// Which interface of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// What is controlled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Controller {
    Cpu,
    /// Of version 1 only; version 2 freezes everywhere.
    Freezer,
    Memory,
    Pids,
}

impl Controller {
    pub(super) const ALL: [Self; 4] = [Self::Cpu, Self::Freezer, Self::Memory, Self::Pids];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Freezer => "freezer",
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }
}

/// What a task may use, with its executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Thousandths of a core.
    pub cpus_milli: i64,
    /// Whether it runs on what the machine may take back: whatever else wants processor time comes first.
    pub is_revocable: bool,
    /// Whether more processor time is refused even when nobody else wants it.
    pub is_cpu_capped: bool,
    /// Bytes; zero for no limit.
    pub memory: u64,
    /// Processes and threads; zero for no limit.
    pub pids: u32,
}

/// One file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) file: &'static str,
    pub(super) value: String,
    /// Whether the task must not start without it.
    pub(super) is_needed: bool,
}

fn needed(file: &'static str, value: impl ToString) -> Setting {
    Setting {
        file,
        value: value.to_string(),
        is_needed: true,
    }
}

fn wanted(file: &'static str, value: impl ToString) -> Setting {
    Setting {
        is_needed: false,
        ..needed(file, value)
    }
}

/// The files of one controller, in the order in which they have to be written.
pub(super) fn settings(
    version: Version,
    controller: Controller,
    allowance: &Allowance,
) -> Vec<Setting> {
    let mut all = Vec::new();
    match (controller, version) {
        (Controller::Cpu, version) => all = cpu(version, allowance),
        (Controller::Freezer, _) => {}
        (Controller::Memory, _) if allowance.memory == 0 => {}
        (Controller::Memory, Version::One) => {
            let bytes = page_aligned(allowance.memory);
            all.push(needed("memory.limit_in_bytes", bytes));
            // Memory and swap together; not every kernel counts swap.
            all.push(wanted("memory.memsw.limit_in_bytes", bytes));
            all.push(wanted("memory.swappiness", 0));
        }
        (Controller::Memory, Version::Two) => {
            all.push(needed("memory.max", page_aligned(allowance.memory)));
            all.push(wanted("memory.swap.max", 0));
        }
        (Controller::Pids, _) if allowance.pids == 0 => {}
        (Controller::Pids, _) => all.push(needed("pids.max", allowance.pids)),
    }
    all
}

fn cpu(version: Version, allowance: &Allowance) -> Vec<Setting> {
    let wanted = allowance.cpus_milli.saturating_mul(SHARES_PER_CORE) / 1_000;
    let shares = match allowance.is_revocable {
        true => SHARES_MIN,
        false => wanted.clamp(SHARES_MIN, SHARES_MAX),
    };
    let mut all = vec![match version {
        Version::One => needed("cpu.shares", shares),
        // The two ends of both scales meet; a core is 1024 of one and 39 of the other.
        Version::Two => needed(
            "cpu.weight",
            1 + (shares - SHARES_MIN) * 9_999 / (SHARES_MAX - SHARES_MIN),
        ),
    }];
    if allowance.is_cpu_capped && allowance.cpus_milli > 0 {
        let quota = (allowance.cpus_milli.saturating_mul(PERIOD_US) / 1_000).max(QUOTA_US_MIN);
        match version {
            Version::One => {
                all.push(needed("cpu.cfs_period_us", PERIOD_US));
                all.push(needed("cpu.cfs_quota_us", quota));
            }
            Version::Two => all.push(needed("cpu.max", format!("{quota} {PERIOD_US}"))),
        }
    }
    all
}

/// What the kernel would round to anyway, so that what is written is what is read.
fn page_aligned(bytes: u64) -> u64 {
    const PAGE: u64 = 64 << 10;
    bytes.min(i64::MAX.unsigned_abs()).max(MB) / PAGE * PAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: Version, controller: Controller, allowance: &Allowance) -> Vec<String> {
        let all = settings(version, controller, allowance);
        let line = |it: &Setting| format!("{}={}", it.file, it.value);
        all.iter().map(line).collect()
    }

    #[test]
    fn each_version_gets_its_own_files() {
        use Controller::{Cpu, Freezer, Memory, Pids};
        let mut it = Allowance {
            cpus_milli: 1_500,
            is_revocable: false,
            is_cpu_capped: false,
            memory: 48 * MB,
            pids: 100,
        };
        assert_eq!(written(Version::One, Cpu, &it), ["cpu.shares=1536"]);
        assert_eq!(written(Version::Two, Cpu, &it), ["cpu.weight=59"]);
        let bytes = 48 * MB;
        let v1 = [
            format!("memory.limit_in_bytes={bytes}"),
            format!("memory.memsw.limit_in_bytes={bytes}"),
            "memory.swappiness=0".to_owned(),
        ];
        assert_eq!(written(Version::One, Memory, &it), v1);
        let v2 = [
            format!("memory.max={bytes}"),
            "memory.swap.max=0".to_owned(),
        ];
        assert_eq!(written(Version::Two, Memory, &it), v2);
        assert_eq!(written(Version::Two, Pids, &it), ["pids.max=100"]);
        assert!(written(Version::One, Freezer, &it).is_empty());
        it.is_cpu_capped = true;
        let v1 = [
            "cpu.shares=1536",
            "cpu.cfs_period_us=100000",
            "cpu.cfs_quota_us=150000",
        ];
        assert_eq!(written(Version::One, Cpu, &it), v1);
        let v2 = ["cpu.weight=59", "cpu.max=150000 100000"];
        assert_eq!(written(Version::Two, Cpu, &it), v2);
        (it.is_cpu_capped, it.is_revocable) = (false, true);
        assert_eq!(written(Version::One, Cpu, &it), ["cpu.shares=2"]);
        assert_eq!(written(Version::Two, Cpu, &it), ["cpu.weight=1"]);
    }

    #[test]
    fn odd_amounts_stay_in_what_the_kernel_takes() {
        let none = Allowance {
            cpus_milli: 0,
            is_revocable: false,
            is_cpu_capped: true,
            memory: 0,
            pids: 0,
        };
        for controller in [Controller::Memory, Controller::Pids] {
            assert!(settings(Version::One, controller, &none).is_empty());
        }
        assert_eq!(
            written(Version::One, Controller::Cpu, &none),
            ["cpu.shares=2"]
        );
        assert_eq!(
            written(Version::Two, Controller::Cpu, &none),
            ["cpu.weight=1"]
        );
        let all = Allowance {
            cpus_milli: i64::MAX,
            memory: u64::MAX,
            ..none
        };
        assert_eq!(
            written(Version::Two, Controller::Cpu, &all)[0],
            "cpu.weight=10000"
        );
        let tiny = Allowance {
            cpus_milli: 1,
            memory: 1,
            ..none
        };
        let cpu = written(Version::One, Controller::Cpu, &tiny);
        assert_eq!(
            cpu.last().map(String::as_str),
            Some("cpu.cfs_quota_us=1000")
        );
        let memory = written(Version::Two, Controller::Memory, &tiny);
        assert_eq!(memory[0], "memory.max=1048576");
    }
}
