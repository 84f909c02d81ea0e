//! The binary protocol: big-endian, fixed widths.

use super::frames::{Frames, same_kind};
use crate::thrift::error::ThriftError;
use crate::thrift::value::{FieldHead, FieldInfo, Input, Kind, MAX_DEPTH, Output, Read};

const VERSION_1: u32 = 0x8001_0000;
const VERSION_MASK: u32 = 0xffff_0000;
const STOP: u8 = 0;

/// Bytes, as the length prefix of strings and collections has them.
fn length(len: usize) -> [u8; 4] {
    i32::try_from(len)
        .expect("values are far below 2 GiB")
        .to_be_bytes()
}

/// Writes values in the binary protocol.
#[derive(Default)]
pub struct BinaryOutput {
    bytes: Vec<u8>,
}

impl BinaryOutput {
    /// Nothing written yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes the head of a message, in the strict form.
    pub fn message_begin(&mut self, name: &str, kind: u8, seqid: i32) {
        let version = VERSION_1 | u32::from(kind);
        self.bytes.extend_from_slice(&version.to_be_bytes());
        self.string(name);
        self.bytes.extend_from_slice(&seqid.to_be_bytes());
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Output for BinaryOutput {
    fn struct_begin(&mut self) {}

    fn struct_end(&mut self) {
        self.bytes.push(STOP);
    }

    fn field_begin(&mut self, id: i16, _: &'static str, kind: Kind) {
        self.bytes.push(kind as u8);
        self.bytes.extend_from_slice(&id.to_be_bytes());
    }

    fn field_end(&mut self) {}

    fn seq_begin(&mut self, _: Kind, element: Kind, len: usize) {
        self.bytes.push(element as u8);
        self.bytes.extend_from_slice(&length(len));
    }

    fn seq_element(&mut self) {}

    fn seq_end(&mut self) {}

    fn map_begin(&mut self, value: Kind, len: usize) {
        self.bytes.push(Kind::String as u8);
        self.bytes.push(value as u8);
        self.bytes.extend_from_slice(&length(len));
    }

    fn map_key(&mut self, key: &str) {
        self.string(key);
    }

    fn map_end(&mut self) {}

    fn bool(&mut self, value: bool) {
        self.bytes.push(u8::from(value));
    }

    fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn double(&mut self, value: f64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn string(&mut self, value: &str) {
        self.bytes.extend_from_slice(&length(value.len()));
        self.bytes.extend_from_slice(value.as_bytes());
    }

    fn member(&mut self, _: &'static str, number: i32) {
        self.i32(number);
    }
}

enum Frame {
    Struct,
    Elements(usize),
}

/// Reads values in the binary protocol.
pub struct BinaryInput<'a> {
    bytes: &'a [u8],
    at: usize,
    frames: Frames<Frame>,
}

impl<'a> BinaryInput<'a> {
    /// A reader of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            frames: Frames::new(bytes.len()),
        }
    }

    /// Reads the head of a message, strict or old: name, kind, sequence number.
    ///
    /// # Errors
    ///
    /// When the bytes are no such head.
    pub fn message_begin(&mut self) -> Read<(String, u8, i32)> {
        let first = u32::from_be_bytes(self.array()?);
        if first & 0x8000_0000 == 0 {
            self.at = 0;
            let name = self.string()?;
            let [kind] = self.array()?;
            return Ok((name, kind, self.i32()?));
        }
        if first & VERSION_MASK != VERSION_1 {
            return Err(ThriftError::new(0, "not a message of the binary protocol"));
        }
        let kind = (first & 0xff) as u8;
        Ok((self.string()?, kind, self.i32()?))
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    ///
    /// When bytes are left.
    pub fn end(&self) -> Read<()> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(self.error("bytes after the end of the message"))
        }
    }

    fn error(&self, reason: impl Into<String>) -> ThriftError {
        ThriftError::new(self.at, reason)
    }

    fn take(&mut self, len: usize) -> Read<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        if len > rest.len() {
            return Err(self.error("input ends inside a value"));
        }
        self.at += len;
        Ok(&rest[..len])
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("take gives the length asked for"))
    }

    fn kind(&mut self) -> Read<Kind> {
        let [number] = self.array()?;
        Kind::from_number(number)
            .ok_or_else(|| ThriftError::new(self.at - 1, format!("unknown type {number}")))
    }

    /// A count of things of which each takes at least `least` bytes.
    fn count(&mut self, least: usize) -> Read<usize> {
        let start = self.at;
        let claimed = i32::from_be_bytes(self.array()?);
        let count = usize::try_from(claimed)
            .map_err(|_| ThriftError::new(start, format!("negative length {claimed}")))?;
        if count.saturating_mul(least) > self.bytes.len() - self.at {
            let reason = format!("length {count} is more than the rest of the input holds");
            return Err(ThriftError::new(start, reason));
        }
        Ok(count)
    }

    fn skip_at(&mut self, kind: Kind, depth: usize) -> Read<()> {
        if depth > MAX_DEPTH {
            return Err(self.error(format!("more than {MAX_DEPTH} levels")));
        }
        match kind {
            Kind::Bool | Kind::Byte => self.take(1).map(drop),
            Kind::I16 => self.take(2).map(drop),
            Kind::I32 => self.take(4).map(drop),
            Kind::I64 | Kind::Double => self.take(8).map(drop),
            Kind::String => {
                let len = self.count(1)?;
                self.take(len).map(drop)
            }
            Kind::Struct => {
                while let Some((kind, _)) = self.field_head()? {
                    self.skip_at(kind, depth + 1)?;
                }
                Ok(())
            }
            Kind::Map => {
                let (key, value, count) = self.map_head()?;
                for _ in 0..count {
                    self.skip_at(key, depth + 1)?;
                    self.skip_at(value, depth + 1)?;
                }
                Ok(())
            }
            Kind::Set | Kind::List => {
                let (element, count) = self.seq_head()?;
                for _ in 0..count {
                    self.skip_at(element, depth + 1)?;
                }
                Ok(())
            }
        }
    }

    fn field_head(&mut self) -> Read<Option<(Kind, i16)>> {
        if self.bytes.get(self.at) == Some(&STOP) {
            self.at += 1;
            return Ok(None);
        }
        let kind = self.kind()?;
        Ok(Some((kind, i16::from_be_bytes(self.array()?))))
    }

    /// The element type of an empty collection means nothing and may be anything.
    fn seq_head(&mut self) -> Read<(Kind, usize)> {
        let [number] = self.array()?;
        let place = self.at - 1;
        let count = self.count(1)?;
        match Kind::from_number(number) {
            Some(kind) => Ok((kind, count)),
            None if count == 0 => Ok((Kind::Byte, 0)),
            None => Err(ThriftError::new(place, format!("unknown type {number}"))),
        }
    }

    fn map_head(&mut self) -> Read<(Kind, Kind, usize)> {
        let [key, value] = self.array()?;
        let place = self.at - 2;
        let count = self.count(2)?;
        match (Kind::from_number(key), Kind::from_number(value)) {
            (Some(key), Some(value)) => Ok((key, value, count)),
            _ if count == 0 => Ok((Kind::Byte, Kind::Byte, 0)),
            _ => Err(ThriftError::new(
                place,
                format!("unknown types {key}, {value}"),
            )),
        }
    }
}

impl Input for BinaryInput<'_> {
    fn offset(&self) -> usize {
        self.at
    }

    fn struct_begin(&mut self) -> Read<()> {
        self.frames.push(self.at, Frame::Struct)
    }

    fn field_begin(&mut self, _: &'static [FieldInfo]) -> Read<Option<FieldHead>> {
        let head = self.field_head()?;
        if head.is_none() {
            self.frames.pop();
        }
        Ok(head.map(|(kind, id)| FieldHead {
            id: Some(id),
            kind: Some(kind),
        }))
    }

    fn field_end(&mut self) -> Read<()> {
        Ok(())
    }

    fn seq_begin(&mut self, element: Kind) -> Read<()> {
        let start = self.at;
        let (found, count) = self.seq_head()?;
        if count > 0 {
            same_kind(start, element, found)?;
        }
        self.frames.push(start, Frame::Elements(count))
    }

    fn seq_next(&mut self) -> Read<bool> {
        if let Frame::Elements(left) = self.frames.top()
            && *left > 0
        {
            *left -= 1;
            return Ok(true);
        }
        self.frames.pop();
        Ok(false)
    }

    fn map_begin(&mut self, value: Kind) -> Read<()> {
        let start = self.at;
        let (key, found, count) = self.map_head()?;
        if count > 0 {
            same_kind(start, Kind::String, key)?;
            same_kind(start, value, found)?;
        }
        self.frames.push(start, Frame::Elements(count))
    }

    fn map_next(&mut self) -> Read<Option<String>> {
        if self.seq_next()? {
            self.string().map(Some)
        } else {
            Ok(None)
        }
    }

    fn bool(&mut self) -> Read<bool> {
        let [byte] = self.array()?;
        Ok(byte != 0)
    }

    fn i32(&mut self) -> Read<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Read<i64> {
        self.array().map(i64::from_be_bytes)
    }

    fn double(&mut self) -> Read<f64> {
        self.array().map(f64::from_be_bytes)
    }

    fn string(&mut self) -> Read<String> {
        let len = self.count(1)?;
        let start = self.at;
        let bytes = self.take(len)?;
        super::text::utf8(start, bytes)
    }

    fn member(&mut self, _: &'static [(&'static str, i32)]) -> Read<Option<i32>> {
        self.i32().map(Some)
    }

    fn skip(&mut self, kind: Option<Kind>) -> Read<()> {
        let kind = kind.ok_or_else(|| self.error("field without a type"))?;
        self.skip_at(kind, self.frames.depth())
    }

    fn charge(&mut self, bytes: usize) -> Read<()> {
        self.frames.charge(self.at, bytes)
    }
}
