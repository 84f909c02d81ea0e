//! Whole command lines of the client against a scheduler on the loopback: what is printed, what is called,
//! how it ends. Time is virtual.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod fake;

use aurora::base::clock::{Instant, Timestamp};
use aurora::client::http::HttpTransport;
use aurora::client::scheduler::Transport;
use aurora::client::world::{Settings, Time, World};
use aurora::thrift::api::{ResponseCode, ScheduleStatus};
use fake::{Fake, Mishap};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A clock that only moves when somebody sleeps.
struct Virtual(Cell<Instant>);

impl Time for Virtual {
    fn now(&self) -> Instant {
        self.0.get()
    }

    fn wall(&self) -> Timestamp {
        Timestamp(0)
    }

    fn sleep(&self, duration: Duration) {
        self.0.set(self.0.get() + duration);
    }
}

const HELLO: &str = r#"
hello = Task(
  name = 'hello',
  processes = [Process(name = 'hello', cmdline = 'echo {{greeting}}; sleep 60')],
  resources = Resources(cpu = 0.1, ram = 16 * MB, disk = 16 * MB))

jobs = [Service(cluster = 'west', role = 'www', environment = 'prod', name = 'hello', instances = 2,
                task = hello)]
"#;

/// A folder for one test, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("aurora-cli-{}", aurora::base::rng::Rng::from_os().uuid());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// How a command ended.
#[derive(Debug)]
struct Done {
    status: u8,
    out: String,
    err: String,
    took: Duration,
}

impl Done {
    #[track_caller]
    fn expect(&self, status: u8, out: &str, err: &str) {
        assert_eq!((self.out.as_str(), self.err.as_str()), (out, err));
        assert_eq!(self.status, status);
    }
}

/// A fake scheduler, its cluster file and a job file.
struct Bench {
    fake: Fake,
    folder: Folder,
    job: String,
}

impl Bench {
    fn new() -> Self {
        let (fake, folder) = (Fake::start(), Folder::new());
        let clusters = format!(
            r#"[{{"name": "west", "scheduler_uri": "http://{}",}}, {{"name": "old", "zk": "zk1"}}]"#,
            fake.address
        );
        folder.file("clusters.json", &clusters);
        let job = folder.file("hello.aurora", HELLO);
        Self { fake, folder, job }
    }

    fn page(&self, path: &str) -> String {
        format!("http://{}/scheduler/{path}", self.fake.address)
    }

    fn run(&self, line: &str) -> Done {
        run(&self.folder.0, &line.replace("JOB", &self.job))
    }
}

fn run(folder: &Path, line: &str) -> Done {
    let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let start = Instant::from_nanos(1);
    let time = Virtual(Cell::new(start));
    let settings = Settings {
        bypass_leader_redirect: false,
        cluster_files: vec![folder.join("clusters.json")],
        user: "me".to_owned(),
        diff_viewer: "diff".to_owned(),
        browser: None,
        zone: jiff::tz::TimeZone::UTC,
        netrc: Some(folder.join("netrc")),
        ca_bundle: Some(folder.join("ca.pem")).filter(|path| path.exists()),
        interactive: false,
    };
    let mut world = World::new(&mut out, &mut err, &time, settings);
    let connect = |uri: &str, settings: &Settings| -> Box<dyn Transport> {
        Box::new(HttpTransport::new(uri, settings))
    };
    let status = aurora::client::run(&args, &mut world, &connect);
    Done {
        status,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
        took: time.now().since(start),
    }
}

#[test]
fn create_makes_the_job_and_says_where_it_is() {
    let bench = Bench::new();
    let page = bench.page("www/prod/hello");
    let done = bench.run("job create west/www/prod/hello JOB --bind greeting=hi");
    let err = format!(
        " INFO] Creating job hello\n INFO] Response from scheduler: OK (message: 2 new tasks \
         pending for job www/prod/hello)\n INFO] Job url: {page}\n"
    );
    done.expect(0, &format!("Job create succeeded: job url={page}\n"), &err);
    let state = bench.fake.state();
    let [job] = state.created.as_slice() else {
        panic!("one job");
    };
    let task = job.task_config.clone().unwrap();
    assert_eq!(job.instance_count, 2);
    assert!(task.is_service);
    assert_eq!(task.tier.as_deref(), Some("preemptible"));
    assert_eq!(task.owner.unwrap().user.as_deref(), Some("me"));
    let data = task.executor_config.unwrap().data.unwrap();
    assert!(
        data.contains("echo hi; sleep 60") && data.contains("\"preemptible\""),
        "{data}"
    );
}

#[test]
fn create_waits_until_the_tasks_run() {
    let bench = Bench::new();
    let line = "job create --wait-until=RUNNING west/www/prod/hello JOB --bind=greeting=hi";
    let done = bench.run(line);
    assert_eq!(done.status, 0, "{done:?}");
    let running =
        |t: &aurora::thrift::api::ScheduledTask| t.status == Some(ScheduleStatus::Running);
    assert!(bench.fake.state().tasks.iter().all(running));
    assert!(done.took > Duration::ZERO, "it looked twice");
    assert!(
        done.err.ends_with(" INFO] Waiting: 2 PENDING\n"),
        "{}",
        done.err
    );
}

#[test]
fn a_long_wait_tells_the_reason() {
    let bench = Bench::new();
    bench.fake.state().full = 20;
    let line = "job create --wait-until=RUNNING west/www/prod/hello JOB --bind=greeting=hi";
    let done = bench.run(line);
    let end = " INFO] Waiting: 2 PENDING\n INFO] Waiting: 2 PENDING (Insufficient: cpu)\n";
    assert!(done.err.ends_with(end), "{}", done.err);
    assert_eq!(done.status, 0);
}

#[test]
fn create_of_an_existing_job_is_refused() {
    let bench = Bench::new();
    bench.fake.put("www", "hello", 1);
    let done = bench.run("job create west/www/prod/hello JOB --bind greeting=hi");
    let err = " INFO] Creating job hello\nJob creation failed due to error:\n\tJob www/prod/hello \
               already exists\n";
    done.expect(4, "", err);
}

#[test]
fn a_call_that_broke_off_is_repeated_under_its_id_and_done_once() {
    let bench = Bench::new();
    bench.fake.spoil("createJob", Mishap::CloseAfter);
    let done = bench.run("job create west/www/prod/hello JOB --bind greeting=hi");
    assert_eq!(done.status, 0, "{done:?}");
    assert!(
        done.err
            .contains(" WARN] Lost the connection to the scheduler"),
        "{}",
        done.err
    );
    let state = bench.fake.state();
    assert_eq!(state.created.len(), 1);
    let ids: Vec<_> = state
        .calls
        .iter()
        .filter(|(name, _)| name == "createJob")
        .collect();
    assert_eq!(ids.len(), 2);
    assert!(ids[0].1.is_some() && ids[0].1 == ids[1].1);
    assert!(
        state
            .calls
            .iter()
            .all(|(name, id)| name == "createJob" || id.is_none())
    );
}

#[test]
fn a_scheduler_without_request_ids_is_not_asked_twice() {
    let bench = Bench::new();
    bench.fake.state().keeps_ids = false;
    bench.fake.spoil("createJob", Mishap::CloseAfter);
    let done = bench.run("job create west/www/prod/hello JOB --bind greeting=hi");
    assert_eq!(done.status, 7, "{done:?}");
    assert!(done.err.contains("during createJob"), "{}", done.err);
    assert_eq!(bench.fake.state().created.len(), 1);
}

#[test]
fn a_scheduler_that_is_not_ready_is_waited_for() {
    let bench = Bench::new();
    for _ in 0..3 {
        let text = "Storage is not READY".to_owned();
        bench
            .fake
            .spoil("getJobs", Mishap::Code(ResponseCode::ErrorTransient, text));
    }
    bench
        .fake
        .spoil("getJobs", Mishap::Http("503 Busy".to_owned()));
    bench.fake.put("www", "hello", 1);
    let done = bench.run("job list west");
    let err = format!(
        " WARN] The scheduler at http://{}/ is not ready: Storage is not READY; trying again for up \
         to 10 minutes\n",
        bench.fake.address
    );
    done.expect(0, "west/www/prod/hello\n", &err);
    assert_eq!(done.took, Duration::from_secs(1 + 2 + 5 + 5));
}

#[test]
fn a_scheduler_that_is_gone_is_given_up() {
    let folder = Folder::new();
    folder.file(
        "clusters.json",
        r#"[{"name": "west", "scheduler_uri": "http://127.0.0.1:1"}]"#,
    );
    let done = run(&folder.0, "job status west/www/prod/hello");
    assert_eq!(done.status, 9);
    let last = done.err.lines().last().unwrap();
    assert_eq!(
        last,
        "Cannot reach the scheduler at http://127.0.0.1:1/: connection refused; gave up after 10 minutes"
    );
    assert_eq!(done.err.lines().count(), 2, "{}", done.err);
}

#[test]
fn redirections_to_the_leader_keep_the_call() {
    let bench = Bench::new();
    bench.fake.put("www", "hello", 1);
    let head = format!("307 Moved\r\nLocation: http://{}/api", bench.fake.address);
    bench.fake.spoil("killTasks", Mishap::Http(head));
    let done = bench.run("job killall west/www/prod/hello");
    done.expect(
        0,
        "Successfully killed instances [0]\nJob killall succeeded\n",
        "",
    );
}

#[test]
fn a_refused_caller_is_told_so() {
    let bench = Bench::new();
    bench.fake.put("www", "hello", 1);
    bench
        .fake
        .spoil("killTasks", Mishap::Http("401 Unauthorized".to_owned()));
    let done = bench.run("job killall west/www/prod/hello");
    let err = format!(
        "The scheduler at http://{}/ refused killTasks: HTTP status 401 Unauthorized\n",
        bench.fake.address
    );
    done.expect(30, "", &err);
}

#[test]
fn a_login_for_the_host_is_sent() {
    let bench = Bench::new();
    bench.run("job list west");
    assert_eq!(bench.fake.state().login, None);
    bench.folder.file(
        "netrc",
        "machine elsewhere login a password b\nmachine 127.0.0.1 login f password oo",
    );
    bench.run("job list west");
    assert_eq!(bench.fake.state().login.as_deref(), Some("Basic Zjpvbw=="));
}

#[test]
fn certificates_that_cannot_be_used_are_named() {
    let bench = Bench::new();
    let path = bench.folder.file("ca.pem", "nothing");
    let err = format!(
        "No scheduler answers at http://{}/: certificates of {path}: there are none\n",
        bench.fake.address
    );
    bench.run("job list west").expect(20, "", &err);
}

#[test]
fn list_takes_patterns() {
    let bench = Bench::new();
    bench.fake.put("www", "hello", 1);
    bench.fake.put("www", "other", 1);
    bench.fake.put("data", "hello", 1);
    let list = |line: &str| bench.run(line).out;
    assert_eq!(
        list("job list west"),
        "west/data/prod/hello\nwest/www/prod/hello\nwest/www/prod/other\n"
    );
    assert_eq!(list("job list west/www/*/h*"), "west/www/prod/hello\n");
    assert_eq!(list("job list west/www/devel"), "");
    assert_eq!(list("job list west/no/such/job"), "west/no/such/job\n");
    assert_eq!(bench.fake.calls().len(), 3, "a full key is not looked up");
}

#[test]
fn status_shows_tasks_by_instance() {
    let bench = Bench::new();
    bench.fake.put("www", "hello", 2);
    bench.fake.state().tasks[0].status = Some(ScheduleStatus::Failed);
    let out = "Active tasks (1):
\tTask role: www, env: prod, name: hello, instance: 1, status: RUNNING on host1
\t  CPU: 1 core(s), RAM: 128 MB, Disk: 64 MB
\t  events:
\t   2020-01-02 03:04:07 PENDING: None
\t   2020-01-02 03:04:07 RUNNING: None
Inactive tasks (1):
\tTask role: www, env: prod, name: hello, instance: 0, status: FAILED on host1
\t  CPU: 1 core(s), RAM: 128 MB, Disk: 64 MB
\t  events:
\t   2020-01-02 03:04:06 PENDING: None
\t   2020-01-02 03:04:06 RUNNING: None
";
    bench
        .run("job status west/www/prod/hello")
        .expect(0, out, "");
    let done = bench.run("job status west/www/prod/hello --write-json");
    let json: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(json[0]["job"], "west/www/prod/hello");
    assert_eq!(json[0]["inactive"][0]["status"], "FAILED");
}

#[test]
fn of_several_schedulers_one_that_is_down_or_knows_no_leader_is_passed_over() {
    let bench = Bench::new();
    let idle = Fake::start();
    // Nobody listens on port 1.
    let clusters = format!(
        r#"[{{"name": "west", "scheduler_uri": "http://127.0.0.1:1,http://{},http://{}"}}]"#,
        idle.address, bench.fake.address
    );
    bench.folder.file("clusters.json", &clusters);
    bench.fake.put("www", "hello", 1);
    idle.spoil(
        "getJobs",
        Mishap::Http("503 Service Unavailable".to_owned()),
    );
    assert_eq!(bench.run("job list west").out, "west/www/prod/hello\n");
    assert!(idle.calls().is_empty() || idle.calls() == ["getJobs"]);
    assert_eq!(bench.fake.calls(), ["getJobs"]);
}

#[test]
fn status_of_nothing_is_an_error_but_not_in_json() {
    let bench = Bench::new();
    bench.run("job status west/www/prod/nothing").expect(
        6,
        "",
        "Found no jobs matching west/www/prod/nothing\n",
    );
    let json = "{\"jobspec\":\"west/www/prod/nothing\",\"error\":\"No matching jobs found\"}\n";
    bench
        .run("job status west/www/prod/nothing --write-json")
        .expect(0, json, "");
}

#[test]
fn kill_takes_batches_and_leaves_out_what_is_not_there() {
    let bench = Bench::new();
    bench.fake.put("www", "hello", 5);
    let done = bench.run("job kill west/www/prod/hello/0,2-3,9 --batch-size=2 -m why");
    let out = "Successfully killed instances [0, 2]\nSuccessfully killed instances [3]\nJob kill \
               succeeded\n";
    done.expect(0, out, "");
    let done = bench.run("job kill west/www/prod/hello/1,9 --strict");
    done.expect(6, "", "Invalid instance parameter: [9]\n");
    assert_eq!(bench.run("job kill west/www/prod/hello").status, 6);
    assert_eq!(
        bench
            .run("job kill west/www/prod/hello/1 --max-total-failures=-1")
            .status,
        6
    );
    let killed = |t: &&aurora::thrift::api::ScheduledTask| t.status == Some(ScheduleStatus::Killed);
    assert_eq!(bench.fake.state().tasks.iter().filter(killed).count(), 3);
}

#[test]
fn kill_gives_up_on_what_does_not_end() {
    let bench = Bench::new();
    bench.fake.put("www", "hello", 3);
    bench.fake.state().stubborn = true;
    let err = "Instances [0] were not killed in time\nInstances [1] were not killed in time\n\
               Exceeded maximum number of errors while killing instances\n";
    bench
        .run("job killall west/www/prod/hello --max-total-failures=1")
        .expect(4, "", err);
    let err =
        "Instances [0, 1, 2] were not killed in time\nErrors occurred while killing instances\n";
    bench
        .run("job killall west/www/prod/hello --max-total-failures=1 --batch-size=5")
        .expect(4, "", err);
    let done = bench.run("job killall west/www/prod/hello --no-batching");
    done.expect(9, "", "All instances were not killed in time\n");
    assert!(done.took >= Duration::from_secs(254) && done.took < Duration::from_secs(300));
}

#[test]
fn killall_of_nothing_is_no_error() {
    let bench = Bench::new();
    let err = "No tasks to kill found for job west/www/prod/hello\n";
    bench
        .run("job killall west/www/prod/hello")
        .expect(0, "Job killall succeeded\n", err);
    assert_eq!(bench.fake.calls(), ["getTasksWithoutConfigs"]);
}

#[test]
fn restart_watches_each_batch() {
    let bench = Bench::new();
    bench.fake.put("www", "hello", 3);
    let done = bench.run("job restart west/www/prod/hello --batch-size=2 --watch-secs=10");
    let err = " INFO] Restarting instances: [0, 1]\n INFO] Restarting instances: [2]\n";
    done.expect(0, "Job west/www/prod/hello restarted successfully\n", err);
    assert_eq!(done.took, Duration::from_secs(2 * 12));
}

#[test]
fn restart_stops_when_too_many_instances_fail() {
    let bench = Bench::new();
    bench.fake.put("www", "hello", 2);
    bench.fake.state().flapping = true;
    let done = bench.run("job restart west/www/prod/hello --max-per-instance-failures=1");
    let err = " INFO] Restarting instances: [0]\n WARN] Instances [0] did not stay up\n \
               INFO] Restarting instances: [1]\n WARN] Instances [1] did not stay up\n \
               INFO] Restarting instances: [0]\n WARN] Instances [0] did not stay up\n\
               Restart of job west/www/prod/hello stopped: instances [0] failed too often\n";
    done.expect(4, "", err);
}

#[test]
fn add_appends_instances() {
    let bench = Bench::new();
    bench.fake.put("www", "hello", 2);
    bench
        .run("job add west/www/prod/hello/1 2 --wait-until=RUNNING")
        .expect(0, "", " INFO] Waiting: 2 PENDING\n");
    assert_eq!(bench.fake.state().tasks.len(), 4);
    assert_eq!(bench.run("job add west/www/prod/hello/7 2").status, 6);
    assert_eq!(bench.run("job add west/www/prod/hello/1 -2").status, 6);
}

#[test]
fn inspect_shows_the_job() {
    let bench = Bench::new();
    let out = "Job level information
  name:       'hello'
  role:       'www'
  cluster:    'west'
  instances:  '2'
  service:    True
  production: False

Task level information
  name: 'hello'

Process 'hello':
  cmdline:
    echo hi; sleep 60

";
    bench
        .run("job inspect west/www/prod/hello JOB --bind greeting=hi")
        .expect(0, out, "");
    let line = "job inspect west/www/prod/hello JOB --bind greeting=hi --write-json";
    let written = bench.run(line).out;
    let json = bench.folder.file("hello.json", &written);
    let line = format!("job inspect west/www/prod/hello {json} --read-json");
    bench.run(&line).expect(0, out, "");
}

#[test]
fn diff_compares_with_what_runs() {
    let bench = Bench::new();
    let line = "job create west/www/prod/hello JOB --bind greeting=hi";
    assert_eq!(bench.run(line).status, 0);
    let done = bench.run("job diff west/www/prod/hello JOB --bind greeting=hi");
    done.expect(
        0,
        "This job update will:\nnot change instances: [0-1]\n",
        "",
    );
    let done = bench.run("job diff west/www/prod/hello JOB --bind greeting=ho");
    let out = &done.out;
    assert!(
        out.contains("update instances: [0-1]\nwith diff:\n\n"),
        "{out}"
    );
    let removed = out.find("< ").unwrap();
    assert!(
        removed < out.find("> ").unwrap() && out[removed..].contains("echo hi"),
        "{out}"
    );
}

#[test]
fn config_list_needs_no_scheduler() {
    let bench = Bench::new();
    bench
        .run("config list JOB")
        .expect(0, "jobs=[west/www/prod/hello]\n", "");
    let done = bench.run("config list /no/such/file.aurora");
    assert_eq!(done.status, 4);
    assert!(
        done.err.starts_with("Error loading configuration file: "),
        "{}",
        done.err
    );
    assert!(bench.fake.calls().is_empty());
}

#[test]
fn quota_is_shown() {
    let bench = Bench::new();
    let out = "Allocated:\n  CPU: 1.5 core(s)\n  RAM: 2048 MB\n  Disk: 4096 MB\n";
    bench.run("quota get west/www").expect(0, out, "");
}

#[test]
fn mistakes_have_one_line_and_their_status() {
    let bench = Bench::new();
    for (line, status, start) in [
        (
            "job list east",
            3,
            "unknown cluster 'east'; known clusters: old, west\n",
        ),
        (
            "job list old",
            3,
            "cluster 'old': finding the scheduler by ZooKeeper (zk) is not",
        ),
        (
            "job list a/b/c/d/e",
            2,
            "aurora job list: cannot read positional argument 'key'",
        ),
        (
            "job create west/www/prod/hello /no/such/file.aurora",
            3,
            "Error loading configuration: ",
        ),
        (
            "job create west/www/prod/hello JOB",
            3,
            "Error loading configuration: ",
        ),
        (
            "job create west/www/prod/other JOB",
            3,
            "Error loading configuration: ",
        ),
        (
            "job kill west/www/prod/hello/x",
            2,
            "aurora job kill: cannot read positional argument",
        ),
        (
            "task ssh west/www/prod/hello/0",
            5,
            "aurora task ssh is not supported yet",
        ),
        (
            "job kil x",
            2,
            "aurora job: unknown verb 'kil'; did you mean 'kill'?\n",
        ),
    ] {
        let done = bench.run(line);
        assert_eq!(
            (done.status, done.out.as_str()),
            (status, ""),
            "{line}: {}",
            done.err
        );
        assert!(done.err.starts_with(start), "{line}: {}", done.err);
    }
    let missing = "aurora job create: Required positional arguments not provided: config_file (see \
                   aurora job create --help)\n";
    bench
        .run("job create west/www/prod/hello")
        .expect(2, "", missing);
    let folder = Folder::new();
    let done = run(&folder.0, "job list west");
    let path = folder.0.join("clusters.json");
    let err = format!(
        "unknown cluster 'west'; no clusters are configured in {}\n",
        path.display()
    );
    done.expect(3, "", &err);
}

#[test]
fn an_error_in_a_job_file_names_its_place() {
    let bench = Bench::new();
    let text = HELLO.replace("cpu = 0.1", "cpu = 'many'");
    let path = bench.folder.file("bad.aurora", &text);
    let done = bench.run(&format!(
        "job create west/www/prod/hello {path} --bind greeting=hi"
    ));
    assert_eq!(done.status, 3);
    assert!(done.err.contains("cpu"), "{}", done.err);
    let path = bench
        .folder
        .file("worse.aurora", "x = 1\njobs = [Job(nmae = 'x')]\n");
    let done = bench.run(&format!("job create west/www/prod/hello {path}"));
    assert_eq!(done.status, 3);
    assert!(
        done.err.contains("worse.aurora:2") && done.err.contains("nmae"),
        "{}",
        done.err
    );
}

#[test]
fn help_and_version_go_to_the_output() {
    let folder = Folder::new();
    for line in [
        "",
        "--help",
        "job --help",
        "job create --help",
        "update start --help",
    ] {
        let done = run(&folder.0, line);
        assert_eq!((done.status, done.err.as_str()), (0, ""), "{line}");
        assert!(
            done.out.starts_with("Usage: aurora"),
            "{line}: {}",
            done.out
        );
    }
    let version = concat!(env!("CARGO_PKG_VERSION"), "\n");
    run(&folder.0, "--version").expect(0, version, "");
}
