//! The server over real loopback sockets.

use super::message::{Answer, Body, Handler, Request, Response};
use super::{Drained, Limits, serve};
use crate::rt::{self, Fiber, Shutdown, ShutdownTrigger};
use async_channel::{Receiver, Sender};
use std::io::{self, Read, Write};
use std::net::{Shutdown as Half, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// Answers by path, as a real application might, with a gate in `/slow`.
pub(super) struct Echo {
    entered: Sender<()>,
    gate: Receiver<()>,
}

impl Echo {
    pub(super) fn new() -> (Self, Receiver<()>, Sender<()>) {
        let (entered, has_entered) = async_channel::bounded(16);
        let (open, gate) = async_channel::bounded(16);
        (Self { entered, gate }, has_entered, open)
    }
}

impl Handler for Echo {
    async fn handle(&self, request: Request) -> Answer {
        match request.path() {
            "/echo" => Response::bytes(200, "application/octet-stream", request.body).into(),
            "/hangup" => Answer::Hangup,
            "/split" => Response::text(302, "")
                .with("location", "/x\r\nset-cookie: a=b")
                .into(),
            "/own" => Response::text(200, "").with("content-length", "5").into(),
            "/stream" => {
                let text: &[u8] = b"data: 1\n\ndata: 2\n\n";
                Response {
                    body: Body::Stream(Box::pin(text)),
                    ..Response::empty(200)
                }
                .into()
            }
            "/big" => Response::bytes(200, "text/plain", vec![b'x'; 32 << 20]).into(),
            "/nothing" => Response::empty(204).into(),
            "/slow" => {
                self.entered.send(()).await.unwrap();
                self.gate.recv().await.unwrap();
                Response::text(200, "slow\n").into()
            }
            _ => Response::text(200, "OK\n").into(),
        }
    }
}

/// A server on a port of its own.
struct Rig {
    address: SocketAddr,
    trigger: ShutdownTrigger,
    entered: Receiver<()>,
    open: Sender<()>,
    server: Fiber<io::Result<Drained>>,
}

fn start(limits: Limits) -> Rig {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (trigger, shutdown) = Shutdown::new();
    let (echo, entered, open) = Echo::new();
    let server = rt::spawn(
        "test server",
        serve(listener, Arc::new(echo), limits, shutdown),
    );
    Rig {
        address,
        trigger,
        entered,
        open,
        server,
    }
}

/// Limits for tests: waits that a test sees the end of are short, all others long.
fn patient() -> Limits {
    Limits {
        head_timeout: PATIENCE,
        body_timeout: PATIENCE,
        idle_timeout: PATIENCE,
        line_grace: PATIENCE,
        drain_timeout: PATIENCE,
        ..Limits::default()
    }
}

fn connect(rig: &Rig) -> TcpStream {
    let stream = TcpStream::connect(rig.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn read_to_end(mut stream: &TcpStream) -> String {
    let mut text = Vec::new();
    stream
        .read_to_end(&mut text)
        .expect("the server answers and closes in time");
    String::from_utf8(text).unwrap()
}

/// Sends, and gives everything until the server closes.
fn exchange(rig: &Rig, bytes: &[u8]) -> String {
    let mut stream = connect(rig);
    stream.write_all(bytes).unwrap();
    read_to_end(&stream)
}

/// Reads one answer with a length, and leaves the connection open.
fn read_answer(mut stream: &TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        stream
            .read_exact(&mut byte)
            .expect("an answer comes in time");
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

#[track_caller]
fn assert_status(answer: &str, status: u16) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer:?}"
    );
}

const CLOSE: &str = "Host: a\r\nConnection: close\r\n\r\n";

#[test]
fn http_1_0_without_host_is_answered_and_closed() {
    let rig = start(patient());
    let answer = exchange(&rig, b"GET /health HTTP/1.0\r\n\r\n");
    assert_status(&answer, 200);
    assert!(answer.ends_with("\r\n\r\nOK\n"), "{answer:?}");
    assert!(answer.contains("connection: close\r\n"));
}

#[test]
fn a_request_line_alone_is_answered_after_the_grace() {
    let rig = start(Limits {
        line_grace: Duration::from_millis(50),
        ..patient()
    });
    assert!(exchange(&rig, b"GET /health HTTP/1.0\r\n").ends_with("OK\n"));
}

#[test]
fn a_request_line_alone_is_answered_at_half_close() {
    let rig = start(patient());
    let mut stream = connect(&rig);
    stream.write_all(b"GET /health HTTP/1.0\r\n").unwrap();
    stream.shutdown(Half::Write).unwrap();
    assert!(read_to_end(&stream).ends_with("OK\n"));
}

#[test]
fn a_request_line_of_http_1_1_alone_is_not_a_request() {
    let rig = start(Limits {
        line_grace: Duration::from_millis(1),
        head_timeout: Duration::from_millis(50),
        ..patient()
    });
    assert_status(&exchange(&rig, b"GET /health HTTP/1.1\r\n"), 408);
    assert_status(&exchange(&rig, b"POST /health HTTP/1.0\r\n"), 408);
}

#[test]
fn http_1_0_keep_alive_is_honoured() {
    let rig = start(patient());
    let mut stream = connect(&rig);
    for _ in 0..2 {
        stream
            .write_all(b"GET /health HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n")
            .unwrap();
        let answer = read_answer(&stream);
        assert_status(&answer, 200);
        assert!(answer.contains("connection: keep-alive\r\n"));
    }
}

#[test]
fn bad_requests_get_an_answer_and_a_close() {
    let rig = start(patient());
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00garbage\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
        ),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: cake\r\nContent-Length: 1\r\n\r\n",
            417,
        ),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        ("GET health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ] {
        let answer = exchange(&rig, request.as_bytes());
        assert_status(&answer, status);
        assert!(answer.contains("connection: close\r\n"), "{request:?}");
    }
}

#[test]
fn pipelined_requests_are_all_answered_in_order() {
    let rig = start(patient());
    let answer = exchange(
        &rig,
        format!("GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ntwoGET /nothing HTTP/1.1\r\n{CLOSE}").as_bytes(),
    );
    let statuses: Vec<_> = answer
        .match_indices("HTTP/1.1 ")
        .map(|(at, _)| &answer[at + 9..at + 12])
        .collect();
    assert_eq!(statuses, ["200", "200", "204"]);
    assert!(answer.contains("\r\n\r\ntwoHTTP/1.1 204"), "{answer:?}");
}

#[test]
fn heads_up_to_the_limit_are_taken() {
    let rig = start(patient());
    for (size, status) in [(7_000, 200), (20_000, 200), (50_000, 431)] {
        let fill = "x".repeat(size);
        let answer = exchange(
            &rig,
            format!("GET / HTTP/1.1\r\nFill: {fill}\r\n{CLOSE}").as_bytes(),
        );
        assert_status(&answer, status);
    }
    let many = "a: b\r\n".repeat(101);
    assert_status(
        &exchange(&rig, format!("GET / HTTP/1.1\r\n{many}{CLOSE}").as_bytes()),
        431,
    );
}

#[test]
fn a_header_line_without_end_is_cut_at_the_limit() {
    let rig = start(patient());
    let mut stream = connect(&rig);
    stream.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
    stream.write_all(&[b'x'; 40_000]).unwrap();
    assert_status(&read_answer(&stream), 431);
}

#[test]
fn slow_heads_and_bodies_get_408() {
    let rig = start(Limits {
        head_timeout: Duration::from_millis(50),
        body_timeout: Duration::from_millis(50),
        ..patient()
    });
    assert_status(&exchange(&rig, b"GET / HT"), 408);
    let answer = exchange(
        &rig,
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel",
    );
    assert_status(&answer, 408);
}

#[test]
fn a_silent_connection_is_closed_without_a_word() {
    let rig = start(Limits {
        head_timeout: Duration::from_millis(20),
        ..patient()
    });
    assert_eq!(exchange(&rig, b""), "");
    let rig = start(Limits {
        idle_timeout: Duration::from_millis(20),
        ..patient()
    });
    let answer = exchange(&rig, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_status(&answer, 200);
    assert!(answer.ends_with("OK\n"), "nothing follows the answer");
}

#[test]
fn bodies_over_the_limit_get_413_though_the_peer_goes_on_sending() {
    let rig = start(Limits {
        body_bytes_max: 1000,
        ..patient()
    });
    let body = "x".repeat(1000);
    let fits = format!("POST /echo HTTP/1.1\r\nContent-Length: 1000\r\n{CLOSE}{body}");
    assert!(exchange(&rig, fits.as_bytes()).ends_with(&body));
    let mut stream = connect(&rig);
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n")
        .unwrap();
    stream.write_all(&vec![b'x'; 900_000]).unwrap();
    assert_status(&read_answer(&stream), 413);
    let chunks = "fff\r\n".to_owned() + &"x".repeat(0xfff);
    let coded = format!("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{CLOSE}{chunks}");
    assert_status(&exchange(&rig, coded.as_bytes()), 413);
}

#[test]
fn all_bodies_together_are_bounded() {
    let rig = start(Limits {
        bodies_bytes_max: 1000,
        ..patient()
    });
    let body = "x".repeat(2000);
    let request = format!("POST /echo HTTP/1.1\r\nContent-Length: 2000\r\n{CLOSE}{body}");
    assert_status(&exchange(&rig, request.as_bytes()), 503);
    let request = format!("POST /echo HTTP/1.1\r\nContent-Length: 5\r\n{CLOSE}hello");
    assert_status(&exchange(&rig, request.as_bytes()), 200);
}

#[test]
fn a_peer_that_expects_100_gets_it_before_it_sends() {
    let rig = start(patient());
    let mut stream = connect(&rig);
    stream
        .write_all(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        )
        .unwrap();
    assert_eq!(read_answer(&stream), "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").unwrap();
    assert!(read_answer(&stream).ends_with("\r\n\r\nhello"));
}

#[test]
fn a_peer_that_expects_100_for_too_much_is_told_at_once() {
    let rig = start(Limits {
        body_bytes_max: 10,
        ..patient()
    });
    let answer = exchange(
        &rig,
        b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n",
    );
    assert_status(&answer, 413);
}

#[test]
fn chunked_uploads_and_streams_work() {
    let rig = start(patient());
    let coded = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n";
    let answer = exchange(
        &rig,
        format!("{coded}GET /stream HTTP/1.1\r\n{CLOSE}").as_bytes(),
    );
    assert!(
        answer.contains("\r\n\r\nabcdeHTTP/1.1 200 OK"),
        "{answer:?}"
    );
    assert!(
        answer.ends_with("\r\n\r\n12\r\ndata: 1\n\ndata: 2\n\n\r\n0\r\n\r\n"),
        "{answer:?}"
    );
    let answer = exchange(
        &rig,
        b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    );
    assert!(
        answer.ends_with("close\r\n\r\ndata: 1\n\ndata: 2\n\n"),
        "{answer:?}"
    );
}

#[test]
fn head_gets_the_length_and_no_body() {
    let rig = start(patient());
    let answer = exchange(&rig, format!("HEAD / HTTP/1.1\r\n{CLOSE}").as_bytes());
    assert_status(&answer, 200);
    assert!(
        answer.contains("content-length: 3\r\n") && answer.ends_with("\r\n\r\n"),
        "{answer:?}"
    );
}

#[test]
fn headers_that_would_split_the_answer_become_a_500() {
    let rig = start(patient());
    for path in ["/split", "/own"] {
        let answer = exchange(
            &rig,
            format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(),
        );
        assert_status(&answer, 500);
        assert!(!answer.contains("set-cookie"), "{answer:?}");
    }
}

#[test]
fn a_hangup_says_nothing() {
    let rig = start(patient());
    assert_eq!(
        exchange(&rig, b"GET /hangup HTTP/1.1\r\nHost: a\r\n\r\n"),
        ""
    );
}

#[test]
fn one_connection_too_many_gets_503() {
    let rig = start(Limits {
        connections_max: 1,
        ..patient()
    });
    let mut first = connect(&rig);
    first
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    assert_status(&read_answer(&first), 200);
    assert_status(&exchange(&rig, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 503);
    first
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    assert_status(&read_answer(&first), 200);
}

#[test]
fn a_peer_that_does_not_read_is_dropped() {
    let rig = start(Limits {
        write_timeout: Duration::from_millis(50),
        ..patient()
    });
    let mut stream = connect(&rig);
    stream
        .write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    rig.trigger.fire();
    // Nothing is read here, so that the server can only end by dropping the connection.
    assert_eq!(rt::block_on(rig.server.join()).unwrap(), Drained { cut: 0 });
    let mut taken = Vec::new();
    let end = stream.read_to_end(&mut taken);
    assert!(
        end.is_err() || taken.len() < 32 << 20,
        "the answer was not whole"
    );
}

#[test]
fn shutdown_finishes_what_is_in_flight_and_closes_the_rest() {
    let rig = start(patient());
    let mut idle = connect(&rig);
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    assert_status(&read_answer(&idle), 200);
    let mut busy = connect(&rig);
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    rt::block_on(rig.entered.recv()).unwrap();
    rig.trigger.fire();
    assert_eq!(read_to_end(&idle), "");
    rt::block_on(rig.open.send(())).unwrap();
    let answer = read_to_end(&busy);
    assert!(
        answer.contains("connection: close\r\n") && answer.ends_with("slow\n"),
        "{answer:?}"
    );
    assert_eq!(rt::block_on(rig.server.join()).unwrap(), Drained { cut: 0 });
    assert!(
        TcpStream::connect(rig.address).is_err(),
        "nobody listens any more"
    );
}

#[test]
fn what_does_not_finish_within_the_drain_limit_is_cut() {
    let rig = start(Limits {
        drain_timeout: Duration::from_millis(50),
        ..patient()
    });
    let mut busy = connect(&rig);
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    rt::block_on(rig.entered.recv()).unwrap();
    rig.trigger.fire();
    assert_eq!(rt::block_on(rig.server.join()).unwrap(), Drained { cut: 1 });
    assert_eq!(read_to_end(&busy), "");
}
