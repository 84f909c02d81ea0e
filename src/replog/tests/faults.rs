//! A disk that fails within an ensemble: its replica ends and says why, never writes again, and the
//! others go on. Started again on a disk that works, it comes back.

use super::Opened;
use super::ensemble::{Node, addresses, append, everybody_has, formed, leader, stop, until};
use crate::replog::disk::{Disk, DiskError};
use crate::replog::evidence::{EvidenceFile, Slots};
use crate::replog::keyspace::FjallStore;
use crate::replog::open::start;
use crate::replog::store::{Batch, Store, StoreError, Usage, Visit};
use crate::replog::{LogEvent, LogOptions, OpenError, Reach, layout};
use crate::rt;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// When the disk fails, and what has been done since.
#[derive(Debug, Default)]
struct Fault {
    is_on: AtomicBool,
    /// Attempts that have failed.
    failed: AtomicU64,
}

impl Fault {
    fn strikes(&self) -> bool {
        let strikes = self.is_on.load(Ordering::SeqCst);
        if strikes {
            self.failed.fetch_add(1, Ordering::SeqCst);
        }
        strikes
    }
}

/// How a commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing of it is on the disk.
    Write,
    /// All of it may be on the disk, but nobody knows.
    Sync,
    /// The store is fine, the evidence is not written.
    EvidenceWrite,
    /// The evidence is written, and its sync fails.
    EvidenceSync,
}

struct Failing {
    store: FjallStore,
    kind: Kind,
    fault: Arc<Fault>,
}

impl Store for Failing {
    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let error = || StoreError {
            doing: "committing a batch",
            cause: "No space left on device (os error 28)".to_owned(),
        };
        match self.kind {
            Kind::Write if self.fault.strikes() => Err(error()),
            Kind::Sync => {
                self.store.commit(batch)?;
                if self.fault.strikes() {
                    return Err(error());
                }
                Ok(())
            }
            Kind::Write | Kind::EvidenceWrite | Kind::EvidenceSync => self.store.commit(batch),
        }
    }

    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.value(key)
    }

    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.store.scan(from, visit)
    }

    fn compact(&self) -> Result<(), StoreError> {
        self.store.compact()
    }

    fn usage(&self) -> Usage {
        self.store.usage()
    }
}

struct FailingSlots {
    file: File,
    kind: Kind,
    fault: Arc<Fault>,
}

impl Slots for FailingSlots {
    fn read(&self) -> io::Result<Vec<u8>> {
        Slots::read(&self.file)
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.kind == Kind::EvidenceWrite && self.fault.strikes() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Slots::write(&self.file, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        if self.kind == Kind::EvidenceSync && self.fault.strikes() {
            return Err(io::Error::other("Input/output error (os error 5)"));
        }
        Slots::sync(&self.file)
    }
}

/// Opens a replica on a disk that can be made to fail.
fn opener(
    kind: Kind,
    fault: &Arc<Fault>,
) -> impl FnOnce(LogOptions, Option<Reach>, crate::base::rng::Rng) -> Result<Opened, OpenError>
+ Send
+ 'static {
    let fault = Arc::clone(fault);
    move |options, reach, rng| {
        let unproven = |cause: DiskError| OpenError::Unproven {
            path: options.path.clone(),
            cause,
        };
        let file = File::options()
            .read(true)
            .write(true)
            .open(layout::evidence_path(&options.path))
            .unwrap();
        let slots = FailingSlots {
            file,
            kind,
            fault: Arc::clone(&fault),
        };
        let store = Failing {
            store: FjallStore::open(&layout::store_path(&options.path)).unwrap(),
            kind,
            fault,
        };
        let found = Disk::open(Arc::new(store), EvidenceFile::over(Box::new(slots)));
        let found = found.map_err(unproven)?;
        start(options, reach, Some(found), rng)
    }
}

fn poisoned(node: &Node) -> Option<&str> {
    match &node.ended {
        Some(LogEvent::Poisoned { reason }) => Some(reason),
        _ => None,
    }
}

async fn fails(kind: Kind, of_leader: bool) {
    let mut nodes: Vec<Node> = formed(3).await;
    let peers = addresses(&nodes);
    append(&mut nodes, "before").await;
    let leading = leader(&nodes).unwrap();
    let victim = if of_leader {
        leading
    } else {
        (leading + 1) % 3
    };
    // The same replica again, on a disk that will fail.
    nodes[victim].stop().await;
    let fault = Arc::new(Fault::default());
    let started = nodes[victim].try_start_by(&peers, 2, opener(kind, &fault));
    started.await.unwrap();
    append(&mut nodes, "on a disk that works").await;
    everybody_has(&mut nodes, "on a disk that works").await;
    if of_leader {
        lead(&mut nodes, victim, &peers).await;
    }
    fault.is_on.store(true, Ordering::SeqCst);
    // What a leader takes may be lost with its term; `append` asks again.
    append(&mut nodes, "as it fails").await;
    until(&mut nodes, "the replica is poisoned", |nodes| {
        poisoned(&nodes[victim]).is_some()
    })
    .await;
    let reason = poisoned(&nodes[victim]).unwrap();
    let wanted = match kind {
        Kind::Write | Kind::Sync => "No space left",
        Kind::EvidenceWrite | Kind::EvidenceSync => "evidence",
    };
    assert!(reason.contains(wanted), "{kind:?}: {reason}");
    let failed = fault.failed.load(Ordering::SeqCst);
    assert_eq!(failed, 1, "{kind:?}: nothing is tried again");
    assert!(nodes[victim].log().leading().is_none());
    nodes[victim].stop().await;
    append(&mut nodes, "without it").await;
    assert_eq!(fault.failed.load(Ordering::SeqCst), failed);
    // On a disk that works.
    nodes[victim].start(&peers, 2).await;
    append(&mut nodes, "with it again").await;
    for payload in ["before", "as it fails", "without it", "with it again"] {
        everybody_has(&mut nodes, payload).await;
    }
    stop(&mut nodes).await;
}

/// Makes one lead, by stopping whoever else does.
async fn lead(nodes: &mut [Node], wanted: usize, peers: &[String]) {
    for _ in 0..50 {
        until(nodes, "a leader", |nodes| leader(nodes).is_some()).await;
        let leading = leader(nodes).unwrap();
        if leading == wanted {
            return;
        }
        nodes[leading].stop().await;
        until(nodes, "another leader", |nodes| leader(nodes).is_some()).await;
        nodes[leading].start(peers, 2).await;
        everybody_has(nodes, "before").await;
    }
    panic!("another one leads every time");
}

#[test]
fn a_follower_whose_disk_fails_ends_and_the_others_go_on() {
    rt::block_on(async {
        for kind in [
            Kind::Write,
            Kind::Sync,
            Kind::EvidenceWrite,
            Kind::EvidenceSync,
        ] {
            fails(kind, false).await;
        }
    });
}

#[test]
fn a_leader_whose_disk_fails_ends_and_another_one_leads() {
    rt::block_on(async {
        for kind in [Kind::Write, Kind::Sync, Kind::EvidenceSync] {
            fails(kind, true).await;
        }
    });
}
