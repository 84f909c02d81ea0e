//! Frames: a length, a CRC-32C and that many bytes.
//!
//! The one framing of everything that is ours: peers, agents, checkpoints, stored entries.
//! Layout: `u32` length of the payload, `u32` CRC-32C of the payload, both little-endian, payload.

use thiserror::Error;

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 8;

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The length field is over the limit of the reader.
    #[error("frame of {length} bytes is over the limit of {limit} at byte {offset}")]
    TooLong {
        /// What the frame claims.
        length: usize,
        /// What the reader allows.
        limit: usize,
        /// Where the frame starts.
        offset: usize,
    },
    /// The payload does not match its checksum.
    #[error("frame at byte {offset} does not match its checksum")]
    Checksum {
        /// Where the frame starts.
        offset: usize,
    },
}

/// The CRC-32C of bytes.
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// The CRC-32C of what has `sum` with `bytes` behind it.
pub fn checksum_on(sum: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(sum, bytes)
}

/// Appends `payload` as one frame to `out`.
///
/// # Panics
///
/// If the payload is over 4 GiB: callers bound what they send.
pub fn encode(payload: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).expect("payloads are bounded by their makers");
    out.reserve(HEADER_BYTES + payload.len());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&checksum(payload).to_le_bytes());
    out.extend_from_slice(payload);
}

/// Appends what `fill` appends to `out` as the payload of one frame: without a copy of its own.
///
/// # Panics
///
/// As [`encode`], and if `fill` takes something away.
pub fn encode_with(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.resize(start + HEADER_BYTES, 0);
    fill(out);
    let (header, payload) = out[start..].split_at_mut(HEADER_BYTES);
    let length = u32::try_from(payload.len()).expect("payloads are bounded by their makers");
    let (length_at, checksum_at) = header.split_at_mut(4);
    length_at.copy_from_slice(&length.to_le_bytes());
    checksum_at.copy_from_slice(&checksum(payload).to_le_bytes());
}

/// Reads the frame that starts at `offset` of `bytes`.
///
/// Returns its payload and the offset behind it, or `None` while the frame is not complete.
///
/// # Errors
///
/// A length over `limit`, or a checksum that does not match.
pub fn decode(
    bytes: &[u8],
    offset: usize,
    limit: usize,
) -> Result<Option<(&[u8], usize)>, FrameError> {
    let Some(header) = bytes.get(offset..offset + HEADER_BYTES) else {
        return Ok(None);
    };
    let word = |at: usize| {
        let mut word = [0; 4];
        word.copy_from_slice(&header[at..at + 4]);
        u32::from_le_bytes(word)
    };
    let length = word(0) as usize;
    if length > limit {
        return Err(FrameError::TooLong {
            length,
            limit,
            offset,
        });
    }
    let start = offset + HEADER_BYTES;
    let Some(payload) = bytes.get(start..start + length) else {
        return Ok(None);
    };
    if checksum(payload) != word(4) {
        return Err(FrameError::Checksum { offset });
    }
    Ok(Some((payload, start + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_one_by_one() {
        let mut bytes = Vec::new();
        encode(b"one", &mut bytes);
        encode(b"", &mut bytes);
        let (first, next) = decode(&bytes, 0, 10).unwrap().unwrap();
        assert_eq!(first, b"one");
        let (second, end) = decode(&bytes, next, 10).unwrap().unwrap();
        assert!(second.is_empty());
        assert_eq!(end, bytes.len());
        assert_eq!(decode(&bytes, end, 10), Ok(None));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let mut bytes = Vec::new();
        encode(b"payload", &mut bytes);
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut], 0, 100), Ok(None));
        }
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !matches!(decode(&bad, 0, 100), Ok(Some((b"payload", _)))),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn a_huge_length_is_refused_before_anything_is_allocated() {
        let bytes = [0xff; 16];
        assert!(matches!(
            decode(&bytes, 0, 1024),
            Err(FrameError::TooLong { .. })
        ));
    }
}
