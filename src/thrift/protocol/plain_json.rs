//! The plain JSON of `/apibeta`: names for fields and members, no types.
//!
//! What is unset is left out or `null`. A union is an object with one member. Unknown names are passed
//! over.

use super::frames::Frames;
use super::scanner::Scanner;
use super::text;
use crate::thrift::error::ThriftError;
use crate::thrift::value::{FieldHead, FieldInfo, Input, Kind, Output, Read, Value};

/// `value` in plain JSON.
pub fn to_bytes<T: Value>(value: &T) -> Vec<u8> {
    let mut out = PlainJsonOutput::new();
    value.write(&mut out);
    out.into_bytes()
}

/// `value` as people look at what is stored: as plain JSON, but that a union names its member under
/// `key`, as upstream's generated code does, and has it under `value`.
///
/// Nothing reads this form.
pub fn to_dump<T: Value>(value: &T) -> Vec<u8> {
    let mut out = PlainJsonOutput {
        is_dump: true,
        ..PlainJsonOutput::default()
    };
    value.write(&mut out);
    out.into_bytes()
}

/// `camelCase` as the name of a constant: `CAMEL_CASE`.
fn constant_name(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    text
}

/// Reads a value that takes all of `bytes`.
///
/// # Errors
///
/// When the bytes are not such a value in plain JSON.
pub fn from_bytes<T: Value>(bytes: &[u8]) -> Read<T> {
    let mut input = PlainJsonInput::new(bytes);
    let value = T::read(&mut input)?;
    input.end()?;
    Ok(value)
}

/// Checks that `bytes` are one JSON value of any form, not too deep.
///
/// # Errors
///
/// Where they are not.
pub fn check(bytes: &[u8]) -> Read<()> {
    let mut scanner = Scanner::new(bytes);
    scanner.skip(0)?;
    scanner.end()
}

/// Writes values in plain JSON.
#[derive(Default)]
pub struct PlainJsonOutput {
    bytes: Vec<u8>,
    /// A field, key or element came before in the innermost object or array.
    comma: bool,
    /// Unions are written as [`to_dump`] says.
    is_dump: bool,
    /// The next field is the member of a union.
    is_member: bool,
}

impl PlainJsonOutput {
    /// Nothing written yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn open(&mut self, bracket: u8) {
        self.bytes.push(bracket);
        self.comma = false;
    }

    fn close(&mut self, bracket: u8) {
        self.bytes.push(bracket);
        self.comma = true;
    }

    fn separate(&mut self) {
        if self.comma {
            self.bytes.push(b',');
        }
        self.comma = true;
    }

    fn name(&mut self, name: &str) {
        self.separate();
        text::write_string(&mut self.bytes, name);
        self.bytes.push(b':');
    }

    fn text(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }
}

impl Output for PlainJsonOutput {
    fn struct_begin(&mut self) {
        self.open(b'{');
    }

    fn struct_end(&mut self) {
        self.close(b'}');
    }

    fn union_begin(&mut self) {
        self.struct_begin();
        self.is_member = true;
    }

    fn union_end(&mut self, member: Option<&'static str>) {
        self.is_member = false;
        if let Some(member) = member.filter(|_| self.is_dump) {
            self.name("key");
            self.string(&constant_name(member));
        }
        self.struct_end();
    }

    fn field_begin(&mut self, _: i16, name: &'static str, _: Kind) {
        let is_member = std::mem::take(&mut self.is_member);
        self.name(if is_member && self.is_dump {
            "value"
        } else {
            name
        });
    }

    fn field_end(&mut self) {}

    fn seq_begin(&mut self, _: Kind, _: Kind, _: usize) {
        self.open(b'[');
    }

    fn seq_element(&mut self) {
        self.separate();
    }

    fn seq_end(&mut self) {
        self.close(b']');
    }

    fn map_begin(&mut self, _: Kind, _: usize) {
        self.open(b'{');
    }

    fn map_key(&mut self, key: &str) {
        self.name(key);
    }

    fn map_end(&mut self) {
        self.close(b'}');
    }

    fn bool(&mut self, value: bool) {
        self.text(if value { "true" } else { "false" });
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

    fn member(&mut self, name: &'static str, _: i32) {
        self.string(name);
    }
}

/// Inside an object or array: true once an entry was read.
struct Frame(bool);

/// Reads values in plain JSON.
pub struct PlainJsonInput<'a> {
    scanner: Scanner<'a>,
    frames: Frames<Frame>,
}

impl<'a> PlainJsonInput<'a> {
    /// A reader of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            scanner: Scanner::new(bytes),
            frames: Frames::new(bytes.len()),
        }
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    ///
    /// When bytes are left.
    pub fn end(&mut self) -> Read<()> {
        self.scanner.end()
    }

    fn enter(&mut self, bracket: u8) -> Read<()> {
        self.scanner.expect(bracket)?;
        self.frames.push(self.scanner.offset(), Frame(false))
    }

    /// True if another entry follows before `bracket`; else leaves the object or array.
    fn more(&mut self, bracket: u8) -> Read<bool> {
        if self.scanner.accept(bracket)? {
            self.frames.pop();
            return Ok(false);
        }
        if std::mem::replace(&mut self.frames.top().0, true) {
            self.scanner.expect(b',')?;
        }
        Ok(true)
    }
}

impl Input for PlainJsonInput<'_> {
    fn offset(&self) -> usize {
        self.scanner.offset()
    }

    fn struct_begin(&mut self) -> Read<()> {
        self.enter(b'{')
    }

    fn field_begin(&mut self, fields: &'static [FieldInfo]) -> Read<Option<FieldHead>> {
        while self.more(b'}')? {
            let name = self.scanner.string()?;
            self.scanner.expect(b':')?;
            if self.scanner.accept_word("null")? {
                continue;
            }
            let id = fields.iter().find(|field| field.name == name);
            return Ok(Some(FieldHead {
                id: id.map(|field| field.id),
                kind: None,
            }));
        }
        Ok(None)
    }

    fn field_end(&mut self) -> Read<()> {
        Ok(())
    }

    fn seq_begin(&mut self, _: Kind) -> Read<()> {
        self.enter(b'[')
    }

    fn seq_next(&mut self) -> Read<bool> {
        self.more(b']')
    }

    fn map_begin(&mut self, _: Kind) -> Read<()> {
        self.enter(b'{')
    }

    fn map_next(&mut self) -> Read<Option<String>> {
        if !self.more(b'}')? {
            return Ok(None);
        }
        let key = self.scanner.string()?;
        self.scanner.expect(b':')?;
        Ok(Some(key))
    }

    fn bool(&mut self) -> Read<bool> {
        if self.scanner.accept_word("true")? {
            Ok(true)
        } else if self.scanner.accept_word("false")? {
            Ok(false)
        } else {
            Err(self.scanner.error("expected true or false"))
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

    fn member(&mut self, members: &'static [(&'static str, i32)]) -> Read<Option<i32>> {
        if self.scanner.peek()? != b'"' {
            return self.i32().map(Some);
        }
        let name = self.scanner.string()?;
        let member = members.iter().find(|(known, _)| *known == name);
        Ok(member.map(|(_, number)| *number))
    }

    fn skip(&mut self, _: Option<Kind>) -> Read<()> {
        self.scanner.skip(self.frames.depth())
    }

    fn charge(&mut self, bytes: usize) -> Read<()> {
        self.frames.charge(self.scanner.offset(), bytes)
    }
}
