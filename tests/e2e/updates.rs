//! Job updates, as the guides have them started and followed.

use crate::job::{job_of, status_of, tasks};
use crate::world::{AURORA, World, text, wait};
use aurora::thrift::api::{ScheduleStatus, ScheduledTask};
use std::fs;
use std::process::{Command, Output, Stdio};

const INSTANCES: usize = 3;

const JOB: &str = r#"
jobs = [Service(
  cluster='local', role='ROLE', environment='devel', name='web', instances=3,
  update_config=UpdateConfig(batch_size=1, watch_secs=WATCH),
  task=Task(
    processes=[Process(name='run', cmdline='COMMAND')],
    resources=Resources(cpu=0.05, ram=8*MB, disk=8*MB)))]
"#;

struct Desk {
    world: World,
    job: String,
}

impl Desk {
    /// A world in which the job runs.
    fn new(name: &str) -> Self {
        let mut world = World::new(name);
        world.start_all();
        let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective());
        let role = user.unwrap().unwrap().name;
        let job = format!("local/{role}/devel/web");
        let desk = Self { world, job };
        let file = desk.file("exec sleep 86401", 1);
        let created = desk.client(&["job", "create", "--wait-until=RUNNING", &desk.job, &file]);
        assert!(created.status.success(), "{}", text(&created));
        wait("the job to run", || desk.running("86401") == INSTANCES);
        desk
    }

    /// Writes a version of the job; gives the file's name.
    fn file(&self, command: &str, watch: u32) -> String {
        let role = self.job.split('/').nth(1).unwrap();
        let text = JOB
            .replace("ROLE", role)
            .replace("COMMAND", command)
            .replace("WATCH", &watch.to_string());
        let path = self.world.path("web.aurora");
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn client(&self, args: &[&str]) -> Output {
        self.world.client(args)
    }

    /// What a command says; it must end with this status.
    fn expect(&self, status: i32, args: &[&str]) -> String {
        let output = self.client(args);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
        said
    }

    /// How many tasks run a command with this word in it.
    fn running(&self, word: &str) -> usize {
        let all = tasks(&self.world).unwrap_or_default();
        let alike = |task: &&ScheduledTask| {
            let config = task.assigned_task.as_ref().and_then(|a| a.task.as_ref());
            let executor = config.and_then(|c| c.executor_config.as_ref());
            let data = executor.and_then(|e| e.data.as_deref()).unwrap_or_default();
            job_of(task) == "web"
                && status_of(task) == ScheduleStatus::Running
                && data.contains(word)
        };
        all.iter().filter(alike).count()
    }
}

#[test]
fn an_update_rolls_through_a_job_and_never_takes_down_more_than_its_batch() {
    let desk = Desk::new("rolling");
    let file = desk.file("exec sleep 86402", 1);
    let mut client = Command::new(AURORA)
        .args(["update", "start", "--wait", "-m", "why", &desk.job, &file])
        .env("AURORA_CONFIG_ROOT", &desk.world.dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut fewest = INSTANCES;
    wait("the update", || {
        if tasks(&desk.world).is_some() {
            fewest = fewest.min(desk.running("8640"));
        }
        client.try_wait().unwrap().is_some()
    });
    let output = client.wait_with_output().unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    for line in [
        "This job update will:\nupdate instances: [0-2]\n",
        "Job update has started. View your update progress at http://127.0.0.1:",
        "Current state ROLLED_FORWARD",
    ] {
        assert!(said.contains(line), "no {line:?} in {said}");
    }
    assert_eq!(fewest, INSTANCES - 1);
    assert_eq!(
        (desk.running("86401"), desk.running("86402")),
        (0, INSTANCES)
    );
    let unchanged = desk.expect(0, &["update", "start", &desk.job, &file]);
    assert!(
        unchanged.contains("Job is unchanged by proposed update."),
        "{unchanged}"
    );
    let none = desk.expect(6, &["update", "info", &desk.job]);
    assert!(
        none.contains("There is no active update for this job."),
        "{none}"
    );
    let listed = desk.expect(0, &["update", "list", "--status=succeeded", &desk.job]);
    assert!(
        listed.contains("JOB ") && listed.contains("ROLLED_FORWARD"),
        "{listed}"
    );
}

#[test]
fn an_update_to_a_version_that_fails_undoes_itself() {
    let desk = Desk::new("failing");
    let file = desk.file("exit 1", 1);
    let said = desk.expect(4, &["update", "start", "--wait", &desk.job, &file]);
    assert!(said.contains("Current state ROLLED_BACK"), "{said}");
    assert_eq!(desk.running("86401"), INSTANCES);
    let json = desk.expect(0, &["update", "list", "--write-json", "local"]);
    let updates: serde_json::Value = serde_json::from_str(&json).unwrap();
    let id = updates[0]["id"].as_str().unwrap();
    let info = desk.expect(0, &["update", "info", &desk.job, id]);
    for line in [
        "Current status: ROLLED_BACK",
        "message: Latest failure: instance 0 exited.",
        ": INSTANCE_UPDATE_FAILED",
        ": INSTANCE_ROLLED_BACK",
        "  org.apache.aurora.client.update_id: ",
    ] {
        assert!(info.contains(line), "no {line:?} in {info}");
    }
}

#[test]
fn an_update_is_paused_survives_a_scheduler_and_is_resumed() {
    let mut desk = Desk::new("pausing");
    let file = desk.file("exec sleep 86402", 2);
    desk.expect(0, &["update", "start", &desk.job, &file]);
    wait("the first instance", || desk.running("86402") == 1);
    let paused = desk.expect(0, &["update", "pause", "-m", "lunch", &desk.job]);
    assert!(paused.contains("Update has been paused."), "{paused}");
    let killed = desk.expect(10, &["job", "killall", "--no-batching", &desk.job]);
    assert!(killed.contains("Job is currently updating"), "{killed}");
    desk.world.kill_scheduler();
    desk.world.start_scheduler();
    desk.world.wait_for_leader();
    let info = desk.expect(0, &["update", "info", &desk.job]);
    assert!(
        info.contains("Current status: ROLL_FORWARD_PAUSED"),
        "{info}"
    );
    assert!(info.contains("      message: lunch"), "{info}");
    assert_eq!(desk.running("86402"), 1);
    let resumed = desk.expect(0, &["update", "resume", &desk.job]);
    assert!(resumed.contains("Update has been resumed."), "{resumed}");
    let waited = desk.expect(0, &["update", "wait", &desk.job]);
    assert!(waited.contains("Current state ROLLED_FORWARD"), "{waited}");
    assert_eq!(
        (desk.running("86401"), desk.running("86402")),
        (0, INSTANCES)
    );
}
