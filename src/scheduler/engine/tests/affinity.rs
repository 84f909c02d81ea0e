//! Instances that come back to their machine when an update replaces them.

use super::updates::{change, settings, start};
use super::world::{World, config, create, key, kill};
use crate::model::{
    AgentId, Constraint, ConstraintKind, MilliCpus, SlaPolicy, TaskConfig, UpdateStatus as S,
};
use crate::scheduler::admin::AdminCommand;
use crate::scheduler::handle::Command;
use crate::scheduler::update::UpdateChange;
use std::collections::BTreeMap;
use std::time::Duration;

const HOLD: Duration = Duration::from_secs(180);

/// A job that takes a good part of a machine, in one of its versions.
fn large(cpus: i64) -> TaskConfig {
    config("j", |c| c.resources.cpus = MilliCpus(cpus))
}

/// Three machines, the job on two of them, and a crowd that wants whatever becomes free.
fn crowded(affinity: bool) -> World {
    let mut world = World::with(11, |options| {
        options.update_affinity = affinity.then_some(HOLD);
    });
    for name in ["a", "b", "c"] {
        world.agent_up(name);
    }
    world.command(None, &create(large(2_000), 2));
    world.run_all();
    let crowd = config("crowd", |c| c.resources.cpus = MilliCpus(1_900));
    world.command(None, &create(crowd, 20));
    world.run_all();
    world
}

fn places(world: &World, name: &str) -> BTreeMap<u32, AgentId> {
    let tables = world.tables();
    let job = key(name);
    let tasks = tables.active_tasks_of_job(&job);
    let placed = tasks.filter_map(|task| Some((task.instance, task.agent.clone()?)));
    placed.collect()
}

/// Lets an update go on until it ends.
fn finish(world: &mut World, rounds: usize) {
    for _ in 0..rounds {
        world.run_all();
        world.pass(Duration::from_secs(22));
        world.turn();
    }
}

fn counter(world: &World, name: &str) -> i64 {
    world.engine.view().counters[name]
}

#[test]
fn a_replaced_instance_comes_back_to_its_machine_whoever_else_waits() {
    let mut world = crowded(true);
    let before = places(&world, "j");
    assert_eq!(before.len(), 2);
    let update = world.started(&start(large(1_950), 2, settings(1)));
    finish(&mut world, 6);
    assert_eq!(world.state(&update), S::RolledForward);
    assert_eq!(places(&world, "j"), before);
    assert_eq!(counter(&world, "update_affinity_cache_size"), 0);
    assert_eq!(
        counter(&world, "update_affinity_cache_explicit_removals"),
        2
    );
}

#[test]
fn an_instance_comes_back_although_another_machine_has_more_room_if_that_is_wanted() {
    for affinity in [true, false] {
        let mut world = World::with(11, |options| {
            options.update_affinity = affinity.then_some(HOLD);
        });
        for name in ["a", "b", "c"] {
            world.agent_up(name);
        }
        world.command(None, &create(large(2_000), 2));
        world.run_all();
        let before = places(&world, "j");
        let update = world.started(&start(large(1_950), 2, settings(1)));
        finish(&mut world, 6);
        assert_eq!(world.state(&update), S::RolledForward);
        assert_eq!(places(&world, "j") == before, affinity);
    }
}

#[test]
fn a_machine_is_kept_only_for_what_fits_in_place_under_the_same_constraints() {
    let on_a = |cpus| {
        let mut config = large(cpus);
        config.constraints.insert(Constraint {
            name: "nowhere".into(),
            kind: ConstraintKind::Value {
                negated: true,
                values: ["x".to_owned()].into(),
            },
        });
        config
    };
    for next in [large(2_050), on_a(1_950)] {
        let mut world = crowded(true);
        world.started(&start(next, 2, settings(1)));
        finish(&mut world, 3);
        assert_eq!(counter(&world, "update_affinity_cache_size"), 0);
        assert_eq!(counter(&world, "update_affinity_cache_removals"), 0);
    }
}

#[test]
fn a_reservation_runs_out_and_the_machine_is_free_again() {
    let mut world = crowded(true);
    let crowd = places(&world, "crowd").len();
    let update = world.started(&start(large(1_950), 2, settings(1)));
    // The instance is told to end; before its machine says that it has, the update is given up.
    while counter(&world, "update_affinity_cache_size") == 0 {
        world.learn();
        world.turn();
    }
    world.ask(&change(&update, UpdateChange::Abort));
    world.run_all();
    world.command(None, &kill("j"));
    finish(&mut world, 2);
    assert_eq!(counter(&world, "update_affinity_cache_size"), 1);
    let while_kept = places(&world, "crowd").len();
    world.pass(HOLD);
    finish(&mut world, 3);
    assert_eq!(counter(&world, "update_affinity_cache_size"), 0);
    assert_eq!(
        counter(&world, "update_affinity_cache_expiration_removals"),
        1
    );
    assert!(while_kept > crowd, "the other machine was free at once");
    assert!(places(&world, "crowd").len() > while_kept);
}

#[test]
fn an_instance_goes_elsewhere_if_its_machine_is_taken_out_of_service() {
    let mut world = World::with(11, |options| options.update_affinity = Some(HOLD));
    world.agent_up("a");
    world.command(None, &create(large(2_000), 1));
    world.run_all();
    world.agent_up("b");
    let update = world.started(&start(large(1_950), 1, settings(1)));
    while counter(&world, "update_affinity_cache_size") == 0 {
        world.learn();
        world.turn();
    }
    let drain = AdminCommand::DrainHosts {
        hosts: ["a".to_owned()].into(),
        default_policy: SlaPolicy::Percentage {
            milli_percent: 0,
            duration_secs: 0,
        },
        timeout_secs: 0,
    };
    world.command(None, &Command::Admin(drain));
    finish(&mut world, 3);
    assert_eq!(world.state(&update), S::RolledForward);
    assert_eq!(places(&world, "j")[&0], AgentId::new("b"));
    assert_eq!(counter(&world, "update_affinity_cache_size"), 0);
}
