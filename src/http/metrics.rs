//! `/metrics`: the variables for Prometheus, in its text format.
//!
//! Names are those of `/vars` behind `aurora_`, in base units and lower case as its linter wants them:
//! milliseconds and nanoseconds become seconds, megabytes bytes. Rates per second and amounts per event
//! are left out, as Prometheus makes them itself; texts become labels of `aurora_build_info` or are left
//! out.

use super::state::Shared;
use crate::base::stats::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use tide::{Request, Response};

const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How a number is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Nobody says.
    Untyped,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Untyped => "untyped",
        }
    }
}

pub(super) async fn metrics(request: Request<Shared>) -> tide::Result {
    let app = request.state();
    let counted = app.config.stats.snapshot();
    let text = render(super::vars::collect(app).iter().map(|(name, value)| {
        let kind = match (counted.get(name), value) {
            (Some(Value::Count(_)), _) => Kind::Counter,
            (Some(_), _) | (None, Value::Count(_) | Value::Float(_)) => Kind::Gauge,
            (None, Value::Int(_) | Value::Text(_)) => Kind::Untyped,
        };
        (name.as_str(), value, kind)
    }));
    let mut response = Response::new(200);
    response.set_body(text.into_bytes());
    response.insert_header("content-type", FORMAT);
    response.insert_header("cache-control", "no-store");
    Ok(response)
}

fn render<'a>(values: impl Iterator<Item = (&'a str, &'a Value, Kind)>) -> String {
    let mut out = String::new();
    let mut seen = BTreeMap::new();
    let version = crate::base::stamp::version();
    out.push_str("# HELP aurora_build_info What runs here.\n# TYPE aurora_build_info gauge\n");
    writeln!(out, "aurora_build_info{{version=\"{version}\"}} 1").expect("a string takes all");
    for (name, value, kind) in values {
        let Some((metric, factor)) = metric(name, kind) else {
            continue;
        };
        let number = match value {
            Value::Count(value) => *value as f64,
            Value::Float(value) => *value,
            Value::Int(value) => *value as f64,
            Value::Text(_) => continue,
        };
        // Two variables that differ only in what Prometheus does not tell apart: the first one counts.
        if seen.insert(metric.clone(), name).is_some() {
            continue;
        }
        let number = number * factor;
        let kind = kind.name();
        writeln!(
            out,
            "# HELP {metric} The variable {name}.\n# TYPE {metric} {kind}\n{metric} {number}"
        )
        .expect("a string takes all");
    }
    out
}

/// The metric's name and what its number is multiplied with; `None` if Prometheus makes it itself.
fn metric(name: &str, kind: Kind) -> Option<(String, f64)> {
    if name.contains("_per_") || name.starts_with("flag_") {
        return None;
    }
    let mut factor = 1.0;
    let mut parts: Vec<String> = vec!["aurora".to_owned()];
    let mut last_lower = false;
    let mut text = String::new();
    for c in name.chars() {
        // A capital within a word begins another one.
        if c.is_ascii_uppercase() && last_lower {
            text.push('_');
        }
        last_lower = c.is_ascii_lowercase();
        text.push(if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        });
    }
    for part in text.split('_').filter(|part| !part.is_empty()) {
        let (word, times) = match part {
            "ms" | "millis" => ("seconds", 1e-3),
            "nanos" | "ns" => ("seconds", 1e-9),
            "sec" | "secs" => ("seconds", 1.0),
            "mb" => ("bytes", f64::from(1 << 20)),
            "kb" => ("bytes", 1024.0),
            // Words that the linter takes for units or kinds of metrics.
            "s" | "us" | "b" | "gb" | "tb" | "pb" | "m" | "h" | "d" | "bucket" | "count"
            | "sum" | "gauge" | "counter" | "histogram" | "summary" | "total" => {
                continue;
            }
            word => (word, 1.0),
        };
        factor *= times;
        parts.push(word.to_owned());
    }
    if kind == Kind::Counter {
        parts.push("total".to_owned());
    }
    Some((parts.join("_"), factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_base_units_and_what_prometheus_makes_itself_is_left_out() {
        let of = |name| metric(name, Kind::Gauge);
        let named = |text: &str, factor: f64| Some((text.to_owned(), factor));
        assert_eq!(
            of("jvm_uptime_secs"),
            named("aurora_jvm_uptime_seconds", 1.0)
        );
        assert_eq!(
            of("task_store_RUNNING"),
            named("aurora_task_store_running", 1.0)
        );
        assert_eq!(of("mttaMs.x"), named("aurora_mtta_seconds_x", 1e-3));
        assert_eq!(
            metric("append_nanos_total", Kind::Counter),
            named("aurora_append_seconds_total", 1e-9)
        );
        assert_eq!(of("http_200_responses_events_per_sec"), None);
        assert_eq!(of("flag_ip"), None);
    }

    #[test]
    fn every_metric_has_help_a_type_and_one_line() {
        let values = [
            ("a_total", Value::Count(3), Kind::Counter),
            ("a", Value::Count(4), Kind::Counter),
            ("load", Value::Float(0.5), Kind::Gauge),
            ("t", Value::Text("x".into()), Kind::Untyped),
        ];
        let text = render(
            values
                .iter()
                .map(|(name, value, kind)| (*name, value, *kind)),
        );
        let expected = "# HELP aurora_a_total The variable a_total.\n\
                        # TYPE aurora_a_total counter\naurora_a_total 3\n\
                        # HELP aurora_load The variable load.\n# TYPE aurora_load gauge\naurora_load 0.5\n";
        assert!(text.ends_with(expected), "{text}");
        assert_eq!(text.matches("# TYPE").count(), 3);
    }
}
