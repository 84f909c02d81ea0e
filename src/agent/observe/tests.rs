use super::*;
use crate::base::rng::Rng;
use crate::executor::checkpoint::{
    Header, ProcessEvent, ProcessRecord, Record, TaskRecord, TaskStateRecord,
};
use crate::executor::order::{Identity, Order};
use crate::executor::paths;
use crate::net::http1::{Body, Headers, Method, Version};
use futures_lite::AsyncReadExt;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const DATA: &str = r#"{"task": {"name": "web", "processes": [
    {"name": "run <it>", "cmdline": "echo '<b>'"}, {"name": "later", "cmdline": "true"}]}}"#;

fn order(id: &str) -> Order {
    Order {
        task: id.to_owned(),
        role: "www".to_owned(),
        environment: "prod".to_owned(),
        job: "web".to_owned(),
        instance: 3,
        executor: "AuroraExecutor".to_owned(),
        data: DATA.to_owned(),
        cpus_milli: 500,
        ram_mb: 64,
        disk_mb: 32,
        gpus: 0,
        ports: vec![("http".to_owned(), 31000)],
        metadata: Vec::new(),
        hostname: "h1".to_owned(),
        identity: Identity {
            user: "www".to_owned(),
            uid: 33,
            gid: 33,
            groups: Vec::new(),
            home: "/".to_owned(),
            is_switched: false,
        },
        kill_wait_ms: 1,
        taken_at_ms: 1_700_000_000_000,
        flags: String::new(),
        wrapper: None,
        wrapper_files: Vec::new(),
        uris: Vec::new(),
    }
}

fn process(run: u32, event: ProcessEvent) -> Record {
    Record::Process(ProcessRecord {
        process: "run <it>".to_owned(),
        run,
        event,
        at_ms: 1_700_000_001_500,
    })
}

fn state(sequence: u64, state: TaskStateRecord) -> Record {
    Record::Task(TaskRecord {
        sequence,
        state,
        message: Some("<script>".to_owned()),
        at_ms: 1_700_000_002_000,
    })
}

fn add_task(work_dir: &Path, id: &str, last: TaskStateRecord) {
    let dir = work_dir.join("tasks").join(id);
    let logs = dir.join(paths::SANDBOX).join(".logs/run <it>/1");
    fs::create_dir_all(&logs).unwrap();
    fs::write(logs.join("stdout"), "a<b\n&\u{e4}\n").unwrap();
    fs::write(dir.join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink("../secret", dir.join(paths::SANDBOX).join("link")).unwrap();
    fs::write(dir.join(paths::ORDER), order(id).encode()).unwrap();
    let running = ProcessEvent::Running {
        pid: 7,
        start_ticks: 1,
    };
    let header = Header {
        task: id.to_owned(),
        pid: 5,
        start_ticks: 1,
        boot_id: "b".to_owned(),
        at_ms: 1,
    };
    let records = [
        Record::Header(header),
        state(1, TaskStateRecord::Starting),
        process(0, running.clone()),
        process(0, ProcessEvent::Failed { return_code: 2 }),
        process(1, running),
        state(2, last),
    ];
    let mut bytes = Vec::new();
    records.iter().for_each(|r| r.encode(&mut bytes));
    // Cut in the middle of a record, as after a crash.
    bytes.extend_from_slice(&[9, 0, 0]);
    fs::write(dir.join(paths::CHECKPOINT), bytes).unwrap();
}

fn observer() -> Observer {
    let work_dir = std::env::temp_dir().join(format!("aurora-pages-{}", Rng::from_os().uuid()));
    add_task(&work_dir, "t1", TaskStateRecord::Running);
    add_task(&work_dir, "t2", TaskStateRecord::Failed);
    fs::create_dir_all(work_dir.join("tasks/broken")).unwrap();
    fs::write(work_dir.join("tasks/broken/order"), "junk").unwrap();
    Observer::new(work_dir, "h1".to_owned(), Standing::default())
}

fn get(observer: &Observer, target: &str) -> (u16, String) {
    let request = Request {
        method: Method::Get,
        target: target.to_owned(),
        version: Version::Http11,
        headers: Headers::default(),
        body: Vec::new(),
        peer: ([127, 0, 0, 1], 1).into(),
    };
    rt::block_on(async {
        let Answer::Reply(response) = observer.handle(request).await else {
            panic!("an answer");
        };
        let mut body = Vec::new();
        match response.body {
            Body::Bytes(bytes) => body = bytes,
            Body::Stream(mut stream) => drop(stream.read_to_end(&mut body).await.unwrap()),
        }
        (response.status, String::from_utf8(body).unwrap())
    })
}

fn get_json(observer: &Observer, target: &str) -> Value {
    let (status, body) = get(observer, target);
    assert_eq!(status, 200, "{target}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn pages_show_tasks_and_never_their_markup() {
    let observer = observer();
    for target in [
        "/",
        "/main",
        "/main/active/0/5",
        "/task/t1",
        "/task/t1/",
        "/process/t1/run%20%3Cit%3E",
        "/browse/t1",
        "/browse/t1/.logs",
        "/file/t1/.logs/run%20%3Cit%3E/1/stdout",
        "/logs/t1/run%20%3Cit%3E/-1/stdout",
    ] {
        let (status, body) = get(&observer, target);
        assert_eq!(status, 200, "{target}");
        assert!(body.contains("t1") || target.contains("browse"), "{target}");
        for bad in ["<b>", "<it>", "<script>"] {
            assert!(!body.contains(bad), "{target}: {bad}");
        }
    }
    let (_, body) = get(&observer, "/task/t1");
    assert!(body.contains("/logs/t1/run%20%3Cit%3E/1/stdout"), "{body}");
    assert_eq!(get(&observer, "/health"), (200, "OK".to_owned()));
    assert_eq!(get(&observer, "/assets/tail.js").0, 200);
}

#[test]
fn json_has_the_shapes_of_the_original() {
    let observer = observer();
    assert_eq!(
        get_json(&observer, "/j/task_id_count"),
        json!({"active": 1, "finished": 1, "all": 2})
    );
    let page = get_json(&observer, "/j/task_ids/finished");
    assert_eq!(page["tasks"][0]["task_id"], "t2");
    assert_eq!((&page["task_count"], &page["num"]), (&json!(1), &json!(1)));
    let task = &get_json(&observer, "/j/task?task_id=t1,t2")["t1"];
    assert_eq!(
        (&task["state"], &task["ports"]),
        (&json!("ACTIVE"), &json!({"http": 31000}))
    );
    assert_eq!(task["processes"]["running"], json!(["run <it>"]));
    assert_eq!(task["processes"]["waiting"], json!(["later"]));
    assert_eq!(
        get_json(&observer, "/j/process/t1/run%20%3Cit%3E/0"),
        json!({
            "process_name": "run <it>", "process_run": 0, "state": "FAILED",
            "start_time": 1_700_000_001.5, "stop_time": 1_700_000_001.5, "return_code": 2,
        })
    );
    assert_eq!(get_json(&observer, "/j/process/t1/none"), json!({}));
    let latest = get_json(&observer, "/j/processes?task_id=t1");
    assert_eq!(latest["t1"]["run <it>"]["process_run"], 1);
    assert_eq!(get_json(&observer, "/rawtask/t1")["name"], "web");
    assert_eq!(get(&observer, "/j/task/none").0, 404);
}

#[test]
fn what_a_living_task_uses_is_shown_and_an_ended_one_uses_nothing() {
    let observer = observer();
    let work_dir = observer.inner.work_dir();
    let own = i32::try_from(std::process::id()).unwrap();
    let start_ticks = crate::executor::os::proc::stat(own).unwrap().start_ticks;
    let mut bytes = Vec::new();
    let header = Header {
        task: "t1".to_owned(),
        pid: own,
        start_ticks,
        boot_id: crate::executor::os::proc::boot_id(),
        at_ms: 1,
    };
    let running = ProcessEvent::Running {
        pid: own,
        start_ticks,
    };
    for record in [Record::Header(header), process(0, running)] {
        record.encode(&mut bytes);
    }
    fs::write(work_dir.join("tasks/t1").join(paths::CHECKPOINT), bytes).unwrap();
    let run = get_json(&observer, "/j/process/t1/run%20%3Cit%3E");
    assert!(run["used"]["rss"].as_u64().unwrap() > 0, "{run}");
    let task = &get_json(&observer, "/j/task/t1")["t1"];
    assert!(task["resource_consumption"]["cpu"].is_number(), "{task}");
    let page = get_json(&observer, "/j/task_ids");
    for name in [
        "cpu", "ram", "disk", "rss", "vms", "user", "system", "threads",
    ] {
        assert!(page["tasks"][0][name].is_number(), "{name}: {page}");
    }
    assert_eq!(page["tasks"][1]["task_id"], "t1", "{page}");
    assert!(page["tasks"][1]["disk"].as_u64().unwrap() > 0, "{page}");
    let (status, threads) = get(&observer, "/threads");
    let own = format!("{own} ");
    assert_eq!(status, 200);
    assert!(
        threads.lines().any(|line| line.starts_with(&own)),
        "{threads}"
    );
    assert!(threads.lines().count() > 2, "{threads}");
    let (status, profile) = get(&observer, "/profile");
    assert_eq!(status, 200);
    assert!(profile.lines().count() > 2, "{profile}");
    let ended = &get_json(&observer, "/j/task/t2")["t2"];
    assert_eq!(ended["resource_consumption"]["rss"], 0);
}

#[test]
fn without_an_agent_its_files_are_found_below_the_given_directory() {
    let work_dir = observer().inner.work_dir();
    let root = std::env::temp_dir().join(format!("aurora-alone-{}", Rng::from_os().uuid()));
    let alone = Observer::alone(root.clone(), "h1".to_owned());
    assert_eq!(get_json(&alone, "/j/task_id_count")["all"], 0);
    // It may come later than the observer.
    fs::create_dir_all(root.join("lib")).unwrap();
    fs::rename(&work_dir, root.join("lib/agent")).unwrap();
    fs::write(root.join("lib/agent/agent_id"), "id").unwrap();
    assert_eq!(get_json(&alone, "/j/task_id_count")["all"], 2);
    assert_eq!(get(&alone, "/task/t1").0, 200);
    assert_eq!(get(&alone, "/vars/agent_connected").0, 404);
    let (_, page) = get(&alone, "/");
    assert!(page.contains("lib/agent"), "{page}");
}

#[test]
fn files_are_read_in_parts() {
    let observer = observer();
    let file = "/filedata/t1/.logs/run%20%3Cit%3E/1/stdout";
    let size = get_json(&observer, &format!("{file}?offset=-1&length=5"));
    assert_eq!(size, json!({"offset": 8, "length": 0, "data": ""}));
    let part = get_json(&observer, &format!("{file}?offset=0&length=3"));
    assert_eq!(part, json!({"offset": 0, "length": 3, "data": "a&lt;b"}));
    let rest = get_json(
        &observer,
        "/logdata/t1/run%20%3Cit%3E/-1/stdout?offset=3&length=-1",
    );
    assert_eq!(rest["data"], "\n&amp;\u{e4}\n");
    assert_eq!(get_json(&observer, "/filedata/t1/none?offset=0"), json!({}));
    assert_eq!(get_json(&observer, "/filedata/t1/link?offset=0"), json!({}));
    let (status, body) = get(&observer, "/download/t1/.logs/run%20%3Cit%3E/1/stdout");
    assert_eq!((status, body.as_str()), (200, "a<b\n&\u{e4}\n"));
}

#[test]
fn nothing_outside_is_shown() {
    let observer = observer();
    for target in [
        "/task/none",
        "/task/broken",
        "/task/..",
        "/browse/t1/..",
        "/browse/t1/%2e%2e",
        "/download/t1/..%2fsecret",
        "/download/t1/link",
        "/file/t1/%2Fetc%2Fpasswd",
        "/download/..%2f..",
        "/logs/t1/..%2f..%2f../1/stdout",
        "/logs/t1/run%20%3Cit%3E/9x/stdout",
        "/logs/t1/run%20%3Cit%3E/1/other",
        "/main/some",
        "/main/all/x",
        "/main/all/1/2/3",
        "/assets/..%2fmod.rs",
        "/j",
        "/x",
        "/j/process/t1/run%20%3Cit%3E/x",
    ] {
        assert_eq!(get(&observer, target).0, 404, "{target}");
    }
    assert_eq!(get(&observer, "/%zz").0, 400);
    assert_eq!(get(&observer, "/filedata/t1/x?offset=q").0, 400);
}
