//! The tables, rendered; updaters against instances that live and die at random.

use super::*;
use crate::base::clock::Timestamp;
use crate::base::rng::Rng;
use crate::model::{
    InstanceConfig, InstanceId, InstanceRange, JobKey, JobUpdate, MilliCpus, Resources,
    ScheduleStatus as T, ScheduledTask, TaskConfig, TaskEvent, TaskId, UpdateKey, UpdateSettings,
    UpdateStatus as S, UpdateStrategy,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const SHORT: [(S, &str); 11] = [
    (S::RollingForward, "fwd"),
    (S::RollForwardPaused, "fwd-p"),
    (S::RollForwardAwaitingPulse, "fwd-w"),
    (S::RollingBack, "back"),
    (S::RollBackPaused, "back-p"),
    (S::RollBackAwaitingPulse, "back-w"),
    (S::RolledForward, "FWD"),
    (S::RolledBack, "BACK"),
    (S::Aborted, "ABORT"),
    (S::Failed, "FAIL"),
    (S::Error, "ERROR"),
];

fn short(status: S) -> &'static str {
    let name = SHORT.iter().find(|(s, _)| *s == status);
    name.map_or("?", |(_, name)| name)
}

/// Where each command and event leads from each state; `.` is refused, `=` changes nothing.
#[test]
fn every_event_in_every_state_leads_where_the_table_says() {
    type Event = (&'static str, fn(S) -> S);
    let events: [Event; 11] = [
        ("pause", paused),
        ("resume", resumed),
        ("re-wait", |s| if s.is_paused() { awaiting(s) } else { s }),
        ("rollback", |_| S::RollingBack),
        ("abort", |_| S::Aborted),
        (
            "pulse",
            |s| if s.is_awaiting_pulse() { resumed(s) } else { s },
        ),
        ("silence", |s| if s.is_rolling() { awaiting(s) } else { s }),
        ("fail", |s| failed(s, false)),
        ("fail-rb", |s| failed(s, true)),
        ("success", |s| match s {
            S::RollingBack => S::RolledBack,
            _ => S::RolledForward,
        }),
        ("error", |_| S::Error),
    ];
    let mut table = format!("{:9}", "");
    for (status, _) in SHORT {
        table += &format!("{:7}", short(status));
    }
    for (name, to) in events {
        table = table.trim_end().to_owned() + "\n" + &format!("{name:9}");
        for (from, _) in SHORT {
            let to = to(from);
            let cell = match (from == to, can_go(from, to)) {
                (true, _) => "=",
                (false, true) => short(to),
                (false, false) => ".",
            };
            table += &format!("{cell:7}");
        }
    }
    assert_eq!(table.trim_end(), MATRIX.trim_end());
}

const MATRIX: &str =
    "         fwd    fwd-p  fwd-w  back   back-p back-w FWD    BACK   ABORT  FAIL   ERROR
pause    fwd-p  =      fwd-p  back-p =      back-p .      .      .      .      .
resume   =      fwd    fwd    =      back   back   .      .      .      .      .
re-wait  =      fwd-w  =      =      back-w =      =      =      =      =      =
rollback back   back   back   =      back   back   .      .      .      .      .
abort    ABORT  ABORT  ABORT  ABORT  ABORT  ABORT  .      .      =      .      .
pulse    =      =      fwd    =      =      back   =      =      =      =      =
silence  fwd-w  =      =      back-w =      =      =      =      =      =      =
fail     FAIL   .      .      FAIL   .      .      .      .      .      =      .
fail-rb  back   .      .      FAIL   .      .      .      .      .      =      .
success  FWD    .      .      BACK   .      .      =      .      .      .      .
error    ERROR  ERROR  ERROR  ERROR  ERROR  ERROR  .      .      .      .      =
";

/// What an instance needs, by what it should run and the state of its task.
#[test]
fn every_state_of_an_instance_has_its_need() {
    let (old, new) = (config(0), config(1));
    let mut table = format!("{:12}{:9}{:9}{:9}", "", "gone", "other", "same");
    let actual: Vec<Option<T>> = std::iter::once(None)
        .chain(T::ALL.into_iter().filter(|s| s.is_active()).map(Some))
        .collect();
    for status in actual {
        let name = status.map_or("nothing", T::name);
        table = table.trim_end().to_owned() + "\n" + &format!("{name:12}");
        let task = status.map(|status| task(0, &old, status, 1_000));
        for desired in [None, Some(&new), Some(&old)] {
            let short = |need| match need {
                Need::Nothing => "ok",
                Need::Add => "add",
                Need::Kill => "kill",
                Need::Wait => "wait",
                Need::Watch(_) => "watch",
            };
            let wait = Duration::from_millis(500);
            let early = need(desired, task.as_ref(), wait, Timestamp(1_499));
            let late = need(desired, task.as_ref(), wait, Timestamp(1_500));
            let cell = match early == late {
                true => short(early).to_owned(),
                false => format!("{}>{}", short(early), short(late)),
            };
            table += &format!("{cell:9}");
        }
    }
    assert_eq!(table.trim_end(), NEEDS.trim_end());
}

const NEEDS: &str = "            gone     other    same
nothing     ok       add      add
PENDING     kill     kill     wait
STARTING    kill     kill     wait
RUNNING     kill     kill     watch>ok
KILLING     wait     wait     wait
ASSIGNED    kill     kill     wait
RESTARTING  kill     kill     wait
PREEMPTING  kill     kill     wait
THROTTLED   kill     kill     wait
DRAINING    kill     kill     wait
PARTITIONED kill     kill     wait
";

fn config(variant: i64) -> Arc<TaskConfig> {
    Arc::new(TaskConfig {
        job: JobKey::new("r", "e", "j").unwrap(),
        owner: None,
        is_service: true,
        priority: 0,
        max_task_failures: 1,
        production: false,
        tier: None,
        resources: Resources {
            cpus: MilliCpus(variant),
            ..Resources::default()
        },
        port_names: BTreeSet::new(),
        names_gpus: false,
        constraints: BTreeSet::new(),
        fetcher_uris: BTreeSet::new(),
        task_links: BTreeMap::new(),
        contact_email: None,
        executor: None,
        metadata: BTreeSet::new(),
        partition_policy: None,
        sla_policy: None,
        container: Default::default(),
    })
}

fn task(instance: InstanceId, config: &Arc<TaskConfig>, status: T, at: i64) -> ScheduledTask {
    let event = TaskEvent {
        at: Timestamp(at),
        status,
        message: None,
        scheduler: None,
    };
    ScheduledTask {
        id: TaskId::new(&format!("t-{instance}-{at}")),
        config: Arc::clone(config),
        instance,
        status,
        failure_count: 0,
        times_partitioned: 0,
        ancestor: None,
        agent: None,
        host: None,
        ports: BTreeMap::new(),
        events: vec![event],
    }
}

fn settings(strategy: UpdateStrategy) -> UpdateSettings {
    UpdateSettings {
        strategy,
        max_per_instance_failures: 0,
        max_failed_instances: 0,
        min_wait_in_running_ms: 0,
        rollback_on_failure: true,
        only: Vec::new(),
        block_if_no_pulses_after_ms: 0,
        sla_aware: false,
        group_size: 1,
        wait_for_batch_completion: false,
    }
}

/// An update of a job with `old` instances to `new` of them.
fn update(old: u32, new: u32, settings: UpdateSettings) -> JobUpdate {
    let running = (0..old).map(|i| (i, config(0)));
    let desired = config(1);
    let diff = diff(running, &desired, new, &settings.only);
    let instances = diff.desired();
    JobUpdate {
        key: UpdateKey {
            job: desired.job.clone(),
            id: "u".into(),
        },
        user: "u".into(),
        metadata: BTreeSet::new(),
        initial: diff.initial(),
        desired: (!instances.is_empty()).then_some(InstanceConfig {
            config: desired,
            instances,
        }),
        settings,
    }
}

#[test]
fn a_diff_names_what_comes_goes_changes_and_stays() {
    let (old, new) = (config(0), config(1));
    let running = [(0, &old), (1, &new), (3, &old), (6, &old)];
    let running = running.map(|(i, c)| (i, Arc::clone(c)));
    let range = |first, last| InstanceRange { first, last };
    let whole = diff(running.clone(), &new, 5, &[]);
    assert_eq!(whole.add, [range(2, 2), range(4, 4)]);
    let keys = |m: &BTreeMap<InstanceId, Arc<TaskConfig>>| m.keys().copied().collect::<Vec<_>>();
    assert_eq!(keys(&whole.update), [0, 3]);
    assert_eq!(keys(&whole.remove), [6]);
    assert_eq!(keys(&whole.unchanged), [1]);
    assert_eq!(whole.desired(), [range(0, 0), range(2, 4)]);
    let only = [range(3, 4), range(4, 1_000_000_000), range(0, 0)];
    let part = diff(running.clone(), &new, 5, &only);
    assert_eq!(part.add, [range(4, 4)]);
    assert_eq!(keys(&part.update), [0, 3]);
    assert_eq!(keys(&part.remove), [6]);
    assert!(part.unchanged.is_empty());
    // What is equal goes together, shared or not, in the order of the first instances.
    let twin = config(0);
    let grouped = group([(&0, &old), (&1, &new), (&2, &twin), (&3, &old)].into_iter());
    let grouped: Vec<_> = grouped
        .into_iter()
        .map(|g| (g.config, g.instances))
        .collect();
    let together = vec![range(0, 0), range(2, 3)];
    assert_eq!(
        grouped,
        [(old, together), (Arc::clone(&new), vec![range(1, 1)])]
    );
    let huge = diff(running, &new, u32::MAX, &[]);
    assert_eq!(huge.add.len(), 3);
    let active = |i| i == 6;
    let strange = irrelevant(&[range(0, 7), range(6, 6)], active, 5);
    assert_eq!(strange, BTreeSet::from([5, 7]));
    let many = irrelevant(&[range(0, u32::MAX), range(9, u32::MAX)], active, 5);
    assert_eq!(many.len(), 100);
}

/// The sizes of the groups that are taken when each is done at once.
fn groups(strategy: &UpdateStrategy, forward: bool, total: usize) -> Vec<usize> {
    let (mut idle, mut sizes) = (total, Vec::new());
    while idle > 0 {
        let size = next_group(strategy, forward, total, idle, 0);
        sizes.push(size);
        idle -= size;
    }
    sizes
}

#[test]
fn groups_have_the_sizes_that_the_strategy_says() {
    let queue = UpdateStrategy::Queue { group_size: 3 };
    assert_eq!(next_group(&queue, true, 9, 9, 1), 2);
    assert_eq!(next_group(&queue, true, 9, 1, 0), 1);
    assert_eq!(next_group(&queue, true, 9, 5, 3), 0);
    let autopause = false;
    let batch = UpdateStrategy::Batch {
        group_size: 3,
        autopause,
    };
    assert_eq!(next_group(&batch, true, 9, 5, 1), 0);
    assert_eq!(groups(&batch, true, 8), [3, 3, 2]);
    let group_sizes = vec![1, 2, 3];
    let variable = UpdateStrategy::VariableBatch {
        group_sizes,
        autopause,
    };
    assert_eq!(groups(&variable, true, 11), [1, 2, 3, 3, 2]);
    assert_eq!(groups(&variable, false, 11), [2, 3, 3, 2, 1]);
    assert_eq!(groups(&variable, false, 12), [3, 3, 3, 2, 1]);
    assert_eq!(groups(&variable, false, 2), [1, 1]);
    assert_eq!(next_group(&variable, true, 11, 8, 1), 0);
}

/// Instances, each with its task, and what is known of an update.
struct Job {
    tasks: BTreeMap<InstanceId, Arc<ScheduledTask>>,
    now: i64,
}

impl Job {
    fn running(count: u32) -> Self {
        let task = |i| (i, Arc::new(task(i, &config(0), T::Running, 0)));
        Self {
            tasks: (0..count).map(task).collect(),
            now: 10,
        }
    }

    fn put(&mut self, instance: InstanceId, config: &Arc<TaskConfig>, status: T) {
        let task = task(instance, config, status, self.now);
        self.tasks.insert(instance, Arc::new(task));
    }

    /// A turn, with its actions done: what is killed is gone, what is added is pending.
    fn turn(&mut self, updater: &mut Updater, changed: &[InstanceId]) -> Turn {
        let look = |i| self.tasks.get(&i).cloned();
        let turn = updater.evaluate(changed.iter().copied(), look, Timestamp(self.now));
        for act in &turn.acts {
            match act.need {
                Need::Kill => {
                    self.tasks.remove(&act.instance);
                }
                Need::Add => {
                    let config = Arc::clone(updater.target(act.instance).unwrap());
                    self.put(act.instance, &config, T::Pending);
                }
                Need::Nothing | Need::Wait | Need::Watch(_) => {}
            }
        }
        turn
    }

    /// A task that does not run yet comes up, or fails; gives its instance.
    fn go_on(
        &mut self,
        rng: &mut Rng,
        bad: u64,
        updater: &mut Updater,
        said: &mut Said,
    ) -> Option<InstanceId> {
        let waiting = self.tasks.values().filter(|t| t.status != T::Running);
        let waiting: Vec<_> = waiting.cloned().collect();
        if waiting.is_empty() {
            return None;
        }
        let picked = &waiting[rng.index(waiting.len())];
        let failing = *picked.config == *config(1) && rng.below(10) < bad;
        if failing && rng.one_in(2) {
            let ended = task(picked.instance, &picked.config, T::Failed, self.now);
            updater.handle_exit(&ended);
            said.ends.push(Arc::new(ended));
            self.put(picked.instance, &picked.config, T::Throttled);
        } else {
            self.put(picked.instance, &picked.config, T::Running);
        }
        Some(picked.instance)
    }

    fn configs(&self) -> BTreeMap<InstanceId, Arc<TaskConfig>> {
        let config = |(i, t): (&InstanceId, &Arc<ScheduledTask>)| (*i, Arc::clone(&t.config));
        self.tasks.iter().map(config).collect()
    }
}

#[test]
fn those_that_come_are_first_and_those_that_go_last_and_back_it_is_the_other_way() {
    let update = update(3, 5, settings(UpdateStrategy::Queue { group_size: 9 }));
    let look = |_| None;
    let begun = |direction| {
        let mut updater = Updater::new(&update, direction, &Past::default());
        let acts = updater.evaluate([], look, Timestamp(0)).acts;
        let waits = acts.into_iter().filter(|act| act.event.is_some());
        waits.map(|act| act.instance).collect::<Vec<_>>()
    };
    assert_eq!(begun(Direction::Forward), [3, 4, 0, 1, 2]);
    assert_eq!(begun(Direction::Back), [2, 1, 0, 4, 3]);
}

#[test]
fn an_update_pauses_between_batches_and_not_before_the_first_or_after_the_last() {
    let strategy = UpdateStrategy::Batch {
        group_size: 2,
        autopause: true,
    };
    let update = update(4, 4, settings(strategy));
    let mut job = Job::running(4);
    let mut past = Past::default();
    let mut pauses = 0;
    for _ in 0..100 {
        let mut updater = Updater::new(&update, Direction::Forward, &past);
        let changed: Vec<InstanceId> = updater.working().iter().copied().collect();
        let turn = job.turn(&mut updater, &changed);
        past.touched.extend(updater.working());
        match turn.outcome {
            TurnOutcome::Working => {
                // A new updater each time, as after changes of leader.
                for (i, task) in job.tasks.clone() {
                    if task.status != T::Running {
                        job.put(i, &task.config, T::Running);
                    }
                }
            }
            TurnOutcome::Pause => {
                let new = job.tasks.values().filter(|t| t.config == config(1));
                assert_eq!(new.count(), 2);
                pauses += 1;
                // Somebody lets it go.
                past = Past::default();
            }
            TurnOutcome::Succeeded => break,
            TurnOutcome::Failed(instance) => panic!("{instance} failed"),
        }
    }
    assert_eq!(pauses, 1);
    assert!(job.configs().values().all(|c| *c == config(1)));
}

#[test]
fn what_we_ended_ourselves_and_what_others_ran_is_no_failure() {
    let update = update(1, 1, settings(UpdateStrategy::Queue { group_size: 1 }));
    let mut updater = Updater::new(&update, Direction::Forward, &Past::default());
    let mut job = Job::running(1);
    job.turn(&mut updater, &[]);
    let mut drained = task(0, &config(1), T::Draining, 1);
    drained.events.push(TaskEvent {
        status: T::Killed,
        ..drained.events[0].clone()
    });
    updater.handle_exit(&drained);
    updater.handle_exit(&task(0, &config(0), T::Failed, 1));
    assert_eq!(job.turn(&mut updater, &[0]).outcome, TurnOutcome::Working);
    let exit = task(0, &config(1), T::Failed, 1);
    let past = Past {
        touched: BTreeSet::from([0]),
        ended: vec![Arc::new(exit.clone())],
        ..Past::default()
    };
    let mut successor = Updater::new(&update, Direction::Forward, &past);
    let turn = job.turn(&mut successor, &[]);
    assert_eq!(turn.outcome, TurnOutcome::Failed(0), "a new leader forgets");
    updater.handle_exit(&exit);
    assert_eq!(job.turn(&mut updater, &[0]).outcome, TurnOutcome::Failed(0));
}

fn random_strategy(rng: &mut Rng) -> (UpdateStrategy, usize) {
    let size = 1 + rng.index(4);
    let group_size = i32::try_from(size).unwrap();
    match rng.below(3) {
        0 => (UpdateStrategy::Queue { group_size }, size),
        1 => {
            let autopause = rng.one_in(2);
            let batch = UpdateStrategy::Batch {
                group_size,
                autopause,
            };
            (batch, size)
        }
        _ => {
            let sizes: Vec<i32> = (0..3).map(|_| 1 + rng.index(4) as i32).collect();
            let most = sizes.iter().copied().max().unwrap();
            let variable = UpdateStrategy::VariableBatch {
                group_sizes: sizes,
                autopause: rng.one_in(2),
            };
            (variable, usize::try_from(most).unwrap())
        }
    }
}

/// What was said of instances in this direction, as the engine would find it in the tables.
#[derive(Default)]
struct Said {
    past: Past,
    ends: Vec<Arc<ScheduledTask>>,
}

impl Said {
    fn note(&mut self, turn: &Turn) {
        for act in &turn.acts {
            match act.event {
                Some(e) if e == Direction::Forward.begun() || e == Direction::Back.begun() => {
                    self.past.touched.insert(act.instance);
                }
                Some(e) if e == Direction::Forward.failed() || e == Direction::Back.failed() => {
                    self.past.failed.insert(act.instance);
                }
                Some(_) => {
                    self.past.done.insert(act.instance);
                }
                None => {}
            }
        }
    }

    fn past(&self) -> Past {
        Past {
            ended: self.ends.clone(),
            ..self.past.clone()
        }
    }
}

/// One update of a job whose new tasks fail now and then, with changes of leader and pauses.
fn history(seed: u64) -> (TurnOutcome, bool) {
    let mut rng = Rng::from_seed(seed);
    let (strategy, most) = random_strategy(&mut rng);
    let mut settings = settings(strategy);
    settings.max_per_instance_failures = rng.index(3) as i32;
    settings.max_failed_instances = rng.index(3) as i32;
    settings.min_wait_in_running_ms = rng.index(3) as i32 * 5;
    let tolerated = settings.max_failed_instances as usize;
    let (old, new) = (1 + rng.index(12) as u32, 1 + rng.index(12) as u32);
    let update = update(old, new, settings);
    let mut job = Job::running(old);
    let before = job.configs();
    let (bad, mut direction) = (rng.below(10), Direction::Forward);
    let mut said = Said::default();
    let mut updater = Updater::new(&update, direction, &said.past());
    let mut changed: BTreeSet<InstanceId> = BTreeSet::new();
    let mut back = false;
    for _ in 0..20_000 {
        let list: Vec<_> = std::mem::take(&mut changed).into_iter().collect();
        let turn = job.turn(&mut updater, &list);
        said.note(&turn);
        let acted = turn
            .acts
            .iter()
            .filter(|a| matches!(a.need, Need::Kill | Need::Add));
        changed.extend(acted.map(|a| a.instance));
        // Instances that the update has taken away and not brought back.
        let should = old.min(new);
        let up = |i: &InstanceId| job.tasks.get(i).is_some_and(|t| t.status == T::Running);
        let down = (0..should)
            .filter(|i| !up(i) && !said.past.failed.contains(i))
            .count();
        let allowed = match back {
            false => most,
            // What failed on the way forward is down until its turn comes.
            true => most + tolerated + 1,
        };
        assert!(down <= allowed, "seed {seed}: {down} down of {allowed}");
        assert!(updater.working().len() <= most);
        match turn.outcome {
            TurnOutcome::Working => {}
            TurnOutcome::Pause => {
                said.past = Past::default();
                said.ends.clear();
                updater = Updater::new(&update, direction, &said.past());
                changed.clear();
            }
            TurnOutcome::Failed(_) if direction == Direction::Forward => {
                (direction, back, said) = (Direction::Back, true, Said::default());
                said.past.down = (0..old.max(new)).filter(|i| !up(i)).collect();
                updater = Updater::new(&update, direction, &said.past());
                changed.clear();
            }
            TurnOutcome::Failed(_) => return (turn.outcome, back),
            TurnOutcome::Succeeded => {
                if back && said.past.failed.is_empty() {
                    assert_eq!(job.configs(), before, "seed {seed}");
                }
                return (turn.outcome, back);
            }
        }
        job.now += 1;
        // Time goes on at some instance.
        changed.extend(job.go_on(&mut rng, bad, &mut updater, &mut said));
        changed.extend(updater.working().iter().copied());
        if rng.one_in(6) {
            updater = Updater::new(&update, direction, &said.past());
            changed.clear();
        }
    }
    panic!("seed {seed}: no end");
}

#[test]
fn every_update_ends_and_never_takes_more_instances_down_than_it_may() {
    let ends: Vec<_> = (0..3_000).map(history).collect();
    let forward = ends
        .iter()
        .filter(|e| **e == (TurnOutcome::Succeeded, false));
    let back = ends
        .iter()
        .filter(|e| **e == (TurnOutcome::Succeeded, true));
    let (forward, back) = (forward.count(), back.count());
    assert!(forward > 300 && back > 300, "{forward} {back}");
}
