//! Replicas that give their owners what was learned before, while everything else goes on.

use super::ensemble::{Node, addresses, append, everybody_has, formed, leader, stop, until};
use crate::replog::{EnsembleStatus, ReplicaStatus};
use crate::rt;

/// More entries than the channel of events takes: whoever takes none is not done with its replay.
const ENTRIES: usize = 3_000;

/// Appends many entries at once.
async fn append_many(nodes: &mut [Node], prefix: &str) {
    let at = leader(nodes).unwrap();
    let ballot = nodes[at].leading.unwrap();
    for number in 0..ENTRIES {
        let payload = format!("{prefix}{number}").into_bytes();
        nodes[at].log().append(ballot, 0, payload).await.unwrap();
        if number % 100 == 0 {
            nodes.iter_mut().for_each(Node::hear);
        }
    }
    let last = format!("{prefix}{}", ENTRIES - 1).into_bytes();
    until(nodes, "they are learned", |nodes| nodes[at].has(&last)).await;
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
