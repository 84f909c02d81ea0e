//! What happens to tasks while somebody is away: the scheduler, the agent, an executor, the whole machine.

use crate::chaos::{batch_line, insist, is_sleeping, service_line, verdict};
use crate::job::{create, id_of, job_of, status_of, tasks};
use crate::world::{World, processes_below, wait};
use aurora::thrift::api::{ScheduleStatus, ScheduledTask};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;

fn of_job(world: &World, job: &str) -> Vec<ScheduledTask> {
    let all = tasks(world).unwrap_or_default();
    all.into_iter().filter(|t| job_of(t) == job).collect()
}

/// The ids of a job's tasks in a state.
fn ids(world: &World, job: &str, status: ScheduleStatus) -> Vec<String> {
    let all = of_job(world, job);
    let alike = all.iter().filter(|t| status_of(t) == status);
    alike.map(id_of).collect()
}

fn kill_hard(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap());
    // It may have ended with another one.
    kill(pid, Signal::SIGKILL).unwrap_or_default();
}

fn start_counts(world: &World) -> BTreeMap<String, usize> {
    let (starts, _) = verdict(&world.path("judge"));
    starts
        .into_iter()
        .map(|(id, pids)| (id, pids.len()))
        .collect()
}

#[test]
fn tasks_that_end_while_the_scheduler_is_down_and_agents_come_and_go_are_known_afterwards() {
    let mut world = World::new("outage");
    let judge = world.path("judge");
    world.start_all();
    let go = world.path("go");
    let waits = format!(
        "until [ -e {} ]; do sleep 0.05; done; {}",
        go.display(),
        batch_line(&judge)
    );
    insist(
        &world,
        &create("steady", 2, true, &service_line(&judge)),
        "steady",
    );
    insist(&world, &create("waits", 3, false, &waits), "waits");
    wait("all tasks", || {
        ids(&world, "steady", ScheduleStatus::Running).len() == 2
            && ids(&world, "waits", ScheduleStatus::Running).len() == 3
    });
    let steady = ids(&world, "steady", ScheduleStatus::Running);
    let before = verdict(&judge).0;

    world.kill_scheduler();
    world.kill_agent();
    world.start_agent();
    fs::write(&go, "").unwrap();
    wait("the batch to end", || verdict(&judge).1.len() == 3);
    // One that has seen the end, and one that finds it on disk.
    for _ in 0..2 {
        world.kill_agent();
        world.start_agent();
    }
    world.start_scheduler();
    world.wait_for_leader();
    wait("the ends to be known", || {
        ids(&world, "waits", ScheduleStatus::Finished).len() == 3
    });
    wait("the service", || {
        ids(&world, "steady", ScheduleStatus::Running) == steady
    });
    assert_eq!(of_job(&world, "waits").len(), 3, "a task was run again");
    assert!(start_counts(&world).values().all(|count| *count == 1));
    for (id, pids) in before {
        assert!(pids.iter().all(|pid| is_sleeping(*pid)), "{id} is gone");
    }
}

#[test]
fn a_task_whose_executor_is_killed_is_run_again_under_a_new_id_and_never_beside_the_old_one() {
    let mut world = World::new("executor");
    let judge = world.path("judge");
    world.start_all();
    // With the agent there, and with the agent away. Two jobs: one that ends twice so soon would wait.
    for (round, job) in ["first", "second"].into_iter().enumerate() {
        insist(&world, &create(job, 1, true, &service_line(&judge)), job);
        wait("the task", || {
            let running = ids(&world, job, ScheduleStatus::Running);
            running.len() == 1 && verdict(&judge).0.contains_key(&running[0])
        });
        let old = ids(&world, job, ScheduleStatus::Running).remove(0);
        let old_pid = verdict(&judge).0[&old][0];
        if round == 1 {
            world.kill_agent();
        }
        let name = format!("--task-dir={}", world.path("agent/tasks").display());
        let executors: Vec<u32> = processes_below(&world.dir)
            .into_iter()
            .filter(|pid| {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).into_owned();
                line.contains(&name) && line.contains(&old)
            })
            .collect();
        assert_eq!(executors.len(), 1, "one executor for one task");
        kill_hard(executors[0]);
        if round == 1 {
            world.start_agent();
        }
        wait("another task", || {
            let running = ids(&world, job, ScheduleStatus::Running);
            running.len() == 1 && running[0] != old && verdict(&judge).0.contains_key(&running[0])
        });
        assert!(!is_sleeping(old_pid), "the old process runs on");
        assert!(start_counts(&world).values().all(|count| *count == 1));
        assert!(ids(&world, job, ScheduleStatus::Lost).contains(&old));
    }
}

#[test]
fn a_machine_that_loses_every_process_at_once_runs_its_jobs_again_under_new_ids() {
    let mut world = World::new("reboot");
    let judge = world.path("judge");
    world.start_all();
    insist(
        &world,
        &create("steady", 3, true, &service_line(&judge)),
        "steady",
    );
    insist(
        &world,
        &create("done", 2, false, &batch_line(&judge)),
        "done",
    );
    wait("all tasks", || {
        ids(&world, "steady", ScheduleStatus::Running).len() == 3
            && ids(&world, "done", ScheduleStatus::Finished).len() == 2
            && verdict(&judge).0.len() == 5
    });
    let old = ids(&world, "steady", ScheduleStatus::Running);
    world.kill_scheduler();
    world.kill_agent();
    for pid in processes_below(&world.dir) {
        kill_hard(pid);
    }
    wait("an empty machine", || {
        processes_below(&world.dir).is_empty()
    });
    world.start_all();
    wait("the service again", || {
        let running = ids(&world, "steady", ScheduleStatus::Running);
        running.len() == 3 && running.iter().all(|id| !old.contains(id))
    });
    assert_eq!(ids(&world, "done", ScheduleStatus::Finished).len(), 2);
    assert_eq!(of_job(&world, "done").len(), 2, "a finished task ran again");
    assert!(start_counts(&world).values().all(|count| *count == 1));
}
