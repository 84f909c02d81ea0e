//! The log on a real disk: appending, closing, reopening, refusing.

use super::*;
use crate::base::rng::Rng;
use crate::rt;
use async_channel::Receiver;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A directory that is removed when the test ends.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        let name = format!("aurora-log-{}", Rng::from_os().uuid());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// With a replica in it.
    pub(super) fn initialized() -> Self {
        let scratch = Self::new();
        initialize(scratch.path(), &mut Rng::from_seed(1)).unwrap();
        scratch
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

pub(super) fn options(path: &Path) -> LogOptions {
    LogOptions {
        path: path.to_path_buf(),
        quorum_size: 1,
        empty_notice_interval: Duration::from_secs(3600),
    }
}

pub(super) type Opened = (LogHandle, Receiver<LogEvent>);

pub(super) fn opened(path: &Path) -> Opened {
    open(options(path), Rng::from_seed(2)).unwrap()
}

async fn next(events: &Receiver<LogEvent>) -> LogEvent {
    let event = rt::timeout(Duration::from_secs(60), events.recv()).await;
    event
        .expect("an event comes in time")
        .expect("the log is open")
}

/// Receives until the replica leads: its term, and every entry that came before.
pub(super) async fn leading(events: &Receiver<LogEvent>) -> (Ballot, Vec<(u64, Vec<u8>)>) {
    let mut entries = Vec::new();
    loop {
        match next(events).await {
            LogEvent::Leading { ballot } => return (ballot, entries),
            LogEvent::Learned {
                position, payload, ..
            } => entries.push((position.0, payload.to_vec())),
            LogEvent::Status(_) => {}
            other => panic!("unexpected: {other:?}"),
        }
    }
}

/// Receives until the entry with `ticket` is learned.
pub(super) async fn learned(events: &Receiver<LogEvent>, wanted: u64) -> Position {
    loop {
        match next(events).await {
            LogEvent::Learned {
                ticket: Some(ticket),
                position,
                ..
            } if ticket == wanted => return position,
            LogEvent::Learned { .. } | LogEvent::Status(_) => {}
            other => panic!("unexpected: {other:?}"),
        }
    }
}

fn payload(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

#[test]
fn what_was_appended_is_given_again_after_closing_and_opening() {
    let scratch = Scratch::initialized();
    rt::block_on(async {
        let mut ballots = Vec::new();
        for round in 0..3 {
            let (log, events) = opened(scratch.path());
            let (ballot, entries) = leading(&events).await;
            ballots.push(ballot);
            let wanted: Vec<_> = (0..round * 10).map(payload).collect();
            let got: Vec<_> = entries.iter().map(|(_, bytes)| bytes.clone()).collect();
            assert_eq!(got, wanted);
            assert_eq!(log.status(), ReplicaStatus::Voting);
            for index in round * 10..round * 10 + 10 {
                log.append(ballot, index, payload(index)).await.unwrap();
            }
            learned(&events, round * 10 + 9).await;
            log.close().await;
            assert_eq!(
                log.append(ballot, 0, Vec::new()).await,
                Err(AppendError::Closed)
            );
        }
        assert!(ballots[0] < ballots[1] && ballots[1] < ballots[2]);
    });
}
