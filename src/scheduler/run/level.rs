//! Logs of other feature levels: nothing newer is written than all members read; and what a newer program
//! has written is kept, but neither applied nor led.

use super::{Loop, RunError};
use crate::base::stamp;
use crate::replog::Position;
use crate::scheduler::handle::OUTDATED;
use crate::scheduler::port::LogPort;
use crate::storage::ReplayError;
use crate::storage::stored::{Record, StoredError};

impl<L: LogPort> Loop<L> {
    /// Lets the engine write what all members read.
    pub(super) fn look_at_level(&mut self) {
        let level = self.log.feature_level();
        self.engine.set_level(level.min(stamp::feature_level()));
        if level > stamp::feature_level() {
            self.fall_behind(level);
        }
    }

    /// Takes an entry, unless one of a newer program came before it: the replica of the log has it all the
    /// same.
    pub(super) fn learn(
        &mut self,
        position: Position,
        ticket: Option<u64>,
        payload: &[u8],
    ) -> Result<(), RunError> {
        if self.outdated.is_some() {
            return Ok(());
        }
        let learned = self.engine.handle_learned(position.0, ticket, payload);
        self.note_learned(learned)
    }

    /// Takes an entry that was decoded beside, while somebody else leads or nobody.
    pub(super) fn follow(
        &mut self,
        position: Position,
        decoded: Result<Record, StoredError>,
    ) -> Result<(), RunError> {
        if self.outdated.is_some() {
            return Ok(());
        }
        let followed = decoded.map_err(ReplayError::from);
        let followed = followed.and_then(|it| self.engine.handle_followed(position.0, it));
        self.note_learned(followed)
    }

    fn note_learned(&mut self, learned: Result<(), ReplayError>) -> Result<(), RunError> {
        match learned {
            Err(ReplayError::Stored(StoredError::Version { version, .. })) => {
                self.fall_behind(version);
                Ok(())
            }
            other => Ok(other?),
        }
    }

    /// The log needs a newer program to be read or led.
    fn fall_behind(&mut self, level: u32) {
        if self.outdated.is_some_and(|known| known >= level) {
            return;
        }
        self.outdated = Some(level);
        self.replica = OUTDATED;
        self.stale = true;
        log::error!(
            "the log has entries of feature level {level}, and this version {} reads up to level {}: it accepts \
             entries, but does not apply them and does not lead. Install the newer version again",
            stamp::version(),
            stamp::feature_level()
        );
    }
}
