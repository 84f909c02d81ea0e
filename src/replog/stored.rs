//! What is written to disk, frozen per version.
//!
//! Each value is one frame of [`crate::base::frame`] around a postcard envelope. A version that
//! exists is never changed: a new one is added beside it. Keys are big-endian, so that they sort by
//! position.

use super::append;
use crate::base::frame::{self, HEADER_BYTES};
use crate::paxos::{
    Ballot, Configuration, Incarnation, Member, Position, ReplicaId, Run, Seat, Status, Value,
};
use serde::{Deserialize, Serialize, Serializer};
use std::sync::Arc;
use thiserror::Error;

/// About how long records other than runs are.
const SMALL_BYTES: usize = 256;
/// Longest value that is read back.
const VALUE_BYTES_MAX: usize = 64 << 20;

/// Why stored bytes cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoredError {
    /// The bytes are not what was written.
    #[error("{what} is damaged: {why}")]
    Damaged {
        /// Which record.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A newer program wrote it.
    #[error("{what} has format version {version}; this program reads up to version {newest}")]
    Newer {
        /// Which record.
        what: &'static str,
        /// The version found.
        version: u8,
        /// The newest that this program knows.
        newest: u8,
    },
}

/// What a replica knows about itself: one record, rewritten with every group commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Who it is.
    pub me: Member,
    /// Whether it votes.
    pub status: Status,
    /// Its promise.
    pub promised: Ballot,
    /// The first position kept.
    pub first: Position,
    /// Everything up to here is chosen and held.
    pub learned: Position,
    /// Runs that begin below this are deleted already.
    pub swept: Position,
    /// The ensemble, or the one it may form.
    pub configuration: Configuration,
    /// The entry that brought it: zero if none has.
    pub configured: Position,
    /// Whether a new incarnation has to be asked for.
    pub needs_incarnation: bool,
    /// Rises by one with every group commit.
    pub sequence: u64,
    /// How many runs there are.
    pub runs: u64,
    /// The sum of the hashes of all runs.
    pub hash: u64,
}

/// What the evidence file holds about the newest group commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The cluster.
    pub cluster: u128,
    /// Who it is.
    pub me: Member,
    /// Its promise.
    pub promised: Ballot,
    /// The number of the group commit.
    pub sequence: u64,
    /// The hash of the meta record, which in turn holds the sum for the runs.
    pub hash: u64,
    /// How many members its ensemble had: not told by the first version.
    pub members: Option<u32>,
}

#[derive(Serialize, Deserialize)]
enum MetaEnvelope {
    V1(MetaV1),
}

#[derive(Serialize, Deserialize)]
struct MetaV1 {
    replica: u64,
    incarnation: u32,
    status: u8,
    promised: BallotV1,
    first: u64,
    learned: u64,
    swept: u64,
    configuration: ConfigurationV1,
    configured: u64,
    needs_incarnation: bool,
    sequence: u64,
    runs: u64,
    hash: u64,
}

#[derive(Serialize, Deserialize)]
struct BallotV1 {
    round: u64,
    replica: u64,
}

#[derive(Serialize, Deserialize)]
struct ConfigurationV1 {
    cluster: u128,
    feature_level: u32,
    members: Vec<MemberV1>,
    quorum: u32,
}

#[derive(Serialize, Deserialize)]
struct MemberV1 {
    replica: u64,
    incarnation: u32,
    address: String,
}

#[derive(Serialize, Deserialize)]
enum RunEnvelope<'a> {
    #[serde(borrow)]
    V1(RunV1<'a>),
}

#[derive(Serialize, Deserialize)]
struct RunV1<'a> {
    ballot: BallotV1,
    first: u64,
    #[serde(borrow)]
    values: Vec<ValueV1<'a>>,
}

#[derive(Serialize, Deserialize)]
enum ValueV1<'a> {
    Nop,
    #[serde(borrow)]
    Append(#[serde(serialize_with = "as_bytes")] &'a [u8]),
    Truncate(u64),
    Configure(ConfigurationV1),
}

#[derive(Serialize, Deserialize)]
enum EvidenceEnvelope {
    V1(EvidenceV1),
    V2(EvidenceV2),
}

#[derive(Serialize, Deserialize)]
struct EvidenceV1 {
    cluster: u128,
    replica: u64,
    incarnation: u32,
    promised: BallotV1,
    sequence: u64,
    hash: u64,
}

#[derive(Serialize, Deserialize)]
struct EvidenceV2 {
    evidence: EvidenceV1,
    members: u32,
}

/// The newest version of each kind of record.
const META_VERSION: u8 = 1;
const RUN_VERSION: u8 = 1;
const EVIDENCE_VERSION: u8 = 2;

/// One copy in place of one call a byte.
fn as_bytes<S: Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// The key of the meta record. Sorts before every run.
pub const META_KEY: &[u8] = b"meta";

/// The length of a run's key: the longest that the database keeps in place of a view of the block that it
/// was read with. A key of every block is held until a table is written, and with longer ones nearly the
/// whole table was: 50 MB of memory in each compaction.
const KEY_BYTES: usize = 20;
/// The same of the first version.
const LONG_KEY_BYTES: usize = 33;

/// The key of a run: no two different runs share one, so that nothing accepted is ever overwritten. (A
/// round belongs to one replica; the last byte of its name is there for whoever looks at a database.)
pub fn run_key(run: &Run) -> Vec<u8> {
    let Ok(more) = u16::try_from(run.values.len().saturating_sub(1)) else {
        // No run of ours has so many.
        return long_run_key(run);
    };
    let mut key = Vec::with_capacity(KEY_BYTES);
    key.push(b'r');
    key.extend_from_slice(&run.first.0.to_be_bytes());
    key.extend_from_slice(&more.to_be_bytes());
    key.extend_from_slice(&run.ballot.round.to_be_bytes());
    key.push((run.ballot.replica.0 & 0xff) as u8);
    key
}

/// The key that a run had in the first version: read, and not written any more.
pub fn long_run_key(run: &Run) -> Vec<u8> {
    let mut key = Vec::with_capacity(LONG_KEY_BYTES);
    key.push(b'r');
    key.extend_from_slice(&run.first.0.to_be_bytes());
    key.extend_from_slice(&run.last().0.to_be_bytes());
    key.extend_from_slice(&run.ballot.round.to_be_bytes());
    key.extend_from_slice(&run.ballot.replica.0.to_be_bytes());
    key
}

/// Where the runs that begin at `position` or later start.
pub fn runs_from(position: Position) -> Vec<u8> {
    let mut key = Vec::with_capacity(9);
    key.push(b'r');
    key.extend_from_slice(&position.0.to_be_bytes());
    key
}

/// The first and last position that a run's key names.
pub fn run_bounds(key: &[u8]) -> Option<(Position, Position)> {
    let word = |at: usize| {
        let bytes = key.get(at..at + 8)?;
        Some(Position(u64::from_be_bytes(bytes.try_into().ok()?)))
    };
    if key.first() != Some(&b'r') {
        return None;
    }
    match key.len() {
        KEY_BYTES => {
            let first = word(1)?;
            let more = u16::from_be_bytes(key.get(9..11)?.try_into().ok()?);
            Some((first, Position(first.0.checked_add(u64::from(more))?)))
        }
        LONG_KEY_BYTES => Some((word(1)?, word(9)?)),
        _ => None,
    }
}

/// The hash of one record. Sums of these do not depend on the order.
pub fn hash(key: &[u8], value: &[u8]) -> u64 {
    let halves = (u64::from(crc32c::crc32c(key)) << 32) | u64::from(crc32c::crc32c(value));
    // A full mix, so that sums of related records do not cancel.
    let mut x = halves
        .wrapping_add(value.len() as u64)
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// `about` is how long the payload will be, so that it is not moved while it grows.
fn encode(envelope: &impl Serialize, about: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + about);
    frame::encode_with(&mut out, |out| append::encoded(envelope, out));
    out
}

fn decode<'a, T: Deserialize<'a>>(
    what: &'static str,
    newest: u8,
    bytes: &'a [u8],
    must_end: bool,
) -> Result<T, StoredError> {
    let damaged = |why: String| StoredError::Damaged { what, why };
    let (payload, end) = frame::decode(bytes, 0, VALUE_BYTES_MAX)
        .map_err(|error| damaged(error.to_string()))?
        .ok_or_else(|| damaged(format!("cut short at {} bytes", bytes.len())))?;
    if must_end && end != bytes.len() {
        return Err(damaged(format!("{} bytes too many", bytes.len() - end)));
    }
    // The envelope's version is the first byte: said apart from damage, since the checksum held.
    if let Some(&number) = payload.first()
        && number >= newest
    {
        let version = number.saturating_add(1);
        return Err(StoredError::Newer {
            what,
            version,
            newest,
        });
    }
    let (value, rest) =
        postcard::take_from_bytes(payload).map_err(|error| damaged(error.to_string()))?;
    if !rest.is_empty() {
        return Err(damaged(format!("{} bytes too many", rest.len())));
    }
    Ok(value)
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
    fn from(stored: BallotV1) -> Self {
        Self {
            round: stored.round,
            replica: ReplicaId(stored.replica),
        }
    }
}

impl From<&Configuration> for ConfigurationV1 {
    fn from(configuration: &Configuration) -> Self {
        let members = configuration.members.iter();
        Self {
            cluster: configuration.cluster,
            feature_level: configuration.feature_level,
            members: members
                .map(|(id, seat)| MemberV1 {
                    replica: id.0,
                    incarnation: seat.incarnation.0,
                    address: seat.address.as_ref().to_owned(),
                })
                .collect(),
            quorum: configuration.quorum,
        }
    }
}

impl From<ConfigurationV1> for Configuration {
    fn from(stored: ConfigurationV1) -> Self {
        let members = stored.members.into_iter();
        Self {
            cluster: stored.cluster,
            feature_level: stored.feature_level,
            members: members
                .map(|m| {
                    let seat = Seat {
                        incarnation: Incarnation(m.incarnation),
                        address: m.address.into(),
                    };
                    (ReplicaId(m.replica), seat)
                })
                .collect(),
            quorum: stored.quorum,
        }
    }
}

/// The stored number of a status: that of the Mesos log.
fn status_number(status: Status) -> u8 {
    match status {
        Status::Voting => 1,
        Status::Recovering => 2,
        Status::Starting => 3,
        Status::Empty => 4,
    }
}

fn status(number: u8) -> Option<Status> {
    match number {
        1 => Some(Status::Voting),
        2 => Some(Status::Recovering),
        3 => Some(Status::Starting),
        4 => Some(Status::Empty),
        _ => None,
    }
}

impl Meta {
    /// The bytes to store.
    pub fn encode(&self) -> Vec<u8> {
        encode(
            &MetaEnvelope::V1(MetaV1 {
                replica: self.me.id.0,
                incarnation: self.me.incarnation.0,
                status: status_number(self.status),
                promised: self.promised.into(),
                first: self.first.0,
                learned: self.learned.0,
                swept: self.swept.0,
                configuration: (&self.configuration).into(),
                configured: self.configured.0,
                needs_incarnation: self.needs_incarnation,
                sequence: self.sequence,
                runs: self.runs,
                hash: self.hash,
            }),
            SMALL_BYTES,
        )
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    ///
    /// See [`StoredError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, StoredError> {
        const WHAT: &str = "the meta record";
        let MetaEnvelope::V1(stored) = decode(WHAT, META_VERSION, bytes, true)?;
        let status = status(stored.status).ok_or_else(|| StoredError::Damaged {
            what: WHAT,
            why: format!("no status has the number {}", stored.status),
        })?;
        Ok(Self {
            me: Member {
                id: ReplicaId(stored.replica),
                incarnation: Incarnation(stored.incarnation),
            },
            status,
            promised: stored.promised.into(),
            first: Position(stored.first),
            learned: Position(stored.learned),
            swept: Position(stored.swept),
            configuration: stored.configuration.into(),
            configured: Position(stored.configured),
            needs_incarnation: stored.needs_incarnation,
            sequence: stored.sequence,
            runs: stored.runs,
            hash: stored.hash,
        })
    }
}

impl Evidence {
    /// The bytes to store.
    pub fn encode(&self) -> Vec<u8> {
        let evidence = EvidenceV1 {
            cluster: self.cluster,
            replica: self.me.id.0,
            incarnation: self.me.incarnation.0,
            promised: self.promised.into(),
            sequence: self.sequence,
            hash: self.hash,
        };
        let envelope = match self.members {
            Some(members) => EvidenceEnvelope::V2(EvidenceV2 { evidence, members }),
            None => EvidenceEnvelope::V1(evidence),
        };
        encode(&envelope, SMALL_BYTES)
    }

    /// Reads a slot: the frame at its start; what is behind does not count.
    ///
    /// # Errors
    ///
    /// See [`StoredError`].
    pub fn decode(slot: &[u8]) -> Result<Self, StoredError> {
        let (stored, members) = match decode("an evidence slot", EVIDENCE_VERSION, slot, false)? {
            EvidenceEnvelope::V1(stored) => (stored, None),
            EvidenceEnvelope::V2(stored) => (stored.evidence, Some(stored.members)),
        };
        Ok(Self {
            cluster: stored.cluster,
            me: Member {
                id: ReplicaId(stored.replica),
                incarnation: Incarnation(stored.incarnation),
            },
            promised: stored.promised.into(),
            sequence: stored.sequence,
            hash: stored.hash,
            members,
        })
    }
}

/// The bytes of a run.
pub fn encode_run(run: &Run) -> Vec<u8> {
    let values = run.values.iter().map(|value| match value {
        Value::Append(bytes) => ValueV1::Append(bytes),
        Value::Configure(configuration) => ValueV1::Configure((&**configuration).into()),
        Value::Nop => ValueV1::Nop,
        Value::Truncate { to } => ValueV1::Truncate(to.0),
    });
    encode(
        &RunEnvelope::V1(RunV1 {
            ballot: run.ballot.into(),
            first: run.first.0,
            values: values.collect(),
        }),
        run.size_bytes(),
    )
}

/// Reads the bytes of a run, and checks that they belong under `key`.
///
/// # Errors
///
/// See [`StoredError`].
pub fn decode_run(key: &[u8], bytes: &[u8]) -> Result<Run, StoredError> {
    const WHAT: &str = "a run of entries";
    let RunEnvelope::V1(stored) = decode(WHAT, RUN_VERSION, bytes, true)?;
    let values = stored.values.into_iter().map(|value| match value {
        ValueV1::Append(bytes) => Value::Append(bytes.into()),
        ValueV1::Configure(configuration) => Value::Configure(Arc::new(configuration.into())),
        ValueV1::Nop => Value::Nop,
        ValueV1::Truncate(to) => Value::Truncate { to: Position(to) },
    });
    let run = Run {
        ballot: stored.ballot.into(),
        first: Position(stored.first),
        values: values.collect(),
    };
    let is_named = run_key(&run) == key || long_run_key(&run) == key;
    if run.values.is_empty() || !is_named {
        return Err(StoredError::Damaged {
            what: WHAT,
            why: format!(
                "it is not the run that its key names, at position {}",
                run.first
            ),
        });
    }
    Ok(run)
}
