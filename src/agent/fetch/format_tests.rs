//! What the formats have beyond the plain case: long zip archives, packed files of several parts, and tries that
//! were cut off.

use super::fetch;
use super::tests::{Scratch, number, uri, zip};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

const ENTRY: u32 = 0x0201_4b50;

/// Where the directory of an archive begins that holds one member.
fn directory(bytes: &[u8]) -> usize {
    let entry = ENTRY.to_le_bytes();
    bytes.windows(4).position(|it| it == entry).unwrap()
}

/// The same archive with all numbers where those stand that are too long for the plain fields.
fn lengthen(bytes: &[u8], begin: u64) -> Vec<u8> {
    let at = directory(bytes);
    let end = bytes.len() - 22;
    let mut long = bytes[..end].to_vec();
    let numbers = [&bytes[at + 24..at + 28], &bytes[at + 20..at + 24], &[0; 4]];
    long[at + 30..at + 32].copy_from_slice(&28_u16.to_le_bytes());
    for field in [20, 24, 42] {
        long[at + field..at + field + 4].fill(0xff);
    }
    for (size, value) in [(2, 1), (2, 24)] {
        number(&mut long, size, value);
    }
    for value in numbers {
        long.extend(value);
        long.extend([0; 4]);
    }
    let end_64 = long.len() as u64;
    let mut record = vec![0; 56];
    record[..4].copy_from_slice(&0x0606_4b50_u32.to_le_bytes());
    record[32..40].copy_from_slice(&1_u64.to_le_bytes());
    record[48..56].copy_from_slice(&begin.to_le_bytes());
    long.extend(record);
    for (size, value) in [(4, 0x0706_4b50), (4, 0)] {
        number(&mut long, size, value);
    }
    long.extend(end_64.to_le_bytes());
    number(&mut long, 4, 1);
    let mut last = bytes[end..].to_vec();
    last[8..12].fill(0xff);
    last[16..20].fill(0xff);
    long.extend(last);
    long
}

#[test]
fn long_zip_archives_are_read_and_believed_no_more_than_others() {
    let scratch = Scratch::new();
    let short = zip(&[("x", 0o100_644, "content")], true);
    let begin = directory(&short) as u64;
    let path = scratch.put("long.zip", &lengthen(&short, begin));
    fetch(&scratch.job(vec![uri(&path)])).unwrap();
    assert_eq!(scratch.read("x"), "content");
    for nowhere in [begin + 1, 1 << 40, u64::MAX] {
        let path = scratch.put("bad.zip", &lengthen(&short, nowhere));
        assert!(fetch(&scratch.job(vec![uri(&path)])).is_err());
    }
}

#[test]
fn members_that_cannot_be_read_are_named() {
    let scratch = Scratch::new();
    let good = zip(&[("x", 0o100_644, "content")], false);
    let at = directory(&good);
    for (field, value, why) in [
        (8, 1, "it is encrypted"),
        (10, 99, "packed by an unknown method"),
    ] {
        let mut bad = good.clone();
        bad[at + field] = value;
        let path = scratch.put("bad.zip", &bad);
        let error = fetch(&scratch.job(vec![uri(&path)])).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("'x'") && error.contains(why), "{error}");
    }
}

#[test]
fn a_packed_file_of_several_parts_is_whole_and_a_swelling_one_is_stopped() {
    let scratch = Scratch::new();
    let pack = |text: &[u8]| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(text).unwrap();
        packed.finish().unwrap()
    };
    let both = [pack(b"one "), pack(b"two")].concat();
    let path = scratch.put("file.gz", &both);
    fetch(&scratch.job(vec![uri(&path)])).unwrap();
    assert_eq!(scratch.read("file"), "one two");
    // The packed file stays, as long as it does not come out of the cache.
    assert_eq!(fs::read(scratch.sandbox().join("file.gz")).unwrap(), both);
    let path = scratch.put("bomb.gz", &pack(&vec![0; 3 << 20]));
    let error = fetch(&scratch.job(vec![uri(&path)])).unwrap_err();
    assert!(
        error.to_string().contains("larger than the 1 MiB"),
        "{error}"
    );
}

#[test]
fn what_came_of_a_try_that_failed_does_not_count_for_the_next_one() {
    const PART: usize = 700 << 10;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for said in [2 * PART, 2 * PART, PART] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {said}\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&vec![b'x'; PART]).unwrap();
        }
    });
    let scratch = Scratch::new();
    fetch(&scratch.job(vec![uri(&format!("http://{address}/file"))])).unwrap();
    assert_eq!(scratch.read("file").len(), PART);
}
