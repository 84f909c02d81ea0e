//! Both ways of loading JSON job files held against each other.

use super::*;
use crate::client::jobfile::{self, python};
use std::path::{Path, PathBuf};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn request(file: PathBuf) -> LoadRequest {
    LoadRequest {
        file,
        bindings: Vec::new(),
        select: None,
        read_json: true,
        user: "me".to_owned(),
    }
}

fn by_python(request: &LoadRequest) -> Result<LoadAnswer, LoadError> {
    python::ask(&request.to_json("jobs"))
}

/// A file of its own that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("aurora-jobfile-{}-{name}.json", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

fn assert_same(request: &LoadRequest, what: &str) {
    let (ours, python) = (load(request), by_python(request));
    match (ours, python) {
        (Ok(ours), Ok(python)) => {
            assert_eq!(ours.warnings, python.warnings, "{what}");
            assert_eq!(ours.jobs.len(), python.jobs.len(), "{what}");
            for (ours, python) in ours.jobs.iter().zip(&python.jobs) {
                assert_eq!(ours.key, python.key, "{what}");
                assert_eq!(ours.job.to_string(), python.job.to_string(), "{what}");
                assert_eq!(ours.config, python.config, "{what}");
                assert_eq!(ours.update.is_err(), python.update.is_err(), "{what}");
                assert_eq!(
                    ours.update.as_ref().ok(),
                    python.update.as_ref().ok(),
                    "{what}"
                );
                assert_eq!(ours.enable_hooks, python.enable_hooks, "{what}");
            }
        }
        (Err(LoadError::File(ours)), Err(LoadError::File(python))) => {
            assert_eq!(ours.kind, python.kind, "{what}: {ours} / {python}");
            assert_eq!(ours.field, python.field, "{what}: {ours} / {python}");
            assert_eq!(ours.line, python.line, "{what}: {ours} / {python}");
        }
        (ours, python) => panic!("{what}: {ours:?} / {python:?}"),
    }
}

#[test]
fn every_job_of_the_examples_loads_the_same_from_its_json() {
    let mut files: Vec<_> = std::fs::read_dir(root("packaging/examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "aurora"))
        .collect();
    files.push(root("tests/loader/cases/everything.aurora"));
    for (at, file) in files.into_iter().enumerate() {
        let mut request = request(file);
        request.read_json = false;
        let answer = jobfile::load(&request).unwrap();
        let jobs: Vec<_> = answer.jobs.iter().map(|job| job.job.clone()).collect();
        let text = serde_json::json!({"jobs": jobs}).to_string();
        // An escape has become the braces that it stands for.
        let text = text.replace("{{print}}", "{{&print}}");
        let scratch = Scratch::new(&format!("example-{at}"), &text);
        request.file.clone_from(&scratch.0);
        request.read_json = true;
        assert_same(&request, &text);
        let ours = load(&request).unwrap();
        for (ours, first) in ours.jobs.iter().zip(&answer.jobs) {
            assert_eq!(ours.config, first.config);
        }
    }
}

const JOB: &str = r#"{
 "cluster": "c", "role": "r", "environment": "e", "instances": 2,
 "task": {
  "processes": [
   {"name": "p", "cmdline": "true"},
   {"name": "q", "cmdline": "{{role}} {{super.name}} {{self.name}} {{task.processes[0].name}}"}],
  "resources": {"cpu": 0.5,
   "ram": 2097152, "disk": 2097152}}}"#;

#[test]
fn both_ways_agree_on_what_is_wrong_and_what_is_not() {
    let cases = [
        (r#""instances": 2"#, r#""instances": "{{x}}""#),
        (r#""instances": 2"#, r#""instances": "2.5""#),
        (r#""instances": 2"#, r#""instances": 2.5"#),
        (r#""instances": 2"#, r#""instances": 0"#),
        (r#""instances": 2"#, r#""instance": 2"#),
        (r#""instances": 2"#, r#""instances": null"#),
        (
            r#""instances": 2"#,
            r#""update_config": {"max_total_failures": 1}"#,
        ),
        (r#""instances": 2"#, r#""update_config": {"batch_size": 0}"#),
        (
            r#""instances": 2"#,
            r#""update_config": {"update_strategy": {"batch_sizes": [1, 2]}}"#,
        ),
        (
            r#""instances": 2"#,
            r#""health_check_config": {"interval_secs": -1}"#,
        ),
        (r#""instances": 2"#, r#""announce": {}"#),
        (
            r#""instances": 2"#,
            r#""announce": {"portmap": {"a": "b", "b": "a"}}"#,
        ),
        (
            r#""instances": 2"#,
            r#""announce": {"portmap": {"a": "80"}}"#,
        ),
        (
            r#""instances": 2"#,
            r#""constraints": {"a": "!x,y", "b": "limit:2"}"#,
        ),
        (
            r#""instances": 2"#,
            r#""constraints": {"a": "limit:99999999999"}"#,
        ),
        (r#""instances": 2"#, r#""container": {"image": 3}"#),
        (r#""instances": 2"#, r#""container": {"other": 3}"#),
        (
            r#""instances": 2"#,
            r#""sla_policy": {"count": "{{instances}}", "duration_secs": 5}"#,
        ),
        (r#""instances": 2"#, r#""production": "TRUE""#),
        (r#""instances": 2"#, r#""production": "yes""#),
        (r#""instances": 2"#, r#""cron_collision_policy": "x""#),
        (
            r#""instances": 2"#,
            r#""executor_config": {"name": "x", "data": "{{name}}"}"#,
        ),
        (r#""role": "r""#, r#""role": "a b""#),
        (r#""role": "r", "#, ""),
        (r#""environment": "e", "#, ""),
        ("\"true\"", "\"{{thermos.ports[http]}} {{mesos.instance}}\""),
        ("\"true\"", "\"{{thermos.ports[{{mesos.instance}}]}}\""),
        ("\"true\"", "\"{{nothing}}\""),
        ("\"true\"", "\"{{not this}}\""),
        ("\"true\"", "\"{{&not this}} {{{role}}} {{}} }}{{ {{task}\""),
        ("\"true\"", "\"{{task}}\""),
        (
            "\"true\"",
            "\"{{task.resources.cpu}} {{task.resources.ram}} {{service}}\"",
        ),
        ("\"true\"", "\"{{cmdline}}\""),
        (
            "\"true\"",
            "\"\\u00e9\\n\\\" {{mesos.role}} {{thermos.user}} {{mesos.cluster}}\"",
        ),
        ("\"true\"", "1.50"),
        ("\"true\"", "[]"),
        ("\"name\": \"p\"", "\"name\": \"q\""),
        ("\"name\": \"p\"", "\"name\": \".p\""),
        (
            "\"name\": \"p\"",
            "\"name\": \"p\", \"logger\": {\"mode\": \"x\"}",
        ),
        (
            "\"name\": \"p\"",
            "\"name\": \"p\", \"max_failures\": \"{{mesos.instance}}\"",
        ),
        (
            "\"resources\"",
            "\"constraints\": [{\"order\": [\"p\", \"q\", \"p\"]}], \"resources\"",
        ),
        (
            "\"resources\"",
            "\"constraints\": [{\"order\": [\"p\", \"x\"]}], \"resources\"",
        ),
        ("\"ram\": 2097152", "\"ram\": 2"),
        ("\"ram\": 2097152, ", ""),
        ("\"cpu\": 0.5", "\"cpu\": \"1e-5\""),
        ("\"cpu\": 0.5", "\"cpu\": 0"),
        ("\"cpu\": 0.5", "\"cpu\": \"{{instances}}\""),
        ("\"task\": {", "\"task\": {,"),
    ];
    for (at, (old, new)) in cases.into_iter().enumerate() {
        let text = JOB.replace(old, new);
        assert_ne!(text, JOB);
        let scratch = Scratch::new(&format!("case-{at}"), &text);
        assert_same(&request(scratch.0.clone()), new);
    }
}

#[test]
fn bindings_and_selection_agree() {
    let text = JOB.replace("\"true\"", "\"{{a.b}} {{x[y]}} {{c}}\"");
    let scratch = Scratch::new("bound", &text);
    let mut request = request(scratch.0.clone());
    for (name, value) in [
        ("a.b", "1"),
        ("x[y]", "{{a.b}}"),
        ("c", "1"),
        ("c", "2{{role}}"),
    ] {
        request.bindings.push((name.to_owned(), value.to_owned()));
    }
    assert_same(&request, "bound");
    let key = list(&request).unwrap().remove(0);
    assert_eq!(key.to_string(), "c/r/e/p");
    request.select = Some(key);
    assert_same(&request, "selected");
    if let Some(key) = &mut request.select {
        key.name.push('x');
    }
    assert_same(&request, "not there");
    request.bindings.push(("a-b".to_owned(), String::new()));
    assert_same(&request, "a bad name");
    assert_same(
        &LoadRequest {
            file: PathBuf::from("/no/such/file"),
            ..request
        },
        "no file",
    );
}
