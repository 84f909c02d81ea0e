//! Keeps hostile peers from filling the log.

use crate::base::clock::Instant;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Lets one line through per interval and counts the others.
#[derive(Debug)]
pub struct Throttle {
    interval: Duration,
    state: Mutex<(Option<Instant>, u64)>,
}

impl Throttle {
    /// One line per `interval`.
    pub const fn new(interval: Duration) -> Self {
        Self {
            interval,
            state: Mutex::new((None, 0)),
        }
    }

    /// Whether a line may be written at `now`; if so, how many were held back since the last one.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.0 {
            Some(last) if now.since(last) < self.interval => {
                state.1 += 1;
                None
            }
            _ => {
                state.0 = Some(now);
                Some(std::mem::take(&mut state.1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_passes_per_interval_and_the_rest_are_counted() {
        let throttle = Throttle::new(Duration::from_secs(10));
        let at = |s: u64| Instant::ZERO + Duration::from_secs(s);
        assert_eq!(throttle.admit(at(1)), Some(0));
        assert_eq!(throttle.admit(at(2)), None);
        assert_eq!(throttle.admit(at(3)), None);
        assert_eq!(throttle.admit(at(11)), Some(2));
        assert_eq!(throttle.admit(at(12)), None);
    }
}
