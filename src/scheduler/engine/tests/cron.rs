//! Cron jobs, one story each.

use super::world::{World, config, create, key, kill};
use crate::base::clock::Timestamp;
use crate::model::{
    CronCollisionPolicy as Policy, CronJob, CronOutcome, JobConfiguration, Metadata,
    ScheduleStatus as S, TaskConfig, TaskState,
};
use crate::scheduler::handle::{Command, Reply, ReplyCode};
use std::sync::Arc;
use std::time::Duration;

/// The world begins 20 seconds past 22:13 GMT; this is the next full minute.
pub(super) const FIRST_MINUTE: Timestamp = Timestamp(1_700_000_040_000);

pub(super) fn cron_config(name: &str, change: impl FnOnce(&mut TaskConfig)) -> TaskConfig {
    config(name, |config| {
        config.is_service = false;
        change(config);
    })
}

pub(super) fn schedule(config: TaskConfig, text: &str, policy: Policy, count: u32) -> Command {
    Command::ScheduleCronJob {
        job: JobConfiguration {
            key: config.job.clone(),
            owner: None,
            cron_schedule: Some(text.to_owned()),
            cron_collision_policy: policy,
            task: Arc::new(config),
            instance_count: count,
        },
        replace: false,
        user: "u".into(),
    }
}

pub(super) fn start(name: &str) -> Command {
    Command::StartCronJob {
        job: key(name),
        user: "u".into(),
    }
}

fn said(world: &mut World, command: &Command) -> Reply {
    let token = world.command(None, command);
    world.calm();
    world.replies[&token].clone().unwrap()
}

fn ok(world: &mut World, command: &Command) {
    assert_eq!(said(world, command), Reply::ok());
}

fn minutes(world: &mut World, minutes: u64) {
    for _ in 0..minutes {
        world.pass(Duration::from_secs(60));
        world.turn();
        world.calm();
    }
}

fn cron(world: &World) -> Arc<CronJob> {
    Arc::clone(world.tables().cron_job(&key("j")).unwrap())
}

fn outcomes(world: &World) -> Vec<&'static str> {
    cron(world).runs.iter().map(|r| r.outcome.name()).collect()
}

fn every_minute(policy: Policy) -> World {
    let mut world = World::new(1);
    world.agent_up("a");
    let job = schedule(cron_config("j", |_| ()), "* * * * *", policy, 2);
    ok(&mut world, &job);
    world
}

fn all_run(world: &mut World) {
    world.all_go(TaskState::Starting, TaskState::Running);
    world.calm();
}

fn all_finish(world: &mut World) {
    all_run(world);
    world.all_go(TaskState::Running, TaskState::Finished);
    world.calm();
}

#[test]
fn a_job_runs_at_its_instant_and_its_end_is_taken_down() {
    let mut world = every_minute(Policy::KillExisting);
    let deadline = world.engine.deadline();
    let wait = FIRST_MINUTE.since(world.now.wall);
    assert!(deadline <= world.now.mono + wait, "it would sleep too long");
    world.pass(wait - Duration::from_millis(1));
    world.turn();
    assert!(world.appending.is_empty(), "too early");
    world.pass(Duration::from_millis(1));
    world.turn();
    world.calm();
    assert_eq!(cron(&world).cursor, FIRST_MINUTE);
    assert_eq!(world.statuses(&key("j")), [S::Starting, S::Starting]);
    assert_eq!(outcomes(&world), ["STARTED"]);
    all_finish(&mut world);
    assert_eq!(outcomes(&world), ["FINISHED"]);
    minutes(&mut world, 1);
    all_run(&mut world);
    world.all_go(TaskState::Running, TaskState::Failed);
    world.calm();
    assert_eq!(outcomes(&world), ["FINISHED", "FAILED"]);
    let run = cron(&world).runs[1].clone();
    assert_eq!(run.at, FIRST_MINUTE + Duration::from_secs(60));
    assert!(matches!(run.outcome, CronOutcome::Ended { failed: 2, .. }));
}

#[test]
fn the_decision_the_cursor_and_the_tasks_are_one_entry() {
    let mut world = every_minute(Policy::KillExisting);
    world.pass(FIRST_MINUTE.since(world.now.wall));
    world.turn();
    assert_eq!(world.appending.len(), 1);
    // The entry is lost with its leader: nothing was decided, and the next leader decides.
    world.crash(0);
    world.calm();
    assert_eq!(outcomes(&world), ["STARTED"]);
    assert_eq!(world.tables().tasks_of_job(&key("j")).count(), 2);
    world.crash(0);
    world.agent_up("a");
    world.calm();
    assert_eq!(outcomes(&world), ["STARTED"]);
    assert_eq!(world.tables().tasks_of_job(&key("j")).count(), 2);
}

#[test]
fn kill_existing_waits_for_the_old_run_even_over_a_loss_of_the_leader() {
    let mut world = every_minute(Policy::KillExisting);
    minutes(&mut world, 1);
    all_run(&mut world);
    world.agent_down("a");
    minutes(&mut world, 1);
    assert_eq!(outcomes(&world), ["STARTED", "WAITING"]);
    assert_eq!(world.statuses(&key("j")), [S::Killing, S::Killing]);
    let old = world
        .tables()
        .tasks_of_job(&key("j"))
        .next()
        .cloned()
        .unwrap();
    let why = old.events.last().and_then(|e| e.message.clone());
    assert_eq!(why.as_deref(), Some("Killed by cronScheduler"));
    // A third run does not overtake the one that waits.
    let reply = said(&mut world, &start("j"));
    assert!(
        reply.messages[0].contains("waits for the one before it"),
        "{reply:?}"
    );
    assert_eq!(outcomes(&world), ["STARTED", "WAITING", "OVERTAKEN"]);
    world.crash(0);
    world.calm();
    world.agent_up("a");
    world.calm();
    world.pass(Duration::from_secs(20));
    world.turn();
    world.calm();
    // It was told to the next leader by the log alone, and has begun.
    assert!(cron(&world).waiting().is_none());
    let begun = matches!(
        outcomes(&world)[..],
        ["FAILED", "STARTED" | "FAILED", "OVERTAKEN", ..]
    );
    assert!(begun, "{:?}", outcomes(&world));
}

#[test]
fn what_never_started_makes_room_at_once() {
    let mut world = World::new(1);
    let job = schedule(
        cron_config("j", |_| ()),
        "* * * * *",
        Policy::KillExisting,
        2,
    );
    ok(&mut world, &job);
    minutes(&mut world, 2);
    // No machine: the tasks of the first run were pending, and are gone.
    assert_eq!(outcomes(&world), ["FAILED", "STARTED"]);
    assert_eq!(world.statuses(&key("j")), [S::Pending, S::Pending]);
}

#[test]
fn cancel_new_leaves_the_old_run_alone() {
    let mut world = every_minute(Policy::CancelNew);
    minutes(&mut world, 1);
    all_run(&mut world);
    minutes(&mut world, 1);
    assert_eq!(outcomes(&world), ["STARTED", "CANCELLED"]);
    assert_eq!(world.statuses(&key("j")), [S::Running, S::Running]);
    let reply = said(&mut world, &start("j"));
    assert_eq!(reply.code, ReplyCode::Ok);
    assert!(reply.messages[0].contains("CANCEL_NEW"), "{reply:?}");
}

#[test]
fn a_job_can_be_run_by_hand_and_keeps_its_place_in_time() {
    let mut world = every_minute(Policy::KillExisting);
    let before = cron(&world).cursor;
    ok(&mut world, &start("j"));
    assert_eq!(outcomes(&world), ["STARTED"]);
    assert_eq!(cron(&world).cursor, before);
    let reply = said(&mut world, &start("other"));
    let message = "Failed to start cron job - No cron job found for role/prod/other.";
    assert_eq!(reply, Reply::invalid(message));
}

#[test]
fn one_run_makes_up_for_a_time_without_a_leader_and_only_a_short_one() {
    let mut world = every_minute(Policy::KillExisting);
    let lead = |world: &mut World, minutes: u64| {
        world.pass(Duration::from_secs(60 * minutes));
        world.crash(0);
        world.agent_up("a");
        world.calm();
    };
    lead(&mut world, 10);
    assert_eq!(outcomes(&world), ["MISSED", "STARTED"]);
    let missed = &cron(&world).runs[0];
    let nine = CronOutcome::Missed {
        first: FIRST_MINUTE,
        count: 9,
    };
    assert_eq!(missed.outcome, nine);
    all_finish(&mut world);
    // A job with a window of its own.
    let daily = |window: &str| {
        let metadata = Metadata {
            key: "cron_catch_up_window".into(),
            value: window.into(),
        };
        let config = cron_config("d", |config| config.metadata.extend([metadata]));
        schedule(config, "0 0 * * *", Policy::KillExisting, 1)
    };
    ok(&mut world, &daily("3hrs"));
    let reply = said(&mut world, &daily("soon"));
    assert_eq!(reply.code, ReplyCode::InvalidRequest);
    assert!(
        reply.messages[0].starts_with("Metadata cron_catch_up_window:"),
        "{reply:?}"
    );
    // From 22:24 to 02:24, and then to 05:24 of the day after.
    let runs = |world: &World| -> Vec<&str> {
        let tables = world.tables();
        let runs = &tables.cron_job(&key("d")).unwrap().runs;
        runs.iter().map(|run| run.outcome.name()).collect()
    };
    lead(&mut world, 4 * 60);
    assert_eq!(runs(&world), ["STARTED"]);
    lead(&mut world, 27 * 60);
    assert_eq!(runs(&world), ["STARTED", "MISSED"]);
}

#[test]
fn the_cursor_does_not_follow_a_clock_that_goes_back() {
    let mut world = every_minute(Policy::CancelNew);
    minutes(&mut world, 3);
    let (cursor, count) = (cron(&world).cursor, cron(&world).runs.len());
    world.now.wall = Timestamp(world.now.wall.0 - 150_000);
    for _ in 0..2 {
        minutes(&mut world, 1);
        assert_eq!(
            (cron(&world).cursor, cron(&world).runs.len()),
            (cursor, count)
        );
        world.crash(0);
        world.agent_up("a");
    }
    minutes(&mut world, 1);
    assert_eq!(cron(&world).cursor, cursor + Duration::from_secs(60));
}

#[test]
fn a_new_schedule_begins_now_and_an_equal_one_goes_on() {
    let mut world = every_minute(Policy::CancelNew);
    minutes(&mut world, 1);
    let old = cron(&world);
    let change = |text, count| schedule(cron_config("j", |_| ()), text, Policy::CancelNew, count);
    ok(&mut world, &change("0-59 * * * *", 1));
    let same = cron(&world);
    assert_eq!(
        (same.version, same.cursor, &same.runs),
        (old.version, old.cursor, &old.runs)
    );
    assert_eq!(same.job.instance_count, 1);
    ok(&mut world, &change("0 * * * *", 1));
    let new = cron(&world);
    assert!(new.version > old.version && new.cursor > old.cursor);
    // Gone and back: another version still.
    let gone = Command::DescheduleCronJob {
        job: key("j"),
        user: "u".into(),
    };
    ok(&mut world, &gone);
    let reply = said(&mut world, &gone);
    assert_eq!(
        reply,
        Reply::with(ReplyCode::Ok, "Job role/prod/j is not scheduled with cron")
    );
    minutes(&mut world, 1);
    let reply = said(&mut world, &change("0 * * * *", 1));
    assert_eq!(reply, Reply::invalid("Job role/prod/j already exists"));
    ok(&mut world, &kill("j"));
    world.pass(Duration::from_secs(20));
    world.turn();
    world.calm();
    ok(&mut world, &change("0 * * * *", 1));
    assert!(cron(&world).version > new.version);
}

#[test]
fn the_zone_is_that_of_the_creation_whoever_leads() {
    let mut world = World::new(1);
    world.options.cron_zone = "Asia/Kolkata".into();
    world.crash(0);
    world.agent_up("a");
    // 22:13 in Greenwich is 03:43 in Kolkata.
    let job = schedule(cron_config("j", |_| ()), "45 3 * * *", Policy::CancelNew, 1);
    ok(&mut world, &job);
    world.options.cron_zone = "GMT".into();
    world.crash(0);
    world.agent_up("a");
    ok(&mut world, &job);
    assert_eq!(&*cron(&world).zone, "Asia/Kolkata");
    minutes(&mut world, 2);
    assert_eq!(outcomes(&world), ["STARTED"]);
}

#[test]
fn what_upstream_refuses_of_cron_jobs_is_refused() {
    let mut world = World::new(1);
    let job = |text: &str| schedule(cron_config("j", |_| ()), text, Policy::CancelNew, 1);
    let replace = |text: &str| match job(text) {
        Command::ScheduleCronJob { job, user, .. } => {
            let replace = true;
            Command::ScheduleCronJob { job, replace, user }
        }
        other => other,
    };
    for (command, message) in [
        (replace("* * * * *"), "No cron job found for role/prod/j."),
        (job(""), "Job role/prod/j has an empty cron schedule."),
        (job("@daily"), "Invalid cron schedule: @daily"),
        (
            schedule(cron_config("j", |_| ()), "* * * * *", Policy::RunOverlap, 1),
            "The RUN_OVERLAP collision policy has been removed (AURORA-38).",
        ),
        (
            schedule(
                cron_config("j", |_| ()),
                "* * * * *",
                Policy::CancelNew,
                4_001,
            ),
            "Instance count must be between 1 and 4000 inclusive.",
        ),
        (
            schedule(
                cron_config("j", |c| c.production = true),
                "* * * * *",
                Policy::CancelNew,
                1,
            ),
            "Insufficient resource quota: CPU quota exceeded by 0.49 core(s); \
             RAM quota exceeded by 100.00 MB; disk quota exceeded by 10.00 MB",
        ),
    ] {
        assert_eq!(said(&mut world, &command), Reply::invalid(message));
        assert!(world.tables().cron_jobs().next().is_none());
    }
    ok(&mut world, &job("* * * * *"));
    ok(&mut world, &replace("*/2 * * * *"));
    let reply = said(&mut world, &create(config("j", |_| ()), 1));
    assert_eq!(reply, Reply::invalid("Job role/prod/j already exists"));
}
