//! Which machine a task is given: what may be taken back, and the order of machines.

use super::world::{World, config, create, key};
use crate::domain::placement::OfferOrder;
use crate::driver::DriverCommand;
use crate::model::{
    AgentId, Attribute, Constraint, ConstraintKind, LaunchOrder, MilliCpus, ScheduleStatus as S,
    TaskConfig,
};
use crate::scheduler::engine::EngineOptions;
use std::collections::BTreeSet;

fn sized(name: &str, tier: &str, cpus: i64) -> TaskConfig {
    config(name, |c| {
        c.resources.cpus = MilliCpus(cpus);
        c.tier = Some(tier.to_owned());
        c.port_names.clear();
        c.resources.ports = 0;
    })
}

/// A world with a machine of four cores that offers two more as revocable.
fn with_revocable(change: impl FnOnce(&mut EngineOptions)) -> World {
    let mut world = World::with(5, change);
    let agent = world.agents.entry(AgentId::new("a")).or_default();
    agent.attributes = vec![Attribute {
        name: "revocable".into(),
        values: BTreeSet::from(["cpus:2".to_owned(), "mem:100".to_owned()]),
    }];
    world.agent_up("a");
    world
}

fn count(world: &World, name: &str, status: S) -> usize {
    let statuses = world.statuses(&key(name));
    statuses.into_iter().filter(|s| *s == status).count()
}

fn reasons(world: &World, name: &str) -> Vec<String> {
    let view = world.engine.view();
    let mut groups = view.pending.iter();
    let group = groups.find(|group| group.config.job == key(name));
    group.map(|g| g.reasons.clone()).unwrap_or_default()
}

#[test]
fn vetoes_are_counted_one_by_one_and_their_groups_by_machine() {
    let mut world = World::new(6);
    for name in ["a", "b"] {
        world.agent_up(name);
    }
    // Too large for either in two ways; refused by both once and for all.
    let huge = config("huge", |c| {
        (c.resources.cpus, c.resources.ram_mb) = (MilliCpus(1_000_000), 1 << 30);
    });
    world.command(None, &create(huge, 1));
    world.run_all();
    assert_eq!(reasons(&world, "huge").len(), 2);
    let counted = |name| world.engine.counted(&format!("scheduling_veto_{name}"));
    assert_eq!(counted("insufficient_resources"), 4);
    assert_eq!((counted("static"), counted("dynamic")), (2, 0));
}

#[test]
fn revocable_tiers_use_what_may_be_taken_back_and_nobody_else_does() {
    let mut world = with_revocable(|options| options.revocable.receive = true);
    world.command(None, &create(sized("firm", "preemptible", 990), 5));
    world.run_all();
    // Four cores for good: the fifth does not fit, although two more cores are idle.
    assert_eq!(count(&world, "firm", S::Running), 4);
    assert_eq!(reasons(&world, "firm"), ["Insufficient: CPU"]);
    world.command(None, &create(sized("spare", "revocable", 990), 3));
    world.run_all();
    assert_eq!(count(&world, "spare", S::Running), 2);
    assert_eq!(reasons(&world, "spare"), ["Insufficient: CPU"]);
    // Memory is not of a revocable kind: it comes out of the machine's own.
    let left = &world.engine.view().agents[0].free;
    assert_eq!(left.cpus, MilliCpus(0));
    assert_eq!(left.ram_mb, 4_096 - 6 * 108);
}

#[test]
fn a_machine_that_lends_less_takes_back_the_latest_first() {
    let mut world = with_revocable(|options| options.revocable.receive = true);
    world.command(None, &create(sized("firm", "preemptible", 1_990), 2));
    for name in ["first", "second"] {
        world.command(None, &create(sized(name, "revocable", 990), 1));
        world.run_all();
        world.pass(std::time::Duration::from_secs(1));
    }
    assert_eq!(count(&world, "second", S::Running), 1);
    let lend = |world: &mut World, amount: &str| {
        let agent = world.agents.get_mut(&AgentId::new("a")).unwrap();
        agent.attributes[0].values = BTreeSet::from([amount.to_owned()]);
        world.agent_up("a");
        while !world.appending.is_empty() {
            world.learn();
        }
    };
    lend(&mut world, "cpus:1");
    assert_eq!(count(&world, "first", S::Running), 1);
    assert_eq!(count(&world, "second", S::Preempting), 1);
    let task = |world: &World, name: &str, status: S| {
        let tables = world.tables();
        let key = key(name);
        let mut tasks = tables.tasks_of_job(&key);
        tasks.find(|task| task.status == status).cloned().unwrap()
    };
    let taken = task(&world, "second", S::Preempting);
    let last = taken.events.last().unwrap();
    let why = "Its machine takes back what it had lent.";
    assert_eq!(last.message.as_deref(), Some(why));
    // Lent again, it is used again; what the machine offers for good was never touched.
    lend(&mut world, "cpus:2");
    world.run_all();
    assert_eq!(
        count(&world, "second", S::Pending) + count(&world, "second", S::Running),
        1
    );
    assert_eq!(count(&world, "firm", S::Running), 2);
    // Nothing is revocable any more: all of it goes.
    lend(&mut world, "cpus:0");
    assert_eq!(count(&world, "first", S::Preempting), 1);
    assert_eq!(count(&world, "firm", S::Running), 2);
}

#[test]
fn orders_say_what_runs_on_what_was_lent() {
    let mut world = with_revocable(|options| options.revocable.receive = true);
    world.command(None, &create(sized("firm", "preemptible", 990), 1));
    world.command(None, &create(sized("spare", "revocable", 990), 1));
    for _ in 0..5 {
        world.pass(std::time::Duration::from_millis(50));
        world.turn();
        while !world.appending.is_empty() {
            world.learn();
        }
    }
    let orders = world.orders.iter().filter_map(|command| match command {
        DriverCommand::Launch { order, .. } => Some(order),
        _ => None,
    });
    let orders: Vec<_> = orders.collect();
    let lent = |name: &str| {
        let mut orders = orders.iter();
        let order = orders.find(|order| order.job == key(name)).unwrap();
        LaunchOrder::says_revocable(&order.metadata)
    };
    assert!(lent("spare"));
    assert!(!lent("firm"));
}

#[test]
fn memory_may_be_revocable_too() {
    let mut world = with_revocable(|options| {
        options.revocable.receive = true;
        options.revocable.ram = true;
    });
    world.command(None, &create(sized("spare", "revocable", 100), 2));
    world.run_all();
    // A hundred megabytes, and each takes all of them but its executor's share.
    assert_eq!(count(&world, "spare", S::Running), 0);
    assert_eq!(reasons(&world, "spare"), ["Insufficient: RAM"]);
    let small = config("small", |c| {
        *c = sized("small", "revocable", 100);
        c.resources.ram_mb = 40;
    });
    world.command(None, &create(small, 3));
    world.run_all();
    assert_eq!(count(&world, "small", S::Running), 2);
    assert_eq!(world.engine.view().agents[0].free.ram_mb, 4_096);
}

#[test]
fn without_receiving_them_revocable_tiers_wait_as_upstreams_do() {
    let mut world = with_revocable(|_| {});
    world.command(None, &create(sized("spare", "revocable", 990), 1));
    world.run_all();
    assert_eq!(count(&world, "spare", S::Pending), 1);
    assert_eq!(reasons(&world, "spare"), ["Insufficient: CPU"]);
    // Unless processor time is of no revocable kind: then they share what everybody has.
    let mut world = with_revocable(|options| options.revocable.cpus = false);
    world.command(None, &create(sized("spare", "revocable", 990), 1));
    world.run_all();
    assert_eq!(count(&world, "spare", S::Running), 1);
}

#[test]
fn ending_revocable_work_frees_no_processor_time_for_others() {
    let mut world = with_revocable(|options| options.revocable.receive = true);
    world.command(None, &create(sized("spare", "revocable", 990), 2));
    world.command(None, &create(sized("firm", "preemptible", 1_990), 2));
    world.run_all();
    assert_eq!(count(&world, "firm", S::Running), 2);
    let quota = super::world::total().times(10);
    let role = "role".to_owned();
    let set = crate::scheduler::admin::AdminCommand::SetQuota { role, quota };
    world.command(None, &crate::scheduler::handle::Command::Admin(set));
    let mut high = sized("high", "preferred", 1_000);
    high.production = true;
    world.command(None, &create(high, 1));
    world.run_all();
    world.pass(std::time::Duration::from_secs(400));
    world.run_all();
    world.pass(std::time::Duration::from_secs(100));
    world.run_all();
    assert_eq!(count(&world, "high", S::Running), 1);
    assert_eq!(count(&world, "spare", S::Running), 2, "they were no help");
    assert_eq!(count(&world, "firm", S::Running), 1);
}

#[test]
fn production_work_takes_the_memory_of_revocable_work() {
    let mut world = with_revocable(|options| options.revocable.receive = true);
    let spare = config("spare", |c| {
        *c = sized("spare", "revocable", 100);
        c.resources.ram_mb = 1_500;
    });
    world.command(None, &create(spare, 2));
    world.run_all();
    assert_eq!(count(&world, "spare", S::Running), 2);
    let quota = super::world::total().times(10);
    let role = "role".to_owned();
    let set = crate::scheduler::admin::AdminCommand::SetQuota { role, quota };
    world.command(None, &crate::scheduler::handle::Command::Admin(set));
    let high = config("high", |c| {
        *c = sized("high", "preferred", 1_000);
        c.production = true;
        c.resources.ram_mb = 2_000;
    });
    world.command(None, &create(high, 1));
    world.run_all();
    assert_eq!(reasons(&world, "high"), ["Insufficient: RAM"]);
    world.pass(std::time::Duration::from_secs(400));
    world.run_all();
    world.pass(std::time::Duration::from_secs(100));
    world.run_all();
    assert_eq!(count(&world, "high", S::Running), 1);
    assert_eq!(
        count(&world, "spare", S::Running),
        1,
        "one of them was enough"
    );
}

#[test]
fn an_order_packs_machines_full_where_taking_turns_spreads() {
    for (order, machines) in [(vec![OfferOrder::Cpu], 1), (Vec::new(), 3)] {
        let mut world = World::with(5, |options| options.offer_order = order);
        for name in ["a", "b", "c"] {
            world.agent_up(name);
        }
        world.command(None, &create(sized("j", "preemptible", 990), 4));
        world.run_all();
        let tables = world.tables();
        let job = key("j");
        let placed = tables.active_tasks_of_job(&job);
        let used: BTreeSet<_> = placed.filter_map(|task| task.agent.clone()).collect();
        assert_eq!(used.len(), machines);
    }
}

#[test]
fn a_limit_that_ends_on_one_machine_is_seen_on_the_others() {
    let mut world = World::new(5);
    for name in ["a", "b", "c"] {
        let agent = world.agents.entry(AgentId::new(name)).or_default();
        agent.attributes = vec![Attribute {
            name: "rack".into(),
            values: BTreeSet::from(["one".to_owned()]),
        }];
        world.agent_up(name);
    }
    let mut one_a_rack = sized("j", "preemptible", 100);
    one_a_rack.constraints.insert(Constraint {
        name: "rack".into(),
        kind: ConstraintKind::Limit(1),
    });
    world.command(None, &create(one_a_rack, 2));
    world.run_all();
    assert_eq!(count(&world, "j", S::Running), 1);
    assert_eq!(reasons(&world, "j"), ["Limit not satisfied: rack"]);
    // The machine of that one goes away; nothing changes about the others.
    let tables = world.tables();
    let held: Vec<String> = tables.loaded_agents().map(ToString::to_string).collect();
    world.agent_down(&held[0]);
    world.pass(std::time::Duration::from_secs(80));
    world.run_all();
    assert_eq!(count(&world, "j", S::Lost), 1);
    assert_eq!(count(&world, "j", S::Running), 1);
    assert_eq!(count(&world, "j", S::Pending), 1);
}
