//! Heads of answers and requests as bytes.

use super::date::DateCache;
use super::message::Version;
use crate::base::clock::Timestamp;
use std::borrow::Cow;
use std::io::Write;

/// A header that must not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The name is not a token, or is one that the codec itself writes.
    #[error("header name {0:?} may not be set")]
    Name(String),
    /// The status is not 200 to 599.
    #[error("status {0} may not be sent")]
    Status(u16),
    /// The value holds a control character: it could end the header and begin another.
    #[error("control character in header {0}")]
    Value(String),
}

/// How the encoder delimits a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delimit {
    Chunked,
    End,
    Length(usize),
    /// An answer that has no body by its status.
    Nothing,
}

/// The rest of the head, beside what the handler said.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) version: Version,
    pub(super) keep_alive: bool,
    pub(super) delimit: Delimit,
    pub(super) now: Timestamp,
    pub(super) date: &'a DateCache,
}

type HeaderList = [(Cow<'static, str>, Cow<'static, str>)];

/// Appends the head of an answer to `out`; on an error `out` is as before.
pub(super) fn response_head(
    status: u16,
    headers: &HeaderList,
    frame: &Frame<'_>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    if !(200..=599).contains(&status) {
        return Err(EncodeError::Status(status));
    }
    check(headers)?;
    out.extend_from_slice(b"HTTP/1.1 ");
    number(usize::from(status), out);
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\ndate: ");
    frame.date.write(frame.now, out);
    out.extend_from_slice(b"\r\n");
    append(headers, out);
    match frame.delimit {
        Delimit::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Delimit::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            number(length, out);
            out.extend_from_slice(b"\r\n");
        }
        Delimit::End | Delimit::Nothing => {}
    }
    if !frame.keep_alive {
        out.extend_from_slice(b"connection: close\r\n");
    } else if frame.version == Version::Http10 {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Refuses headers that could break the framing.
pub(super) fn check(headers: &HeaderList) -> Result<(), EncodeError> {
    const OWN: [&str; 4] = ["connection", "content-length", "date", "transfer-encoding"];
    for (name, value) in headers {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty()
            || !name.bytes().all(token)
            || OWN.iter().any(|own| name.eq_ignore_ascii_case(own))
        {
            return Err(EncodeError::Name(name.clone().into_owned()));
        }
        if value
            .bytes()
            .any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f)
        {
            return Err(EncodeError::Value(name.clone().into_owned()));
        }
    }
    Ok(())
}

/// Appends header lines.
pub(super) fn append(headers: &HeaderList, out: &mut Vec<u8>) {
    for (name, value) in headers {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends a chunk's size line.
pub(super) fn chunk_head(length: usize, out: &mut Vec<u8>) {
    write!(out, "{length:x}\r\n").expect("a vector takes every write");
}

fn number(value: usize, out: &mut Vec<u8>) {
    write!(out, "{value}").expect("a vector takes every write");
}

/// The usual phrase for a status.
pub const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Unnamed",
    }
}
