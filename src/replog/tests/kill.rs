//! A process that appends is killed with SIGKILL again and again: whatever it had been told is
//! learned is there afterwards, once, in order.

use super::{Scratch, leading, next, opened};
use crate::replog::{LogEvent, LogHandle};
use crate::rt;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Names the replica that the child process appends to.
const PATH_VARIABLE: &str = "AURORA_TEST_KILL_PATH";
/// Marks the child's lines among those of the test harness.
const MARK: &str = "learned:";

#[test]
fn a_child_appends_until_it_is_killed() {
    // Without the variable this is an ordinary run of all tests, and there is nothing to append to.
    let Some(path) = std::env::var_os(PATH_VARIABLE).map(PathBuf::from) else {
        return;
    };
    rt::block_on(async {
        let (log, events) = opened(&path);
        let (ballot, entries) = leading(&events).await;
        let first = entries
            .iter()
            .map(|(_, bytes)| number(bytes))
            .max()
            .map_or(0, |n| n + 1);
        rt::spawn("appender", append_for_ever(log, ballot, first)).detach();
        let mut out = std::io::stdout();
        loop {
            if let LogEvent::Learned { payload, .. } = next(&events).await {
                writeln!(out, "{MARK}{}", number(&payload)).unwrap();
                out.flush().unwrap();
            }
        }
    });
}

async fn append_for_ever(log: LogHandle, ballot: crate::replog::Ballot, first: u64) {
    for number in first.. {
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(8 + (number % 500) as usize, 1);
        log.append(ballot, number, payload).await.unwrap();
    }
}

fn number(payload: &[u8]) -> u64 {
    u64::from_be_bytes(payload[..8].try_into().unwrap())
}

fn child(scratch: &Scratch) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["replog::tests::kill::a_child_appends_until_it_is_killed"])
        .args(["--exact", "--nocapture"])
        .env(PATH_VARIABLE, scratch.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn what_was_learned_before_a_kill_is_there_once_and_in_order() {
    let scratch = Scratch::initialized();
    let mut acknowledged = BTreeSet::new();
    for round in 0..6_u64 {
        let mut child = child(&scratch);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Sometimes in its first entries, sometimes deep in.
        let wanted = 1 + round * round * 150;
        for _ in 0..wanted {
            let line = lines
                .by_ref()
                .map(Result::unwrap)
                .find(|line| line.contains(MARK))
                .expect("the child learns until it is killed");
            let number = line.split(MARK).nth(1).unwrap();
            acknowledged.insert(number.parse::<u64>().unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let said = lines
            .map_while(Result::ok)
            .filter_map(|line| line.split(MARK).nth(1)?.parse::<u64>().ok());
        // The last line may have been cut, and a cut number is another number.
        let said: Vec<u64> = said.collect();
        acknowledged.extend(&said[..said.len().saturating_sub(1)]);
    }
    rt::block_on(async {
        let (log, events) = opened(scratch.path());
        let (_, entries) = leading(&events).await;
        let held: Vec<u64> = entries.iter().map(|(_, bytes)| number(bytes)).collect();
        let wanted: Vec<u64> = (0..held.len() as u64).collect();
        assert_eq!(held, wanted, "each once, in the order appended");
        assert!(acknowledged.len() > 1_000);
        assert!(
            acknowledged.last() <= held.last(),
            "an acknowledged entry is missing"
        );
        log.close().await;
    });
}
