//! The frozen bytes of what stands around the chunks.

use super::{BackupError, Header};
use crate::base::clock::Timestamp;
use crate::base::frame;
use serde::{Deserialize, Serialize};

/// A frame that is no chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Header(Header),
    End { chunks: u32, sum: u32 },
}

/// All versions. Never reorder, never change what is inside one.
#[derive(Serialize, Deserialize)]
enum Envelope {
    V1(PartV1),
}

#[derive(Serialize, Deserialize)]
enum PartV1 {
    Header {
        taken_ms: i64,
        cluster: String,
        program: String,
        version: u64,
        tasks: u64,
    },
    End {
        chunks: u32,
        sum: u32,
    },
}

/// Appends a part as a frame.
pub(super) fn encode(part: Part, out: &mut Vec<u8>) {
    let part = match part {
        Part::Header(header) => PartV1::Header {
            taken_ms: header.taken.as_ms(),
            cluster: header.cluster,
            program: header.program,
            version: header.version,
            tasks: header.tasks,
        },
        Part::End { chunks, sum } => PartV1::End { chunks, sum },
    };
    let payload = postcard::to_stdvec(&Envelope::V1(part)).expect("our types have known lengths");
    frame::encode(&payload, out);
}

/// The part that the payload of a frame is; `at` is where the frame begins in the file.
pub(super) fn decode(payload: &[u8], at: u64) -> Result<Part, BackupError> {
    let malformed = || BackupError::Malformed { at };
    match payload.first() {
        Some(0) => {}
        Some(index) => return Err(BackupError::Version(u32::from(*index) + 1)),
        None => return Err(malformed()),
    }
    let (Envelope::V1(part), rest) = postcard::take_from_bytes(payload).map_err(|_| malformed())?;
    if !rest.is_empty() {
        return Err(malformed());
    }
    Ok(match part {
        PartV1::Header {
            taken_ms,
            cluster,
            program,
            version,
            tasks,
        } => Part::Header(Header {
            taken: Timestamp(taken_ms),
            cluster,
            program,
            version,
            tasks,
        }),
        PartV1::End { chunks, sum } => Part::End { chunks, sum },
    })
}
