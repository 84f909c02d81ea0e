//! Stories of single tasks, and random tasks whose processes end at random.

use super::*;
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use crate::model::TaskState;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

mod random;
mod world;

use world::{World, check, names, process, task};

#[test]
fn rules_of_planning_are_checked() {
    let refuse = |change: &dyn Fn(&mut TaskDefinition)| {
        let mut definition = task(vec![process("a"), process("b"), process("c")]);
        change(&mut definition);
        Supervisor::new(definition, Instant::ZERO).unwrap_err()
    };
    assert_eq!(
        refuse(&|task| task.orders = vec![names(&["a", "b"]), names(&["b", "c", "a"])]),
        DefinitionError::Cycle("a".to_owned())
    );
    assert!(matches!(
        refuse(&|task| {
            task.processes[0].daemon = true;
            task.orders = vec![names(&["a", "b"])];
        }),
        DefinitionError::DependsOnDaemon { .. }
    ));
    assert!(matches!(
        refuse(&|task| {
            task.processes[0].ephemeral = true;
            task.orders = vec![names(&["a", "b"])];
        }),
        DefinitionError::DependsOnEphemeral { .. }
    ));
    assert!(matches!(
        refuse(&|task| {
            task.processes[1].is_final = true;
            task.orders = vec![names(&["a", "b"])];
        }),
        DefinitionError::MixedOrder(..)
    ));
    assert_eq!(
        refuse(&|task| task.orders = vec![names(&["a", "x"])]),
        DefinitionError::UnknownProcess("x".to_owned())
    );
    assert_eq!(
        refuse(&|task| task.processes[1].name = "a".to_owned()),
        DefinitionError::Duplicate("a".to_owned())
    );
    assert_eq!(
        refuse(&|task| task.processes.clear()),
        DefinitionError::NoProcess
    );
    for name in ["", "..", ".logs", "a/b", "a\0"] {
        assert!(matches!(
            refuse(&|task| task.processes[0].name = name.to_owned()),
            DefinitionError::UnsafeName(_)
        ));
    }
}

#[test]
fn processes_start_in_their_order_and_the_task_finishes() {
    let mut definition = task(vec![process("b"), process("a"), process("free")]);
    definition.orders = vec![names(&["a", "b"])];
    let mut world = World::new(definition);
    assert_eq!(world.runs(), [1, 2]);
    world.exit(1, Exit::Code(0));
    assert_eq!(world.runs(), [0, 2]);
    world.exit(2, Exit::Code(0));
    world.exit(0, Exit::Code(0));
    assert_eq!(world.end(), TaskState::Finished);
    let states: Vec<TaskState> = world.reports.iter().map(|it| it.0).collect();
    let expected = [TaskState::Starting, TaskState::Running, TaskState::Finished];
    assert_eq!(states, expected);
}

#[test]
fn a_failure_is_tried_again_after_min_duration_until_the_limit() {
    let mut one = process("a");
    one.max_failures = 3;
    let mut world = World::new(task(vec![one]));
    for _ in 0..2 {
        world.exit(0, Exit::Code(1));
        assert!(world.runs().is_empty());
        assert!(world.tick());
        assert_eq!(world.runs(), [0]);
    }
    world.exit(0, Exit::Code(1));
    assert_eq!(world.end(), TaskState::Failed);
    let gaps = world.starts.windows(2).map(|it| it[1].1 - it[0].1);
    assert!(gaps.into_iter().all(|gap| gap == Duration::from_secs(5)));
}

#[test]
fn a_killed_run_does_not_count_as_failure_but_ends_at_a_hundred() {
    let mut world = World::new(task(vec![process("a")]));
    for _ in 0..99 {
        world.exit(0, Exit::Signal(9));
        assert!(world.tick());
    }
    assert!(!world.is_over);
    world.exit(0, Exit::Signal(9));
    assert_eq!(world.end(), TaskState::Failed);
    assert_eq!(world.starts.len(), 100);
}

#[test]
fn a_daemon_runs_again_after_success_and_ephemerals_are_not_waited_for() {
    let mut again = process("again");
    again.daemon = true;
    again.ephemeral = true;
    let mut world = World::new(task(vec![again, process("main")]));
    world.exit(0, Exit::Code(0));
    assert!(world.tick());
    assert_eq!(world.runs(), [0, 1]);
    world.exit(1, Exit::Code(0));
    assert_eq!(world.end(), TaskState::Finished);
}

#[test]
fn an_exhausted_ephemeral_counts_as_finished() {
    let (mut first, mut then) = (process("first"), process("then"));
    first.ephemeral = true;
    then.ephemeral = true;
    let mut definition = task(vec![first, then, process("main")]);
    definition.orders = vec![names(&["first", "then"])];
    let mut world = World::new(definition);
    world.exit(0, Exit::Code(1));
    assert_eq!(world.runs(), [1, 2]);
}

#[test]
fn a_failed_process_blocks_what_waits_for_it() {
    let mut definition = task(vec![process("a"), process("b")]);
    definition.orders = vec![names(&["a", "b"])];
    definition.max_failures = 0;
    let mut world = World::new(definition);
    world.exit(0, Exit::Code(1));
    assert_eq!(world.end(), TaskState::Failed);
    assert_eq!(world.starts.len(), 1);
}

#[test]
fn tolerated_failures_do_not_fail_the_task() {
    let mut definition = task(vec![process("a"), process("b"), process("c")]);
    definition.max_failures = 2;
    let mut world = World::new(definition);
    world.exit(0, Exit::Code(1));
    world.exit(1, Exit::Code(0));
    world.exit(2, Exit::Code(0));
    assert_eq!(world.end(), TaskState::Finished);
}

#[test]
fn a_failed_task_ends_what_still_runs() {
    let mut world = World::new(task(vec![process("a"), process("b")]));
    world.exit(0, Exit::Code(1));
    assert_eq!(world.end(), TaskState::Failed);
    assert!(world.running.is_empty());
}

#[test]
fn concurrency_is_limited() {
    let mut definition = task(vec![process("a"), process("b"), process("c")]);
    definition.max_concurrency = 2;
    let mut world = World::new(definition);
    assert_eq!(world.runs(), [0, 1]);
    world.exit(0, Exit::Code(0));
    assert_eq!(world.runs(), [1, 2]);
}

#[test]
fn final_processes_run_last_and_cannot_fail_the_task() {
    let mut last = process("last");
    last.is_final = true;
    let mut world = World::new(task(vec![last, process("main")]));
    assert_eq!(world.runs(), [1]);
    world.exit(1, Exit::Code(0));
    assert_eq!(world.runs(), [0]);
    world.exit(0, Exit::Code(1));
    assert_eq!(world.end(), TaskState::Finished);
}

#[test]
fn final_processes_are_skipped_when_cleaning_takes_the_whole_budget() {
    let mut last = process("last");
    last.is_final = true;
    let mut slow = process("slow");
    slow.ephemeral = true;
    let mut world = World::new(task(vec![last, process("main"), slow]));
    world.stubborn.insert(2);
    let before = world.now;
    world.exit(1, Exit::Code(0));
    while !world.is_over {
        assert!(world.tick());
    }
    assert_eq!(world.end(), TaskState::Finished);
    assert_eq!(world.starts.len(), 2);
    assert_eq!(world.now - before, Duration::from_secs(30));
}

#[test]
fn a_kill_replaces_the_budget_and_orphans_are_waited_for() {
    let mut world = World::new(task(vec![process("main")]));
    world.orphans = 1;
    let before = world.now;
    world.kill();
    assert!(!world.is_over);
    world.kill();
    while !world.is_over {
        assert!(world.tick());
    }
    assert_eq!(world.end(), TaskState::Killed);
    assert_eq!(world.now - before, Duration::from_secs(60));
    let message = world.reports.last().unwrap().1.as_deref();
    assert_eq!(message, Some("Instructed to kill task."));
}

#[test]
fn an_end_is_told_when_nothing_is_left_or_when_waiting_is_in_vain() {
    for dies in [true, false] {
        let mut world = World::new(task(vec![process("main")]));
        (world.orphans, world.is_hanging) = (1, true);
        let before = world.now;
        world.kill();
        while world.now - before < Duration::from_secs(70) {
            assert!(world.tick());
            assert!(!world.is_over, "something is left");
        }
        // SIGKILL goes on and on: what hung may have made others.
        assert!(world.kill_rounds >= 90, "{}", world.kill_rounds);
        if dies {
            world.orphans = 0;
            assert!(world.tick());
            assert_eq!(world.end(), TaskState::Killed);
            continue;
        }
        while !world.is_over {
            assert!(world.tick());
        }
        assert_eq!(world.end(), TaskState::Killed);
        assert_eq!(world.now - before, Duration::from_secs(90));
    }
}

#[test]
fn a_kill_of_a_task_that_is_ending_makes_it_shorter_and_killed() {
    let mut last = process("last");
    last.is_final = true;
    let mut slow = process("slow");
    slow.ephemeral = true;
    let mut definition = task(vec![last, process("main"), slow]);
    definition.finalization_wait = Duration::from_secs(1_000);
    // While what is left of the regular processes is ended, and while the final one runs.
    for is_cleaning in [true, false] {
        let mut world = World::new(definition.clone());
        if is_cleaning {
            world.stubborn.insert(2);
        }
        world.stubborn.insert(0);
        world.exit(1, Exit::Code(0));
        assert_eq!(world.runs(), [if is_cleaning { 2 } else { 0 }]);
        let before = world.now;
        world.kill();
        while !world.is_over {
            assert!(world.tick());
        }
        assert_eq!(world.end(), TaskState::Killed);
        assert_eq!(world.now - before, Duration::from_secs(60));
        // One that would have been over sooner is not made to last.
        let mut short = definition.clone();
        short.finalization_wait = Duration::from_secs(7);
        let mut world = World::new(short);
        if is_cleaning {
            world.stubborn.insert(2);
        }
        world.exit(1, Exit::Code(0));
        let before = world.now;
        world.kill();
        while !world.is_over {
            assert!(world.tick());
        }
        assert_eq!(world.now - before, Duration::from_secs(7));
    }
}

#[test]
fn shutdown_endpoints_are_asked_before_signals() {
    let mut definition = task(vec![process("main")]);
    definition.lifecycle = Some(Lifecycle {
        graceful_wait: Duration::from_secs(5),
        shutdown_wait: Duration::from_secs(7),
    });
    let mut world = World::new(definition.clone());
    let before = world.now;
    world.kill();
    assert_eq!(world.posts, [Endpoint::Quit]);
    world.supervisor.handle_posted(world.now, true);
    assert!(world.tick());
    assert_eq!(world.now - before, Duration::from_secs(5));
    assert_eq!(world.posts, [Endpoint::Quit, Endpoint::Abort]);
    assert_eq!(world.runs(), [0]);
    world.supervisor.handle_posted(world.now, true);
    assert!(world.tick());
    assert_eq!(world.now - before, Duration::from_secs(12));
    assert_eq!(world.end(), TaskState::Killed);
    // One that ends when asked is not signalled, and one that cannot be asked is not waited for.
    let mut world = World::new(definition.clone());
    world.kill();
    world.supervisor.handle_posted(world.now, true);
    world.exit(0, Exit::Code(0));
    assert_eq!(world.end(), TaskState::Killed);
    let mut world = World::new(definition);
    let before = world.now;
    world.kill();
    for _ in 0..2 {
        world.supervisor.handle_posted(world.now, false);
        world.settle();
    }
    assert_eq!(world.end(), TaskState::Killed);
    assert_eq!(world.now, before);
}

#[test]
fn a_task_with_health_checks_runs_when_they_say_so_and_ends_when_they_do() {
    let mut definition = task(vec![process("main")]);
    definition.checks = vec![check(10, 1, 1)];
    let mut world = World::new(definition);
    assert_eq!((world.reports.len(), world.checks), (1, 1));
    world.answer(0, None);
    assert_eq!(world.reports[1].1.as_deref(), Some("Task is healthy."));
    for round in 2..4 {
        assert!(world.tick());
        assert_eq!(world.checks, round);
        world.answer(0, Some("no"));
    }
    assert_eq!(world.end(), TaskState::Failed);
    let message = world.reports.last().unwrap().1.as_deref();
    assert_eq!(message, Some("Failed health check! no"));
}

#[test]
fn a_task_with_several_checks_runs_when_all_are_good_and_fails_when_one_is_not() {
    let mut definition = task(vec![process("main")]);
    let announced = StatusCheck {
        failure: "",
        ..check(1, 0, 2)
    };
    definition.checks = vec![check(10, 0, 1), announced];
    let mut world = World::new(definition);
    assert_eq!((world.reports.len(), world.checks), (1, 2));
    world.answer(0, None);
    world.answer(1, None);
    assert_eq!(world.reports.len(), 1, "one of them needs a second success");
    assert!(world.tick());
    world.answer(1, None);
    assert_eq!(world.reports[1].0, TaskState::Running);
    assert!(world.tick());
    world.answer(1, Some("Not announced."));
    assert_eq!(world.end(), TaskState::Failed);
    let message = world.reports.last().unwrap().1.as_deref();
    assert_eq!(message, Some("Not announced."));
}

#[test]
fn a_check_under_way_is_not_begun_again_by_the_next_start() {
    let mut again = process("main");
    again.max_failures = 0;
    again.min_duration = Duration::ZERO;
    let mut definition = task(vec![again]);
    definition.checks = vec![check(10, 5, 1)];
    let mut world = World::new(definition);
    world.exit(0, Exit::Code(1));
    assert_eq!((world.starts.len(), world.checks), (2, 1));
    world.answer(0, None);
    assert_eq!(world.reports[1].0, TaskState::Running);
}

#[test]
fn a_failed_task_names_the_process_and_how_it_ended() {
    let message = |world: &World| world.reports.last().unwrap().1.clone().unwrap();
    let mut world = World::new(task(vec![process("main")]));
    world.exit(0, Exit::Code(3));
    let expected = "Task failed. Process 'main' failed with status 3.";
    assert_eq!(message(&world), expected);
    let mut twice = process("main");
    twice.max_failures = 2;
    let mut definition = task(vec![twice, process("other")]);
    definition.max_failures = 2;
    let mut world = World::new(definition);
    world.exit(1, Exit::Code(4));
    world.exit(0, Exit::Code(1));
    while !world.runs().contains(&0) {
        assert!(world.tick());
    }
    world.exit(0, Exit::Code(2));
    let expected = "Task failed. Process 'main' failed with status 2 in the last of 2 failed runs, \
                    and one more process failed.";
    assert_eq!(message(&world), expected);
    let mut definition = task(vec![process("main")]);
    definition.processes[0].max_failures = 0;
    let mut world = World::new(definition);
    for _ in 0..100 {
        world.exit(0, Exit::Signal(9));
        world.tick();
    }
    let expected = "Task failed. Process 'main' ran 100 times, which is the limit.";
    assert_eq!(message(&world), expected);
}

/// Found by the property above: two processes are due together, the first cannot be started for the hundredth time.
#[test]
fn nothing_starts_once_the_task_is_ending() {
    let mut definition = task(vec![process("0"), process("1")]);
    definition.processes[0].max_failures = 1;
    let mut world = World::new(definition.clone());
    assert_eq!(world.starts.len(), 2);
    world = World::with_unstartable(definition, [0]);
    assert_eq!(world.starts.iter().map(|it| it.0).collect::<Vec<_>>(), [0]);
    while !world.is_over {
        assert!(world.tick(), "nothing moves");
    }
    assert_eq!(world.end(), TaskState::Failed);
}
