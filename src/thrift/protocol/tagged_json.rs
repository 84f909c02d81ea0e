//! Thrift's own JSON: field numbers for names, and a tag before each value.

use super::frames::{Frames, same_kind};
use super::scanner::Scanner;
use super::text;
use crate::thrift::error::ThriftError;
use crate::thrift::value::{FieldHead, FieldInfo, Input, Kind, Output, Read};

const VERSION: i64 = 1;

const fn tag(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "tf",
        Kind::Byte => "i8",
        Kind::I16 => "i16",
        Kind::I32 => "i32",
        Kind::I64 => "i64",
        Kind::Double => "dbl",
        Kind::String => "str",
        Kind::Struct => "rec",
        Kind::Map => "map",
        Kind::Set => "set",
        Kind::List => "lst",
    }
}

fn kind_of(tag: &str) -> Option<Kind> {
    Some(match tag {
        "tf" => Kind::Bool,
        "i8" => Kind::Byte,
        "i16" => Kind::I16,
        "i32" => Kind::I32,
        "i64" => Kind::I64,
        "dbl" => Kind::Double,
        "str" => Kind::String,
        "rec" => Kind::Struct,
        "map" => Kind::Map,
        "set" => Kind::Set,
        "lst" => Kind::List,
        _ => return None,
    })
}

/// Writes values in Thrift's JSON.
#[derive(Default)]
pub struct TaggedJsonOutput {
    bytes: Vec<u8>,
    /// A field or key came before in the innermost object.
    comma: bool,
}

impl TaggedJsonOutput {
    /// Nothing written yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes the head of a message; [`TaggedJsonOutput::message_end`] closes it.
    pub fn message_begin(&mut self, name: &str, kind: u8, seqid: i32) {
        self.text(&format!("[{VERSION},"));
        self.string(name);
        self.text(&format!(",{kind},{seqid},"));
    }

    /// Closes a message.
    pub fn message_end(&mut self) {
        self.text("]");
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn text(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn separate(&mut self) {
        if self.comma {
            self.text(",");
        }
    }
}

impl Output for TaggedJsonOutput {
    fn struct_begin(&mut self) {
        self.text("{");
        self.comma = false;
    }

    fn struct_end(&mut self) {
        self.text("}");
        self.comma = true;
    }

    fn field_begin(&mut self, id: i16, _: &'static str, kind: Kind) {
        self.separate();
        self.text(&format!("\"{id}\":{{\"{}\":", tag(kind)));
    }

    fn field_end(&mut self) {
        self.text("}");
        self.comma = true;
    }

    fn seq_begin(&mut self, _: Kind, element: Kind, len: usize) {
        self.text(&format!("[\"{}\",{len}", tag(element)));
    }

    fn seq_element(&mut self) {
        self.text(",");
    }

    fn seq_end(&mut self) {
        self.text("]");
    }

    fn map_begin(&mut self, value: Kind, len: usize) {
        self.text(&format!("[\"str\",\"{}\",{len},{{", tag(value)));
        self.comma = false;
    }

    fn map_key(&mut self, key: &str) {
        self.separate();
        self.string(key);
        self.text(":");
        self.comma = true;
    }

    fn map_end(&mut self) {
        self.text("}]");
    }

    fn bool(&mut self, value: bool) {
        self.text(if value { "1" } else { "0" });
    }

    fn i32(&mut self, value: i32) {
        self.text(&value.to_string());
    }

    fn i64(&mut self, value: i64) {
        self.text(&value.to_string());
    }

    fn double(&mut self, value: f64) {
        text::write_double(&mut self.bytes, value);
    }

    fn string(&mut self, value: &str) {
        text::write_string(&mut self.bytes, value);
    }

    fn member(&mut self, _: &'static str, number: i32) {
        self.i32(number);
    }
}

enum Frame {
    /// True once a field was read.
    Struct(bool),
    /// Elements left.
    Seq(usize),
    /// Entries left, and true once one was read.
    Map(usize, bool),
}

/// Reads values in Thrift's JSON.
pub struct TaggedJsonInput<'a> {
    scanner: Scanner<'a>,
    frames: Frames<Frame>,
}

impl<'a> TaggedJsonInput<'a> {
    /// A reader of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            scanner: Scanner::new(bytes),
            frames: Frames::new(bytes.len()),
        }
    }

    /// Reads the head of a message: name, kind, sequence number.
    ///
    /// # Errors
    ///
    /// When the bytes are no such head.
    pub fn message_begin(&mut self) -> Read<(String, u8, i32)> {
        self.scanner.expect(b'[')?;
        if self.scanner.integer()? != VERSION {
            return Err(ThriftError::new(0, "not a message of Thrift's JSON"));
        }
        self.scanner.expect(b',')?;
        let name = self.scanner.string()?;
        self.scanner.expect(b',')?;
        let place = self.scanner.offset();
        let kind = u8::try_from(self.scanner.integer()?)
            .map_err(|_| ThriftError::new(place, "unknown kind of message"))?;
        self.scanner.expect(b',')?;
        let seqid = self.i32()?;
        self.scanner.expect(b',')?;
        Ok((name, kind, seqid))
    }

    /// Reads the end of a message and checks that nothing is left.
    ///
    /// # Errors
    ///
    /// When something else comes.
    pub fn message_end(&mut self) -> Read<()> {
        self.scanner.expect(b']')?;
        self.end()
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    ///
    /// When bytes are left.
    pub fn end(&mut self) -> Read<()> {
        self.scanner.end()
    }

    fn tag(&mut self) -> Read<Kind> {
        self.scanner.peek()?;
        let start = self.scanner.offset();
        let tag = self.scanner.string()?;
        kind_of(&tag).ok_or_else(|| {
            let short: String = tag.chars().take(16).collect();
            ThriftError::new(start, format!("unknown type '{}'", short.escape_default()))
        })
    }

    fn count(&mut self) -> Read<usize> {
        self.scanner.expect(b',')?;
        let place = self.scanner.offset();
        let claimed = self.scanner.integer()?;
        usize::try_from(claimed)
            .ok()
            .filter(|count| *count <= self.scanner.left())
            .ok_or_else(|| {
                let reason = format!("length {claimed} is not what the rest of the input holds");
                ThriftError::new(place, reason)
            })
    }
}

impl Input for TaggedJsonInput<'_> {
    fn offset(&self) -> usize {
        self.scanner.offset()
    }

    fn struct_begin(&mut self) -> Read<()> {
        self.scanner.expect(b'{')?;
        self.frames
            .push(self.scanner.offset(), Frame::Struct(false))
    }

    fn field_begin(&mut self, _: &'static [FieldInfo]) -> Read<Option<FieldHead>> {
        if self.scanner.accept(b'}')? {
            self.frames.pop();
            return Ok(None);
        }
        if let Frame::Struct(later) = self.frames.top()
            && std::mem::replace(later, true)
        {
            self.scanner.expect(b',')?;
        }
        self.scanner.peek()?;
        let start = self.scanner.offset();
        let id = self.scanner.string()?;
        let id = id
            .parse()
            .map_err(|_| ThriftError::new(start, "expected a field number"))?;
        self.scanner.expect(b':')?;
        self.scanner.expect(b'{')?;
        let kind = self.tag()?;
        self.scanner.expect(b':')?;
        Ok(Some(FieldHead {
            id: Some(id),
            kind: Some(kind),
        }))
    }

    fn field_end(&mut self) -> Read<()> {
        self.scanner.expect(b'}')
    }

    fn seq_begin(&mut self, element: Kind) -> Read<()> {
        self.scanner.expect(b'[')?;
        let start = self.scanner.offset();
        let found = self.tag()?;
        let count = self.count()?;
        if count > 0 {
            same_kind(start, element, found)?;
        }
        self.frames.push(start, Frame::Seq(count))
    }

    fn seq_next(&mut self) -> Read<bool> {
        if let Frame::Seq(left) = self.frames.top()
            && *left > 0
        {
            *left -= 1;
            self.scanner.expect(b',')?;
            return Ok(true);
        }
        self.frames.pop();
        self.scanner.expect(b']')?;
        Ok(false)
    }

    fn map_begin(&mut self, value: Kind) -> Read<()> {
        self.scanner.expect(b'[')?;
        let start = self.scanner.offset();
        let key = self.tag()?;
        self.scanner.expect(b',')?;
        let found = self.tag()?;
        let count = self.count()?;
        if count > 0 {
            same_kind(start, Kind::String, key)?;
            same_kind(start, value, found)?;
        }
        self.scanner.expect(b',')?;
        self.scanner.expect(b'{')?;
        self.frames.push(start, Frame::Map(count, false))
    }

    fn map_next(&mut self) -> Read<Option<String>> {
        if let Frame::Map(left, later) = self.frames.top()
            && *left > 0
        {
            *left -= 1;
            if std::mem::replace(later, true) {
                self.scanner.expect(b',')?;
            }
            let key = self.scanner.string()?;
            self.scanner.expect(b':')?;
            return Ok(Some(key));
        }
        self.frames.pop();
        self.scanner.expect(b'}')?;
        self.scanner.expect(b']')?;
        Ok(None)
    }

    fn bool(&mut self) -> Read<bool> {
        match self.scanner.integer()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.scanner.error("expected 0 or 1")),
        }
    }

    fn i32(&mut self) -> Read<i32> {
        let start = self.scanner.offset();
        i32::try_from(self.scanner.integer()?)
            .map_err(|_| ThriftError::new(start, "number is out of range"))
    }

    fn i64(&mut self) -> Read<i64> {
        self.scanner.integer()
    }

    fn double(&mut self) -> Read<f64> {
        self.scanner.double()
    }

    fn string(&mut self) -> Read<String> {
        self.scanner.string()
    }

    fn member(&mut self, _: &'static [(&'static str, i32)]) -> Read<Option<i32>> {
        self.i32().map(Some)
    }

    fn skip(&mut self, _: Option<Kind>) -> Read<()> {
        self.scanner.skip(2 * self.frames.depth())
    }

    fn charge(&mut self, bytes: usize) -> Read<()> {
        self.frames.charge(self.scanner.offset(), bytes)
    }
}
