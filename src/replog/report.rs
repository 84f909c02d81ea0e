//! How the ensemble is, put together from what is known here.

use super::handle::Shown;
use super::peers::Known;
use super::wire::{MemberStatus, Role, StatusReport};
use crate::base::clock::Instant;
use crate::paxos::{Ballot, Configuration, Member, Position, ReplicaId, Seat};
use std::collections::BTreeMap;

/// Everybody who is a member, and everybody who is connected.
pub(super) fn report(
    shown: &Shown,
    known: &BTreeMap<ReplicaId, Known>,
    now: Instant,
) -> StatusReport {
    let ensemble = &shown.ensemble;
    let empty = BTreeMap::new();
    let configuration = ensemble.configuration.as_deref();
    let seats = configuration.map_or(&empty, |c| &c.members);
    let leader = shown.leader.map(|ballot| ballot.replica);
    let role = |id: ReplicaId| match seats.get(&id) {
        None => Role::Learner,
        Some(_) if leader == Some(id) => Role::Leader,
        Some(_) => Role::Follower,
    };
    let mut members = Vec::new();
    let is_known = !ensemble.address.is_empty() || configuration.is_some();
    if is_known {
        members.push(own(shown, role(ensemble.me.id)));
    }
    for (id, seat) in seats {
        if *id != ensemble.me.id {
            members.push(other(*id, Some(seat), known.get(id), role(*id), now));
        }
    }
    for (id, peer) in known {
        if !seats.contains_key(id) && peer.is_connected {
            members.push(other(*id, None, Some(peer), Role::Learner, now));
        }
    }
    members.sort_by(|a, b| a.address.cmp(&b.address));
    StatusReport {
        cluster: configuration.map_or(0, |c| c.cluster),
        is_formed: ensemble.is_formed,
        quorum: configuration.map_or(0, |c: &Configuration| c.quorum),
        feature_level: configuration.map_or(0, |c| c.feature_level),
        asked: ensemble.me,
        members,
    }
}

fn own(shown: &Shown, role: Role) -> MemberStatus {
    MemberStatus {
        member: shown.ensemble.me,
        address: shown.ensemble.address.to_string(),
        role,
        status: Some(shown.status),
        promised: shown.ensemble.promised,
        first: Position(shown.stats.first),
        learned: Position(shown.stats.learned),
        end: Position(shown.stats.end),
        silent_ms: 0,
        is_connected: true,
    }
}

fn other(
    id: ReplicaId,
    seat: Option<&Seat>,
    known: Option<&Known>,
    role: Role,
    now: Instant,
) -> MemberStatus {
    let incarnation = seat.map(|seat| seat.incarnation).unwrap_or_default();
    let seated = Member { id, incarnation };
    let address = seat
        .map(|seat| seat.address.to_string())
        .unwrap_or_default();
    let Some(known) = known else {
        return MemberStatus {
            member: seated,
            address,
            role,
            status: None,
            promised: Ballot::ZERO,
            first: Position::ZERO,
            learned: Position::ZERO,
            end: Position::ZERO,
            silent_ms: u64::MAX,
            is_connected: false,
        };
    };
    let silent = now.since(known.heard).as_millis();
    MemberStatus {
        member: known.hello.member,
        address: if address.is_empty() {
            known.hello.address.to_string()
        } else {
            address
        },
        role,
        status: Some(known.pulse.status),
        promised: known.pulse.promised,
        first: known.pulse.first,
        learned: known.pulse.learned,
        end: known.pulse.end,
        silent_ms: u64::try_from(silent).unwrap_or(u64::MAX),
        is_connected: known.is_connected,
    }
}
