//! A wait that is begun again and again with another deadline.

use crate::base::clock::{self, Instant};
use std::future::Future;
use std::future::pending;
use std::pin::Pin;

/// Waits for deadlines, one after the other, and sets a timer only when one comes sooner than what is set.
///
/// Setting a timer writes to the reactor's wake-up file, which makes a thread of its own turn round; a loop
/// would do so before each of its inputs. A deadline that only moves on costs nothing here until the old one
/// has passed. What that gains was too little to be seen in `cargo bench --bench log`.
#[derive(Default)]
pub struct Alarm(Option<(Instant, Pin<Box<dyn Future<Output = ()> + Send + Sync>>)>);

impl std::fmt::Debug for Alarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let set = self.0.as_ref().map(|(at, _)| *at);
        f.debug_tuple("Alarm").field(&set).finish()
    }
}

impl Alarm {
    /// Ends at `deadline`, never before it; for [`Instant::FAR`] never.
    ///
    /// # Cancellation
    ///
    /// May be dropped where it stands: what is set is kept for the next wait.
    pub async fn until(&mut self, deadline: Instant) {
        if deadline == Instant::FAR {
            return pending().await;
        }
        loop {
            match &mut self.0 {
                Some((at, timer)) if *at <= deadline => {
                    timer.await;
                    self.0 = None;
                    if clock::now() >= deadline {
                        return;
                    }
                }
                _ => self.0 = Some((deadline, Box::pin(super::sleep_until(deadline)))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt;
    use futures_lite::FutureExt;
    use std::time::Duration;

    #[test]
    fn a_deadline_may_come_nearer_or_move_on() {
        rt::block_on(async {
            let (mut alarm, begun) = (Alarm::default(), clock::now());
            let at = |ms: u64| begun + Duration::from_millis(ms);
            let soon = async {};
            alarm.until(at(3_600_000)).or(soon).await;
            alarm.until(at(5)).await;
            assert!(clock::now() >= at(5), "it ends no sooner than it should");
            alarm.until(at(10)).or(async {}).await;
            // What was set fires on the way.
            alarm.until(at(30)).await;
            assert!(clock::now() >= at(30));
            alarm.until(at(0)).await;
        });
    }
}
