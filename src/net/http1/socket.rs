//! A TCP stream whose close tells the peer.

use futures_lite::{AsyncRead, AsyncWrite};
use smol::Async;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// An async TCP stream. Unlike `smol::Async` alone, closing it ends our side of the connection, so
/// that the peer sees the end while its own last bytes can still be read.
#[derive(Debug)]
pub struct Socket {
    stream: Async<TcpStream>,
    /// The last read took all that was there: the next one waits before it tries. Most requests come when
    /// the one before has been answered, and a read in vain costs a system call for each.
    is_drained: bool,
}

impl Socket {
    /// Wraps `stream` and turns the gathering of small writes off: every answer is written whole.
    pub fn new(stream: Async<TcpStream>) -> io::Result<Self> {
        stream.get_ref().set_nodelay(true)?;
        Ok(Self {
            stream,
            is_drained: false,
        })
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_drained {
            // Once: whatever wakes the reader, it looks before it believes that nothing came.
            self.is_drained = false;
            ready!(self.stream.poll_readable(cx))?;
        }
        let count = ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.is_drained = count < buf.len();
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.get_ref().shutdown(Shutdown::Write))
    }
}
