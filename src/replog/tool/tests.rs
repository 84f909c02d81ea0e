use super::*;
use crate::replog::tests::{Scratch, leading, learned, opened};
use crate::rt;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

struct Ran {
    status: u8,
    out: String,
    err: String,
}

fn ran(args: &[&str]) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    let status = main(args, &mut out, &mut err);
    Ran {
        status,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}

fn on(command: &str, path: &Path) -> Ran {
    ran(&[command, &format!("--path={}", path.display())])
}

/// Every file below `path` with its contents.
fn contents(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.insert(path.display().to_string(), Vec::new());
            all.extend(contents(&path));
        } else {
            all.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    all
}

#[test]
fn bad_usage_goes_to_the_error_stream_with_status_1_and_help_with_0() {
    for args in [
        &[][..],
        &["--help"],
        &["initialize", "--help"],
        &["help", "initialize"],
        &["frobnicate"],
        &["initialize"],
        &["initialize", "--path"],
        &["initialize", "--pfad=x"],
        &[
            "initialize",
            "--path=/nonexistent-aurora/x",
            "--timeout=soon",
        ],
        &["read"],
        &["verify"],
        &["status"],
        &["replica", "--quorum=1"],
        &["benchmark"],
    ] {
        let ran = ran(args);
        assert_eq!(ran.status, 1, "{args:?}");
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{args:?}");
    }
    let help = ran(&["help"]);
    assert_eq!(help.status, 0);
    assert!(help.err.contains("initialize") && help.out.is_empty());
    assert!(
        ran(&["initialize"])
            .err
            .contains("Missing required option --path")
    );
}

#[test]
fn initializing_is_silent_and_makes_a_replica_that_leads() {
    let scratch = Scratch::new();
    let path = scratch.path().join("a/b");
    let made = ran(&[
        "initialize",
        "--path",
        path.to_str().unwrap(),
        "--timeout=60secs",
    ]);
    assert_eq!(
        (made.status, made.out.as_str(), made.err.as_str()),
        (0, "", "")
    );
    assert!(on("status", &path).out.contains("VOTING"));
    rt::block_on(async {
        let (log, events) = opened(&path);
        leading(&events).await;
        log.close().await;
    });
}

#[test]
fn initializing_twice_is_refused_and_changes_nothing() {
    let scratch = Scratch::initialized();
    let before = contents(scratch.path());
    let again = on("initialize", scratch.path());
    assert_eq!(again.status, 1);
    assert!(again.err.contains("The log is not empty"), "{}", again.err);
    assert!(contents(scratch.path()) == before);
}

#[test]
fn a_path_in_use_is_refused_by_every_command_but_status() {
    let scratch = Scratch::initialized();
    rt::block_on(async {
        let (log, events) = opened(scratch.path());
        leading(&events).await;
        for command in ["initialize", "read", "verify"] {
            let ran = on(command, scratch.path());
            assert_eq!(ran.status, 1);
            assert!(ran.err.contains("in use"), "{}", ran.err);
        }
        let status = on("status", scratch.path());
        assert!(status.status == 0 && status.out.contains("in use"));
        log.close().await;
    });
    assert_eq!(on("verify", scratch.path()).status, 0);
}

#[test]
fn a_path_that_holds_something_else_is_refused_and_changes_nothing() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("MANIFEST-000001"), "other").unwrap();
    let file = scratch.path().join("MANIFEST-000001");
    for path in [scratch.path(), &file, &file.join("below")] {
        let before = contents(scratch.path());
        let ran = on("initialize", path);
        assert_eq!(ran.status, 1, "{}", path.display());
        assert!(!ran.err.is_empty());
        assert!(contents(scratch.path()) == before);
        for command in ["read", "verify", "status"] {
            assert_eq!(on(command, path).status, 1, "{command} {}", path.display());
        }
    }
}

#[test]
fn an_initialization_that_was_cut_short_can_be_begun_again() {
    let scratch = Scratch::initialized();
    let replica = scratch.path().join("replica");
    fs::rename(&replica, scratch.path().join(".initializing")).unwrap();
    let status = on("status", scratch.path());
    assert!(status.out.contains("EMPTY"), "{}", status.out);
    assert_eq!(on("initialize", scratch.path()).status, 0);
    assert!(on("status", scratch.path()).out.contains("VOTING"));
    assert!(!scratch.path().join(".initializing").exists());
}

#[test]
fn a_root_file_system_with_lost_and_found_counts_as_empty() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path().join("lost+found")).unwrap();
    assert_eq!(on("initialize", scratch.path()).status, 0);
}

#[test]
fn what_root_makes_belongs_to_the_owner_of_the_nearest_directory() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new();
    std::os::unix::fs::chown(scratch.path(), Some(4321), Some(4322)).unwrap();
    let path = scratch.path().join("var/db");
    assert_eq!(on("initialize", &path).status, 0);
    for made in contents(scratch.path()).keys() {
        let owner = fs::metadata(made).unwrap();
        assert_eq!((owner.uid(), owner.gid()), (4321, 4322), "{made}");
    }
}

#[test]
fn entries_are_listed_with_positions_and_sizes() {
    let scratch = Scratch::initialized();
    assert_eq!(on("read", scratch.path()).out, "");
    rt::block_on(async {
        let (log, events) = opened(scratch.path());
        let (ballot, _) = leading(&events).await;
        log.append(ballot, 1, vec![7; 100]).await.unwrap();
        learned(&events, 1).await;
        log.close().await;
    });
    let read = on("read", scratch.path());
    let lines: Vec<&str> = read.out.lines().collect();
    assert_eq!(lines.len(), 2, "{}", read.out);
    assert!(lines[0].starts_with("position 1 ") && lines[0].contains("CONFIGURE 1 member(s)"));
    assert!(lines[1].starts_with("position 2 ") && lines[1].ends_with("learned APPEND 100 bytes"));
    let path = scratch.path().display();
    let between = |from: u64, to: u64| {
        let (from, to) = (format!("--from={from}"), format!("--to={to}"));
        ran(&["read", &format!("--path={path}"), &from, &to])
    };
    assert_eq!(between(2, 2).out.lines().count(), 1);
    assert!(between(2, 1).err.contains("Bad read range (to < from)"));
    assert!(
        between(0, 1)
            .err
            .contains("Bad read range (truncated position)")
    );
    assert!(
        between(1, 3)
            .err
            .contains("Bad read range (past end of log)")
    );
}

#[test]
fn a_path_without_a_replica_is_not_made_by_reading() {
    let scratch = Scratch::new();
    let path = scratch.path().join("none");
    for command in ["read", "verify"] {
        let ran = on(command, &path);
        assert_eq!(ran.status, 1);
        assert!(ran.err.contains("aurora-log initialize"), "{}", ran.err);
    }
    assert!(on("status", &path).out.contains("EMPTY"));
    assert!(!path.exists());
}

#[test]
fn a_trace_is_replayed_with_a_line_for_each_append() {
    let scratch = Scratch::new();
    let (input, output) = (scratch.path().join("trace"), scratch.path().join("out"));
    fs::write(&input, "100B\n2KB\n\n1MB\n").unwrap();
    let files = [
        format!("--path={}", scratch.path().join("db").display()),
        format!("--input={}", input.display()),
        format!("--output={}", output.display()),
    ];
    let args = ["benchmark", &files[0], &files[1], &files[2], "--type=one"];
    let did = ran(&args);
    assert_eq!(did.status, 0, "{}", did.err);
    assert!(
        did.out.contains("Total number of appends: 3"),
        "{}",
        did.out
    );
    let lines = fs::read_to_string(&output).unwrap();
    let sizes: Vec<&str> = lines
        .lines()
        .map(|line| line.split_whitespace().nth(2).unwrap())
        .collect();
    assert_eq!(sizes, ["100", "2048", "1048576"]);
    // The entries are in the log, and can be shown.
    let read = ran(&["read", &files[0], "--decode"]);
    assert!(read.out.contains("APPEND 2048 bytes"), "{}", read.out);
    assert!(read.out.contains("ffffffff"), "{}", read.out);
    fs::write(&input, "100B\nmuch\n").unwrap();
    let bad = ran(&args);
    assert_eq!(bad.status, 1);
    assert!(
        bad.err.contains("Failed to parse the trace file"),
        "{}",
        bad.err
    );
}

#[test]
fn load_is_put_on_a_log_and_measured() {
    let scratch = Scratch::new();
    let path = format!("--path={}", scratch.path().join("db").display());
    let did = ran(&["benchmark", &path, "--count=5000", "--keep=1000"]);
    assert_eq!(did.status, 0, "{}", did.err);
    for name in [
        "appends 5000",
        "appends_per_s",
        "p50_ms",
        "p99_ms",
        "rss_mb",
    ] {
        assert!(did.out.contains(name), "{}", did.out);
    }
    let status = on("status", &scratch.path().join("db"));
    assert!(!status.out.contains("first       1\n"), "{}", status.out);
}

#[test]
fn what_asks_an_ensemble_says_what_is_missing_and_fails_with_status_1() {
    for (args, part) in [
        (vec!["add-member"], "--member"),
        (vec!["add-member", "--member=a:1"], "--peer"),
        (vec!["remove-member"], "--member"),
        (vec!["replace-member", "--member=a:1"], "--with"),
        (vec!["set-quorum"], "--size"),
        (vec!["replica", "--path=/nonexistent/x"], "--peers"),
        (
            vec!["replica", "--path=/x", "--servers=z", "--znode=/l"],
            "--peers",
        ),
        (vec!["benchmark", "--path=/nonexistent/x"], "--input"),
        (vec!["force-new-ensemble"], "--path"),
        (
            vec!["status", "--peer=127.0.0.1:1", "--key=/nonexistent/key"],
            "--key=FILE",
        ),
    ] {
        let did = ran(&args);
        assert_eq!(did.status, 1, "{args:?}");
        assert!(did.err.contains(part), "{args:?}: {}", did.err);
    }
}
