//! The log on a real disk: appending, closing, reopening, refusing.

mod conformance;
mod disk;
mod ensemble;
mod faults;
mod hostile;
mod kill;
mod repair;
mod replaying;
mod scenarios;
mod sweep;

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

    /// Where syncing costs nothing, if there is such a place.
    pub(super) fn in_memory() -> Self {
        let name = format!("aurora-log-{}", Rng::from_os().uuid());
        let path = Path::new("/dev/shm").join(name);
        match std::fs::create_dir(&path) {
            Ok(()) => Self(path),
            Err(_) => Self::new(),
        }
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
        feature_level_delay: Duration::ZERO,
        peers: Vec::new(),
        address: String::new(),
    }
}

pub(super) type Opened = (LogHandle, Receiver<LogEvent>);

pub(super) fn opened(path: &Path) -> Opened {
    open(options(path), None, Rng::from_seed(2)).unwrap()
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

/// What waits behind an append is taken from the queue with it, and must not be lost for that.
#[test]
fn a_command_behind_an_append_is_answered() {
    use futures_lite::future::zip;
    let scratch = Scratch::initialized();
    rt::block_on(async {
        let (log, events) = opened(scratch.path());
        let (ballot, _) = leading(&events).await;
        for round in 0..100 {
            let append = log.append(ballot, round, payload(round));
            let (appended, asked) = zip(append, log.read(ballot, round)).await;
            appended.unwrap();
            asked.unwrap();
            let (mut is_learned, mut is_read) = (false, false);
            while !(is_learned && is_read) {
                match next(&events).await {
                    LogEvent::Learned { ticket, .. } => is_learned |= ticket == Some(round),
                    LogEvent::ReadReady { token } => is_read |= token == round,
                    LogEvent::Status(_) => {}
                    other => panic!("unexpected: {other:?}"),
                }
            }
        }
        let append = log.append(ballot, 100, payload(100));
        let closed = rt::timeout(Duration::from_secs(60), zip(append, log.close())).await;
        let (appended, ()) = closed.expect("closing comes to an end");
        appended.unwrap();
        assert!(log.leading().is_none(), "it is really closed");
    });
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

/// Copies a directory as a crash would leave it: whatever the files hold now.
pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

#[test]
fn everything_acknowledged_survives_the_end_of_the_process() {
    let scratch = Scratch::initialized();
    let crashed = Scratch::new();
    rt::block_on(async {
        let (log, events) = opened(scratch.path());
        let (ballot, _) = leading(&events).await;
        for index in 0..50 {
            log.append(ballot, index, payload(index)).await.unwrap();
        }
        learned(&events, 49).await;
        copy(scratch.path(), crashed.path());
        log.close().await;
        let (log, events) = opened(crashed.path());
        let (next, entries) = leading(&events).await;
        assert!(next > ballot);
        let got: Vec<_> = entries.into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(got, (0..50).map(payload).collect::<Vec<_>>());
        log.close().await;
    });
}

#[test]
fn appends_come_back_in_order_with_their_tickets_and_a_slow_receiver_pushes_back() {
    let scratch = Scratch::initialized();
    rt::block_on(async {
        let (log, events) = opened(scratch.path());
        let (ballot, _) = leading(&events).await;
        let count = 20_000;
        let appender = log.clone();
        let appending = rt::spawn("appender", async move {
            for index in 0..count {
                appender.append(ballot, index, vec![1; 100]).await.unwrap();
            }
        });
        let mut last = Position::ZERO;
        for index in 0..count {
            let LogEvent::Learned {
                position,
                ticket,
                ballot: of,
                ..
            } = next(&events).await
            else {
                panic!("only entries are learned");
            };
            assert_eq!(ticket, Some(index));
            assert!(position > last && of == ballot);
            last = position;
            assert!(events.len() <= 1024 && log.stats().queued <= 4096);
        }
        appending.join().await;
        let stats = log.stats();
        assert_eq!((stats.appends, stats.learned), (count, last.0));
        assert!(stats.commits < count / 4, "{} commits", stats.commits);
        log.close().await;
    });
}

#[test]
fn stale_ballots_and_oversized_entries_are_refused() {
    let scratch = Scratch::initialized();
    rt::block_on(async {
        let (log, events) = opened(scratch.path());
        let (ballot, _) = leading(&events).await;
        let stale = Ballot {
            round: ballot.round - 1,
            ..ballot
        };
        let refused = log.append(stale, 0, Vec::new()).await;
        assert_eq!(refused, Err(AppendError::NotCoordinator));
        let large = log.append(ballot, 0, vec![0; ENTRY_BYTES_MAX + 1]).await;
        assert!(matches!(large, Err(AppendError::TooLarge { .. })));
        let beyond = log.truncate(ballot, Position(1000)).await;
        assert!(matches!(beyond, Err(AppendError::BeyondEnd { .. })));
        log.append(ballot, 1, vec![0; ENTRY_BYTES_MAX])
            .await
            .unwrap();
        learned(&events, 1).await;
        log.close().await;
        let (log, events) = opened(scratch.path());
        assert_eq!(leading(&events).await.1[0].1.len(), ENTRY_BYTES_MAX);
        log.close().await;
    });
}

#[test]
fn truncated_entries_are_not_given_again_and_their_space_comes_back() {
    let scratch = Scratch::initialized();
    rt::block_on(async {
        let (log, events) = opened(scratch.path());
        let (ballot, _) = leading(&events).await;
        let mut most = 0;
        for round in 0..12_u64 {
            let mut last = Position::ZERO;
            for index in 0..64 {
                let ticket = round * 64 + index;
                log.append(ballot, ticket, vec![round as u8; 256 << 10])
                    .await
                    .unwrap();
                last = learned(&events, ticket).await;
            }
            log.truncate(ballot, last).await.unwrap();
            log.append(ballot, 10_000 + round, b"end".to_vec())
                .await
                .unwrap();
            learned(&events, 10_000 + round).await;
            most = most.max(log.stats().disk_bytes);
        }
        log.close().await;
        // 192 MB went through.
        assert!(most < 160 << 20, "{most} bytes on disk");
        let (log, events) = opened(scratch.path());
        let (_, entries) = leading(&events).await;
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[1].1, b"end");
        log.close().await;
    });
}

#[test]
fn an_uninitialized_path_is_empty_and_stays_untouched() {
    let scratch = Scratch::new();
    let missing = scratch.path().join("missing");
    rt::block_on(async {
        for path in [scratch.path(), &missing] {
            let mut options = options(path);
            options.empty_notice_interval = Duration::from_millis(5);
            let (log, events) = open(options, None, Rng::from_seed(1)).unwrap();
            for _ in 0..3 {
                let event = next(&events).await;
                assert!(matches!(event, LogEvent::Status(ReplicaStatus::Empty)));
            }
            assert_eq!(log.status(), ReplicaStatus::Empty);
            let refused = log.append(Ballot::ZERO, 0, Vec::new()).await;
            assert_eq!(refused, Err(AppendError::NotCoordinator));
            initialize(&scratch.path().join("other"), &mut Rng::from_seed(1)).unwrap();
            std::fs::remove_dir_all(scratch.path().join("other")).unwrap();
            log.close().await;
        }
    });
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn what_is_no_replica_or_does_not_fit_is_refused() {
    let scratch = Scratch::initialized();
    let outcome = |path: &Path, quorum_size| {
        let options = LogOptions {
            quorum_size,
            ..options(path)
        };
        open(options, None, Rng::from_seed(1)).map(|_| ())
    };
    for quorum in [0, 2, 3] {
        let error = outcome(scratch.path(), quorum).unwrap_err();
        assert!(
            matches!(error, OpenError::Quorum { stored: 1, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("-native_log_quorum_size=1"));
    }
    let file = scratch.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(matches!(
        outcome(&file, 1),
        Err(OpenError::NotADirectory { .. })
    ));
    let foreign = Scratch::new();
    std::fs::write(foreign.path().join("CURRENT"), "x").unwrap();
    assert!(matches!(
        outcome(foreign.path(), 1),
        Err(OpenError::Foreign { .. })
    ));
    rt::block_on(async {
        let (log, events) = opened(scratch.path());
        leading(&events).await;
        assert!(matches!(
            outcome(scratch.path(), 1),
            Err(OpenError::InUse { .. })
        ));
        log.close().await;
    });
}

#[test]
fn a_log_closes_when_nobody_holds_it_and_can_be_opened_again() {
    let scratch = Scratch::initialized();
    rt::block_on(async {
        let (log, events) = opened(scratch.path());
        leading(&events).await;
        drop(log);
        // The channel closes when the files have been released.
        while events.recv().await.is_ok() {}
        let (log, events) = opened(scratch.path());
        leading(&events).await;
        drop(events);
        log.close().await;
    });
}
