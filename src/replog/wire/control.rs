//! What the operators' tool asks a running replica, and what it is told.

use super::bounded;
use super::values::{self, BallotV1, MemberV1};
use super::{ADDRESS_BYTES_MAX, MEMBERS_MAX, WireError};
use crate::paxos::{Ballot, Member, Position, Status};
use serde::{Deserialize, Serialize};

/// Longest text.
const TEXT_BYTES_MAX: usize = 8192;

/// A change of the ensemble, by addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Another member.
    Add {
        /// Where it listens.
        address: String,
    },
    /// One member less.
    Remove {
        /// Its address, or its id in hexadecimal.
        member: String,
    },
    /// Another member in the place of one.
    Replace {
        /// The old one's address, or its id in hexadecimal.
        member: String,
        /// Where the new one listens.
        address: String,
    },
    /// Another size of quorum.
    Quorum {
        /// The size.
        size: u32,
    },
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// To change the ensemble.
    Change(Change),
    /// How the ensemble is, as this replica knows it.
    Status,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is so now; `text` says what was done.
    Done {
        /// For the operator.
        text: String,
    },
    /// It is not so, and why.
    Failed {
        /// For the operator.
        text: String,
    },
    /// It cannot be done now; ask again.
    Later {
        /// For the operator.
        text: String,
    },
    /// Another replica leads; ask there.
    Redirect {
        /// Where it listens.
        address: String,
    },
    /// How the ensemble is.
    Status(Box<StatusReport>),
}

/// How an ensemble is, as one replica knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReport {
    /// The ensemble.
    pub cluster: u128,
    /// Whether it has been formed.
    pub is_formed: bool,
    /// How many members decide.
    pub quorum: u32,
    /// The lowest of all members' feature levels.
    pub feature_level: u32,
    /// Who was asked.
    pub asked: Member,
    /// Everybody who is known.
    pub members: Vec<MemberStatus>,
}

/// What a replica is in its ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Votes, and leads.
    Leader,
    /// Votes, if its status says so.
    Follower,
    /// Is no member, but follows.
    Learner,
}

/// How one replica is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// Who.
    pub member: Member,
    /// Where it listens.
    pub address: String,
    /// What it is.
    pub role: Role,
    /// Whether it votes, as it last said; `None` if it was never heard.
    pub status: Option<Status>,
    /// Its promise.
    pub promised: Ballot,
    /// The first position it keeps.
    pub first: Position,
    /// Its watermark.
    pub learned: Position,
    /// The last position that holds anything there.
    pub end: Position,
    /// Since it was last heard; zero for the one that was asked.
    pub silent_ms: u64,
    /// Whether it is connected to the one that was asked, or is that one.
    pub is_connected: bool,
}

#[derive(Serialize, Deserialize)]
enum RequestEnvelope {
    V1(RequestV1),
}

#[derive(Serialize, Deserialize)]
enum RequestV1 {
    Status,
    Change(Change),
}

#[derive(Serialize, Deserialize)]
enum AnswerEnvelope {
    V1(AnswerV1),
}

#[derive(Serialize, Deserialize)]
enum AnswerV1 {
    Done(String),
    Failed(String),
    Redirect(String),
    Status(ReportV1),
    Later(String),
}

#[derive(Serialize, Deserialize)]
struct ReportV1 {
    cluster: u128,
    is_formed: bool,
    quorum: u32,
    feature_level: u32,
    asked: MemberV1,
    #[serde(deserialize_with = "bounded::list::<_, _, MEMBERS_MAX>")]
    members: Vec<MemberStatusV1>,
}

#[derive(Serialize, Deserialize)]
struct MemberStatusV1 {
    member: MemberV1,
    address: String,
    role: Role,
    status: Option<u8>,
    promised: BallotV1,
    first: u64,
    learned: u64,
    end: u64,
    silent_ms: u64,
    is_connected: bool,
}

impl Request {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        super::encode(&RequestEnvelope::V1(match self {
            Self::Change(change) => RequestV1::Change(change.clone()),
            Self::Status => RequestV1::Status,
        }))
    }

    /// Reads received bytes.
    ///
    /// # Errors
    ///
    /// See [`WireError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let RequestEnvelope::V1(request) = super::decode(bytes)?;
        let request = match request {
            RequestV1::Change(change) => Self::Change(change),
            RequestV1::Status => Self::Status,
        };
        let is_long = |text: &str| text.len() > ADDRESS_BYTES_MAX;
        let is_bad = match &request {
            Self::Change(Change::Add { address }) => is_long(address),
            Self::Change(Change::Remove { member }) => is_long(member),
            Self::Change(Change::Replace { member, address }) => {
                is_long(member) || is_long(address)
            }
            Self::Change(Change::Quorum { .. }) | Self::Status => false,
        };
        super::unless(is_bad, bytes.len(), "an address is too long")?;
        Ok(request)
    }
}

impl Answer {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        super::encode(&AnswerEnvelope::V1(match self {
            Self::Done { text } => AnswerV1::Done(text.clone()),
            Self::Failed { text } => AnswerV1::Failed(text.clone()),
            Self::Later { text } => AnswerV1::Later(text.clone()),
            Self::Redirect { address } => AnswerV1::Redirect(address.clone()),
            Self::Status(report) => AnswerV1::Status(report.as_ref().into()),
        }))
    }

    /// Reads received bytes.
    ///
    /// # Errors
    ///
    /// See [`WireError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let AnswerEnvelope::V1(answer) = super::decode(bytes)?;
        let malformed = |why: &str| WireError::Malformed {
            bytes: bytes.len(),
            why: why.to_owned(),
        };
        let text = |text: String| {
            super::unless(
                text.len() > TEXT_BYTES_MAX,
                bytes.len(),
                "a text is too long",
            )?;
            Ok(text)
        };
        Ok(match answer {
            AnswerV1::Done(said) => Self::Done { text: text(said)? },
            AnswerV1::Failed(said) => Self::Failed { text: text(said)? },
            AnswerV1::Later(said) => Self::Later { text: text(said)? },
            AnswerV1::Redirect(address) => Self::Redirect {
                address: text(address)?,
            },
            AnswerV1::Status(report) => {
                Self::Status(Box::new(report.try_into().map_err(malformed)?))
            }
        })
    }
}

impl From<&StatusReport> for ReportV1 {
    fn from(report: &StatusReport) -> Self {
        let members = report.members.iter().map(|m| MemberStatusV1 {
            member: m.member.into(),
            address: m.address.clone(),
            role: m.role,
            status: m.status.map(values::status_number),
            promised: m.promised.into(),
            first: m.first.0,
            learned: m.learned.0,
            end: m.end.0,
            silent_ms: m.silent_ms,
            is_connected: m.is_connected,
        });
        Self {
            cluster: report.cluster,
            is_formed: report.is_formed,
            quorum: report.quorum,
            feature_level: report.feature_level,
            asked: report.asked.into(),
            members: members.take(MEMBERS_MAX).collect(),
        }
    }
}

impl TryFrom<ReportV1> for StatusReport {
    type Error = &'static str;

    fn try_from(sent: ReportV1) -> Result<Self, &'static str> {
        let members = sent.members.into_iter().map(|m| {
            Ok(MemberStatus {
                member: m.member.into(),
                address: values::address(&m.address)?.to_string(),
                role: m.role,
                status: m.status.map(values::status).transpose()?,
                promised: m.promised.into(),
                first: Position(m.first),
                learned: Position(m.learned),
                end: Position(m.end),
                silent_ms: m.silent_ms,
                is_connected: m.is_connected,
            })
        });
        Ok(Self {
            cluster: sent.cluster,
            is_formed: sent.is_formed,
            quorum: sent.quorum,
            feature_level: sent.feature_level,
            asked: sent.asked.into(),
            members: members.collect::<Result<_, &'static str>>()?,
        })
    }
}
