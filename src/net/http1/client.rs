//! The client side: one connection, one request after another, a time limit for each phase.
//!
//! Plain and small on purpose: no pool, no redirects, no retries. Whoever needs those knows better
//! than this module when they are safe.

use super::chunked::Decoder;
use super::encode::{self, EncodeError};
use super::head::{self, Framing, ResponseHead, Scan};
use super::message::{Headers, Method};
use super::socket::Socket;
use super::wire::{Fill, Wire};
use crate::base::clock::{self, Instant};
use crate::rt;
use futures_lite::{AsyncRead, AsyncWrite};
use smol::Async;
use std::borrow::Cow;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Sizes in bytes and durations that bound one exchange.
#[derive(Clone, Debug)]
pub struct ClientLimits {
    /// To establish the connection.
    pub connect_timeout: Duration,
    /// One write without progress.
    pub write_timeout: Duration,
    /// From the end of the request to the end of the answer's head.
    pub head_timeout: Duration,
    /// From the end of the head to the end of the body; for a streamed body, between two pieces.
    pub body_timeout: Duration,
    /// Status line and headers.
    pub head_bytes_max: usize,
    /// A body that is read whole.
    pub body_bytes_max: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            head_bytes_max: 32 * 1024,
            body_bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// Why an exchange failed. After any of these the connection is useless.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The answer's body or head is larger than the limits allow.
    #[error("answer larger than {max} bytes")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// The request could not be written as asked.
    #[error("malformed request")]
    Request(#[source] EncodeError),
    /// The stream failed.
    #[error("connection to the server")]
    Io(#[from] io::Error),
    /// The peer does not speak HTTP/1.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// A phase took too long.
    #[error("no {phase} within {limit:?}")]
    TimedOut {
        /// What was waited for.
        phase: &'static str,
        /// For how long.
        limit: Duration,
    },
    /// The peer ended the connection in the middle.
    #[error("connection closed before the end of the answer")]
    Truncated,
}

/// A request to send. Host, length and connection are added.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    /// What to do.
    pub method: Method,
    /// Name and port of the server as the user wrote them, for the Host header.
    pub authority: &'a str,
    /// Path and query, percent-encoded.
    pub target: &'a str,
    /// Further headers.
    pub headers: &'a [(Cow<'static, str>, Cow<'static, str>)],
    /// Sent with its length.
    pub body: &'a [u8],
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// 200 to 999.
    pub status: u16,
    /// As sent.
    pub headers: Headers,
    /// Without transfer coding.
    pub body: Vec<u8>,
}

/// Where a body that is being read stands.
#[derive(Debug)]
enum Reading {
    Chunked(Box<Decoder>),
    Done,
    End,
    Length(u64),
}

/// A connection to a server.
pub struct Client<S> {
    wire: Wire<S>,
    limits: ClientLimits,
    reading: Reading,
    keep_alive: bool,
}

/// Connects over TCP.
///
/// # Errors
///
/// If nobody listens there, or not within `limits.connect_timeout`.
pub async fn connect(
    address: SocketAddr,
    limits: ClientLimits,
) -> Result<Client<Socket>, ClientError> {
    let limit = limits.connect_timeout;
    let stream = rt::timeout(limit, Async::<TcpStream>::connect(address))
        .await
        .map_err(|_| ClientError::TimedOut {
            phase: "connection",
            limit,
        })??;
    Ok(Client::new(Socket::new(stream)?, limits))
}

/// Sends one GET on a connection of its own and gives the whole answer.
///
/// # Errors
///
/// [`ClientError`]; a status of 400 or more is no error.
pub async fn get(
    address: SocketAddr,
    target: &str,
    limits: ClientLimits,
) -> Result<Incoming, ClientError> {
    let authority = address.to_string();
    let request = Outgoing {
        method: Method::Get,
        authority: &authority,
        target,
        headers: &[],
        body: &[],
    };
    connect(address, limits).await?.call(&request).await
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// A client over a stream that is connected already.
    pub fn new(stream: S, limits: ClientLimits) -> Self {
        Self {
            wire: Wire::new(stream),
            limits,
            reading: Reading::Done,
            keep_alive: true,
        }
    }

    /// Whether another request may be sent: the last answer was read to its end, and the server did
    /// not say that it closes.
    pub fn is_reusable(&self) -> bool {
        self.keep_alive && matches!(self.reading, Reading::Done)
    }

    /// Sends a request and gives the whole answer.
    ///
    /// # Errors
    ///
    /// [`ClientError`]. When it comes after the request was sent, the outcome is unknown.
    ///
    /// # Panics
    ///
    /// If the connection is not reusable.
    pub async fn call(&mut self, request: &Outgoing<'_>) -> Result<Incoming, ClientError> {
        let head = self.begin(request).await?;
        let limit = self.limits.body_timeout;
        let until = clock::now() + limit;
        let mut body = Vec::new();
        while self.read_piece(until, &mut body).await? {
            if body.len() > self.limits.body_bytes_max {
                return Err(ClientError::TooLarge {
                    max: self.limits.body_bytes_max,
                });
            }
        }
        Ok(Incoming {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    /// Sends a request and gives the answer's head; read the body by [`Client::piece`].
    ///
    /// # Errors
    ///
    /// As [`Client::call`].
    ///
    /// # Panics
    ///
    /// If the connection is not reusable.
    pub async fn begin(&mut self, request: &Outgoing<'_>) -> Result<ResponseHead, ClientError> {
        assert!(self.is_reusable(), "an answer was not read to its end");
        let mut out = Vec::new();
        encode_request(request, &mut out)?;
        self.keep_alive = false;
        self.wire.write_all(&out, self.limits.write_timeout).await?;
        let until = clock::now() + self.limits.head_timeout;
        loop {
            let head = self.read_head(until).await?;
            // Provisional answers come before the real one.
            if head.status < 200 {
                continue;
            }
            self.keep_alive = head.keep_alive;
            self.reading = match head.framing {
                _ if request.method == Method::Head => Reading::Done,
                Framing::Length(0) => Reading::Done,
                Framing::Length(length) => Reading::Length(length),
                Framing::Chunked => Reading::Chunked(Box::new(Decoder::new(usize::MAX))),
                Framing::End => Reading::End,
            };
            return Ok(head);
        }
    }

    /// The next bytes of a streamed body; `None` at its end.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; [`ClientError::TimedOut`] if nothing comes within the body limit.
    pub async fn piece(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let until = clock::now() + self.limits.body_timeout;
        let mut piece = Vec::new();
        loop {
            let more = self.read_piece(until, &mut piece).await?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
            if !more {
                return Ok(None);
            }
        }
    }

    async fn read_head(&mut self, until: Instant) -> Result<ResponseHead, ClientError> {
        let mut scan = Scan::default();
        loop {
            let malformed = |error: head::HeadError| ClientError::Malformed(error.to_string());
            if let Some(len) = scan.advance(&self.wire.buf).map_err(malformed)? {
                let head = head::parse_response(&self.wire.buf[..len]).map_err(malformed)?;
                self.wire.consume(len);
                return Ok(head);
            }
            if self.wire.buf.len() > self.limits.head_bytes_max {
                return Err(ClientError::TooLarge {
                    max: self.limits.head_bytes_max,
                });
            }
            match self.wire.fill(until, None).await? {
                Fill::Bytes => {}
                Fill::Eof | Fill::Stopped => return Err(ClientError::Truncated),
                Fill::TimedOut => {
                    let limit = self.limits.head_timeout;
                    return Err(ClientError::TimedOut {
                        phase: "answer",
                        limit,
                    });
                }
            }
        }
    }

    /// Takes what is there of the body, waiting if it is nothing; false at the end.
    async fn read_piece(&mut self, until: Instant, out: &mut Vec<u8>) -> Result<bool, ClientError> {
        if matches!(self.reading, Reading::Done) {
            return Ok(false);
        }
        if self.wire.buf.is_empty() {
            match self.wire.fill(until, None).await? {
                Fill::Bytes => {}
                Fill::Eof if matches!(self.reading, Reading::End) => {
                    self.reading = Reading::Done;
                    return Ok(false);
                }
                Fill::Eof | Fill::Stopped => return Err(ClientError::Truncated),
                Fill::TimedOut => {
                    let limit = self.limits.body_timeout;
                    return Err(ClientError::TimedOut {
                        phase: "body",
                        limit,
                    });
                }
            }
        }
        let taken = match &mut self.reading {
            Reading::Chunked(decoder) => decoder
                .decode(&self.wire.buf, out)
                .map_err(|error| ClientError::Malformed(error.to_string()))?,
            Reading::Length(left) => {
                let have = self.wire.buf.len();
                let count = usize::try_from(*left).map_or(have, |left| left.min(have));
                out.extend_from_slice(&self.wire.buf[..count]);
                *left -= count as u64;
                count
            }
            Reading::Done | Reading::End => {
                out.extend_from_slice(&self.wire.buf);
                self.wire.buf.len()
            }
        };
        self.wire.consume(taken);
        let done = match &self.reading {
            Reading::Chunked(decoder) => decoder.is_done(),
            Reading::Length(left) => *left == 0,
            Reading::Done => true,
            Reading::End => false,
        };
        if done {
            self.reading = Reading::Done;
        }
        Ok(!done)
    }
}

fn encode_request(request: &Outgoing<'_>, out: &mut Vec<u8>) -> Result<(), ClientError> {
    encode::check(request.headers).map_err(ClientError::Request)?;
    for (name, text) in [("target", request.target), ("host", request.authority)] {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ClientError::Request(EncodeError::Value(name.to_owned())));
        }
    }
    write!(
        out,
        "{} {} HTTP/1.1\r\nhost: {}\r\n",
        request.method.as_str(),
        request.target,
        request.authority
    )?;
    encode::append(request.headers, out);
    let sends_body = matches!(request.method, Method::Patch | Method::Post | Method::Put);
    if sends_body || !request.body.is_empty() {
        write!(out, "content-length: {}\r\n", request.body.len())?;
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(request.body);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::http1::pipe;
    use futures_lite::{AsyncReadExt, AsyncWriteExt};

    fn limits() -> ClientLimits {
        ClientLimits {
            body_bytes_max: 1000,
            head_bytes_max: 1000,
            ..ClientLimits::default()
        }
    }

    fn request(method: Method) -> Outgoing<'static> {
        Outgoing {
            method,
            authority: "h:1",
            target: "/x",
            headers: &[],
            body: b"",
        }
    }

    /// What the client makes of `answer`, and whether it would go on.
    fn hear(method: Method, answer: &str) -> (Result<Incoming, ClientError>, bool) {
        rt::block_on(async {
            let (near, mut far) = pipe::pair(3);
            far.write_all(answer.as_bytes()).await.unwrap();
            far.close().await.unwrap();
            let mut client = Client::new(near, limits());
            let got = client.call(&request(method)).await;
            let reusable = client.is_reusable();
            drop(client);
            let mut sent = String::new();
            far.read_to_string(&mut sent).await.unwrap();
            assert!(sent.starts_with(&format!("{} /x HTTP/1.1\r\nhost: h:1\r\n", method.as_str())));
            (got, reusable)
        })
    }

    #[test]
    fn bodies_of_every_framing_are_read() {
        for (answer, body, reusable) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                "hello",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
                "hi",
                true,
            ),
            ("HTTP/1.1 200 OK\r\n\r\nto the end", "to the end", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "x", false),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
                "",
                true,
            ),
        ] {
            let (got, again) = hear(Method::Get, answer);
            assert_eq!(
                (got.unwrap().body, again),
                (body.as_bytes().to_vec(), reusable),
                "{answer}"
            );
        }
        let (got, again) = hear(Method::Head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        assert!(got.unwrap().body.is_empty() && again);
    }

    #[test]
    fn bad_answers_are_errors() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(2000));
        let big = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(2000));
        assert!(matches!(
            hear(Method::Get, "").0,
            Err(ClientError::Truncated)
        ));
        let short = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel";
        assert!(matches!(
            hear(Method::Get, short).0,
            Err(ClientError::Truncated)
        ));
        assert!(matches!(
            hear(Method::Post, "SMTP\r\n\r\n").0,
            Err(ClientError::Malformed(_))
        ));
        assert!(matches!(
            hear(Method::Get, &long).0,
            Err(ClientError::TooLarge { max: 1000 })
        ));
        assert!(matches!(
            hear(Method::Get, &big).0,
            Err(ClientError::TooLarge { max: 1000 })
        ));
    }

    #[test]
    fn a_request_cannot_be_split_by_its_parts() {
        let mut out = Vec::new();
        let bad = Outgoing {
            target: "/x HTTP/1.1\r\nA: b",
            ..request(Method::Get)
        };
        assert!(matches!(
            encode_request(&bad, &mut out),
            Err(ClientError::Request(_))
        ));
    }
}
