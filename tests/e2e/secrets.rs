//! Secrets stay where they were given: recognisable ones go in everywhere, things go wrong, and then every
//! line of a log, every page, every command line and environment is searched for them.

use crate::job::{self, Outcome, create, id_of, key, status_of, tasks, tasks_at_last};
use crate::world::{AURORA, World, exchange, processes_below, text, wait};
use aurora::thrift::api::{MesosFetcherUri, ScheduleStatus};
use aurora::thrift::service::Request;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};

/// All that is secret begins like this.
const MARK: &str = "Xq7Secret";

/// Pages of a scheduler that people and programs read.
const PAGES: &[&str] = &[
    "/vars",
    "/vars.json",
    "/metrics",
    "/health",
    "/readyz?verbose",
    "/leaderhealth",
    "/logconfig",
    "/scheduler",
    "/agents",
    "/offers",
    "/pendingtasks",
    "/quotas",
    "/tiers",
    "/cron",
    "/maintenance",
    "/state",
    "/structdump",
    "/utilization",
    "/updates",
    "/threads",
    "/graphview",
    "/contention",
    "/flags",
    "/environ",
    "/nowhere",
];

/// What was said, and where.
#[derive(Default)]
struct Said(Vec<(String, String)>);

impl Said {
    fn add(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.0.push((place.into(), text.into()));
    }

    /// The command lines of our own programs that run in the world, and the environments of those that the
    /// agent has started.
    fn add_processes(&mut self, world: &World) {
        for pid in processes_below(&world.dir) {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            if name.starts_with("aurora") {
                let files: &[&str] = match name.trim() {
                    "aurora" => &["cmdline"],
                    _ => &["cmdline", "environ"],
                };
                for file in files {
                    let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                    let place = format!("{file} of {} ({pid})", name.trim());
                    self.add(place, String::from_utf8_lossy(&bytes));
                }
            }
        }
    }

    fn check(&self, secrets: &[String]) {
        for (place, text) in &self.0 {
            for secret in secrets {
                let line = text.lines().find(|line| line.contains(secret.as_str()));
                assert!(line.is_none(), "{place} shows {secret}: {line:?}");
            }
        }
    }
}

/// The longest word of a key's file is the key.
fn key_in(world: &World, file: &str) -> String {
    let text = fs::read_to_string(world.path(file)).unwrap();
    let key = text.split_whitespace().max_by_key(|w| w.len()).unwrap();
    assert!(key.len() >= 32, "{key}");
    key.to_owned()
}

/// One line: time in UTC, level, target, message, and nothing that moves a terminal's cursor.
fn check_lines(name: &str, log: &str) {
    assert!(log.lines().count() > 1, "{name}: {log}");
    for line in log.lines() {
        let mut words = line.split_whitespace();
        let (stamp, level) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let is_stamp = stamp.len() >= 20
            && stamp.ends_with('Z')
            && stamp.bytes().take(19).enumerate().all(|(at, b)| match at {
                4 | 7 => b == b'-',
                10 => b == b'T',
                13 | 16 => b == b':',
                _ => b.is_ascii_digit(),
            });
        let is_level = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level);
        let target = words.next().unwrap_or_default();
        assert!(
            is_stamp && is_level && target.starts_with('[') && target.ends_with(']'),
            "{name}: {line:?}"
        );
        assert!(!line.chars().any(char::is_control), "{name}: {line:?}");
    }
}

fn with_uri(name: &str, uri: &str) -> Request {
    let mut request = create(name, 1, false, "exec sleep 86400");
    let Request::CreateJob(call) = &mut request else {
        panic!()
    };
    let job = call.description.as_mut().unwrap();
    let config = job.task_config.as_mut().unwrap();
    config.mesos_fetcher_uris = [MesosFetcherUri {
        value: Some(uri.to_owned()),
        extract: false,
        cache: false,
        output_file: Some("file".to_owned()),
    }]
    .into_iter()
    .collect();
    request
}

#[test]
fn no_secret_is_in_a_log_a_page_a_command_line_or_an_error() {
    let secret = |what: &str| format!("{MARK}{what}");
    let mut world = World::new("audit");
    let mut said = Said::default();
    let login = |what: &str| format!("http://user:{MARK}{what}@127.0.0.1:1");

    // Given to the scheduler by flags and environment.
    let mut args = world.scheduler_args();
    args.push("-enable_mesos_fetcher=true".to_owned());
    args.push("-log_level=TRACE".to_owned());
    args.push(format!("-viz_job_url_prefix={}/", login("Viz")));
    let start = |world: &World, name: &str, args: &[String]| {
        Command::new(AURORA)
            .args(args)
            .env("AURORA_UNKNOWN_TOKEN", secret("Environment"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(world.path(&format!("{name}.log"))).unwrap())
            .spawn()
            .unwrap()
    };
    let mut scheduler = start(&world, "scheduler", &args);
    let mut agent_args = world.agent_args();
    agent_args.push("-log_level=TRACE".to_owned());
    let mut agent = start(&world, "agent", &agent_args);
    world.wait_for_leader();

    // Given by requests and by jobs; each goes wrong.
    let basic = format!("Basic {}", secret("Basic"));
    for headers in [
        vec![
            ("Authorization", basic.as_str()),
            ("X-Token", basic.as_str()),
        ],
        vec![
            ("Cookie", basic.as_str()),
            ("Content-Type", "application/vnd.apache.thrift.json"),
        ],
    ] {
        said.add(
            "a refused call",
            format!("{:?}", world.post("/api", &headers, b"nonsense")),
        );
    }
    let page = format!("/scheduler/role?access_token={}", secret("Query"));
    let (_, answer) = world.get(&page).unwrap();
    // A page may link to itself; the log may not.
    assert!(!answer.contains("Internal"), "{answer}");
    crate::chaos::insist(
        &world,
        &with_uri("fetches", &format!("{}/file", login("Fetch"))),
        "fetches",
    );
    crate::chaos::insist(
        &world,
        &create(
            "runs",
            1,
            true,
            &format!("export PASSWORD={}; sleep 86400 & wait", secret("Job")),
        ),
        "runs",
    );
    wait("one task to run and one to have failed", || {
        let all = tasks(&world).unwrap_or_default();
        let has = |wanted: &[ScheduleStatus]| all.iter().any(|t| wanted.contains(&status_of(t)));
        has(&[ScheduleStatus::Running]) && has(&[ScheduleStatus::Failed, ScheduleStatus::Lost])
    });
    let all = tasks_at_last(&world);
    for task in &all {
        for event in &task.task_events {
            said.add("an event", event.message.clone().unwrap_or_default());
        }
    }
    let events: String = all
        .iter()
        .flat_map(|t| &t.task_events)
        .filter_map(|e| e.message.clone())
        .collect();
    assert!(events.contains("http://***@127.0.0.1:1/file"), "{events}");
    // Strangers at the port of the agents, and one with another key.
    for garbage in [&b"\r\n\x1b[31mforged\n"[..], &[0xff; 64]] {
        let mut stream = TcpStream::connect(("127.0.0.1", world.peer_port)).unwrap();
        // It may be closed at once.
        stream.write_all(garbage).unwrap_or_default();
    }
    let stranger = world.path("stranger");
    fs::create_dir(&stranger).unwrap();
    let out = world.log_tool(&[
        "initialize",
        &format!("--path={}", stranger.join("db").display()),
    ]);
    assert!(out.status.success(), "{}", text(&out));
    let own_key = key_in(&world, "agent.key");
    let others_key = key_in(&world, "stranger/agent.key");
    let mut stranger_args = world.agent_args();
    stranger_args.retain(|arg| {
        !["-work_dir", "-agent_key", "-observer_port"]
            .iter()
            .any(|it| arg.starts_with(it))
    });
    stranger_args.push(format!("-work_dir={}", stranger.join("work").display()));
    stranger_args.push(format!(
        "-agent_key_file={}",
        stranger.join("agent.key").display()
    ));
    stranger_args.push("-observer_port=-1".to_owned());
    let mut other = start(&world, "stranger", &stranger_args);
    wait("the stranger to be refused", || {
        let log = fs::read_to_string(world.path("stranger.log")).unwrap_or_default();
        log.contains("key")
    });
    // Requests that would write lines of their own.
    let forged = "GET /scheduler/a%0a2026-01-01T00:00:00Z%20ERROR%20[x]%20forged HTTP/1.1\r\nHost: x\r\n\
                  Connection: close\r\n\r\n";
    said.add(
        "a page",
        format!("{:?}", exchange(world.http_port, forged.as_bytes())),
    );
    let mut hostile = create("hostile", 1, true, "true");
    if let Request::CreateJob(call) = &mut hostile {
        let job = call.description.as_mut().unwrap();
        job.key.as_mut().unwrap().name =
            Some("a\n2026-01-01T00:00:00Z ERROR [x] forged\x1b[2J".to_owned());
    }
    if let Outcome::Answered(answer) = job::call(&world, &hostile, None) {
        assert!(!job::is_ok(&answer));
    }

    // What everybody can see.
    let keys = [own_key, others_key, key_in(&world, "replica.key")];
    let job_page = format!("/scheduler/{}/devel/fetches", key("fetches").role.unwrap());
    let mut paths: Vec<String> = PAGES.iter().map(|p| (*p).to_owned()).collect();
    paths.extend([job_page.clone(), format!("{job_page}/0")]);
    paths.extend(
        all.iter()
            .map(|task| format!("/structdump/task/{}", id_of(task))),
    );
    let is_job = |path: &str| path == "/state" || path.contains("/structdump/task/");
    for path in &paths {
        let (status, body) = world.get(path).unwrap();
        assert!(status < 500 || path.contains("health"), "{path}: {status}");
        // The description of a job belongs to who reads jobs, and holds what its owner wrote into it.
        match is_job(path) {
            true => said.add(path, body.replace(&secret("Job"), "")),
            false => said.add(path, body),
        }
    }
    for path in ["/", "/main/all", "/vars", "/health", "/threads"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let (_, head, body) = exchange(world.observer_port, request.as_bytes()).unwrap();
        said.add(
            format!("observer {path}"),
            head + &String::from_utf8_lossy(&body),
        );
    }
    said.add_processes(&world);
    let vars = world.get("/vars").unwrap().1;
    assert!(
        vars.contains("flag_viz_job_url_prefix http://***@"),
        "{vars}"
    );

    // The command line tools.
    let clusters = format!(
        r#"[{{"name": "local", "scheduler_uri": "{}"}}]"#,
        login("Cluster")
    );
    let config = world.path("client");
    fs::create_dir(&config).unwrap();
    fs::write(config.join("clusters.json"), &clusters).unwrap();
    let netrc = world.path("netrc");
    fs::write(
        &netrc,
        format!(
            "machine 127.0.0.1 login user password {}\n",
            secret("Netrc")
        ),
    )
    .unwrap();
    for line in [
        "job status local/a/devel/b",
        "admin get_scheduler local",
        "job list nowhere/a",
    ] {
        let mut child = Command::new(AURORA)
            .args(line.split(' '))
            .arg("--verbose")
            .env("AURORA_CONFIG_ROOT", &config)
            .env("NETRC", &netrc)
            .stdin(Stdio::null())
            .stdout(fs::File::create(world.path("client.out")).unwrap())
            .stderr(fs::File::create(world.path("client.err")).unwrap())
            .spawn()
            .unwrap();
        // It would try for minutes.
        let both = || {
            let read = |name: &str| fs::read_to_string(world.path(name)).unwrap_or_default();
            read("client.out") + &read("client.err")
        };
        wait("a word of the client", || {
            both().lines().count() > 0 || child.try_wait().unwrap().is_some()
        });
        child.kill().unwrap_or_default();
        child.wait().unwrap();
        said.add(line, both());
    }

    // Flags that stop the start, or are wrong.
    for flag in [
        format!("-zk_digest_credentials=user:{}", secret("Digest")),
        format!("-zk_digest_credential=user:{}", secret("Digest")),
        format!("-zk_endpoints=zk://user:{}@h:1", secret("Digest")),
        format!("-http_port=http://user:{}@h:1", secret("Digest")),
        format!("http://user:{}@h:1", secret("Digest")),
    ] {
        let out = Command::new(AURORA)
            .args(["scheduler", &flag])
            .output()
            .unwrap();
        assert!(!out.status.success());
        said.add("a refused flag", text(&out));
    }
    for child in [&mut scheduler, &mut agent, &mut other] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    for name in ["scheduler", "agent", "stranger"] {
        let log = fs::read_to_string(world.path(&format!("{name}.log"))).unwrap();
        check_lines(name, &log);
        assert!(
            !log.lines()
                .any(|line| line.starts_with("2026-01-01T00:00:00Z")),
            "{log}"
        );
        said.add(format!("{name}.log"), log);
    }
    let mut secrets = keys.to_vec();
    secrets.push(MARK.to_owned());
    said.check(&secrets);
}

#[test]
fn a_password_on_the_command_line_is_covered_in_the_list_of_processes() {
    let mut world = World::new("covered");
    let address = format!("zk://user:{MARK}@127.0.0.1:2181/mesos/master");
    let mut args = world.scheduler_args();
    args.push(format!("-mesos_master_address={address}"));
    let child = world.spawn(AURORA.as_ref(), "scheduler", &args);
    let pid = child.id();
    let mut child = child;
    let shown =
        || String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).unwrap()).into_owned();
    wait("the scheduler to serve", || {
        world.get("/vars").is_some_and(|(status, _)| status == 200)
    });
    assert!(!shown().contains(MARK), "{}", shown());
    assert!(
        shown().contains("-mesos_master_address=****"),
        "{}",
        shown()
    );
    // Everything else is there: scripts look for the process by it.
    assert!(shown().contains(&format!("-http_port={}", world.http_port)));
    let vars = world.get("/vars").unwrap().1;
    assert!(
        vars.contains("flag_mesos_master_address zk://***@127.0.0.1:2181/mesos/master"),
        "{vars}"
    );
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!world.scheduler_log().contains(MARK));
    world.kill_scheduler();
}
