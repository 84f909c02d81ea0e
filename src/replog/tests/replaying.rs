//! Replicas that give their owners what was learned before, while everything else goes on.

use super::ensemble::{Node, addresses, append, everybody_has, formed, leader, stop, until};
use crate::paxos::Position;
use crate::replog::{EnsembleStatus, ReplicaStatus};
use crate::rt;

/// More entries than the channel of events takes, and more bytes of them than are read at once: whoever takes
/// none is not done with its replay.
const ENTRIES: usize = 3_000;

/// Appends many entries at once. If the term ends meanwhile, as it may on a busy machine, some are missing.
async fn append_many(nodes: &mut [Node], prefix: &str) {
    let mut term = None;
    for number in 0..ENTRIES {
        if term.is_none() {
            until(nodes, "a leader", |nodes| leader(nodes).is_some()).await;
            let at = leader(nodes).unwrap();
            term = nodes[at].leading.map(|ballot| (at, ballot));
        }
        if let Some((at, ballot)) = term {
            let payload = format!("{prefix}{number:01000}").into_bytes();
            let sent = nodes[at].log().append(ballot, 0, payload).await;
            term = term.filter(|_| sent.is_ok());
        }
        if number % 100 == 0 {
            nodes.iter_mut().for_each(Node::hear);
        }
    }
    append(nodes, &format!("{prefix}, all of them")).await;
}

/// Truncates the log below the next entry to come, and waits until that is learned.
async fn truncate(nodes: &mut [Node]) -> Position {
    loop {
        until(nodes, "a leader", |nodes| leader(nodes).is_some()).await;
        let at = leader(nodes).unwrap();
        let ballot = nodes[at].leading.unwrap();
        let to = Position(nodes[at].log().stats().learned + 1);
        let asked = nodes[at].log().truncate(ballot, to).await;
        append(nodes, &format!("behind the truncation to {to}")).await;
        let first = nodes[at].log().stats().first;
        if asked.is_ok() && first == to.0 {
            return to;
        }
    }
}

fn status_of(report: &EnsembleStatus, address: &str) -> Option<ReplicaStatus> {
    let member = report.members.iter().find(|m| m.address == address)?;
    member.status.filter(|_| member.is_connected)
}

#[test]
fn a_member_that_replays_counts_but_does_not_lead() {
    rt::block_on(async {
        let mut nodes = formed(3).await;
        let peers = addresses(&nodes);
        append_many(&mut nodes, "before").await;
        append(&mut nodes, "known to all").await;
        everybody_has(&mut nodes, "known to all").await;
        let first = leader(&nodes).unwrap();
        let (slow, other) = ((first + 1) % 3, (first + 2) % 3);
        nodes[slow].stop().await;
        nodes[slow].is_deaf = true;
        nodes[slow].start(&peers, 2).await;
        let address = nodes[slow].address();
        until(&mut nodes, "it votes", |nodes| {
            let report = nodes[first].log().ensemble();
            status_of(&report, &address) == Some(ReplicaStatus::Voting)
        })
        .await;
        assert_eq!(nodes[slow].log().status(), ReplicaStatus::Recovering);
        // With it alone the leader goes on, however much there is to append.
        nodes[other].stop().await;
        append_many(&mut nodes, "meanwhile").await;
        assert_eq!(nodes[slow].log().status(), ReplicaStatus::Recovering);
        // Then nobody is left who could lead, and it does not.
        nodes[first].stop().await;
        nodes[other].start(&peers, 2).await;
        append(&mut nodes, "after").await;
        assert_eq!(leader(&nodes), Some(other));
        assert_eq!(nodes[slow].log().leading(), None);
        assert_eq!(nodes[slow].log().status(), ReplicaStatus::Recovering);
        // Its owner gets everything, in order and once.
        nodes[slow].is_deaf = false;
        everybody_has(&mut nodes, "after").await;
        until(&mut nodes, "its replay is done", |nodes| {
            nodes[slow].log().status() == ReplicaStatus::Voting
        })
        .await;
        assert_eq!(nodes[slow].entries, nodes[other].entries);
        // And now it may lead.
        nodes[first].is_deaf = true;
        nodes[first].start(&peers, 2).await;
        nodes[other].stop().await;
        until(&mut nodes, "it leads", |nodes| leader(nodes) == Some(slow)).await;
        stop(&mut nodes).await;
    });
}

/// Its owner begins anew where the log begins by then, whether the replica learns of the truncation while it
/// replays or comes back behind it.
#[test]
fn what_is_truncated_while_a_member_replays_is_not_given_to_its_owner() {
    rt::block_on(async {
        for is_behind in [false, true] {
            let mut nodes = formed(3).await;
            let peers = addresses(&nodes);
            append_many(&mut nodes, "before").await;
            append(&mut nodes, "known to all").await;
            everybody_has(&mut nodes, "known to all").await;
            let slow = (leader(&nodes).unwrap() + 1) % 3;
            nodes[slow].stop().await;
            if is_behind {
                append(&mut nodes, "missed").await;
                truncate(&mut nodes).await;
            }
            nodes[slow].is_deaf = true;
            nodes[slow].start(&peers, 2).await;
            let first = truncate(&mut nodes).await;
            until(&mut nodes, "it has learned so", |nodes| {
                nodes[slow].log().stats().first == first.0
            })
            .await;
            // Where it learns so before it has read anything, its replay is done by now.
            nodes[slow].is_deaf = false;
            append(&mut nodes, "after").await;
            everybody_has(&mut nodes, "after").await;
            until(&mut nodes, "its replay is done", |nodes| {
                nodes[slow].log().status() == ReplicaStatus::Voting
            })
            .await;
            let other = (slow + 1) % 3;
            let kept: Vec<_> = nodes[other].entries.range(first.0..).collect();
            let given: Vec<_> = nodes[slow].entries.iter().collect();
            assert_eq!(given, kept, "is behind: {is_behind}");
            stop(&mut nodes).await;
        }
    });
}

/// Lets the owners of the followers take nothing, and waits until they are too far behind to lead. Gives the
/// leader.
async fn deafen_followers(nodes: &mut [Node]) -> usize {
    const ENOUGH: u64 = 500;
    loop {
        until(nodes, "a leader", |nodes| leader(nodes).is_some()).await;
        let first = leader(nodes).unwrap();
        let others = [(first + 1) % 3, (first + 2) % 3];
        let ballot = nodes[first].leading.unwrap();
        let enough = nodes[first].log().stats().learned + ENOUGH;
        for other in others {
            nodes[other].is_deaf = true;
        }
        for _ in 0..ENOUGH {
            // If the term has ended they are made to hear again below.
            let sent = nodes[first].log().append(ballot, 0, b"some".to_vec());
            sent.await.unwrap_or_default();
        }
        let is_lost = |nodes: &[Node]| nodes[first].log().leading() != Some(ballot);
        let are_behind = |nodes: &[Node]| {
            let mut learned = others
                .map(|other| nodes[other].log().stats().learned)
                .into_iter();
            learned.all(|learned| learned >= enough)
        };
        until(nodes, "they are behind", |nodes| {
            is_lost(nodes) || are_behind(nodes)
        })
        .await;
        if !is_lost(nodes) {
            return first;
        }
        for other in others {
            nodes[other].is_deaf = false;
        }
    }
}

/// Neither the log nor the term of its leader waits for those who only follow.
#[test]
fn members_whose_owners_take_nothing_hold_up_nobody_and_give_them_all_of_it_later() {
    rt::block_on(async {
        let mut nodes = formed(3).await;
        append(&mut nodes, "known to all").await;
        everybody_has(&mut nodes, "known to all").await;
        let first = deafen_followers(&mut nodes).await;
        let others = [(first + 1) % 3, (first + 2) % 3];
        for round in ["a", "b", "c", "d"] {
            append_many(&mut nodes, round).await;
        }
        // Nobody else could have begun a term.
        assert_eq!(leader(&nodes), Some(first));
        for other in others {
            assert_eq!(nodes[other].log().status(), ReplicaStatus::Voting);
            nodes[other].is_deaf = false;
        }
        append(&mut nodes, "after").await;
        everybody_has(&mut nodes, "after").await;
        for other in others {
            assert!(nodes[other].entries == nodes[first].entries);
        }
        // They have caught up, and one of them leads when it is needed.
        nodes[first].stop().await;
        append(&mut nodes, "later").await;
        stop(&mut nodes).await;
    });
}
