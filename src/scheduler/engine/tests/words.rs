//! What histories and pending reasons say, in upstream's words: people and scripts look for them.

use super::updates::{pulse, settings, start, version};
use super::world::{World, config, create, key};
use crate::model::{
    AgentId, Attribute, PartitionPolicy, ScheduleStatus as S, SlaPolicy, TaskConfig, TaskState,
    UpdateStatus,
};
use crate::scheduler::admin::AdminCommand;
use crate::scheduler::handle::Command;
use std::collections::BTreeSet;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// A world with a machine, and a job that runs on it.
fn running(change: impl FnOnce(&mut TaskConfig)) -> World {
    let mut world = World::new(3);
    world.agent_up("a");
    world.command(None, &create(config("j", change), 1));
    world.run_all();
    assert_eq!(world.statuses(&key("j")), [S::Running]);
    world
}

/// Whether some task of the job entered a state with this message.
#[track_caller]
fn assert_said(world: &World, status: S, message: &str) {
    let tables = world.tables();
    let job = key("j");
    let events = tables
        .tasks_of_job(&job)
        .flat_map(|task| task.events.clone());
    let said: BTreeSet<(S, String)> = events
        .map(|event| (event.status, event.message.unwrap_or_default()))
        .collect();
    assert!(
        said.contains(&(status, message.to_owned())),
        "{message}: {said:?}"
    );
}

#[test]
fn whoever_asks_is_named_with_what_they_said() {
    let user = || "jane".to_owned();
    let mut world = running(|_| {});
    let shards = BTreeSet::from([0]);
    let restart = Command::RestartShards {
        job: key("j"),
        shards,
        user: user(),
    };
    world.command(None, &restart);
    world.run_all();
    assert_said(&world, S::Restarting, "Restarted by jane");
    assert_said(&world, S::Pending, "Rescheduled");
    let kill = Command::KillTasks {
        job: key("j"),
        instances: BTreeSet::new(),
        message: Some("too old".to_owned()),
        user: user(),
    };
    world.command(None, &kill);
    world.run_all();
    assert_said(&world, S::Killing, "Killed by jane.\ntoo old");
    let mut world = running(|_| {});
    let task = world
        .tables()
        .tasks_of_job(&key("j"))
        .next()
        .unwrap()
        .id
        .clone();
    let force = AdminCommand::ForceTaskState {
        task,
        status: S::Lost,
        user: user(),
    };
    world.command(None, &Command::Admin(force));
    world.run_all();
    assert_said(&world, S::Lost, "Transition forced by jane");
}

#[test]
fn what_takes_too_long_is_said() {
    let mut world = World::new(4);
    world.agent_up("a");
    world.command(None, &create(config("j", |_| {}), 1));
    for _ in 0..3 {
        world.pass(Duration::from_secs(1));
        world.turn();
        world.learn();
    }
    assert_eq!(world.statuses(&key("j")), [S::Assigned]);
    world.orders.clear();
    world.pass(6 * MINUTE);
    world.turn();
    world.learn();
    assert_said(&world, S::Lost, "Task timed out");
    let mut world = running(|_| {});
    for _ in 0..2 {
        world.all_go(TaskState::Running, TaskState::Failed);
        world.run_all();
    }
    let tables = world.tables();
    let job = key("j");
    let mut tasks = tables.tasks_of_job(&job);
    let throttled = tasks.find(|task| task.status == S::Throttled).unwrap();
    let said = throttled.events[0].message.as_deref().unwrap();
    let ms = said.strip_prefix("Rescheduled, penalized for ");
    let ms = ms.and_then(|rest| rest.strip_suffix(" ms for flapping"));
    assert!(ms.is_some_and(|ms| ms.parse::<u64>().is_ok()), "{said}");
}

#[test]
fn what_is_cut_off_is_said() {
    let mut world = running(|_| {});
    world.agent_down("a");
    world.pass(2 * MINUTE);
    world.calm();
    assert_said(&world, S::Lost, "Task partitioned for too long.");
    let stays = PartitionPolicy {
        reschedule: false,
        delay_secs: 0,
    };
    let mut world = running(|c| c.partition_policy = Some(stays));
    world.agent_down("a");
    world.pass(2 * MINUTE);
    world.calm();
    assert_eq!(world.statuses(&key("j")), [S::Partitioned]);
    world.command(None, &super::world::kill("j"));
    world.calm();
    let message = "Action performed on partitioned task, marking as LOST.";
    assert_said(&world, S::Lost, message);
}

#[test]
fn what_operators_do_is_said() {
    let mut world = running(|_| {});
    let drain = AdminCommand::DrainHosts {
        hosts: BTreeSet::from(["a".to_owned()]),
        default_policy: SlaPolicy::Percentage {
            milli_percent: 0,
            duration_secs: 0,
        },
        timeout_secs: 0,
    };
    world.command(None, &Command::Admin(drain));
    world.run_all();
    assert_said(&world, S::Draining, "Draining machine for maintenance.");
    let reasons = |world: &World| -> Vec<String> {
        let view = world.engine.view();
        view.pending
            .first()
            .map(|group| group.reasons.clone())
            .unwrap_or_default()
    };
    // The only machine is out of service, and the one that comes is another's.
    assert_eq!(reasons(&world), ["Host drained for maintenance"]);
    let mut world = World::new(5);
    let agent = world.agents.entry(AgentId::new("b")).or_default();
    agent.attributes = vec![Attribute {
        name: "dedicated".into(),
        values: BTreeSet::from(["ads/b".to_owned()]),
    }];
    world.agent_up("b");
    world.command(None, &create(config("j", |_| {}), 1));
    world.calm();
    assert_eq!(reasons(&world), ["Host is dedicated"]);
}

#[test]
fn what_updates_do_is_said() {
    let mut world = running(|_| {});
    let mut coordinated = settings(1);
    coordinated.block_if_no_pulses_after_ms = 10_000;
    let update = world.started(&start(version("j", 1), 1, coordinated));
    world.ask(&pulse(&update));
    world.run_all();
    let kill = format!("Killed for job update {}", update.id);
    assert_said(&world, S::Killing, &kill);
    world.pass(11 * MINUTE);
    world.calm();
    let record = world.record(&update);
    let last = record.events().last().unwrap();
    assert_eq!(last.status, UpdateStatus::RollForwardAwaitingPulse);
    let message = "Pulses from external service have timed out.";
    assert_eq!(last.message.as_deref(), Some(message));
    let events: Vec<_> = record
        .events()
        .iter()
        .map(|e| (e.user.as_deref(), e.message.as_deref()))
        .collect();
    assert_eq!(events[0], (Some("jane"), Some("why")));
    let mut world = running(|_| {});
    let update = world.started(&start(version("j", 1), 1, settings(1)));
    world.run_all();
    world.all_go(TaskState::Running, TaskState::Failed);
    world.run_all();
    let record = world.record(&update);
    let mut events = record
        .events()
        .iter()
        .filter_map(|event| event.message.as_deref());
    let failure = "Latest failure: instance 0 exited.";
    assert!(
        events.any(|message| message == failure),
        "{:?}",
        record.events()
    );
}
