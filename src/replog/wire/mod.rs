//! What replicas and the operators' tool send one another, frozen per version.
//!
//! A frame of [`crate::net::frames`] holds one postcard envelope. A version that exists is never
//! changed: variants are added at the end, or a version beside it. The types here are the wire's own:
//! the core's values are converted, and what a peer claims is checked while it is read. Every list
//! has a bound, so that a frame costs memory in proportion to its bytes; no bytes make this panic.
//!
//! `values` holds what the log is made of, `message` what the cores say, `frame` what flows between
//! two replicas, `control` what the tool asks.

mod bounded;
mod control;
mod frame;
mod message;
mod values;

pub use control::{Answer, Change, MemberStatus, Request, Role, StatusReport};
pub use frame::{Frame, Hello, Pulse, Refusal, Seat};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest frame between replicas: all that an acceptor may hold above its watermark, and one run.
pub const FRAME_BYTES_MAX: usize = 96 << 20;
/// Longest frame of the control protocol.
pub const CONTROL_BYTES_MAX: usize = 256 << 10;
/// What [`Answer::Done`] begins with where the ensemble was like that before.
pub const NO_CHANGE: &str = "nothing to change: ";
/// Longest address, as `host:port`.
pub const ADDRESS_BYTES_MAX: usize = 280;
/// Most members or peers that are named at once.
pub const MEMBERS_MAX: usize = 64;

/// Why received bytes cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// Not what any version of this program sends.
    #[error("a frame of {bytes} bytes is malformed: {why}")]
    Malformed {
        /// Its length.
        bytes: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A newer program sent it.
    #[error("a frame has format version {version}; this program reads up to version 1")]
    Newer {
        /// The version found.
        version: u8,
    },
}

fn encode(envelope: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(envelope).expect("plain data always encodes")
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, WireError> {
    let malformed = |why: String| WireError::Malformed {
        bytes: bytes.len(),
        why,
    };
    // The envelope's version is the first byte.
    if let Some(&version) = bytes.first()
        && version != 0
    {
        let version = version.saturating_add(1);
        return Err(WireError::Newer { version });
    }
    let (value, rest) =
        postcard::take_from_bytes(bytes).map_err(|error| malformed(error.to_string()))?;
    if rest.is_empty() {
        return Ok(value);
    }
    let at = bytes.len() - rest.len();
    Err(malformed(format!("it should end at byte {at}")))
}

/// Refuses what no honest peer says.
fn unless(is_bad: bool, bytes: usize, why: &str) -> Result<(), WireError> {
    if is_bad {
        return Err(WireError::Malformed {
            bytes,
            why: why.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
