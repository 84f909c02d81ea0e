//! What the cores say, as it is sent.

use super::bounded;
use super::values::{self, BallotV1, ConfigurationV1, MemberV1, RunV1};
use crate::paxos::{Body, Configuration, Configured, Incarnation, Join, Message, Position, Run};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Most runs in one message.
const RUNS_MAX: usize = 64 * 1024;
/// Most values in all runs of one message: what an acceptor may hold above its watermark, and more.
const VALUES_MAX: usize = 160 * 1024;

#[derive(Serialize, Deserialize)]
pub(super) struct MessageV1<'a> {
    from: MemberV1,
    ballot: BallotV1,
    #[serde(borrow)]
    body: BodyV1<'a>,
}

#[derive(Serialize, Deserialize)]
enum BodyV1<'a> {
    Accepted {
        first: u64,
        last: u64,
        learned: u64,
    },
    CatchUp {
        from: u64,
    },
    Form {
        #[serde(borrow)]
        configuration: ConfigurationV1<'a>,
    },
    Heartbeat {
        learned: u64,
        round: u64,
    },
    Ignored {
        status: u8,
    },
    Join(#[serde(borrow)] JoinV1<'a>),
    Learn {
        first_kept: u64,
        #[serde(borrow)]
        configured: Option<ConfiguredV1<'a>>,
        #[serde(borrow)]
        runs: RunsV1<'a>,
    },
    Prepare,
    PreVote,
    PreVoteReply {
        is_granted: bool,
        promised: BallotV1,
    },
    Progress {
        feature_level: u32,
        learned: u64,
        round: u64,
        status: u8,
    },
    Promise {
        learned: u64,
        #[serde(borrow)]
        accepted: RunsV1<'a>,
    },
    Reject {
        promised: BallotV1,
    },
    TimeoutNow,
    Welcome {
        incarnation: u32,
        nonce: u64,
    },
    Write {
        #[serde(borrow)]
        run: RunV1<'a>,
        learned: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct ConfiguredV1<'a> {
    position: u64,
    #[serde(borrow)]
    configuration: ConfigurationV1<'a>,
}

#[derive(Serialize, Deserialize)]
struct JoinV1<'a> {
    address: &'a str,
    feature_level: u32,
    learned: u64,
    needs_incarnation: bool,
    nonce: u64,
    status: u8,
}

/// Runs, each encoded by itself, so that what they hold together can be bounded.
#[derive(Serialize, Deserialize)]
struct RunsV1<'a>(
    #[serde(
        borrow,
        serialize_with = "all_as_bytes",
        deserialize_with = "bounded::list::<_, _, RUNS_MAX>"
    )]
    Vec<Encoded<'a>>,
);

enum Encoded<'a> {
    Own(Vec<u8>),
    Sent(&'a [u8]),
}

impl Encoded<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Sent(bytes) => bytes,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Encoded<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'a [u8]>::deserialize(deserializer).map(Self::Sent)
    }
}

struct AsBytes<'a>(&'a [u8]);

impl Serialize for AsBytes<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

fn all_as_bytes<S: serde::Serializer>(
    runs: &[Encoded<'_>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(runs.iter().map(|run| AsBytes(run.bytes())))
}

impl RunsV1<'_> {
    fn new(runs: &[Run]) -> Self {
        let runs = runs.iter().map(|run| {
            let bytes = postcard::to_stdvec(&RunV1::from(run));
            Encoded::Own(bytes.expect("plain data always encodes"))
        });
        Self(runs.collect())
    }

    fn read(self) -> Result<Vec<Run>, &'static str> {
        let mut values = 0;
        let mut runs = Vec::with_capacity(self.0.len());
        for run in &self.0 {
            let (run, rest): (RunV1<'_>, &[u8]) =
                postcard::take_from_bytes(run.bytes()).map_err(|_| "a run cannot be read")?;
            let run = Run::try_from(run)?;
            values += run.values.len();
            if !rest.is_empty() || values > VALUES_MAX {
                return Err("runs are too long");
            }
            runs.push(run);
        }
        Ok(runs)
    }
}

impl<'a> From<&'a Join> for JoinV1<'a> {
    fn from(join: &'a Join) -> Self {
        Self {
            address: &join.address,
            feature_level: join.feature_level,
            learned: join.learned.0,
            needs_incarnation: join.needs_incarnation,
            nonce: join.nonce,
            status: values::status_number(join.status),
        }
    }
}

impl TryFrom<JoinV1<'_>> for Join {
    type Error = &'static str;

    fn try_from(sent: JoinV1<'_>) -> Result<Self, &'static str> {
        Ok(Self {
            address: values::address(sent.address)?,
            feature_level: sent.feature_level,
            learned: Position(sent.learned),
            needs_incarnation: sent.needs_incarnation,
            nonce: sent.nonce,
            status: values::status(sent.status)?,
        })
    }
}

fn read_configuration(sent: ConfigurationV1<'_>) -> Result<Arc<Configuration>, &'static str> {
    Ok(Arc::new(sent.try_into()?))
}

fn read_configured(sent: ConfiguredV1<'_>) -> Result<Configured, &'static str> {
    Ok(Configured {
        position: Position(sent.position),
        configuration: read_configuration(sent.configuration)?,
    })
}

impl<'a> From<&'a Message> for MessageV1<'a> {
    fn from(message: &'a Message) -> Self {
        Self {
            from: message.from.into(),
            ballot: message.ballot.into(),
            body: (&message.body).into(),
        }
    }
}

impl<'a> From<&'a Body> for BodyV1<'a> {
    fn from(body: &'a Body) -> Self {
        match body {
            Body::Accepted {
                first,
                last,
                learned,
            } => Self::Accepted {
                first: first.0,
                last: last.0,
                learned: learned.0,
            },
            Body::CatchUp { from } => Self::CatchUp { from: from.0 },
            Body::Form { configuration } => Self::Form {
                configuration: (&**configuration).into(),
            },
            Body::Heartbeat { learned, round } => Self::Heartbeat {
                learned: learned.0,
                round: *round,
            },
            Body::Ignored { status } => Self::Ignored {
                status: values::status_number(*status),
            },
            Body::Join(join) => Self::Join(join.into()),
            Body::Learn {
                first_kept,
                configured,
                runs,
            } => Self::Learn {
                first_kept: first_kept.0,
                configured: configured.as_ref().map(|configured| ConfiguredV1 {
                    position: configured.position.0,
                    configuration: (&*configured.configuration).into(),
                }),
                runs: RunsV1::new(runs),
            },
            Body::Prepare => Self::Prepare,
            Body::PreVote => Self::PreVote,
            Body::PreVoteReply {
                is_granted,
                promised,
            } => Self::PreVoteReply {
                is_granted: *is_granted,
                promised: (*promised).into(),
            },
            Body::Progress {
                feature_level,
                learned,
                round,
                status,
            } => Self::Progress {
                feature_level: *feature_level,
                learned: learned.0,
                round: *round,
                status: values::status_number(*status),
            },
            Body::Promise { learned, accepted } => Self::Promise {
                learned: learned.0,
                accepted: RunsV1::new(accepted),
            },
            Body::Reject { promised } => Self::Reject {
                promised: (*promised).into(),
            },
            Body::TimeoutNow => Self::TimeoutNow,
            Body::Welcome { incarnation, nonce } => Self::Welcome {
                incarnation: incarnation.0,
                nonce: *nonce,
            },
            Body::Write { run, learned } => Self::Write {
                run: run.into(),
                learned: learned.0,
            },
        }
    }
}

impl TryFrom<MessageV1<'_>> for Message {
    type Error = &'static str;

    fn try_from(sent: MessageV1<'_>) -> Result<Self, &'static str> {
        Ok(Self {
            from: sent.from.into(),
            ballot: sent.ballot.into(),
            body: sent.body.try_into()?,
        })
    }
}

impl TryFrom<BodyV1<'_>> for Body {
    type Error = &'static str;

    fn try_from(sent: BodyV1<'_>) -> Result<Self, &'static str> {
        Ok(match sent {
            BodyV1::Accepted {
                first,
                last,
                learned,
            } => Self::Accepted {
                first: Position(first),
                last: Position(last),
                learned: Position(learned),
            },
            BodyV1::CatchUp { from } => Self::CatchUp {
                from: Position(from),
            },
            BodyV1::Form { configuration } => Self::Form {
                configuration: read_configuration(configuration)?,
            },
            BodyV1::Heartbeat { learned, round } => Self::Heartbeat {
                learned: Position(learned),
                round,
            },
            BodyV1::Ignored { status } => Self::Ignored {
                status: values::status(status)?,
            },
            BodyV1::Join(join) => Self::Join(join.try_into()?),
            BodyV1::Learn {
                first_kept,
                configured,
                runs,
            } => Self::Learn {
                first_kept: Position(first_kept),
                configured: configured.map(read_configured).transpose()?,
                runs: runs.read()?,
            },
            BodyV1::Prepare => Self::Prepare,
            BodyV1::PreVote => Self::PreVote,
            BodyV1::PreVoteReply {
                is_granted,
                promised,
            } => Self::PreVoteReply {
                is_granted,
                promised: promised.into(),
            },
            BodyV1::Progress {
                feature_level,
                learned,
                round,
                status,
            } => Self::Progress {
                feature_level,
                learned: Position(learned),
                round,
                status: values::status(status)?,
            },
            BodyV1::Promise { learned, accepted } => Self::Promise {
                learned: Position(learned),
                accepted: accepted.read()?,
            },
            BodyV1::Reject { promised } => Self::Reject {
                promised: promised.into(),
            },
            BodyV1::TimeoutNow => Self::TimeoutNow,
            BodyV1::Welcome { incarnation, nonce } => Self::Welcome {
                incarnation: Incarnation(incarnation),
                nonce,
            },
            BodyV1::Write { run, learned } => Self::Write {
                run: run.try_into()?,
                learned: Position(learned),
            },
        })
    }
}
