//! Job updates: one story each.

use super::world::{World, config, create, key, kill};
use crate::domain::sla::SlaRules;
use crate::model::{
    InstanceRange, JobUpdate, MilliCpus, PulseStatus, ScheduleStatus as T, SlaPolicy, TaskConfig,
    TaskState, UpdateAction as A, UpdateKey, UpdateSettings, UpdateStatus as S, UpdateStrategy,
};
use crate::scheduler::admin::{Answered, Ruling};
use crate::scheduler::handle::{Command, Reply, ReplyCode};
use crate::scheduler::update::{UpdateChange, UpdateCommand, UpdateRequest};
use crate::storage::{ReplyResult, UpdateRecord};
use std::sync::Arc;
use std::time::Duration;

pub(super) fn settings(group_size: i32) -> UpdateSettings {
    UpdateSettings {
        strategy: UpdateStrategy::Queue { group_size },
        max_per_instance_failures: 0,
        max_failed_instances: 0,
        min_wait_in_running_ms: 20_000,
        rollback_on_failure: true,
        only: Vec::new(),
        block_if_no_pulses_after_ms: 0,
        sla_aware: false,
        group_size,
        wait_for_batch_completion: false,
    }
}

/// The description of version `version`.
pub(super) fn version(name: &str, version: i64) -> TaskConfig {
    config(name, |c| c.resources.cpus = MilliCpus(100 + version))
}

pub(super) fn start(config: TaskConfig, count: u32, settings: UpdateSettings) -> Command {
    Command::Update(UpdateCommand::Start {
        request: Box::new(UpdateRequest {
            config: Arc::new(config),
            instance_count: count,
            settings,
            metadata: Default::default(),
        }),
        message: Some("why".into()),
        user: "jane".into(),
    })
}

pub(super) fn change(key: &UpdateKey, change: UpdateChange) -> Command {
    Command::Update(UpdateCommand::Change {
        key: key.clone(),
        change,
        message: None,
        user: "joe".into(),
    })
}

pub(super) fn pulse(key: &UpdateKey) -> Command {
    let key = key.clone();
    Command::Update(UpdateCommand::Pulse { key })
}

impl World {
    pub(super) fn ask(&mut self, command: &Command) -> Reply {
        let token = self.command(None, command);
        while !self.replies.contains_key(&token) {
            self.learn();
        }
        self.replies[&token].clone().unwrap()
    }

    pub(super) fn started(&mut self, command: &Command) -> UpdateKey {
        match self.ask(command).result {
            Some(ReplyResult::Update(key)) => key,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn record(&self, key: &UpdateKey) -> Arc<UpdateRecord> {
        Arc::clone(self.tables().updates().get(key).unwrap())
    }

    pub(super) fn state(&self, key: &UpdateKey) -> S {
        self.record(key).status()
    }

    /// What was said of instances.
    fn said(&self, key: &UpdateKey) -> Vec<(u32, A)> {
        let record = self.record(key);
        let events = record.instance_events().iter();
        events.map(|e| (e.instance, e.action)).collect()
    }

    pub(super) fn run_all(&mut self) {
        self.calm();
        self.all_go(TaskState::Starting, TaskState::Running);
        self.calm();
    }

    fn has(&self, name: &str, version: i64) -> usize {
        let tables = self.tables();
        let job = key(name);
        let cpus = MilliCpus(100 + version);
        let tasks = tables.active_tasks_of_job(&job);
        tasks.filter(|t| t.config.resources.cpus == cpus).count()
    }
}

fn with_job(instances: u32) -> World {
    let mut world = World::new(7);
    world.agent_up("a");
    world.command(None, &create(version("j", 0), instances));
    world.run_all();
    assert_eq!(
        world.statuses(&key("j")),
        vec![T::Running; instances as usize]
    );
    world
}

#[test]
fn an_update_goes_through_its_instances_one_by_one_and_waits_for_each() {
    let mut world = with_job(3);
    let update = world.started(&start(version("j", 1), 3, settings(1)));
    for round in 0..3 {
        world.calm();
        assert_eq!(world.has("j", 1), round + 1);
        assert_eq!(world.state(&update), S::RollingForward);
        world.run_all();
        world.pass(Duration::from_secs(22));
        world.turn();
        world.learn();
    }
    assert_eq!(world.state(&update), S::RolledForward);
    let one = |i| [(i, A::Updating), (i, A::Updated)];
    assert_eq!(world.said(&update), [one(0), one(1), one(2)].concat());
    let record = world.record(&update);
    let first = &record.events()[0];
    assert_eq!(
        (first.user.as_deref(), first.message.as_deref()),
        (Some("jane"), Some("why"))
    );
    let killed = format!("Killed for job update {}", update.id);
    let tables = world.tables();
    let mut tasks = tables.tasks_of_job(&update.job);
    let told = tasks.any(|t| {
        t.events
            .iter()
            .any(|e| e.message.as_deref() == Some(&*killed))
    });
    assert!(told);
}

#[test]
fn an_update_of_nothing_makes_the_job_and_one_to_fewer_instances_takes_some_away() {
    let mut world = World::new(7);
    world.agent_up("a");
    let update = world.started(&start(version("j", 1), 2, settings(2)));
    world.run_all();
    world.pass(Duration::from_secs(22));
    world.calm();
    assert_eq!(
        (world.state(&update), world.has("j", 1)),
        (S::RolledForward, 2)
    );
    let same = world.ask(&start(version("j", 1), 2, settings(2)));
    let unchanged = Reply::with(ReplyCode::Ok, "Job is unchanged by proposed update.");
    assert_eq!(same, unchanged);
    let fewer = world.started(&start(version("j", 1), 1, settings(2)));
    assert!(world.record(&fewer).update().desired.is_none());
    world.calm();
    assert_eq!(
        (world.state(&fewer), world.has("j", 1)),
        (S::RolledForward, 1)
    );
}

#[test]
fn an_update_that_fails_is_undone_by_itself() {
    let mut world = with_job(3);
    world.pass(Duration::from_secs(30));
    let update = world.started(&start(version("j", 1), 3, settings(2)));
    world.calm();
    assert_eq!(world.has("j", 1), 2);
    world.all_go(TaskState::Starting, TaskState::Failed);
    world.calm();
    assert_eq!(world.state(&update), S::RollingBack);
    let record = world.record(&update);
    let why = record.events().last().unwrap().message.clone();
    assert!(why.is_some_and(|m| m.starts_with("Latest failure: instance ")));
    for _ in 0..4 {
        world.run_all();
        world.pass(Duration::from_secs(40));
        world.turn();
    }
    world.calm();
    assert_eq!(
        (world.state(&update), world.has("j", 0)),
        (S::RolledBack, 3)
    );
    assert!(world.said(&update).contains(&(0, A::RolledBack)));
    assert!(world.said(&update).contains(&(0, A::UpdateFailed)));
    assert!(!world.said(&update).iter().any(|(i, _)| *i == 2));
}

#[test]
fn failures_are_counted_across_changes_of_leader() {
    let mut world = with_job(1);
    let mut settings = settings(1);
    settings.max_per_instance_failures = 2;
    settings.rollback_on_failure = false;
    let update = world.started(&start(version("j", 1), 1, settings));
    for round in 0..3 {
        assert_eq!(world.state(&update), S::RollingForward, "round {round}");
        world.calm();
        world.all_go(TaskState::Starting, TaskState::Failed);
        world.calm();
        world.crash(0);
        world.agent_up("a");
        world.pass(Duration::from_secs(400));
        world.calm();
    }
    assert_eq!(world.state(&update), S::Failed);
}

#[test]
fn a_pause_stops_it_and_a_resumption_lets_it_go_on_across_a_change_of_leader() {
    let mut world = with_job(3);
    let update = world.started(&start(version("j", 1), 3, settings(1)));
    world.run_all();
    assert_eq!(
        world.ask(&change(&update, UpdateChange::Pause)).code,
        ReplyCode::Ok
    );
    assert_eq!(
        world.ask(&change(&update, UpdateChange::Pause)).code,
        ReplyCode::Ok
    );
    world.pass(Duration::from_secs(12));
    world.calm();
    assert_eq!(
        (world.state(&update), world.has("j", 1)),
        (S::RollForwardPaused, 1)
    );
    world.crash(0);
    world.agent_up("a");
    world.pass(Duration::from_secs(12));
    world.calm();
    assert_eq!(
        (world.state(&update), world.has("j", 1)),
        (S::RollForwardPaused, 1)
    );
    assert_eq!(
        world.ask(&change(&update, UpdateChange::Resume)).code,
        ReplyCode::Ok
    );
    for _ in 0..3 {
        world.run_all();
        world.pass(Duration::from_secs(22));
        world.turn();
    }
    world.calm();
    assert_eq!(
        (world.state(&update), world.has("j", 1)),
        (S::RolledForward, 3)
    );
    let refused = world.ask(&change(&update, UpdateChange::Abort));
    let message = "Cannot transition update from ROLLED_FORWARD to ABORTED";
    assert_eq!(refused, Reply::invalid(message));
}

#[test]
fn an_abort_leaves_everything_as_it_is_and_a_rollback_undoes_it() {
    let mut world = with_job(4);
    let first = world.started(&start(version("j", 1), 4, settings(2)));
    world.run_all();
    assert_eq!(
        world.ask(&change(&first, UpdateChange::Abort)).code,
        ReplyCode::Ok
    );
    world.pass(Duration::from_secs(12));
    world.calm();
    assert_eq!((world.state(&first), world.has("j", 1)), (S::Aborted, 2));
    let second = world.started(&start(version("j", 2), 4, settings(4)));
    world.run_all();
    assert_eq!(world.has("j", 2), 4);
    assert_eq!(
        world.ask(&change(&second, UpdateChange::Rollback)).code,
        ReplyCode::Ok
    );
    for _ in 0..3 {
        world.run_all();
        world.pass(Duration::from_secs(22));
        world.turn();
    }
    world.calm();
    assert_eq!(world.state(&second), S::RolledBack);
    assert_eq!((world.has("j", 0), world.has("j", 1)), (2, 2));
}

#[test]
fn a_job_that_is_updated_is_left_to_its_update() {
    let mut world = with_job(2);
    let update = world.started(&start(version("j", 1), 2, settings(1)));
    let user = || "u".to_owned();
    let commands = [
        kill("j"),
        create(version("j", 0), 1),
        Command::RestartShards {
            job: key("j"),
            shards: [0].into(),
            user: user(),
        },
        Command::AddInstances {
            job: key("j"),
            instance: 0,
            count: 1,
            user: user(),
        },
    ];
    for command in &commands {
        let updating = Reply::with(ReplyCode::JobUpdatingError, "Job is currently updating");
        assert_eq!(world.ask(command), updating);
    }
    let other = world.ask(&start(version("j", 2), 2, settings(1)));
    assert_eq!(other.code, ReplyCode::InvalidRequest);
    assert_eq!(other.result, Some(ReplyResult::Update(update.clone())));
    assert!(other.messages[0].starts_with("An active update already exists for this job"));
    let unknown = UpdateKey {
        id: "x".into(),
        ..update.clone()
    };
    let message = "Update does not exist role/prod/j/x";
    assert_eq!(
        world.ask(&change(&unknown, UpdateChange::Pause)),
        Reply::invalid(message)
    );
    let message = "Update does not exist: role/prod/j/x";
    assert_eq!(
        world.ask(&change(&unknown, UpdateChange::Resume)),
        Reply::invalid(message)
    );
    let mut strange = settings(1);
    strange.only = vec![InstanceRange { first: 1, last: 6 }];
    let message = "The update request attempted to update specific instances, but some are irrelevant \
                   to the update and current job state: [3, 4, 5, 6]";
    let refused = world.ask(&start(version("j", 2), 3, strange));
    assert_eq!(refused, Reply::invalid(message));
}

#[test]
fn an_update_touches_only_the_instances_it_was_given() {
    let mut world = with_job(4);
    let mut settings = settings(4);
    settings.only = vec![InstanceRange { first: 1, last: 2 }];
    let update = world.started(&start(version("j", 1), 4, settings));
    let planned: JobUpdate = JobUpdate::clone(world.record(&update).update());
    assert!(planned.names(1) && planned.names(2) && !planned.names(0) && !planned.names(3));
    world.run_all();
    world.pass(Duration::from_secs(22));
    world.calm();
    assert_eq!(world.state(&update), S::RolledForward);
    assert_eq!((world.has("j", 0), world.has("j", 1)), (2, 2));
}

#[test]
fn without_a_pulse_nothing_happens_and_when_pulses_stop_the_update_is_blocked() {
    let mut world = with_job(2);
    let mut settings = settings(1);
    settings.block_if_no_pulses_after_ms = 15_000;
    let update = world.started(&start(version("j", 1), 2, settings));
    world.calm();
    assert_eq!(
        (world.state(&update), world.has("j", 1)),
        (S::RollForwardAwaitingPulse, 0)
    );
    let ok = Reply::ok().telling(ReplyResult::Pulse(PulseStatus::Ok));
    assert_eq!(world.ask(&pulse(&update)), ok);
    world.run_all();
    assert_eq!(
        (world.state(&update), world.has("j", 1)),
        (S::RollingForward, 1)
    );
    world.pass(Duration::from_secs(11));
    world.calm();
    assert_eq!(
        (world.state(&update), world.has("j", 1)),
        (S::RollForwardAwaitingPulse, 1)
    );
    assert_eq!(
        world.ask(&change(&update, UpdateChange::Resume)).code,
        ReplyCode::Ok
    );
    assert_eq!(world.state(&update), S::RollForwardAwaitingPulse);
    assert_eq!(
        world.ask(&change(&update, UpdateChange::Pause)).code,
        ReplyCode::Ok
    );
    assert_eq!(world.ask(&pulse(&update)), ok);
    assert_eq!(world.state(&update), S::RollForwardPaused);
    assert_eq!(
        world.ask(&change(&update, UpdateChange::Resume)).code,
        ReplyCode::Ok
    );
    for _ in 0..8 {
        world.ask(&pulse(&update));
        world.run_all();
        world.pass(Duration::from_secs(7));
        world.turn();
    }
    world.calm();
    assert_eq!(
        (world.state(&update), world.has("j", 1)),
        (S::RolledForward, 2)
    );
    let finished = Reply::ok().telling(ReplyResult::Pulse(PulseStatus::Finished));
    assert_eq!(world.ask(&pulse(&update)), finished);
}

#[test]
fn batches_pause_by_themselves_and_go_on_when_told() {
    let mut world = with_job(4);
    let mut settings = settings(2);
    settings.strategy = UpdateStrategy::Batch {
        group_size: 2,
        autopause: true,
    };
    let update = world.started(&start(version("j", 1), 4, settings));
    world.run_all();
    world.pass(Duration::from_secs(22));
    // A new leader finds a batch that is done but was not said to be.
    world.crash(0);
    world.agent_up("a");
    world.calm();
    assert_eq!(
        (world.state(&update), world.has("j", 1)),
        (S::RollForwardPaused, 2)
    );
    let record = world.record(&update);
    let message = record.events().last().unwrap().message.clone();
    assert_eq!(message.as_deref(), Some("Update auto paused"));
    world.ask(&change(&update, UpdateChange::Resume));
    world.run_all();
    world.pass(Duration::from_secs(22));
    world.calm();
    assert_eq!(
        (world.state(&update), world.has("j", 1)),
        (S::RolledForward, 4)
    );
}

#[test]
fn batches_of_growing_size_pause_in_between_whoever_leads() {
    for loses_leader in [false, true] {
        let mut world = with_job(6);
        let mut settings = settings(1);
        settings.strategy = UpdateStrategy::VariableBatch {
            group_sizes: vec![1, 2, 3],
            autopause: true,
        };
        let update = world.started(&start(version("j", 1), 6, settings));
        for done in [1, 3, 6] {
            world.run_all();
            world.pass(Duration::from_secs(22));
            if loses_leader {
                world.crash(0);
                world.agent_up("a");
            }
            world.calm();
            let expected = if done < 6 {
                S::RollForwardPaused
            } else {
                S::RolledForward
            };
            assert_eq!((world.state(&update), world.has("j", 1)), (expected, done));
            if done < 6 {
                world.ask(&change(&update, UpdateChange::Resume));
            }
        }
    }
}

#[test]
fn old_updates_are_forgotten_for_good() {
    let mut world = with_job(1);
    for version_ in 1..=13 {
        let update = world.started(&start(version("j", version_), 1, settings(1)));
        world.run_all();
        world.pass(Duration::from_secs(22));
        world.calm();
        assert_eq!(world.state(&update), S::RolledForward);
    }
    assert_eq!(world.tables().updates().count(), 13);
    world.pass(Duration::from_secs(15 * 60));
    world.calm();
    assert_eq!(world.tables().updates().count(), 10);
    world.crash(0);
    assert_eq!(world.tables().updates().count(), 10);
    world.engine.begin_snapshot();
    world.calm();
    let before = world.tables();
    world.crash(0);
    assert!(before.updates().all().eq(world.tables().updates().all()));
}

/// A job that promises something, and an update of it that minds the promise.
fn promising(policy: SlaPolicy, instances: u32) -> (World, UpdateKey) {
    let mut world = World::new(7);
    world.options.sla = SlaRules {
        for_non_production: true,
        min_instances: 0,
    };
    world.crash(0);
    world.agent_up("a");
    let config = |number| {
        let mut config = version("j", number);
        config.sla_policy = Some(policy.clone());
        config
    };
    world.command(None, &create(config(0), instances));
    world.run_all();
    world.pass(Duration::from_secs(60));
    let mut settings = settings(2);
    settings.sla_aware = true;
    let update = world.started(&start(config(1), instances, settings));
    (world, update)
}

#[test]
fn an_update_that_minds_a_promise_takes_down_no_more_than_that_allows() {
    let policy = SlaPolicy::Count {
        count: 2,
        duration_secs: 10,
    };
    let (mut world, update) = promising(policy, 3);
    // Two at a time by its settings, one at a time by the promise.
    for _ in 0..60 {
        let up = world.statuses(&key("j"));
        let up = up.iter().filter(|s| **s == T::Running).count();
        assert!(up >= 2, "{up} up");
        if world.state(&update) == S::RolledForward {
            break;
        }
        world.run_all();
        world.pass(Duration::from_secs(30));
        world.turn();
    }
    assert_eq!(
        (world.state(&update), world.has("j", 1)),
        (S::RolledForward, 3)
    );
    let record = world.record(&update);
    let told = record.instance_events().iter();
    let told: Vec<&str> = told.filter_map(|e| e.message.as_deref()).collect();
    let checks = told.iter().filter(|t| t.starts_with("Checking SLA"));
    assert_eq!(checks.count(), 3);
    let passes = told.iter().filter(|t| t.starts_with("SLA check passed"));
    assert_eq!(passes.count(), 3);
}

#[test]
fn a_coordinator_is_asked_before_an_instance_is_taken_down() {
    let policy = SlaPolicy::Coordinator {
        url: "http://c".into(),
        status_key: "ok".into(),
    };
    let (mut world, update) = promising(policy, 1);
    world.calm();
    assert_eq!(world.has("j", 1), 0);
    let question = world.questions.pop_front().expect("it is asked");
    assert_eq!(
        (question.url.as_str(), question.countdown_ms),
        ("http://c", None)
    );
    let mut answer = |ruling| {
        let task = question.task.id.clone();
        let answered = Answered { task, ruling };
        world.engine.handle_answered(world.now, &answered);
        world.turn();
        world.calm();
        world.has("j", 1)
    };
    assert_eq!(answer(Ruling::Denied), 0);
    world.pass(Duration::from_secs(400));
    world.calm();
    let again = world.questions.pop_front().expect("it is asked again");
    let answered = Answered {
        task: again.task.id.clone(),
        ruling: Ruling::Granted,
    };
    world.engine.handle_answered(world.now, &answered);
    world.turn();
    world.run_all();
    assert_eq!(world.has("j", 1), 1);
    assert_eq!(world.state(&update), S::RollingForward);
}
