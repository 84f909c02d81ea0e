//! Counters and gauges by name: what `/vars` shows.
//!
//! A name is looked up once, when a part of the program starts; counting afterwards is one atomic
//! addition. [`global`] is the process's registry; tests make their own.

use super::clock::Instant;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

/// Names that a registry keeps. Names made from data (jobs, roles) must not fill the memory.
const NAMES_MAX: usize = 1 << 16;

/// A number that only grows. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The sum so far.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds `change`, which may be negative.
    pub fn add(&self, change: i64) {
        self.0.fetch_add(change, Ordering::Relaxed);
    }

    /// The value.
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Events, each with an amount: how many, how much, and both per second. Cheap to clone.
///
/// Shown as `NAME_events`, `NAME_UNIT_total`, `NAME_events_per_sec`, `NAME_UNIT_total_per_sec` and
/// `NAME_UNIT_per_event`. Rates are those between the last two calls of [`Registry::sample`].
#[derive(Clone, Debug)]
pub struct Sliding(Arc<SlidingState>);

#[derive(Debug)]
struct SlidingState {
    unit: &'static str,
    events: AtomicU64,
    total: AtomicU64,
    rates: Mutex<Rates>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    at: Option<Instant>,
    events: u64,
    total: u64,
    events_per_sec: f64,
    total_per_sec: f64,
    per_event: f64,
}

impl Sliding {
    fn new(unit: &'static str) -> Self {
        Self(Arc::new(SlidingState {
            unit,
            events: AtomicU64::new(0),
            total: AtomicU64::new(0),
            rates: Mutex::default(),
        }))
    }

    /// Counts one event of this amount.
    pub fn record(&self, amount: u64) {
        self.0.events.fetch_add(1, Ordering::Relaxed);
        self.0.total.fetch_add(amount, Ordering::Relaxed);
    }

    /// Counts one event that took this long; for events in nanoseconds.
    pub fn record_nanos(&self, took: Duration) {
        self.record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Takes over sums that were counted elsewhere; they must not fall.
    pub fn set(&self, events: u64, total: u64) {
        self.0.events.store(events, Ordering::Relaxed);
        self.0.total.store(total, Ordering::Relaxed);
    }

    fn sample(&self, now: Instant) {
        let mut rates = lock(&self.0.rates);
        let (events, total) = (
            self.0.events.load(Ordering::Relaxed),
            self.0.total.load(Ordering::Relaxed),
        );
        if let Some(at) = rates.at {
            let secs = now.since(at).as_secs_f64();
            let (more, much) = (
                events.saturating_sub(rates.events),
                total.saturating_sub(rates.total),
            );
            let per = |amount: u64| {
                if secs > 0.0 {
                    amount as f64 / secs
                } else {
                    0.0
                }
            };
            rates.events_per_sec = per(more);
            rates.total_per_sec = per(much);
            rates.per_event = if more == 0 {
                0.0
            } else {
                much as f64 / more as f64
            };
        }
        (rates.at, rates.events, rates.total) = (Some(now), events, total);
    }

    fn show(&self, name: &str, out: &mut BTreeMap<String, Value>) {
        let (state, unit) = (&self.0, self.0.unit);
        let rates = *lock(&state.rates);
        let mut put = |suffix: String, value| out.insert(format!("{name}_{suffix}"), value);
        put(
            "events".to_owned(),
            Value::Count(state.events.load(Ordering::Relaxed)),
        );
        put(
            format!("{unit}_total"),
            Value::Count(state.total.load(Ordering::Relaxed)),
        );
        put(
            "events_per_sec".to_owned(),
            Value::Float(rates.events_per_sec),
        );
        put(
            format!("{unit}_total_per_sec"),
            Value::Float(rates.total_per_sec),
        );
        put(format!("{unit}_per_event"), Value::Float(rates.per_event));
    }
}

/// What a name stands for at one moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A counter.
    Count(u64),
    /// A rate or a share.
    Float(f64),
    /// A gauge.
    Int(i64),
    /// A text that does not change.
    Text(String),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(value) => write!(f, "{value}"),
            // With a point even when whole, so that readers keep the type apart.
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
        }
    }
}

#[derive(Clone, Debug)]
enum Entry {
    Counter(Counter),
    Gauge(Gauge),
    Requests(RequestTimer),
    Sliding(Sliding),
    Text(String),
}

/// Requests, each with the time it took: what a [`Sliding`] shows under `NAME_requests`, how many failed,
/// and how long the slowest of the last interval took. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RequestTimer {
    requests: Sliding,
    latest: Arc<Mutex<Latest>>,
}

#[derive(Debug, Default)]
struct Latest {
    /// Microseconds of the requests since the last sample, up to [`LATEST_MAX`].
    micros: Vec<u64>,
    /// By [`PERCENTILES`], of the last interval.
    percentiles: [u64; PERCENTILES.len()],
}

/// How many requests of an interval are looked at for percentiles.
const LATEST_MAX: usize = 1_024;

/// The shares that are shown, with their names; in hundredths of a percent.
const PERCENTILES: [(usize, &str); 6] = [
    (1_000, "10_0"),
    (5_000, "50_0"),
    (9_000, "90_0"),
    (9_900, "99_0"),
    (9_990, "99_9"),
    (9_999, "99_99"),
];

impl Default for RequestTimer {
    fn default() -> Self {
        Self {
            requests: Sliding::new("micros"),
            latest: Arc::default(),
        }
    }
}

impl RequestTimer {
    /// Counts one request.
    pub fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.requests.record(micros);
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.micros.len() < LATEST_MAX {
            latest.micros.push(micros);
        }
    }

    fn sample(&self, now: Instant) {
        self.requests.sample(now);
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut micros = std::mem::take(&mut latest.micros);
        micros.sort_unstable();
        latest.percentiles = PERCENTILES.map(|(share, _)| {
            let rank = (micros.len() * share).div_ceil(10_000).max(1) - 1;
            micros.get(rank).copied().unwrap_or(0)
        });
    }

    fn show(&self, name: &str, out: &mut BTreeMap<String, Value>) {
        self.requests.show(&format!("{name}_requests"), out);
        let mut put = |suffix: &str, value| out.insert(format!("{name}_{suffix}"), value);
        // What fails here never becomes a request: it is counted where it fails.
        for suffix in ["errors", "reconnects", "timeouts"] {
            put(suffix, Value::Count(0));
        }
        for suffix in [
            "error_rate",
            "timeout_rate",
            "errors_per_sec",
            "timeouts_per_sec",
        ] {
            put(suffix, Value::Float(0.0));
        }
        let per_sec = lock(&self.requests.0.rates).events_per_sec;
        put("requests_per_sec", Value::Float(per_sec));
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        for ((_, share), micros) in PERCENTILES.iter().zip(latest.percentiles) {
            put(&format!("{share}_percentile"), Value::Float(micros as f64));
        }
    }
}

/// Statistics by name.
#[derive(Debug, Default)]
pub struct Registry {
    entries: RwLock<BTreeMap<String, Entry>>,
    sheets: RwLock<BTreeMap<&'static str, BTreeMap<String, f64>>>,
}

impl Registry {
    /// The counter of this name, new or known.
    ///
    /// If the name stands for something of another kind, or there are too many names, what is
    /// counted is not shown.
    pub fn counter(&self, name: &str) -> Counter {
        match self.entry(name, || Entry::Counter(Counter::default())) {
            Some(Entry::Counter(counter)) => counter,
            _ => Counter::default(),
        }
    }

    /// The gauge of this name, new or known; see [`Registry::counter`].
    pub fn gauge(&self, name: &str) -> Gauge {
        match self.entry(name, || Entry::Gauge(Gauge::default())) {
            Some(Entry::Gauge(gauge)) => gauge,
            _ => Gauge::default(),
        }
    }

    /// The events of this name, new or known, with amounts in `unit`; see [`Registry::counter`].
    pub fn sliding(&self, name: &str, unit: &'static str) -> Sliding {
        match self.entry(name, || Entry::Sliding(Sliding::new(unit))) {
            Some(Entry::Sliding(sliding)) => sliding,
            _ => Sliding::new(unit),
        }
    }

    /// The requests of this name, new or known; see [`Registry::counter`].
    pub fn requests(&self, name: &str) -> RequestTimer {
        match self.entry(name, || Entry::Requests(RequestTimer::default())) {
            Some(Entry::Requests(requests)) => requests,
            _ => RequestTimer::default(),
        }
    }

    /// Shows a text that does not change.
    pub fn text(&self, name: &str, value: &str) {
        self.entry(name, || Entry::Text(value.to_owned()));
    }

    /// Shows figures that were reckoned together, in place of those of the same sheet before.
    pub fn sheet(&self, sheet: &'static str, figures: BTreeMap<String, f64>) {
        let figures = figures.into_iter();
        let named = figures.map(|(name, value)| (clean_name(&name), value));
        let mut sheets = self.sheets.write().unwrap_or_else(PoisonError::into_inner);
        sheets.insert(sheet, named.collect());
    }

    /// Takes the samples that rates are made of; called about once a second.
    pub fn sample(&self, now: Instant) {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        for entry in entries.values() {
            match entry {
                Entry::Sliding(sliding) => sliding.sample(now),
                Entry::Requests(requests) => requests.sample(now),
                Entry::Counter(_) | Entry::Gauge(_) | Entry::Text(_) => {}
            }
        }
    }

    /// Every name with its value, in order.
    pub fn snapshot(&self) -> BTreeMap<String, Value> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let mut out = BTreeMap::new();
        for (name, entry) in entries.iter() {
            match entry {
                Entry::Counter(counter) => {
                    out.insert(name.clone(), Value::Count(counter.value()));
                }
                Entry::Gauge(gauge) => {
                    out.insert(name.clone(), Value::Int(gauge.value()));
                }
                Entry::Requests(requests) => requests.show(name, &mut out),
                Entry::Sliding(sliding) => sliding.show(name, &mut out),
                Entry::Text(text) => {
                    out.insert(name.clone(), Value::Text(text.clone()));
                }
            }
        }
        let sheets = self.sheets.read().unwrap_or_else(PoisonError::into_inner);
        let figures = sheets.values().flatten();
        out.extend(figures.map(|(name, value)| (name.clone(), Value::Float(*value))));
        out
    }

    fn entry(&self, name: &str, new: impl FnOnce() -> Entry) -> Option<Entry> {
        let name = clean_name(name);
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(&name) {
            return Some(entry.clone());
        }
        if entries.len() >= NAMES_MAX {
            return None;
        }
        Some(entries.entry(name).or_insert_with(new).clone())
    }
}

/// The registry of this process.
pub fn global() -> &'static Registry {
    static GLOBAL: OnceLock<Registry> = OnceLock::new();
    GLOBAL.get_or_init(Registry::default)
}

/// A name as it is shown: characters outside `[A-Za-z0-9_/.-]` become `_`.
pub fn clean_name(name: &str) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.' | '-');
    name.chars()
        .map(|c| if good(c) { c } else { '_' })
        .collect()
}

fn lock(rates: &Mutex<Rates>) -> MutexGuard<'_, Rates> {
    rates.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_is_one_number() {
        let registry = Registry::default();
        registry.counter("a b").add(2);
        registry.counter("a b").increment();
        registry.gauge("g").set(-1);
        registry.gauge("g").add(-1);
        registry.text("t", "x");
        // Another kind under a taken name counts for nobody.
        registry.gauge("a_b").set(9);
        let lines: Vec<_> = registry
            .snapshot()
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        assert_eq!(lines, ["a_b 3", "g -2", "t x"]);
    }

    #[test]
    fn requests_show_how_long_the_slowest_of_the_last_interval_took() {
        let registry = Registry::default();
        let requests = registry.requests("delay");
        let at = |secs: u64| Instant::from_nanos(secs * 1_000_000_000);
        registry.sample(at(1));
        for ms in 1..=100 {
            requests.record(Duration::from_millis(ms));
        }
        registry.sample(at(3));
        let shown = registry.snapshot();
        assert_eq!(shown["delay_requests_events"], Value::Count(100));
        assert_eq!(shown["delay_requests_per_sec"], Value::Float(50.0));
        assert_eq!(
            shown["delay_requests_micros_total"],
            Value::Count(5_050_000)
        );
        assert_eq!(shown["delay_50_0_percentile"], Value::Float(50_000.0));
        assert_eq!(shown["delay_99_9_percentile"], Value::Float(100_000.0));
        assert_eq!(shown["delay_errors"], Value::Count(0));
        registry.sample(at(4));
        let shown = registry.snapshot();
        assert_eq!(shown["delay_99_9_percentile"], Value::Float(0.0));
        assert_eq!(shown["delay_requests_events"], Value::Count(100));
    }

    #[test]
    fn rates_are_those_of_the_last_interval() {
        let registry = Registry::default();
        let sliding = registry.sliding("append", "nanos");
        let at = |secs: u64| Instant::from_nanos(secs * 1_000_000_000);
        sliding.record(100);
        registry.sample(at(1));
        sliding.record(30);
        sliding.record_nanos(Duration::from_nanos(10));
        registry.sample(at(3));
        let shown = registry.snapshot();
        assert_eq!(shown["append_events"], Value::Count(3));
        assert_eq!(shown["append_nanos_total"], Value::Count(140));
        assert_eq!(shown["append_events_per_sec"].to_string(), "1.0");
        assert_eq!(shown["append_nanos_total_per_sec"], Value::Float(20.0));
        assert_eq!(shown["append_nanos_per_event"], Value::Float(20.0));
        registry.sample(at(4));
        assert_eq!(
            registry.snapshot()["append_nanos_per_event"].to_string(),
            "0.0"
        );
    }
}
