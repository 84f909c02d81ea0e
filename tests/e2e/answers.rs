//! What a running scheduler answers, method by method, against golden files that Apache's Thrift library
//! encodes: `tests/thrift_oracle/answers.py` says what is asked. With `AURORA_WRITE_GOLDEN` set the files are
//! made anew.

use crate::world::{World, text, wait};
use std::ffi::OsString;
use std::process::Command;

/// A Python with Apache's library, or a line that names what is skipped.
fn python() -> Option<OsString> {
    let python = std::env::var_os("AURORA_THRIFT_PYTHON");
    if python.is_none() {
        println!("skipped: golden answers of the API: AURORA_THRIFT_PYTHON is not set");
    }
    python
}

fn compare(python: &OsString, world: &World, golden: &str, more: &[String]) {
    let here = env!("CARGO_MANIFEST_DIR");
    let mut command = Command::new(python);
    command
        .arg(format!("{here}/tests/thrift_oracle/answers.py"))
        .arg(format!("--url=http://127.0.0.1:{}", world.http_port))
        .arg(format!("--golden={here}/tests/fixtures/thrift/{golden}"))
        .args(more);
    if std::env::var_os("AURORA_WRITE_GOLDEN").is_some() {
        command.arg("--write");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{golden}: {}", text(&output));
}

#[test]
fn every_method_answers_as_the_golden_file_says() {
    let Some(python) = python() else { return };
    let mut world = World::new("answers");
    world.start_all();
    wait("the agent to offer itself", || {
        let offers = world.get("/offers");
        offers.is_some_and(|(_, body)| body.contains("hostname"))
    });
    let backups = format!("--backups={}", world.path("backups").display());
    compare(&python, &world, "answers.txt", &[backups]);
}

#[test]
fn before_storage_is_ready_every_method_says_so() {
    let Some(python) = python() else { return };
    let mut world = World::uninitialised("unready");
    world.start_scheduler();
    wait("the API", || {
        let answer = world.post("/apibeta/getTierConfigs", &[], b"");
        answer.is_ok_and(|(status, _)| status == 200)
    });
    compare(&python, &world, "unready.txt", &["--unready".to_owned()]);
}
