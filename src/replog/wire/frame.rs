//! What flows between two replicas: a greeting, or a refusal; then messages and pulses.

use super::bounded;
use super::message::MessageV1;
use super::values::{self, BallotV1, MemberV1, SeatV1};
use super::{MEMBERS_MAX, WireError};
use crate::paxos::{Ballot, Member, Message, Position, Status};
use crate::replog::append;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Longest text of a refusal.
const REASON_BYTES_MAX: usize = 2048;

/// What a replica says about itself when a connection begins, and again when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The ensemble, or the one it would form.
    pub cluster: u128,
    /// Whether that ensemble has been formed.
    pub is_formed: bool,
    /// Who it is. A replica that is not initialised has an id for this process only.
    pub member: Member,
    /// Where it listens, as its peers name it.
    pub address: Arc<str>,
    /// Drawn when the process started.
    pub boot: u64,
    /// For how long it has run.
    pub uptime_ms: u64,
    /// What its flag names: the addresses of all replicas, itself among them.
    pub peers: BTreeSet<Arc<str>>,
    /// What its flag says.
    pub quorum: u32,
    /// The newest feature level that it can read.
    pub feature_level: u32,
    /// The members of its ensemble, if it is formed, and those that are about to become members,
    /// who have the id zero as long as it is not known.
    pub seats: Vec<Seat>,
    /// How it is at this time.
    pub pulse: Pulse,
}

/// A place in an ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Whose it is.
    pub member: Member,
    /// Where that one listens.
    pub address: Arc<str>,
}

/// How a replica is. Tells that the connection lives, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// Its write sequence: commits that are durable.
    pub sequence: u64,
    /// Its durable promise.
    pub promised: Ballot,
    /// Whether it votes.
    pub status: Status,
    /// Whether it leads.
    pub is_leading: bool,
    /// The first position kept.
    pub first: Position,
    /// The watermark.
    pub learned: Position,
    /// The last position that holds anything.
    pub end: Position,
}

/// Why a connection is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is one already.
    Duplicate,
    /// The dialer belongs to another ensemble.
    Foreign(String),
    /// The dialer's disk is older than what it has said before, or a copy.
    RolledBack(String),
    /// Another process is connected as the same replica.
    Twice(String),
    /// The dialer has dialed itself.
    Yourself,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The greeting.
    Hello(Hello),
    /// What a core says.
    Message(Message),
    /// How the sender is.
    Pulse(Pulse),
    /// The end, and why.
    Refused(Refusal),
}

#[derive(Serialize, Deserialize)]
enum Envelope<'a> {
    V1(#[serde(borrow)] FrameV1<'a>),
}

#[derive(Serialize, Deserialize)]
enum FrameV1<'a> {
    Hello(#[serde(borrow)] HelloV1<'a>),
    Refused(#[serde(borrow)] RefusalV1<'a>),
    Pulse(PulseV1),
    Message(#[serde(borrow)] MessageV1<'a>),
}

#[derive(Serialize, Deserialize)]
struct HelloV1<'a> {
    cluster: u128,
    is_formed: bool,
    member: MemberV1,
    address: &'a str,
    boot: u64,
    uptime_ms: u64,
    #[serde(borrow, deserialize_with = "bounded::list::<_, _, MEMBERS_MAX>")]
    peers: Vec<&'a str>,
    quorum: u32,
    feature_level: u32,
    #[serde(borrow, deserialize_with = "bounded::list::<_, _, MEMBERS_MAX>")]
    seats: Vec<SeatV1<'a>>,
    pulse: PulseV1,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct PulseV1 {
    sequence: u64,
    promised: BallotV1,
    status: u8,
    is_leading: bool,
    first: u64,
    learned: u64,
    end: u64,
}

#[derive(Serialize, Deserialize)]
enum RefusalV1<'a> {
    Duplicate,
    Foreign(&'a str),
    RolledBack(&'a str),
    Twice(&'a str),
    Yourself,
}

impl From<Pulse> for PulseV1 {
    fn from(pulse: Pulse) -> Self {
        Self {
            sequence: pulse.sequence,
            promised: pulse.promised.into(),
            status: values::status_number(pulse.status),
            is_leading: pulse.is_leading,
            first: pulse.first.0,
            learned: pulse.learned.0,
            end: pulse.end.0,
        }
    }
}

impl TryFrom<PulseV1> for Pulse {
    type Error = &'static str;

    fn try_from(sent: PulseV1) -> Result<Self, &'static str> {
        Ok(Self {
            sequence: sent.sequence,
            promised: sent.promised.into(),
            status: values::status(sent.status)?,
            is_leading: sent.is_leading,
            first: Position(sent.first),
            learned: Position(sent.learned),
            end: Position(sent.end),
        })
    }
}

impl<'a> From<&'a Hello> for HelloV1<'a> {
    fn from(hello: &'a Hello) -> Self {
        let seats = hello.seats.iter().map(|seat| SeatV1 {
            member: seat.member.into(),
            address: &seat.address,
        });
        Self {
            cluster: hello.cluster,
            is_formed: hello.is_formed,
            member: hello.member.into(),
            address: &hello.address,
            boot: hello.boot,
            uptime_ms: hello.uptime_ms,
            peers: hello.peers.iter().map(|peer| &**peer).collect(),
            quorum: hello.quorum,
            feature_level: hello.feature_level,
            seats: seats.collect(),
            pulse: hello.pulse.into(),
        }
    }
}

impl TryFrom<HelloV1<'_>> for Hello {
    type Error = &'static str;

    fn try_from(sent: HelloV1<'_>) -> Result<Self, &'static str> {
        let member = Member::from(sent.member);
        if member.id.0 == 0 {
            return Err("nobody has the id zero");
        }
        let address = values::address;
        let seats = sent.seats.iter().map(|seat| {
            Ok(Seat {
                member: seat.member.into(),
                address: address(seat.address)?,
            })
        });
        Ok(Self {
            cluster: sent.cluster,
            is_formed: sent.is_formed,
            member,
            address: address(sent.address)?,
            boot: sent.boot,
            uptime_ms: sent.uptime_ms,
            peers: sent
                .peers
                .into_iter()
                .map(address)
                .collect::<Result<_, _>>()?,
            quorum: sent.quorum,
            feature_level: sent.feature_level,
            seats: seats.collect::<Result<_, &'static str>>()?,
            pulse: sent.pulse.try_into()?,
        })
    }
}

impl<'a> From<&'a Refusal> for RefusalV1<'a> {
    fn from(refusal: &'a Refusal) -> Self {
        match refusal {
            Refusal::Duplicate => Self::Duplicate,
            Refusal::Foreign(why) => Self::Foreign(why),
            Refusal::RolledBack(why) => Self::RolledBack(why),
            Refusal::Twice(why) => Self::Twice(why),
            Refusal::Yourself => Self::Yourself,
        }
    }
}

/// A peer's words as they may be logged: of a bounded length, on one line.
fn printable(text: &str) -> String {
    let text = text.chars().take(REASON_BYTES_MAX);
    text.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl From<RefusalV1<'_>> for Refusal {
    fn from(sent: RefusalV1<'_>) -> Self {
        match sent {
            RefusalV1::Duplicate => Self::Duplicate,
            RefusalV1::Foreign(why) => Self::Foreign(printable(why)),
            RefusalV1::RolledBack(why) => Self::RolledBack(printable(why)),
            RefusalV1::Twice(why) => Self::Twice(printable(why)),
            RefusalV1::Yourself => Self::Yourself,
        }
    }
}

impl Frame {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_behind(&mut out);
        out
    }

    /// Appends the bytes to send to `out`.
    pub fn encode_behind(&self, out: &mut Vec<u8>) {
        let envelope = Envelope::V1(match self {
            Self::Hello(hello) => FrameV1::Hello(hello.into()),
            Self::Message(message) => FrameV1::Message(message.into()),
            Self::Pulse(pulse) => FrameV1::Pulse((*pulse).into()),
            Self::Refused(refusal) => FrameV1::Refused(refusal.into()),
        });
        append::encoded(&envelope, out);
    }

    /// Reads received bytes.
    ///
    /// # Errors
    ///
    /// See [`WireError`]. A peer that sends such bytes is to be hung up on.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let malformed = |why: &str| WireError::Malformed {
            bytes: bytes.len(),
            why: why.to_owned(),
        };
        let Envelope::V1(frame) = super::decode(bytes)?;
        Ok(match frame {
            FrameV1::Hello(hello) => Self::Hello(hello.try_into().map_err(malformed)?),
            FrameV1::Message(message) => Self::Message(message.try_into().map_err(malformed)?),
            FrameV1::Pulse(pulse) => Self::Pulse(pulse.try_into().map_err(malformed)?),
            FrameV1::Refused(refusal) => Self::Refused(refusal.into()),
        })
    }
}
