//! Machines taken out of service.

use super::world::{World, config, create, kill};
use crate::model::{
    AgentId, MaintenanceMode, ScheduleStatus as S, SlaPolicy, TaskConfig, TaskState,
};
use crate::scheduler::admin::{AdminCommand, Answered, Ruling};
use crate::scheduler::handle::Command;
use std::collections::BTreeSet;
use std::time::Duration;

fn hosts(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn drain(names: &[&str], timeout_secs: i64) -> Command {
    Command::Admin(AdminCommand::DrainHosts {
        hosts: hosts(names),
        default_policy: SlaPolicy::Percentage {
            milli_percent: 0,
            duration_secs: 0,
        },
        timeout_secs,
    })
}

fn end(names: &[&str]) -> Command {
    Command::Admin(AdminCommand::EndMaintenance {
        hosts: hosts(names),
    })
}

fn mode(world: &World, host: &str) -> MaintenanceMode {
    world.tables().host(host).unwrap().mode
}

/// How many tasks of the job hold something of the machine.
fn on(world: &World, host: &str) -> usize {
    let tables = world.tables();
    let tasks = tables.tasks_on_host(host);
    tasks.filter(|task| task.status.is_assigned()).count()
}

/// A world with two machines and a job that runs on one of them.
fn world(instances: u32, change: impl FnOnce(&mut TaskConfig)) -> World {
    let mut world = World::with(1, |options| options.sla.min_instances = 2);
    world.agent_up("a");
    let config = config("j", change);
    world.command(None, &create(config, instances));
    world.calm();
    world.all_go(TaskState::Starting, TaskState::Running);
    world.calm();
    world.agent_up("b");
    world.calm();
    assert_eq!(on(&world, "a"), instances as usize);
    world
}

fn run_all(world: &mut World) {
    world.calm();
    world.all_go(TaskState::Starting, TaskState::Running);
    world.calm();
}

#[test]
fn a_drained_machine_is_emptied_its_tasks_run_elsewhere_and_it_comes_back() {
    let mut world = world(3, |_| {});
    world.command(None, &drain(&["a", "unknown"], 0));
    assert!(
        world
            .engine
            .head
            .tasks()
            .all(|task| task.status == S::Draining)
    );
    world.learn();
    assert_eq!(mode(&world, "a"), MaintenanceMode::Draining);
    run_all(&mut world);
    assert_eq!((on(&world, "a"), on(&world, "b")), (0, 3));
    assert_eq!(mode(&world, "a"), MaintenanceMode::Drained);
    assert!(world.tables().maintenance("a").is_none());
    assert!(world.tables().host("unknown").is_none());
    world.command(None, &drain(&["b"], 0));
    run_all(&mut world);
    let waiting = world.tables().count(S::Pending);
    assert_eq!((on(&world, "a"), on(&world, "b"), waiting), (0, 0, 3));
    world.command(None, &end(&["a"]));
    run_all(&mut world);
    assert_eq!(
        (mode(&world, "a"), on(&world, "a")),
        (MaintenanceMode::None, 3)
    );
}

#[test]
fn an_empty_machine_is_drained_at_once_and_stays_so_when_its_agent_comes_back() {
    let mut world = world(1, |_| {});
    world.command(None, &drain(&["b"], 3_600));
    world.learn();
    assert_eq!(mode(&world, "b"), MaintenanceMode::Drained);
    world.agent_down("b");
    world.agent_up("b");
    world.calm();
    assert_eq!(mode(&world, "b"), MaintenanceMode::Drained);
    let crowd = create(config("k", |_| {}), 20);
    world.command(None, &crowd);
    world.calm();
    assert_eq!(on(&world, "b"), 0);
}

#[test]
fn a_promise_is_kept_until_the_others_are_up_or_the_time_is_over() {
    let promise = |c: &mut TaskConfig| {
        c.production = true;
        c.tier = Some("preferred".into());
        c.constraints.clear();
        c.sla_policy = Some(SlaPolicy::Count {
            count: 3,
            duration_secs: 120,
        });
    };
    let quota = Command::Admin(AdminCommand::SetQuota {
        role: "role".into(),
        quota: super::world::total().times(10),
    });
    let mut world = World::with(1, |options| options.sla.min_instances = 2);
    world.command(None, &quota);
    world.agent_up("a");
    world.command(None, &create(config("j", promise), 4));
    run_all(&mut world);
    world.agent_up("b");
    world.command(None, &drain(&["a"], 3_600));
    world.calm();
    // None has been up for long enough.
    assert_eq!(
        (on(&world, "a"), mode(&world, "a")),
        (4, MaintenanceMode::Draining)
    );
    world.pass(Duration::from_secs(130));
    let mut left = 4;
    while left > 0 {
        run_all(&mut world);
        assert_eq!(on(&world, "a"), left - 1, "one at a time");
        left -= 1;
        world.pass(Duration::from_secs(130));
    }
    run_all(&mut world);
    assert_eq!(mode(&world, "a"), MaintenanceMode::Drained);

    world.command(None, &end(&["a"]));
    world.calm();
    world.command(None, &drain(&["b"], 300));
    world.agent_down("a");
    world.calm();
    world.pass(Duration::from_secs(301));
    world.calm();
    assert_eq!((on(&world, "a"), on(&world, "b")), (0, 0));
}

fn coordinated(c: &mut TaskConfig) {
    c.sla_policy = Some(SlaPolicy::Coordinator {
        url: "http://c/".into(),
        status_key: "ok".into(),
    });
}

fn answer(world: &mut World, ruling: Ruling) -> AgentId {
    let question = world.questions.pop_front().unwrap();
    assert!(
        world.questions.is_empty(),
        "one at a time for each coordinator"
    );
    let task = question.task.id.clone();
    let answered = Answered { task, ruling };
    world.engine.handle_answered(world.now, &answered);
    world.turn();
    run_all(world);
    question.task.agent.clone().unwrap()
}

#[test]
fn a_coordinator_decides_task_by_task_and_is_asked_again_at_the_next_poll() {
    let mut world = world(3, coordinated);
    world.command(None, &drain(&["a"], 3_600));
    world.calm();
    let starved = |world: &World| {
        let of = |instance| {
            let name = format!("sla_coordinator_lock_starvation_cluster/role/prod/j/{instance}");
            world.engine.counted(&name)
        };
        let all = world.engine.counted("sla_coordinator_lock_starvation");
        assert_eq!((0..3).map(of).sum::<u64>(), all);
        all
    };
    assert_eq!(starved(&world), 2);
    answer(&mut world, Ruling::Denied);
    answer(&mut world, Ruling::Granted);
    answer(&mut world, Ruling::Unreachable);
    assert_eq!(starved(&world), 2, "each of those that wait counts once");
    assert!(world.questions.is_empty());
    assert_eq!(on(&world, "a"), 2);
    world.pass(Duration::from_secs(61));
    world.calm();
    assert_eq!(starved(&world), 3);
    answer(&mut world, Ruling::Granted);
    answer(&mut world, Ruling::Granted);
    assert_eq!(
        (on(&world, "a"), mode(&world, "a")),
        (0, MaintenanceMode::Drained)
    );
}

#[test]
fn a_late_answer_moves_nothing_once_the_machine_is_back_in_service() {
    let mut world = world(1, coordinated);
    world.command(None, &drain(&["a"], 3_600));
    world.calm();
    world.command(None, &end(&["a"]));
    world.calm();
    answer(&mut world, Ruling::Granted);
    assert_eq!(on(&world, "a"), 1);
    assert_eq!(world.tables().count(S::Running), 1);
}

#[test]
fn a_drain_goes_on_under_the_next_leader_and_a_kill_ends_it() {
    let mut world = world(2, coordinated);
    world.command(None, &drain(&["a"], 3_600));
    world.calm();
    world.crash(usize::MAX);
    world.questions.clear();
    world.agent_up("a");
    world.agent_up("b");
    world.calm();
    assert_eq!(mode(&world, "a"), MaintenanceMode::Draining);
    world.pass(Duration::from_secs(61));
    world.calm();
    answer(&mut world, Ruling::Granted);
    world.command(None, &kill("j"));
    world.calm();
    assert_eq!(mode(&world, "a"), MaintenanceMode::Drained);
}

#[test]
fn a_machine_that_will_leave_is_used_only_if_no_other_does() {
    let mut world = world(1, |_| {});
    let start = Command::Admin(AdminCommand::StartMaintenance {
        hosts: hosts(&["a"]),
    });
    world.command(None, &start);
    world.command(None, &create(config("k", |_| {}), 10));
    run_all(&mut world);
    assert_eq!(mode(&world, "a"), MaintenanceMode::Scheduled);
    assert_eq!((on(&world, "a"), on(&world, "b")), (3, 8));
}
