//! Bytes flipped and files cut or removed, all over small logs: opening one never silently misses or
//! changes an entry that had been acknowledged. A lone replica refuses; a member of an ensemble comes back
//! as a new incarnation that holds nothing and does not vote (what its peers make of that: `repair`).
//!
//! By default samples of every file. `AURORA_LOG_SWEEP=all` flips a bit of every byte and cuts every
//! length of the used part of every file; `AURORA_LOG_SWEEP=5000..9000` does those of these cases, and
//! so goes on where another run has stopped.
//!
//! A process of its own opens what was damaged, since fjall may panic on damaged files, and again while
//! it cleans up, which no process survives. It takes one case after the other until it dies.

use super::{Scratch, leading, learned, opened};
use crate::base::rng::Rng;
use crate::paxos::{
    Configuration, Configured, Entry, Incarnation, Position, Record, Recovered, ReplicaId, Run,
    Seat, Status, Value,
};
use crate::replog::disk::{self, Disk};
use crate::replog::error::OpenError;
use crate::replog::open::{open_disk, recover_from_peers};
use crate::rt;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A file's used part, and its whole length.
struct Saved {
    used: Vec<u8>,
    length: u64,
}

/// Every file below `directory`, by its path from `root`.
fn save(root: &Path, directory: &Path, files: &mut BTreeMap<PathBuf, Saved>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            save(root, &path, files);
            continue;
        }
        let mut used = fs::read(&path).unwrap();
        let length = used.len() as u64;
        let end = used.iter().rposition(|byte| *byte != 0);
        used.truncate(end.map_or(0, |at| at + 1));
        let name = path.strip_prefix(root).unwrap().to_path_buf();
        files.insert(name, Saved { used, length });
    }
}

fn restore(root: &Path, files: &BTreeMap<PathBuf, Saved>) {
    for (name, saved) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = File::create(path).unwrap();
        file.write_all_at(&saved.used, 0).unwrap();
        file.set_len(saved.length).unwrap();
    }
}

/// What is done to a file.
#[derive(Clone, Copy)]
enum Damage {
    Cut { at: usize },
    Flip { at: usize, bit: usize },
    Removed,
    Zeros { at: usize, end: usize },
}

impl Damage {
    fn strike(self, path: &Path) {
        let open = || File::options().read(true).write(true).open(path).unwrap();
        match self {
            Self::Cut { at } => open().set_len(at as u64).unwrap(),
            Self::Flip { at, bit } => {
                let (file, mut byte) = (open(), [0]);
                file.read_exact_at(&mut byte, at as u64).unwrap();
                byte[0] ^= 1 << bit;
                file.write_all_at(&byte, at as u64).unwrap();
            }
            Self::Removed => fs::remove_file(path).unwrap(),
            Self::Zeros { at, end } => open().write_all_at(&vec![0; end - at], at as u64).unwrap(),
        }
    }
}

/// As a line for the process that strikes, and for people.
#[derive(Clone)]
struct Case {
    log: usize,
    file: PathBuf,
    damage: Damage,
}

impl Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.log, self.file.display())?;
        match self.damage {
            Damage::Cut { at } => write!(f, "cut {at} 0"),
            Damage::Flip { at, bit } => write!(f, "flip {at} {bit}"),
            Damage::Removed => write!(f, "removed 0 0"),
            Damage::Zeros { at, end } => write!(f, "zeros {at} {end}"),
        }
    }
}

impl FromStr for Case {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let words: Vec<&str> = line.split(' ').collect();
        let [log, file, what, one, two] = words.as_slice() else {
            return Err(());
        };
        let number = |word: &str| word.parse::<usize>().map_err(drop);
        let (at, other) = (number(one)?, number(two)?);
        let damage = match *what {
            "cut" => Damage::Cut { at },
            "flip" => Damage::Flip { at, bit: other },
            "removed" => Damage::Removed,
            "zeros" => Damage::Zeros { at, end: other },
            _ => return Err(()),
        };
        Ok(Self {
            log: number(log)?,
            file: PathBuf::from(file),
            damage,
        })
    }
}

/// Name what the child process does: the directory with everything, its list, and where its answers go.
const ROOT_VARIABLE: &str = "AURORA_TEST_SWEEP_ROOT";
const LIST_VARIABLE: &str = "AURORA_TEST_SWEEP_LIST";
/// No damage keeps an open waiting for longer.
const PATIENCE: Duration = Duration::from_secs(60);
const EXPLANATION: &str = "cannot prove that it still holds";
const OUT_OF_MEMORY: &str = "memory allocation of";

/// What an opened replica holds: its last commit and every appended payload. `None` if it cannot be read.
fn held(disk: &Disk, recovered: &Recovered) -> Option<(u64, Vec<String>)> {
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
    Some((disk.sequence(), payloads.collect()))
}

/// Opens a replica as a starting process does; says what has come of it.
fn answer(path: &Path, is_member: bool) -> String {
    match open_disk(path) {
        Ok((disk, recovered)) => match held(&disk, &recovered) {
            Some((sequence, payloads)) => format!("held {sequence} {}", payloads.join(",")),
            None => "refused".to_owned(),
        },
        Err(OpenError::Unproven { cause, .. }) if is_member => {
            match recover_from_peers(path, cause) {
                Ok(Some((_, recovered))) => {
                    assert!(recovered.needs_incarnation, "{recovered:?}");
                    assert_eq!(recovered.status, Status::Recovering);
                    assert_eq!(recovered.learned, Position::ZERO);
                    "renewed".to_owned()
                }
                // Under a new name, once it is invited.
                Ok(None) => "nameless".to_owned(),
                Err(_) => "refused".to_owned(),
            }
        }
        Err(_) => "refused".to_owned(),
    }
}

#[test]
fn a_child_says_what_replicas_hold() {
    // Without the variables this is an ordinary run of all tests, and there is nothing to say.
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let (Some(root), Some(list)) = (variable(ROOT_VARIABLE), variable(LIST_VARIABLE)) else {
        return;
    };
    let mut answers = File::create(list.with_extension("answers")).unwrap();
    let logs = [0, 1, 2].map(|log| {
        let mut files = BTreeMap::new();
        let log = root.join(log.to_string());
        save(&log, &log, &mut files);
        files
    });
    let place = list.with_extension("place");
    static DONE: AtomicUsize = AtomicUsize::new(0);
    std::thread::spawn(|| {
        let mut seen = 0;
        loop {
            std::thread::sleep(PATIENCE);
            let done = DONE.load(Ordering::Relaxed);
            if done == seen {
                writeln!(std::io::stderr(), "case {done} of the list hangs").ok();
                std::process::abort();
            }
            seen = done;
        }
    });
    for line in fs::read_to_string(&list).unwrap().lines() {
        let case: Case = line.parse().unwrap();
        // A place of its own: what a panic has left open keeps its locks.
        let path = place.join(DONE.fetch_add(1, Ordering::Relaxed).to_string());
        restore(&path, &logs[case.log]);
        case.damage.strike(&path.join(&case.file));
        let is_member = case.log > 0;
        let answer = std::panic::catch_unwind(|| answer(&path, is_member));
        let answer = answer.unwrap_or_else(|_| "panicked".to_owned());
        writeln!(answers, "{answer}").unwrap();
        fs::remove_dir_all(&path).ok();
    }
}

/// A replica of which everything is known.
struct Log {
    name: &'static str,
    /// Its last commit, and everything it holds.
    sequence: u64,
    payloads: Vec<String>,
    /// The commit that its evidence is of.
    attested: u64,
}

impl Log {
    /// Whether what an opened replica holds may be believed.
    fn is_faithful(&self, sequence: u64, payloads: &str) -> bool {
        let whole = self.payloads.join(",");
        if sequence < self.sequence {
            // Its peers know its last commit, and have it come back as a new incarnation.
            return sequence >= self.attested && whole.starts_with(payloads);
        }
        payloads == whole
    }
}

/// The payloads in the order of their positions.
fn payloads(count: u64) -> Vec<String> {
    (0..count).map(|index| format!("entry-{index}")).collect()
}

/// A replica alone with a few dozen entries, some of them in tables, some in the journal.
fn lone(path: &Path) -> Log {
    crate::replog::initialize(path, &mut Rng::from_seed(3)).unwrap();
    let wanted = payloads(30);
    rt::block_on(async {
        for round in 0..3 {
            let (log, events) = opened(path);
            let (ballot, _) = leading(&events).await;
            for index in round * 10..round * 10 + 10 {
                let payload = wanted[index as usize].clone().into_bytes();
                log.append(ballot, index, payload).await.unwrap();
                learned(&events, index).await;
            }
            log.close().await;
            if round == 1 {
                let (disk, _) = open_disk(path).unwrap();
                disk.store().compact().unwrap();
            }
        }
    });
    let (disk, recovered) = open_disk(path).unwrap();
    let (sequence, held) = held(&disk, &recovered).unwrap();
    assert_eq!(held, wanted);
    Log {
        name: "a lone replica",
        sequence,
        payloads: wanted,
        attested: sequence,
    }
}

/// A member of an ensemble of three, the evidence of whose last commits may be under way still.
fn member(path: &Path, is_riding: bool) -> Log {
    crate::replog::initialize(path, &mut Rng::from_seed(5)).unwrap();
    let (mut disk, recovered) = open_disk(path).unwrap();
    let seat = |number: u8| Seat {
        incarnation: Incarnation(0),
        address: format!("host{number}:8083").into(),
    };
    let ids = [recovered.me.id, ReplicaId(7), ReplicaId(8)];
    let seats = ids.into_iter().zip([1, 2, 3].map(seat));
    let configuration = Configuration::majority(0xabcd, seats);
    disk.commit([Record::Configuration(Configured {
        position: Position(1),
        configuration: configuration.into(),
    })])
    .unwrap();
    let wanted = payloads(20);
    let ballot = crate::paxos::Ballot {
        round: recovered.promised.round + 1,
        replica: recovered.me.id,
    };
    disk.commit([Record::Promise(ballot)]).unwrap();
    let mut attested = disk.sequence();
    for (payload, position) in wanted.iter().zip(1..) {
        let run = Run {
            ballot,
            first: Position(position),
            values: [Value::Append(payload.clone().into_bytes().into())].into(),
        };
        disk.commit([Record::Run(run), Record::Learned(Position(position - 1))])
            .unwrap();
        if position == 9 {
            disk.store().compact().unwrap();
        }
        if position == 14 || !is_riding {
            disk.attest().unwrap();
            attested = disk.sequence();
        }
    }
    assert_eq!(disk.is_riding(), is_riding);
    let sequence = disk.sequence();
    Log {
        name: if is_riding {
            "a member whose evidence rides"
        } else {
            "a member"
        },
        sequence,
        payloads: wanted,
        attested,
    }
}

/// Every byte and every length.
fn all_cases(log: usize, files: &BTreeMap<PathBuf, Saved>, cases: &mut Vec<Case>) {
    for (file, saved) in files {
        let mut push = |damage| {
            cases.push(Case {
                log,
                file: file.clone(),
                damage,
            });
        };
        for at in 0..saved.used.len() {
            push(Damage::Flip {
                at,
                bit: (at * 5 + log) % 8,
            });
            push(Damage::Cut { at });
            if at.is_multiple_of(512) {
                let end = (at + 512).min(saved.used.len());
                push(Damage::Zeros { at, end });
            }
        }
        push(Damage::Removed);
    }
}

/// Some of every file.
fn some_cases(log: usize, files: &BTreeMap<PathBuf, Saved>, rng: &mut Rng, cases: &mut Vec<Case>) {
    for (file, saved) in files {
        let used = saved.used.len();
        let mut push = |damage| {
            cases.push(Case {
                log,
                file: file.clone(),
                damage,
            });
        };
        push(Damage::Removed);
        for _ in 0..24.min(used) {
            let (at, bit) = (rng.index(used), rng.index(8));
            push(Damage::Flip { at, bit });
        }
        for _ in 0..8.min(used) {
            push(Damage::Cut {
                at: rng.index(used),
            });
        }
        for _ in 0..3.min(used) {
            let at = rng.index(used);
            let end = (at + 512).min(used);
            push(Damage::Zeros { at, end });
        }
    }
}

/// What came of all cases.
#[derive(Debug, Default)]
struct Sum {
    refused: usize,
    /// Of those refused: by a panic of the database's library, which the process may not survive.
    panicked: usize,
    /// As new incarnations, and under new names.
    renewed: usize,
    nameless: usize,
    whole: usize,
    behind: usize,
    wrong: Vec<String>,
}

/// Cases done by one process at most.
const PORTION: usize = 500;

/// Opens all damaged replicas of a list, in processes of their own.
fn judge(root: &Path, name: &str, logs: &[Log], cases: &[Case], sum: &Mutex<Sum>) {
    let list = root.join(name);
    let mut next = 0;
    while next < cases.len() {
        let portion = &cases[next..(next + PORTION).min(cases.len())];
        let lines: Vec<String> = portion.iter().map(Case::to_string).collect();
        fs::write(&list, lines.join("\n")).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["replog::tests::sweep::a_child_says_what_replicas_hold"])
            .args(["--exact", "--nocapture"])
            .env(ROOT_VARIABLE, root)
            .env(LIST_VARIABLE, &list)
            .stdout(Stdio::null())
            .output()
            .unwrap();
        fs::remove_dir_all(list.with_extension("place")).ok();
        let answers = fs::read_to_string(list.with_extension("answers")).unwrap_or_default();
        let mut answers: Vec<&str> = answers.lines().collect();
        if answers.len() < portion.len() {
            assert!(!child.status.success(), "{answers:?}");
            answers.push("panicked");
        }
        let mut sum = sum.lock().unwrap();
        let mut panicked = 0;
        for (answer, case) in answers.iter().zip(portion) {
            let words: Vec<&str> = answer.split(' ').collect();
            let log = &logs[case.log];
            match words.as_slice() {
                ["refused"] => sum.refused += 1,
                ["renewed"] => sum.renewed += 1,
                ["nameless"] => sum.nameless += 1,
                ["panicked"] => {
                    panicked += 1;
                    sum.refused += 1;
                    sum.panicked += 1;
                }
                ["held", sequence, held] => {
                    let sequence = sequence.parse().unwrap();
                    if !log.is_faithful(sequence, held) {
                        let what = format!("{}: {case}: {sequence} {held}", log.name);
                        sum.wrong.push(what);
                    } else if sequence < log.sequence {
                        sum.behind += 1;
                    } else {
                        sum.whole += 1;
                    }
                }
                _ => sum.wrong.push(format!("{}: {case}: {answer}", log.name)),
            }
        }
        drop(sum);
        // Even then the operator is told what it means; where the database's library believes a damaged
        // length that is more than the machine has, by the standard library's words alone.
        let said = String::from_utf8_lossy(&child.stderr);
        let explained = said.matches(EXPLANATION).count() + said.matches(OUT_OF_MEMORY).count();
        assert!(explained >= panicked, "{panicked} panics: {said}");
        next += answers.len();
    }
}

/// Which cases are done: `None` for samples.
fn wanted_cases() -> Option<std::ops::Range<usize>> {
    let wanted = std::env::var("AURORA_LOG_SWEEP").ok()?;
    if wanted == "all" {
        return Some(0..usize::MAX);
    }
    let (from, to) = wanted.split_once("..").expect("a range as 0..1000");
    Some(from.parse().unwrap()..to.parse().unwrap())
}

#[test]
fn no_damage_to_any_file_goes_unnoticed() {
    if std::env::var_os(ROOT_VARIABLE).is_some() {
        return;
    }
    let scratch = Scratch::in_memory();
    let root = scratch.path();
    let logs = [
        lone(&root.join("0")),
        member(&root.join("1"), false),
        member(&root.join("2"), true),
    ];
    let (mut cases, mut rng) = (Vec::new(), Rng::from_seed(4));
    let wanted = wanted_cases();
    for log in 0..logs.len() {
        let (path, mut files) = (root.join(log.to_string()), BTreeMap::new());
        save(&path, &path, &mut files);
        match wanted {
            Some(_) => all_cases(log, &files, &mut cases),
            None => some_cases(log, &files, &mut rng, &mut cases),
        }
    }
    let is_long = wanted.is_some();
    let range = wanted.unwrap_or(0..usize::MAX);
    let cases = &cases[range.start.min(cases.len())..range.end.min(cases.len())];
    let (next, sum) = (AtomicUsize::new(0), Mutex::new(Sum::default()));
    std::thread::scope(|scope| {
        for name in ["one", "two"] {
            let (next, sum, logs) = (&next, &sum, &logs);
            scope.spawn(move || {
                loop {
                    let from = next.fetch_add(PORTION, Ordering::Relaxed);
                    if from >= cases.len() {
                        return;
                    }
                    let portion = &cases[from..(from + PORTION).min(cases.len())];
                    judge(root, name, logs, portion, sum);
                    if is_long {
                        let done = from + portion.len();
                        writeln!(std::io::stderr(), "{done} of {} cases", cases.len()).ok();
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap();
    println!("{} cases: {sum:?}", cases.len());
    assert!(sum.wrong.is_empty(), "{:#?}", sum.wrong);
    let done = sum.refused + sum.renewed + sum.nameless + sum.whole + sum.behind;
    assert_eq!(done, cases.len(), "{sum:?}");
    if range.start == 0 && range.end >= cases.len() {
        assert!(
            sum.refused > done / 20 && sum.renewed > done / 20,
            "{sum:?}"
        );
        assert!(
            sum.whole > 0 && sum.behind > 0 && sum.nameless > 0,
            "{sum:?}"
        );
    }
}
