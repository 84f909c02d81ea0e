//! The client's verbs as the guides write them, against a real scheduler and agent.

use crate::world::{AURORA, World};
use std::fs;
use std::process::{Command, Output, Stdio};

const JOBS: &str = r#"
class Profile(Struct):
  word = Required(String)
  count = Default(Integer, 3)

def job(environment, name, count, service, cmdline):
  return Job(
    cluster='local', role='ROLE', environment=environment, name=name, instances=count, service=service,
    task=Task(
      processes=[Process(name='first', cmdline=cmdline), Process(name='second', cmdline='echo {{word}}')],
      constraints=order('first', 'second'), max_failures=1,
      resources=Resources(cpu=0.05, ram=8*MB, disk=8*MB)))

jobs = [
  job('devel', 'web', '{{profile.count}}', True, 'exec sleep 86400 {{profile.word}}').bind(
    profile=Profile(word=1)),
  job('test', 'batch', 2, False, 'true'),
]
"#;

/// One world with a file of jobs, and what each command is expected to do.
struct Desk {
    world: World,
    role: String,
}

impl Desk {
    fn new(name: &str) -> Self {
        let mut world = World::new(name);
        world.start_all();
        let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective());
        let role = user.unwrap().unwrap().name;
        fs::write(
            world.path("jobs.aurora"),
            JOBS.replace("'ROLE'", &format!("'{role}'")),
        )
        .unwrap();
        Self { world, role }
    }

    fn run(&self, line: &str) -> Output {
        let file = self.world.path("jobs.aurora").display().to_string();
        let json = self.world.path("web.json").display().to_string();
        let args: Vec<String> = line
            .split(' ')
            .map(|word| match word {
                "FILE" => file.clone(),
                "JSON" => json.clone(),
                word => word
                    .replace("WEB", "local/ROLE/devel/web")
                    .replace("BATCH", "local/ROLE/test/batch")
                    .replace("ROLE", &self.role),
            })
            .collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.world.client(&args)
    }

    /// Runs a line; both streams must hold these texts, and the status must be this one.
    fn expect(&self, line: &str, status: i32, out: &[&str], err: &[&str]) -> String {
        let output = self.run(line);
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let all = format!("aurora {line}\n-- stdout:\n{stdout}\n-- stderr:\n{stderr}");
        assert_eq!(output.status.code(), Some(status), "{all}");
        for (stream, texts) in [(&stdout, out), (&stderr, err)] {
            for text in texts {
                let text = text.replace("ROLE", &self.role);
                assert!(stream.contains(&text), "no {text:?} in {all}");
            }
        }
        stdout
    }
}

#[test]
fn jobs_are_created_looked_at_restarted_and_killed_as_the_guide_says() {
    let desk = Desk::new("verbs");
    let port = desk.world.http_port;
    let url = format!("http://127.0.0.1:{port}/scheduler/ROLE/devel/web");
    let listed = "jobs=[local/ROLE/devel/web, local/ROLE/test/batch]";
    desk.expect("config list FILE", 0, &[listed], &[]);
    desk.expect("config list nothing.aurora", 4, &[], &["nothing.aurora"]);
    let inspected = ["name:       'web'", "instances:  '3'", "first < second"];
    desk.expect("job inspect --bind word=x WEB FILE", 0, &inspected, &[]);
    // The file, the line and the field of what is wrong.
    let unbound = ["jobs.aurora:", "Job.task.processes[1].cmdline", "{{word}}"];
    desk.expect("job create WEB FILE", 3, &[], &unbound);
    let json = desk.expect(
        "job inspect --write-json --bind word=x WEB FILE",
        0,
        &[],
        &[],
    );
    fs::write(desk.world.path("web.json"), json).unwrap();

    let created = format!("Job create succeeded: job url={url}");
    let told = [
        " INFO] Creating job web",
        " INFO] Response from scheduler: OK (message: 3 new tasks pending for job ROLE/devel/web)",
        &format!(" INFO] Job url: {url}"),
    ];
    let create = "job create --wait-until=RUNNING --bind word=x WEB FILE";
    desk.expect(create, 0, &[&created], &told);
    let exists = [
        "Job creation failed due to error:",
        "Job ROLE/devel/web already exists",
    ];
    desk.expect("job create --read-json WEB JSON", 4, &[], &exists);
    let finished = "job create --wait-until FINISHED --bind word=x BATCH FILE";
    desk.expect(finished, 0, &["Job create succeeded"], &[]);

    let running = [
        "Active tasks (3):",
        "instance: 2, status: RUNNING on 127.0.0.1",
    ];
    desk.expect("job status WEB", 0, &running, &[]);
    desk.expect("job status local/ROLE/*/we*", 0, &running, &[]);
    let ended = ["Active tasks (0):", "Inactive tasks (2):", "FINISHED"];
    desk.expect("job status BATCH", 0, &ended, &[]);
    let none = "Found no jobs matching local/ROLE/devel/nothing";
    desk.expect("job status local/ROLE/devel/nothing", 6, &[], &[none]);
    desk.expect("job status nowhere/*", 3, &[], &["nowhere"]);
    // As upstream: a list is of what is active, and of cron jobs.
    let listed = desk.expect("job list local", 0, &["local/ROLE/devel/web\n"], &[]);
    assert_eq!(listed.lines().count(), 1, "{listed}");
    let all = desk.expect("job list */*/d*", 0, &[], &[]);
    assert_eq!(all, listed);
    let shown = desk.expect("job status --write-json WEB", 0, &["\"RUNNING\""], &[]);
    assert!(serde_json::from_str::<serde_json::Value>(&shown).is_ok());

    desk.expect(
        "job diff --bind word=x WEB FILE",
        0,
        &["not change instances: [0-2]"],
        &[],
    );
    let differs = ["update instances: [0-2]", "echo y"];
    desk.expect("job diff --bind word=y WEB FILE", 0, &differs, &[]);
    desk.expect("job add WEB/0 1", 0, &[], &[]);
    let restart = "job restart --watch-secs=1 --healthcheck-interval-seconds=1 --batch-size=2";
    let restarted = ["Job local/ROLE/devel/web restarted successfully"];
    desk.expect(&format!("{restart} WEB/0-1"), 0, &restarted, &[]);
    let inactive = ["Error restarting job local/ROLE/devel/web:"];
    desk.expect(&format!("{restart} WEB/9"), 10, &[], &inactive);

    desk.expect("job kill WEB", 6, &[], &["killall"]);
    desk.expect(
        "job kill --strict WEB/0,9",
        6,
        &[],
        &["Invalid instance parameter: [9]"],
    );
    let killed = ["Successfully killed instances [0]", "Job kill succeeded"];
    desk.expect("job kill WEB/0,9", 0, &killed, &[]);
    desk.expect(
        "job killall --no-batching WEB",
        0,
        &["Job killall succeeded"],
        &[],
    );
    let again = ["No tasks to kill found for job local/ROLE/devel/web"];
    desk.expect("job killall WEB", 0, &["Job killall succeeded"], &again);
    desk.expect("job create --read-json WEB JSON", 0, &[&created], &[]);
    desk.expect(
        "job killall --batch-size=3 WEB",
        0,
        &["instances [0, 1, 2]"],
        &[],
    );

    desk.expect("job create WEB", 2, &[], &["config_file"]);
    desk.expect("job destroy WEB", 2, &[], &["destroy"]);
    desk.expect("job create --wait-until=SOON WEB FILE", 2, &[], &["SOON"]);
}

/// The first fenced block of README.md in a language, and the text before it.
fn readme_block(language: &str) -> (String, String) {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (before, rest) = readme.split_once(&format!("```{language}\n")).unwrap();
    let (block, _) = rest.split_once("```").unwrap();
    (before.to_owned(), block.to_owned())
}

#[test]
fn the_client_reads_clusters_where_the_readme_says() {
    let mut world = World::new("clusters");
    world.start_scheduler();
    world.wait_for_leader();
    let (before, block) = readme_block("json");
    let (_, place) = before.rsplit_once("~/").unwrap();
    let (place, _) = place.split_once('`').unwrap();
    let file = world.path("home").join(place);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let block = block.replace("localhost:8081", &format!("127.0.0.1:{}", world.http_port));
    fs::write(&file, block).unwrap();
    let output = Command::new(AURORA)
        .args(["job", "list", "local"])
        .env("HOME", world.path("home"))
        .env("AURORA_CONFIG_ROOT", world.path("nothing"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = crate::world::text(&output);
    assert!(output.status.success(), "{}: {said}", file.display());
}
