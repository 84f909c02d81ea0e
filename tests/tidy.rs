//! Checks on the tree itself: layers, crate confinement, sizes, banned spellings, the top level.
//!
//! The tables below are the rules; nothing else in the project repeats them.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each layer and the layers that it may name. Order: bottom to top; arrows point down only.
const LAYERS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("rt", &["base"]),
    ("net", &["base", "rt"]),
    ("model", &["base"]),
    ("thrift", &["base", "model"]),
    ("paxos", &["base"]),
    ("domain", &["base", "model"]),
    ("supervise", &["base", "model"]),
    ("replog", &["base", "rt", "net", "paxos"]),
    ("storage", &["base", "model", "domain"]),
    ("executor", &["base", "model", "supervise"]),
    (
        "agent",
        &["base", "rt", "net", "model", "supervise", "executor"],
    ),
    ("driver", &["base", "rt", "net", "model", "agent"]),
    (
        "scheduler",
        &[
            "base", "rt", "model", "domain", "storage", "paxos", "replog", "driver",
        ],
    ),
    (
        "api",
        &[
            "base",
            "rt",
            "model",
            "thrift",
            "domain",
            "storage",
            "scheduler",
        ],
    ),
    (
        "http",
        &[
            "base",
            "rt",
            "net",
            "model",
            "thrift",
            "domain",
            "storage",
            "scheduler",
            "api",
        ],
    ),
    ("client", &["base", "rt", "model", "thrift"]),
    (
        "daemon",
        &[
            "base",
            "rt",
            "net",
            "model",
            "thrift",
            "paxos",
            "domain",
            "supervise",
            "replog",
            "storage",
            "executor",
            "agent",
            "driver",
            "scheduler",
            "api",
            "http",
            "client",
        ],
    ),
];

/// Each outside crate and the only folders or files (below `src/`) that may name it.
const CRATES: &[(&str, &[&str])] = &[
    ("tide", &["http"]),
    ("http_types", &["http"]),
    ("async_std", &["http"]),
    ("fjall", &["replog"]),
    ("smol", &["rt", "net", "replog", "agent", "driver", "http"]),
    ("snow", &["net"]),
    ("httparse", &["net"]),
    ("flate2", &["agent/fetch", "http/gzip"]),
    ("tar", &["agent/fetch"]),
    ("ureq", &["client", "agent/fetch"]),
    ("argh", &["client", "replog/tool", "daemon"]),
    ("maud", &["http", "agent"]),
    ("simple_logger", &["daemon/logging.rs"]),
    ("indicatif", &["client", "daemon"]),
    ("imbl", &["storage", "scheduler", "domain"]),
    ("regex_lite", &["domain"]),
    ("crc32c", &["base", "replog"]),
    (
        "serde_json",
        &[
            "thrift",
            "executor",
            "supervise",
            "agent",
            "api",
            "http",
            "client",
            "daemon",
            "domain",
        ],
    ),
];

/// Folders that must stay free of input, output and waiting.
const PURE: &[&str] = &[
    "model",
    "thrift",
    "paxos",
    "domain",
    "supervise",
    "scheduler/engine",
];

/// What a pure folder may not name.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "async fn",
    ".await",
    "clock::now()",
    "clock::wall()",
    "clock::both()",
    "Rng::from_os",
    "log::info",
    "log::warn",
    "log::error",
    "log::debug",
];

/// Spellings that have no place in `src/`, and what to do instead.
const BANNED: &[(&str, &str)] = &[
    ("todo!(", "finish it, or answer with a clear error"),
    ("unimplemented!(", "finish it, or answer with a clear error"),
    ("TODO", "open work belongs in the tracker"),
    ("FIXME", "open work belongs in the tracker"),
    ("XXX", "open work belongs in the tracker"),
    ("#[ignore", "a test that does not run is no test"),
    ("allow(dead_code", "remove what is not used"),
];

/// Lines a file under `src/` may have.
const LINES_MAX: usize = 800;
/// Columns a line of Rust may have.
const COLUMNS_MAX: usize = 100;

/// What may stand at the top of the repository, beside dot files.
const TOP: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE",
    "README.md",
    "src",
    "packaging",
    "systemd",
    "debian",
    "tests",
    "target",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(below: &str) -> Vec<(String, String)> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push(path);
            }
        }
    }
    let base = root().join(below);
    let mut paths = Vec::new();
    walk(&base, &mut paths);
    paths.sort();
    let name = |p: &Path| p.strip_prefix(&base).unwrap().to_str().unwrap().to_owned();
    paths
        .iter()
        .map(|p| (name(p), fs::read_to_string(p).unwrap()))
        .collect()
}

/// The code of a file: comments cut off, and everything from its test module on.
fn code(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("mod tests {") {
            break;
        }
        let line = line.trim_start();
        let code = if line.starts_with("//") {
            ""
        } else {
            line.split(" // ").next().unwrap_or("")
        };
        lines.push((number + 1, code.to_owned()));
    }
    lines
}

fn names(line: &str, word: &str) -> bool {
    let boundary = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        boundary(line[..at].chars().next_back()) && boundary(line[at + word.len()..].chars().next())
    })
}

fn is_test(file: &str) -> bool {
    file.ends_with("tests.rs") || file.contains("tests/")
}

/// The layers that a line names by `crate::layer`, also within braces.
fn layers_named(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        let group = match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap_or(""),
            None => rest,
        };
        for part in group.split(',') {
            let name: String = part
                .trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            found.push(name);
            if !rest.starts_with('{') {
                break;
            }
        }
    }
    found
}

#[test]
fn layers_point_down_only() {
    let table: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    for (index, (layer, below)) in LAYERS.iter().enumerate() {
        for name in *below {
            let at = LAYERS.iter().position(|(l, _)| l == name).unwrap();
            assert!(
                at < index,
                "{layer} may not name {name}: it is not below it"
            );
        }
    }
    let mut wrong = Vec::new();
    for (file, text) in rust_files("src") {
        let Some((layer, _)) = file.split_once('/') else {
            continue;
        };
        if layer == "bin" || is_test(&file) {
            continue;
        }
        let allowed = table
            .get(layer)
            .unwrap_or_else(|| panic!("src/{layer} is not in the table"));
        for (number, line) in code(&text) {
            for name in layers_named(&line) {
                if table.contains_key(name.as_str()) && name != layer && !allowed.contains(&&*name)
                {
                    wrong.push(format!("src/{file}:{number}: {layer} names {name}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn crates_are_named_where_they_belong_only() {
    let mut wrong = Vec::new();
    for (file, text) in rust_files("src") {
        if is_test(&file) {
            continue;
        }
        for (number, line) in code(&text) {
            for (name, places) in CRATES {
                let used =
                    names(&line, &format!("{name}::")) || line.contains(&format!("use {name};"));
                let used = used
                    || line.contains(&format!("{name}::"))
                        && line.find(&format!("{name}::")).is_some_and(|at| {
                            !line[..at]
                                .ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                        });
                let allowed = places.iter().any(|p| {
                    file == *p || file.starts_with(&format!("{p}/")) || file == format!("{p}.rs")
                });
                if used && !allowed {
                    wrong.push(format!("src/{file}:{number}: names {name}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_stays_in_its_rooms() {
    for (file, text) in rust_files("src") {
        let room = file.starts_with("agent/os/") || file.starts_with("executor/os/");
        let uses = code(&text)
            .iter()
            .any(|(_, l)| names(l, "unsafe") && !l.contains("unsafe_code"));
        assert!(
            room || !uses,
            "src/{file}: unsafe code belongs in agent/os or executor/os"
        );
    }
}

#[test]
fn pure_folders_do_no_input_or_output() {
    let mut wrong = Vec::new();
    for (file, text) in rust_files("src") {
        let pure = PURE
            .iter()
            .any(|p| file.starts_with(&format!("{p}/")) || file == format!("{p}.rs"));
        if !pure || is_test(&file) {
            continue;
        }
        for (number, line) in code(&text) {
            for word in IMPURE {
                if line.contains(word) {
                    wrong.push(format!("src/{file}:{number}: {word} in a pure module"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_executor_stays_small() {
    for (file, text) in rust_files("src") {
        if !(file.starts_with("executor/") || file.starts_with("supervise/")) {
            continue;
        }
        for (number, line) in code(&text) {
            for word in [
                "smol",
                "async_channel",
                "fjall",
                "tide",
                "snow",
                "ureq",
                "futures_lite",
            ] {
                assert!(
                    !names(&line, word),
                    "src/{file}:{number}: the executor names {word}"
                );
            }
        }
    }
}

#[test]
fn files_and_lines_keep_their_size() {
    let mut wrong = Vec::new();
    for (file, text) in rust_files("src") {
        let lines = code(&text).len();
        if lines > LINES_MAX && !is_test(&file) {
            wrong.push(format!(
                "src/{file}: {lines} lines; split it (limit {LINES_MAX})"
            ));
        }
    }
    for below in ["src", "tests"] {
        for (file, text) in rust_files(below) {
            for (number, line) in text.lines().enumerate() {
                let columns = line.chars().count();
                // A long literal cannot be broken without changing it.
                if columns > COLUMNS_MAX + 20 && !line.contains('"') {
                    wrong.push(format!("{below}/{file}:{}: {columns} columns", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn banned_spellings_do_not_occur() {
    let mut wrong = Vec::new();
    for below in ["src", "tests"] {
        for (file, text) in rust_files(below) {
            if file == "tidy.rs" {
                continue;
            }
            let mut before = "";
            for (number, line) in text.lines().enumerate() {
                for (word, instead) in BANNED {
                    if line.contains(word) {
                        wrong.push(format!("{below}/{file}:{}: {word}: {instead}", number + 1));
                    }
                }
                let (bare, begins) = (line.trim(), before.ends_with([';', '{', '}']));
                if begins && bare.starts_with("matches!(") && bare.ends_with(");") {
                    wrong.push(format!("{below}/{file}:{}: asserts nothing", number + 1));
                }
                before = bare;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_async_runtime_but_smol_is_in_the_tree() {
    let tree = std::process::Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(
        tree.lines().any(|l| l.starts_with("smol v")),
        "cargo tree says nothing: {tree}"
    );
    for line in tree.lines() {
        for name in ["tokio v", "async-h1 v"] {
            assert!(!line.starts_with(name), "{line} has come into the tree");
        }
    }
}

#[test]
fn the_top_level_is_as_agreed() {
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.starts_with('.') || TOP.contains(&name.as_str()),
            "{name} at the top level"
        );
    }
}

#[test]
fn module_names_say_something() {
    for (file, _) in rust_files("src") {
        for part in file.trim_end_matches(".rs").split('/') {
            let vague = [
                "util", "utils", "common", "helpers", "misc", "manager", "imp",
            ]
            .contains(&part);
            assert!(!vague, "src/{file}: name the thing");
        }
    }
}
