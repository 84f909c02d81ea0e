//! The replicated log under every kind of trouble, in simulated time, from one seed.
//!
//! `AURORA_SEED=n cargo test --test sim replay` runs one seed again, with `AURORA_PLAN=members` that of an
//! aimed plan; `AURORA_TRACE=1` shows what
//! happens in it. `AURORA_LONG=1 AURORA_SEEDS=n cargo test --test sim` runs many seeds, from
//! `AURORA_FIRST` on if that is set.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod checker;
mod clock;
mod damage;
mod disk;
mod load;
mod machine;
#[cfg(feature = "mistakes")]
mod mistakes;
mod model;
mod network;
mod overhear;
mod owner;
mod plan;
mod scenario;
mod strike;
mod trouble;
mod view;
mod world;

use scenario::{Outcome, run};
use std::panic::{RefUnwindSafe, catch_unwind};
use std::time::Duration;

/// What a number of runs came to.
#[derive(Debug, Default)]
struct Sum {
    runs: u64,
    events: u64,
    acknowledged: u64,
    configurations: u64,
    struck: u64,
    brought_back: u64,
    simulated: Duration,
    took: Duration,
}

impl Sum {
    fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.events += outcome.events;
        self.acknowledged += outcome.acknowledged;
        self.configurations += outcome.configurations;
        self.struck += outcome.struck;
        self.brought_back += outcome.brought_back;
        self.simulated += outcome.simulated;
        self.took += outcome.took;
    }

    fn report(&self, what: &str) {
        let ratio = self.simulated.as_secs_f64() / self.took.as_secs_f64().max(1e-9);
        println!(
            "{what}: {} seeds, {} events, {} entries acknowledged, {} configurations, {} struck at, {} \
             old lives back, {:.0} s simulated in {:.2} s: {ratio:.0} times real time",
            self.runs,
            self.events,
            self.acknowledged,
            self.configurations,
            self.struck,
            self.brought_back,
            self.simulated.as_secs_f64(),
            self.took.as_secs_f64()
        );
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn seeds(
    what: &str,
    first: u64,
    fixed: u64,
    plan: impl Fn(u64) -> plan::Plan + RefUnwindSafe,
) -> Sum {
    let is_long = std::env::var("AURORA_LONG").is_ok_and(|long| long == "1");
    let long = number("AURORA_SEEDS").unwrap_or(fixed * 20);
    let count = if is_long { long } else { fixed };
    let first = number("AURORA_FIRST").unwrap_or(first);
    let mut sum = Sum::default();
    let mut failed = Vec::new();
    for seed in first..first + count {
        match catch_unwind(|| run(plan(seed))) {
            Ok(outcome) => sum.add(&outcome),
            // It has said what, and how to see it again.
            Err(_) => failed.push(seed),
        }
    }
    sum.report(what);
    assert!(failed.is_empty(), "these seeds fail: {failed:?}");
    sum
}

#[test]
fn ensembles_lose_nothing_under_faults() {
    let sum = seeds("ensembles", 100, 60, plan::Plan::from_seed);
    assert!(sum.acknowledged > 50 * sum.runs, "too little: {sum:?}");
}

/// Members that come and go, that are lost and come back, while leaders are cut off.
#[test]
fn aimed_trouble_loses_nothing() {
    let mut all = Sum::default();
    for (what, plan) in plan::Plan::AIMED {
        let sum = seeds(what, 1, 12, plan);
        all.configurations += sum.configurations;
        all.struck += sum.struck;
        all.brought_back += sum.brought_back;
    }
    // Trouble that does not happen finds nothing.
    assert!(all.configurations > 150, "too few changes: {all:?}");
    assert!(all.struck > 40, "too few meet trouble: {all:?}");
    assert!(all.brought_back > 2, "too few old lives: {all:?}");
}

#[test]
fn replay() {
    if let Some(seed) = number("AURORA_SEED") {
        let mut sum = Sum::default();
        let aim = std::env::var("AURORA_PLAN").ok();
        let mut aimed = plan::Plan::AIMED.into_iter();
        let aimed = aimed.find(|(name, _)| Some(*name) == aim.as_deref());
        let plan = aimed.map_or(plan::Plan::from_seed as _, |(_, plan)| plan)(seed);
        println!("{plan:#?}");
        sum.add(&run(plan));
        sum.report(&format!("seed {seed}"));
    }
}
