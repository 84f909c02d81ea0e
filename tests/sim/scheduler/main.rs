//! The whole scheduler in simulation: engines and their storage on the simulated log, with agents and
//! clients that are made up, under the log's faults, from one seed.
//!
//! Every machine of the log's world has an engine that follows what its replica learns and leads when
//! its replica does. Cron jobs, services and updates are under way all the time. A judge reads the log as
//! the world's ledger has it, entry by entry, and knows nothing of the engines.
//!
//! `AURORA_SEED=n cargo test -p aurora-sim-scheduler --test sim_scheduler replay` runs one seed again;
//! `AURORA_LONG=1` runs until ten thousand leaders have been lost, the default until 600; from the seed
//! `AURORA_FIRST_SEED` on, if that is set.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![expect(dead_code, reason = "the log's world has more than is used here")]

#[path = "../checker/mod.rs"]
mod checker;
#[path = "../clock.rs"]
mod clock;
#[path = "../damage.rs"]
mod damage;
#[path = "../disk.rs"]
mod disk;
#[path = "../load.rs"]
mod load;
#[path = "../machine.rs"]
mod machine;
#[path = "../network.rs"]
mod network;
#[path = "../overhear.rs"]
mod overhear;
#[path = "../owner.rs"]
mod owner;
#[path = "../plan.rs"]
mod plan;
#[path = "../strike.rs"]
mod strike;
#[path = "../trouble.rs"]
mod trouble;
#[path = "../view.rs"]
mod view;
#[path = "../world.rs"]
mod world;

mod agents;
mod clients;
mod judge;
mod life;
mod stage;

use stage::{Outcome, Stage};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// One run; if it fails, says how to see it again.
fn run(seed: u64) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| Stage::new(seed).live())).unwrap_or_else(|cause| {
        eprintln!(
            "seed {seed} fails; again: AURORA_SEED={seed} cargo test -p aurora-sim-scheduler replay"
        );
        resume_unwind(cause)
    })
}

fn is_long() -> bool {
    std::env::var("AURORA_LONG").is_ok_and(|long| long == "1")
}

#[test]
fn everything_is_decided_once_whoever_leads() {
    let wanted = if is_long() { 10_000 } else { 600 };
    let mut sum = Outcome::default();
    let first = number("AURORA_FIRST_SEED").unwrap_or(1_000);
    let mut seed = first;
    while sum.losses < wanted {
        sum.add(&run(seed));
        seed += 1;
    }
    println!("{} seeds from {first}: {sum:?}", seed - first);
    // A run without any of these would be no test of them.
    assert!(sum.cron_runs > wanted / 25, "{sum:?}");
    assert!(sum.updates > wanted / 50, "{sum:?}");
    assert!(sum.rolled_back > 0 && sum.services > 0, "{sum:?}");
}

#[test]
fn replay() {
    if let Some(seed) = number("AURORA_SEED") {
        println!("{:?}", run(seed));
    }
}

#[test]
fn a_seed_decides_everything() {
    assert_eq!(run(7), run(7));
}
