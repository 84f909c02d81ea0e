//! One run from beginning to end: trouble, calm, and what must be true then.

use crate::plan::Plan;
use crate::world::{World, nanos};
use cores::base::clock;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    pub events: u64,
    pub acknowledged: u64,
    /// Configurations that were chosen.
    pub configurations: u64,
    /// Those of them that were struck at while they were under way, and old lives put back.
    pub struck: u64,
    pub brought_back: u64,
    pub simulated: Duration,
    pub took: Duration,
}

/// Within this long after the last fault has ended everybody has everything, and new entries pass.
const SETTLES_WITHIN: Duration = Duration::from_secs(15);
/// How long a leader that nothing troubles is watched.
const CALM: Duration = Duration::from_secs(2);

/// Runs a plan.
///
/// # Panics
///
/// If anything that must hold does not; says the seed and how to see it again.
pub fn run(plan: Plan) -> Outcome {
    let seed = plan.seed;
    let started = clock::now();
    let result = catch_unwind(AssertUnwindSafe(|| live(plan)));
    match result {
        Ok(world) => Outcome {
            events: world.handled,
            acknowledged: world.ledger.acknowledged_count(),
            configurations: world.ledger.configuration_count(),
            struck: world.overheard.strikes,
            brought_back: world.overheard.brought_back,
            simulated: Duration::from_nanos(world.now),
            took: clock::now().since(started),
        },
        Err(cause) => {
            eprintln!("seed {seed} fails; again: AURORA_SEED={seed} cargo test --test sim replay");
            resume_unwind(cause)
        }
    }
}

/// One run, which panics at the first thing that must not be.
pub fn live(plan: Plan) -> World {
    let (rounds, chaos) = (plan.rounds, plan.chaos);
    let mut world = World::new(plan);
    for _ in 0..rounds {
        world.roughen();
        let end = world.now + nanos(chaos);
        world.run(end, |_| false);
        settle(&mut world);
    }
    world
}

/// The faults end: progress must resume, and last.
fn settle(world: &mut World) {
    world.heal();
    if world.machines.iter().all(|machine| machine.is_out) {
        return;
    }
    let deadline = world.now + nanos(SETTLES_WITHIN);
    let before = world.ledger.acknowledged_count();
    // A lone replica that cannot prove what it holds stays out for good, and may find out only now.
    let is_out = |world: &World| world.machines.iter().all(|machine| machine.is_out);
    let is_moving = |world: &World| {
        is_out(world) || world.ledger.acknowledged_count() > before && world.is_even()
    };
    assert!(
        world.run(deadline, is_moving),
        "no progress within {SETTLES_WITHIN:?} after the faults have ended: {}",
        world.describe()
    );
    // What was sent in the trouble and is still under way may unsettle it once more.
    let end = world.now + nanos(world.plan.network.slow + CALM);
    world.run(end, |_| false);
    let leader = world.leader();
    let end = world.now + nanos(CALM);
    world.run(end, |_| false);
    assert_eq!(world.leader(), leader, "the leader was changed in the calm");
}
