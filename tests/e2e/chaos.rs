//! The scheduler, the agent or both are killed outright, again and again, while jobs come and go.
//!
//! The judge of what ran and how often is a file that only the tasks write: `start ID PID`, `end ID PID`.
//! What was acknowledged is compared with what is there at the end.

use crate::job::{
    Outcome, call, create, id_of, is_ok, is_transient, job_of, kill, status_of, tasks,
    tasks_at_last,
};
use crate::world::{World, now, wait};
use aurora::base::rng::Rng;
use aurora::thrift::api::{ScheduleStatus, ScheduledTask};
use aurora::thrift::service::Request;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What is known of a job from the answers alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Created, and nobody asked to kill it.
    Alive,
    /// Asked to kill, and that was acknowledged.
    Killed,
    /// A call without a request id got no answer.
    Open,
}

pub struct Job {
    name: String,
    /// How it was created, if that was done with a request id.
    request: Option<Request>,
    instances: usize,
    service: bool,
    known: Known,
}

/// Writes a line to the judge's file, of a length that divides a page: the kernel cuts short what a process
/// writes over the end of one while it is killed.
fn tell(what: &str, judge: &Path) -> String {
    let file = judge.display();
    format!("printf '%-127s\\n' \"{what} {{{{thermos.task_id}}}} $$\" >> {file}")
}

pub fn service_line(judge: &Path) -> String {
    format!("{}; exec sleep 86400", tell("start", judge))
}

pub fn batch_line(judge: &Path) -> String {
    let (start, end) = (tell("start", judge), tell("end", judge));
    format!("{start}; sleep 0.2; {end}")
}

/// The judge's file: pids by task id, for starts and for ends.
pub type Lines = BTreeMap<String, Vec<u32>>;

pub fn verdict(judge: &Path) -> (Lines, Lines) {
    let (mut starts, mut ends) = (Lines::new(), Lines::new());
    for line in fs::read_to_string(judge).unwrap_or_default().lines() {
        let parts: Vec<&str> = line.trim_end().split(' ').collect();
        let [what, id, pid] = parts[..] else {
            panic!("a torn line: {line:?}")
        };
        let lines = if what == "start" {
            &mut starts
        } else {
            &mut ends
        };
        lines
            .entry(id.to_owned())
            .or_default()
            .push(pid.parse().unwrap());
    }
    (starts, ends)
}

/// Calls until there is an answer that says whether it was done: a request id makes that safe.
pub fn insist(world: &World, request: &Request, id: &str) {
    wait("an answer to a repeated request", || {
        match call(world, request, Some(id)) {
            Outcome::Answered(response) if is_transient(&response) => false,
            Outcome::Answered(response) => {
                // "Already exists" would mean that the repeat was taken for a new request.
                assert!(is_ok(&response), "{id}: {response:?}");
                true
            }
            Outcome::Unknown => false,
        }
    });
}

/// Tells the loader to stop when it goes: also when the test fails meanwhile, for whose threads it waits.
pub struct Stopping<'a>(pub &'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Creates and kills jobs until told to stop.
pub fn load(world: &World, judge: &Path, round: usize, stop: &AtomicBool) -> Vec<Job> {
    let mut rng = Rng::from_seed(round as u64);
    let mut jobs: Vec<Job> = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("j{round}_{number}");
        let service = rng.one_in(2);
        let line = if service {
            service_line(judge)
        } else {
            batch_line(judge)
        };
        let instances = 1 + rng.index(2);
        let request = create(&name, i32::try_from(instances).unwrap(), service, &line);
        let mut known = Known::Alive;
        let has_id = !rng.one_in(4);
        if !has_id {
            match call(world, &request, None) {
                Outcome::Answered(response) if is_ok(&response) => {}
                Outcome::Answered(response) if is_transient(&response) => continue,
                Outcome::Answered(response) => panic!("{name}: {response:?}"),
                Outcome::Unknown => known = Known::Open,
            }
        } else {
            insist(world, &request, &format!("create-{name}"));
        }
        jobs.push(Job {
            name,
            request: has_id.then_some(request),
            instances,
            service,
            known,
        });
        if rng.one_in(2) {
            let index = rng.index(jobs.len());
            let victim = &mut jobs[index];
            if victim.known == Known::Alive && victim.service {
                insist(world, &kill(&victim.name), &format!("kill-{}", victim.name));
                victim.known = Known::Killed;
            }
        }
        // A few dozen jobs a second are load enough; the rest of the time is for the kills.
        std::thread::sleep(Duration::from_millis(20));
    }
    jobs
}

/// Creates a job, and kills the scheduler in the moment in which it has said that it has it.
///
/// That finds an answer that leaves before its entry is on its way to the log. One that only precedes the
/// sync is not found by killing a process, whose writes outlive it: the log's own tests have a disk that fails.
fn create_and_kill(world: &mut World, judge: &Path, round: usize) -> Option<Job> {
    let name = format!("last{round}");
    let request = create(&name, 1, true, &service_line(judge));
    let outcome = call(world, &request, Some(&format!("create-{name}")));
    world.kill_scheduler();
    let known = match outcome {
        Outcome::Answered(response) if is_ok(&response) => Known::Alive,
        Outcome::Answered(response) if is_transient(&response) => return None,
        Outcome::Answered(response) => panic!("{name}: {response:?}"),
        Outcome::Unknown => Known::Open,
    };
    Some(Job {
        name,
        request: (known == Known::Alive).then_some(request),
        instances: 1,
        service: true,
        known,
    })
}

fn rounds() -> usize {
    if std::env::var("AURORA_LONG").as_deref() == Ok("1") {
        100
    } else {
        20
    }
}

/// The file holds a whole number of lines of both kinds by the time it is looked at.
pub fn steady_tasks(world: &World) -> Option<Vec<ScheduledTask>> {
    let all = tasks(world)?;
    Some(all.into_iter().filter(|t| job_of(t) == "steady").collect())
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_runs_twice() {
    let mut world = World::new("chaos");
    let judge = world.path("judge");
    world.start_all();
    insist(
        &world,
        &create("steady", 5, true, &service_line(&judge)),
        "steady",
    );
    insist(
        &world,
        &create("once", 1, false, &batch_line(&judge)),
        "once",
    );
    wait("the first jobs", || {
        let running = |t: &&ScheduledTask| status_of(t) == ScheduleStatus::Running;
        steady_tasks(&world).is_some_and(|t| t.iter().filter(running).count() == 5)
            && verdict(&judge).1.len() == 1
    });
    let before = verdict(&judge).0;

    let mut jobs = Vec::new();
    let mut last = Vec::new();
    let mut rng = Rng::from_seed(42);
    for round in 0..rounds() {
        let stop = AtomicBool::new(false);
        // The loader needs the world to call; the killer needs it to kill: two views of one.
        let view = world.view();
        jobs.extend(std::thread::scope(|scope| {
            let (view, judge, stop) = (&view, &judge, &stop);
            let stopping = Stopping(stop);
            let loader = scope.spawn(move || load(view, judge, round, stop));
            std::thread::sleep(rng.duration(Duration::from_millis(20), Duration::from_millis(400)));
            let which = rng.below(3);
            if which != 1 {
                last.extend(create_and_kill(&mut world, judge, round));
            }
            if which != 0 {
                world.kill_agent();
            }
            if which != 1 {
                world.start_scheduler();
            }
            if which != 0 {
                world.start_agent();
            }
            std::thread::sleep(
                rng.duration(Duration::from_millis(100), Duration::from_millis(500)),
            );
            drop(stopping);
            loader.join().unwrap()
        }));
    }
    jobs.extend(last);
    world.wait_for_leader();
    println!("{} jobs in {} rounds", jobs.len() + 2, rounds());
    judge_the_end(&world, &judge, &jobs, &before);
    repeat_everything(&world, &jobs);
    judge_the_end(&world, &judge, &jobs, &before);
}

/// Whoever repeats a request, however late, gets the first answer, and nothing is done again.
///
/// The jobs that were killed since would be created anew by a scheduler that has forgotten.
pub fn repeat_everything(world: &World, jobs: &[Job]) {
    let ids = || {
        let all = tasks_at_last(world);
        all.iter().map(id_of).collect::<BTreeSet<String>>()
    };
    let before = ids();
    for job in jobs {
        if let Some(request) = &job.request {
            insist(world, request, &format!("create-{}", job.name));
        }
    }
    assert_eq!(ids(), before, "a repeated request was carried out again");
}

pub fn judge_the_end(world: &World, judge: &Path, jobs: &[Job], before: &Lines) {
    let mut last = String::new();
    let settled = |last: &mut String| {
        let Some(all) = tasks(world) else {
            return false;
        };
        *last = difference(&all, jobs, judge);
        last.is_empty()
    };
    let end = now() + Duration::from_secs(60);
    while !settled(&mut last) {
        assert!(now() < end, "it does not settle: {last}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let all = tasks_at_last(world);
    let (starts, ends) = verdict(judge);
    let known: BTreeSet<String> = all.iter().map(id_of).collect();
    for id in starts.keys() {
        assert!(known.contains(id), "{id} was started and nobody knows it");
    }
    for (id, pids) in &starts {
        assert_eq!(pids.len(), 1, "{id} was started more than once: {pids:?}");
    }
    for (id, pids) in &ends {
        assert_eq!(pids.len(), 1, "{id} ended more than once");
    }
    for (id, pids) in before {
        assert_eq!(starts.get(id), Some(pids), "{id} was started again");
    }
    let steady: BTreeSet<String> = all
        .iter()
        .filter(|t| job_of(t) == "steady")
        .map(id_of)
        .collect();
    assert_eq!(steady.len(), 5, "a steady task was replaced: {steady:?}");
    for id in &steady {
        assert_eq!(before.get(id), starts.get(id), "{id} has another process");
    }
    for task in &all {
        let id = id_of(task);
        let events: Vec<_> = task
            .task_events
            .iter()
            .map(|e| (e.status, &e.message))
            .collect();
        // Killed before its agent had heard of it: nobody can say more of it than that.
        let killed = events
            .iter()
            .any(|(status, _)| *status == Some(ScheduleStatus::Killing));
        let lost = status_of(task) == ScheduleStatus::Lost;
        assert!(killed || !lost, "{id} was lost: {events:?}");
        if status_of(task) == ScheduleStatus::Finished {
            assert_eq!(
                ends.get(&id).map(Vec::len),
                Some(1),
                "{id} is FINISHED and did not end"
            );
        }
    }
}

/// What still differs between what was acknowledged and what is there; empty if nothing does.
fn difference(all: &[ScheduledTask], jobs: &[Job], judge: &Path) -> String {
    let mut by_job: BTreeMap<String, Vec<&ScheduledTask>> = BTreeMap::new();
    for task in all {
        by_job.entry(job_of(task)).or_default().push(task);
    }
    let count = |name: &str, status: ScheduleStatus| {
        by_job
            .get(name)
            .map_or(0, |t| t.iter().filter(|t| status_of(t) == status).count())
    };
    for job in jobs {
        let running = count(&job.name, ScheduleStatus::Running);
        let finished = count(&job.name, ScheduleStatus::Finished);
        let total = by_job.get(&job.name).map_or(0, Vec::len);
        let ended = count(&job.name, ScheduleStatus::Killed) + finished;
        let lost = count(&job.name, ScheduleStatus::Lost);
        let good = match (job.known, job.service) {
            (Known::Alive, true) => running == job.instances && total == job.instances,
            (Known::Alive, false) => finished == job.instances && total == job.instances,
            // A task that never left PENDING is removed outright; one that was killed before its
            // agent had heard of it is LOST.
            (Known::Killed, _) => ended + lost == total,
            (Known::Open, true) => total == 0 || running == job.instances,
            (Known::Open, false) => total == 0 || finished == job.instances,
        };
        if !good {
            let states: Vec<_> = by_job
                .get(&job.name)
                .into_iter()
                .flatten()
                .map(|t| status_of(t))
                .collect();
            return format!(
                "{} ({:?}, service {}): {states:?}",
                job.name, job.known, job.service
            );
        }
    }
    let running: BTreeSet<String> = all
        .iter()
        .filter(|t| status_of(t) == ScheduleStatus::Running)
        .map(id_of)
        .collect();
    let alive = |pids: &[u32]| pids.iter().any(|p| is_sleeping(*p));
    let living: BTreeSet<String> = verdict(judge)
        .0
        .into_iter()
        .filter(|(_, pids)| alive(pids))
        .map(|(id, _)| id)
        .collect();
    let odd: Vec<_> = running.symmetric_difference(&living).collect();
    if odd.is_empty() {
        String::new()
    } else {
        format!("RUNNING and living differ: {odd:?}")
    }
}

/// Whether this process is one of our services.
pub fn is_sleeping(pid: u32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.starts_with(b"sleep\x0086400")
}
