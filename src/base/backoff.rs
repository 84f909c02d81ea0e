//! Truncated binary backoff, as the original scheduler computes it everywhere.

use super::rng::Rng;
use std::time::Duration;

/// Delays that grow by a random factor of one to two, up to a limit.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
}

impl Backoff {
    /// Delays from `initial` up to `max`. A `max` below `initial` counts as `initial`.
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self {
            initial,
            max: max.max(initial),
        }
    }

    /// The delay after `last`, where zero means that there was none.
    pub fn next(&self, last: Duration, rng: &mut Rng) -> Duration {
        let half = if last.is_zero() { self.initial } else { last };
        (half + half.mul_f64(rng.unit())).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_limit_and_stay_there() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let mut rng = Rng::from_seed(1);
        let mut last = Duration::ZERO;
        for _ in 0..40 {
            let next = backoff.next(last, &mut rng);
            assert!(next >= last && next <= Duration::from_secs(60));
            last = next;
        }
        assert_eq!(last, Duration::from_secs(60));
    }
}
