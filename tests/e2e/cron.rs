//! Cron with each collision policy, by the client and with real processes.
//!
//! Runs are started by hand, as no test waits for a full minute; that schedules start them as well is
//! for the engine's simulation to show.

use crate::world::{World, wait};
use std::fs;
use std::process::Output;

const JOBS: &str = r#"
def job(name, policy, cmdline):
  return Job(
    cluster='local', role='ROLE', environment='devel', name=name, instances=2,
    cron_schedule='15 3 * * MON-FRI', cron_collision_policy=policy,
    task=Task(
      processes=[Process(name='main', cmdline=cmdline)], finalization_wait=1,
      resources=Resources(cpu=0.05, ram=8*MB, disk=8*MB)))

jobs = [
  job('kill', 'KILL_EXISTING', 'exec sleep 86400'),
  job('cancel', 'CANCEL_NEW', 'exec sleep 86400'),
  job('overlap', 'RUN_OVERLAP', 'exec sleep 86400'),
  job('short', 'CANCEL_NEW', 'true'),
  Job(
    cluster='local', role='ROLE', environment='devel', name='plain',
    task=Task(processes=[Process(name='main', cmdline='true')],
              resources=Resources(cpu=0.05, ram=8*MB, disk=8*MB))),
]
"#;

struct Desk {
    world: World,
    role: String,
}

impl Desk {
    fn new() -> Self {
        let mut world = World::new("cron");
        world.start_all();
        let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective());
        let role = user.unwrap().unwrap().name;
        let jobs = JOBS.replace("'ROLE'", &format!("'{role}'"));
        fs::write(world.path("jobs.aurora"), jobs).unwrap();
        Self { world, role }
    }

    fn run(&self, verb: &str, name: &str, file: bool) -> Output {
        let key = format!("local/{}/devel/{name}", self.role);
        let path = self.world.path("jobs.aurora").display().to_string();
        let (noun, verb) = verb.split_once(' ').unwrap();
        let mut args = vec![noun, verb, &key];
        if file {
            args.push(&path);
        }
        self.world.client(&args)
    }

    /// Runs a verb; the status must be this one. Gives both streams.
    fn expect(&self, verb: &str, name: &str, file: bool, status: i32) -> String {
        let output = self.run(verb, name, file);
        let all = [&output.stdout[..], b"\n", &output.stderr].concat();
        let all = String::from_utf8_lossy(&all).into_owned();
        assert_eq!(
            output.status.code(),
            Some(status),
            "aurora {verb} {name}: {all}"
        );
        all
    }

    fn job(&self, name: &str) -> serde_json::Value {
        let (_, body) = self.world.get("/cron").unwrap();
        let all: serde_json::Value = serde_json::from_str(&body).unwrap();
        all["jobs"][format!("{}/devel/{name}", self.role)].clone()
    }

    /// The outcomes of a job's runs, latest first.
    fn outcomes(&self, name: &str) -> Vec<String> {
        let runs = self.job(name)["runs"].clone();
        let runs = runs.as_array().cloned().unwrap_or_default();
        let outcome = |run: &serde_json::Value| run["outcome"].as_str().unwrap().to_owned();
        runs.iter().map(outcome).collect()
    }

    /// The ids of a job's running tasks.
    fn running(&self, name: &str) -> Vec<String> {
        let found = crate::job::tasks(&self.world).unwrap_or_default();
        let of_job = found.iter().filter(|task| crate::job::job_of(task) == name);
        let running = of_job.filter(|task| crate::job::status_of(task).name() == "RUNNING");
        let mut ids: Vec<String> = running.map(crate::job::id_of).collect();
        ids.sort();
        ids
    }

    fn start(&self, name: &str) -> String {
        self.expect("cron start", name, false, 0)
    }

    fn wait_for_two(&self, name: &str, but: &[String]) -> Vec<String> {
        let fresh = |ids: &[String]| ids.len() == 2 && ids.iter().all(|id| !but.contains(id));
        wait(&format!("a run of {name}"), || fresh(&self.running(name)));
        self.running(name)
    }
}

#[test]
fn cron_jobs_are_scheduled_run_and_collide_as_their_policies_say() {
    let mut desk = Desk::new();
    // What is no cron job, and what nobody may ask for any more.
    desk.expect("cron schedule", "plain", true, 4);
    desk.expect("job create", "kill", true, 4);
    let said = desk.expect("cron schedule", "overlap", true, 10);
    assert!(
        said.contains("RUN_OVERLAP collision policy has been removed"),
        "{said}"
    );
    desk.expect("cron show", "kill", false, 6);
    let said = desk.expect("cron start", "kill", false, 10);
    assert!(said.contains("No cron job found for"), "{said}");

    for name in ["kill", "cancel", "short"] {
        let said = desk.expect("cron schedule", name, true, 0);
        assert!(
            said.contains("Cron job scheduled, status can be viewed at http"),
            "{said}"
        );
    }
    let said = desk.expect("cron show", "kill", false, 0);
    let role = &desk.role;
    let shown = format!("local/{role}/devel/kill\t 15 3 * * MON-FRI");
    assert!(said.contains(&shown), "{said}");
    let job = desk.job("kill");
    assert_eq!(
        (&job["timezone"], &job["schedule"]),
        (&"GMT".into(), &"15 3 * * MON-FRI".into())
    );
    assert!(
        job["nextRunMs"].as_i64() > job["decidedUpToMs"].as_i64(),
        "{job}"
    );

    desk.start("short");
    wait("the short run", || desk.outcomes("short") == ["FINISHED"]);

    desk.start("cancel");
    let first = desk.wait_for_two("cancel", &[]);
    let said = desk.start("cancel");
    assert!(said.contains("CANCEL_NEW: not started"), "{said}");
    assert_eq!(desk.outcomes("cancel"), ["CANCELLED", "STARTED"]);
    assert_eq!(desk.running("cancel"), first);

    desk.start("kill");
    let first = desk.wait_for_two("kill", &[]);
    // Without its agent the old run cannot end: the new one waits, a third is dropped, and none of it is
    // lost with the scheduler.
    desk.world.kill_agent();
    let said = desk.start("kill");
    assert!(said.contains("it is killed first"), "{said}");
    desk.start("kill");
    assert_eq!(desk.outcomes("kill"), ["OVERTAKEN", "WAITING", "STARTED"]);
    desk.world.kill_scheduler();
    desk.world.start_scheduler();
    desk.world.wait_for_leader();
    assert_eq!(desk.outcomes("kill"), ["OVERTAKEN", "WAITING", "STARTED"]);
    desk.world.start_agent();
    desk.wait_for_two("kill", &first);
    assert_eq!(desk.outcomes("kill"), ["OVERTAKEN", "STARTED", "FAILED"]);

    let page = format!("/scheduler/{}/devel/kill", desk.role);
    let (_, page) = desk.world.get(&page).unwrap();
    assert!(
        page.contains("OVERTAKEN") && page.contains("15 3 * * MON-FRI"),
        "{page}"
    );

    let said = desk.expect("cron deschedule", "kill", false, 0);
    assert!(said.contains("Cron descheduling succeeded."), "{said}");
    desk.expect("cron show", "kill", false, 6);
    assert_eq!(desk.running("kill").len(), 2, "what runs goes on");
}
