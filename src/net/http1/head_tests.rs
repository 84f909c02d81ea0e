//! The head parsers against examples, and against random and mutated bytes.

use super::head::{
    Fault, Framing, HEADERS_MAX, HeadError, Scan, is_bare_http10_line, parse_request,
    parse_response,
};
use super::message::{Method, Version};
use crate::base::rng::Rng;
use proptest::prelude::*;

#[test]
fn a_request_head_is_read() {
    let head = b"POST /a%2Fb?c=d HTTP/1.1\r\nHost: h\r\nX-Empty:\r\ncontent-LENGTH: 12\r\nX-Bin: a\xffb\r\n\r\n";
    let head = parse_request(head).unwrap();
    assert_eq!((head.method, head.version), (Method::Post, Version::Http11));
    assert_eq!(head.target, "/a%2Fb?c=d");
    assert_eq!(head.framing, Framing::Length(12));
    assert!(head.keep_alive && !head.expects_continue);
    assert_eq!(head.headers.first("HOST"), Some("h"));
    assert_eq!(head.headers.first("x-empty"), Some(""));
    assert_eq!(head.headers.first("x-bin"), Some("a?b"));
    assert_eq!(head.headers.first("absent"), None);
}

#[test]
fn targets_become_paths() {
    for (target, path) in [
        ("/", Some("/")),
        ("http://h:80/x?y", Some("/x?y")),
        ("HTTP://h", Some("/")),
        ("http://h?y", Some("/?y")),
        ("ftp://h/x", None),
        ("http:///x", None),
        ("h:443", None),
        ("*", None),
        ("/a#b", None),
        ("/caf\u{e9}", None),
    ] {
        let head = format!("GET {target} HTTP/1.0\r\n\r\n");
        let got = parse_request(head.as_bytes()).map(|head| head.target).ok();
        assert_eq!(got.as_deref(), path, "{target}");
    }
    assert!(parse_request(b"OPTIONS * HTTP/1.0\r\n\r\n").is_ok());
}

#[test]
fn faults_name_their_place() {
    for (head, fault, at) in [
        (
            &b"GET / HTTP/1.1\r\nHost: a\r\nb ad: 1\r\n\r\n"[..],
            Fault::Malformed,
            26,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nx: \x00\r\n\r\n",
            Fault::Malformed,
            28,
        ),
        (b"G\x01T / HTTP/1.1\r\n\r\n", Fault::Malformed, 1),
        (b"GET / HTTP/3.1\r\n\r\n", Fault::UnknownVersion, 11),
        (b"GET / HTTP/1.1\r\nA: b\r\n\r\n", Fault::MissingHost, 24),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
            Fault::MalformedLength,
            25,
        ),
        (
            b"FROB / HTTP/1.1\r\nHost: a\r\n\r\n",
            Fault::UnknownMethod,
            0,
        ),
    ] {
        let error = parse_request(head).unwrap_err();
        assert_eq!(error, HeadError { fault, at }, "{error}");
    }
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let head = b"PUT / HTTP/1.0\r\nContent-Length: 99999999999999999999\r\n\r\n";
    assert_eq!(
        parse_request(head).unwrap_err().fault,
        Fault::MalformedLength
    );
}

#[test]
fn the_number_of_headers_is_bounded() {
    let head = |count| format!("GET / HTTP/1.0\r\n{}\r\n", "a: b\r\n".repeat(count));
    assert!(parse_request(head(HEADERS_MAX).as_bytes()).is_ok());
    let error = parse_request(head(HEADERS_MAX + 1).as_bytes()).unwrap_err();
    assert_eq!(error.fault, Fault::TooManyHeaders);
}

#[test]
fn the_end_of_a_head_is_found_once() {
    let bytes = b"GET / HTTP/1.0\r\nA: b\r\n\r\nrest\n\n";
    for cut in 0..bytes.len() {
        let mut scan = Scan::default();
        let first = scan.advance(&bytes[..cut]).unwrap();
        let end = first.or_else(|| scan.advance(bytes).unwrap());
        assert_eq!(end, Some(24));
    }
    assert_eq!(
        Scan::default().advance(b"GET / HTTP/1.0\n"),
        Err(HeadError {
            fault: Fault::BareLineFeed,
            at: 14
        })
    );
}

#[test]
fn only_a_whole_line_of_http_1_0_is_bare() {
    assert!(is_bare_http10_line(b"GET /health HTTP/1.0\r\n"));
    for other in [
        &b"GET /health HTTP/1.0"[..],
        b"GET /health HTTP/1.1\r\n",
        b"POST /health HTTP/1.0\r\n",
        b"GET /health HTTP/1.0\r\nHost: a\r\n",
        b"GET / HTTP/1.1\r\nX: HTTP/1.0\r\n",
    ] {
        assert!(!is_bare_http10_line(other));
    }
}

#[test]
fn answers_are_read() {
    let head = parse_response(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n").unwrap();
    assert_eq!(
        (head.status, head.framing, head.keep_alive),
        (200, Framing::Length(3), true)
    );
    let head = parse_response(b"HTTP/1.0 404 \r\n\r\n").unwrap();
    assert_eq!(
        (head.status, head.framing, head.keep_alive),
        (404, Framing::End, false)
    );
    let head = parse_response(b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    assert_eq!(head.framing, Framing::Length(0));
    assert!(parse_response(b"HTTP/1.1 000 X\r\n\r\n").is_err());
    assert!(parse_response(b"HTTP/1.1 2000 X\r\n\r\n").is_err());
    assert!(parse_response(b"ICY 200 OK\r\n\r\n").is_err());
}

/// Parses as the server would; what comes out must fit in what went in.
fn feed(bytes: &[u8]) {
    match Scan::default().advance(bytes) {
        Ok(Some(end)) => {
            match parse_request(&bytes[..end]) {
                Ok(head) => {
                    let held: usize = head.headers.iter().map(|(n, v)| n.len() + v.len()).sum();
                    assert!(held + head.target.len() <= end);
                    assert!(head.headers.len() <= HEADERS_MAX);
                }
                Err(error) => assert!(error.at <= end, "{error}"),
            }
            if let Err(error) = parse_response(&bytes[..end]) {
                assert!(error.at <= end, "{error}");
            }
        }
        Ok(None) => {}
        Err(error) => assert!(error.at < bytes.len()),
    }
}

proptest! {
    #[test]
    fn any_bytes_parse_or_fail_with_a_place(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        feed(&bytes);
        bytes.extend_from_slice(b"\r\n\r\n");
        feed(&bytes);
    }

    #[test]
    fn header_values_come_back(
        name in "[A-Za-z][A-Za-z0-9-]{0,20}",
        value in "[!-~]([ -~]{0,30}[!-~])?",
    ) {
        let head = format!("GET / HTTP/1.0\r\nX-{name}: {value}\r\n\r\n");
        let head = parse_request(head.as_bytes()).expect("a good head");
        prop_assert_eq!(head.headers.first(&format!("x-{name}")), Some(value.as_str()));
    }
}

#[test]
fn mutated_heads_parse_or_fail_with_a_place() {
    let seeds: [&[u8]; 2] = [
        b"POST http://h/api?x HTTP/1.1\r\nHost: a\r\nConnection: close, te\r\nContent-Length: 5\r\n\
          Expect: 100-continue\r\nX-\xc3\xa9: \xc3\xa9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nServer: x\r\nConnection:\r\n\r\n",
    ];
    let mut rng = Rng::from_seed(7);
    for _ in 0..20_000 {
        let mut bytes = seeds[rng.index(2)].to_vec();
        for _ in 0..=rng.index(3) {
            let at = rng.index(bytes.len());
            match rng.below(4) {
                0 => bytes[at] = rng.next_u64().to_le_bytes()[0],
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"\r\n :\t\0/\xff"[rng.index(8)]),
                _ => {
                    let copy = bytes[at..(at + rng.index(40)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, copy);
                }
            }
        }
        feed(&bytes);
    }
}
