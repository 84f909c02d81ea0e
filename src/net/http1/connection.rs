//! One connection of the server: requests in, answers out, in order.

use super::chunked::{ChunkError, Decoder};
use super::encode::{self, Delimit, EncodeError, Frame};
use super::head::{self, Framing, RequestHead, Scan};
use super::message::{Answer, Body, Handler, Method, Request, Response, Version};
use super::server::Shared;
use super::wire::{Fill, Stop, Wire};
use crate::base::clock::{self, Instant};
use crate::rt::Shutdown;
use futures_lite::future::yield_now;
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite};
use std::io;
use std::net::SocketAddr;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Bodies up to this size are sent in one write with their head.
const JOINED_BYTES_MAX: usize = 16 * 1024;
/// Requests after which other fibers get a turn.
const TURN_REQUESTS: u32 = 32;
const STREAM_CHUNK_BYTES: usize = 16 * 1024;

/// What to do after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Close,
    /// Close, but let the answer arrive although the peer may be sending still.
    Linger,
    Next,
}

/// What reading a head or a body came to, if not to what was wanted.
#[derive(Debug)]
enum Halt {
    /// Nothing to say: the peer is gone, idle, or it is shutdown.
    Close,
    Io(io::Error),
    /// Answer with this status and reason, and close.
    Refuse(u16, String),
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A head and how it ended.
struct Arrived {
    head: RequestHead,
    /// The peer sent a request line and nothing more; it may send the rest late.
    bare: bool,
}

pub(super) struct Connection<'a, S, H> {
    wire: Wire<S>,
    peer: SocketAddr,
    shared: &'a Shared<H>,
    stop: Stop,
    shutdown: Shutdown,
    out: Vec<u8>,
}

impl<'a, S, H> Connection<'a, S, H>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    H: Handler,
{
    pub(super) fn new(
        stream: S,
        peer: SocketAddr,
        shared: &'a Shared<H>,
        shutdown: &Shutdown,
    ) -> Self {
        let listener = shutdown.clone();
        Self {
            wire: Wire::new(stream),
            peer,
            shared,
            stop: Box::pin(async move { listener.wait().await }),
            shutdown: shutdown.clone(),
            out: Vec::new(),
        }
    }

    /// Serves until either side ends.
    ///
    /// # Errors
    ///
    /// What the stream reported; the connection is useless then.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let mut idle_until = clock::now() + self.shared.limits.head_timeout;
        for served in 1u32.. {
            // A peer that pipelines without end never makes a read wait, and must not hold the thread.
            if served.is_multiple_of(TURN_REQUESTS) {
                yield_now().await;
            }
            let arrived = match self.read_head(idle_until).await {
                Ok(arrived) => arrived,
                Err(halt) => {
                    let after = self.halt(halt, clock::now()).await?;
                    return self.end(after).await;
                }
            };
            match self.exchange(arrived).await? {
                After::Next => idle_until = clock::now() + self.shared.limits.idle_timeout,
                after @ (After::Close | After::Linger) => return self.end(after).await,
            }
        }
        self.end(After::Close).await
    }

    async fn end(&mut self, after: After) -> io::Result<()> {
        match after {
            After::Close | After::Next => self.wire.close(self.shared.limits.write_timeout).await,
            After::Linger => self.wire.linger(self.shared.limits.linger).await,
        }
    }

    async fn read_head(&mut self, idle_until: Instant) -> Result<Arrived, Halt> {
        let limits = &self.shared.limits;
        let mut scan = Scan::default();
        let mut head_until = None;
        loop {
            if self.skip_empty_lines() {
                scan = Scan::default();
            }
            match scan.advance(&self.wire.buf) {
                Ok(Some(len)) if len <= limits.head_bytes_max => return self.take_head(len),
                Ok(None) if self.wire.buf.len() < limits.head_bytes_max => {}
                Ok(_) => return Err(Halt::Refuse(431, "head too large".to_owned())),
                Err(error) => return Err(refused(error)),
            }
            let empty = self.wire.buf.is_empty();
            let bare = head::is_bare_http10_line(&self.wire.buf);
            let until = if empty {
                idle_until
            } else {
                *head_until.get_or_insert_with(|| clock::now() + limits.head_timeout)
            };
            let until = if bare {
                until.min(clock::now() + limits.line_grace)
            } else {
                until
            };
            let stop = empty.then_some(&mut self.stop);
            match self.wire.fill(until, stop).await? {
                Fill::Bytes => {}
                Fill::Eof | Fill::TimedOut if bare => {
                    self.wire.buf.extend_from_slice(b"\r\n");
                    let len = self.wire.buf.len();
                    return self
                        .take_head(len)
                        .map(|arrived| Arrived { bare, ..arrived });
                }
                Fill::Eof | Fill::Stopped | Fill::TimedOut if empty => return Err(Halt::Close),
                Fill::Eof | Fill::Stopped => {
                    return Err(Halt::Refuse(400, "head ends early".to_owned()));
                }
                Fill::TimedOut => return Err(Halt::Refuse(408, "head too slow".to_owned())),
            }
        }
    }

    /// Ignores empty lines before a request line, as RFC 9112 section 2.2 asks; whether there were any.
    fn skip_empty_lines(&mut self) -> bool {
        let mut start = 0;
        while self.wire.buf[start..].starts_with(b"\r\n") {
            start += 2;
        }
        if start > 0 {
            self.wire.consume(start);
        }
        start > 0
    }

    fn take_head(&mut self, len: usize) -> Result<Arrived, Halt> {
        let head = head::parse_request(&self.wire.buf[..len]).map_err(refused)?;
        self.wire.consume(len);
        Ok(Arrived { head, bare: false })
    }

    /// Reads the body, asks the handler and answers.
    async fn exchange(&mut self, arrived: Arrived) -> io::Result<After> {
        let began = clock::now();
        let Arrived { head, bare } = arrived;
        let mut budget = Budget {
            shared: self.shared,
            held: 0,
        };
        let body = match self.read_body(&head, &mut budget).await {
            Ok(body) => body,
            Err(halt) => return self.halt(halt, began).await,
        };
        let (version, is_head, keep_alive) =
            (head.version, head.method == Method::Head, head.keep_alive);
        let request = Request {
            method: head.method,
            target: head.target,
            version,
            headers: head.headers,
            body,
            peer: self.peer,
        };
        let response = match self.shared.handler.handle(request).await {
            Answer::Reply(response) => response,
            Answer::Hangup => return Ok(After::Close),
        };
        let keep_alive = keep_alive && !response.close && !self.shutdown.is_fired();
        let after = match (keep_alive, bare) {
            (_, true) => After::Linger,
            (true, false) => After::Next,
            (false, false) => After::Close,
        };
        self.respond(response, version, is_head, after, began).await
    }

    async fn read_body(
        &mut self,
        head: &RequestHead,
        budget: &mut Budget<'_, H>,
    ) -> Result<Vec<u8>, Halt> {
        let limits = &self.shared.limits;
        let too_large = || Halt::Refuse(413, "body too large".to_owned());
        let mut body = Vec::new();
        let length = match head.framing {
            Framing::Length(0) | Framing::End => return Ok(body),
            Framing::Length(length) => {
                let length = usize::try_from(length).map_err(|_| too_large())?;
                if length > limits.body_bytes_max {
                    return Err(too_large());
                }
                Some(length)
            }
            Framing::Chunked => None,
        };
        if head.expects_continue && self.wire.buf.is_empty() {
            self.wire.write_all(CONTINUE, limits.write_timeout).await?;
        }
        let until = clock::now() + limits.body_timeout;
        let mut decoder = Decoder::new(limits.body_bytes_max);
        loop {
            let done = match length {
                Some(length) => {
                    let count = self.wire.buf.len().min(length - body.len());
                    body.extend_from_slice(&self.wire.buf[..count]);
                    self.wire.consume(count);
                    body.len() == length
                }
                None => {
                    let taken = decoder
                        .decode(&self.wire.buf, &mut body)
                        .map_err(chunk_refused)?;
                    self.wire.consume(taken);
                    decoder.is_done()
                }
            };
            if !budget.hold(body.capacity()) {
                return Err(Halt::Refuse(
                    503,
                    "too many large requests at once".to_owned(),
                ));
            }
            if done {
                return Ok(body);
            }
            match self.wire.fill(until, None).await? {
                Fill::Bytes => {}
                Fill::Eof | Fill::Stopped => return Err(Halt::Close),
                Fill::TimedOut => return Err(Halt::Refuse(408, "body too slow".to_owned())),
            }
        }
    }

    async fn halt(&mut self, halt: Halt, began: Instant) -> io::Result<After> {
        match halt {
            Halt::Close => Ok(After::Close),
            Halt::Io(error) => Err(error),
            Halt::Refuse(status, text) => {
                log::debug!("{}: refused with {status}: {text}", self.peer);
                let response = Response::text(status, format!("{text}\n"));
                self.respond(response, Version::Http11, false, After::Linger, began)
                    .await
            }
        }
    }

    /// Writes an answer; gives `after`, or less if the answer ends with the connection.
    async fn respond(
        &mut self,
        response: Response,
        version: Version,
        is_head: bool,
        after: After,
        began: Instant,
    ) -> io::Result<After> {
        let mut response = response;
        let mut delimit = delimit(&response, version);
        let mut after = if delimit == Delimit::End && after == After::Next && !is_head {
            After::Close
        } else {
            after
        };
        self.out.clear();
        if let Err(error) = self.encode_head(&response, version, delimit, after) {
            log::error!("answer to {} not sent: {error}", self.peer);
            response = Response::text(500, "internal error\n");
            delimit = self::delimit(&response, version);
            after = if after == After::Next {
                After::Close
            } else {
                after
            };
            self.encode_head(&response, version, delimit, after)
                .expect("a plain answer has no bad header");
        }
        let status = response.status;
        let body = if is_head || delimit == Delimit::Nothing {
            Body::Bytes(Vec::new())
        } else {
            response.body
        };
        self.write(body, delimit).await?;
        self.shared
            .handler
            .answered(status, clock::now().since(began));
        Ok(after)
    }

    fn encode_head(
        &mut self,
        response: &Response,
        version: Version,
        delimit: Delimit,
        after: After,
    ) -> Result<(), EncodeError> {
        let frame = Frame {
            version,
            keep_alive: after == After::Next,
            delimit,
            now: clock::wall(),
            date: &self.shared.date,
        };
        encode::response_head(response.status, &response.headers, &frame, &mut self.out)
    }

    /// Writes what is in `out`, then `body`.
    async fn write(&mut self, body: Body, delimit: Delimit) -> io::Result<()> {
        let limit = self.shared.limits.write_timeout;
        match body {
            Body::Bytes(bytes) if bytes.len() <= JOINED_BYTES_MAX => {
                self.out.extend_from_slice(&bytes);
                self.wire.write_all(&self.out, limit).await
            }
            Body::Bytes(bytes) => {
                self.wire.write_all(&self.out, limit).await?;
                self.wire.write_all(&bytes, limit).await
            }
            Body::Stream(mut stream) => {
                self.wire.write_all(&self.out, limit).await?;
                let mut piece = vec![0; STREAM_CHUNK_BYTES];
                loop {
                    let count = stream.read(&mut piece).await?;
                    self.out.clear();
                    if delimit == Delimit::Chunked {
                        encode::chunk_head(count, &mut self.out);
                        self.out.extend_from_slice(&piece[..count]);
                        self.out.extend_from_slice(b"\r\n");
                    } else {
                        self.out.extend_from_slice(&piece[..count]);
                    }
                    self.wire.write_all(&self.out, limit).await?;
                    if count == 0 {
                        return Ok(());
                    }
                }
            }
        }
    }
}

fn delimit(response: &Response, version: Version) -> Delimit {
    match &response.body {
        _ if matches!(response.status, 204 | 304) => Delimit::Nothing,
        Body::Bytes(bytes) => Delimit::Length(bytes.len()),
        Body::Stream(_) if version == Version::Http11 => Delimit::Chunked,
        Body::Stream(_) => Delimit::End,
    }
}

fn refused(error: head::HeadError) -> Halt {
    Halt::Refuse(error.fault.status(), error.to_string())
}

fn chunk_refused(error: ChunkError) -> Halt {
    let status = match error {
        ChunkError::Malformed { .. } => 400,
        ChunkError::TooLarge { .. } => 413,
    };
    Halt::Refuse(status, error.to_string())
}

/// One request's part of the memory that all bodies share; given back on drop.
struct Budget<'a, H> {
    shared: &'a Shared<H>,
    held: usize,
}

impl<H> Budget<'_, H> {
    /// Raises what is held to `bytes`; false if that is more than there is.
    fn hold(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.held);
        if more == 0 {
            return true;
        }
        let granted = self.shared.take_body_bytes(more);
        if granted {
            self.held += more;
        }
        granted
    }
}

impl<H> Drop for Budget<'_, H> {
    fn drop(&mut self) {
        self.shared.give_body_bytes(self.held);
    }
}
