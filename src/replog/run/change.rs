//! Changes of the ensemble as operators name them, in the words of the core.

use crate::paxos::{self, Configuration, ReplicaId, Status};
use crate::replog::peers::Known;
use crate::replog::wire::Change;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The member of an address or of an id in hexadecimal.
pub(super) fn member_named(configuration: &Configuration, name: &str) -> Option<ReplicaId> {
    let mut members = configuration.members.iter();
    let named = members.find(|(id, seat)| *seat.address == *name || id.to_string() == name);
    named.map(|(id, _)| *id)
}

/// Whether some member is reached at this address.
pub(super) fn is_seated(configuration: &Configuration, address: &str) -> bool {
    let mut seats = configuration.members.values();
    seats.any(|seat| *seat.address == *address)
}

/// Whether a change has nothing to change.
pub(super) fn is_done(configuration: &Configuration, change: &Change) -> bool {
    match change {
        Change::Add { address } => is_seated(configuration, address),
        Change::Remove { member } => member_named(configuration, member).is_none(),
        Change::Replace { member, address } => {
            let old = member_named(configuration, member);
            let at_its_place = old
                .and_then(|id| configuration.members.get(&id))
                .is_some_and(|seat| *seat.address == **address);
            is_seated(configuration, address)
                && (old.is_none() || at_its_place && !member_is_id(member))
        }
        Change::Quorum { size } => configuration.quorum == *size,
    }
}

/// Whether a member is named by its id and not by its address.
fn member_is_id(member: &str) -> bool {
    member.len() == 16 && member.chars().all(|c| c.is_ascii_hexdigit())
}

/// The ensemble in words, for operators: those who have addresses in their order.
pub(super) fn describe(configuration: &Configuration) -> String {
    let seats = configuration.members.iter().map(|(id, seat)| {
        if seat.address.is_empty() {
            id.to_string()
        } else {
            seat.address.to_string()
        }
    });
    let mut seats: Vec<String> = seats.collect();
    seats.sort();
    format!(
        "the members are {}; quorum {}",
        seats.join(", "),
        configuration.quorum
    )
}

/// The pending change in the core's words, or what it waits for.
pub(super) fn core_change(
    configuration: &Configuration,
    change: &Change,
    known: &BTreeMap<ReplicaId, Known>,
) -> Result<paxos::Change, String> {
    let newcomer = |address: &str| {
        let mut known = known.iter();
        let found = known.find(|(id, known)| {
            *known.hello.address == *address && !configuration.members.contains_key(id)
        });
        match found {
            Some((_, known)) if known.pulse.status != Status::Empty => {
                Ok((known.hello.member, Arc::clone(&known.hello.address)))
            }
            Some(_) => Err(format!("the replica at {address} is being made")),
            None => Err(format!(
                "no replica that could join has come up at {address}: start it there with \
                 -native_log_peers that name it and these, and with the same replica key, and look \
                 into its log"
            )),
        }
    };
    let old = |member: &str| {
        member_named(configuration, member).ok_or_else(|| format!("{member} is no member"))
    };
    Ok(match change {
        Change::Add { address } => {
            let (member, address) = newcomer(address)?;
            paxos::Change::Add { member, address }
        }
        Change::Remove { member } => paxos::Change::Remove { id: old(member)? },
        Change::Replace { member, address } => {
            let old = old(member)?;
            let (member, address) = newcomer(address)?;
            paxos::Change::Replace {
                old,
                member,
                address,
            }
        }
        Change::Quorum { size } => paxos::Change::Quorum { size: *size },
    })
}
