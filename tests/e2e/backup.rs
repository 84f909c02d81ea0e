//! Backups and restoring, with the commands of the seed's procedure and with the one that does it all.

use crate::ensemble::Ensemble;
use crate::job::{self, Outcome, create, id_of, job_of, status_of};
use crate::world::{AURORA, World, text, wait};
use aurora::thrift::api::ScheduleStatus;
use aurora::thrift::service::Request;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output};

/// A scheduler that ends with its owner.
struct Scheduler(Child);

impl Drop for Scheduler {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().unwrap_or_default();
        self.0.wait().unwrap();
    }
}

impl Scheduler {
    fn start(world: &World, flags: &[&str]) -> Self {
        let mut args = world.scheduler_args();
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        Self(world.spawn(Path::new(AURORA), "scheduler", &args))
    }

    fn join(mut self) -> Option<i32> {
        wait("the scheduler to end", || {
            self.0.try_wait().unwrap().is_some()
        });
        self.0.wait().unwrap().code()
    }
}

fn try_admin(world: &World, line: &str) -> Output {
    let mut args = vec!["admin"];
    args.extend(line.split_whitespace());
    world.client(&args)
}

fn admin(world: &World, line: &str) -> String {
    let output = try_admin(world, line);
    assert!(output.status.success(), "{line}: {}", text(&output));
    text(&output)
}

fn make(world: &World, request: &Request) {
    wait("an answer", || match job::call(world, request, None) {
        Outcome::Answered(response) if job::is_transient(&response) => false,
        Outcome::Answered(response) => {
            assert!(job::is_ok(&response), "{response:?}");
            true
        }
        Outcome::Unknown => false,
    });
}

/// A service whose every start leaves a line in a file, with its process behind it.
fn service(world: &World, name: &str, instances: i32) -> Request {
    let starts = world.path(&format!("{name}.starts"));
    let line = format!("echo $$ >> {}; exec sleep 1000", starts.display());
    create(name, instances, true, &line)
}

/// The processes that were ever started for a job.
fn starts(world: &World, name: &str) -> Vec<u32> {
    let lines = fs::read_to_string(world.path(&format!("{name}.starts"))).unwrap_or_default();
    lines.lines().map(|line| line.parse().unwrap()).collect()
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn running(world: &World, name: &str) -> BTreeSet<String> {
    let tasks = job::tasks(world).unwrap_or_default();
    let of = tasks
        .iter()
        .filter(|it| job_of(it) == name && status_of(it) == ScheduleStatus::Running);
    of.map(id_of).collect()
}

fn wait_for(world: &World, name: &str, count: usize) -> BTreeSet<String> {
    wait("the processes", || starts(world, name).len() == count);
    let mut found = BTreeSet::new();
    wait("the tasks to run", || {
        found = running(world, name);
        found.len() == count
    });
    found
}

fn wait_for_leader(world: &World) {
    wait("the scheduler to lead", || {
        world.get("/leaderhealth").is_some_and(|(s, _)| s == 200)
    });
}

fn newest_backup(listed: &str) -> String {
    let mut names = listed
        .lines()
        .filter(|it| it.starts_with("scheduler-backup-"));
    names.next_back().expect(listed).to_owned()
}

fn delete_files_below(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => fs::remove_dir_all(path).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
    }
}

#[test]
fn the_procedure_of_the_documents_restores_a_backup() {
    let mut world = World::new("procedure");
    let dir = format!("-backup_dir={}", world.path("backups").display());
    let scheduler = Scheduler::start(&world, &[&dir]);
    world.start_agent();
    wait_for_leader(&world);
    make(&world, &service(&world, "kept", 2));
    make(&world, &service(&world, "dropped", 1));
    let kept = wait_for(&world, "kept", 2);
    let dropped = wait_for(&world, "dropped", 1);
    admin(&world, "scheduler_backup_now local");
    let backup = newest_backup(&admin(&world, "scheduler_list_backups local"));
    make(&world, &service(&world, "later", 1));
    wait_for(&world, "later", 1);
    drop(scheduler);
    // Cleanup and re-initialize, in the partially disabled state.
    let flags = [
        dir.as_str(),
        "-mesos_master_address=zk://localhost:1111/mesos/master",
        "-max_registration_delay=360mins",
        "-reconciliation_initial_delay=365days",
    ];
    drop(Scheduler::start(&world, &flags));
    delete_files_below(&world.path("db"));
    let path = format!("--path={}", world.path("db").display());
    let mesos_log = world.path("mesos-log");
    std::os::unix::fs::symlink(AURORA, &mesos_log).unwrap();
    let tool = Command::new(mesos_log)
        .args(["initialize", &path])
        .output()
        .unwrap();
    assert!(tool.status.success(), "{}", text(&tool));
    let scheduler = Scheduler::start(&world, &flags);
    wait("the leader to wait for registration", || {
        let vars = world.get("/vars").map(|(_, body)| body);
        let waits = "scheduler_lifecycle_LEADER_AWAITING_REGISTRATION 1";
        vars.is_some_and(|vars| vars.contains(waits))
    });
    let bypass = "--bypass-leader-redirect local";
    // Nothing staged, nothing there, damaged: refused in upstream's words.
    let none = try_admin(&world, &format!("scheduler_commit_recovery {bypass}"));
    assert!(!none.status.success());
    assert!(text(&none).contains("No backup loaded."), "{}", text(&none));
    let bytes = fs::read(world.path("backups").join(&backup)).unwrap();
    fs::write(world.path("backups/scheduler-backup-cut"), &bytes[1..]).unwrap();
    for bad in ["scheduler-backup-none", "scheduler-backup-cut"] {
        let refused = try_admin(&world, &format!("scheduler_stage_recovery {bypass} {bad}"));
        assert!(!refused.status.success());
        let said = text(&refused);
        assert!(
            said.contains("does not exist.") || said.contains("Failed to decode backup"),
            "{said}"
        );
    }
    admin(
        &world,
        &format!("scheduler_stage_recovery {bypass} {backup}"),
    );
    let printed = admin(&world, &format!("scheduler_print_recovery_tasks {bypass}"));
    for id in kept.iter().chain(&dropped) {
        assert!(printed.contains(id.as_str()), "{printed}");
    }
    let id = dropped.first().unwrap();
    admin(
        &world,
        &format!("scheduler_delete_recovery_tasks {bypass} {id}"),
    );
    let printed = admin(&world, &format!("scheduler_print_recovery_tasks {bypass}"));
    assert!(!printed.contains(id.as_str()), "{printed}");
    admin(&world, &format!("scheduler_commit_recovery {bypass}"));
    assert_eq!(scheduler.join(), Some(0));
    // Undo the preparation.
    let _scheduler = Scheduler::start(&world, &[&dir]);
    wait_for_leader(&world);
    wait("what the backup does not know to end", || {
        let gone = |name| starts(&world, name).iter().all(|pid| !is_alive(*pid));
        gone("later") && gone("dropped")
    });
    assert_eq!(wait_for(&world, "kept", 2), kept);
    assert!(starts(&world, "kept").iter().all(|pid| is_alive(*pid)));
    let vars = world.get("/vars").unwrap().1;
    assert!(vars.contains("scheduler_backup_failed 0"), "{vars}");
}

#[test]
fn three_schedulers_that_lost_their_disks_are_restored_by_one_command() {
    let mut ensemble = Ensemble::new("drill");
    ensemble.start_all();
    ensemble.wait_for_leader();
    let doors: Vec<String> = ensemble
        .world
        .doors
        .iter()
        .map(|port| format!("http://127.0.0.1:{port}"))
        .collect();
    let clusters = format!(
        r#"[{{"name": "local", "scheduler_uri": "{}"}}]"#,
        doors.join(",")
    );
    fs::write(ensemble.world.path("clusters.json"), clusters).unwrap();
    make(&ensemble.world, &service(&ensemble.world, "kept", 3));
    let kept = wait_for(&ensemble.world, "kept", 3);
    admin(&ensemble.world, "scheduler_backup_now local");
    let backup = newest_backup(&admin(&ensemble.world, "scheduler_list_backups local"));
    make(&ensemble.world, &service(&ensemble.world, "later", 1));
    let later = wait_for(&ensemble.world, "later", 1);
    for index in 0..3 {
        ensemble.kill(index);
    }
    for index in 0..3 {
        fs::remove_dir_all(ensemble.disk(index)).unwrap();
        ensemble.initialize(index);
        ensemble.start(index);
    }
    let leader = ensemble.wait_for_leader();
    let log = ensemble.world.path(&format!("scheduler{leader}.log"));
    wait("the tasks to be held", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.contains("4 tasks run that this log")
    });
    let said = admin(
        &ensemble.world,
        &format!("scheduler_restore local {backup} --yes"),
    );
    assert!(said.contains("has 3 active task(s)"), "{said}");
    assert!(said.contains("1 running task(s) are not in"), "{said}");
    assert!(said.contains(later.first().unwrap().as_str()), "{said}");
    assert_eq!(ensemble.join(leader), 0);
    // As a supervisor does.
    ensemble.start(leader);
    ensemble.wait_for_leader();
    wait("what the backup does not know to end", || {
        let pids = starts(&ensemble.world, "later");
        pids.iter().all(|pid| !is_alive(*pid))
    });
    assert_eq!(wait_for(&ensemble.world, "kept", 3), kept);
    let pids = starts(&ensemble.world, "kept");
    assert!(pids.iter().all(|pid| is_alive(*pid)), "{pids:?}");
    let tasks = job::tasks_at_last(&ensemble.world);
    assert!(tasks.iter().all(|task| job_of(task) == "kept"));
}

#[test]
fn a_lone_scheduler_with_a_damaged_disk_names_the_newest_good_backup_and_the_command() {
    let world = World::new("damaged");
    let scheduler = Scheduler::start(&world, &[]);
    wait_for_leader(&world);
    admin(&world, "scheduler_backup_now local");
    let backup = newest_backup(&admin(&world, "scheduler_list_backups local"));
    drop(scheduler);
    let newer = world.path("backups/scheduler-backup-9999-01-01-00-00");
    fs::write(newer, "damaged").unwrap();
    // The database is gone, what proves it is not.
    fs::remove_dir_all(world.path("db/replica/store")).unwrap();
    let output = Command::new(AURORA)
        .args(world.scheduler_args())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = text(&output);
    assert!(
        said.contains(&format!(
            "newest good backup in {}",
            world.path("backups").display()
        )),
        "{said}"
    );
    assert!(said.contains("1 newer one(s) are damaged"), "{said}");
    assert!(
        said.contains(&format!("aurora_admin scheduler_restore local {backup}")),
        "{said}"
    );
}

/// The backup comes back on a machine of another name, with other ports and other paths; the agent has
/// another name as well by then.
#[test]
fn a_backup_is_restored_under_other_names_and_addresses() {
    let mut world = World::new("moved");
    world.start_all();
    make(&world, &service(&world, "kept", 2));
    let kept = wait_for(&world, "kept", 2);
    admin(&world, "scheduler_backup_now local");
    let backup = newest_backup(&admin(&world, "scheduler_list_backups local"));
    make(&world, &service(&world, "later", 1));
    wait_for(&world, "later", 1);
    world.kill_scheduler();
    world.kill_agent();
    // Another machine: nothing but the backup and the agents' key come along.
    let new = world.path("new");
    fs::create_dir(&new).unwrap();
    let from = world.path("backups").join(&backup);
    fs::create_dir(new.join("backups")).unwrap();
    fs::rename(from, new.join("backups").join(&backup)).unwrap();
    fs::remove_dir_all(world.path("db")).unwrap();
    let path = format!("--path={}", new.join("db").display());
    let out = world.log_tool(&["initialize", &path]);
    assert!(out.status.success(), "{}", text(&out));
    let [http, peer, observer] = crate::world::free_ports();
    (world.http_port, world.peer_port, world.observer_port) = (http, peer, observer);
    world.doors = vec![http];
    let clusters = format!(r#"[{{"name": "local", "scheduler_uri": "http://127.0.0.1:{http}"}}]"#);
    fs::write(world.path("clusters.json"), clusters).unwrap();
    let mut flags = world.scheduler_args();
    flags.retain(|arg| {
        !["-hostname", "-native_log"]
            .iter()
            .any(|it| arg.starts_with(it))
    });
    flags.push("-hostname=new-scheduler.invalid".to_owned());
    flags.push(format!(
        "-native_log_file_path={}",
        new.join("db").display()
    ));
    let start = |world: &World| Scheduler(world.spawn(Path::new(AURORA), "scheduler", &flags));
    let scheduler = start(&world);
    wait_for_leader(&world);
    let mut flags_of_agent = world.agent_args();
    flags_of_agent.retain(|arg| !arg.starts_with("-hostname"));
    flags_of_agent.push("-hostname=new-agent.invalid".to_owned());
    world.start_agent_as(flags_of_agent);
    wait("the tasks to be held", || {
        world.scheduler_log().contains("3 tasks run that this log")
    });
    let view = world.view();
    let line = format!("scheduler_restore local {backup} --yes");
    let restoring = std::thread::spawn(move || admin(&view, &line));
    assert_eq!(scheduler.join(), Some(0));
    // As a supervisor does; the command waits for this one.
    assert!(!restoring.is_finished(), "nobody serves the backup yet");
    let scheduler = start(&world);
    let said = restoring.join().unwrap();
    assert!(said.contains("1 running task(s) are not in"), "{said}");
    assert!(
        said.contains("serves again, with 2 active task(s)."),
        "{said}"
    );
    wait("what the backup does not know to end", || {
        let pids = starts(&world, "later");
        pids.iter().all(|pid| !is_alive(*pid))
    });
    assert_eq!(wait_for(&world, "kept", 2), kept);
    let pids = starts(&world, "kept");
    assert_eq!(pids.len(), 2, "they were started again");
    assert!(pids.iter().all(|pid| is_alive(*pid)), "{pids:?}");
    // New work goes to the machine by its new name.
    make(&world, &service(&world, "after", 1));
    wait_for(&world, "after", 1);
    let all = job::tasks_at_last(&world);
    let after = all.iter().find(|task| job_of(task) == "after").unwrap();
    let host = after.assigned_task.as_ref().unwrap().slave_host.clone();
    assert_eq!(host.as_deref(), Some("new-agent.invalid"));
    drop(scheduler);
}
