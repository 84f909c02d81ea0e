//! What the observer has to say of its own process: its threads, and where its processor time goes.

use crate::base::clock;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// So long is looked where time goes.
const LOOK: Duration = Duration::from_secs(1);
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug)]
struct Thread {
    name: String,
    state: String,
    user: f64,
    system: f64,
}

fn threads_of(process: &Path) -> BTreeMap<u32, Thread> {
    let entries = fs::read_dir(process.join("task"));
    let thread = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let id = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (name, rest) = line.split_once('(')?.1.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let seconds =
            |field: usize| Some(fields.get(field - 3)?.parse::<f64>().ok()? / TICKS_PER_SECOND);
        let thread = Thread {
            name: name.to_owned(),
            state: (*fields.first()?).to_owned(),
            user: seconds(14)?,
            system: seconds(15)?,
        };
        Some((id, thread))
    };
    entries.into_iter().flatten().filter_map(thread).collect()
}

/// All threads of this process, one a line.
pub(super) fn threads() -> String {
    let mut text = "thread name state user_seconds system_seconds\n".to_owned();
    for (id, thread) in threads_of(Path::new("/proc/self")) {
        let Thread {
            name,
            state,
            user,
            system,
        } = thread;
        text.push_str(&format!("{id} {name} {state} {user:.2} {system:.2}\n"));
    }
    text
}

/// Where the processor time of a second goes, by thread, the busiest first. Blocks so long.
pub(super) fn profile() -> String {
    let process = Path::new("/proc/self");
    let (before, begun) = (threads_of(process), clock::now());
    std::thread::sleep(LOOK);
    let after = threads_of(process);
    let elapsed = clock::now().since(begun).as_secs_f64();
    let used = |id: &u32, thread: &Thread| {
        let since = before.get(id).map_or(0.0, |it| it.user + it.system);
        (thread.user + thread.system - since) / elapsed * 100.0
    };
    let mut lines: Vec<(f64, String)> = after
        .iter()
        .map(|(id, thread)| (used(id, thread), format!("{id} {}", thread.name)))
        .collect();
    lines.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut text = "percent_of_a_processor thread name\n".to_owned();
    for (percent, name) in lines {
        text.push_str(&format!("{percent:.1} {name}\n"));
    }
    text
}
