//! The tokens of JSON, with their places.

use super::text;
use crate::thrift::error::ThriftError;
use crate::thrift::value::{MAX_DEPTH, Read};

/// Reads tokens one after the other; space between them is passed over.
pub struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// A reader of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next byte's offset.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// An error at the next byte.
    pub fn error(&self, reason: impl Into<String>) -> ThriftError {
        ThriftError::new(self.at, reason)
    }

    /// The first byte of the next token.
    pub fn peek(&mut self) -> Read<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
        match self.bytes.get(self.at) {
            Some(byte) => Ok(*byte),
            None => Err(self.error("input ends inside a value")),
        }
    }

    /// Checks that nothing is left.
    pub fn end(&mut self) -> Read<()> {
        if self.peek().is_ok() {
            return Err(self.error("bytes after the end of the message"));
        }
        Ok(())
    }

    /// Passes over the token `byte`, which must be next.
    pub fn expect(&mut self, byte: u8) -> Read<()> {
        let found = self.peek()?;
        if found != byte {
            let (expected, found) = (char::from(byte), char::from(found).escape_default());
            return Err(self.error(format!("expected '{expected}', found '{found}'")));
        }
        self.at += 1;
        Ok(())
    }

    /// Passes over the token `byte` if it is next.
    pub fn accept(&mut self, byte: u8) -> Read<bool> {
        let found = self.peek()? == byte;
        self.at += usize::from(found);
        Ok(found)
    }

    /// A string.
    pub fn string(&mut self) -> Read<String> {
        self.expect(b'"')?;
        let start = self.at;
        let plain = self.bytes[start..]
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        let Some(plain) = plain else {
            self.at = self.bytes.len();
            return Err(self.error("input ends inside a string"));
        };
        self.at += plain;
        let mut text = self.bytes[start..self.at].to_vec();
        while !self.string_end(&mut text)? {}
        text::utf8(start, &text)
    }

    /// Takes what is next in a string; true after its end.
    fn string_end(&mut self, text: &mut Vec<u8>) -> Read<bool> {
        let Some(byte) = self.bytes.get(self.at).copied() else {
            return Err(self.error("input ends inside a string"));
        };
        self.at += 1;
        match byte {
            b'"' => return Ok(true),
            b'\\' => self.escape(text)?,
            // JSON forbids a bare control character, but some writers do not care.
            byte => text.push(byte),
        }
        Ok(false)
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Read<()> {
        let Some(byte) = self.bytes.get(self.at).copied() else {
            return Err(self.error("input ends inside a string"));
        };
        self.at += 1;
        match byte {
            b'"' | b'\\' | b'/' => text.push(byte),
            b'b' => text.push(8),
            b'f' => text.push(12),
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'u' => {
                let unit = self.hex4()?;
                let code = match unit {
                    0xd800..0xdc00 => self.low_surrogate(unit)?,
                    _ => u32::from(unit),
                };
                let character = char::from_u32(code)
                    .ok_or_else(|| self.error("half of a surrogate pair in a string"))?;
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => {
                self.at -= 1;
                return Err(self.error("unknown escape in a string"));
            }
        }
        Ok(())
    }

    fn low_surrogate(&mut self, high: u16) -> Read<u32> {
        if !self.bytes[self.at..].starts_with(b"\\u") {
            return Err(self.error("half of a surrogate pair in a string"));
        }
        self.at += 2;
        let low = self.hex4()?;
        if !(0xdc00..0xe000).contains(&low) {
            return Err(self.error("half of a surrogate pair in a string"));
        }
        Ok(0x1_0000 + ((u32::from(high) - 0xd800) << 10) + (u32::from(low) - 0xdc00))
    }

    fn hex4(&mut self) -> Read<u16> {
        let digits = self.bytes.get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let number = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u16::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.error("expected four hexadecimal digits"))?;
        self.at += 4;
        Ok(number)
    }

    /// The text of a number, not checked beyond its characters.
    fn number(&mut self) -> Read<(usize, &'a str)> {
        self.peek()?;
        let start = self.at;
        let rest = &self.bytes[start..];
        let len = rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .unwrap_or(rest.len());
        if len == 0 {
            return Err(self.error("expected a number"));
        }
        self.at += len;
        let text = std::str::from_utf8(&rest[..len]).expect("the characters of numbers are ASCII");
        Ok((start, text))
    }

    /// A whole number.
    pub fn integer(&mut self) -> Read<i64> {
        let (start, text) = self.number()?;
        text.parse().map_err(|_| {
            ThriftError::new(start, "not a whole number of at most 64 bits".to_owned())
        })
    }

    /// A number with a fraction, or the name of one that JSON cannot write.
    pub fn double(&mut self) -> Read<f64> {
        if self.peek()? == b'"' {
            let start = self.at;
            return match self.string()?.as_str() {
                "NaN" => Ok(f64::NAN),
                "Infinity" => Ok(f64::INFINITY),
                "-Infinity" => Ok(f64::NEG_INFINITY),
                _ => Err(ThriftError::new(start, "expected a number")),
            };
        }
        let (start, text) = self.number()?;
        text.parse()
            .map_err(|_| ThriftError::new(start, "expected a number"))
    }

    /// Passes over `word` (`true`, `false`, `null`) if it is next.
    pub fn accept_word(&mut self, word: &str) -> Read<bool> {
        self.peek()?;
        let found = self.bytes[self.at..].starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        Ok(found)
    }

    /// Passes over a value of any form, at most [`MAX_DEPTH`] levels deep, `depth` of which are used.
    pub fn skip(&mut self, depth: usize) -> Read<()> {
        let first = self.peek()?;
        let close = match first {
            b'{' => b'}',
            b'[' => b']',
            b'"' => return self.string().map(drop),
            b't' | b'f' | b'n' => {
                for word in ["true", "false", "null"] {
                    if self.accept_word(word)? {
                        return Ok(());
                    }
                }
                return Err(self.error("expected a value"));
            }
            _ => return self.number().map(drop),
        };
        // Thrift's JSON puts a field and its type in two objects, so a level of its takes two of these.
        if depth > 2 * MAX_DEPTH {
            return Err(self.error(format!("more than {MAX_DEPTH} levels")));
        }
        self.at += 1;
        if self.accept(close)? {
            return Ok(());
        }
        loop {
            if first == b'{' {
                self.string()?;
                self.expect(b':')?;
            }
            self.skip(depth + 1)?;
            if self.accept(close)? {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }
}
