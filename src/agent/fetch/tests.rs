//! Fetching as a whole: from this machine, by HTTP, out of good and bad archives.

use super::{FetchJob, fetch};
use crate::base::rng::Rng;
use crate::executor::order::{Identity, Uri};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tar::{Builder, EntryType, Header};

pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        let id = Rng::from_os().next_u64();
        let path = std::env::temp_dir().join(format!("aurora-fetch-{id:x}"));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    pub(super) fn sandbox(&self) -> PathBuf {
        self.0.join("sandbox")
    }

    pub(super) fn job(&self, uris: Vec<Uri>) -> FetchJob {
        FetchJob {
            sandbox: self.sandbox(),
            identity: Identity {
                user: "me".to_owned(),
                uid: nix::unistd::getuid().as_raw(),
                gid: nix::unistd::getgid().as_raw(),
                groups: Vec::new(),
                home: "/".to_owned(),
                is_switched: false,
            },
            uris,
            disk_mb: 1,
            retry_pause: Duration::from_millis(1),
            cache: None,
            is_cancelled: Arc::new(AtomicBool::new(false)),
        }
    }

    fn fetch(&self, uris: Vec<Uri>) -> Result<(), String> {
        fetch(&self.job(uris)).map_err(|error| error.to_string())
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.sandbox().join(name)).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

pub(super) fn uri(value: &str) -> Uri {
    Uri {
        value: value.to_owned(),
        extract: true,
        output_file: None,
        is_cached: false,
    }
}

/// A member with any name, however bad; links have `content` as their target.
fn add(archive: &mut Builder<Vec<u8>>, name: &str, kind: EntryType, content: &str) {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o6755);
    let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
    if is_link {
        header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
    }
    let bytes = if is_link { "" } else { content };
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    archive.append(&header, bytes.as_bytes()).unwrap();
}

pub(super) fn tar(members: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for (name, kind, content) in members {
        add(&mut archive, name, *kind, content);
    }
    archive.into_inner().unwrap()
}

#[test]
fn local_files_come_under_their_own_or_another_name() {
    let scratch = Scratch::new();
    let path = scratch.put("one", b"1");
    let other = Uri {
        output_file: Some("a/b".to_owned()),
        ..uri(&format!("file://{path}"))
    };
    scratch.fetch(vec![uri(&path), other]).unwrap();
    assert_eq!(
        (scratch.read("one"), scratch.read("a/b")),
        ("1".into(), "1".into())
    );
    let mode = fs::metadata(scratch.sandbox().join("one")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o644);
}

#[test]
fn what_cannot_be_fetched_is_named() {
    let scratch = Scratch::new();
    let big = scratch.put("big", &vec![0; (1 << 20) + 1]);
    let zip = scratch.put("a.zip", b"PK");
    for (value, part) in [
        ("/no/such/file", "No such file"),
        ("relative", "only absolute paths"),
        ("hdfs://a/b", "only absolute paths"),
        ("/tmp", "not a file"),
        (big.as_str(), "larger than the 1 MiB"),
        (zip.as_str(), "the zip archive is damaged"),
    ] {
        let error = scratch.fetch(vec![uri(value)]).unwrap_err();
        let start = format!("Failed to fetch '{value}': ");
        assert!(error.starts_with(&start) && error.contains(part), "{error}");
    }
    let bad = Uri {
        output_file: Some("../out".to_owned()),
        ..uri(&zip)
    };
    assert!(scratch.fetch(vec![bad]).unwrap_err().contains("'../out'"));
}

#[test]
fn a_file_that_the_user_may_not_read_is_not_read_for_the_user() {
    let scratch = Scratch::new();
    let secret = scratch.put("secret", b"1");
    let open = scratch.put("open", b"1");
    let mode = |path: &str, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&secret, 0o640);
    mode(&open, 0o644);
    let stranger = |value: &str| {
        let mut job = scratch.job(vec![uri(value)]);
        job.identity.uid += 70_000;
        job.identity.gid += 70_000;
        job.identity.is_switched = true;
        fetch(&job).map_err(|error| error.to_string())
    };
    let link = scratch.0.join("link").display().to_string();
    symlink(&secret, &link).unwrap();
    for path in [&secret, &link] {
        assert!(stranger(path).unwrap_err().contains("may not read it"));
    }
    let directory = scratch.0.display().to_string();
    mode(&directory, 0o700);
    assert!(stranger(&open).unwrap_err().contains("may not read it"));
    mode(&directory, 0o755);
    if nix::unistd::Uid::effective().is_root() {
        stranger(&open).unwrap();
        let owner = fs::metadata(scratch.sandbox().join("open")).unwrap().uid();
        assert_eq!(owner, 70_000);
    }
}

#[test]
fn archives_are_unpacked_with_what_may_be_in_them() {
    let scratch = Scratch::new();
    let members = [
        ("d/", EntryType::Directory, ""),
        ("./d/run", EntryType::Regular, "x"),
        ("d/link", EntryType::Symlink, "../top"),
        ("top", EntryType::Regular, "t"),
        ("hard", EntryType::Link, "d/run"),
    ];
    let bytes = tar(&members);
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    zipped.write_all(&bytes).unwrap();
    let plain = scratch.put("a.tar", &bytes);
    let zipped = scratch.put("a.tar.gz", &zipped.finish().unwrap());
    for path in [plain, zipped] {
        scratch.fetch(vec![uri(&path)]).unwrap();
        assert_eq!(scratch.read("d/run"), "x");
        assert_eq!(scratch.read("d/link"), "t");
        assert_eq!(scratch.read("hard"), "x");
        let mode = fs::metadata(scratch.sandbox().join("d/run"))
            .unwrap()
            .mode();
        assert_eq!(mode & 0o7777, 0o755);
    }
    let kept = Uri {
        extract: false,
        ..uri(&scratch.0.join("a.tar").display().to_string())
    };
    scratch.fetch(vec![kept]).unwrap();
    assert_eq!(fs::read_dir(scratch.sandbox()).unwrap().count(), 1);
}

#[test]
fn no_archive_leaves_the_sandbox() {
    let scratch = Scratch::new();
    let outside = scratch.put("outside", b"old");
    let bad: [&[(&str, EntryType, &str)]; 9] = [
        &[("../outside", EntryType::Regular, "new")],
        &[(&outside, EntryType::Regular, "new")],
        &[("l", EntryType::Symlink, "..")],
        &[("l", EntryType::Symlink, &outside)],
        &[("d/l", EntryType::Symlink, "../../outside")],
        &[
            ("d/e/f", EntryType::Regular, ""),
            ("l", EntryType::Symlink, "d/../../outside"),
        ],
        &[
            ("l", EntryType::Symlink, "d"),
            ("l/x", EntryType::Regular, "new"),
        ],
        &[("h", EntryType::Link, "../outside")],
        &[("dev", EntryType::Char, "")],
    ];
    for members in bad {
        let path = scratch.put("bad.tar", &tar(members));
        let error = scratch.fetch(vec![uri(&path)]).unwrap_err();
        assert!(error.contains("the archive holds"), "{members:?}: {error}");
        assert_eq!(fs::read_to_string(&outside).unwrap(), "old");
    }
}

#[test]
fn an_archive_that_swells_is_stopped() {
    let scratch = Scratch::new();
    let zeros = "0".repeat(3 << 20);
    for kind in [EntryType::Regular, EntryType::GNULongName] {
        let bytes = tar(&[("x", kind, &zeros)]);
        let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
        zipped.write_all(&bytes).unwrap();
        let path = scratch.put("bomb.tgz", &zipped.finish().unwrap());
        let error = scratch.fetch(vec![uri(&path)]).unwrap_err();
        assert!(
            error.contains("larger than") || error.contains("too long"),
            "{error}"
        );
    }
    let cut = tar(&[("x", EntryType::Regular, &zeros)]);
    let path = scratch.put("cut.tar", &cut[..2_000]);
    assert!(scratch.fetch(vec![uri(&path)]).is_err());
}

/// Answers one request with these bytes.
fn serve(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
    });
    format!("http://127.0.0.1:{port}/dir/file.txt?x=1")
}

#[test]
fn a_server_is_asked_and_believed() {
    let scratch = Scratch::new();
    let good = serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    scratch.fetch(vec![uri(&good)]).unwrap();
    assert_eq!(scratch.read("file.txt"), "ok");
    let missing = serve("HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let error = scratch.fetch(vec![uri(&missing)]).unwrap_err();
    assert!(
        error.contains("status 404") && error.contains(&missing),
        "{error}"
    );
    let torn = serve("HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nok");
    assert!(scratch.fetch(vec![uri(&torn)]).is_err());
}

/// Answers each request with the next of these.
fn serve_in_turn(answers: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    format!("http://127.0.0.1:{port}/file")
}

#[test]
fn a_server_that_fails_for_a_while_is_asked_again_and_one_that_refuses_is_not() {
    let scratch = Scratch::new();
    let good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    let torn = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nbad";
    let busy = "HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let gone = "HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const LATER: &[&str] = &[
        "HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nbad",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    ];
    assert_eq!(LATER, [busy, "", torn, good]);
    scratch.fetch(vec![uri(&serve_in_turn(LATER))]).unwrap();
    assert_eq!(scratch.read("file"), "ok");
    const REFUSED: &[&str] = &[
        "HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    ];
    assert_eq!(REFUSED, [gone, good]);
    let error = scratch.fetch(vec![uri(&serve_in_turn(REFUSED))]);
    assert!(error.unwrap_err().contains("status 404"));
}

pub(super) fn number(bytes: &mut Vec<u8>, size: usize, value: u32) {
    bytes.extend_from_slice(&value.to_le_bytes()[..size]);
}

/// A zip archive of members with a Unix mode; a deflated one if that is asked for.
pub(super) fn zip(members: &[(&str, u32, &str)], is_deflated: bool) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, mode, content) in members {
        let mut crc = flate2::Crc::new();
        crc.update(content.as_bytes());
        let mut packed = content.as_bytes().to_vec();
        if is_deflated {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(content.as_bytes()).unwrap();
            packed = encoder.finish().unwrap();
        }
        let at = bytes.len() as u32;
        // What both headers have in common: flags to the length of the extra field.
        let mut common = Vec::new();
        for (size, value) in [
            (2, 0),
            (2, if is_deflated { 8 } else { 0 }),
            (4, 0),
            (4, crc.sum()),
            (4, packed.len() as u32),
            (4, content.len() as u32),
            (2, name.len() as u32),
            (2, 0),
        ] {
            number(&mut common, size, value);
        }
        number(&mut bytes, 4, 0x0403_4b50);
        number(&mut bytes, 2, 20);
        bytes.extend(&common);
        bytes.extend(name.as_bytes());
        bytes.extend(&packed);
        number(&mut directory, 4, 0x0201_4b50);
        number(&mut directory, 2, 3 << 8 | 20);
        number(&mut directory, 2, 20);
        directory.extend(&common);
        for (size, value) in [(2, 0), (2, 0), (2, 0), (4, *mode << 16), (4, at)] {
            number(&mut directory, size, value);
        }
        directory.extend(name.as_bytes());
    }
    let (begin, count) = (bytes.len() as u32, members.len() as u32);
    let length = directory.len() as u32;
    bytes.extend(directory);
    for (size, value) in [
        (4, 0x0605_4b50),
        (4, 0),
        (2, count),
        (2, count),
        (4, length),
        (4, begin),
        (2, 0),
    ] {
        number(&mut bytes, size, value);
    }
    bytes
}

#[test]
fn zip_archives_are_unpacked_with_modes_and_links() {
    let scratch = Scratch::new();
    let members = [
        ("d/", 0o040_755, ""),
        ("d/run", 0o106_755, "x"),
        ("d/link", 0o120_777, "../top"),
        ("top", 0, "tttttttttttttttttttttttt"),
    ];
    for is_deflated in [false, true] {
        let path = scratch.put("a.zip", &zip(&members, is_deflated));
        scratch.fetch(vec![uri(&path)]).unwrap();
        assert_eq!(scratch.read("d/run"), "x");
        assert_eq!(scratch.read("d/link"), "tttttttttttttttttttttttt");
        let mode = |name: &str| fs::metadata(scratch.sandbox().join(name)).unwrap().mode();
        assert_eq!(mode("d/run") & 0o7777, 0o755);
        assert_eq!(mode("top") & 0o7777, 0o644);
    }
}

#[test]
fn no_zip_archive_leaves_the_sandbox_or_swells_or_is_believed_when_damaged() {
    let scratch = Scratch::new();
    let outside = scratch.put("outside", b"old");
    let bad: [&[(&str, u32, &str)]; 6] = [
        &[("../outside", 0o100_644, "new")],
        &[(&outside, 0o100_644, "new")],
        &[("l", 0o120_777, "..")],
        &[("l", 0o120_777, &outside)],
        &[("l", 0o120_777, "d"), ("l/x", 0o100_644, "new")],
        &[("pipe", 0o010_644, "")],
    ];
    for members in bad {
        let path = scratch.put("bad.zip", &zip(members, false));
        let error = scratch.fetch(vec![uri(&path)]).unwrap_err();
        assert!(error.contains("the archive holds"), "{members:?}: {error}");
        assert_eq!(fs::read_to_string(&outside).unwrap(), "old");
    }
    let zeros = "0".repeat(3 << 20);
    let path = scratch.put("bomb.zip", &zip(&[("x", 0, &zeros)], true));
    let error = scratch.fetch(vec![uri(&path)]).unwrap_err();
    assert!(error.contains("larger than"), "{error}");
    let good = zip(&[("x", 0o100_644, "content")], false);
    for cut in 0..good.len() {
        let path = scratch.put("cut.zip", &good[..cut]);
        assert!(scratch.fetch(vec![uri(&path)]).is_err(), "{cut}");
    }
    let mut turned = good.clone();
    let at = good.windows(7).position(|it| it == b"content").unwrap();
    turned[at] ^= 1;
    let path = scratch.put("turned.zip", &turned);
    let error = scratch.fetch(vec![uri(&path)]).unwrap_err();
    assert!(error.contains("not what it should be"), "{error}");
}

#[test]
fn what_the_system_can_unpack_is_unpacked_by_it() {
    let scratch = Scratch::new();
    let bytes = tar(&[("run", EntryType::Regular, "x")]);
    for (program, name) in [
        ("bzip2", "a.tar.bz2"),
        ("xz", "a.txz"),
        ("gzip", "plain.gz"),
    ] {
        let child = Command::new(program)
            .arg("-c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            let path = scratch.put(name, b"x");
            assert!(scratch.fetch(vec![uri(&path)]).is_err());
            continue;
        };
        let input = if program == "gzip" {
            b"x".as_slice()
        } else {
            &bytes
        };
        child.stdin.take().unwrap().write_all(input).unwrap();
        let packed = child.wait_with_output().unwrap().stdout;
        let path = scratch.put(name, &packed);
        scratch.fetch(vec![uri(&path)]).unwrap();
        let read = if program == "gzip" { "plain" } else { "run" };
        assert_eq!(scratch.read(read), "x", "{program}");
        let path = scratch.put(name, &packed[..packed.len() / 2]);
        assert!(scratch.fetch(vec![uri(&path)]).is_err(), "{program}");
    }
}

#[test]
fn a_fetch_begins_with_an_empty_sandbox_and_stops_when_nobody_waits() {
    let scratch = Scratch::new();
    let path = scratch.put("one", b"1");
    fs::create_dir(scratch.sandbox()).unwrap();
    fs::write(scratch.sandbox().join("old"), "").unwrap();
    scratch.fetch(vec![uri(&path)]).unwrap();
    assert!(!Path::new(&scratch.sandbox()).join("old").exists());
    let job = scratch.job(vec![uri(&path)]);
    job.is_cancelled.store(true, Ordering::Relaxed);
    assert!(fetch(&job).unwrap_err().to_string().contains("was killed"));
}
