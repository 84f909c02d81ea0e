//! The Noise handshake with a pre-shared key, and the cipher that comes out of it.
//!
//! Pattern `NNpsk0`: both sides bring fresh keys, and the pre-shared key is mixed in before the first
//! byte is read. A dialer without the key is therefore refused at its first message, before anything is
//! computed or told; recorded traffic stays unreadable if the key leaks later; and nothing but the one
//! key has to be distributed. BLAKE2s and ChaCha20-Poly1305 are fast on every machine without special
//! instructions. The protocol's preamble is the prologue, so that a connection for one protocol cannot
//! be passed off as another.
//!
//! A first message can be replayed, so the acceptor believes the dialer only after a third message: an
//! empty record under the new keys. On the wire every message is a `u16` big-endian length and that many
//! bytes. An acceptor that cannot read the first message answers with length zero, in the clear, and
//! closes: it tells only what closing would tell, but the dialer can name the cause.

use super::keys::SecretKey;
use super::preamble::Protocol;
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use snow::{Builder, HandshakeState, StatelessTransportState};
use std::fmt;
use std::io;
use std::sync::Arc;
use thiserror::Error;

const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";

/// What authentication adds to a message.
pub const TAG_BYTES: usize = 16;

/// Longest record on the wire, without its length.
pub const RECORD_BYTES_MAX: usize = 65_535;

/// Longest handshake message; ours have 48 bytes.
const HANDSHAKE_BYTES_MAX: usize = 96;

/// Why two sides did not come together.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// The other side went away in the middle.
    #[error("the other side closed the connection during the handshake")]
    Closed,
    /// The connection failed.
    #[error("connection failed during the handshake: {0}")]
    Io(#[from] io::Error),
    /// What came is longer than any handshake message.
    #[error("handshake message of {0} bytes is over the limit of {HANDSHAKE_BYTES_MAX}")]
    TooLong(usize),
    /// The two sides hold different keys.
    #[error("the other side does not hold the same {0}; copy the key file of the scheduler")]
    WrongKey(super::keys::KeyKind),
}

/// Both directions of an established connection: encrypts and decrypts single records.
///
/// Cheap to clone. The halves keep their own count of records; a record out of order does not decrypt.
#[derive(Clone)]
pub struct Cipher {
    state: Arc<StatelessTransportState>,
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher")
    }
}

/// A record was not made by the other side, or not as the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("record {0} is damaged or not from the other side")]
pub struct BadRecord(pub u64);

impl Cipher {
    /// Appends record number `nonce` with `plain` to `out`, its length first.
    ///
    /// # Panics
    ///
    /// If `plain` is longer than a record can carry.
    pub fn seal(&self, nonce: u64, plain: &[u8], out: &mut Vec<u8>) {
        let length = plain.len() + TAG_BYTES;
        let prefix = u16::try_from(length).expect("callers cut records to size");
        out.extend_from_slice(&prefix.to_be_bytes());
        let start = out.len();
        out.resize(start + length, 0);
        let written = self.state.write_message(nonce, plain, &mut out[start..]);
        assert_eq!(written.ok(), Some(length), "the buffer has the right size");
    }

    /// Appends what record number `nonce` holds to `out`. `record` comes without its length.
    ///
    /// # Errors
    ///
    /// A record that does not authenticate; `out` is as before.
    pub fn open(&self, nonce: u64, record: &[u8], out: &mut Vec<u8>) -> Result<(), BadRecord> {
        let start = out.len();
        let length = record
            .len()
            .checked_sub(TAG_BYTES)
            .ok_or(BadRecord(nonce))?;
        out.resize(start + length, 0);
        match self.state.read_message(nonce, record, &mut out[start..]) {
            Ok(read) if read == length => Ok(()),
            _ => {
                out.truncate(start);
                Err(BadRecord(nonce))
            }
        }
    }
}

/// The first record number of the dialer's direction; number zero confirmed the handshake.
pub const DIALER_FIRST: u64 = 1;
/// The first record number of the acceptor's direction.
pub const ACCEPTOR_FIRST: u64 = 0;

/// Greets as `protocol` and shows that we hold `key`.
///
/// # Errors
///
/// A connection that fails or closes, and different keys. Has no time limit of its own.
///
/// # Panics
///
/// If `key` is not of the kind that the protocol uses.
pub async fn dial<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    protocol: Protocol,
    key: &SecretKey,
) -> Result<Cipher, HandshakeError> {
    let wrong_key = || HandshakeError::WrongKey(key.kind());
    let mut state = begin(protocol, key, true);
    let mut message = [0; HANDSHAKE_BYTES_MAX];
    let length = state
        .write_message(&[], &mut message)
        .expect("96 bytes hold a first message");
    let mut first = protocol.preamble().to_vec();
    push_record(&message[..length], &mut first);
    stream.write_all(&first).await?;
    stream.flush().await?;
    let answer = read_short_record(stream, &mut message).await?;
    if answer.is_empty() {
        return Err(wrong_key());
    }
    state
        .read_message(answer, &mut [])
        .map_err(|_| wrong_key())?;
    let cipher = finish(state);
    let mut confirmation = Vec::new();
    cipher.seal(0, &[], &mut confirmation);
    stream.write_all(&confirmation).await?;
    stream.flush().await?;
    Ok(cipher)
}

/// Answers a dialer whose preamble has been read already.
///
/// # Errors
///
/// A connection that fails or closes, a dialer without the key, bytes that are no handshake. Has no time
/// limit of its own.
///
/// # Panics
///
/// If `key` is not of the kind that the protocol uses.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    protocol: Protocol,
    key: &SecretKey,
) -> Result<Cipher, HandshakeError> {
    let wrong_key = || HandshakeError::WrongKey(key.kind());
    let mut state = begin(protocol, key, false);
    let mut message = [0; HANDSHAKE_BYTES_MAX];
    let first = read_short_record(stream, &mut message).await?;
    if state.read_message(first, &mut []).is_err() {
        stream.write_all(&[0, 0]).await?;
        stream.flush().await?;
        return Err(wrong_key());
    }
    let length = state
        .write_message(&[], &mut message)
        .expect("96 bytes hold a second message");
    let mut answer = Vec::new();
    push_record(&message[..length], &mut answer);
    stream.write_all(&answer).await?;
    stream.flush().await?;
    let cipher = finish(state);
    let confirmation = read_short_record(stream, &mut message).await?;
    let mut nothing = Vec::new();
    match cipher.open(0, confirmation, &mut nothing) {
        Ok(()) if nothing.is_empty() => Ok(cipher),
        _ => Err(wrong_key()),
    }
}

fn begin(protocol: Protocol, key: &SecretKey, dialer: bool) -> HandshakeState {
    assert_eq!(key.kind(), protocol.key_kind(), "key for {protocol:?}");
    let params = PATTERN.parse().expect("the pattern is well formed");
    let built = Builder::new(params)
        .psk(0, key.bytes())
        .and_then(|b| b.prologue(protocol.preamble()))
        .and_then(|b| {
            if dialer {
                b.build_initiator()
            } else {
                b.build_responder()
            }
        });
    built.expect("pattern, key and prologue are complete")
}

fn finish(state: HandshakeState) -> Cipher {
    let state = state
        .into_stateless_transport_mode()
        .expect("two messages complete this pattern");
    Cipher {
        state: Arc::new(state),
    }
}

fn push_record(message: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(message.len()).expect("handshake messages are short");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(message);
}

async fn read_short_record<'b, S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &'b mut [u8; HANDSHAKE_BYTES_MAX],
) -> Result<&'b [u8], HandshakeError> {
    let mut prefix = [0; 2];
    read_exact(stream, &mut prefix).await?;
    let length = usize::from(u16::from_be_bytes(prefix));
    let message = buffer
        .get_mut(..length)
        .ok_or(HandshakeError::TooLong(length))?;
    read_exact(stream, message).await?;
    Ok(message)
}

async fn read_exact<S: AsyncRead + Unpin>(
    stream: &mut S,
    out: &mut [u8],
) -> Result<(), HandshakeError> {
    stream
        .read_exact(out)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => HandshakeError::Closed,
            _ => HandshakeError::Io(error),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::net::PREAMBLE_BYTES;
    use crate::net::keys::KeyKind;
    use crate::rt;
    use futures_lite::future::zip;
    use smol::net::unix::UnixStream;

    fn key(byte: u8) -> SecretKey {
        SecretKey::from_bytes(KeyKind::Agent, [byte; 32])
    }

    async fn accept_after_preamble(
        mut stream: UnixStream,
        protocol: Protocol,
        key: &SecretKey,
    ) -> Result<Cipher, HandshakeError> {
        let mut preamble = [0; PREAMBLE_BYTES];
        stream.read_exact(&mut preamble).await?;
        accept(&mut stream, protocol, key).await
    }

    type Ends = (
        Result<Cipher, HandshakeError>,
        Result<Cipher, HandshakeError>,
    );

    fn shake(dialer: SecretKey, acceptor: SecretKey, served: Protocol) -> Ends {
        let (mut near, far) = UnixStream::pair().unwrap();
        rt::block_on(zip(
            async move { dial(&mut near, Protocol::Agent, &dialer).await },
            accept_after_preamble(far, served, &acceptor),
        ))
    }

    #[test]
    fn both_sides_with_the_key_understand_each_other() {
        let (near, far) = shake(key(1), key(1), Protocol::Agent);
        let (near, far) = (near.unwrap(), far.unwrap());
        let mut wire = Vec::new();
        near.seal(1, b"hello", &mut wire);
        assert!(!wire.windows(5).any(|w| w == b"hello"));
        let mut plain = b"kept ".to_vec();
        far.open(1, &wire[2..], &mut plain).unwrap();
        assert_eq!(plain, b"kept hello");
        assert_eq!(far.open(2, &wire[2..], &mut plain), Err(BadRecord(2)));
        assert_eq!(near.open(1, &wire[2..], &mut plain), Err(BadRecord(1)));
        assert_eq!(plain, b"kept hello");
    }

    #[test]
    fn different_keys_are_named_on_both_sides() {
        let (near, far) = shake(key(1), key(2), Protocol::Agent);
        assert!(matches!(
            near,
            Err(HandshakeError::WrongKey(KeyKind::Agent))
        ));
        assert!(matches!(far, Err(HandshakeError::WrongKey(KeyKind::Agent))));
    }

    #[test]
    fn a_connection_cannot_be_passed_off_as_another_protocol() {
        let replica = SecretKey::from_bytes(KeyKind::Replica, [1; 32]);
        let (near, far) = shake(key(1), replica, Protocol::Replica);
        assert!(near.is_err() && far.is_err());
    }

    /// What `acceptor` says to a dialer that sends `bytes` and goes away.
    fn against(bytes: Vec<u8>) -> Result<Cipher, HandshakeError> {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let talk = async move {
            // The acceptor may have hung up already.
            near.write_all(&bytes).await.ok();
            near.shutdown(std::net::Shutdown::Write).ok();
            near.read_to_end(&mut Vec::new()).await.ok();
        };
        rt::block_on(zip(talk, async move {
            accept(&mut far, Protocol::Agent, &key(1)).await
        }))
        .1
    }

    #[test]
    fn no_bytes_but_the_right_ones_pass_the_acceptor() {
        let mut rng = Rng::from_seed(11);
        for _ in 0..300 {
            let length = rng.index(200);
            let mut bytes: Vec<u8> = (0..length).map(|_| rng.next_u64() as u8).collect();
            if rng.one_in(2) && length >= 2 {
                bytes[0] = 0;
                bytes[1] = rng.index(97) as u8;
            }
            assert!(against(bytes).is_err());
        }
    }

    #[test]
    fn a_changed_or_replayed_first_message_does_not_pass() {
        let mut state = begin(Protocol::Agent, &key(1), true);
        let mut message = [0; HANDSHAKE_BYTES_MAX];
        let length = state.write_message(&[], &mut message).unwrap();
        let mut first = Vec::new();
        push_record(&message[..length], &mut first);
        for bit in 0..first.len() * 8 {
            let mut bad = first.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(against(bad).is_err(), "bit {bit}");
        }
        // Unchanged it is answered, but without its maker's secret nothing more can follow.
        let mut replay = first.clone();
        push_record(&[7; TAG_BYTES], &mut replay);
        assert!(matches!(against(replay), Err(HandshakeError::WrongKey(_))));
        assert!(matches!(against(first), Err(HandshakeError::Closed)));
    }

    #[test]
    fn a_dialer_survives_any_answer() {
        let mut rng = Rng::from_seed(12);
        for round in 0..300 {
            let (mut near, mut far) = UnixStream::pair().unwrap();
            let length = rng.index(120);
            let mut bytes: Vec<u8> = (0..length).map(|_| rng.next_u64() as u8).collect();
            if length >= 2 {
                bytes[0] = 0;
            }
            let talk = async move {
                far.write_all(&bytes).await.ok();
                far.shutdown(std::net::Shutdown::Write).ok();
                far.read_to_end(&mut Vec::new()).await.ok();
            };
            let dialed = async move { dial(&mut near, Protocol::Agent, &key(1)).await };
            assert!(rt::block_on(zip(talk, dialed)).1.is_err(), "round {round}");
        }
    }
}
