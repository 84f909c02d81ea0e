//! Requests and answers as values.

use futures_lite::AsyncRead;
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

/// The methods that the server knows; any other token is answered with 501.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// DELETE
    Delete,
    /// GET
    Get,
    /// HEAD: as GET, and the answer carries no body.
    Head,
    /// OPTIONS
    Options,
    /// PATCH
    Patch,
    /// POST
    Post,
    /// PUT
    Put,
}

impl Method {
    /// The method of this token; methods are case-sensitive.
    pub fn parse(token: &str) -> Option<Self> {
        Some(match token {
            "DELETE" => Self::Delete,
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            "PATCH" => Self::Patch,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            _ => return None,
        })
    }

    /// The token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// The protocol version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// Headers in the order they came. Names compare without case.
///
/// Held as one text with ranges into it: a request costs two allocations however many it has.
#[derive(Clone, Default)]
pub struct Headers {
    text: String,
    entries: Vec<(Range<usize>, Range<usize>)>,
}

impl Headers {
    /// Headers whose names and values are ranges of `text`.
    ///
    /// # Panics
    ///
    /// Later, on reading, if a range is not inside `text` or cuts a character.
    pub fn from_parts(text: String, entries: Vec<(Range<usize>, Range<usize>)>) -> Self {
        Self { text, entries }
    }

    /// The first value under `name`.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Every value under `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Every name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries
            .iter()
            .map(|(name, value)| (&self.text[name.clone()], &self.text[value.clone()]))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// A whole request: its body has been read.
#[derive(Clone, Debug)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// Path and query as sent, percent-encoded; starts with `/` (or is `*` for OPTIONS).
    pub target: String,
    /// The peer's version.
    pub version: Version,
    /// As sent. Bytes that are not UTF-8 have been replaced by `?`.
    pub headers: Headers,
    /// Without transfer coding.
    pub body: Vec<u8>,
    /// Who sent it.
    pub peer: SocketAddr,
}

impl Request {
    /// The target's path, percent-encoded.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The target's query, percent-encoded, without the question mark.
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }
}

/// What follows the head of an answer.
pub enum Body {
    /// All of it, sent with its length.
    Bytes(Vec<u8>),
    /// Sent as it comes: chunked, or until the end of the connection in HTTP/1.0. An error of the
    /// stream cuts the connection, so that the peer does not take the part for the whole.
    Stream(Pin<Box<dyn AsyncRead + Send>>),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// An answer. Length, transfer coding, connection and date are added by the codec.
#[derive(Debug)]
pub struct Response {
    /// 200 to 599.
    pub status: u16,
    /// Names must be tokens; values must not hold CR, LF or NUL. Otherwise the peer gets a 500.
    pub headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// What follows.
    pub body: Body,
    /// Close the connection after this answer.
    pub close: bool,
}

impl Response {
    /// An answer with no body.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Bytes(Vec::new()),
            close: false,
        }
    }

    /// An answer with a body of this type.
    pub fn bytes(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: Body::Bytes(body.into()),
            ..Self::empty(status)
        }
        .with("content-type", content_type)
    }

    /// A plain text answer.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self::bytes(
            status,
            "text/plain; charset=utf-8",
            body.into().into_bytes(),
        )
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// What a handler wants done.
#[derive(Debug)]
pub enum Answer {
    /// Close the connection and say nothing: the outcome of the request is unknown, and neither
    /// success nor failure may be claimed.
    Hangup,
    /// Send this.
    Reply(Response),
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Reply(response)
    }
}

/// What stands behind the codec.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Not cancelled when the peer goes away; cancelled when the drain limit
    /// of a shutdown has passed.
    fn handle(&self, request: Request) -> impl Future<Output = Answer> + Send;

    /// Hears of every answer, also of those that the codec gave by itself. `took` counts from the end
    /// of the request's head. For statistics.
    fn answered(&self, status: u16, took: Duration) {
        let (_, _) = (status, took);
    }
}
