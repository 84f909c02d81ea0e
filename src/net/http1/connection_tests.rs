//! One connection over in-memory pipes: the same bytes in pieces of every size, and hostile bytes.

use super::Limits;
use super::connection::Connection;
use super::pipe;
use super::server::Shared;
use super::server_tests::Echo;
use crate::base::rng::Rng;
use crate::rt::{self, Shutdown};
use futures_lite::{AsyncReadExt, AsyncWriteExt, FutureExt};
use std::sync::Arc;
use std::time::Duration;

/// What a connection answers to `input` that comes in pieces, ended by a half-close.
fn answers(input: &[u8], piece: usize) -> String {
    let limits = Limits {
        head_bytes_max: 4096,
        body_bytes_max: 4096,
        // Armed and passed by in every wait; a read that such a wait gave up must lose nothing.
        line_grace: Duration::from_millis(1),
        linger: Duration::from_millis(1),
        ..Limits::default()
    };
    let (echo, _entered, _open) = Echo::new();
    let shared = Shared::new(Arc::new(echo), limits);
    let (_trigger, shutdown) = Shutdown::new();
    let (mut near, far) = pipe::pair(piece);
    rt::block_on(async {
        near.write_all(input).await.unwrap();
        near.close().await.unwrap();
        let peer = "127.0.0.1:1".parse().unwrap();
        let served = async {
            // An error only says that this test has gone away first.
            drop(Connection::new(far, peer, &shared, &shutdown).run().await);
            std::future::pending().await
        };
        let mut out = Vec::new();
        async { near.read_to_end(&mut out).await }
            .or(served)
            .await
            .unwrap();
        String::from_utf8_lossy(&out).into_owned()
    })
}

/// The answers without their dates.
fn plain(answers: &str) -> String {
    answers
        .lines()
        .filter(|line| !line.starts_with("date: "))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn answers_do_not_depend_on_how_the_bytes_arrive() {
    let input = b"\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n\
        POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
        POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
        HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n\
        GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let whole = plain(&answers(input, 100_000));
    assert_eq!(whole.matches("HTTP/1.1 200 OK").count(), 5, "{whole}");
    for piece in [1, 2, 3, 7, 50] {
        assert_eq!(plain(&answers(input, piece)), whole, "in pieces of {piece}");
    }
}

#[test]
fn a_request_line_may_come_slowly() {
    // The grace passes many times between the bytes; only a whole line counts.
    assert!(answers(b"GET /health HTTP/1.0\r\n", 1).ends_with("OK\n"));
}

#[test]
fn hostile_bytes_get_an_answer_or_a_close_and_no_panic() {
    let mut rng = Rng::from_seed(2026);
    let seeds: [&[u8]; 3] = [
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"GET /health HTTP/1.0\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /",
    ];
    for _ in 0..1500 {
        let mut bytes = seeds[rng.index(seeds.len())].to_vec();
        for _ in 0..=rng.index(4) {
            let at = rng.index(bytes.len());
            match rng.below(3) {
                0 => bytes[at] = rng.next_u64().to_le_bytes()[0],
                1 => drop(bytes.drain(at..)),
                _ => bytes.insert(at, b"\r\n :;0\0"[rng.index(7)]),
            }
            if bytes.is_empty() {
                break;
            }
        }
        let answer = answers(&bytes, 1 + rng.index(64));
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 "),
            "{bytes:?}: {answer}"
        );
    }
}
