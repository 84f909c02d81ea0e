//! Three schedulers whose connections to one another are cut and delayed by a proxy of ours, under load:
//! nothing acknowledged is lost, and nobody leads without a quorum.
//!
//! The schedulers name each other by 127.0.0.1, where the proxy listens, and listen on 127.0.1.1
//! themselves. Whose a connection is, is read from the kernel's tables.

use crate::chaos::{Job, Stopping, judge_the_end, load, repeat_everything};
use crate::ensemble::{Ensemble, begin, status};
use crate::world::wait;
use aurora::base::rng::Rng;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SIZE: usize = 3;
const REAL_IP: &str = "127.0.1.1";

/// What becomes of the bytes from one scheduler to another.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    /// They pass.
    Open,
    /// They pass late.
    Slow(Duration),
    /// They stay where they are, without a word to either side.
    Silent,
    /// The connection ends, and none is made.
    Torn,
}

/// The process of each scheduler, and the links between them by `from * SIZE + to`.
#[derive(Debug)]
struct Wiring {
    pids: Mutex<[u32; SIZE]>,
    links: Mutex<[Link; SIZE * SIZE]>,
    is_over: AtomicBool,
}

impl Wiring {
    fn link(&self, from: usize, to: usize) -> Link {
        self.links.lock().unwrap()[from * SIZE + to]
    }

    fn set(&self, from: usize, to: usize, link: Link) {
        self.links.lock().unwrap()[from * SIZE + to] = link;
    }

    /// Both ways between one and all others.
    fn set_around(&self, one: usize, link: Link) {
        for other in (0..SIZE).filter(|other| *other != one) {
            self.set(one, other, link);
            self.set(other, one, link);
        }
    }

    fn heal(&self) {
        *self.links.lock().unwrap() = [Link::Open; SIZE * SIZE];
    }

    fn know(&self, ensemble: &Ensemble) {
        let ids = ensemble.members.iter();
        let ids = ids.map(|m| m.child.as_ref().map_or(0, std::process::Child::id));
        let ids: Vec<u32> = ids.collect();
        *self.pids.lock().unwrap() = ids.try_into().unwrap();
    }

    /// Which scheduler holds the other end of `stream`, if one does.
    fn dialer(&self, stream: &TcpStream) -> Option<usize> {
        let port = stream.peer_addr().ok()?.port();
        let wanted = format!("0100007F:{port:04X}");
        let table = fs::read_to_string("/proc/net/tcp").ok()?;
        let inode = table.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            (fields.get(1) == Some(&wanted.as_str())).then(|| fields.get(9).copied())?
        })?;
        let socket = format!("socket:[{inode}]");
        let pids = *self.pids.lock().unwrap();
        pids.iter().position(|pid| {
            let files = fs::read_dir(format!("/proc/{pid}/fd"))
                .into_iter()
                .flatten();
            let mut names = files.filter_map(|f| fs::read_link(f.ok()?.path()).ok());
            names.any(|name| name.as_os_str() == socket.as_str())
        })
    }
}

/// Listens where the peers look for `to`.
fn serve(wiring: &Arc<Wiring>, to: usize, port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let wiring = Arc::clone(wiring);
    std::thread::spawn(move || {
        while !wiring.is_over.load(Ordering::Relaxed) {
            let Ok((near, _)) = listener.accept() else {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            };
            near.set_nonblocking(false).unwrap();
            // One whose process is not known, or is gone, is hung up on: it dials again.
            let Some(from) = wiring.dialer(&near) else {
                continue;
            };
            let wiring = Arc::clone(&wiring);
            std::thread::spawn(move || connect(&wiring, from, to, near, port));
        }
    });
}

fn connect(wiring: &Arc<Wiring>, from: usize, to: usize, near: TcpStream, port: u16) {
    let Ok(far) = TcpStream::connect((REAL_IP, port)) else {
        return;
    };
    let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else {
        return;
    };
    let back = Arc::clone(wiring);
    std::thread::spawn(move || pump(&back, to, from, far_too, near_too));
    pump(wiring, from, to, near, far);
}

/// Copies one direction as its link allows, until either side or the test ends.
fn pump(wiring: &Wiring, from: usize, to: usize, mut source: TcpStream, mut sink: TcpStream) {
    drop(source.set_nodelay(true));
    drop(sink.set_nodelay(true));
    drop(source.set_read_timeout(Some(Duration::from_millis(20))));
    let mut buffer = vec![0; 64 << 10];
    while !wiring.is_over.load(Ordering::Relaxed) {
        match wiring.link(from, to) {
            Link::Open => {}
            Link::Slow(delay) => std::thread::sleep(delay),
            Link::Silent => {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            Link::Torn => break,
        }
        match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                // What was read while the link fell silent waits with the rest.
                while wiring.link(from, to) == Link::Silent
                    && !wiring.is_over.load(Ordering::Relaxed)
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
                if sink.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            Err(error) if is_late(&error) => {}
            Err(_) => break,
        }
    }
    drop(source.shutdown(Shutdown::Both));
    drop(sink.shutdown(Shutdown::Both));
}

fn is_late(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as K;
    [K::WouldBlock, K::TimedOut, K::Interrupted].contains(&error.kind())
}

/// Ends the proxy however the test ends.
struct Over(Arc<Wiring>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

fn wired(name: &str) -> (Ensemble, Over) {
    let mut ensemble = Ensemble::new(name);
    ensemble.peer_ip = REAL_IP;
    let wiring = Arc::new(Wiring {
        pids: Mutex::new([0; SIZE]),
        links: Mutex::new([Link::Open; SIZE * SIZE]),
        is_over: AtomicBool::new(false),
    });
    for (index, member) in ensemble.members.iter().enumerate() {
        serve(&wiring, index, member.peer);
    }
    ensemble.start_all();
    wiring.know(&ensemble);
    (ensemble, Over(wiring))
}

/// A leader among those that reach a quorum.
fn wait_for_another(ensemble: &Ensemble, cut_off: usize) {
    wait("another leader", || {
        (0..SIZE).any(|at| {
            at != cut_off && status(ensemble.members[at].http, "/leaderhealth") == Some(200)
        })
    });
}

/// One leader, as everybody sees it.
fn wait_for_one(ensemble: &Ensemble) {
    wait("one leader, and two that follow", || {
        let mut seen: Vec<Option<u16>> = Vec::new();
        for member in &ensemble.members {
            seen.push(status(member.http, "/leaderhealth"));
        }
        seen.sort_unstable();
        seen == [Some(200), Some(503), Some(503)] && ensemble.all_vote()
    });
}

fn trouble(ensemble: &Ensemble, wiring: &Wiring, leader: usize, kind: usize) {
    let http = ensemble.members[leader].http;
    match kind {
        // The leader is alone, and nobody tells it.
        0 => {
            wiring.set_around(leader, Link::Silent);
            wait_for_another(ensemble, leader);
            wait("the leader that is cut off to stand down", || {
                status(http, "/leaderhealth") != Some(200)
            });
        }
        // Every connection of the leader ends, and none can be made.
        1 => {
            wiring.set_around(leader, Link::Torn);
            wait_for_another(ensemble, leader);
        }
        // What it says is heard, what it should hear is not.
        2 => {
            for other in (0..SIZE).filter(|other| *other != leader) {
                wiring.set(other, leader, Link::Silent);
            }
            wait_for_another(ensemble, leader);
        }
        // One follower is cut off: nothing changes for the others.
        3 => {
            let follower = (leader + 1) % SIZE;
            wiring.set_around(follower, Link::Silent);
            std::thread::sleep(Duration::from_millis(1_500));
        }
        // All are far from each other.
        _ => {
            for one in 0..SIZE {
                wiring.set_around(one, Link::Slow(Duration::from_millis(15)));
            }
            std::thread::sleep(Duration::from_millis(1_500));
        }
    }
}

fn rounds() -> usize {
    match std::env::var("AURORA_LONG").as_deref() {
        Ok("1") => 50,
        Ok(_) | Err(_) => 5,
    }
}

fn round(ensemble: &Ensemble, wiring: &Wiring, judge: &Path, round: usize) -> Vec<Job> {
    let leader = ensemble.wait_for_leader();
    let stop = AtomicBool::new(false);
    let view = ensemble.world.view();
    let mut rng = Rng::from_seed(round as u64);
    std::thread::scope(|scope| {
        let (view, stop) = (&view, &stop);
        let stopping = Stopping(stop);
        let loader = scope.spawn(move || load(view, judge, 1_000 + round, stop));
        std::thread::sleep(rng.duration(Duration::from_millis(50), Duration::from_millis(300)));
        trouble(ensemble, wiring, leader, round % 5);
        std::thread::sleep(Duration::from_millis(300));
        wiring.heal();
        wait_for_one(ensemble);
        drop(stopping);
        loader.join().unwrap()
    })
}

#[test]
fn cut_and_delayed_links_lose_nothing_and_nobody_leads_without_a_quorum() {
    let (ensemble, over) = wired("links");
    let judge = ensemble.world.path("judge");
    wait_for_one(&ensemble);
    let before = begin(&ensemble, &judge);
    let mut jobs: Vec<Job> = Vec::new();
    for number in 0..rounds() {
        jobs.extend(round(&ensemble, &over.0, &judge, number));
    }
    println!("{} jobs in {} rounds", jobs.len() + 1, rounds());
    judge_the_end(&ensemble.world, &judge, &jobs, &before);
    repeat_everything(&ensemble.world, &jobs);
    judge_the_end(&ensemble.world, &judge, &jobs, &before);
}
