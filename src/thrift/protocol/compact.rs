//! The compact protocol: variable-length numbers, field numbers as differences.

use super::frames::{Frames, same_kind};
use crate::thrift::error::ThriftError;
use crate::thrift::value::{FieldHead, FieldInfo, Input, Kind, MAX_DEPTH, Output, Read};

const PROTOCOL_ID: u8 = 0x82;
const VERSION: u8 = 1;
const STOP: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;

const fn type_number(kind: Kind) -> u8 {
    match kind {
        Kind::Bool => TRUE,
        Kind::Byte => 3,
        Kind::I16 => 4,
        Kind::I32 => 5,
        Kind::I64 => 6,
        Kind::Double => 7,
        Kind::String => 8,
        Kind::List => 9,
        Kind::Set => 10,
        Kind::Map => 11,
        Kind::Struct => 12,
    }
}

const fn kind_of(number: u8) -> Option<Kind> {
    Some(match number {
        TRUE | FALSE => Kind::Bool,
        3 => Kind::Byte,
        4 => Kind::I16,
        5 => Kind::I32,
        6 => Kind::I64,
        7 => Kind::Double,
        8 => Kind::String,
        9 => Kind::List,
        10 => Kind::Set,
        11 => Kind::Map,
        12 => Kind::Struct,
        _ => return None,
    })
}

/// Writes values in the compact protocol.
#[derive(Default)]
pub struct CompactOutput {
    bytes: Vec<u8>,
    /// The last field's number, of each open struct.
    last_ids: Vec<i16>,
    /// A boolean field whose head waits for its value, which it contains.
    waiting_bool: Option<i16>,
}

impl CompactOutput {
    /// Nothing written yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes the head of a message.
    pub fn message_begin(&mut self, name: &str, kind: u8, seqid: i32) {
        self.bytes.push(PROTOCOL_ID);
        self.bytes.push(VERSION | (kind << 5));
        self.varint(u64::from(seqid.cast_unsigned()));
        self.string(name);
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn head(&mut self, id: i16, number: u8) {
        let last = self.last_ids.last_mut();
        let delta = last.as_ref().map_or(0, |last| id.wrapping_sub(**last));
        if let Some(last) = last {
            *last = id;
        }
        match u8::try_from(delta) {
            Ok(delta @ 1..=15) => self.bytes.push((delta << 4) | number),
            _ => {
                self.bytes.push(number);
                self.i32(i32::from(id));
            }
        }
    }
}

impl Output for CompactOutput {
    fn struct_begin(&mut self) {
        self.last_ids.push(0);
    }

    fn struct_end(&mut self) {
        self.last_ids.pop();
        self.bytes.push(STOP);
    }

    fn field_begin(&mut self, id: i16, _: &'static str, kind: Kind) {
        if kind == Kind::Bool {
            self.waiting_bool = Some(id);
        } else {
            self.head(id, type_number(kind));
        }
    }

    fn field_end(&mut self) {}

    fn seq_begin(&mut self, _: Kind, element: Kind, len: usize) {
        let number = type_number(element);
        match u8::try_from(len) {
            Ok(len @ 0..15) => self.bytes.push((len << 4) | number),
            _ => {
                self.bytes.push(0xf0 | number);
                self.varint(len as u64);
            }
        }
    }

    fn seq_element(&mut self) {}

    fn seq_end(&mut self) {}

    fn map_begin(&mut self, value: Kind, len: usize) {
        self.varint(len as u64);
        if len > 0 {
            let kinds = (type_number(Kind::String) << 4) | type_number(value);
            self.bytes.push(kinds);
        }
    }

    fn map_key(&mut self, key: &str) {
        self.string(key);
    }

    fn map_end(&mut self) {}

    fn bool(&mut self, value: bool) {
        let number = if value { TRUE } else { FALSE };
        match self.waiting_bool.take() {
            Some(id) => self.head(id, number),
            None => self.bytes.push(number),
        }
    }

    fn i32(&mut self, value: i32) {
        self.i64(i64::from(value));
    }

    fn i64(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    fn double(&mut self, value: f64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn string(&mut self, value: &str) {
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value.as_bytes());
    }

    fn member(&mut self, _: &'static str, number: i32) {
        self.i32(number);
    }
}

enum Frame {
    /// The number of the last field.
    Struct(i16),
    Elements(usize),
}

/// Reads values in the compact protocol.
pub struct CompactInput<'a> {
    bytes: &'a [u8],
    at: usize,
    frames: Frames<Frame>,
    /// The value of a boolean field, read with its head.
    waiting_bool: Option<bool>,
}

impl<'a> CompactInput<'a> {
    /// A reader of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            frames: Frames::new(bytes.len()),
            waiting_bool: None,
        }
    }

    /// Reads the head of a message: name, kind, sequence number.
    ///
    /// # Errors
    ///
    /// When the bytes are no such head.
    pub fn message_begin(&mut self) -> Read<(String, u8, i32)> {
        let (id, version) = (self.byte()?, self.byte()?);
        if id != PROTOCOL_ID || version & 0x1f != VERSION {
            return Err(ThriftError::new(0, "not a message of the compact protocol"));
        }
        let start = self.at;
        let seqid = u32::try_from(self.varint()?)
            .map_err(|_| ThriftError::new(start, "number is out of range"))?;
        let name = self.string()?;
        Ok((name, version >> 5, seqid.cast_signed()))
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

    fn byte(&mut self) -> Read<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn varint(&mut self) -> Read<u64> {
        let start = self.at;
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ThriftError::new(start, "number is longer than 64 bits"))
    }

    fn zigzag(&mut self) -> Read<i64> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// A count of things of which each takes at least `least` bytes.
    fn count(&mut self, least: usize) -> Read<usize> {
        let start = self.at;
        let count = self.varint()?;
        self.counted(start, count, least)
    }

    fn counted(&self, start: usize, count: u64, least: usize) -> Read<usize> {
        let rest = self.bytes.len() - self.at;
        match usize::try_from(count) {
            Ok(count) if count.saturating_mul(least) <= rest => Ok(count),
            _ => {
                let reason = format!("length {count} is more than the rest of the input holds");
                Err(ThriftError::new(start, reason))
            }
        }
    }

    /// The head of the next field; `last` is the number of the one before.
    fn field_head(&mut self, last: i16) -> Read<Option<(Kind, i16)>> {
        let start = self.at;
        let head = self.byte()?;
        let (delta, number) = (head >> 4, head & 0x0f);
        if number == STOP {
            return Ok(None);
        }
        let kind = kind_of(number)
            .ok_or_else(|| ThriftError::new(start, format!("unknown type {number}")))?;
        let id = match delta {
            0 => i16::try_from(self.zigzag()?).ok(),
            _ => last.checked_add(i16::from(delta)),
        };
        let id = id.ok_or_else(|| ThriftError::new(start, "field number is out of range"))?;
        if kind == Kind::Bool {
            self.waiting_bool = Some(number == TRUE);
        }
        Ok(Some((kind, id)))
    }

    fn seq_head(&mut self) -> Read<(Kind, usize)> {
        let start = self.at;
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            short => u64::from(short),
        };
        let count = self.counted(start, count, 1)?;
        match kind_of(head & 0x0f) {
            Some(kind) => Ok((kind, count)),
            None if count == 0 => Ok((Kind::Byte, 0)),
            None => Err(ThriftError::new(
                start,
                format!("unknown type {}", head & 0x0f),
            )),
        }
    }

    fn map_head(&mut self) -> Read<(Kind, Kind, usize)> {
        let start = self.at;
        let count = self.count(2)?;
        if count == 0 {
            return Ok((Kind::Byte, Kind::Byte, 0));
        }
        let kinds = self.byte()?;
        match (kind_of(kinds >> 4), kind_of(kinds & 0x0f)) {
            (Some(key), Some(value)) => Ok((key, value, count)),
            _ => Err(ThriftError::new(
                start,
                format!("unknown types {kinds:#04x}"),
            )),
        }
    }

    fn skip_at(&mut self, kind: Kind, depth: usize) -> Read<()> {
        if depth > MAX_DEPTH {
            return Err(self.error(format!("more than {MAX_DEPTH} levels")));
        }
        match kind {
            Kind::Bool => self.bool().map(drop),
            Kind::Byte => self.take(1).map(drop),
            Kind::I16 | Kind::I32 | Kind::I64 => self.varint().map(drop),
            Kind::Double => self.take(8).map(drop),
            Kind::String => {
                let len = self.count(1)?;
                self.take(len).map(drop)
            }
            Kind::Struct => {
                let mut last = 0;
                while let Some((kind, id)) = self.field_head(last)? {
                    last = id;
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
}

impl Input for CompactInput<'_> {
    fn offset(&self) -> usize {
        self.at
    }

    fn struct_begin(&mut self) -> Read<()> {
        self.frames.push(self.at, Frame::Struct(0))
    }

    fn field_begin(&mut self, _: &'static [FieldInfo]) -> Read<Option<FieldHead>> {
        let last = match self.frames.top() {
            Frame::Struct(last) => *last,
            Frame::Elements(_) => 0,
        };
        let head = self.field_head(last)?;
        match head {
            Some((_, id)) => *self.frames.top() = Frame::Struct(id),
            None => self.frames.pop(),
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
        match self.waiting_bool.take() {
            Some(value) => Ok(value),
            None => Ok(self.byte()? == TRUE),
        }
    }

    fn i32(&mut self) -> Read<i32> {
        let start = self.at;
        i32::try_from(self.zigzag()?).map_err(|_| ThriftError::new(start, "number is out of range"))
    }

    fn i64(&mut self) -> Read<i64> {
        self.zigzag()
    }

    fn double(&mut self) -> Read<f64> {
        let bytes = self.take(8)?;
        let bytes = bytes.try_into().expect("take gives the length asked for");
        Ok(f64::from_le_bytes(bytes))
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
