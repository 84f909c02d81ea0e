//! Frames inside Noise: whole messages in order, or an error.
//!
//! A message is one frame (`base::frame`); frames follow each other without regard to the records that
//! carry them. Memory per connection is bounded by the frame limit plus two records.

use super::keys::SecretKey;
use super::noise::{self, BadRecord, Cipher, HandshakeError, RECORD_BYTES_MAX, TAG_BYTES};
use super::preamble::Protocol;
use crate::base::frame::{self, FrameError};
use crate::rt;
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use smol::net::TcpStream;
use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use thiserror::Error;

/// Bytes of plain text in one record.
const RECORD_PLAIN_MAX: usize = RECORD_BYTES_MAX - TAG_BYTES;

/// What a buffer keeps for the next message.
const PLAIN_KEPT_BYTES: usize = 4 * RECORD_BYTES_MAX;

/// Length of a record's length.
const PREFIX_BYTES: usize = 2;

/// Why a connection is over.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// The other side closed it, not within a message.
    #[error("the other side closed the connection")]
    Closed,
    /// There are more connections than we serve.
    #[error("too many connections")]
    Crowded,
    /// The other side closed it within a message.
    #[error("the connection was cut within a message")]
    Cut,
    /// What came is not a frame.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// The handshake failed.
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    /// The connection failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What came was changed under way.
    #[error("{0}")]
    Record(#[from] BadRecord),
    /// The other side took too long.
    #[error("{what} took longer than {limit:?}")]
    Slow {
        /// What did.
        what: &'static str,
        /// What it may take.
        limit: Duration,
    },
}

/// Reads frames.
#[derive(Debug)]
pub struct FrameReader<R = TcpStream> {
    stream: R,
    cipher: Cipher,
    nonce: u64,
    limit: usize,
    /// Encrypted bytes that have come; those in `raw_taken..raw_filled` are not decrypted yet.
    raw: Vec<u8>,
    raw_taken: usize,
    raw_filled: usize,
    /// Plain bytes; those before `plain_taken` have been handed out.
    plain: Vec<u8>,
    plain_taken: usize,
    /// Bytes that have come.
    received: Arc<AtomicU64>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from `stream`, whose next record has number `first`; refuses frames over `limit` bytes.
    pub fn new(stream: R, cipher: Cipher, first: u64, limit: usize) -> Self {
        Self {
            stream,
            cipher,
            nonce: first,
            limit,
            raw: vec![0; PREFIX_BYTES + RECORD_BYTES_MAX],
            raw_taken: 0,
            raw_filled: 0,
            plain: Vec::new(),
            plain_taken: 0,
            received: Arc::default(),
        }
    }

    /// Counts the bytes that come: tells a long message under way from silence.
    pub fn received(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.received)
    }

    /// Waits for the next whole message.
    ///
    /// # Errors
    ///
    /// Any error is final: the connection must be dropped.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost when the future is dropped; the next call goes on.
    pub async fn receive(&mut self) -> Result<Vec<u8>, ConnectionError> {
        self.receive_with(<[u8]>::to_vec).await
    }

    /// As [`FrameReader::receive`], but gives what `read` makes of the message where it lies.
    ///
    /// # Errors
    ///
    /// As [`FrameReader::receive`].
    ///
    /// # Cancellation
    ///
    /// As [`FrameReader::receive`].
    pub async fn receive_with<T>(
        &mut self,
        read: impl Fn(&[u8]) -> T,
    ) -> Result<T, ConnectionError> {
        loop {
            if let Some(made) = self.take_frame(&read)? {
                return Ok(made);
            }
            if self.open_record()? {
                continue;
            }
            let read = self.stream.read(&mut self.raw[self.raw_filled..]).await?;
            if read == 0 {
                return Err(self.end());
            }
            self.raw_filled += read;
            self.received.fetch_add(read as u64, Ordering::Relaxed);
        }
    }

    fn take_frame<T>(&mut self, read: impl Fn(&[u8]) -> T) -> Result<Option<T>, ConnectionError> {
        let found = frame::decode(&self.plain, self.plain_taken, self.limit)?;
        let Some((payload, next)) = found else {
            self.plain.drain(..self.plain_taken);
            self.plain_taken = 0;
            return Ok(None);
        };
        let made = read(payload);
        self.plain_taken = next;
        if next == self.plain.len() {
            self.plain.clear();
            self.plain_taken = 0;
            // Gives the memory of a rare large message back.
            self.plain.shrink_to(PLAIN_KEPT_BYTES);
        }
        Ok(Some(made))
    }

    /// Decrypts one record if a whole one is there; makes room for more if not.
    fn open_record(&mut self) -> Result<bool, ConnectionError> {
        let waiting = &self.raw[self.raw_taken..self.raw_filled];
        if let Some((prefix, rest)) = waiting.split_first_chunk::<PREFIX_BYTES>()
            && let Some(record) = rest.get(..usize::from(u16::from_be_bytes(*prefix)))
        {
            self.cipher.open(self.nonce, record, &mut self.plain)?;
            self.nonce += 1;
            self.raw_taken += PREFIX_BYTES + record.len();
            return Ok(true);
        }
        self.raw.copy_within(self.raw_taken..self.raw_filled, 0);
        self.raw_filled -= self.raw_taken;
        self.raw_taken = 0;
        Ok(false)
    }

    fn end(&self) -> ConnectionError {
        if self.raw_filled == 0 && self.plain.is_empty() {
            ConnectionError::Closed
        } else {
            ConnectionError::Cut
        }
    }
}

/// Writes frames.
#[derive(Debug)]
pub struct FrameWriter<W = TcpStream> {
    stream: W,
    cipher: Cipher,
    nonce: u64,
    plain: Vec<u8>,
    wire: Vec<u8>,
    /// A write was begun and not finished: what follows would be garbage.
    broken: bool,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes to `stream`, whose next record has number `first`.
    pub fn new(stream: W, cipher: Cipher, first: u64) -> Self {
        Self {
            stream,
            cipher,
            nonce: first,
            plain: Vec::new(),
            wire: Vec::new(),
            broken: false,
        }
    }

    /// Puts a message into the buffer; [`FrameWriter::flush`] sends it.
    pub fn feed(&mut self, payload: &[u8]) {
        frame::encode(payload, &mut self.plain);
    }

    /// Puts a message into the buffer that `fill` appends to what it is given.
    pub fn feed_with(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        frame::encode_with(&mut self.plain, fill);
    }

    /// How many bytes wait for [`FrameWriter::flush`].
    pub fn buffered(&self) -> usize {
        self.plain.len()
    }

    /// Sends what was fed.
    ///
    /// # Errors
    ///
    /// Any error is final: the connection must be dropped.
    ///
    /// # Cancellation
    ///
    /// A flush that was dropped in the middle breaks the connection: every later one fails.
    pub async fn flush(&mut self) -> Result<(), ConnectionError> {
        if self.broken {
            return Err(ConnectionError::Cut);
        }
        self.broken = true;
        self.wire.clear();
        for part in self.plain.chunks(RECORD_PLAIN_MAX) {
            self.cipher.seal(self.nonce, part, &mut self.wire);
            self.nonce += 1;
        }
        self.plain.clear();
        self.plain.shrink_to(PLAIN_KEPT_BYTES);
        self.stream.write_all(&self.wire).await?;
        self.stream.flush().await?;
        self.wire.shrink_to(PLAIN_KEPT_BYTES);
        self.broken = false;
        Ok(())
    }

    /// Feeds and flushes one message.
    ///
    /// # Errors
    ///
    /// As [`FrameWriter::flush`].
    pub async fn send(&mut self, payload: &[u8]) -> Result<(), ConnectionError> {
        self.feed(payload);
        self.flush().await
    }

    /// Tells the other side that nothing follows.
    ///
    /// # Errors
    ///
    /// As [`FrameWriter::flush`].
    pub async fn close(&mut self) -> Result<(), ConnectionError> {
        Ok(self.stream.close().await?)
    }
}

/// An established connection.
#[derive(Debug)]
pub struct Connection {
    /// What comes.
    pub reader: FrameReader,
    /// What goes.
    pub writer: FrameWriter,
    /// Ends both from elsewhere.
    pub hangup: Hangup,
}

impl Connection {
    fn new(stream: TcpStream, cipher: Cipher, reads: u64, writes: u64, limit: usize) -> Self {
        Self {
            reader: FrameReader::new(stream.clone(), cipher.clone(), reads, limit),
            writer: FrameWriter::new(stream.clone(), cipher, writes),
            hangup: Hangup(stream),
        }
    }
}

/// Ends a connection whose halves are elsewhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hangup(TcpStream);

impl Hangup {
    /// Ends both directions now; whoever waits in one of the halves is woken.
    pub fn hang_up(&self) {
        if let Err(error) = self.0.shutdown(Shutdown::Both) {
            log::debug!("hang up: {error}");
        }
    }
}

/// Opens a connection on a fresh stream: preamble, handshake, frames up to `limit` bytes.
///
/// # Errors
///
/// Different keys, a failing connection, or more than `patience` for the handshake.
pub async fn dial(
    mut stream: TcpStream,
    protocol: Protocol,
    key: &SecretKey,
    limit: usize,
    patience: Duration,
) -> Result<Connection, ConnectionError> {
    stream.set_nodelay(true)?;
    let cipher = in_time(patience, noise::dial(&mut stream, protocol, key)).await?;
    let (reads, writes) = (noise::ACCEPTOR_FIRST, noise::DIALER_FIRST);
    Ok(Connection::new(stream, cipher, reads, writes, limit))
}

/// Answers a dialer whose preamble named `protocol`.
///
/// # Errors
///
/// A dialer without the key, a failing connection, or more than `patience` for the handshake.
pub async fn accept(
    mut stream: TcpStream,
    protocol: Protocol,
    key: &SecretKey,
    limit: usize,
    patience: Duration,
) -> Result<Connection, ConnectionError> {
    stream.set_nodelay(true)?;
    let cipher = in_time(patience, noise::accept(&mut stream, protocol, key)).await?;
    let (reads, writes) = (noise::DIALER_FIRST, noise::ACCEPTOR_FIRST);
    Ok(Connection::new(stream, cipher, reads, writes, limit))
}

async fn in_time(
    limit: Duration,
    handshake: impl Future<Output = Result<Cipher, HandshakeError>>,
) -> Result<Cipher, ConnectionError> {
    match rt::timeout(limit, handshake).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(ConnectionError::Slow {
            what: "the handshake",
            limit,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::net::PREAMBLE_BYTES;
    use crate::net::keys::KeyKind;
    use futures_lite::future::zip;
    use futures_lite::io::Cursor;
    use smol::net::unix::UnixStream;

    const LIMIT: usize = 200_000;

    fn ciphers() -> (Cipher, Cipher) {
        let key = SecretKey::from_bytes(KeyKind::Agent, [1; 32]);
        let (mut near, mut far) = UnixStream::pair().unwrap();
        rt::block_on(async {
            let (near, far) = zip(noise::dial(&mut near, Protocol::Agent, &key), async {
                let mut preamble = [0; PREAMBLE_BYTES];
                far.read_exact(&mut preamble).await.unwrap();
                noise::accept(&mut far, Protocol::Agent, &key).await
            })
            .await;
            (near.unwrap(), far.unwrap())
        })
    }

    /// All messages that come out of `wire`, and the error at its end.
    fn read_all(cipher: &Cipher, wire: Vec<u8>) -> (Vec<Vec<u8>>, ConnectionError) {
        let mut reader = FrameReader::new(Cursor::new(wire), cipher.clone(), 1, LIMIT);
        let mut messages = Vec::new();
        loop {
            match rt::block_on(reader.receive()) {
                Ok(message) => messages.push(message),
                Err(error) => return (messages, error),
            }
        }
    }

    fn write_all(cipher: &Cipher, messages: &[Vec<u8>], batch: usize) -> Vec<u8> {
        let mut writer = FrameWriter::new(Vec::new(), cipher.clone(), 1);
        for part in messages.chunks(batch) {
            part.iter().for_each(|m| writer.feed(m));
            rt::block_on(writer.flush()).unwrap();
        }
        writer.stream
    }

    #[test]
    fn messages_of_any_size_and_batching_come_back_in_order() {
        let (near, far) = ciphers();
        let sizes = [0, 1, 65_511, 65_512, 70_000, 0, 200_000, 3];
        let messages: Vec<Vec<u8>> = sizes.iter().map(|n| vec![*n as u8; *n]).collect();
        for batch in [1, 2, 3, 8] {
            let (read, end) = read_all(&far, write_all(&near, &messages, batch));
            assert!(read == messages, "batch {batch}");
            assert!(matches!(end, ConnectionError::Closed), "{end}");
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_refused() {
        let (near, far) = ciphers();
        let (read, end) = read_all(&far, write_all(&near, &[vec![0; LIMIT + 1]], 1));
        assert!(read.is_empty());
        assert!(matches!(
            end,
            ConnectionError::Frame(FrameError::TooLong { .. })
        ));
    }

    #[test]
    fn changed_wires_give_a_true_prefix_and_an_error() {
        let (near, far) = ciphers();
        let messages: Vec<Vec<u8>> = (0..6u8).map(|n| vec![n; usize::from(n) * 9]).collect();
        let wire = write_all(&near, &messages, 2);
        let check = |bad: Vec<u8>, what: &str| {
            let (read, end) = read_all(&far, bad);
            assert!(messages.starts_with(&read), "{what}");
            assert!(read.len() < messages.len(), "{what}: {end}");
        };
        for cut in 0..wire.len() {
            check(wire[..cut].to_vec(), &format!("cut at {cut}"));
        }
        for bit in 0..wire.len() * 8 {
            let mut bad = wire.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            check(bad, &format!("bit {bit}"));
        }
        let mut rng = Rng::from_seed(5);
        for round in 0..200 {
            let mut bad = wire.clone();
            let at = rng.index(bad.len());
            let upto = at + rng.index(bad.len() - at) + 1;
            if rng.one_in(2) {
                bad.drain(at..upto);
            } else {
                let copy = bad[at..upto].to_vec();
                bad.splice(at..at, copy);
            }
            // Whole repeated records at the end are an error only after everything was read.
            let (read, _) = read_all(&far, bad);
            assert!(messages.starts_with(&read), "round {round}");
        }
    }

    #[test]
    fn what_an_authenticated_peer_sends_is_still_bounded() {
        let (near, far) = ciphers();
        let mut rng = Rng::from_seed(6);
        for _ in 0..200 {
            let mut wire = Vec::new();
            for nonce in 1..4 {
                let plain: Vec<u8> = (0..rng.index(40)).map(|_| rng.next_u64() as u8).collect();
                near.seal(nonce, &plain, &mut wire);
            }
            let (read, _) = read_all(&far, wire);
            assert!(read.iter().all(|m| m.len() <= 120));
        }
    }

    #[test]
    fn a_flush_that_was_dropped_breaks_the_connection() {
        let (near, _far) = ciphers();
        let (stream, _unread) = UnixStream::pair().unwrap();
        let mut writer = FrameWriter::new(stream, near, 1);
        rt::block_on(async {
            let endless = async {
                loop {
                    writer.send(&[0; 60_000]).await.unwrap();
                }
            };
            assert!(
                rt::timeout(Duration::from_millis(50), endless)
                    .await
                    .is_err()
            );
            assert!(matches!(writer.send(b"x").await, Err(ConnectionError::Cut)));
        });
    }
}
