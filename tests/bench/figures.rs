//! How all benchmarks take their arguments, keep time and report.
//!
//! A figure is printed as `figure NAME VALUE UNIT`; all figures of a benchmark are written as JSON to
//! `target/bench/BENCH.json`.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark measures by the real clock, reports to the terminal and may stop at a surprise"
)]

use std::fs;
use std::path::Path;
use std::time::Instant;

/// A time of the real clock.
pub type Moment = Instant;

/// The real clock.
pub fn now() -> Moment {
    Instant::now()
}

/// The value of `--NAME=VALUE` among the arguments, or `default`.
pub fn argument(name: &str, default: u64) -> u64 {
    let prefix = format!("--{name}=");
    let given = std::env::args().find_map(|a| a.strip_prefix(&prefix).map(str::to_owned));
    given.map_or(default, |value| {
        value.parse().unwrap_or_else(|_| panic!("{prefix}NUMBER"))
    })
}

/// The middle one; the mean of the middle two of an even number.
pub fn median(values: &mut [f64]) -> f64 {
    assert!(!values.is_empty(), "a median of nothing");
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

/// The figures of one benchmark.
#[derive(Debug)]
pub struct Report {
    bench: &'static str,
    lines: Vec<String>,
}

impl Report {
    /// A report without figures.
    pub fn new(bench: &'static str) -> Self {
        Self {
            bench,
            lines: Vec::new(),
        }
    }

    /// Prints a figure and keeps it.
    pub fn figure(&mut self, name: &str, value: f64, unit: &str) {
        let digits = if value.abs() >= 100.0 { 0 } else { 3 };
        println!("figure {name} {value:.digits$} {unit}");
        self.lines.push(format!(
            "  \"{name}\": {{\"value\": {value:.digits$}, \"unit\": \"{unit}\"}}"
        ));
    }

    /// Writes the figures as JSON.
    pub fn finish(self) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
        fs::create_dir_all(&dir).unwrap();
        let json = format!("{{\n{}\n}}\n", self.lines.join(",\n"));
        fs::write(dir.join(format!("{}.json", self.bench)), json).unwrap();
    }
}
