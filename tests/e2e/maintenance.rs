//! Machines taken out of service, and room made on full ones: two agents on this machine, each with a name
//! of its own.

use crate::job::{self, Outcome};
use crate::world::{AURORA, PATIENCE, World, free_port, text, wait};
use aurora::thrift::api::*;
use aurora::thrift::service::Request;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A process that ends with its owner.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn start(world: &World, name: &str, args: &[String]) -> Daemon {
    let log = fs::File::create(world.path(&format!("{name}.log"))).unwrap();
    let mut command = Command::new(AURORA);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    Daemon(command.stderr(log).spawn().unwrap())
}

fn scheduler(world: &World, flags: &[&str]) -> Daemon {
    let mut args = world.scheduler_args();
    args.extend(flags.iter().map(|flag| (*flag).to_owned()));
    let daemon = start(world, "scheduler", &args);
    wait("the scheduler to lead", || {
        world.get("/leaderhealth").is_some_and(|(s, _)| s == 200)
    });
    daemon
}

/// An agent with two cores that calls its machine `host`.
fn agent(world: &World, host: &str) -> Daemon {
    let replaced = ["-hostname=", "-observer_port=", "-work_dir=", "-resources="];
    let mut args = world.agent_args();
    args.retain(|arg| !replaced.iter().any(|flag| arg.starts_with(flag)));
    args.push(format!("-hostname={host}"));
    args.push(format!("-observer_port={}", free_port()));
    args.push(format!("-work_dir={}", world.path(host).display()));
    args.push("-resources=cpus:2;mem:2048;disk:2048;ports:[31000-31100]".to_owned());
    start(world, host, &args)
}

/// Runs a command of the operators' client and gives what it says.
fn admin(world: &World, line: &str) -> String {
    let mut args = vec!["admin"];
    args.extend(line.split_whitespace());
    let output = world.client(&args);
    assert!(output.status.success(), "{line}: {}", text(&output));
    text(&output)
}

fn make(world: &World, request: &Request) {
    let Outcome::Answered(response) = job::call(world, request, None) else {
        panic!("no answer");
    };
    assert!(job::is_ok(&response), "{response:?}");
}

/// A job of services that only wait, with `change` made to what they run.
fn services(name: &str, instances: i32, change: impl FnOnce(&mut TaskConfig)) -> Request {
    let mut request = job::create(name, instances, true, "exec sleep 1000");
    if let Request::CreateJob(args) = &mut request {
        let description = args.description.as_mut().unwrap();
        change(description.task_config.as_mut().unwrap());
    }
    request
}

/// How many tasks of a job run on each host.
fn running(world: &World, name: &str) -> BTreeMap<String, usize> {
    let mut hosts = BTreeMap::new();
    for task in job::tasks(world).unwrap_or_default() {
        if job::job_of(&task) == name && job::status_of(&task) == ScheduleStatus::Running {
            let host = task.assigned_task.unwrap().slave_host.unwrap();
            *hosts.entry(host).or_default() += 1;
        }
    }
    hosts
}

fn on(host: &str, count: usize) -> BTreeMap<String, usize> {
    BTreeMap::from([(host.to_owned(), count)])
}

fn json(world: &World, path: &str) -> serde_json::Value {
    let (status, body) = world.get(path).unwrap();
    assert_eq!(status, 200);
    serde_json::from_str(&body).unwrap()
}

/// A coordinator that says no until it is told to say yes.
struct Coordinator {
    url: String,
    allows: Arc<AtomicBool>,
    /// Request line and body of each question.
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Coordinator {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/may-drain", listener.local_addr().unwrap());
        let (allows, asked) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let shared = (Arc::clone(&allows), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &shared.0, &shared.1);
            }
        });
        Self { url, allows, asked }
    }
}

fn answer(stream: std::net::TcpStream, allows: &AtomicBool, asked: &Mutex<Vec<(String, String)>>) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    asked
        .lock()
        .unwrap()
        .push((first.trim_end().to_owned(), body));
    let said = format!("{{\"ready\": {}}}", allows.load(Ordering::SeqCst));
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", said.len());
    (&stream)
        .write_all(format!("{head}{said}").as_bytes())
        .unwrap();
}

#[test]
fn hosts_are_drained_at_once_or_as_a_coordinator_allows() {
    let world = World::new("maintenance");
    let flags = ["-host_maintenance_polling_interval=1secs"];
    let _scheduler = scheduler(
        &world,
        &[&flags[..], &["-sla_aware_kill_non_prod=true"]].concat(),
    );
    let _one = agent(&world, "one");
    make(&world, &services("web", 3, |_| {}));
    wait("the job to run", || running(&world, "web") == on("one", 3));
    let _two = agent(&world, "two");
    wait("the second agent", || {
        world.get("/offers").unwrap().1.contains("\"two\"")
    });

    let said = admin(&world, "host_drain local --hosts one,nobody");
    assert!(said.contains("unknown hosts: nobody"), "{said}");
    wait("the job to run elsewhere", || {
        running(&world, "web") == on("two", 3)
    });
    wait("the host to be drained", || {
        json(&world, "/maintenance")["DRAINED"] == serde_json::json!(["one"])
    });
    let said = admin(&world, "host_status local --hosts one,two");
    assert!(said.contains("one is in state: DRAINED"), "{said}");
    assert!(said.contains("two is in state: NONE"), "{said}");
    admin(&world, "host_activate local --hosts one");

    // Now two is to be drained, but a coordinator has its say about each task of another job there.
    let coordinator = Coordinator::start();
    admin(&world, "host_deactivate local --hosts one");
    let policy = CoordinatorSlaPolicy {
        coordinator_url: Some(coordinator.url.clone()),
        status_key: Some("ready".into()),
    };
    let bound = services("bound", 2, |config| {
        config.sla_policy = Some(SlaPolicy::CoordinatorSlaPolicy(policy));
    });
    make(&world, &bound);
    wait("the second job to run", || {
        running(&world, "bound") == on("two", 2)
    });
    admin(&world, "host_activate local --hosts one");
    admin(
        &world,
        "sla_host_drain local --hosts two --force_drain_timeout=1h",
    );
    wait("the first job to leave", || {
        running(&world, "web") == on("one", 3)
    });
    let tasks = || -> BTreeSet<String> {
        let asked = coordinator.asked.lock().unwrap();
        asked.iter().map(|(line, _)| line.clone()).collect()
    };
    wait("both tasks to be asked about", || tasks().len() == 2);
    assert_eq!(running(&world, "bound"), on("two", 2));
    let shown = json(&world, "/maintenance");
    assert_eq!(
        shown["DRAINING"]["two"].as_array().unwrap().len(),
        2,
        "{shown}"
    );
    coordinator.allows.store(true, Ordering::SeqCst);
    wait("the second job to leave", || {
        running(&world, "bound") == on("one", 2)
    });
    wait("the host to be drained", || {
        json(&world, "/maintenance")["DRAINED"] == serde_json::json!(["two"])
    });

    let role = job::key("bound").role.unwrap();
    let line = format!("POST /may-drain?task=local/{role}/devel/bound/0 HTTP/1.1");
    assert!(tasks().contains(&line), "{:?}", tasks());
    let asked = coordinator.asked.lock().unwrap();
    let body: serde_json::Value = serde_json::from_str(&asked[0].1).unwrap();
    let left: i64 = body["forceMaintenanceCountdownMs"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((3_000_000..=3_600_000).contains(&left), "{left}");
    assert_eq!(body["taskConfig"]["assignedTask"]["slaveHost"], "two");
    wait("the answers to be counted", || {
        json(&world, "/vars.json")["sla_coordinator_success"].as_i64() == Some(2)
    });
}

#[test]
fn production_work_makes_room_for_itself_on_a_full_machine() {
    let world = World::new("preemption");
    let flags = [
        "-preemption_delay=1secs",
        "-preemption_slot_search_initial_delay=1secs",
        "-preemption_slot_search_interval=1secs",
    ];
    let _scheduler = scheduler(&world, &flags);
    let _one = agent(&world, "one");
    let cores =
        |cores: f64| move |config: &mut TaskConfig| config.resources[0] = Resource::NumCpus(cores);
    make(&world, &services("low", 3, cores(0.6)));
    wait("the machine to be full", || {
        running(&world, "low") == on("one", 3)
    });
    let role = job::key("low").role.unwrap();
    admin(&world, &format!("set_quota local {role} 1.5 1G 1G"));
    admin(&world, &format!("increase_quota local {role} 0.5 1G 1G"));
    let quotas = json(&world, "/quotas");
    assert_eq!(quotas[&role]["cpu_cores"], 2.0, "{quotas}");
    make(
        &world,
        &services("high", 1, |config| {
            cores(1.2)(config);
            config.tier = Some("preferred".into());
        }),
    );
    wait("room to be made", || {
        running(&world, "high") == on("one", 1)
    });
    assert_eq!(running(&world, "low"), on("one", 1));
    let tasks = job::tasks_at_last(&world);
    let messages = tasks.iter().flat_map(|task| &task.task_events);
    let told = messages.filter(|event| event.status == Some(ScheduleStatus::Preempting));
    let told: Vec<_> = told.filter_map(|event| event.message.clone()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    let favoured = tasks
        .iter()
        .find(|task| job::job_of(task) == "high")
        .unwrap();
    let expected = format!("Preempting in favor of {}", job::id_of(favoured));
    assert!(told.iter().all(|message| *message == expected), "{told:?}");
}
