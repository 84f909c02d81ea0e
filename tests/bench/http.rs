//! How many small requests the HTTP server answers in a second, with its client on the same cores.
//!
//! Figures: `http_health_rps` (GET /health through codec, routes and statistics) and, measured in turn
//! with it, `http_bare_loop_rps` (one thread, one epoll loop, a fixed answer to whatever comes: the most
//! that the machine and this client give). Medians of the rounds.
//! Arguments: `--connections=N --seconds=N --rounds=N`.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark may stop at the first surprise"
)]

mod figures;

use aurora::base::clock::Instant;
use aurora::http::{self, ApiCall, ApiDoor, ApiReply, Boxed, HttpState, Source};
use aurora::net::http1::Limits;
use aurora::rt::{self, Shutdown};
use aurora::scheduler::{Lifecycle, View};
use aurora::storage::Tables;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

const REQUEST: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nOK\n";
/// How both answers end.
const END: &[u8] = b"\r\n\r\nOK\n";
/// Long enough for the first answers, which fill caches, to be over.
const WARM_UP: Duration = Duration::from_millis(300);

/// A scheduler that leads and has nothing to do.
struct Idle;

impl Source for Idle {
    fn tables(&self) -> Arc<Tables> {
        Arc::default()
    }

    fn view(&self) -> Arc<View> {
        Arc::new(View {
            lifecycle: Lifecycle::Active,
            ..View::default()
        })
    }

    fn last_turn(&self) -> Instant {
        Instant::ZERO
    }
}

impl ApiDoor for Idle {
    fn serve<'a>(&'a self, _: ApiCall<'a>) -> Boxed<'a, ApiReply> {
        Box::pin(async { unreachable!("nothing calls the API here") })
    }

    fn serve_json<'a>(&'a self, _: &'a str, _: ApiCall<'a>) -> Boxed<'a, ApiReply> {
        Box::pin(async { unreachable!("nothing calls the API here") })
    }
}

fn start_ours() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (trigger, shutdown) = Shutdown::new();
    let state = HttpState::new(
        "bench".to_owned(),
        address.to_string(),
        Arc::new(Idle),
        Arc::new(Idle),
        Arc::new(trigger),
    );
    rt::spawn(
        "server",
        http::serve(listener, state, Limits::default(), shutdown),
    )
    .detach();
    address
}

fn start_bare() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || bare_loop(&listener));
    address
}

/// Answers every read with the fixed answer.
fn bare_loop(listener: &TcpListener) {
    let epoll = Epoll::new(EpollCreateFlags::empty()).unwrap();
    epoll
        .add(listener, EpollEvent::new(EpollFlags::EPOLLIN, 0))
        .unwrap();
    let mut streams: Vec<Option<TcpStream>> = vec![None];
    let mut events = [EpollEvent::empty(); 64];
    let mut buffer = [0; 4096];
    loop {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE).unwrap();
        for event in &events[..ready] {
            let index = usize::try_from(event.data()).unwrap();
            if index == 0 {
                let (stream, _) = listener.accept().unwrap();
                stream.set_nodelay(true).unwrap();
                let event = EpollEvent::new(EpollFlags::EPOLLIN, streams.len() as u64);
                epoll.add(&stream, event).unwrap();
                streams.push(Some(stream));
            } else if let Some(stream) = &mut streams[index] {
                match stream.read(&mut buffer) {
                    Ok(1..) => stream.write_all(ANSWER).unwrap(),
                    Ok(0) | Err(_) => streams[index] = None,
                }
            }
        }
    }
}

/// A connection that waits for an answer.
struct Asking {
    stream: TcpStream,
    answer: Vec<u8>,
}

/// Answers per second to `count` connections, each of which asks again when it has its answer.
fn measure(address: SocketAddr, count: usize, duration: Duration) -> f64 {
    let epoll = Epoll::new(EpollCreateFlags::empty()).unwrap();
    let mut asking = Vec::new();
    for index in 0..count {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        epoll
            .add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))
            .unwrap();
        stream.write_all(REQUEST).unwrap();
        asking.push(Asking {
            stream,
            answer: Vec::new(),
        });
    }
    let mut events = vec![EpollEvent::empty(); count];
    let mut counted = 0_u64;
    let mut began = figures::now();
    let mut warm = false;
    loop {
        let ready = epoll
            .wait(&mut events, EpollTimeout::from(1000_u16))
            .unwrap();
        assert!(ready > 0, "no answer within a second");
        for event in &events[..ready] {
            let one = &mut asking[usize::try_from(event.data()).unwrap()];
            counted += u64::from(take_answer(one));
        }
        let elapsed = began.elapsed();
        if !warm && elapsed >= WARM_UP {
            (warm, counted, began) = (true, 0, figures::now());
        } else if warm && elapsed >= duration {
            return counted as f64 / elapsed.as_secs_f64();
        }
    }
}

/// Reads what is there; asks again and gives true if that was a whole answer.
fn take_answer(one: &mut Asking) -> bool {
    let mut buffer = [0; 4096];
    match one.stream.read(&mut buffer) {
        Ok(0) => panic!("the server closed the connection"),
        Ok(length) => one.answer.extend_from_slice(&buffer[..length]),
        Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
        Err(error) => panic!("{error}"),
    }
    if !one.answer.ends_with(END) {
        return false;
    }
    assert!(
        one.answer.starts_with(b"HTTP/1.1 200 OK\r\n"),
        "a bad answer"
    );
    one.answer.clear();
    one.stream.write_all(REQUEST).unwrap();
    true
}

fn main() {
    let connections = usize::try_from(figures::argument("connections", 32)).unwrap();
    let duration = Duration::from_secs(figures::argument("seconds", 3));
    let rounds = figures::argument("rounds", 5);
    let (ours, bare) = (start_ours(), start_bare());
    let (mut ours_rps, mut bare_rps) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        bare_rps.push(measure(bare, connections, duration));
        ours_rps.push(measure(ours, connections, duration));
    }
    let mut report = figures::Report::new("http");
    report.figure("http_health_rps", figures::median(&mut ours_rps), "req/s");
    report.figure(
        "http_bare_loop_rps",
        figures::median(&mut bare_rps),
        "req/s",
    );
    report.finish();
}
