//! Bytes flipped and files cut or removed, all over a small log: opening it never silently misses
//! or changes an entry that had been acknowledged. Refusing is fine.

use super::{Scratch, leading, learned, opened, payload};
use crate::base::rng::Rng;
use crate::paxos::{Entry, Position, Value};
use crate::replog::disk;
use crate::replog::open::open_disk;
use crate::rt;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file's used part, and its whole length.
struct Saved {
    used: Vec<u8>,
    length: u64,
}

fn save(directory: &Path, files: &mut BTreeMap<PathBuf, Saved>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            save(&path, files);
            continue;
        }
        let mut used = fs::read(&path).unwrap();
        let length = used.len() as u64;
        let end = used
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        used.truncate(end);
        files.insert(path, Saved { used, length });
    }
}

fn restore(root: &Path, files: &BTreeMap<PathBuf, Saved>) {
    fs::remove_dir_all(root).unwrap();
    for (path, saved) in files {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &saved.used).unwrap();
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(saved.length).unwrap();
    }
}

/// Names the replica that the child process looks at.
const PATH_VARIABLE: &str = "AURORA_TEST_SWEEP_PATH";

/// Every appended payload that a replica holds, or `None` if it refuses to open.
///
/// Looked at by a process of its own: fjall may panic on damaged files, and again while it cleans
/// up, which no process survives.
fn held(path: &Path) -> Option<Vec<String>> {
    let answer = answer_path(path);
    fs::remove_file(&answer).ok();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["replog::tests::sweep::a_child_says_what_a_replica_holds"])
        .arg("--exact")
        .env(PATH_VARIABLE, path)
        .stdout(Stdio::null())
        .output()
        .unwrap();
    let Ok(answer) = fs::read_to_string(answer) else {
        // Even then the operator is told what it means.
        let said = String::from_utf8_lossy(&child.stderr);
        assert!(said.contains("cannot prove that it still holds"), "{said}");
        return None;
    };
    let mut lines = answer.lines().map(str::to_owned);
    (lines.next().as_deref() == Some("held")).then(|| lines.collect())
}

fn answer_path(path: &Path) -> PathBuf {
    path.with_extension("held")
}

#[test]
fn a_child_says_what_a_replica_holds() {
    // Without the variable this is an ordinary run of all tests, and there is nothing to say.
    if let Some(path) = std::env::var_os(PATH_VARIABLE) {
        let path = PathBuf::from(path);
        let answer = match opened_payloads(&path) {
            Some(payloads) => format!("held\n{}", payloads.join("\n")),
            None => "refused".to_owned(),
        };
        fs::write(answer_path(&path), answer).unwrap();
    }
}

fn opened_payloads(path: &Path) -> Option<Vec<String>> {
    let (disk, recovered) = open_disk(path).ok()?;
    let store = disk.store().as_ref();
    let mut entries: BTreeMap<Position, Entry> = BTreeMap::new();
    let mut next = recovered.first;
    while next <= recovered.learned {
        let page = disk::read_entries(store, next, recovered.learned, usize::MAX).ok()?;
        next = page.last()?.position.next();
        entries.extend(page.into_iter().map(|entry| (entry.position, entry)));
    }
    for run in &recovered.accepted {
        for entry in run.entries() {
            let held = entries.get(&entry.position);
            if held.is_none_or(|held| held.ballot < entry.ballot) {
                entries.insert(entry.position, entry);
            }
        }
    }
    let payloads = entries.into_values().filter_map(|entry| match entry.value {
        Value::Append(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        _ => None,
    });
    Some(payloads.collect())
}

/// A log of a few dozen entries, some of them in tables, some in the journal.
fn small_log(path: &Path) -> Vec<String> {
    crate::replog::initialize(path, &mut Rng::from_seed(3)).unwrap();
    rt::block_on(async {
        for round in 0..3 {
            let (log, events) = opened(path);
            let (ballot, _) = leading(&events).await;
            for index in round * 10..round * 10 + 10 {
                log.append(ballot, index, payload(index)).await.unwrap();
                learned(&events, index).await;
            }
            log.close().await;
            if round == 1 {
                let (disk, _) = open_disk(path).unwrap();
                disk.store().compact().unwrap();
            }
        }
    });
    let payloads = (0..30).map(payload);
    payloads
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .collect()
}

#[test]
fn no_damage_to_any_file_goes_unnoticed() {
    let scratch = Scratch::new();
    let root = scratch.path().join("log");
    let wanted = small_log(&root);
    let mut files = BTreeMap::new();
    save(&root, &mut files);
    assert_eq!(held(&root).as_ref(), Some(&wanted));
    let mut rng = Rng::from_seed(4);
    let (mut refused, mut unharmed) = (0, 0);
    let mut judge = |what: String| {
        match held(&root) {
            None => refused += 1,
            Some(entries) => {
                assert!(entries == wanted, "{what}: {} of 30 entries", entries.len());
                unharmed += 1;
            }
        }
        restore(&root, &files);
    };
    restore(&root, &files);
    let samples = 16;
    for (path, saved) in &files {
        let name = path.strip_prefix(&root).unwrap().display();
        for _ in 0..samples.min(saved.used.len()) {
            let (at, bit) = (rng.index(saved.used.len()), rng.index(8));
            let mut bytes = saved.used.clone();
            bytes[at] ^= 1 << bit;
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
            judge(format!("{name}: bit {bit} of byte {at} flipped"));
        }
        for _ in 0..3.min(saved.used.len()) {
            let at = rng.index(saved.used.len());
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(at as u64).unwrap();
            judge(format!("{name}: cut at {at}"));
        }
        for _ in 0..3.min(saved.used.len()) {
            let at = rng.index(saved.used.len());
            let end = (at + 512).min(saved.used.len());
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, &vec![0; end - at], at as u64).unwrap();
            judge(format!("{name}: zeros from {at} to {end}"));
        }
        fs::remove_file(path).unwrap();
        judge(format!("{name}: removed"));
    }
    assert!(
        refused > 50 && unharmed > 0,
        "{refused} refused, {unharmed} unharmed"
    );
}
