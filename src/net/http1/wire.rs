//! A stream with its read buffer and one lazy timer.

use crate::base::clock::{self, Instant};
use crate::rt;
use futures_lite::{AsyncRead, AsyncWrite};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

const SCRATCH_BYTES: usize = 16 * 1024;

thread_local! {
    /// Reads land here first and are copied to the connection's buffer in the same poll: a thousand
    /// idle connections hold no buffers, and no zeroed tail can be left behind.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// A timer that is armed seldom: moving the deadline later costs nothing until it fires.
#[derive(Default)]
struct LazyTimer(Option<(Instant, Stop)>);

impl LazyTimer {
    fn poll_passed(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.0 {
                Some((armed, timer)) if *armed <= deadline => {
                    ready!(timer.as_mut().poll(cx));
                    self.0 = None;
                    if clock::now() >= deadline {
                        return Poll::Ready(());
                    }
                }
                _ => self.0 = Some((deadline, Box::pin(rt::sleep_until(deadline)))),
            }
        }
    }
}

/// A wait that can be polled again and again.
pub(super) type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a wait for bytes ended with.
#[derive(Debug)]
pub(super) enum Fill {
    /// The buffer has grown.
    Bytes,
    /// The peer has ended its side.
    Eof,
    /// The stop signal was given, and no bytes were there.
    Stopped,
    /// The deadline passed, and no bytes were there.
    TimedOut,
}

/// A stream and the bytes read from it that nobody has taken yet.
pub(super) struct Wire<S> {
    stream: S,
    pub(super) buf: Vec<u8>,
    timer: LazyTimer,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            buf: Vec::new(),
            timer: LazyTimer::default(),
        }
    }

    /// Waits for more bytes in the buffer, until `deadline` or until `stop` ends.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost: bytes are either in the buffer or still in the stream.
    pub(super) async fn fill(
        &mut self,
        deadline: Instant,
        mut stop: Option<&mut Stop>,
    ) -> io::Result<Fill> {
        poll_fn(|cx| {
            match self.poll_read(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(Fill::Eof)),
                Poll::Ready(Ok(_)) => return Poll::Ready(Ok(Fill::Bytes)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
            if let Some(stop) = stop.as_mut()
                && stop.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Ok(Fill::Stopped));
            }
            self.timer
                .poll_passed(deadline, cx)
                .map(|()| Ok(Fill::TimedOut))
        })
        .await
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let count = ready!(Pin::new(&mut self.stream).poll_read(cx, scratch))?;
            self.buf.extend_from_slice(&scratch[..count]);
            Poll::Ready(Ok(count))
        })
    }

    /// Writes all of `bytes`; `limit` bounds each stretch without progress.
    pub(super) async fn write_all(&mut self, bytes: &[u8], limit: Duration) -> io::Result<()> {
        let mut written = 0;
        let mut deadline = None;
        poll_fn(|cx| {
            while written < bytes.len() {
                match Pin::new(&mut self.stream).poll_write(cx, &bytes[written..]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(count)) => {
                        written += count;
                        deadline = None;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        let until = *deadline.get_or_insert_with(|| clock::now() + limit);
                        return self
                            .timer
                            .poll_passed(until, cx)
                            .map(|()| Err(io::ErrorKind::TimedOut.into()));
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        self.flush(limit).await
    }

    async fn flush(&mut self, limit: Duration) -> io::Result<()> {
        let until = clock::now() + limit;
        poll_fn(|cx| match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => self
                .timer
                .poll_passed(until, cx)
                .map(|()| Err(io::ErrorKind::TimedOut.into())),
        })
        .await
    }

    /// Ends our side of the stream.
    pub(super) async fn close(&mut self, limit: Duration) -> io::Result<()> {
        let until = clock::now() + limit;
        poll_fn(|cx| match Pin::new(&mut self.stream).poll_close(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => self
                .timer
                .poll_passed(until, cx)
                .map(|()| Err(io::ErrorKind::TimedOut.into())),
        })
        .await
    }

    /// Ends our side, then throws away what the peer still sends until it ends or `limit` passes:
    /// closing a socket with unread bytes resets it, and a reset can overtake the answer.
    pub(super) async fn linger(&mut self, limit: Duration) -> io::Result<()> {
        let until = clock::now() + limit;
        self.close(limit).await?;
        loop {
            self.buf.clear();
            match self.fill(until, None).await? {
                Fill::Bytes => {}
                Fill::Eof | Fill::Stopped | Fill::TimedOut => return Ok(()),
            }
            // A peer that never stops sending must not keep this loop past its time.
            if clock::now() >= until {
                return Ok(());
            }
        }
    }

    /// Removes the first `count` bytes of the buffer.
    pub(super) fn consume(&mut self, count: usize) {
        if count == self.buf.len() {
            self.buf.clear();
        } else {
            self.buf.drain(..count);
        }
        if self.buf.is_empty() && self.buf.capacity() > 4 * SCRATCH_BYTES {
            self.buf = Vec::new();
        }
    }
}
