//! Updates at random, with crashes: what must hold whatever happens.

use super::updates::{change, pulse, settings, start, version};
use super::world::{World, create, key, seeds};
use crate::domain::update::can_go;
use crate::model::{
    AgentId, ScheduleStatus as T, TaskId, TaskState, UpdateKey, UpdateStatus as S, UpdateStrategy,
};
use crate::scheduler::update::UpdateChange;
use crate::storage::UpdateRecord;
use std::collections::BTreeSet;
use std::time::Duration;

const AGENTS: [&str; 3] = ["a", "b", "c"];

/// How the world treats the job.
#[derive(Clone, Copy, PartialEq)]
enum Weather {
    /// Tasks come up in their time; leaders change; people meddle.
    Fair,
    /// Besides, tasks fail and machines come and go.
    Foul,
}

struct Storm {
    world: World,
    weather: Weather,
    /// The most instances an update may have down.
    most: usize,
    instances: u32,
    version: i64,
}

fn strategy(world: &mut World) -> (UpdateStrategy, usize) {
    let size = 1 + world.rng.index(3);
    let group_size = size as i32;
    let autopause = world.rng.one_in(3);
    match world.rng.below(3) {
        0 => (UpdateStrategy::Queue { group_size }, size),
        1 => {
            let batch = UpdateStrategy::Batch {
                group_size,
                autopause,
            };
            (batch, size)
        }
        _ => {
            let variable = UpdateStrategy::VariableBatch {
                group_sizes: vec![1, group_size],
                autopause,
            };
            (variable, size)
        }
    }
}

impl Storm {
    fn new(seed: u64, weather: Weather) -> Self {
        let mut world = World::new(seed);
        for agent in AGENTS {
            world.agent_up(agent);
        }
        let instances = 3 + world.rng.index(5) as u32;
        world.command(None, &create(version("j", 0), instances));
        world.calm();
        world.all_go(TaskState::Starting, TaskState::Running);
        world.calm();
        Self {
            world,
            weather,
            most: 0,
            instances,
            version: 0,
        }
    }

    fn active(&self) -> Option<UpdateKey> {
        let tables = self.world.tables();
        let record = tables.updates().active_of(&key("j"))?;
        Some(record.key().clone())
    }

    /// Starts an update if none is under way and everything is up, so that what is down later is the
    /// update's doing.
    fn start(&mut self) {
        let all_up = self.down() == 0 && self.world.appending.is_empty();
        if self.active().is_some() || (self.weather == Weather::Fair && !all_up) {
            return;
        }
        let (strategy, most) = strategy(&mut self.world);
        let rng = &mut self.world.rng;
        let mut settings = settings(1);
        settings.strategy = strategy;
        settings.min_wait_in_running_ms = rng.index(3) as i32 * 400;
        settings.max_failed_instances = rng.index(2) as i32;
        settings.max_per_instance_failures = rng.index(2) as i32;
        settings.rollback_on_failure = !rng.one_in(4);
        if rng.one_in(4) {
            settings.block_if_no_pulses_after_ms = 2_000;
        }
        self.version += 1;
        self.most = most;
        let config = version("j", self.version);
        let command = start(config, self.instances, settings);
        self.world.command(None, &command);
    }

    fn meddle(&mut self) {
        let Some(update) = self.active() else {
            return;
        };
        let command = match self.world.rng.below(12) {
            0..2 => change(&update, UpdateChange::Pause),
            2..6 => change(&update, UpdateChange::Resume),
            6 => change(&update, UpdateChange::Rollback),
            _ => pulse(&update),
        };
        self.world.command(None, &command);
    }

    /// Instances that do not run, as far as the log knows.
    fn down(&self) -> usize {
        let tables = self.world.tables();
        let up = |i: &u32| {
            let task = tables.active_instance(&key("j"), *i);
            task.is_some_and(|task| task.status == T::Running)
        };
        (0..self.instances).filter(|i| !up(i)).count()
    }

    fn report(&mut self) {
        let world = &mut self.world;
        let agent = AgentId::new(AGENTS[world.rng.index(3)]);
        let fake = &world.agents[&agent];
        let starting = |s: TaskState| match self.weather {
            Weather::Fair => s == TaskState::Starting,
            Weather::Foul => !s.is_terminal(),
        };
        let tasks = fake.tasks.values().filter(|r| starting(r.state));
        let tasks: Vec<TaskId> = tasks.map(|r| r.task.clone()).collect();
        if tasks.is_empty() {
            return;
        }
        let task = tasks[world.rng.index(tasks.len())].clone();
        let state = match world.rng.below(12) {
            0 if self.weather == Weather::Foul => TaskState::Failed,
            1 if self.weather == Weather::Foul => TaskState::Lost,
            _ => TaskState::Running,
        };
        world.report(&agent, &task, state);
    }

    fn happen(&mut self) {
        let name = AGENTS[self.world.rng.index(3)];
        match self.world.rng.below(100) {
            0..6 => self.start(),
            6..14 => self.meddle(),
            14..40 => self.world.learn(),
            40..60 => self.world.deliver(),
            60..75 => self.report(),
            75..78 if self.weather == Weather::Foul => self.world.agent_down(name),
            75..84 => self.world.agent_up(name),
            84..97 => {
                let time = Duration::from_millis(self.world.rng.below(300));
                self.world.pass(time);
                self.world.turn();
            }
            97 => {
                self.world.engine.begin_snapshot();
                self.world.turn();
            }
            _ => {
                let learned = self.world.rng.index(self.world.appending.len() + 1);
                let before = self.world.tables();
                self.world.crash(learned);
                for agent in AGENTS {
                    self.world.agent_up(agent);
                }
                let after = self.world.tables();
                let same = learned > 0 || before.updates().all().eq(after.updates().all());
                assert!(same, "replay gives other updates");
            }
        }
    }

    fn check(&self, seed: u64) {
        if self.weather == Weather::Fair {
            let down = self.down();
            assert!(
                down <= self.most,
                "seed {seed}: {down} down of {}",
                self.most
            );
        }
        for record in self.world.tables().updates().all() {
            check_record(record);
        }
    }

    /// Nothing happens any more but what must.
    fn settle(&mut self) {
        for agent in AGENTS {
            self.world.agent_up(agent);
        }
        for _ in 0..400 {
            self.world.calm();
            self.world.all_go(TaskState::Starting, TaskState::Running);
            self.world.calm();
            let Some(update) = self.active() else {
                return;
            };
            self.world.command(None, &pulse(&update));
            self.world
                .command(None, &change(&update, UpdateChange::Resume));
            self.world.pass(Duration::from_millis(500));
            if self.weather == Weather::Foul {
                // The penalty of tasks that kept failing.
                self.world.pass(Duration::from_secs(20));
                self.world.turn();
            }
        }
        panic!("an update does not end: {:?}", self.active());
    }
}

/// States follow the table, times rise, nothing is said twice.
fn check_record(record: &UpdateRecord) {
    let events: Vec<_> = record.events().iter().collect();
    for pair in events.windows(2) {
        assert!(can_go(pair[0].status, pair[1].status), "{events:?}");
        assert!(pair[0].at < pair[1].at);
    }
    let mut said = BTreeSet::new();
    let mut last = record.created();
    for event in record.instance_events() {
        assert!(
            said.insert((event.instance, event.action)),
            "{event:?} again"
        );
        assert!(last <= event.at && record.update().names(event.instance));
        last = event.at;
    }
}

fn storm(seed: u64, weather: Weather, events: usize) -> BTreeSet<S> {
    let mut storm = Storm::new(seed, weather);
    for _ in 0..events {
        storm.happen();
        storm.check(seed);
    }
    storm.settle();
    let tables = storm.world.tables();
    let all = tables.updates().all();
    all.flat_map(|record| record.events().iter().map(|e| e.status))
        .collect()
}

#[test]
fn in_fair_weather_no_more_instances_are_down_than_the_update_may_have() {
    let seen: BTreeSet<S> = seeds(60, 3_000)
        .flat_map(|seed| storm(seed, Weather::Fair, 500))
        .collect();
    for status in [S::RolledForward, S::RolledBack, S::RollForwardPaused] {
        assert!(seen.contains(&status), "{status} was not reached");
    }
}

#[test]
fn in_foul_weather_every_update_ends() {
    let seen: BTreeSet<S> = seeds(60, 3_000)
        .flat_map(|seed| storm(seed, Weather::Foul, 500))
        .collect();
    for status in S::ALL {
        let never = [S::Aborted, S::Error];
        assert!(
            seen.contains(&status) || never.contains(&status),
            "{status} was not reached"
        );
    }
}
