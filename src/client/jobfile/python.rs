//! Runs the loader in a `python3`.

use super::{FileError, LoadError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Version of the protocol with the loader.
pub(super) const VERSION: u32 = 1;
/// How long a job file may run.
const TIME_LIMIT: Duration = Duration::from_secs(120);
/// How long Python may take to end once it has answered.
const END_LIMIT: Duration = Duration::from_secs(5);
/// Longest answer, in bytes.
const ANSWER_LIMIT: u64 = 256 * 1024 * 1024;

const BOOT: &str = include_str!("../loader/boot.py");

/// The modules of the loader as pairs of name and source.
macro_rules! modules {
    ($($name:literal),+ $(,)?) => {
        [$((concat!("aurora_loader.", $name), include_str!(concat!("../loader/", $name, ".py")))),+]
    };
}

const PACKAGE: (&str, &str) = ("aurora_loader", include_str!("../loader/__init__.py"));
const MODULES: [(&str, &str); 16] = modules![
    "checks",
    "containers",
    "convert",
    "errors",
    "files",
    "helpers",
    "jsonplace",
    "main",
    "place",
    "plan",
    "ports",
    "refs",
    "schema",
    "selection",
    "structs",
    "values",
];

#[derive(Deserialize)]
struct Refusal {
    error: FileError,
}

/// Sends one request to a fresh loader and reads the answer.
///
/// The program is the one that the environment variable `AURORA_PYTHON` names, or else `python3`.
pub(super) fn ask<T: DeserializeOwned>(request: &Value) -> Result<T, LoadError> {
    let named = std::env::var_os("AURORA_PYTHON").filter(|name| !name.is_empty());
    let program = named.as_deref().unwrap_or(OsStr::new("python3"));
    let answer = converse(program, request, TIME_LIMIT)?;
    let answer: Value = serde_json::from_str(&answer).map_err(|error| nonsense(&error))?;
    if answer["version"].as_u64() != Some(u64::from(VERSION)) {
        return Err(nonsense(&format!("version {}", answer["version"])));
    }
    if answer.get("error").is_some() {
        let refusal: Refusal = serde_json::from_value(answer).map_err(|error| nonsense(&error))?;
        return Err(LoadError::File(refusal.error));
    }
    serde_json::from_value(answer).map_err(|error| nonsense(&error))
}

fn nonsense(error: &dyn std::fmt::Display) -> LoadError {
    LoadError::Python(format!(
        "the job file loader gave no usable answer: {error}"
    ))
}

/// Starts Python, sends modules and request, and takes its one line of answer.
fn converse(program: &OsStr, request: &Value, limit: Duration) -> Result<String, LoadError> {
    let shown = program.to_string_lossy();
    let mut child = Command::new(program)
        .args(["-I", "-c", BOOT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound if program == "python3" => LoadError::NoPython,
            _ => LoadError::Python(format!("cannot run {shown}: {error}")),
        })?;
    let input = child.stdin.take().expect("stdin was asked to be a pipe");
    let output = child.stdout.take().expect("stdout was asked to be a pipe");
    let (sender, receiver) = sync_channel(2);
    let text = wire_text(request);
    std::thread::spawn(move || talk(input, output, &text, &sender));
    let answer = receiver.recv_timeout(limit);
    let ended = end(&mut child, &receiver, answer.is_ok());
    match answer {
        Ok(Ok(answer)) if answer.ends_with('\n') => Ok(answer),
        Ok(Ok(_)) => Err(LoadError::Python(format!(
            "{shown} ended without an answer ({ended})"
        ))),
        Ok(Err(error)) => Err(LoadError::Python(format!(
            "{shown} does not work: {error} ({ended})"
        ))),
        Err(RecvTimeoutError::Timeout) => Err(LoadError::Python(format!(
            "the job file ran for more than {} seconds and was stopped",
            limit.as_secs()
        ))),
        Err(RecvTimeoutError::Disconnected) => Err(LoadError::Python(format!(
            "{shown} cannot be talked to ({ended})"
        ))),
    }
}

/// What goes to standard input: the size of the modules, the modules, the request.
fn wire_text(request: &Value) -> String {
    let modules: Map<String, Value> = std::iter::once(PACKAGE)
        .chain(MODULES)
        .map(|(name, source)| (name.to_owned(), Value::from(source)))
        .collect();
    let modules = Value::Object(modules).to_string();
    format!("{}\n{modules}{request}\n", modules.len())
}

/// Writes the request, reads a line, reports it, and reports again when Python has closed the pipe.
fn talk(
    mut input: ChildStdin,
    output: ChildStdout,
    text: &str,
    reports: &SyncSender<io::Result<String>>,
) {
    let written = input.write_all(text.as_bytes());
    drop(input);
    let mut output = BufReader::new(output.take(ANSWER_LIMIT));
    let mut line = String::new();
    let answer = match output.read_line(&mut line) {
        // Python that ended early explains itself on standard error; the broken pipe says less.
        Ok(0) => written.map(|()| String::new()),
        Ok(_) => Ok(line),
        Err(error) => Err(error),
    };
    if reports.send(answer).is_ok() {
        let end = io::copy(&mut output, &mut io::sink()).map(|_| String::new());
        // Nobody listens any more if Python had to be stopped.
        reports.send(end).ok();
    }
}

/// Waits for Python to end, or stops it; says how it ended.
fn end(child: &mut Child, reports: &Receiver<io::Result<String>>, answered: bool) -> String {
    if !answered || reports.recv_timeout(END_LIMIT).is_err() {
        // It may have ended by itself in between.
        child.kill().ok();
    }
    match child.wait() {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_program_that_is_no_python_is_named() {
        let error = converse(OsStr::new("true"), &json!({}), TIME_LIMIT).unwrap_err();
        assert!(error.to_string().contains("true"), "{error}");
        let error = converse(OsStr::new("./no-such"), &json!({}), TIME_LIMIT).unwrap_err();
        assert!(error.to_string().contains("./no-such"), "{error}");
    }

    #[test]
    fn an_endless_file_is_stopped() {
        let request = json!({
            "version": 1, "file": "x", "source": "while True: pass", "user": "me",
        });
        let limit = Duration::from_millis(700);
        let error = converse(OsStr::new("python3"), &request, limit).unwrap_err();
        assert!(error.to_string().contains("was stopped"), "{error}");
    }
}
