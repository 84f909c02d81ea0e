//! One connection: what comes goes to the core, what waits is sent, and silence ends it.

use super::network::{Inner, PeerEvent};
use super::queue::Queue;
use crate::base::clock;
use crate::net::frames::{Connection, FrameReader, FrameWriter, Hangup};
use crate::paxos::Body;
use crate::replog::wire::{Frame, Hello, Refusal};
use crate::rt;
use async_channel::Sender;
use futures_lite::FutureExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// An idle connection carries a pulse this often.
const PULSE_INTERVAL: Duration = Duration::from_millis(100);
/// Intervals without a byte before a connection is given up.
const SILENT_INTERVALS: u32 = 10;
/// How long one write may take.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// A connection that both sides want.
#[derive(Debug)]
pub(super) struct Established {
    /// Tells connections to one replica apart.
    pub(super) number: u64,
    /// What the other side has said of itself at first.
    pub(super) hello: Arc<Hello>,
    pub(super) queue: Arc<Queue>,
    /// The version of what the other side was told.
    pub(super) version: u64,
    /// Dropped when the connection is over.
    pub(super) _ended: Sender<()>,
}

/// What the watch over silence looks at.
struct Heard {
    /// Bytes that have come.
    bytes: Arc<AtomicU64>,
    /// The core is being waited for: nothing is read then.
    is_waiting: Arc<AtomicBool>,
    seen: u64,
    silent: u32,
}

/// Runs a connection until it is over; says why.
pub(super) async fn run(
    inner: &Arc<Inner>,
    connection: Connection,
    established: &Established,
) -> String {
    let Connection {
        mut reader,
        writer,
        hangup,
    } = connection;
    let heard = Heard {
        bytes: reader.received(),
        is_waiting: Arc::default(),
        seen: 0,
        silent: 0,
    };
    let is_waiting = Arc::clone(&heard.is_waiting);
    let sender = Sending {
        inner: Arc::clone(inner),
        queue: Arc::clone(&established.queue),
        version: established.version,
        heard,
    };
    let sending = rt::spawn("replica sender", sender.run(writer, hangup.clone()));
    let why = receive_all(inner, established, &mut reader, &is_waiting).await;
    hangup.hang_up();
    match sending.cancel().await.flatten() {
        Some(silence) => silence,
        None => why,
    }
}

async fn receive_all(
    inner: &Arc<Inner>,
    established: &Established,
    reader: &mut FrameReader,
    is_waiting: &AtomicBool,
) -> String {
    loop {
        let frame = match reader.receive_with(Frame::decode).await {
            Ok(frame) => frame,
            Err(error) => return error.to_string(),
        };
        is_waiting.store(true, Ordering::Relaxed);
        let is_taken = match frame {
            Ok(Frame::Message(message)) if message.from.id != established.hello.member.id => {
                return format!("it speaks for {}", message.from.id);
            }
            Ok(Frame::Message(message)) => match &message.body {
                Body::Learn { .. } | Body::Write { .. } => {
                    inner.entries.send(message).await.is_ok()
                }
                _ => inner.events.send(PeerEvent::Message(message)).await.is_ok(),
            },
            Ok(Frame::Pulse(pulse)) => {
                inner.note(established, pulse);
                true
            }
            Ok(Frame::Hello(hello)) => {
                let hello = Arc::new(hello);
                if !inner.renew(established, &hello) {
                    return "it says of itself what cannot be".to_owned();
                }
                inner.events.send(PeerEvent::Hello(hello)).await.is_ok()
            }
            Ok(Frame::Refused(refusal)) => {
                tell_refused(inner, &established.hello.address, refusal).await;
                return "the other side has refused it".to_owned();
            }
            Err(error) => return error.to_string(),
        };
        is_waiting.store(false, Ordering::Relaxed);
        if !is_taken {
            return "the log is closed".to_owned();
        }
    }
}

/// Passes on that a peer does not talk with this replica.
pub(super) async fn tell_refused(inner: &Arc<Inner>, address: &Arc<str>, refusal: Refusal) {
    let event = PeerEvent::Refused {
        address: Arc::clone(address),
        refusal,
    };
    if inner.events.send(event).await.is_err() {
        log::debug!("the log is closed");
    }
}

struct Sending {
    inner: Arc<Inner>,
    queue: Arc<Queue>,
    version: u64,
    heard: Heard,
}

impl Sending {
    /// Sends what waits; ends with a reason of its own, or `None` if the connection has failed.
    async fn run(mut self, mut writer: FrameWriter, hangup: Hangup) -> Option<String> {
        let mut sequence = 0;
        let mut due = clock::now();
        let mut alarm = rt::Alarm::default();
        loop {
            let (batch, is_room) = self.queue.take();
            if is_room && self.inner.events.send(PeerEvent::Room).await.is_err() {
                return None;
            }
            // ORDER: read behind the messages, it counts every write that they rest on.
            let (pulse, version) = self.inner.pulse();
            let now = clock::now();
            if now >= due && self.heard.is_silent() {
                hangup.hang_up();
                return Some("nothing has been heard for a second".to_owned());
            }
            if version != self.version {
                self.version = version;
                writer.feed(&Frame::Hello(self.inner.hello()).encode());
            } else if now >= due || (!batch.is_empty() && sequence != pulse.sequence) {
                writer.feed(&Frame::Pulse(pulse).encode());
            }
            if now >= due {
                due = now + PULSE_INTERVAL;
            }
            for message in batch {
                let frame = Frame::Message(message);
                writer.feed_with(|out| frame.encode_behind(out));
            }
            if writer.buffered() == 0 {
                self.queue.wait().or(alarm.until(due)).await;
                continue;
            }
            sequence = pulse.sequence;
            match rt::timeout(WRITE_PATIENCE, writer.flush()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    hangup.hang_up();
                    return Some(error.to_string());
                }
                Err(late) => {
                    hangup.hang_up();
                    return Some(format!("a write {late}"));
                }
            }
        }
    }
}

impl Heard {
    /// Counts an interval; whether it was one too many without a byte.
    ///
    /// Counting in place of measuring: a process that was stopped for a while hears first what has come
    /// meanwhile.
    fn is_silent(&mut self) -> bool {
        let bytes = self.bytes.load(Ordering::Relaxed);
        if bytes != self.seen || self.is_waiting.load(Ordering::Relaxed) {
            self.seen = bytes;
            self.silent = 0;
        } else {
            self.silent += 1;
        }
        self.silent > SILENT_INTERVALS
    }
}
