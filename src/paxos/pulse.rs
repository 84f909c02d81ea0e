//! How regularly the leader is heard: what an election timeout adapts to.

use crate::base::clock::Instant;
use std::time::Duration;

/// The gaps between a leader's signs of life.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pulse {
    /// When the leader was last heard; none if it is known to be gone.
    heard: Option<Instant>,
    /// The longest gap of late: fades by an eighth with each sign of life.
    gap: Duration,
}

impl Pulse {
    /// How many of the longest gaps a leader may be silent.
    const GAPS: u32 = 3;
    /// A timeout grows to at most this many times the least.
    const GROWTH_MAX: u32 = 4;

    /// The leader has been heard.
    pub(super) fn beat(&mut self, now: Instant) {
        if let Some(heard) = self.heard {
            self.gap = now.since(heard).max(self.gap * 7 / 8);
        }
        self.heard = Some(now);
    }

    /// There is no leader, or it is gone.
    pub(super) fn stop(&mut self) {
        self.heard = None;
    }

    /// Whether the leader has been heard within `timeout`.
    pub(super) fn is_alive(&self, now: Instant, timeout: Duration) -> bool {
        self.heard.is_some_and(|heard| now.since(heard) < timeout)
    }

    /// How long to wait for a sign of life: `least`, or longer where heartbeats come late, as they
    /// do from a leader or over a network that is busy.
    pub(super) fn timeout(&self, least: Duration) -> Duration {
        (self.gap * Self::GAPS).clamp(least, least * Self::GROWTH_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_grows_with_late_heartbeats_and_shrinks_again() {
        let least = Duration::from_millis(250);
        let mut pulse = Pulse::default();
        let mut now = Instant::from_nanos(1);
        let mut beat = |pulse: &mut Pulse, ms: u64| {
            now = now + Duration::from_millis(ms);
            pulse.beat(now);
        };
        beat(&mut pulse, 50);
        beat(&mut pulse, 50);
        assert_eq!(pulse.timeout(least), least);
        beat(&mut pulse, 200);
        assert_eq!(pulse.timeout(least), Duration::from_millis(600));
        beat(&mut pulse, 60_000);
        assert_eq!(pulse.timeout(least), least * 4, "but not without limit");
        for _ in 0..60 {
            beat(&mut pulse, 50);
        }
        assert_eq!(pulse.timeout(least), least);
    }
}
