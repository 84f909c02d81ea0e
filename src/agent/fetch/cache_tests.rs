//! The cache: who asks the server, what is kept, and that nothing but whole files comes out of it.

use super::cache::{Cache, Found, Key};
use super::tests::{Scratch, tar, uri};
use super::{FetchJob, fetch};
use crate::agent::fetch::archive::Guard;
use crate::agent::fetch::error::Cause;
use crate::executor::order::Uri;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use tar::EntryType;

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngood";
const AGENT: &str = "agent";

struct Patient;

impl Guard for Patient {
    fn check(&mut self, _bytes: u64) -> Result<(), Cause> {
        Ok(())
    }
}

/// A scratch place with a cache of so many bytes.
fn place(bytes: u64) -> (Scratch, Arc<Cache>) {
    let scratch = Scratch::new();
    let cache = Cache::open(&scratch.0.join("cache"), AGENT, bytes).unwrap();
    (scratch, Arc::new(cache))
}

fn cached(value: &str) -> Uri {
    Uri {
        is_cached: true,
        ..uri(value)
    }
}

/// A job in a sandbox of its own.
fn job(scratch: &Scratch, cache: &Arc<Cache>, name: &str, value: &str) -> FetchJob {
    FetchJob {
        sandbox: scratch.0.join(name),
        cache: Some(cache.clone()),
        ..scratch.job(vec![cached(value)])
    }
}

/// Fetches into a new sandbox and reads `file` there.
fn get(scratch: &Scratch, cache: &Arc<Cache>, value: &str, file: &str) -> String {
    let job = job(scratch, cache, "sandbox", value);
    fetch(&job).unwrap();
    fs::read_to_string(job.sandbox.join(file)).unwrap()
}

/// How many files are kept, and how many bytes.
fn kept(scratch: &Scratch) -> (usize, u64) {
    let files = fs::read_dir(scratch.0.join("cache").join(AGENT)).unwrap();
    let sizes: Vec<u64> = files
        .map(|it| it.unwrap().metadata().unwrap().len())
        .collect();
    (sizes.len(), sizes.iter().sum())
}

fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
}

/// Answers each request, of which it is told the number. Counts them.
fn serve(answer: impl Fn(usize, &mut TcpStream) + Send + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let requests = count.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            read_request(&mut stream);
            answer(requests.fetch_add(1, Ordering::SeqCst), &mut stream);
        }
    });
    (format!("http://127.0.0.1:{port}/file"), count)
}

#[test]
fn a_file_is_fetched_once_for_each_user_and_never_looked_at_again() {
    let (scratch, cache) = place(1 << 20);
    let (value, requests) = serve(|_, stream| stream.write_all(GOOD.as_bytes()).unwrap());
    for _ in 0..3 {
        assert_eq!(get(&scratch, &cache, &value, "file"), "good");
    }
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    let mode = fs::metadata(scratch.0.join("sandbox/file")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o7777, 0o644);
    let mut other = job(&scratch, &cache, "other", &value);
    other.identity.user = "other".to_owned();
    fetch(&other).unwrap();
    assert_eq!(requests.load(Ordering::SeqCst), 2);
    // Who does not ask for the cache gets what the server has now.
    fetch(&scratch.job(vec![uri(&value)])).unwrap();
    assert_eq!(requests.load(Ordering::SeqCst), 3);
    assert_eq!(kept(&scratch), (2, 8));
}

#[test]
fn one_that_may_not_read_a_file_does_not_get_it_from_the_cache() {
    let (scratch, cache) = place(1 << 20);
    let secret = scratch.put("secret", b"1");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(get(&scratch, &cache, &secret, "secret"), "1");
    let mut stranger = job(&scratch, &cache, "other", &secret);
    stranger.identity.uid += 70_000;
    stranger.identity.gid += 70_000;
    stranger.identity.is_switched = true;
    // Even one of the same name.
    let error = fetch(&stranger).unwrap_err().to_string();
    assert!(error.contains("may not read it"), "{error}");
}

#[test]
fn all_that_ask_at_once_share_one_fetch() {
    const ALL: usize = 8;
    let (scratch, cache) = place(1 << 20);
    let all_ask = Arc::new(Barrier::new(ALL + 1));
    let asked = all_ask.clone();
    let (value, requests) = serve(move |number, stream| {
        let (head, rest) = GOOD.split_at(GOOD.len() - 2);
        stream.write_all(head.as_bytes()).unwrap();
        if number == 0 {
            asked.wait();
        }
        stream.write_all(rest.as_bytes()).unwrap();
    });
    thread::scope(|scope| {
        for n in 0..ALL {
            let job = job(&scratch, &cache, &format!("s{n}"), &value);
            let all_ask = all_ask.clone();
            scope.spawn(move || {
                let waiting = thread::spawn(move || all_ask.wait());
                fetch(&job).unwrap();
                let read = fs::read_to_string(job.sandbox.join("file")).unwrap();
                assert_eq!(read, "good");
                waiting.join().unwrap();
            });
        }
    });
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[test]
fn a_half_file_is_never_given_and_the_next_one_asks_again() {
    let (scratch, cache) = place(1 << 20);
    let (value, requests) = serve(|number, stream| {
        let answer = match number {
            0 => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nba",
            1 => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n",
            _ => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n",
        };
        stream.write_all(answer.as_bytes()).unwrap();
    });
    for _ in 0..2 {
        assert_eq!(get(&scratch, &cache, &value, "file"), "good");
    }
    assert_eq!(requests.load(Ordering::SeqCst), 3);
    assert_eq!(kept(&scratch), (1, 4));
}

#[test]
fn what_may_have_been_cut_off_is_used_and_not_kept() {
    let (scratch, cache) = place(1 << 20);
    let (value, requests) =
        serve(|_, stream| stream.write_all(b"HTTP/1.0 200 OK\r\n\r\ngood").unwrap());
    for asked in 1..3 {
        assert_eq!(get(&scratch, &cache, &value, "file"), "good");
        assert_eq!(requests.load(Ordering::SeqCst), asked);
    }
    assert_eq!(kept(&scratch), (0, 0));
}

#[test]
fn whoever_waits_goes_on_when_the_one_that_fetches_is_killed() {
    let (scratch, cache) = place(1 << 20);
    let first = job(&scratch, &cache, "first", "");
    let killed = first.is_cancelled.clone();
    let (value, requests) = serve(move |number, stream| {
        if number == 0 {
            stream
                .write_all(&GOOD.as_bytes()[..GOOD.len() - 1])
                .unwrap();
            killed.store(true, Ordering::SeqCst);
        }
        // What is behind it in the first answer wakes the reader, which finds that it was killed.
        stream.write_all(GOOD.as_bytes()).unwrap_or_default();
    });
    let first = FetchJob {
        uris: vec![cached(&value)],
        ..first
    };
    let fetched = fetch(&first).map_err(|error| error.to_string());
    assert!(fetched.unwrap_err().contains("was killed"));
    assert_eq!(kept(&scratch), (0, 0));
    assert_eq!(get(&scratch, &cache, &value, "file"), "good");
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[test]
fn a_waiting_task_that_is_killed_stops_waiting() {
    let (scratch, cache) = place(1 << 20);
    let job = job(&scratch, &cache, "sandbox", "http://127.0.0.1:9/never");
    let key = Key::new(&job.identity, "http://127.0.0.1:9/never");
    let Found::Missing(_arrival) = cache.find(&key, &mut Patient).unwrap() else {
        panic!("nothing was there");
    };
    job.is_cancelled.store(true, Ordering::SeqCst);
    assert!(fetch(&job).unwrap_err().to_string().contains("was killed"));
}

#[test]
fn the_oldest_use_goes_first_and_the_limit_holds() {
    let (scratch, cache) = place(10);
    let file = |name: &str| scratch.put(name, b"old!");
    let (a, b, c) = (file("a"), file("b"), file("c"));
    assert_eq!(get(&scratch, &cache, &a, "a"), "old!");
    assert_eq!(get(&scratch, &cache, &b, "b"), "old!");
    // Used again, so that `b` is the oldest.
    assert_eq!(get(&scratch, &cache, &a, "a"), "old!");
    assert_eq!(get(&scratch, &cache, &c, "c"), "old!");
    assert_eq!(kept(&scratch), (2, 8));
    for name in ["a", "b", "c"] {
        scratch.put(name, b"new!");
    }
    assert_eq!(get(&scratch, &cache, &a, "a"), "old!");
    assert_eq!(get(&scratch, &cache, &c, "c"), "old!");
    assert_eq!(get(&scratch, &cache, &b, "b"), "new!");
    assert_eq!(kept(&scratch), (2, 8));
    // What can never fit throws nothing out.
    let big = scratch.put("big", b"more than ten bytes");
    assert_eq!(get(&scratch, &cache, &big, "big"), "more than ten bytes");
    assert_eq!(kept(&scratch), (2, 8));
    assert_eq!(cache.remove_unused(), 8);
    assert_eq!(kept(&scratch), (0, 0));
}

#[test]
fn what_is_being_read_stays_and_a_file_without_room_goes_past_the_cache() {
    let (scratch, cache) = place(10);
    let (a, b) = (scratch.put("a", b"first"), scratch.put("b", b"second"));
    assert_eq!(get(&scratch, &cache, &a, "a"), "first");
    let key = Key::new(&scratch.job(Vec::new()).identity, &a);
    let Found::Here(lease) = cache.find(&key, &mut Patient).unwrap() else {
        panic!("it was fetched");
    };
    assert_eq!(get(&scratch, &cache, &b, "b"), "second");
    assert_eq!((kept(&scratch), cache.remove_unused()), ((1, 5), 0));
    drop(lease);
    assert_eq!(get(&scratch, &cache, &b, "b"), "second");
    assert_eq!(kept(&scratch), (1, 6));
    // The length is known only at the end.
    let (value, requests) = serve(|_, stream| {
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nlonger\r\n8\r\n than it\r\n0\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
    });
    assert_eq!(get(&scratch, &cache, &value, "file"), "longer than it");
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[test]
fn a_task_that_may_not_have_so_much_does_not_spoil_it_for_others() {
    let (scratch, cache) = place(8 << 20);
    let big = scratch.put("big", &vec![b'x'; 2 << 20]);
    let mut small = job(&scratch, &cache, "small", &big);
    let error = fetch(&small).unwrap_err().to_string();
    assert!(error.contains("larger than the 1 MiB"), "{error}");
    assert_eq!(kept(&scratch), (0, 0));
    small.disk_mb = 3;
    fetch(&small).unwrap();
    assert_eq!(kept(&scratch), (1, 2 << 20));
    small.disk_mb = 1;
    assert!(fetch(&small).is_err());
}

#[test]
fn of_a_cached_archive_only_what_was_in_it_is_in_the_sandbox() {
    let (scratch, cache) = place(1 << 20);
    let archive = tar(&[("run", EntryType::Regular, "x")]);
    let archive = scratch.put("a.tar", &archive);
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(b"x").unwrap();
    let packed = scratch.put("run.gz", &packed.finish().unwrap());
    for value in [&archive, &packed, &archive, &packed] {
        assert_eq!(get(&scratch, &cache, value, "run"), "x");
        assert_eq!(fs::read_dir(scratch.sandbox()).unwrap().count(), 1);
    }
    let whole = job(&scratch, &cache, "whole", &archive);
    let whole = FetchJob {
        uris: vec![Uri {
            extract: false,
            ..cached(&archive)
        }],
        ..whole
    };
    fetch(&whole).unwrap();
    let read = fs::read(whole.sandbox.join("a.tar")).unwrap();
    assert_eq!(read, fs::read(&archive).unwrap());
}

#[test]
fn a_kept_file_that_somebody_has_cut_or_taken_is_fetched_again() {
    let (scratch, cache) = place(1 << 20);
    let path = scratch.put("a", b"whole");
    let the_one = || {
        let mut files = fs::read_dir(scratch.0.join("cache").join(AGENT)).unwrap();
        files.next().unwrap().unwrap().path()
    };
    assert_eq!(get(&scratch, &cache, &path, "a"), "whole");
    fs::write(the_one(), "wh").unwrap();
    assert_eq!(get(&scratch, &cache, &path, "a"), "whole");
    fs::remove_file(the_one()).unwrap();
    assert_eq!(get(&scratch, &cache, &path, "a"), "whole");
    // Without its directory nothing is kept, and all goes on.
    fs::remove_dir_all(scratch.0.join("cache")).unwrap();
    assert_eq!(get(&scratch, &cache, &path, "a"), "whole");
}

#[test]
fn a_new_agent_begins_with_an_empty_cache_and_touches_nothing_else() {
    let (scratch, cache) = place(1 << 20);
    let path = scratch.put("a", b"old");
    assert_eq!(get(&scratch, &cache, &path, "a"), "old");
    let directory = scratch.0.join("cache");
    fs::write(directory.join("other"), "").unwrap();
    drop(cache);
    let cache = Arc::new(Cache::open(&directory, AGENT, 1 << 20).unwrap());
    assert_eq!(kept(&scratch), (0, 0));
    assert!(directory.join("other").exists());
    scratch.put("a", b"new");
    assert_eq!(get(&scratch, &cache, &path, "a"), "new");
}

#[test]
fn a_directory_that_others_could_change_is_not_used() {
    let scratch = Scratch::new();
    let mode = |mode| {
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o777);
    let error = Cache::open(&scratch.0, AGENT, 1).unwrap_err();
    assert!(error.to_string().contains("others"), "{error}");
    // As in /tmp, where nobody can take away what is another's.
    mode(0o1777);
    let outside = scratch.put("outside", b"1");
    symlink(Path::new(&outside).parent().unwrap(), scratch.0.join(AGENT)).unwrap();
    Cache::open(&scratch.0, AGENT, 1).unwrap();
    assert!(Path::new(&outside).exists());
    assert!(!scratch.0.join(AGENT).is_symlink());
}
