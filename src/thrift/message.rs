//! The envelope: a message has a method, a kind, a sequence number and a struct.

use super::api::Response;
use super::describe::thrift_struct;
use super::error::ThriftError;
use super::protocol::binary::{BinaryInput, BinaryOutput};
use super::protocol::compact::{CompactInput, CompactOutput};
use super::protocol::tagged_json::{TaggedJsonInput, TaggedJsonOutput};
use super::service::{MethodResult, Request};
use super::value::{Input, Output, Read, Value};
use std::fmt;

/// The encodings of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `TBinaryProtocol`: written strict, read in the old form too.
    Binary,
    /// `TCompactProtocol`.
    Compact,
    /// `TJSONProtocol`.
    Json,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Binary, Self::Compact, Self::Json];
}

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// A call that waits for a reply.
    Call = 1,
    /// The result of a call.
    Reply = 2,
    /// A failure outside of the method's own results.
    Exception = 3,
    /// A call that waits for nothing.
    Oneway = 4,
}

impl MessageKind {
    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Call,
            2 => Self::Reply,
            3 => Self::Exception,
            4 => Self::Oneway,
            _ => return None,
        })
    }
}

thrift_struct! {
    /// A failure outside of the method's own results.
    ApplicationException {
        1 message "message": opt String,
        2 kind "type": plain i32,
    }
}

impl ApplicationException {
    /// `kind` of a method that does not exist.
    pub const UNKNOWN_METHOD: i32 = 1;
    /// `kind` of a failure inside the server.
    pub const INTERNAL_ERROR: i32 = 6;
    /// `kind` of bytes that are no message.
    pub const PROTOCOL_ERROR: i32 = 7;

    /// The answer to a call of `method`, which does not exist.
    pub fn unknown_method(method: &str) -> Self {
        Self {
            message: Some(format!("Invalid method name: '{method}'")),
            kind: Self::UNKNOWN_METHOD,
        }
    }
}

impl fmt::Display for ApplicationException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message.as_deref().unwrap_or("no message");
        write!(f, "{message} (type {})", self.kind)
    }
}

/// A call as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The method's name.
    pub method: String,
    /// The caller's number, which the reply repeats.
    pub seqid: i32,
    /// Method and arguments; `None` if there is no such method.
    pub request: Option<Request>,
}

/// A reply as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The method's name.
    pub method: String,
    /// The number of the call.
    pub seqid: i32,
    /// The result, or the failure outside of the method's own results.
    pub outcome: Result<Response, ApplicationException>,
}

/// Reads a call that takes all of `bytes`.
///
/// # Errors
///
/// When the bytes are no call, or their arguments are not those of the method.
pub fn decode_call(protocol: Protocol, bytes: &[u8]) -> Result<Call, ThriftError> {
    decode(protocol, bytes, |method, kind, seqid, input| {
        let start = input.offset();
        match kind {
            MessageKind::Call | MessageKind::Oneway => {}
            MessageKind::Reply | MessageKind::Exception => {
                return Err(ThriftError::new(start, "message is not a call"));
            }
        }
        let request = Request::read(&method, input)?;
        if request.is_none() {
            input.skip(Some(super::value::Kind::Struct))?;
        }
        Ok(Call {
            method,
            seqid,
            request,
        })
    })
}

/// Reads a reply that takes all of `bytes`.
///
/// # Errors
///
/// When the bytes are no reply.
pub fn decode_reply(protocol: Protocol, bytes: &[u8]) -> Result<Reply, ThriftError> {
    decode(protocol, bytes, |method, kind, seqid, input| {
        let start = input.offset();
        let outcome = match kind {
            MessageKind::Reply => Ok(MethodResult::read(input)?
                .success
                .ok_or_else(|| ThriftError::new(start, "reply without a result"))?),
            MessageKind::Exception => Err(ApplicationException::read(input)?),
            MessageKind::Call | MessageKind::Oneway => {
                return Err(ThriftError::new(start, "message is not a reply"));
            }
        };
        Ok(Reply {
            method,
            seqid,
            outcome,
        })
    })
}

/// A call of the method that `request` names.
pub fn encode_call(protocol: Protocol, seqid: i32, request: &Request) -> Vec<u8> {
    let head = (request.name(), MessageKind::Call, seqid);
    encode(protocol, head, |out| request.write(out))
}

/// The reply of `method` to the call numbered `seqid`.
pub fn encode_reply(protocol: Protocol, method: &str, seqid: i32, response: &Response) -> Vec<u8> {
    encode(protocol, (method, MessageKind::Reply, seqid), |out| {
        out.struct_begin();
        super::shape::plain::write(response, 0, "success", out);
        out.struct_end();
    })
}

/// The failure of the call of `method` numbered `seqid`.
pub fn encode_exception(
    protocol: Protocol,
    method: &str,
    seqid: i32,
    exception: &ApplicationException,
) -> Vec<u8> {
    let head = (method, MessageKind::Exception, seqid);
    encode(protocol, head, |out| exception.write(out))
}

fn kind_of(number: u8) -> Read<MessageKind> {
    MessageKind::from_number(number)
        .ok_or_else(|| ThriftError::new(0, format!("unknown kind of message {number}")))
}

fn decode<T>(
    protocol: Protocol,
    bytes: &[u8],
    body: impl FnOnce(String, MessageKind, i32, &mut dyn Input) -> Read<T>,
) -> Read<T> {
    match protocol {
        Protocol::Binary => {
            let mut input = BinaryInput::new(bytes);
            let (name, kind, seqid) = input.message_begin()?;
            let value = body(name, kind_of(kind)?, seqid, &mut input)?;
            input.end().map(|()| value)
        }
        Protocol::Compact => {
            let mut input = CompactInput::new(bytes);
            let (name, kind, seqid) = input.message_begin()?;
            let value = body(name, kind_of(kind)?, seqid, &mut input)?;
            input.end().map(|()| value)
        }
        Protocol::Json => {
            let mut input = TaggedJsonInput::new(bytes);
            let (name, kind, seqid) = input.message_begin()?;
            let value = body(name, kind_of(kind)?, seqid, &mut input)?;
            input.message_end().map(|()| value)
        }
    }
}

fn encode(
    protocol: Protocol,
    (name, kind, seqid): (&str, MessageKind, i32),
    body: impl FnOnce(&mut dyn Output),
) -> Vec<u8> {
    match protocol {
        Protocol::Binary => {
            let mut out = BinaryOutput::new();
            out.message_begin(name, kind as u8, seqid);
            body(&mut out);
            out.into_bytes()
        }
        Protocol::Compact => {
            let mut out = CompactOutput::new();
            out.message_begin(name, kind as u8, seqid);
            body(&mut out);
            out.into_bytes()
        }
        Protocol::Json => {
            let mut out = TaggedJsonOutput::new();
            out.message_begin(name, kind as u8, seqid);
            body(&mut out);
            out.message_end();
            out.into_bytes()
        }
    }
}
