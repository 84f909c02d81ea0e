//! The time of the world, and the clocks of its machines, which disagree about it.

use cores::base::clock::Instant;

/// Nanoseconds of true time.
pub type Nanos = u64;

/// The monotonic clock of one machine: runs too fast or too slow, jumps forward, never goes back.
#[derive(Clone, Debug)]
pub struct Clock {
    /// True time, and what the clock said then.
    origin: (Nanos, u64),
    rate: f64,
}

impl Clock {
    /// A clock that shows `shown` now.
    pub fn new(now: Nanos, shown: u64, rate: f64) -> Self {
        Self {
            origin: (now, shown),
            rate,
        }
    }

    /// What the clock shows.
    pub fn local(&self, now: Nanos) -> Instant {
        let passed = now.saturating_sub(self.origin.0) as f64 * self.rate;
        Instant::from_nanos(self.origin.1 + passed as u64)
    }

    /// The first true time at which the clock shows `local` or more.
    pub fn due(&self, local: Instant) -> Nanos {
        let wait = local.as_nanos().saturating_sub(self.origin.1) as f64 / self.rate;
        self.origin.0.saturating_add(wait as u64).saturating_add(2)
    }

    /// Runs at another rate, and jumps forward, from now on.
    pub fn change(&mut self, now: Nanos, jump: u64, rate: f64) {
        let shown = self.local(now).as_nanos() + jump;
        *self = Self::new(now, shown, rate);
    }
}
