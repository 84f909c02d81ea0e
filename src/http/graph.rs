//! The last hour of the variables: `/graphdata` as JSON, `/graphview` as pictures.

use super::path;
use super::probe::plain;
use super::state::Shared;
use super::vars::{self, json_response};
use crate::base::clock::{self, Timestamp};
use crate::base::stats::Value as Number;
use maud::{Markup, html};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tide::{Request, Response, StatusCode};

/// How often the variables are kept. An hour of a few hundred of them takes about a megabyte.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);
const SAMPLES: usize = 360;
/// Most variables that are kept: some are named after jobs.
const SERIES_MAX: usize = 2_000;
/// Most curves on one page.
const CURVES_MAX: usize = 20;

/// The last hour of every number.
#[derive(Debug, Default)]
pub(super) struct Series(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    times: VecDeque<Timestamp>,
    /// One number a time; what was not there yet is not a number.
    values: BTreeMap<String, VecDeque<f32>>,
}

impl Series {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the variables as they are now.
    pub(super) fn sample(&self, app: &Shared) {
        let now = vars::collect(app);
        self.keep(clock::wall(), &now);
    }

    fn keep(&self, at: Timestamp, now: &BTreeMap<String, Number>) {
        let mut kept = self.lock();
        let before = kept.times.len();
        for (name, value) in now {
            let value = match value {
                Number::Count(value) => *value as f32,
                Number::Float(value) => *value as f32,
                Number::Int(value) => *value as f32,
                Number::Text(_) => continue,
            };
            if !kept.values.contains_key(name) && kept.values.len() >= SERIES_MAX {
                continue;
            }
            let series = kept.values.entry(name.clone()).or_default();
            series.resize(before, f32::NAN);
            series.push_back(value);
        }
        kept.times.push_back(at);
        let (excess, length) = (kept.times.len().saturating_sub(SAMPLES), kept.times.len());
        kept.times.drain(..excess);
        for series in kept.values.values_mut() {
            series.resize(length, f32::NAN);
            series.drain(..excess);
        }
        // Of what is gone nothing is left after an hour.
        kept.values
            .retain(|_, series| series.iter().any(|v| !v.is_nan()));
    }

    fn names(&self) -> Vec<String> {
        self.lock().values.keys().cloned().collect()
    }

    /// Times and values of one variable.
    fn of(&self, name: &str) -> Option<Vec<(Timestamp, f32)>> {
        let kept = self.lock();
        let series = kept.values.get(name)?;
        let pairs = kept.times.iter().copied().zip(series.iter().copied());
        Some(pairs.collect())
    }
}

pub(super) async fn data(request: Request<Shared>) -> tide::Result {
    let series = &request.state().series;
    let Some(metrics) = path::query(&request, "metrics") else {
        return json_response(&request, &json!(series.names()));
    };
    let since = path::query(&request, "since").and_then(|ms| ms.parse().ok());
    let since = since.unwrap_or(i64::MIN);
    let mut names = vec!["time".to_owned()];
    let mut columns = Vec::new();
    for name in metrics
        .split(',')
        .filter(|name| *name != "time" && !name.is_empty())
    {
        let Some(column) = series.of(name) else {
            let error = json!({ "error": format!("Unknown metric {name}") });
            let mut response = Response::new(StatusCode::InternalServerError);
            response.set_body(error.to_string().into_bytes());
            response.insert_header("content-type", "application/json");
            return Ok(response);
        };
        names.push(name.to_owned());
        columns.push(column);
    }
    let rows = columns.iter().map(Vec::len).min().unwrap_or(0);
    let data: Vec<Value> = (0..rows)
        .filter(|row| columns[0][*row].0.as_ms() > since)
        .map(|row| {
            let mut cells = vec![json!(columns[0][row].0.as_ms())];
            cells.extend(columns.iter().map(|column| json!(column[row].1)));
            Value::Array(cells)
        })
        .collect();
    json_response(&request, &json!({ "names": names, "data": data }))
}

const WIDTH: f32 = 720.0;
const HEIGHT: f32 = 120.0;

/// A curve over the last hour. There are no scripts: the picture is made here.
fn curve(name: &str, points: &[(Timestamp, f32)]) -> Markup {
    let known: Vec<(usize, f32)> = points
        .iter()
        .enumerate()
        .filter(|(_, (_, value))| !value.is_nan())
        .map(|(index, (_, value))| (index, *value))
        .collect();
    let values = || known.iter().map(|(_, value)| *value);
    let low = values().fold(f32::INFINITY, f32::min);
    let high = values().fold(f32::NEG_INFINITY, f32::max);
    let span = if high > low { high - low } else { 1.0 };
    let step = WIDTH / (SAMPLES as f32 - 1.0);
    let offset = SAMPLES - points.len();
    let places: Vec<String> = known
        .iter()
        .map(|(index, value)| {
            let x = (offset + index) as f32 * step;
            let y = HEIGHT - (value - low) / span * (HEIGHT - 4.0) - 2.0;
            format!("{x:.1},{y:.1}")
        })
        .collect();
    html! {
        figure {
            figcaption { (name) ": " (values().next_back().unwrap_or(0.0)) " (" (low) " to " (high) ")" }
            svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } width=(WIDTH)
                height=(HEIGHT) role="img" aria-label=(name) {
                rect width=(WIDTH) height=(HEIGHT) fill="none" stroke="#999" {}
                polyline points=(places.join(" ")) fill="none" stroke="#06c" stroke-width="1.5" {}
            }
        }
    }
}

/// Curves of the variables in `?query=a,b`; without one, the list of all.
pub(super) async fn view(request: Request<Shared>) -> tide::Result {
    let series = &request.state().series;
    let query = path::query(&request, "query").unwrap_or_default();
    let asked: Vec<&str> = query
        .split(',')
        .map(str::trim)
        .filter(|n| !n.is_empty())
        .collect();
    let mut curves = Vec::new();
    for name in asked.iter().take(CURVES_MAX) {
        match series.of(name) {
            Some(points) => curves.push(curve(name, &points)),
            None => return Ok(plain(404, format!("Unknown metric {name}\n"))),
        }
    }
    let page = html! {
        (maud::DOCTYPE)
        html lang="en" {
            head { title { "Variables over the last hour" } }
            body {
                h1 { "Variables over the last hour" }
                form action="/graphview" {
                    input type="text" name="query" value=(query) size="80"
                        placeholder="names, separated by commas";
                    button { "Show" }
                }
                @for curve in curves { (curve) }
                @if asked.is_empty() {
                    ul {
                        @for name in series.names() {
                            li { a href={ "/graphview?query=" (path::encode(&name)) } { (name) } }
                        }
                    }
                }
            }
        }
    };
    let mut response = Response::new(200);
    response.set_body(page.into_string().into_bytes());
    response.insert_header("content-type", "text/html; charset=utf-8");
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept_and_what_comes_later_is_not_a_number_before() {
        let series = Series::default();
        let at = |n: i64| Timestamp(n * 10_000);
        let with = |names: &[(&str, i64)]| {
            let pairs = names
                .iter()
                .map(|(name, v)| ((*name).to_owned(), Number::Int(*v)));
            pairs.collect::<BTreeMap<_, _>>()
        };
        series.keep(at(0), &with(&[("a", 1)]));
        series.keep(at(1), &with(&[("a", 2), ("b", 7)]));
        let b = series.of("b").unwrap();
        assert!(b[0].1.is_nan() && b[1] == (at(1), 7.0));
        for n in 2..500 {
            series.keep(at(n), &with(&[("a", n)]));
        }
        let a = series.of("a").unwrap();
        assert_eq!(
            (a.len(), a[0], a[359]),
            (360, (at(140), 140.0), (at(499), 499.0))
        );
        assert_eq!(series.of("b"), None, "gone for an hour");
    }

    #[test]
    fn a_curve_stays_within_its_frame() {
        let points: Vec<(Timestamp, f32)> = (0..10)
            .map(|n| (Timestamp(n), if n == 3 { f32::NAN } else { n as f32 }))
            .collect();
        let drawn = curve("<x>", &points).into_string();
        assert!(drawn.contains("&lt;x&gt;: 9 (0 to 9)"), "{drawn}");
        assert!(!drawn.contains("NaN"), "{drawn}");
    }
}
