//! Heads of requests and answers: where one ends, what it says, how long its body is.
//!
//! Functions over bytes. Input is hostile: a fault names the byte where it was noticed.

use super::message::{Headers, Method, Version};
use std::fmt;
use std::mem::MaybeUninit;

/// More headers than this are refused with 431.
pub const HEADERS_MAX: usize = 100;

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A line feed without a carriage return before it.
    BareLineFeed,
    /// Content-Length with Transfer-Encoding, or Transfer-Encoding in HTTP/1.0.
    ConflictingLength,
    /// Not a head at all, or a header that is not `name: value`.
    Malformed,
    /// Content-Length is not one plain number.
    MalformedLength,
    /// HTTP/1.1 without exactly one Host.
    MissingHost,
    /// More than [`HEADERS_MAX`] headers.
    TooManyHeaders,
    /// A transfer coding other than `chunked`.
    UnknownCoding,
    /// An expectation other than `100-continue`.
    UnknownExpectation,
    /// A method that no route could have.
    UnknownMethod,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    UnknownVersion,
}

impl Fault {
    /// The status that tells the peer.
    pub const fn status(self) -> u16 {
        match self {
            Self::BareLineFeed
            | Self::ConflictingLength
            | Self::Malformed
            | Self::MalformedLength
            | Self::MissingHost => 400,
            Self::TooManyHeaders => 431,
            Self::UnknownCoding | Self::UnknownMethod => 501,
            Self::UnknownExpectation => 417,
            Self::UnknownVersion => 505,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::BareLineFeed => "line feed without carriage return",
            Self::ConflictingLength => "conflicting body lengths",
            Self::Malformed => "malformed head",
            Self::MalformedLength => "malformed content length",
            Self::MissingHost => "not exactly one host header",
            Self::TooManyHeaders => "too many headers",
            Self::UnknownCoding => "unknown transfer coding",
            Self::UnknownExpectation => "unknown expectation",
            Self::UnknownMethod => "unknown method",
            Self::UnknownVersion => "unknown protocol version",
        }
    }
}

/// A refused head, and the byte where that was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at byte {at}")]
pub struct HeadError {
    /// What is wrong.
    pub fault: Fault,
    /// Offset from the head's first byte.
    pub at: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

const fn fault(fault: Fault, at: usize) -> HeadError {
    HeadError { fault, at }
}

/// Looks for the end of a head as its bytes arrive, each byte once.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    line_start: usize,
    seen: usize,
}

impl Scan {
    /// The length of the head at the start of `buf`, with its empty line; `None` if more bytes are
    /// needed. `buf` holds what it held at the last call and more.
    ///
    /// # Errors
    ///
    /// On a bare line feed.
    pub fn advance(&mut self, buf: &[u8]) -> Result<Option<usize>, HeadError> {
        while let Some(found) = buf[self.seen..].iter().position(|byte| *byte == b'\n') {
            let at = self.seen + found;
            if at == 0 || buf[at - 1] != b'\r' || at == self.line_start {
                return Err(fault(Fault::BareLineFeed, at));
            }
            let empty = at - 1 == self.line_start;
            self.line_start = at + 1;
            self.seen = at + 1;
            if empty {
                return Ok(Some(at + 1));
            }
        }
        self.seen = buf.len();
        Ok(None)
    }
}

/// Whether `buf` is exactly one line of an HTTP/1.0 GET or HEAD: all that some monitors send.
pub fn is_bare_http10_line(buf: &[u8]) -> bool {
    buf.strip_suffix(b" HTTP/1.0\r\n").is_some_and(|line| {
        (line.starts_with(b"GET ") || line.starts_with(b"HEAD ")) && !line.contains(&b'\n')
    })
}

/// How the body that follows is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By chunks.
    Chunked,
    /// By the end of the connection (answers only).
    End,
    /// By its length in bytes; zero if there is no body.
    Length(u64),
}

/// A request's head.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// What to do.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub target: String,
    /// The peer's version.
    pub version: Version,
    /// As sent.
    pub headers: Headers,
    /// How the body is delimited.
    pub framing: Framing,
    /// The peer will take another request on this connection.
    pub keep_alive: bool,
    /// The peer waits for a 100 before it sends the body.
    pub expects_continue: bool,
}

/// An answer's head.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// 100 to 999.
    pub status: u16,
    /// The peer's version.
    pub version: Version,
    /// As sent.
    pub headers: Headers,
    /// How the body is delimited, if the request was not HEAD.
    pub framing: Framing,
    /// The peer will take another request on this connection.
    pub keep_alive: bool,
}

type Slots<'b> = [MaybeUninit<httparse::Header<'b>>; HEADERS_MAX];

/// Parses a request's head, which must be whole (see [`Scan`]).
///
/// # Errors
///
/// [`HeadError`] with the fault and its place.
pub fn parse_request(head: &[u8]) -> Result<RequestHead, HeadError> {
    let mut slots: Slots<'_> = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut raw = httparse::Request::new(&mut []);
    match raw.parse_with_uninit_headers(head, &mut slots) {
        Ok(httparse::Status::Complete(len)) if len == head.len() => {}
        Ok(_) => return Err(fault(Fault::Malformed, head.len())),
        Err(error) => return Err(locate_request(head, error)),
    }
    let version = version_of(raw.version);
    let token = raw.method.unwrap_or_default();
    let method = Method::parse(token).ok_or(fault(Fault::UnknownMethod, 0))?;
    let target = target_of(raw.path.unwrap_or_default(), method)
        .ok_or(fault(Fault::Malformed, token.len() + 1))?;
    let (headers, places) = collect(head, raw.headers);
    let facts = Facts::read(&headers, &places, version)?;
    if version == Version::Http11 && facts.hosts != 1 {
        return Err(fault(
            Fault::MissingHost,
            facts.host_at.unwrap_or(head.len()),
        ));
    }
    Ok(RequestHead {
        method,
        target,
        version,
        framing: facts.framing.unwrap_or(Framing::Length(0)),
        keep_alive: facts.keep_alive(version),
        expects_continue: facts.expects_continue && version == Version::Http11,
        headers,
    })
}

/// Parses an answer's head, which must be whole (see [`Scan`]).
///
/// # Errors
///
/// [`HeadError`] with the fault and its place.
pub fn parse_response(head: &[u8]) -> Result<ResponseHead, HeadError> {
    let mut slots: Slots<'_> = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut raw = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut raw, head, &mut slots);
    match parsed {
        Ok(httparse::Status::Complete(len)) if len == head.len() => {}
        Ok(_) => return Err(fault(Fault::Malformed, head.len())),
        Err(error) => return Err(locate_response(head, error)),
    }
    let version = version_of(raw.version);
    let status = raw.code.unwrap_or_default();
    if status < 100 {
        return Err(fault(Fault::Malformed, 9));
    }
    let (headers, places) = collect(head, raw.headers);
    let facts = Facts::read(&headers, &places, version)?;
    let framing = match facts.framing {
        _ if matches!(status, 100..=199 | 204 | 304) => Framing::Length(0),
        Some(framing) => framing,
        None => Framing::End,
    };
    Ok(ResponseHead {
        status,
        version,
        framing,
        keep_alive: facts.keep_alive(version) && framing != Framing::End,
        headers,
    })
}

const fn version_of(minor: Option<u8>) -> Version {
    match minor {
        Some(1) => Version::Http11,
        _ => Version::Http10,
    }
}

/// Path and query of a request target; `None` if it is neither a path, an absolute `http` URL nor `*`.
fn target_of(raw: &str, method: Method) -> Option<String> {
    if !raw
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    {
        return None;
    }
    if raw.starts_with('/') || (raw == "*" && method == Method::Options) {
        return Some(raw.to_owned());
    }
    let scheme_end = raw.find("://")?;
    if !matches!(
        raw[..scheme_end].to_ascii_lowercase().as_str(),
        "http" | "https"
    ) {
        return None;
    }
    let rest = &raw[scheme_end + 3..];
    match rest.find(['/', '?']) {
        Some(0) => None,
        Some(at) if rest[at..].starts_with('/') => Some(rest[at..].to_owned()),
        Some(at) => Some(format!("/{}", &rest[at..])),
        None if rest.is_empty() => None,
        None => Some("/".to_owned()),
    }
}

/// The headers as one text with ranges, and the offset of each in the head.
fn collect(head: &[u8], raw: &[httparse::Header<'_>]) -> (Headers, Vec<usize>) {
    let base = raw
        .first()
        .map_or(head.len(), |first| offset(head, first.name.as_bytes()));
    let text = match std::str::from_utf8(&head[base..]) {
        Ok(text) => text.to_owned(),
        Err(_) => head[base..]
            .iter()
            .map(|byte| {
                if byte.is_ascii() {
                    char::from(*byte)
                } else {
                    '?'
                }
            })
            .collect(),
    };
    let mut entries = Vec::with_capacity(raw.len());
    let mut places = Vec::with_capacity(raw.len());
    for header in raw {
        let name = offset(head, header.name.as_bytes());
        // An empty value may be a slice from elsewhere; it needs no place.
        let value = if header.value.is_empty() {
            name
        } else {
            offset(head, header.value)
        };
        entries.push((
            name - base..name - base + header.name.len(),
            value - base..value - base + header.value.len(),
        ));
        places.push(name);
    }
    (Headers::from_parts(text, entries), places)
}

/// Where `part`, a slice of `whole`, starts in it.
fn offset(whole: &[u8], part: &[u8]) -> usize {
    let at = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    assert!(at <= whole.len(), "a header lies inside its head");
    at
}

/// The first byte whose presence makes the parser fail: the shortest prefix that fails ends there.
fn locate(head: &[u8], error: httparse::Error, fails: impl Fn(&[u8]) -> bool) -> HeadError {
    let (mut low, mut high) = (0, head.len());
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if fails(&head[..middle]) {
            high = middle;
        } else {
            low = middle;
        }
    }
    let kind = match error {
        httparse::Error::TooManyHeaders => Fault::TooManyHeaders,
        httparse::Error::Version => Fault::UnknownVersion,
        httparse::Error::HeaderName
        | httparse::Error::HeaderValue
        | httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token => Fault::Malformed,
    };
    fault(kind, high.saturating_sub(1))
}

fn locate_request(head: &[u8], error: httparse::Error) -> HeadError {
    locate(head, error, |prefix| {
        let mut slots: Slots<'_> = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut raw = httparse::Request::new(&mut []);
        raw.parse_with_uninit_headers(prefix, &mut slots).is_err()
    })
}

fn locate_response(head: &[u8], error: httparse::Error) -> HeadError {
    locate(head, error, |prefix| {
        let mut slots: Slots<'_> = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut raw = httparse::Response::new(&mut []);
        httparse::ParserConfig::default()
            .parse_response_with_uninit_headers(&mut raw, prefix, &mut slots)
            .is_err()
    })
}

/// What the headers say about the connection and the body.
#[derive(Debug, Default)]
struct Facts {
    framing: Option<Framing>,
    hosts: usize,
    host_at: Option<usize>,
    close: bool,
    keep: bool,
    expects_continue: bool,
}

impl Facts {
    fn read(headers: &Headers, places: &[usize], version: Version) -> Result<Self, HeadError> {
        let mut facts = Self::default();
        for ((name, value), at) in headers.iter().zip(places) {
            // The length of the name tells most headers apart at once.
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => {
                    facts.hosts += 1;
                    facts.host_at = Some(*at);
                }
                6 if name.eq_ignore_ascii_case("expect") => {
                    if !value.eq_ignore_ascii_case("100-continue") {
                        return Err(fault(Fault::UnknownExpectation, *at));
                    }
                    facts.expects_continue = true;
                }
                10 if name.eq_ignore_ascii_case("connection") => {
                    for token in value.split(',').map(str::trim) {
                        facts.close |= token.eq_ignore_ascii_case("close");
                        facts.keep |= token.eq_ignore_ascii_case("keep-alive");
                    }
                }
                14 if name.eq_ignore_ascii_case("content-length") => facts.length(value, *at)?,
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    facts.coding(value, *at, version)?;
                }
                _ => {}
            }
        }
        Ok(facts)
    }

    fn length(&mut self, value: &str, at: usize) -> Result<(), HeadError> {
        match self.framing {
            Some(Framing::Chunked) => return Err(fault(Fault::ConflictingLength, at)),
            Some(_) => return Err(fault(Fault::MalformedLength, at)),
            None => {}
        }
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(fault(Fault::MalformedLength, at));
        }
        let length = value
            .parse()
            .map_err(|_| fault(Fault::MalformedLength, at))?;
        self.framing = Some(Framing::Length(length));
        Ok(())
    }

    fn coding(&mut self, value: &str, at: usize, version: Version) -> Result<(), HeadError> {
        if self.framing.is_some() || version == Version::Http10 {
            return Err(fault(Fault::ConflictingLength, at));
        }
        if !value.eq_ignore_ascii_case("chunked") {
            return Err(fault(Fault::UnknownCoding, at));
        }
        self.framing = Some(Framing::Chunked);
        Ok(())
    }

    fn keep_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep)
    }
}
