//! What becomes of a disk that lies: every silent loss that was seen of the store, and worse.

use crate::disk::Disk;
use cores::base::rng::Rng;

/// One way to lose or change what was durable. The store reports none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// A key has the value that it had before one of the newest batches.
    BroughtBackKey,
    /// The evidence file ends early.
    CutEvidence,
    /// The store is there, and empty: its journal was removed, or its first byte flipped.
    EmptiedStore,
    /// A bit of the newer or older slot is another one.
    FlippedSlot,
    /// A bit of a stored value is another one.
    FlippedValue,
    /// A table has lost a key.
    LostKey,
    /// The journal ends early: a sector was zeroed, or a bit flipped in its framing.
    LostSuffix,
    /// The disk of an earlier incarnation was put back.
    OldLife,
    /// The evidence file is gone.
    RemovedEvidence,
    /// The store is gone.
    RemovedStore,
    /// The disk was replaced by an empty one.
    Wiped,
    /// Both slots read as zeros.
    ZeroedEvidence,
}

impl Damage {
    pub const ALL: [Self; 10] = [
        Self::BroughtBackKey,
        Self::CutEvidence,
        Self::EmptiedStore,
        Self::FlippedSlot,
        Self::FlippedValue,
        Self::LostKey,
        Self::LostSuffix,
        Self::RemovedEvidence,
        Self::RemovedStore,
        Self::ZeroedEvidence,
    ];

    /// Any of them; a lost suffix more often than others, as disks do it.
    pub fn any(rng: &mut Rng) -> Self {
        if rng.one_in(4) {
            return Self::LostSuffix;
        }
        Self::ALL[rng.index(Self::ALL.len())]
    }

    /// Does it to a disk that nobody uses. False if there is nothing to do it to.
    pub fn inflict(self, disk: &Disk, rng: &mut Rng) -> bool {
        match self {
            Self::BroughtBackKey => return disk.bring_back_key(rng),
            Self::CutEvidence => disk.cut_slots(rng.index(2 * 4096)),
            Self::EmptiedStore => disk.empty_store(),
            Self::FlippedSlot => disk.flip_slot(rng.index(2), rng),
            Self::FlippedValue => return disk.flip_value(rng.index(disk.key_count()), rng),
            Self::LostKey => return disk.lose_key(rng.index(disk.key_count())),
            Self::LostSuffix => {
                let most = rng.index(disk.journal_len() + 1);
                let batches = 1 + rng.index(most + 1);
                return disk.lose_suffix(batches) > 0;
            }
            Self::RemovedEvidence => disk.remove_slots(),
            Self::RemovedStore => disk.remove_store(),
            Self::OldLife | Self::Wiped => return false,
            Self::ZeroedEvidence => {
                disk.zero_slot(0);
                disk.zero_slot(1);
            }
        }
        true
    }
}
