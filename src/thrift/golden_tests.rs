//! Every method's call and every result, as Apache's library writes them (`tests/thrift_oracle/golden.py`).
//!
//! The files have every field set, each to a value of its own. What is read is written again and compared
//! with Apache's bytes as a tree, so that a field with a wrong number or type, or one that is not there,
//! shows; and all three protocols must mean the same.

use super::message::{decode_call, decode_reply, encode_call, encode_reply};
use super::service::Request;
use super::{Protocol, api::Response};
use serde_json::Value;
use std::collections::BTreeSet;

/// The messages of a file, each with its name.
fn golden(text: &'static str) -> Vec<(&'static str, Vec<u8>)> {
    let line = |line: &'static str| line.split_once(' ').unwrap();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let bytes = |hex: &str| hex.as_bytes().chunks(2).map(byte).collect();
    let all = text.lines().map(line);
    all.map(|(name, hex)| (name, bytes(hex))).collect()
}

macro_rules! files {
    ($name:literal) => {
        [
            (
                Protocol::Json,
                golden(include_str!(concat!(
                    "../../tests/fixtures/thrift/",
                    $name,
                    ".json"
                ))),
            ),
            (
                Protocol::Binary,
                golden(include_str!(concat!(
                    "../../tests/fixtures/thrift/",
                    $name,
                    ".binary"
                ))),
            ),
            (
                Protocol::Compact,
                golden(include_str!(concat!(
                    "../../tests/fixtures/thrift/",
                    $name,
                    ".compact"
                ))),
            ),
        ]
    };
}

fn tree(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn every_call_of_apaches_library_is_read_and_written_whole() {
    let [(_, json), others @ ..] = files!("calls");
    let named: BTreeSet<&str> = json.iter().map(|(name, _)| *name).collect();
    let methods: BTreeSet<&str> = Request::METHODS.iter().copied().collect();
    assert_eq!(named, methods);
    let mut read = Vec::new();
    for (name, bytes) in &json {
        let call = decode_call(Protocol::Json, bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        let request = call
            .request
            .unwrap_or_else(|| panic!("{name} is not known"));
        let ours = encode_call(Protocol::Json, call.seqid, &request);
        assert_eq!(tree(&ours), tree(bytes), "{name}");
        read.push(request);
    }
    for (protocol, calls) in others {
        assert_eq!(calls.len(), read.len());
        for ((name, bytes), request) in calls.iter().zip(&read) {
            let call = decode_call(protocol, bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(call.request.as_ref(), Some(request), "{name}, {protocol:?}");
            assert_eq!((call.method.as_str(), call.seqid), (*name, 3));
            // Written again in this protocol, it is read as the same.
            let ours = encode_call(protocol, 3, request);
            check_length(protocol, name, &ours, bytes);
            let again = decode_call(protocol, &ours).unwrap();
            assert_eq!(
                again.request.as_ref(),
                Some(request),
                "{name}, {protocol:?}"
            );
        }
    }
}

#[test]
fn every_reply_of_apaches_library_is_read_and_written_whole() {
    let [(_, json), others @ ..] = files!("replies");
    assert_eq!(json.len(), 21, "twenty results, and none");
    let mut read: Vec<Response> = Vec::new();
    for (name, bytes) in &json {
        let reply = decode_reply(Protocol::Json, bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        let response = reply.outcome.unwrap();
        assert_eq!(response.result.is_none(), *name == "nothing", "{name}");
        let ours = encode_reply(Protocol::Json, name, 5, &response);
        assert_eq!(tree(&ours), tree(bytes), "{name}");
        read.push(response);
    }
    for (protocol, replies) in others {
        for ((name, bytes), response) in replies.iter().zip(&read) {
            let reply = decode_reply(protocol, bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(reply.outcome.as_ref(), Ok(response), "{name}, {protocol:?}");
            let ours = encode_reply(protocol, name, 5, response);
            check_length(protocol, name, &ours, bytes);
        }
    }
}

/// Whatever the order of fields is, the binary protocol needs the same bytes; the compact one does not.
fn check_length(protocol: Protocol, name: &str, ours: &[u8], theirs: &[u8]) {
    if protocol == Protocol::Binary {
        assert_eq!(ours.len(), theirs.len(), "{name}");
    }
}

/// Every method has a golden answer of a running scheduler, one at least that says OK, and one of a
/// scheduler without storage: `tests/e2e/answers.rs` compares them.
#[test]
fn every_method_has_golden_answers() {
    let answers = include_str!("../../tests/fixtures/thrift/answers.txt");
    let unready = include_str!("../../tests/fixtures/thrift/unready.txt");
    let methods: BTreeSet<&str> = Request::METHODS.iter().copied().collect();
    let named = |text: &'static str, code: &str| -> BTreeSet<&'static str> {
        let lines: Vec<&str> = text.lines().collect();
        let pairs = lines.windows(2).filter_map(|pair| {
            let heading = pair[0].strip_prefix("## ")?;
            pair[1].starts_with(code).then_some(heading)
        });
        pairs
            .filter_map(|heading| heading.split(':').next())
            .collect()
    };
    assert_eq!(named(answers, "{\"1\":{\"i32\":1}"), methods);
    assert_eq!(named(unready, "{\"1\":{\"i32\":"), methods);
}
