//! How connections come to be: dialing, accepting, greeting.

use super::link;
use super::network::Inner;
use crate::base::backoff::Backoff;
use crate::base::clock;
use crate::base::rng::Rng;
use crate::net::Protocol;
use crate::net::frames::{self, Connection, ConnectionError};
use crate::net::listener::Incoming;
use crate::net::noise::HandshakeError;
use crate::replog::wire::{FRAME_BYTES_MAX, Frame, Hello, Refusal, WireError};
use crate::rt;
use async_channel::Receiver;
use smol::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// How long a connection, a handshake and a greeting may take, each.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between attempts.
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_millis(500);
/// An attempt that fails is logged this often.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// Why an attempt has failed.
#[derive(Debug, Error)]
enum DialError {
    #[error("{0}")]
    Connection(#[from] ConnectionError),
    #[error("it greets with something else")]
    Greeting,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the replica is refused")]
    Refused(Refusal),
    #[error("it does not answer within {PATIENCE:?}")]
    Slow,
    #[error("{0}")]
    Wire(#[from] WireError),
}

impl From<rt::TimedOut> for DialError {
    fn from(_: rt::TimedOut) -> Self {
        Self::Slow
    }
}

/// Dials `address` again whenever no replica that listens there is connected.
pub(super) async fn keep_connected(inner: Arc<Inner>, address: Arc<str>, mut rng: Rng) {
    let backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
    let mut pause = Duration::ZERO;
    let mut said = None;
    loop {
        inner.until_missing(&address).await;
        match dial(&inner, &address).await {
            Ok(()) => {
                pause = Duration::ZERO;
                said = None;
            }
            Err(DialError::Refused(Refusal::Yourself)) => {
                log::debug!("{address} is this replica itself");
                return;
            }
            Err(error) => {
                let now = clock::now();
                if said.is_none_or(|said| now.since(said) > LOG_INTERVAL) {
                    said = Some(now);
                    explain(&inner, &address, &error);
                }
            }
        }
        pause = backoff.next(pause, &mut rng);
        rt::sleep(pause).await;
    }
}

fn explain(inner: &Inner, address: &str, error: &DialError) {
    match error {
        DialError::Connection(ConnectionError::Handshake(HandshakeError::WrongKey(_))) => {
            log::error!(
                "the replica at {address} does not hold the replica key of this one; all replicas \
                 of a log share one: copy {key} to that machine (mode 0640, owned like the log), \
                 or take its key here",
                key = inner.key_file.display()
            );
        }
        // Told where it matters.
        DialError::Refused(_) => log::debug!("{address}: {error}"),
        error => log::info!("the replica at {address} is not connected: {error}"),
    }
}

/// Connects, greets, and runs the connection to its end.
async fn dial(inner: &Arc<Inner>, address: &Arc<str>) -> Result<(), DialError> {
    let stream = rt::timeout(PATIENCE, TcpStream::connect(&**address)).await??;
    let connection = frames::dial(
        stream,
        Protocol::Replica,
        &inner.key,
        FRAME_BYTES_MAX,
        PATIENCE,
    );
    let mut connection = connection.await?;
    greet(inner, &mut connection).await?;
    let hello = match rt::timeout(PATIENCE, greeting(&mut connection)).await?? {
        Frame::Hello(hello) => hello,
        Frame::Refused(refusal) => {
            link::tell_refused(inner, address, refusal.clone()).await;
            return Err(DialError::Refused(refusal));
        }
        Frame::Message(_) | Frame::Pulse(_) => return Err(DialError::Greeting),
    };
    establish(inner, connection, hello, true).await
}

async fn greet(inner: &Arc<Inner>, connection: &mut Connection) -> Result<(), DialError> {
    let hello = Frame::Hello(inner.hello()).encode();
    rt::timeout(PATIENCE, connection.writer.send(&hello)).await??;
    Ok(())
}

async fn greeting(connection: &mut Connection) -> Result<Frame, DialError> {
    Ok(Frame::decode(&connection.reader.receive().await?)?)
}

/// Takes a connection whose other side has greeted, answers if it was the dialer, and runs it.
async fn establish(
    inner: &Arc<Inner>,
    mut connection: Connection,
    hello: Hello,
    is_dialed_here: bool,
) -> Result<(), DialError> {
    let hangup = connection.hangup.clone();
    let established = match inner.admit(hello, is_dialed_here, hangup) {
        Ok(established) => established,
        Err(refusal) => {
            inner.say_refused(&refusal);
            let refused = Frame::Refused(refusal.clone()).encode();
            rt::timeout(PATIENCE, connection.writer.send(&refused)).await??;
            return Err(DialError::Refused(refusal));
        }
    };
    if !is_dialed_here && let Err(error) = greet(inner, &mut connection).await {
        inner.forget(&established);
        return Err(error);
    }
    inner.serve(connection, established).await;
    Ok(())
}

/// Takes connections until nobody makes them any more.
pub(super) async fn accept_all(inner: Arc<Inner>, incoming: Receiver<Incoming>) {
    while let Ok(incoming) = incoming.recv().await {
        rt::spawn("replica connection", accept(Arc::clone(&inner), incoming)).detach();
    }
}

async fn accept(inner: Arc<Inner>, incoming: Incoming) {
    let peer = incoming.peer();
    let (mut connection, _slot) = match incoming.handshake(&inner.key, FRAME_BYTES_MAX).await {
        Ok(accepted) => accepted,
        Err(ConnectionError::Handshake(HandshakeError::WrongKey(_))) => {
            if let Some(muted) = inner.wrong_key.admit(clock::now()) {
                log::error!(
                    "a replica at {peer} does not hold the replica key of this one; all replicas of \
                     a log share one: copy {key} to that machine (mode 0640, owned like the log), or \
                     take its key here ({muted} such before)",
                    key = inner.key_file.display()
                );
            }
            return;
        }
        Err(error) => return log::debug!("{peer}: {error}"),
    };
    let greeted = match rt::timeout(PATIENCE, greeting(&mut connection)).await {
        Ok(greeted) => greeted,
        Err(late) => Err(late.into()),
    };
    let outcome = match greeted {
        Ok(Frame::Hello(hello)) => establish(&inner, connection, hello, false).await,
        Ok(Frame::Message(_) | Frame::Pulse(_) | Frame::Refused(_)) => Err(DialError::Greeting),
        Err(error) => Err(error),
    };
    if let Err(error) = outcome {
        log::debug!("{peer}: {error}");
    }
}
