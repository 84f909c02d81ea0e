//! The process and its machine as numbers, under the names that upstream's operators alert on.
//!
//! There is no JVM here; the names stay, because dashboards hold them. The environment and the
//! arguments are not shown: they may hold secrets.

use crate::base::clock::{self, Instant};
use crate::base::stats::Value;
use std::collections::BTreeMap;
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Linux reports processor time to user space in hundredths of a second on every platform.
const TICK: Duration = Duration::from_millis(10);
const MIB: u64 = 1 << 20;

/// Remembers when the process began, and how much processor time it had at the last sample.
pub(super) struct ProcessClock {
    started: Instant,
    last: Mutex<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    cpu: Duration,
    cores: f64,
}

impl ProcessClock {
    pub(super) fn start() -> Self {
        let now = clock::now();
        let last = Mutex::new(Sample {
            at: now,
            cpu: cpu_time().unwrap_or_default(),
            cores: 0.0,
        });
        Self { started: now, last }
    }

    fn lock(&self) -> MutexGuard<'_, Sample> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Measures the processor use since the last call.
    pub(super) fn sample(&self, now: Instant) {
        let Some(cpu) = cpu_time() else { return };
        let mut last = self.lock();
        let elapsed = now.since(last.at).as_secs_f64();
        if elapsed > 0.0 {
            let cores = cpu.saturating_sub(last.cpu).as_secs_f64() / elapsed;
            *last = Sample {
                at: now,
                cpu,
                cores,
            };
        }
    }

    /// Adds what can be read now; what the machine does not tell is left out.
    pub(super) fn show(&self, out: &mut BTreeMap<String, Value>) {
        let uptime = clock::now().since(self.started).as_secs();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                out.insert(name.to_owned(), value);
            }
        };
        put("jvm_uptime_secs", Some(Value::Count(uptime)));
        put("jvm_time_ms", Some(Value::Int(clock::wall().as_ms())));
        put("jvm_available_processors", processors().map(Value::Count));
        put(
            "process_cpu_cores_utilized",
            Some(Value::Float(self.lock().cores)),
        );
        put(
            "process_cpu_time_nanos",
            cpu_time().and_then(|cpu| u64::try_from(cpu.as_nanos()).ok().map(Value::Count)),
        );
        put("process_open_fd_count", open_files().map(Value::Count));
        put("process_max_fd_count", open_files_max().map(Value::Count));
        put("system_load_avg", load_average().map(Value::Float));
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let mb = |text: &str, name| field(text, name).map(|kb| Value::Count(kb * 1024 / MIB));
        put("jvm_memory_heap_mb_used", mb(&status, "VmRSS"));
        put("jvm_memory_mb_total", mb(&status, "VmRSS"));
        put("jvm_memory_max_mb", mb(&memory, "MemTotal"));
        put("jvm_memory_free_mb", mb(&memory, "MemAvailable"));
        put(
            "jvm_threads_active",
            field(&status, "Threads").map(Value::Count),
        );
        put("system_free_physical_memory_mb", mb(&memory, "MemFree"));
        put("system_free_swap_mb", mb(&memory, "SwapFree"));
        put(
            "build.version",
            Some(Value::Text(crate::base::stamp::version().to_owned())),
        );
    }
}

/// The number after `NAME:` in a file of such lines.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
}

fn processors() -> Option<u64> {
    std::thread::available_parallelism()
        .ok()
        .map(|count| count.get() as u64)
}

fn cpu_time() -> Option<Duration> {
    cpu_of_stat(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// User and system time of a line of `/proc/PID/stat`. The program's name, in parentheses, may hold
/// anything, so that fields are counted from behind it.
fn cpu_of_stat(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * user + TICK * system)
}

fn open_files() -> Option<u64> {
    fs::read_dir("/proc/self/fd")
        .ok()
        .map(|entries| entries.count() as u64)
}

fn open_files_max() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg")
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 5 6 7";
        assert_eq!(cpu_of_stat(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu_of_stat("7 (a) S"), None);
    }

    #[test]
    fn what_operators_alert_on_is_there() {
        let process = ProcessClock::start();
        process.sample(clock::now() + Duration::from_secs(1));
        let mut shown = BTreeMap::new();
        process.show(&mut shown);
        for name in [
            "jvm_uptime_secs",
            "process_cpu_cores_utilized",
            "process_open_fd_count",
            "process_max_fd_count",
            "system_load_avg",
            "jvm_memory_heap_mb_used",
        ] {
            assert!(shown.contains_key(name), "{name}");
        }
    }
}
