//! What a new leader does for single tasks of large tables.

use super::world::{World, config, create, kill};
use crate::base::clock::Instant;

/// Three jobs of so many tasks: more than one turn looks at.
const EACH: u32 = 4_000;

fn waiting(world: &World) -> usize {
    let groups = world.engine.pending.iter();
    groups.map(|(_, group)| group.tasks.len()).sum()
}

/// A world whose scheduler has just died and come back with three jobs that wait for machines.
fn come_back() -> World {
    let mut world = World::new(1);
    for job in ["a", "b", "c"] {
        world.command(None, &create(config(job, |_| {}), EACH));
        while !world.appending.is_empty() {
            world.learn();
        }
    }
    assert_eq!(waiting(&world), 3 * EACH as usize);
    world.crash(0);
    world
}

fn settle(world: &mut World) {
    for _ in 0..10 {
        world.turn();
        if world.engine.rousing.is_none() {
            return;
        }
        assert_eq!(world.engine.deadline(), Instant::ZERO, "it goes on at once");
    }
    panic!("it never comes to an end");
}

#[test]
fn a_new_leader_lets_every_task_that_waits_have_its_turn_and_not_all_in_one_go() {
    let mut world = come_back();
    let first = waiting(&world);
    assert!(0 < first && first < 3 * EACH as usize, "{first}");
    settle(&mut world);
    assert_eq!(waiting(&world), 3 * EACH as usize);
    assert_ne!(world.engine.deadline(), Instant::ZERO);
}

#[test]
fn what_a_new_leader_does_meanwhile_is_not_undone() {
    let mut world = come_back();
    // The last one has not been looked at, the first one has.
    for job in ["c", "a"] {
        world.command(None, &kill(job));
    }
    world.command(None, &create(config("c", |_| {}), 10));
    settle(&mut world);
    while !world.appending.is_empty() {
        world.learn();
    }
    assert_eq!(waiting(&world), EACH as usize + 10);
}

#[test]
fn whoever_leads_no_more_looks_at_nothing() {
    let mut world = come_back();
    world.engine.handle_discarded();
    assert!(world.engine.rousing.is_none());
    world.engine.handle_leading(world.now).unwrap();
    settle(&mut world);
    assert_eq!(waiting(&world), 3 * EACH as usize);
}
