//! What comes together seldom: machines that are cut off in the middle of an update, jobs that are killed
//! and updated, agents that come back with what nobody wants any more, more history than one step forgets.

use super::updates::{change, settings, start, version};
use super::world::{World, config, create, key, kill};
use crate::model::{
    AgentId, Attribute, JobUpdate, PartitionPolicy, ScheduleStatus as S, TaskConfig, TaskId,
    TaskState, UpdateStatus as U,
};
use crate::scheduler::admin::AdminCommand;
use crate::scheduler::handle::Command;
use crate::scheduler::update::UpdateChange;
use std::collections::BTreeSet;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// A world in which each of these machines was there before the job, which runs.
fn running(machines: &[&str], config: TaskConfig, instances: u32) -> World {
    let mut world = World::new(21);
    for name in machines {
        world.agent_up(name);
    }
    world.command(None, &create(config, instances));
    world.run_all();
    let up = vec![S::Running; instances as usize];
    assert_eq!(world.statuses(&key("j")), up);
    world
}

/// The machine of the job's only active task.
fn place(world: &World) -> (AgentId, TaskId) {
    let tables = world.tables();
    let job = key("j");
    let mut tasks = tables.active_tasks_of_job(&job);
    let task = tasks.next().unwrap();
    (task.agent.clone().unwrap(), task.id.clone())
}

fn active(world: &World) -> Vec<S> {
    let tables = world.tables();
    let job = key("j");
    let tasks = tables.active_tasks_of_job(&job);
    tasks.map(|task| task.status).collect()
}

/// Lets an update come to its end if it can.
fn end(world: &mut World) {
    for _ in 0..6 {
        world.run_all();
        world.pass(Duration::from_secs(30));
        world.turn();
    }
    world.calm();
}

/// Drains a machine at once, whatever that does to the jobs on it.
fn drain(world: &mut World, host: &str) {
    let drain = AdminCommand::DrainHosts {
        hosts: BTreeSet::from([host.to_owned()]),
        default_policy: crate::model::SlaPolicy::Percentage {
            milli_percent: 0,
            duration_secs: 0,
        },
        timeout_secs: 0,
    };
    world.command(None, &Command::Admin(drain));
}

#[test]
fn whoever_is_lost_or_fails_is_counted_once() {
    let mut world = World::new(20);
    let racked = world.agents.entry(AgentId::new("a")).or_default();
    racked.attributes = vec![Attribute {
        name: "rack".into(),
        values: BTreeSet::from(["r*1".to_owned()]),
    }];
    world.agent_up("a");
    world.command(None, &create(config("j", |_| {}), 1));
    world.run_all();
    let (_, task) = place(&world);
    let lose = AdminCommand::ForceTaskState {
        task,
        status: S::Lost,
        user: "jane".to_owned(),
    };
    world.command(None, &Command::Admin(lose));
    world.run_all();
    assert_eq!(world.engine.counted("tasks_LOST_role/prod/j"), 1);
    assert_eq!(world.engine.counted("tasks_lost_rack_r_1"), 1);
    world.all_go(TaskState::Running, TaskState::Failed);
    world.run_all();
    assert_eq!(world.engine.counted("tasks_FAILED_role/prod/j"), 1);
    // By way of PARTITIONED: asked to restart while it is cut off, it is lost in the same step.
    world.pass(20 * MINUTE);
    world.run_all();
    let (_, task) = place(&world);
    for status in [S::Restarting, S::Partitioned] {
        let force = AdminCommand::ForceTaskState {
            task: task.clone(),
            status,
            user: "jane".to_owned(),
        };
        world.command(None, &Command::Admin(force));
    }
    world.calm();
    assert_eq!(world.engine.counted("tasks_LOST_role/prod/j"), 2);
}

#[test]
fn history_shrinks_as_fast_as_tasks_end() {
    let mut world = World::with(22, |options| options.history_per_job = 0);
    world.agent_up("a");
    // Enough for several steps; they end without ever having run anywhere.
    let tasks = 3_500;
    world.command(
        None,
        &create(config("j", |c| c.resources.ram_mb = 1 << 30), tasks),
    );
    world.calm();
    let ids: Vec<TaskId> = {
        let tables = world.tables();
        tables.tasks().map(|task| task.id.clone()).collect()
    };
    for id in &ids {
        // As an operator would force them through.
        for status in [S::Assigned, S::Killing, S::Killed] {
            let force = AdminCommand::ForceTaskState {
                task: id.clone(),
                status,
                user: "jane".to_owned(),
            };
            let token = world.next_token + 1;
            world.next_token = token;
            world
                .engine
                .handle_command(world.now, token, None, &Command::Admin(force));
        }
        while !world.appending.is_empty() {
            world.learn();
        }
        world.turn();
    }
    world.calm();
    assert_eq!(world.tables().count(S::Killed), i64::from(tasks));
    world.pass(61 * MINUTE);
    world.turn();
    for _ in 0..5 {
        world.calm();
        world.pass(Duration::from_secs(1));
        world.turn();
    }
    world.calm();
    assert_eq!(world.tables().task_count(), 0);
}

#[test]
fn an_update_waits_for_a_machine_that_is_cut_off_and_ends_when_it_is_back_or_given_up() {
    let may_move = |reschedule| {
        config("j", |c| {
            c.partition_policy = Some(PartitionPolicy {
                reschedule,
                delay_secs: 600,
            });
        })
    };
    let newer = |reschedule| TaskConfig {
        priority: 7,
        ..may_move(reschedule)
    };
    for comes_back in [true, false] {
        let mut world = running(&["a", "b"], may_move(true), 1);
        world.pass(MINUTE);
        let update = world.started(&start(newer(true), 1, settings(1)));
        world.run_all();
        assert_eq!(world.state(&update), U::RollingForward);
        let (agent, cut_off) = place(&world);
        world.agent_down(agent.as_str());
        world.pass(2 * MINUTE);
        world.turn();
        world.calm();
        assert_eq!(active(&world), [S::Partitioned]);
        assert_eq!(world.state(&update), U::RollingForward);
        if comes_back {
            world.agent_up(agent.as_str());
        } else {
            world.pass(11 * MINUTE);
            world.turn();
        }
        end(&mut world);
        // Being lost is a failure of the instance, of which none is allowed here.
        let expected = match comes_back {
            true => U::RolledForward,
            false => U::RolledBack,
        };
        assert_eq!(world.state(&update), expected);
        assert_eq!(active(&world), [S::Running]);
        let (_, now) = place(&world);
        assert_eq!(now == cut_off, comes_back);
        // The lost one must not run on where it was.
        world.agent_up(agent.as_str());
        world.run_all();
        let alive = world.agents.values().flat_map(|agent| agent.tasks.values());
        let alive = alive.filter(|report| !report.state.is_terminal()).count();
        assert_eq!(alive, 1);
    }
}

#[test]
fn an_update_replaces_an_instance_that_is_cut_off_at_once() {
    // Even one that may not be moved by the scheduler itself.
    let stays = config("j", |c| {
        c.partition_policy = Some(PartitionPolicy {
            reschedule: false,
            delay_secs: 0,
        });
    });
    let newer = TaskConfig {
        priority: 7,
        ..stays.clone()
    };
    let mut world = running(&["a", "b"], stays, 1);
    let (agent, old) = place(&world);
    world.agent_down(agent.as_str());
    world.pass(2 * MINUTE);
    world.turn();
    world.calm();
    assert_eq!(active(&world), [S::Partitioned]);
    let update = world.started(&start(newer, 1, settings(1)));
    end(&mut world);
    assert_eq!(world.state(&update), U::RolledForward);
    let tables = world.tables();
    let lost = tables.task(&old).unwrap();
    assert_eq!(lost.status, S::Lost);
    let why = "Action performed on partitioned task, marking as LOST.";
    assert_eq!(lost.events.last().unwrap().message.as_deref(), Some(why));
    world.agent_up(agent.as_str());
    world.run_all();
    let left = &world.agents[&agent].tasks;
    assert!(
        left.get(&old)
            .is_none_or(|report| report.state.is_terminal())
    );
    assert_eq!(active(&world), [S::Running]);
}

#[test]
fn a_job_that_is_being_killed_can_be_updated_and_comes_back_as_the_update_says() {
    let mut world = running(&["a"], version("j", 0), 3);
    world.command(None, &kill("j"));
    world.learn();
    assert_eq!(active(&world), [S::Killing; 3]);
    let update = world.started(&start(version("j", 1), 3, settings(3)));
    end(&mut world);
    assert_eq!(world.state(&update), U::RolledForward);
    assert_eq!(active(&world), [S::Running; 3]);
    assert!(kills_of_updates(&world, &world.record(&update).update().clone()).is_empty());
}

/// The tasks that an update has killed.
fn kills_of_updates(world: &World, update: &JobUpdate) -> Vec<TaskId> {
    let why = format!("Killed for job update {}", update.key.id);
    let tables = world.tables();
    let job = key("j");
    let tasks = tables.tasks_of_job(&job);
    let killed = tasks.filter(|task| {
        let mut events = task.events.iter();
        events.any(|event| event.message.as_deref() == Some(&why))
    });
    killed.map(|task| task.id.clone()).collect()
}

#[test]
fn an_agent_that_comes_back_with_replaced_tasks_is_told_to_end_them() {
    let mut world = running(&["a", "b"], config("j", |_| {}), 1);
    let (agent, old) = place(&world);
    world.agent_down(agent.as_str());
    world.pass(2 * MINUTE);
    world.turn();
    world.run_all();
    // No policy: lost at once, and run again elsewhere.
    assert_eq!(active(&world), [S::Running]);
    assert!(place(&world).0 != agent);
    // So long away that nobody remembers the task any more.
    world.pass(Duration::from_secs(3 * 24 * 3_600));
    world.turn();
    world.calm();
    assert!(world.tables().task(&old).is_none());
    // Its agent ran all the time, under a leader before this one.
    world.crash(0);
    world.agent_up(agent.as_str());
    world.run_all();
    let left = &world.agents[&agent].tasks;
    assert!(
        left.get(&old)
            .is_none_or(|report| report.state.is_terminal())
    );
    assert_eq!(active(&world), [S::Running]);
    assert_eq!(world.started[&old].len(), 1);
}

#[test]
fn restarts_in_the_middle_of_a_drain_leave_no_instance_behind() {
    let mut world = running(&["a"], config("j", |_| {}), 4);
    world.agent_up("b");
    drain(&mut world, "a");
    world.turn();
    for _ in 0..3 {
        let restart = Command::RestartShards {
            job: key("j"),
            shards: BTreeSet::from([0, 1, 2, 3]),
            user: "jane".to_owned(),
        };
        world.command(None, &restart);
        world.learn();
        world.deliver();
    }
    end(&mut world);
    assert_eq!(active(&world), [S::Running; 4]);
    let tables = world.tables();
    assert_eq!(
        tables.host("a").unwrap().mode,
        crate::model::MaintenanceMode::Drained
    );
    let job = key("j");
    let tasks = tables.active_tasks_of_job(&job);
    let instances: BTreeSet<u32> = tasks.map(|task| task.instance).collect();
    assert_eq!(instances.len(), 4);
}

#[test]
fn an_abort_in_the_middle_of_a_drain_leaves_what_is_moved_to_the_scheduler() {
    let mut world = running(&["a", "b"], version("j", 0), 4);
    world.pass(MINUTE);
    let update = world.started(&start(version("j", 1), 4, settings(2)));
    world.calm();
    drain(&mut world, "a");
    world.learn();
    let reply = world.ask(&change(&update, UpdateChange::Abort));
    assert!(reply.messages.is_empty(), "{reply:?}");
    end(&mut world);
    assert_eq!(world.state(&update), U::Aborted);
    assert_eq!(active(&world), [S::Running; 4]);
}
