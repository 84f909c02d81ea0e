//! Operators' orders.

use super::world::{World, config, create, key, kill, total};
use crate::driver::DriverCommand;
use crate::model::{ScheduleStatus as S, TaskId, TaskState};
use crate::scheduler::admin::AdminCommand;
use crate::scheduler::handle::{Command, Reply, ReplyCode};
use crate::storage::TaskQuery;
use std::collections::BTreeSet;

fn order(world: &mut World, order: AdminCommand) -> Reply {
    let token = world.command(None, &Command::Admin(order));
    world.calm();
    world.replies.remove(&token).unwrap().unwrap()
}

fn world() -> World {
    let mut world = World::new(1);
    world.agent_up("a");
    world.command(None, &create(config("j", |_| {}), 2));
    world.calm();
    world.all_go(TaskState::Starting, TaskState::Running);
    world.calm();
    world
}

fn ids(world: &World) -> Vec<TaskId> {
    let tables = world.tables();
    tables.tasks().map(|task| task.id.clone()).collect()
}

#[test]
fn a_quota_below_what_is_used_is_refused() {
    let mut world = world();
    let set = |quota| AdminCommand::SetQuota {
        role: "role".into(),
        quota,
    };
    assert_eq!(order(&mut world, set(total())), Reply::ok());
    let production = config("p", |c| {
        c.production = true;
        c.tier = Some("preferred".into());
    });
    world.command(None, &create(production, 2));
    world.calm();
    let mut small = total();
    small.cpus.0 = 979;
    let reply = order(&mut world, set(small));
    assert_eq!(reply.code, ReplyCode::InvalidRequest);
    let said = &reply.messages[0];
    assert!(
        said.contains("CPUS=0.979") && said.contains("is less then current prod"),
        "{said}"
    );
    assert_eq!(world.tables().quota("role"), Some(total()));
}

#[test]
fn a_task_is_forced_into_states_that_it_can_take() {
    let mut world = world();
    let task = ids(&world)[0].clone();
    let force = |task: &TaskId, status| AdminCommand::ForceTaskState {
        task: task.clone(),
        status,
        user: "jane".into(),
    };
    assert_eq!(order(&mut world, force(&task, S::Pending)), Reply::ok());
    assert_eq!(world.tables().task(&task).unwrap().status, S::Running);
    assert_eq!(order(&mut world, force(&task, S::Lost)), Reply::ok());
    let tables = world.tables();
    let lost = tables.task(&task).unwrap();
    assert_eq!(lost.status, S::Lost);
    let why = lost.events.last().unwrap().message.as_deref();
    assert_eq!(why, Some("Transition forced by jane"));
    assert_eq!(
        order(&mut world, force(&TaskId::new("x"), S::Lost)),
        Reply::ok()
    );
}

#[test]
fn only_ended_tasks_are_pruned() {
    let mut world = world();
    world.command(None, &kill("j"));
    world.calm();
    world.command(None, &create(config("k", |_| {}), 1));
    world.calm();
    let prune = |query| AdminCommand::PruneTasks { query };
    let active = TaskQuery {
        statuses: BTreeSet::from([S::Running, S::Killed]),
        ..TaskQuery::default()
    };
    let reply = order(&mut world, prune(active));
    assert_eq!(reply.code, ReplyCode::Error);
    assert_eq!(
        reply.messages,
        ["Tasks in non-terminal state cannot be pruned."]
    );
    let one = TaskQuery {
        limit: 1,
        offset: 5,
        ..TaskQuery::of_job(&key("j"))
    };
    assert_eq!(order(&mut world, prune(one)), Reply::ok());
    assert_eq!(world.statuses(&key("j")), [S::Killed]);
    assert_eq!(order(&mut world, prune(TaskQuery::default())), Reply::ok());
    assert_eq!(ids(&world).len(), 1);
}

#[test]
fn a_snapshot_is_answered_once_it_is_whole() {
    let mut world = world();
    let before = world.log.len();
    let token = world.command(None, &Command::Admin(AdminCommand::Snapshot));
    assert!(!world.replies.contains_key(&token));
    world.calm();
    assert_eq!(world.replies.remove(&token), Some(Ok(Reply::ok())));
    // What the snapshot holds has been let go.
    assert!(world.log.len() < before);
    let tasks = ids(&world);
    world.crash(0);
    assert_eq!(ids(&world), tasks);
}

#[test]
fn reconciliation_names_tasks_in_batches_or_none_at_all() {
    let mut world = world();
    let mut ordered = |command| {
        world
            .engine
            .handle_command(world.now, 900, None, &Command::Admin(command));
        world.turn();
        let orders: Vec<DriverCommand> = world.orders.drain(..).collect();
        world.replies.remove(&900).unwrap().unwrap();
        let tasks = orders.into_iter().map(|order| match order {
            DriverCommand::Reconcile { tasks, .. } => tasks.len(),
            other => panic!("{other:?}"),
        });
        tasks.collect::<Vec<_>>()
    };
    assert_eq!(
        ordered(AdminCommand::ReconcileExplicitly { batch: None }),
        [2]
    );
    assert_eq!(
        ordered(AdminCommand::ReconcileExplicitly { batch: Some(1) }),
        [1, 1]
    );
    assert_eq!(ordered(AdminCommand::ReconcileImplicitly), [0]);
}
