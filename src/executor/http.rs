//! One small HTTP call to the task itself, without waiting: the loop drives it.

use crate::base::clock::Instant;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, socket};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// More of an answer is not read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What the task answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// A call under way.
#[derive(Debug)]
pub(super) struct Call {
    stream: TcpStream,
    unsent: Vec<u8>,
    received: Vec<u8>,
    deadline: Instant,
}

impl Call {
    /// Begins a call to a port of this machine.
    pub(super) fn begin(
        method: &str,
        port: u16,
        path: &str,
        deadline: Instant,
    ) -> std::io::Result<Self> {
        if path.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(ErrorKind::InvalidInput.into());
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        let length = if method == "POST" {
            "Content-Length: 0\r\n"
        } else {
            ""
        };
        let request = format!(
            "{method} {slash}{path} HTTP/1.0\r\nHost: localhost:{port}\r\nAccept: */*\r\n{length}\
             Connection: close\r\n\r\n"
        );
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
        match connect(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port)) {
            Ok(()) | Err(nix::errno::Errno::EINPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Self {
            stream: TcpStream::from(socket),
            unsent: request.into_bytes(),
            received: Vec::new(),
            deadline,
        })
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    pub(super) fn wants_write(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Goes on as far as the socket allows. Some when the call is over.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Result<Answer, String>> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(error) if is_pause(error.kind()) => return self.late(now),
                Err(error) => return Some(Err(error.to_string())),
            }
        }
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Some(parse(&self.received)),
                Ok(read) => self.received.extend_from_slice(&buffer[..read]),
                Err(error) if is_pause(error.kind()) => {
                    return self.complete().or_else(|| self.late(now));
                }
                Err(_) if !self.received.is_empty() => return Some(parse(&self.received)),
                Err(error) => return Some(Err(error.to_string())),
            }
            if self.received.len() >= ANSWER_BYTES_MAX {
                return Some(parse(&self.received));
            }
        }
    }

    fn late(&self, now: Instant) -> Option<Result<Answer, String>> {
        (self.deadline <= now).then(|| Err("timed out".to_owned()))
    }

    /// An answer that says its length need not close the connection.
    fn complete(&self) -> Option<Result<Answer, String>> {
        let (head, body) = split_head(&self.received)?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().ok())?
        })?;
        (body.len() >= length).then(|| parse(&self.received))
    }
}

/// Nothing to do now: not connected yet, or no room, or nothing to read.
fn is_pause(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Interrupted | ErrorKind::NotConnected | ErrorKind::WouldBlock
    )
}

fn split_head(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    Some((head, &bytes[end + 4..]))
}

fn parse(bytes: &[u8]) -> Result<Answer, String> {
    let (head, body) = split_head(bytes).ok_or("no HTTP answer")?;
    let mut words = head.split_ascii_whitespace();
    let is_http = words.next().is_some_and(|it| it.starts_with("HTTP/"));
    let status = words.next().and_then(|it| it.parse().ok());
    match status {
        Some(status) if is_http => Ok(Answer {
            status,
            body: String::from_utf8_lossy(body).into_owned(),
        }),
        _ => Err("no HTTP answer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_nonsense_is_not() {
        let answer = parse(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nok\n").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
        for bad in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"SSH-2.0-x\r\n\r\n",
            b"\xff\r\n\r\n",
        ] {
            assert!(parse(bad).is_err());
        }
    }
}
