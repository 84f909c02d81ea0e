//! The chunked transfer coding, decoded as its bytes arrive.

/// A chunk's size line may be this long, extensions included.
const SIZE_LINE_MAX: usize = 256;
/// All trailer lines together may be this long. They are checked and thrown away.
const TRAILER_MAX: usize = 8 * 1024;

/// Why a chunked body is refused. `at` counts bytes of the coded body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// Not a chunk.
    #[error("malformed chunk at byte {at}")]
    Malformed {
        /// The offending byte.
        at: u64,
    },
    /// Larger than the caller's limit.
    #[error("chunked body larger than {max} bytes at byte {at}")]
    TooLarge {
        /// The size line that goes beyond.
        at: u64,
        /// The limit.
        max: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the digits, or the extension after them, of a size line.
    Size {
        digits: u8,
        size: u64,
        len: usize,
        extension: bool,
        cr: bool,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// In the trailer; `line` bytes into the current line.
    Trailer {
        line: usize,
        total: usize,
        cr: bool,
    },
    Done,
}

const SIZE_START: State = State::Size {
    digits: 0,
    size: 0,
    len: 0,
    extension: false,
    cr: false,
};

/// A decoder for one body. Feed it until it is done.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    at: u64,
    decoded: u64,
    max: usize,
}

impl Decoder {
    /// A decoder that refuses bodies of more than `max` bytes.
    pub const fn new(max: usize) -> Self {
        Self {
            state: SIZE_START,
            at: 0,
            decoded: 0,
            max,
        }
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Decodes from `input`, appends to `out` and gives how many bytes it took: all of them, unless
    /// the body ends before.
    ///
    /// # Errors
    ///
    /// [`ChunkError`]; the decoder must not be used after.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, ChunkError> {
        let mut taken = 0;
        while taken < input.len() && self.state != State::Done {
            if let State::Data { left } = self.state {
                let rest = input.len() - taken;
                let count = usize::try_from(left).map_or(rest, |left| left.min(rest));
                out.extend_from_slice(&input[taken..taken + count]);
                let left = left - count as u64;
                self.state = if left == 0 {
                    State::DataCr
                } else {
                    State::Data { left }
                };
                taken += count;
                self.at += count as u64;
            } else {
                self.state = self.step(input[taken])?;
                taken += 1;
                self.at += 1;
            }
        }
        Ok(taken)
    }

    fn step(&mut self, byte: u8) -> Result<State, ChunkError> {
        let malformed = Err(ChunkError::Malformed { at: self.at });
        match self.state {
            State::Size {
                digits,
                size,
                cr: true,
                ..
            } => {
                if byte != b'\n' || digits == 0 {
                    return malformed;
                }
                self.begin_chunk(size)
            }
            State::Size {
                digits,
                size,
                len,
                extension,
                cr: false,
            } => {
                if len >= SIZE_LINE_MAX {
                    return malformed;
                }
                let len = len + 1;
                match byte {
                    b'\r' => Ok(State::Size {
                        digits,
                        size,
                        len,
                        extension,
                        cr: true,
                    }),
                    b';' | b' ' | b'\t' if digits > 0 => Ok(State::Size {
                        digits,
                        size,
                        len,
                        extension: true,
                        cr: false,
                    }),
                    b'\n' => malformed,
                    _ if extension => Ok(State::Size {
                        digits,
                        size,
                        len,
                        extension,
                        cr: false,
                    }),
                    _ => match char::from(byte).to_digit(16) {
                        // Sixteen digits are 64 bits.
                        Some(value) if digits < 16 => Ok(State::Size {
                            digits: digits + 1,
                            size: size << 4 | u64::from(value),
                            len,
                            extension,
                            cr: false,
                        }),
                        _ => malformed,
                    },
                }
            }
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => Ok(SIZE_START),
            State::DataCr | State::DataLf => malformed,
            State::Trailer { line, total, cr } => {
                trailer(byte, line, total, cr).map_or(malformed, Ok)
            }
            State::Data { .. } | State::Done => Ok(self.state),
        }
    }

    fn begin_chunk(&mut self, size: u64) -> Result<State, ChunkError> {
        if size == 0 {
            return Ok(State::Trailer {
                line: 0,
                total: 0,
                cr: false,
            });
        }
        self.decoded = self.decoded.saturating_add(size);
        if self.decoded > self.max as u64 {
            return Err(ChunkError::TooLarge {
                at: self.at,
                max: self.max,
            });
        }
        Ok(State::Data { left: size })
    }
}

fn trailer(byte: u8, line: usize, total: usize, cr: bool) -> Option<State> {
    if total >= TRAILER_MAX {
        return None;
    }
    let total = total + 1;
    match (byte, cr) {
        (b'\n', true) if line == 0 => Some(State::Done),
        (b'\n', true) => Some(State::Trailer {
            line: 0,
            total,
            cr: false,
        }),
        (b'\n', false) | (_, true) => None,
        (b'\r', false) => Some(State::Trailer {
            line,
            total,
            cr: true,
        }),
        (_, false) => Some(State::Trailer {
            line: line + 1,
            total,
            cr: false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_all(input: &[u8], step: usize, max: usize) -> Result<(Vec<u8>, usize), ChunkError> {
        let mut decoder = Decoder::new(max);
        let mut out = Vec::new();
        let mut taken = 0;
        for piece in input.chunks(step) {
            taken += decoder.decode(piece, &mut out)?;
            if decoder.is_done() {
                return Ok((out, taken));
            }
        }
        panic!("the body does not end");
    }

    #[test]
    fn chunks_decode_however_they_are_cut() {
        let coded = b"5\r\nhello\r\n6;name=\"v\"\r\n world\r\n0\r\nx-sum: 1\r\n\r\nGET /";
        for step in 1..coded.len() {
            let (body, taken) = decode_all(coded, step, 100).unwrap();
            assert_eq!(body, b"hello world");
            assert_eq!(taken, coded.len() - 5, "what follows is left alone");
        }
    }

    #[test]
    fn bad_chunks_are_refused_with_their_place() {
        for (coded, place) in [
            (&b"x\r\n"[..], 0),
            (b"\r\n", 1),
            (b"5\nhello", 1),
            (b"5\r\nhelloX", 8),
            (b"5\r\nhello\rX", 9),
            (b"-1\r\n", 0),
            (b"0x5\r\n", 1),
            (b"11111111111111111\r\n", 16),
            (b"0\r\n\n", 3),
            (b"0\r\na\rb", 5),
        ] {
            let error = decode_all(coded, 1, 1000).unwrap_err();
            assert_eq!(error, ChunkError::Malformed { at: place }, "{coded:?}");
        }
    }

    #[test]
    fn sizes_beyond_the_limit_are_refused_before_their_data() {
        let error = decode_all(b"ffffffffffffffff\r\n", 100, 1000).unwrap_err();
        assert_eq!(error, ChunkError::TooLarge { at: 17, max: 1000 });
        assert!(decode_all(b"3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n", 100, 5).is_err());
        assert!(decode_all(b"3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n", 100, 6).is_ok());
    }

    #[test]
    fn size_lines_and_trailers_are_bounded() {
        let mut long = b"1;".to_vec();
        long.extend(std::iter::repeat_n(b'x', SIZE_LINE_MAX));
        let mut out = Vec::new();
        assert!(Decoder::new(10).decode(&long, &mut out).is_err());
        let mut trailer = b"0\r\n".to_vec();
        for _ in 0..TRAILER_MAX {
            trailer.extend_from_slice(b"a: b\r\n");
        }
        assert!(Decoder::new(10).decode(&trailer, &mut out).is_err());
    }
}
