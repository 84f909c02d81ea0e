//! Counts health checks: when a task becomes running, when it has failed.

use super::definition::HealthPolicy;

/// What the checks say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing new.
    Undecided,
    /// Enough successes in a row.
    Healthy,
    /// The task has to end, for this reason.
    Unhealthy(String),
}

/// The counters of one task.
#[derive(Clone, Debug)]
pub(super) struct Health {
    policy: HealthPolicy,
    is_running: bool,
    attempts: u32,
    successes: u32,
    failures: u32,
}

const TOO_LATE: &str = "Not enough successful health checks in time.";

impl Health {
    pub(super) fn new(policy: HealthPolicy) -> Self {
        Self {
            policy,
            is_running: false,
            attempts: 0,
            successes: 0,
            failures: 0,
        }
    }

    pub(super) fn policy(&self) -> HealthPolicy {
        self.policy
    }

    fn attempts_max(&self) -> u32 {
        self.policy
            .grace_checks
            .saturating_add(self.policy.max_consecutive_failures)
            .saturating_add(self.policy.min_consecutive_successes)
    }

    /// A round is about to begin.
    pub(super) fn begin(&self) -> Verdict {
        if !self.is_running && self.attempts > self.attempts_max() {
            return Verdict::Unhealthy(TOO_LATE.to_owned());
        }
        Verdict::Undecided
    }

    /// A round ended: without a reason, well.
    pub(super) fn handle_checked(&mut self, failure: Option<String>) -> Verdict {
        let ceiling = self.attempts_max().saturating_add(1);
        self.attempts = self.attempts.saturating_add(1).min(ceiling);
        match failure {
            None => self.succeed(),
            Some(reason) => self.fail(reason),
        }
    }

    fn succeed(&mut self) -> Verdict {
        self.failures = 0;
        self.successes = self.successes.saturating_add(1);
        if !self.is_running && self.successes >= self.policy.min_consecutive_successes {
            self.is_running = true;
            return Verdict::Healthy;
        }
        Verdict::Undecided
    }

    fn fail(&mut self, reason: String) -> Verdict {
        self.successes = 0;
        if self.attempts > self.policy.grace_checks {
            self.failures = self.failures.saturating_add(1);
            if self.failures > self.policy.max_consecutive_failures {
                return Verdict::Unhealthy(reason);
            }
        }
        let left = self.attempts_max().saturating_sub(self.attempts);
        if !self.is_running && left > 1 && self.policy.min_consecutive_successes > left {
            return Verdict::Unhealthy(reason);
        }
        Verdict::Undecided
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn health(grace: u32, failures: u32, successes: u32) -> Health {
        Health::new(HealthPolicy {
            interval: Duration::from_secs(10),
            grace_checks: grace,
            max_consecutive_failures: failures,
            min_consecutive_successes: successes,
        })
    }

    fn failed() -> Option<String> {
        Some("no".to_owned())
    }

    #[test]
    fn the_first_success_makes_a_task_running_once() {
        let mut health = health(2, 0, 1);
        assert_eq!(health.handle_checked(None), Verdict::Healthy);
        assert_eq!(health.handle_checked(None), Verdict::Undecided);
    }

    #[test]
    fn failures_in_the_grace_do_not_count_and_the_next_one_does() {
        let mut health = health(2, 0, 1);
        assert_eq!(health.handle_checked(failed()), Verdict::Undecided);
        assert_eq!(health.handle_checked(failed()), Verdict::Undecided);
        assert_eq!(
            health.handle_checked(failed()),
            Verdict::Unhealthy("no".to_owned())
        );
    }

    #[test]
    fn a_success_forgives_the_failures_before_it() {
        let mut health = health(0, 1, 1);
        assert_eq!(health.handle_checked(None), Verdict::Healthy);
        for _ in 0..5 {
            assert_eq!(health.handle_checked(failed()), Verdict::Undecided);
            assert_eq!(health.handle_checked(None), Verdict::Undecided);
        }
        assert_eq!(health.handle_checked(failed()), Verdict::Undecided);
        assert!(matches!(
            health.handle_checked(failed()),
            Verdict::Unhealthy(_)
        ));
    }

    #[test]
    fn a_task_that_flaps_runs_out_of_time() {
        let mut health = health(1, 3, 3);
        let mut rounds = 0;
        let verdict = loop {
            rounds += 1;
            assert!(rounds < 20);
            let verdict = health.begin();
            if verdict != Verdict::Undecided {
                break verdict;
            }
            let failure = (rounds % 2 == 0).then(|| "no".to_owned());
            let verdict = health.handle_checked(failure);
            if verdict != Verdict::Undecided {
                break verdict;
            }
        };
        assert!(matches!(verdict, Verdict::Unhealthy(_)), "{verdict:?}");
    }
}
