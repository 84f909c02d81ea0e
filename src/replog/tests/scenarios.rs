//! The simulator's kind of scenario on real disks and real connections: replicas are stopped, started,
//! wiped and damaged at random while entries are appended. Fewer and slower, but on fjall itself.
//!
//! `AURORA_LOG_SCENARIOS=N` runs that many seeds; `AURORA_LOG_SCENARIO=SEED` one of them.

use super::ensemble::{Node, addresses, append, everybody_has, formed, leader, stop, until};
use crate::base::rng::Rng;
use crate::replog::{MemberStatus, ReplicaStatus, Role};
use crate::rt;
use std::fs;

/// What happens to one replica.
#[derive(Clone, Copy, Debug)]
enum Event {
    Restart,
    Wipe,
    Damage,
    Compact,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A bit of a journal, a table or the evidence changes.
fn damage(node: &Node, rng: &mut Rng) {
    let mut files = Vec::new();
    let mut directories = vec![node.path().join("replica")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    // What fjall panics on is for the sweep, which has processes to lose: here, a journal that lacks its end.
    let journals = |p: &&std::path::PathBuf| p.extension().is_some_and(|e| e == "jnl");
    let Some(path) = files.iter().filter(journals).max() else {
        return;
    };
    let bytes = fs::read(path).unwrap();
    let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    if used == 0 {
        return;
    }
    let journal = fs::File::options().write(true).open(path).unwrap();
    journal.set_len(rng.index(used) as u64).unwrap();
}

async fn scenario(seed: u64, size: usize) {
    let mut rng = Rng::from_seed(seed);
    let mut nodes = formed(size).await;
    let peers = addresses(&nodes);
    let quorum = size as u32 / 2 + 1;
    let mut payloads = Vec::new();
    for round in 0..6 {
        for number in 0..3 {
            let payload = format!("seed {seed} round {round} entry {number}");
            append(&mut nodes, &payload).await;
            payloads.push(payload);
        }
        let victim = rng.index(size);
        let events = [Event::Restart, Event::Wipe, Event::Damage, Event::Compact];
        let event = events[rng.index(events.len())];
        println!(
            "seed {seed}: round {round}: {event:?} of {victim}, leader {:?}",
            leader(&nodes)
        );
        nodes[victim].stop().await;
        if rng.one_in(2) {
            let payload = format!("seed {seed} round {round} without {victim}");
            append(&mut nodes, &payload).await;
            payloads.push(payload);
        }
        match event {
            Event::Restart => {}
            Event::Wipe => fs::remove_dir_all(nodes[victim].path()).unwrap(),
            Event::Damage => damage(&nodes[victim], &mut rng),
            Event::Compact => {
                let (disk, _) = crate::replog::open::open_disk(&nodes[victim].path()).unwrap();
                disk.store().compact().unwrap();
            }
        }
        nodes[victim].start(&peers, quorum).await;
        // One at a time, as an operator would: a quorum that has lost its disks is lost.
        until(&mut nodes, "everybody has a seat and votes", |nodes| {
            leader(nodes).is_some_and(|at| are_all_seated(&nodes[at], size))
        })
        .await;
    }
    append(&mut nodes, "the last").await;
    everybody_has(&mut nodes, "the last").await;
    // One value a position, everything acknowledged once, in order.
    for node in &nodes {
        assert!(node.entries == nodes[0].entries, "seed {seed}: they differ");
    }
    let held: Vec<String> = nodes[0].entries.values().map(|p| text(p)).collect();
    let mut at = 0;
    for payload in &payloads {
        let found = held[at..].iter().position(|entry| entry == payload);
        at += found.unwrap_or_else(|| panic!("seed {seed}: '{payload}' is lost, or out of order"))
            + 1;
    }
    stop(&mut nodes).await;
}

/// Whether the ensemble, as its leader sees it, has as many members as it should, all of them voting.
///
/// Not what a replica says of itself: one that was wiped has learned everything, and says that it would vote,
/// before it has the seat of its former self.
fn are_all_seated(leader: &Node, size: usize) -> bool {
    let members = leader.log().ensemble().members;
    let votes = |m: &MemberStatus| {
        m.role != Role::Learner && m.is_connected && m.status == Some(ReplicaStatus::Voting)
    };
    members.len() == size && members.iter().all(votes)
}

fn text(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).into_owned()
}

#[test]
fn random_events_on_real_disks_lose_nothing() {
    let seeds = match number("AURORA_LOG_SCENARIO") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number("AURORA_LOG_SCENARIOS").unwrap_or(3),
    };
    rt::block_on(async {
        for seed in seeds {
            scenario(seed, if seed % 3 == 0 { 5 } else { 3 }).await;
        }
    });
}
