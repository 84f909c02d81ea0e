//! Recoveries: all of the tables or nothing, whatever happens in between.

use super::world::{World, config, create, key};
use crate::base::rng::Rng;
use crate::model::{ScheduleStatus as S, TaskState};
use crate::scheduler::admin::{AdminCommand, Restored};
use crate::scheduler::handle::{Command, Reply, ReplyCode, SubmitError};
use crate::storage::{Op, Tables};
use std::collections::BTreeSet;
use std::sync::Arc;

const JOBS: u32 = 3;
const INSTANCES: u32 = 700;

/// Tables of another time, in several chunks.
fn staged() -> Arc<Tables> {
    let mut world = World::new(9);
    for job in 0..JOBS {
        let description = config(&format!("old-{job}"), |_| {});
        world.command(None, &create(description, INSTANCES));
    }
    world.calm();
    world.tables()
}

fn restore(tables: &Arc<Tables>) -> Command {
    Command::Admin(AdminCommand::Restore(Restored(Arc::clone(tables))))
}

/// A scheduler with a running job.
fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    world.agent_up("a");
    world.command(None, &create(config("new", |_| {}), 2));
    world.calm();
    world.all_go(TaskState::Starting, TaskState::Running);
    world.calm();
    world
}

fn task_ids(tables: &Tables) -> BTreeSet<String> {
    tables.tasks().map(|task| task.id.to_string()).collect()
}

#[test]
fn a_recovery_replaces_everything_and_is_answered_once_it_is_learned() {
    let staged = staged();
    let mut world = world(1);
    let before = world.tables();
    let token = world.command(Some("r 00000000"), &restore(&staged));
    while !world.appending.is_empty() {
        assert_eq!(world.replies.get(&token), None);
        assert!(!world.restored);
        assert_eq!(task_ids(&world.tables()), task_ids(&before));
        world.learn();
    }
    assert_eq!(world.replies.remove(&token), Some(Ok(Reply::ok())));
    assert!(world.restored);
    assert_eq!(task_ids(&world.tables()), task_ids(&staged));
    // What lies before it is let go; the next leader begins with it, and knows the answer.
    world.crash(0);
    assert_eq!(task_ids(&world.tables()), task_ids(&staged));
    assert!(world.tables().answer("r 00000000").is_some());
    assert_eq!(world.statuses(&key("new")), []);
    let token = world.command(Some("r 00000000"), &create(config("new", |_| {}), 1));
    world.calm();
    assert_eq!(world.replies.remove(&token), Some(Ok(Reply::ok())));
    assert_eq!(world.statuses(&key("new")), [], "a repeat does nothing");
}

#[test]
fn a_recovery_that_is_cut_off_anywhere_leaves_what_was_there() {
    let staged = staged();
    let mut rng = Rng::from_seed(4);
    let mut whole = 0;
    for learned in 0..8 {
        let mut world = world(2);
        let before = world.tables();
        let token = world.command(None, &restore(&staged));
        let chunks = world.appending.len();
        // Some are learned while it leads, some only by the next one.
        let early = rng.index(learned + 1).min(chunks);
        for _ in 0..early {
            world.learn();
        }
        world.crash(learned - early);
        let expected = if learned >= chunks { &staged } else { &before };
        whole += usize::from(learned >= chunks);
        assert_eq!(task_ids(&world.tables()), task_ids(expected), "{learned}");
        if learned < chunks {
            assert_eq!(world.replies.get(&token), None);
            // The next leader goes on with what was there, and may try again.
            world.agent_up("a");
            world.calm();
            assert_eq!(world.statuses(&key("new")), [S::Running, S::Running]);
            let token = world.command(None, &restore(&staged));
            while !world.appending.is_empty() {
                world.learn();
            }
            assert_eq!(world.replies.remove(&token), Some(Ok(Reply::ok())));
            world.crash(0);
            assert_eq!(task_ids(&world.tables()), task_ids(&staged));
        }
    }
    assert!((1..8).contains(&whole), "{whole}");
}

#[test]
fn nothing_else_is_taken_while_a_recovery_is_on_its_way() {
    let staged = staged();
    let mut world = world(3);
    // On its way to the log when the recovery is ordered: learned first, then replaced.
    let earlier = world.command(None, &create(config("last", |_| {}), 1));
    let token = world.command(None, &restore(&staged));
    assert!(world.engine.is_full() && world.engine.is_restoring());
    let late = world.command(None, &create(config("late", |_| {}), 1));
    assert_eq!(
        world.replies.remove(&late),
        Some(Err(SubmitError::NotReady))
    );
    let second = world.command(None, &restore(&staged));
    assert_eq!(
        world.replies.remove(&second),
        Some(Err(SubmitError::NotReady))
    );
    world.agent_down("a");
    world.agent_up("a");
    world.calm();
    let earlier = world.replies.remove(&earlier).unwrap().unwrap();
    assert_eq!(earlier.code, ReplyCode::Ok);
    assert_eq!(world.replies.remove(&token), Some(Ok(Reply::ok())));
    assert_eq!(task_ids(&world.tables()), task_ids(&staged));
    assert_eq!(world.statuses(&key("last")), []);
}

#[test]
fn a_snapshot_under_way_gives_way_to_a_recovery() {
    let staged = staged();
    let mut world = world(4);
    for job in 0..JOBS {
        world.command(
            None,
            &create(config(&format!("more-{job}"), |_| {}), INSTANCES),
        );
    }
    world.calm();
    let snapshot = world.command(None, &Command::Admin(AdminCommand::Snapshot));
    world.learn();
    let token = world.command(None, &restore(&staged));
    world.calm();
    assert_eq!(world.replies.remove(&snapshot), Some(Ok(Reply::ok())));
    assert_eq!(world.replies.remove(&token), Some(Ok(Reply::ok())));
    world.crash(0);
    assert_eq!(task_ids(&world.tables()), task_ids(&staged));
}

#[test]
fn the_restored_tables_know_where_the_leader_is() {
    let mut staged = Tables::clone(&staged());
    let leader = |http: &str| crate::storage::Leader {
        term: 3,
        http: http.into(),
        agents: "a:8083".into(),
    };
    staged.apply(&Op::SetLeader(leader("old:8081"))).unwrap();
    let staged = Arc::new(staged);
    let mut world = world(5);
    world.engine.announce(world.now, leader("new:8081"));
    world.calm();
    world.command(None, &restore(&staged));
    world.calm();
    assert_eq!(world.tables().leader().unwrap().http, "new:8081");
}

#[test]
fn tasks_that_a_new_log_does_not_know_run_on_until_a_backup_knows_them() {
    let mut world = world(6);
    let backup = world.tables();
    // The log is lost; the machine and its tasks are not. One of them began after the backup.
    world.command(None, &create(config("later", |_| {}), 1));
    world.calm();
    world.all_go(TaskState::Starting, TaskState::Running);
    world.calm();
    world.log.clear();
    world.crash(0);
    world.agent_up("a");
    world.calm();
    let alive = |world: &World| {
        let tasks = world.agents.values().flat_map(|agent| agent.tasks.values());
        tasks.filter(|it| it.state == TaskState::Running).count()
    };
    assert_eq!((alive(&world), world.engine.view().held.len()), (3, 3));
    let refused = world.command(None, &create(config("j", |_| {}), 1));
    world.calm();
    let refused = world.replies.remove(&refused).unwrap().unwrap();
    assert_eq!(refused.code, ReplyCode::Error);
    assert!(
        refused.messages[0].contains("scheduler_restore"),
        "{refused:?}"
    );
    world.command(None, &restore(&backup));
    world.calm();
    world.crash(0);
    world.agent_up("a");
    world.calm();
    assert_eq!(world.statuses(&key("new")), [S::Running, S::Running]);
    // What the backup does not know has ended, and what it knows was never started again.
    assert_eq!(alive(&world), 2);
    assert!(world.started.values().all(|starts| starts.len() == 1));
}

#[test]
fn tasks_that_a_new_log_does_not_know_end_when_an_operator_says_so() {
    let mut world = world(7);
    world.log.clear();
    world.crash(0);
    world.agent_up("a");
    world.calm();
    assert_eq!(world.engine.view().held.len(), 2);
    world.command(None, &Command::Admin(AdminCommand::ReconcileImplicitly));
    let agent = world.agents.keys().next().unwrap().clone();
    let ids: Vec<_> = world.agents[&agent].tasks.keys().cloned().collect();
    for id in ids {
        world.report(&agent, &id, TaskState::Running);
    }
    world.calm();
    let mut tasks = world.agents[&agent].tasks.values();
    assert!(tasks.all(|it| it.state != TaskState::Running));
    assert_eq!(world.engine.view().held.len(), 0);
    let token = world.command(None, &create(config("j", |_| {}), 1));
    world.calm();
    assert_eq!(
        world.replies.remove(&token).unwrap().unwrap().code,
        ReplyCode::Ok
    );
}
