//! The troubleshooting section of the installation guide: every symptom in upstream's words, and that its
//! solution solves it here.
//!
//! **Replicated log not initialized**
//!
//! | symptom or solution | test |
//! |---|---|
//! | RPCs and web interface claim `Storage is not READY` | [`an_uninitialised_scheduler_says_so_everywhere`] |
//! | the log repeats `Replica in EMPTY status` | the same |
//! | solution: initialize | the same, and `programs::an_empty_log_waits_for_initialize_and_a_restart` |
//! | why: a wrong path changes nothing | [`a_wrong_path_is_not_taken_for_a_new_cluster`] |
//! | why: lost disks change nothing | `programs::initialize_refuses_what_it_must_not_touch` |
//!
//! **Scheduler not registered**
//!
//! | symptom or solution | test |
//! |---|---|
//! | `Framework has not been registered within the tolerated delay.` | `statistics::with_a_mesos_master_named_...` |
//! | solution: correct the address | [`an_unregistered_scheduler_serves_once_its_address_is_corrected`] |
//!
//! **Scheduler not running**
//!
//! | symptom or solution | test |
//! |---|---|
//! | it ends under error conditions | `programs::a_full_disk_ends_...`, `failing` |
//! | it ends on purpose | [`a_scheduler_that_ends_on_purpose_goes_on_when_it_is_started_again`] |
//! | solution: monit, by the line of the guide | [`the_recipe_for_monit_has_the_line_of_the_guide`] |
//! | the same at work | `monit::monit_sees_a_healthy_scheduler_and_restarts_one_that_hangs` |
//! | solution: supervisord | tests/packages/life.sh |
//! | `GET /health` is not 200 OK | `monit::a_stuck_loop_is_sick_while_its_http_port_lives_...` |

use crate::job::{create, status_of, tasks};
use crate::world::{AURORA, World, text, wait};
use aurora::thrift::api::ScheduleStatus;
use std::fs;
use std::path::Path;

const ROLES: &[u8] = br#"[1,"getRoleSummary",1,1,{}]"#;
const JSON: [(&str, &str); 1] = [("Content-Type", "application/vnd.apache.thrift.json")];
const NOT_READY: &str = "Storage is not READY";

#[test]
fn an_uninitialised_scheduler_says_so_everywhere() {
    let mut world = World::uninitialised("trouble");
    let db = world.path("db");
    world.start_scheduler();
    wait("the port", || {
        world.get("/health").is_some_and(|(s, _)| s == 200)
    });
    let (_, answer) = world.post("/api", &JSON, ROLES).unwrap();
    assert!(String::from_utf8_lossy(&answer).contains(NOT_READY));
    for page in ["/scheduler", "/scheduler/role", "/agents", "/updates"] {
        let (_, body) = world.get(page).unwrap();
        assert!(body.contains(NOT_READY), "{page}: {body}");
    }
    let said = "Replica in EMPTY status";
    wait("the words of upstream, twice", || {
        world.scheduler_log().matches(said).count() >= 2
    });
    let log = world.scheduler_log();
    let line = log.lines().find(|line| line.contains(said)).unwrap();
    let command = format!("initialize --path={}", db.display());
    assert!(
        line.contains(&command),
        "it does not say what to do: {line}"
    );
    world.kill_scheduler();

    // As the guide has it.
    fs::create_dir_all(&db).unwrap();
    let out = world.log_tool(&["initialize", &format!("--path={}", db.display())]);
    assert!(out.status.success(), "{}", text(&out));
    world.start_scheduler();
    world.wait_for_leader();
    assert!(!world.get("/scheduler").unwrap().1.contains(NOT_READY));
}

#[test]
fn a_wrong_path_is_not_taken_for_a_new_cluster() {
    let mut world = World::new("wrongpath");
    world.start_all();
    crate::chaos::insist(
        &world,
        &create("stays", 1, true, "exec sleep 86400"),
        "stays",
    );
    let running = |world: &World| {
        let all = tasks(world).unwrap_or_default();
        all.len() == 1 && status_of(&all[0]) == ScheduleStatus::Running
    };
    wait("the task", || running(&world));
    world.kill_scheduler();
    let mut args = world.scheduler_args();
    args.retain(|arg| !arg.starts_with("-native_log_file_path="));
    args.push(format!(
        "-native_log_file_path={}",
        world.path("dbb").display()
    ));
    let mut child = world.spawn(Path::new(AURORA), "wrong", &args);
    let log = || fs::read_to_string(world.path("wrong.log")).unwrap_or_default();
    wait("its notices", || log().matches("EMPTY status").count() >= 3);
    let (_, answer) = world.post("/api", &JSON, ROLES).unwrap();
    assert!(String::from_utf8_lossy(&answer).contains(NOT_READY));
    assert!(
        log().contains(&world.path("dbb").display().to_string()),
        "{}",
        log()
    );
    child.kill().unwrap();
    child.wait().unwrap();
    world.start_scheduler();
    world.wait_for_leader();
    wait("the same task to run on", || running(&world));
}

#[test]
fn an_unregistered_scheduler_serves_once_its_address_is_corrected() {
    let mut world = World::new("corrected");
    let mut args = world.scheduler_args();
    args.push("-mesos_master_address=zk://127.0.0.1:2181/mesos/mster".to_owned());
    args.push("-max_registration_delay=1secs".to_owned());
    let mut child = world.spawn(Path::new(AURORA), "scheduler", &args);
    wait("the scheduler to give up", || {
        child.try_wait().unwrap().is_some()
    });
    assert!(!child.wait().unwrap().success());
    let log = world.scheduler_log();
    let told = "Framework has not been registered within the tolerated delay.";
    let line = log.lines().find(|line| line.contains(told)).unwrap();
    assert!(log.contains("-mesos_master_address"), "{line}");
    world.start_all();
    crate::chaos::insist(
        &world,
        &create("works", 1, true, "exec sleep 86400"),
        "works",
    );
    wait("its task", || {
        tasks(&world)
            .unwrap_or_default()
            .iter()
            .any(|t| status_of(t) == ScheduleStatus::Running)
    });
}

#[test]
fn a_scheduler_that_ends_on_purpose_goes_on_when_it_is_started_again() {
    let mut world = World::new("onpurpose");
    world.start_all();
    crate::chaos::insist(
        &world,
        &create("stays", 1, true, "exec sleep 86400"),
        "stays",
    );
    let id = |world: &World| {
        let all = tasks(world).unwrap_or_default();
        let running = all.iter().find(|t| status_of(t) == ScheduleStatus::Running);
        running.map(crate::job::id_of)
    };
    wait("the task", || id(&world).is_some());
    let before = id(&world);
    assert_eq!(world.post("/quitquitquit", &[], b"").unwrap().0, 200);
    assert_eq!(world.join_scheduler(), 0);
    // What the supervisor asks meanwhile gets no answer at all.
    assert!(world.get("/health").is_none());
    world.start_scheduler();
    world.wait_for_leader();
    wait("the same task to run on", || id(&world) == before);
    assert_eq!(world.get("/health").unwrap(), (200, "OK\n".to_owned()));
}

#[test]
fn the_recipe_for_monit_has_the_line_of_the_guide() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/monit");
    let line = crate::monit::GUIDE;
    let has = fs::read_dir(folder).unwrap().any(|file| {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let words: Vec<&str> = text
            .split_whitespace()
            .filter(|w| *w != "\\" && *w != "#")
            .collect();
        words
            .join(" ")
            .contains(&line.split_whitespace().collect::<Vec<_>>().join(" "))
    });
    assert!(has, "no recipe in {folder} has it");
}
