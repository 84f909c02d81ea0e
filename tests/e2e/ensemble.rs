//! Three schedulers and an agent: leaders are killed, stopped, told to quit and robbed of their disks, under
//! load. Nothing acknowledged is lost, nothing runs twice, and no task notices.

use crate::chaos::{
    Job, Stopping, insist, judge_the_end, load, repeat_everything, service_line, steady_tasks,
    verdict,
};
use crate::job::{create, status_of};
use crate::world::{AURORA, World, exchange, free_ports, now, text, wait};
use aurora::base::rng::Rng;
use aurora::thrift::api::ScheduleStatus;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

const SIZE: usize = 3;

/// One of the schedulers.
pub struct Member {
    pub http: u16,
    pub peer: u16,
    /// What its flags say: who the replicas are (nobody: the flag is left out), and how many decide.
    pub named: Vec<usize>,
    pub quorum: u32,
    /// The version that is started.
    pub program: PathBuf,
    pub child: Option<Child>,
}

/// All of them, with the world in which they live.
pub struct Ensemble {
    pub world: World,
    pub members: Vec<Member>,
    /// Flags of every scheduler.
    pub flags: Vec<String>,
    /// Where their listeners for peers really are: the peers look for them on 127.0.0.1.
    pub peer_ip: &'static str,
}

impl Ensemble {
    /// Initialised logs, and nothing running.
    pub fn new(name: &str) -> Self {
        let ensemble = Self::of(name, &free_ports::<{ 2 * SIZE }>());
        for index in 0..SIZE {
            ensemble.initialize(index);
        }
        ensemble
    }

    /// Two ports for each, no logs, and nothing running.
    pub fn of(name: &str, ports: &[u16]) -> Self {
        let mut world = World::uninitialised(name);
        let size = ports.len() / 2;
        let members: Vec<Member> = ports
            .chunks(2)
            .map(|pair| Member {
                http: pair[0],
                peer: pair[1],
                named: (0..size).collect(),
                quorum: u32::try_from(size).unwrap() / 2 + 1,
                program: AURORA.into(),
                child: None,
            })
            .collect();
        world.doors = members.iter().map(|m| m.http).collect();
        Self {
            world,
            members,
            flags: Vec::new(),
            peer_ip: "127.0.0.1",
        }
    }

    pub fn initialize(&self, index: usize) {
        let path = format!("--path={}", self.disk(index).display());
        let out = self.world.log_tool(&["initialize", &path]);
        assert!(out.status.success(), "initialize: {}", text(&out));
    }

    pub fn disk(&self, index: usize) -> PathBuf {
        self.world.path(&format!("db{index}"))
    }

    /// The port for the log's tools.
    pub fn peer(&self, index: usize) -> u16 {
        self.members[index].peer
    }

    /// As the peers of `index` and its tools name it.
    pub fn address(&self, index: usize) -> String {
        format!("127.0.0.1:{}", self.members[index].peer)
    }

    pub fn start(&mut self, index: usize) {
        assert!(self.members[index].child.is_none(), "it runs already");
        let member = &self.members[index];
        let mut args = self.world.scheduler_args();
        let peers: Vec<String> = member.named.iter().map(|at| self.address(*at)).collect();
        let mut own = vec![
            ("-http_port", member.http.to_string()),
            ("-peer_port", member.peer.to_string()),
            ("-peer_ip", self.peer_ip.to_owned()),
            (
                "-native_log_file_path",
                self.disk(index).display().to_string(),
            ),
            ("-native_log_quorum_size", member.quorum.to_string()),
        ];
        if !peers.is_empty() {
            own.push(("-native_log_peers", peers.join(",")));
        }
        args.retain(|arg| {
            own.iter()
                .all(|(name, _)| !arg.starts_with(&format!("{name}=")))
        });
        args.extend(own.iter().map(|(name, value)| format!("{name}={value}")));
        args.extend(self.flags.iter().cloned());
        let name = format!("scheduler{index}");
        let child = self.world.spawn(&member.program, &name, &args);
        self.members[index].child = Some(child);
    }

    pub fn start_all(&mut self) {
        for index in 0..SIZE {
            self.start(index);
        }
        self.start_agent();
    }

    /// An agent that knows all schedulers.
    pub fn start_agent(&mut self) {
        let doors = self.members.iter();
        let doors = doors.map(|m| format!("{}:{}", self.peer_ip, m.peer));
        let scheduler = format!("-scheduler={}", doors.collect::<Vec<_>>().join(","));
        let mut args = self.world.agent_args();
        args.retain(|arg| !arg.starts_with("-scheduler="));
        self.world.start_agent_as({
            args.push(scheduler);
            args
        });
    }

    /// The one that leads by its own word.
    pub fn leader(&self) -> Option<usize> {
        let leads = |m: &Member| m.child.is_some() && status(m.http, "/leaderhealth") == Some(200);
        self.members.iter().position(leads)
    }

    pub fn wait_for_leader(&self) -> usize {
        let mut leader = None;
        wait("a leader", || {
            leader = self.leader();
            leader.is_some()
        });
        leader.unwrap()
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self, index: usize) {
        if let Some(mut child) = self.members[index].child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn signal(&self, index: usize, signal: Signal) {
        let child = self.members[index].child.as_ref().unwrap();
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
    }

    /// Waits until a scheduler that was told to end has ended, and gives its status.
    pub fn join(&mut self, index: usize) -> i32 {
        let mut child = self.members[index].child.take().unwrap();
        wait("the scheduler to end", || {
            child.try_wait().unwrap().is_some()
        });
        child.wait().unwrap().code().unwrap_or(-1)
    }

    /// Whether every scheduler has a seat in the ensemble, votes, and is heard: another disk may be lost.
    pub fn all_vote(&self) -> bool {
        self.votes(SIZE)
    }

    /// Whether the ensemble has so many members, all of which vote and are heard.
    pub fn votes(&self, size: usize) -> bool {
        let Some(leader) = self.leader() else {
            return false;
        };
        // Not through a proxy that stands between the members.
        let peer = format!("--peer={}:{}", self.peer_ip, self.members[leader].peer);
        let key = format!("--key={}", self.world.path("replica.key").display());
        let report = text(&self.world.log_tool(&["status", &peer, &key]));
        let rows: Vec<Vec<&str>> = report
            .lines()
            .map(|line| line.split_whitespace().collect())
            .filter(|row: &Vec<&str>| row.first().is_some_and(|at| at.starts_with("127.0.0.1:")))
            .collect();
        // Of one that is gone the last is shown that was heard of it: it voted then.
        let is_there = |row: &Vec<&str>| !row.contains(&"gone,") && !row.contains(&"never");
        let votes = |row: &Vec<&str>| {
            matches!(row.get(2), Some(&"leader" | &"follower"))
                && row.get(3) == Some(&"VOTING")
                && is_there(row)
        };
        rows.len() == size && rows.iter().all(votes)
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        for index in 0..self.members.len() {
            self.kill(index);
        }
        if std::thread::panicking() {
            for index in 0..self.members.len() {
                let log = fs::read_to_string(self.world.path(&format!("scheduler{index}.log")));
                let log = log.unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                println!("-- the end of scheduler{index}.log:");
                for line in &lines[lines.len().saturating_sub(40)..] {
                    println!("{line}");
                }
            }
        }
    }
}

pub fn page(port: u16, path: &str) -> Option<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let (_, _, body) = exchange(port, request.as_bytes()).ok()?;
    Some(String::from_utf8_lossy(&body).into_owned())
}

pub fn status(port: u16, path: &str) -> Option<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    exchange(port, request.as_bytes())
        .ok()
        .map(|(status, _, _)| status)
}

/// Four of six rounds end a leader with SIGKILL: 20 and 100 such.
fn rounds() -> usize {
    match std::env::var("AURORA_LONG").as_deref() {
        Ok("1") => 150,
        Ok(_) | Err(_) => 30,
    }
}

/// Makes the steady job, whose tasks must not notice anything.
pub fn begin(ensemble: &Ensemble, judge: &Path) -> crate::chaos::Lines {
    let world = &ensemble.world;
    insist(
        world,
        &create("steady", 5, true, &service_line(judge)),
        "steady",
    );
    wait("the steady tasks", || {
        let running = |t: &&_| status_of(t) == ScheduleStatus::Running;
        steady_tasks(world).is_some_and(|t| t.iter().filter(running).count() == 5)
            && verdict(judge).0.len() == 5
    });
    verdict(judge).0
}

/// What is done to a leader in one round.
fn mishap(ensemble: &mut Ensemble, leader: usize, kind: usize, rng: &mut Rng) {
    match kind {
        // Told to end: it hands over first.
        0 => {
            ensemble.signal(leader, Signal::SIGTERM);
            assert_eq!(ensemble.join(leader), 0);
            ensemble.start(leader);
        }
        // Stopped for longer than anybody waits; it must not believe that it leads when it goes on.
        1 => {
            ensemble.signal(leader, Signal::SIGSTOP);
            std::thread::sleep(rng.duration(Duration::from_millis(800), Duration::from_secs(2)));
            ensemble.signal(leader, Signal::SIGCONT);
        }
        // Its disk is gone. It comes back as a new incarnation, by itself.
        2 => {
            ensemble.kill(leader);
            fs::remove_dir_all(ensemble.disk(leader)).unwrap();
            ensemble.start(leader);
            wait("all to vote again", || ensemble.all_vote());
        }
        _ => {
            ensemble.kill(leader);
            std::thread::sleep(rng.duration(Duration::ZERO, Duration::from_millis(300)));
            ensemble.start(leader);
        }
    }
}

#[test]
fn leaders_that_die_stall_or_lose_their_disk_lose_nothing_and_no_task_notices() {
    let mut ensemble = Ensemble::new("ensemble");
    let judge = ensemble.world.path("judge");
    ensemble.start_all();
    ensemble.wait_for_leader();
    let before = begin(&ensemble, &judge);

    let mut jobs: Vec<Job> = Vec::new();
    let mut rng = Rng::from_seed(7);
    for round in 0..rounds() {
        let leader = ensemble.wait_for_leader();
        let stop = AtomicBool::new(false);
        let view = ensemble.world.view();
        jobs.extend(std::thread::scope(|scope| {
            let (view, judge, stop) = (&view, &judge, &stop);
            let stopping = Stopping(stop);
            let loader = scope.spawn(move || load(view, judge, round, stop));
            std::thread::sleep(rng.duration(Duration::from_millis(50), Duration::from_millis(400)));
            mishap(&mut ensemble, leader, round % 6, &mut rng);
            ensemble.wait_for_leader();
            std::thread::sleep(Duration::from_millis(200));
            drop(stopping);
            loader.join().unwrap()
        }));
    }
    println!("{} jobs in {} rounds", jobs.len() + 1, rounds());
    ensemble.wait_for_leader();
    wait("all to vote", || ensemble.all_vote());
    judge_the_end(&ensemble.world, &judge, &jobs, &before);
    repeat_everything(&ensemble.world, &jobs);
    judge_the_end(&ensemble.world, &judge, &jobs, &before);
}

#[test]
fn followers_send_clients_to_the_leader_and_a_leader_alone_serves_nothing() {
    let mut ensemble = Ensemble::new("followers");
    let judge = ensemble.world.path("judge");
    ensemble.start_all();
    let leader = ensemble.wait_for_leader();
    begin(&ensemble, &judge);
    let port = ensemble.members[leader].http;
    let others: Vec<usize> = (0..SIZE).filter(|i| *i != leader).collect();
    for other in &others {
        let http = ensemble.members[*other].http;
        wait("the follower to know the leader", || {
            status(http, "/leaderhealth") == Some(503)
        });
        let request = b"GET /scheduler?x=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let (code, head, _) = exchange(http, request).unwrap();
        assert_eq!(code, 307);
        let location = format!("http://127.0.0.1:{port}/scheduler?x=1");
        assert!(head.contains(&location), "{head}");
        assert_eq!(status(http, "/health"), Some(200));
        let bypass = b"GET /scheduler HTTP/1.1\r\nHost: x\r\nBypass-Leader-Redirect: true\r\n\
                       Connection: close\r\n\r\n";
        let (code, ..) = exchange(http, bypass).unwrap();
        assert_eq!(code, 200);
    }
    for other in &others {
        ensemble.kill(*other);
    }
    wait("the leader to stand down", || {
        status(port, "/leaderhealth") == Some(502)
    });
    let shown = page(port, "/scheduler").unwrap();
    assert!(shown.contains("Storage is not READY"), "{shown}");
    assert_eq!(status(port, "/health"), Some(200));
    let begun = now();
    for other in &others {
        ensemble.start(*other);
    }
    ensemble.wait_for_leader();
    println!("a leader again after {:?}", begun.elapsed());
}

#[test]
fn a_term_that_has_lasted_long_enough_goes_over_and_nobody_loses_anything() {
    let mut ensemble = Ensemble::new("terms");
    ensemble
        .flags
        .push("-max_leading_duration=2secs".to_owned());
    let judge = ensemble.world.path("judge");
    ensemble.start_all();
    ensemble.wait_for_leader();
    let before = begin(&ensemble, &judge);
    let stop = AtomicBool::new(false);
    let view = ensemble.world.view();
    let jobs = std::thread::scope(|scope| {
        let (view, judge, stop) = (&view, &judge, &stop);
        let stopping = Stopping(stop);
        let loader = scope.spawn(move || load(view, judge, 0, stop));
        for term in 0..4 {
            let leader = ensemble.wait_for_leader();
            wait(&format!("the end of term {term}"), || {
                ensemble.leader().is_some_and(|next| next != leader)
            });
        }
        drop(stopping);
        loader.join().unwrap()
    });
    judge_the_end(&ensemble.world, &judge, &jobs, &before);
    for (index, member) in ensemble.members.iter_mut().enumerate() {
        let ended = member.child.as_mut().unwrap().try_wait().unwrap();
        assert_eq!(ended, None, "scheduler {index} has ended");
    }
}
