//! One story each.

use super::world::{World, config, create, key, kill};
use crate::base::clock::Timestamp;
use crate::driver::DriverCommand;
use crate::model::{
    AgentId, Attribute, Constraint, ConstraintKind, PartitionPolicy, ScheduleStatus as S, TaskState,
};
use crate::scheduler::handle::{Command, Reply, ReplyCode, SubmitError};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn running(world: &mut World, name: &str, instances: u32) {
    world.command(None, &create(config(name, |_| ()), instances));
    world.calm();
    world.all_go(TaskState::Starting, TaskState::Running);
    world.calm();
    assert_eq!(
        world.statuses(&key(name)),
        vec![S::Running; instances as usize]
    );
}

/// The answer to who creates the job `j`.
fn created(count: u32) -> Reply {
    let message = format!("{count} new tasks pending for job {}", key("j"));
    Reply::with(ReplyCode::Ok, message)
}

#[test]
fn a_job_runs_once_its_entry_is_learned_and_not_before() {
    let mut world = World::new(1);
    world.agent_up("a");
    world.calm();
    let token = world.command(None, &create(config("j", |_| ()), 2));
    assert!(world.replies.is_empty() && world.tables().tasks().next().is_none());
    world.learn();
    assert_eq!(world.replies[&token], Ok(created(2)));
    assert_eq!(world.statuses(&key("j")), [S::Pending, S::Pending]);
    world.pass(Duration::from_millis(2));
    world.turn();
    assert!(
        world.orders.is_empty(),
        "launched before the assignment was learned"
    );
    world.learn();
    assert_eq!(world.orders.len(), 2);
    world.calm();
    assert_eq!(world.statuses(&key("j")), [S::Starting, S::Starting]);
    world.all_go(TaskState::Starting, TaskState::Running);
    world.calm();
    assert_eq!(world.statuses(&key("j")), [S::Running, S::Running]);
}

#[test]
fn refusals_follow_upstream_and_change_nothing() {
    let mut world = World::new(1);
    world.agent_up("a");
    running(&mut world, "j", 2);
    let version = world.tables().version();
    let user = || "u".to_owned();
    let add = |instance, count| Command::AddInstances {
        job: key("j"),
        instance,
        count,
        user: user(),
    };
    let shards = BTreeSet::from([0, 7]);
    let (job, user) = (key("j"), user());
    let commands = [
        (
            create(config("j", |_| ()), 1),
            "Job role/prod/j already exists",
        ),
        (
            create(config("k", |_| ()), 0),
            "Instance count must be between 1 and 4000 inclusive.",
        ),
        (
            create(config("k", |_| ()), 4001),
            "Instance count must be between 1 and 4000 inclusive.",
        ),
        (
            create(config("k", |c| c.production = true), 2),
            "Insufficient resource quota: CPU quota exceeded by 0.98 core(s); \
             RAM quota exceeded by 200.00 MB; disk quota exceeded by 20.00 MB",
        ),
        (add(0, 0), "Instance count must be positive."),
        (add(5, 1), "No active task found for a given instance ID."),
        (
            add(0, 3999),
            "Instance count must be between 1 and 4000 inclusive.",
        ),
        (
            Command::RestartShards { job, shards, user },
            "Not all requested shards are active.",
        ),
        (kill("nothing"), "No tasks to kill."),
    ];
    for (command, message) in commands {
        let token = world.command(None, &command);
        let reply = world.replies[&token].clone().unwrap();
        assert_eq!(reply.messages, [message]);
        let code = match message {
            "No tasks to kill." => ReplyCode::Ok,
            _ => ReplyCode::InvalidRequest,
        };
        assert_eq!(reply.code, code, "{message}");
    }
    assert!(world.appending.is_empty());
    assert_eq!(world.tables().version(), version);
}

#[test]
fn a_repeated_request_gets_the_first_answer_even_while_that_is_on_its_way() {
    let mut world = World::new(2);
    let first = world.command(Some("id"), &create(config("j", |_| ()), 1));
    let again = world.command(Some("id"), &create(config("j", |_| ()), 1));
    assert!(world.replies.is_empty());
    world.learn();
    assert_eq!(world.replies[&first], Ok(created(1)));
    assert_eq!(world.replies[&again], Ok(created(1)));
    let refused = world.command(Some("other"), &create(config("j", |_| ()), 1));
    world.learn();
    world.crash(0);
    for (id, token) in [("id", first), ("other", refused)] {
        let later = world.command(Some(id), &create(config("j", |_| ()), 1));
        world.learn();
        assert_eq!(world.replies[&later], world.replies[&token]);
    }
    world.pass(Duration::from_secs(17 * 60));
    world.turn();
    world.calm();
    assert_eq!(world.tables().answers().count(), 0);
}

#[test]
fn a_killed_task_ends_and_is_not_run_again_and_a_pending_one_vanishes() {
    let mut world = World::new(3);
    let token = world.command(None, &create(config("j", |_| ()), 1));
    world.command(None, &kill("j"));
    world.calm();
    assert!(world.replies[&token].is_ok());
    assert_eq!(world.statuses(&key("j")), []);
    world.agent_up("a");
    running(&mut world, "k", 1);
    world.command(None, &kill("k"));
    world.learn();
    assert_eq!(world.statuses(&key("k")), [S::Killing]);
    world.calm();
    assert_eq!(world.statuses(&key("k")), [S::Killed]);
    let events: Vec<_> = world.tables().tasks().next().unwrap().events.clone();
    assert_eq!(
        events.iter().map(|e| e.status).collect::<Vec<_>>(),
        [
            S::Pending,
            S::Assigned,
            S::Starting,
            S::Running,
            S::Killing,
            S::Killed
        ]
    );
    assert_eq!(events[4].message.as_deref(), Some("Killed by UNSECURE"));
}

#[test]
fn a_service_runs_again_at_once_and_waits_out_a_penalty_from_the_second_time() {
    let mut world = World::new(4);
    world.agent_up("a");
    running(&mut world, "j", 1);
    world.all_go(TaskState::Running, TaskState::Failed);
    world.calm();
    world.all_go(TaskState::Starting, TaskState::Running);
    world.calm();
    assert_eq!(world.tables().count(S::Running), 1);
    world.all_go(TaskState::Running, TaskState::Failed);
    world.calm();
    assert_eq!(world.tables().count(S::Throttled), 1);
    world.pass(Duration::from_secs(125));
    world.calm();
    assert_eq!(world.tables().count(S::Starting), 1);
    let tables = world.tables();
    let last = tables.active_instance(&key("j"), 0).unwrap();
    assert_eq!(last.failure_count, 2);
    assert!(
        last.events[0]
            .message
            .as_ref()
            .unwrap()
            .contains("for flapping")
    );
}

#[test]
fn a_batch_task_fails_as_often_as_it_may() {
    let mut world = World::new(5);
    world.agent_up("a");
    let batch = config("j", |c| {
        c.is_service = false;
        c.max_task_failures = 2;
    });
    world.command(None, &create(batch, 1));
    for _ in 0..2 {
        world.calm();
        world.all_go(TaskState::Starting, TaskState::Failed);
    }
    world.pass(Duration::from_secs(600));
    world.calm();
    assert_eq!(world.statuses(&key("j")), [S::Failed, S::Failed]);
}

#[test]
fn restarted_shards_run_again_with_new_ids() {
    let mut world = World::new(6);
    world.agent_up("a");
    running(&mut world, "j", 2);
    let shards = BTreeSet::from([1]);
    let (job, user) = (key("j"), "u".to_owned());
    world.command(None, &Command::RestartShards { job, shards, user });
    world.calm();
    let tables = world.tables();
    let new = tables.active_instance(&key("j"), 1).unwrap();
    let old = tables.task(new.ancestor.as_ref().unwrap()).unwrap();
    assert_eq!((new.status, old.status), (S::Starting, S::Killed));
}

#[test]
fn added_instances_follow_the_highest() {
    let mut world = World::new(6);
    world.agent_up("a");
    running(&mut world, "j", 2);
    let command = Command::AddInstances {
        job: key("j"),
        instance: 0,
        count: 2,
        user: "u".into(),
    };
    world.command(None, &command);
    world.calm();
    let tables = world.tables();
    let instances: Vec<u32> = tables
        .active_tasks_of_job(&key("j"))
        .map(|t| t.instance)
        .collect();
    assert_eq!(instances, [0, 1, 2, 3]);
}

#[test]
fn a_batch_does_not_break_a_limit() {
    let mut world = World::new(7);
    for name in ["a", "b", "c"] {
        let agent = world.agents.entry(AgentId::new(name)).or_default();
        let rack = if name == "c" { "r2" } else { "r1" };
        agent.attributes = vec![Attribute {
            name: "rack".into(),
            values: BTreeSet::from([rack.to_owned()]),
        }];
        world.agent_up(name);
    }
    let limited = config("j", |c| {
        c.constraints.insert(Constraint {
            name: "rack".into(),
            kind: ConstraintKind::Limit(1),
        });
    });
    world.command(None, &create(limited, 3));
    world.calm();
    let tables = world.tables();
    let mut racks: BTreeMap<bool, u32> = BTreeMap::new();
    for task in tables.tasks().filter(|t| t.status.is_assigned()) {
        *racks.entry(task.host.as_deref() == Some("c")).or_default() += 1;
    }
    assert_eq!(racks, BTreeMap::from([(false, 1), (true, 1)]));
    let waiting = tables.tasks().find(|t| t.status == S::Pending).unwrap();
    assert_eq!(
        world.engine.view().pending_reason(waiting),
        "Limit not satisfied: rack"
    );
}

#[test]
fn tasks_wait_for_room_with_a_reason_and_take_it_when_it_comes() {
    let mut world = World::new(8);
    world.agent_up("a");
    running(&mut world, "full", 8);
    world.command(None, &create(config("j", |_| ()), 1));
    world.calm();
    let tables = world.tables();
    let waiting = tables.tasks().find(|t| t.status == S::Pending).unwrap();
    assert_eq!(
        world.engine.view().pending_reason(waiting),
        "Insufficient: CPU"
    );
    world.agent_up("b");
    world.calm();
    assert_eq!(world.statuses(&key("j")), [S::Starting]);
}

#[test]
fn room_that_was_made_is_taken_within_seconds() {
    let mut world = World::new(8);
    world.agent_up("a");
    running(&mut world, "full", 8);
    world.command(None, &create(config("j", |_| ()), 1));
    for _ in 0..200 {
        world.calm();
    }
    assert_eq!(world.statuses(&key("j")), [S::Pending]);
    world.command(None, &kill("full"));
    world.calm();
    assert_eq!(world.statuses(&key("j")), [S::Starting]);
}

#[test]
fn an_agent_that_stays_away_loses_its_tasks_and_one_that_comes_back_keeps_them() {
    let mut world = World::new(9);
    world.agent_up("a");
    running(&mut world, "j", 1);
    world.agent_down("a");
    world.pass(Duration::from_secs(70));
    world.turn();
    world.agent_up("a");
    world.pass(Duration::from_secs(70));
    world.calm();
    assert_eq!(world.statuses(&key("j")), [S::Running]);
    world.agent_down("a");
    world.agent_up("b");
    world.pass(Duration::from_secs(80));
    world.calm();
    let statuses = world.statuses(&key("j"));
    assert!(
        statuses.contains(&S::Lost) && statuses.contains(&S::Starting),
        "{statuses:?}"
    );
    // The machine comes back and is told to end what runs elsewhere now.
    world.agent_up("a");
    world.calm();
    let a = &world.agents[&AgentId::new("a")];
    assert!(a.tasks.values().all(|r| r.state.is_terminal()), "{a:?}");
}

#[test]
fn a_task_that_may_not_move_waits_for_its_machine() {
    let mut world = World::new(9);
    world.agent_up("a");
    let staying = config("j", |c| {
        c.partition_policy = Some(PartitionPolicy {
            reschedule: false,
            delay_secs: 0,
        });
    });
    world.command(None, &create(staying, 1));
    world.calm();
    world.all_go(TaskState::Starting, TaskState::Running);
    world.agent_down("a");
    world.pass(Duration::from_secs(3_000));
    world.calm();
    assert_eq!(world.statuses(&key("j")), [S::Partitioned]);
    world.agent_up("a");
    world.calm();
    assert_eq!(world.statuses(&key("j")), [S::Running]);
}

#[test]
fn a_launch_that_was_lost_on_the_way_is_sent_again_to_the_new_session() {
    let mut world = World::new(10);
    world.agent_up("a");
    world.calm();
    world.command(None, &create(config("j", |_| ()), 1));
    world.learn();
    world.pass(Duration::from_millis(2));
    world.turn();
    world.learn();
    assert!(matches!(world.orders[0], DriverCommand::Launch { .. }));
    world.orders.clear();
    world.agent_down("a");
    world.agents.get_mut(&AgentId::new("a")).unwrap().session += 1;
    world.agent_up("a");
    world.calm();
    assert_eq!(world.statuses(&key("j")), [S::Starting]);
}

#[test]
fn kills_are_repeated_and_tasks_that_hang_are_given_up() {
    let mut world = World::new(11);
    world.agent_up("a");
    running(&mut world, "j", 1);
    world.command(None, &kill("j"));
    world.learn();
    world.orders.clear();
    world.pass(Duration::from_secs(31));
    world.turn();
    assert_eq!(world.orders.len(), 1, "{:?}", world.orders);
    world.orders.clear();
    for _ in 0..30 {
        world.pass(Duration::from_secs(10));
        world.turn();
        world.learn();
        world.orders.clear();
    }
    assert_eq!(world.statuses(&key("j")), [S::Lost]);
    assert_eq!(world.engine.view().counters["timed_out_tasks"], 1);
}

#[test]
fn history_is_forgotten_in_time() {
    let mut world = World::new(12);
    world.options.history_per_job = 2;
    world.crash(0);
    world.agent_up("a");
    for _ in 0..4 {
        world.command(None, &create(config("j", |c| c.is_service = false), 1));
        world.calm();
        world.all_go(TaskState::Starting, TaskState::Finished);
        world.calm();
    }
    assert_eq!(world.tables().count(S::Finished), 4);
    world.pass(Duration::from_secs(3_700));
    world.calm();
    assert_eq!(world.tables().count(S::Finished), 2);
    world.pass(Duration::from_secs(3 * 24 * 3_600));
    world.calm();
    assert_eq!(world.tables().task_count(), 0);
    assert_eq!(world.tables().jobs().count(), 0);
}

#[test]
fn what_was_discarded_is_unknown_and_what_was_not_proposed_has_not_happened() {
    let mut world = World::new(13);
    let sent = world.command(None, &create(config("j", |_| ()), 1));
    world.next_token += 1;
    let held = world.next_token;
    let command = create(config("k", |_| ()), 1);
    world.engine.handle_command(world.now, held, None, &command);
    world.engine.handle_discarded();
    world.turn();
    assert_eq!(world.replies[&sent], Err(SubmitError::Unknown));
    assert_eq!(world.replies[&held], Err(SubmitError::NotReady));
    let late = world.command(None, &command);
    assert_eq!(world.replies[&late], Err(SubmitError::NotReady));
    // The entry was learned after all, under another leader; then this one leads again.
    let (_, payload) = world.appending.pop_front().unwrap();
    world.engine.handle_learned(1, None, &payload).unwrap();
    world.engine.handle_leading(world.now).unwrap();
    assert_eq!(world.statuses(&key("j")), [S::Pending]);
    assert_eq!(world.statuses(&key("k")), []);
}

#[test]
fn a_log_that_was_truncated_behind_a_snapshot_gives_the_same_tables() {
    let mut world = World::new(14);
    for i in 0..700 {
        world.command(None, &create(config(&format!("j{i}"), |_| ()), 1));
        world.learn();
    }
    world.command(Some("id"), &kill("j5"));
    world.learn();
    let before = world.log.len();
    world.engine.begin_snapshot();
    world.turn();
    world.command(None, &create(config("between", |_| ()), 1));
    while !world.appending.is_empty() {
        world.learn();
    }
    assert!(
        world.log.len() < before && world.log.len() >= 3,
        "{}",
        world.log.len()
    );
    let old = world.tables();
    world.crash(0);
    let new = world.tables();
    assert!(old.tasks().eq(new.tasks()));
    assert!(old.answers().eq(new.answers()));
    assert_eq!(old.version(), new.version());
    assert_eq!(new.task_count(), 700);
}

#[test]
fn an_unfinished_snapshot_is_ignored() {
    let mut world = World::new(15);
    for i in 0..700 {
        world.command(None, &create(config(&format!("j{i}"), |_| ()), 1));
        world.learn();
    }
    world.engine.begin_snapshot();
    world.turn();
    world.learn();
    world.crash(0);
    assert_eq!(world.tables().task_count(), 700);
    assert!(world.now.wall > Timestamp(0));
}

#[test]
fn who_waits_for_a_full_batch_is_never_told_that_nothing_was_done() {
    let mut world = World::new(7);
    let data = "x".repeat(3 << 20);
    let large = config("large", |c| {
        c.executor.as_mut().unwrap().data = Some(data);
    });
    let command = create(large, 1);
    // Proposed at once, as it fills a batch; then the term ends before the engine's turn does.
    world.engine.handle_command(world.now, 99, None, &command);
    world.engine.handle_discarded();
    world.turn();
    assert_eq!(world.appending.len(), 1, "it was on its way");
    assert_eq!(world.replies[&99], Err(SubmitError::Unknown));
}

#[test]
fn an_entry_of_somebody_else_leaves_nobody_without_an_answer() {
    let mut world = World::new(7);
    let token = world.command(None, &create(config("mine", |_| {}), 1));
    let (ticket, payload) = world.appending.pop_front().unwrap();
    world
        .engine
        .handle_learned(1, Some(ticket + 1_000), &payload)
        .unwrap();
    world.turn();
    assert!(!world.engine.is_leading());
    assert_eq!(world.replies[&token], Err(SubmitError::Unknown));
}

#[test]
fn another_request_under_a_used_id_is_refused_and_told_so() {
    let mut world = World::new(3);
    let first = world.command(Some("id 00000001"), &create(config("a", |_| ()), 1));
    let other = world.command(Some("id 00000002"), &create(config("b", |_| ()), 1));
    let longer = world.command(
        Some("id 00000002 00000003"),
        &create(config("c", |_| ()), 1),
    );
    let again = world.command(Some("id 00000001"), &create(config("a", |_| ()), 1));
    world.learn();
    world.learn();
    for token in [first, longer] {
        let said = world.replies[&token].as_ref().unwrap();
        assert_eq!(said.code, ReplyCode::Ok, "{said:?}");
    }
    assert_eq!(world.replies[&again], world.replies[&first]);
    let said = world.replies[&other].as_ref().unwrap();
    assert_eq!(said.code, ReplyCode::InvalidRequest);
    assert!(said.messages[0].contains("another request"), "{said:?}");
    assert_eq!(world.tables().task_count(), 2, "nothing was done for it");
}
