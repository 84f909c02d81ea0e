//! How the agent speaks to an executor: a socket in the task's directory.
//!
//! The agent sends framed commands of frozen types. The executor answers with single bytes that mean no more
//! than "look at the checkpoint": one on connecting, one for each change and one for each [`Command::Ping`]. The end of the
//! stream is the earliest sign that the executor is gone.

use crate::base::frame;
use serde::{Deserialize, Serialize};

/// The most bytes a command may have.
pub(super) const COMMAND_BYTES_MAX: usize = 4 << 10;

/// What the executor sends when the checkpoint has grown.
pub const NUDGE: u8 = b'n';

#[derive(Serialize, Deserialize)]
enum Envelope {
    V1(V1),
    V2(V2),
}

/// Frozen.
#[derive(Serialize, Deserialize)]
enum V1 {
    Kill,
    Ping,
}

/// What version 1 cannot say. Frozen.
#[derive(Serialize, Deserialize)]
enum V2 {
    Fail(String),
}

/// What an agent asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// End the task: it has failed for this reason. An executor that does not know this one hangs up.
    Fail(String),
    /// End the task.
    Kill,
    /// Answer with a byte.
    Ping,
}

impl Command {
    /// The command's frame.
    pub fn encode(self) -> Vec<u8> {
        let envelope = match self {
            Self::Fail(why) => Envelope::V2(V2::Fail(why)),
            Self::Kill => Envelope::V1(V1::Kill),
            Self::Ping => Envelope::V1(V1::Ping),
        };
        let payload = postcard::to_stdvec(&envelope).expect("plain values serialize into memory");
        let mut bytes = Vec::new();
        frame::encode(&payload, &mut bytes);
        bytes
    }

    /// Reads the command at `offset` and gives the offset behind it; none while it is not complete.
    pub(super) fn decode(bytes: &[u8], offset: usize) -> Result<Option<(Self, usize)>, Damaged> {
        let frame = frame::decode(bytes, offset, COMMAND_BYTES_MAX).map_err(|_| Damaged)?;
        let Some((payload, end)) = frame else {
            return Ok(None);
        };
        let command = match postcard::take_from_bytes(payload) {
            Ok((Envelope::V1(V1::Kill), [])) => Self::Kill,
            Ok((Envelope::V1(V1::Ping), [])) => Self::Ping,
            Ok((Envelope::V2(V2::Fail(why)), [])) => Self::Fail(why),
            Ok(_) | Err(_) => return Err(Damaged),
        };
        Ok(Some((command, end)))
    }
}

/// The peer does not speak this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_come_back_one_by_one() {
        let mut bytes = Command::Ping.encode();
        bytes.extend(Command::Kill.encode());
        bytes.extend(Command::Fail("why".to_owned()).encode());
        let mut end = 0;
        for expected in [
            Command::Ping,
            Command::Kill,
            Command::Fail("why".to_owned()),
        ] {
            let (command, next) = Command::decode(&bytes, end).unwrap().unwrap();
            assert_eq!(command, expected);
            end = next;
        }
        assert_eq!(Command::decode(&bytes, end), Ok(None));
        assert_eq!(Command::decode(&[0xff; 20], 0), Err(Damaged));
    }

    #[test]
    fn the_bytes_of_the_versions_do_not_change() {
        // The frame around them is that of `base::frame`.
        assert_eq!(Command::Kill.encode()[8..], [0, 0]);
        assert_eq!(Command::Ping.encode()[8..], [0, 1]);
        assert_eq!(Command::Fail("w".to_owned()).encode()[8..], [1, 0, 1, b'w']);
    }
}
