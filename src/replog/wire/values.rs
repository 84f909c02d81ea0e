//! What the log is made of, as it is sent.

use super::bounded;
use super::{ADDRESS_BYTES_MAX, MEMBERS_MAX};
use crate::paxos::{
    Ballot, Configuration, Incarnation, Member, Position, ReplicaId, Run, Seat, Status, Value,
};
use serde::{Deserialize, Serialize, Serializer};
use std::sync::Arc;

/// Most values in a run.
const VALUES_MAX: usize = Run::VALUES_MAX;

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct BallotV1 {
    round: u64,
    replica: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct MemberV1 {
    replica: u64,
    incarnation: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SeatV1<'a> {
    pub(super) member: MemberV1,
    pub(super) address: &'a str,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ConfigurationV1<'a> {
    cluster: u128,
    feature_level: u32,
    #[serde(borrow, deserialize_with = "bounded::list::<_, _, MEMBERS_MAX>")]
    members: Vec<SeatV1<'a>>,
    quorum: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) enum ValueV1<'a> {
    Nop,
    Append(#[serde(borrow, serialize_with = "as_bytes")] &'a [u8]),
    Truncate(u64),
    Configure(#[serde(borrow)] ConfigurationV1<'a>),
}

#[derive(Serialize, Deserialize)]
pub(super) struct RunV1<'a> {
    ballot: BallotV1,
    first: u64,
    #[serde(borrow, deserialize_with = "bounded::list::<_, _, VALUES_MAX>")]
    values: Vec<ValueV1<'a>>,
}

/// One copy in place of one call a byte.
pub(super) fn as_bytes<S: Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

impl From<Ballot> for BallotV1 {
    fn from(ballot: Ballot) -> Self {
        Self {
            round: ballot.round,
            replica: ballot.replica.0,
        }
    }
}

impl From<BallotV1> for Ballot {
    fn from(sent: BallotV1) -> Self {
        Self {
            round: sent.round,
            replica: ReplicaId(sent.replica),
        }
    }
}

impl From<Member> for MemberV1 {
    fn from(member: Member) -> Self {
        Self {
            replica: member.id.0,
            incarnation: member.incarnation.0,
        }
    }
}

impl From<MemberV1> for Member {
    fn from(sent: MemberV1) -> Self {
        Self {
            id: ReplicaId(sent.replica),
            incarnation: Incarnation(sent.incarnation),
        }
    }
}

/// The sent number of a status: that of the Mesos log.
pub(super) fn status_number(status: Status) -> u8 {
    match status {
        Status::Voting => 1,
        Status::Recovering => 2,
        Status::Starting => 3,
        Status::Empty => 4,
    }
}

pub(super) fn status(number: u8) -> Result<Status, &'static str> {
    match number {
        1 => Ok(Status::Voting),
        2 => Ok(Status::Recovering),
        3 => Ok(Status::Starting),
        4 => Ok(Status::Empty),
        _ => Err("no status has that number"),
    }
}

pub(super) fn address(sent: &str) -> Result<Arc<str>, &'static str> {
    if sent.len() > ADDRESS_BYTES_MAX {
        return Err("an address is too long");
    }
    Ok(sent.into())
}

impl<'a> From<&'a Configuration> for ConfigurationV1<'a> {
    fn from(configuration: &'a Configuration) -> Self {
        let members = configuration.members.iter().map(|(id, seat)| SeatV1 {
            member: Member {
                id: *id,
                incarnation: seat.incarnation,
            }
            .into(),
            address: &seat.address,
        });
        Self {
            cluster: configuration.cluster,
            feature_level: configuration.feature_level,
            members: members.collect(),
            quorum: configuration.quorum,
        }
    }
}

impl TryFrom<ConfigurationV1<'_>> for Configuration {
    type Error = &'static str;

    fn try_from(sent: ConfigurationV1<'_>) -> Result<Self, &'static str> {
        let mut members = std::collections::BTreeMap::new();
        for seat in &sent.members {
            let member = Member::from(seat.member);
            let taken = Seat {
                incarnation: member.incarnation,
                address: address(seat.address)?,
            };
            if members.insert(member.id, taken).is_some() {
                return Err("a member is named twice");
            }
        }
        let configuration = Self {
            cluster: sent.cluster,
            feature_level: sent.feature_level,
            members,
            quorum: sent.quorum,
        };
        if !configuration.is_sound() {
            return Err("no such ensemble can be");
        }
        Ok(configuration)
    }
}

impl<'a> From<&'a Run> for RunV1<'a> {
    fn from(run: &'a Run) -> Self {
        let values = run.values.iter().map(|value| match value {
            Value::Append(bytes) => ValueV1::Append(bytes),
            Value::Configure(configuration) => ValueV1::Configure((&**configuration).into()),
            Value::Nop => ValueV1::Nop,
            Value::Truncate { to } => ValueV1::Truncate(to.0),
        });
        Self {
            ballot: run.ballot.into(),
            first: run.first.0,
            values: values.collect(),
        }
    }
}

impl TryFrom<RunV1<'_>> for Run {
    type Error = &'static str;

    fn try_from(sent: RunV1<'_>) -> Result<Self, &'static str> {
        let count = sent.values.len() as u64;
        if count == 0 || sent.first == 0 || sent.first.checked_add(count).is_none() {
            return Err("no such run can be");
        }
        let mut values = Vec::with_capacity(sent.values.len());
        for value in sent.values {
            values.push(match value {
                ValueV1::Append(bytes) => Value::Append(bytes.into()),
                ValueV1::Configure(configuration) => {
                    Value::Configure(Arc::new(configuration.try_into()?))
                }
                ValueV1::Nop => Value::Nop,
                ValueV1::Truncate(to) => Value::Truncate { to: Position(to) },
            });
        }
        Ok(Self {
            ballot: sent.ballot.into(),
            first: Position(sent.first),
            values: values.into(),
        })
    }
}
