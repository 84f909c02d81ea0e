//! `aurora-log benchmark`: the trace replay that it always had, and a load mode.

use super::place::{Place, Running, refuse_zookeeper};
use super::{Failure, args, args::required};
use crate::base::clock::{self, Instant};
use crate::base::rng::Rng;
use crate::base::units;
use crate::paxos::{Ballot, Position};
use crate::replog::LogEvent;
use crate::rt;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Duration;

/// How long the writer may take to start, and one append.
const START_PATIENCE: Duration = Duration::from_secs(15);
const APPEND_PATIENCE: Duration = Duration::from_secs(10);
/// How much of the log is kept in load mode.
const KEEP: u64 = 1_000_000;

/// Replays a trace, or puts load on the log.
pub(super) fn run(options: args::Benchmark, out: &mut dyn Write) -> Result<(), Failure> {
    let path = options.path()?;
    refuse_zookeeper(options.servers.as_ref(), options.znode.as_ref())?;
    let is_load = options.count.is_some() || options.seconds.is_some();
    let work = if is_load {
        Work::Load(Load::new(&options)?)
    } else {
        let input = required(options.input.as_ref(), "input")?.to_owned();
        let output = required(options.output.as_ref(), "output")?.to_owned();
        Work::Trace {
            sizes: trace(&input)?,
            output,
        }
    };
    let kind = Kind::parse(options.kind.as_deref())?;
    let place = Place {
        path,
        key: options.key(),
        peers: options.peers,
        address: options.address,
        port: options.port,
        ip: options.ip,
        quorum: options.quorum,
        initializes: options.initialize || !options.no_initialize,
    };
    rt::block_on(async {
        let running = place.open().await?;
        let started = rt::timeout(START_PATIENCE, leading(&running)).await;
        let ballot = started
            .map_err(|_| Failure("Failed to start a log writer: timed out".to_owned()))??;
        let result = match work {
            Work::Trace { sizes, output } => {
                replay(&running, ballot, &sizes, &kind, &output, out).await
            }
            Work::Load(load) => load.run(&running, ballot, &kind, out).await,
        };
        running.log.close().await;
        result
    })
}

enum Work {
    Load(Load),
    Trace { sizes: Vec<usize>, output: String },
}

/// What entries are made of.
enum Kind {
    One,
    Random,
    Zero,
}

impl Kind {
    fn parse(text: Option<&str>) -> Result<Self, Failure> {
        match text {
            None | Some("random") => Ok(Self::Random),
            Some("one") => Ok(Self::One),
            Some("zero") => Ok(Self::Zero),
            Some(other) => Err(Failure(format!(
                "Unknown --type={other}: expected zero, one or random"
            ))),
        }
    }

    /// One byte, repeated.
    fn payload(&self, size: usize, rng: &mut Rng) -> Vec<u8> {
        let byte = match self {
            Self::One => 0xff,
            Self::Random => u8::try_from(rng.below(256)).unwrap_or(0),
            Self::Zero => 0,
        };
        vec![byte; size]
    }
}

fn size_of(text: &str) -> Result<usize, Failure> {
    let size = units::parse_size(text).map_err(|error| Failure(error.to_string()))?;
    usize::try_from(size).map_err(|_| Failure(format!("{text} is too much")))
}

fn trace(path: &str) -> Result<Vec<usize>, Failure> {
    let failed = |why: String| Failure(format!("Failed to parse the trace file: {path}: {why}"));
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| size_of(line).map_err(|error| failed(error.0)))
        .collect()
}

async fn leading(running: &Running) -> Result<Ballot, Failure> {
    loop {
        match running.events.recv().await {
            Ok(LogEvent::Leading { ballot }) => return Ok(ballot),
            Ok(event) => check(&event)?,
            Err(_) => return Err(Failure("the log has ended".to_owned())),
        }
    }
}

/// Fails at what ends a benchmark.
fn check(event: &LogEvent) -> Result<(), Failure> {
    match event {
        LogEvent::Discarded { .. } => Err(Failure("exclusive write promise lost".to_owned())),
        LogEvent::Poisoned { reason } | LogEvent::Refused { reason } => {
            Err(Failure(reason.clone()))
        }
        LogEvent::Leading { .. }
        | LogEvent::Learned { .. }
        | LogEvent::ReadFailed { .. }
        | LogEvent::ReadReady { .. }
        | LogEvent::Skipped { .. }
        | LogEvent::Status(_) => Ok(()),
    }
}

/// Waits for the next entry of this writer: its ticket and position.
async fn learned(running: &Running) -> Result<(u64, Position), Failure> {
    loop {
        match running.events.recv().await {
            Ok(LogEvent::Learned {
                ticket: Some(ticket),
                position,
                ..
            }) => return Ok((ticket, position)),
            Ok(event) => check(&event)?,
            Err(_) => return Err(Failure("the log has ended".to_owned())),
        }
    }
}

async fn append(
    running: &Running,
    ballot: Ballot,
    ticket: u64,
    payload: Vec<u8>,
) -> Result<(), Failure> {
    let appended = running.log.append(ballot, ticket, payload).await;
    appended.map_err(|error| Failure(error.to_string()))
}

/// Appends one entry after another, and writes a line about each.
async fn replay(
    running: &Running,
    ballot: Ballot,
    sizes: &[usize],
    kind: &Kind,
    output: &str,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut rng = Rng::from_os();
    let payloads: Vec<Vec<u8>> = sizes.iter().map(|s| kind.payload(*s, &mut rng)).collect();
    let mut lines = Vec::with_capacity(sizes.len());
    let begun = clock::now();
    for (payload, ticket) in payloads.into_iter().zip(0..) {
        let size = payload.len();
        let start = clock::now();
        let done = async {
            append(running, ballot, ticket, payload).await?;
            learned(running).await
        };
        rt::timeout(APPEND_PATIENCE, done)
            .await
            .map_err(|_| Failure("Failed to append: timed out".to_owned()))??;
        let took = clock::now().since(start);
        lines.push((clock::wall(), size, took));
    }
    let total = clock::now().since(begun);
    let mut file = BufWriter::new(File::create(output)?);
    for (at, size, took) in lines {
        let ms = took.as_secs_f64() * 1000.0;
        let at = at.as_ms();
        let (seconds, millis) = (at / 1000, at % 1000);
        writeln!(
            file,
            "{seconds}.{millis:03} Appended {size} bytes in {ms} ms"
        )?;
    }
    file.flush()?;
    writeln!(out, "Total number of appends: {}", sizes.len())?;
    writeln!(out, "Total time used: {} secs", total.as_secs_f64())?;
    Ok(())
}

/// Many entries of one size, so many in flight.
struct Load {
    count: u64,
    limit: Option<Duration>,
    size: usize,
    in_flight: usize,
    keep: u64,
}

impl Load {
    fn new(options: &args::Benchmark) -> Result<Self, Failure> {
        let in_flight = options.inflight.unwrap_or(1000).clamp(1, 1 << 20);
        Ok(Self {
            count: options.count.unwrap_or(u64::MAX),
            limit: options.seconds.map(Duration::from_secs),
            size: size_of(options.size.as_deref().unwrap_or("256B"))?,
            in_flight: usize::try_from(in_flight).unwrap_or(1),
            keep: options.keep.unwrap_or(KEEP),
        })
    }

    async fn run(
        &self,
        running: &Running,
        ballot: Ballot,
        kind: &Kind,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let payload = kind.payload(self.size, &mut Rng::from_os());
        let begun = clock::now();
        let end = self.limit.map_or(Instant::FAR, |limit| begun + limit);
        let mut sent: VecDeque<Instant> = VecDeque::new();
        let mut latencies = Latencies::default();
        let (mut ticket, mut done, mut truncated) = (0, 0, 0);
        let mut now = begun;
        loop {
            while sent.len() < self.in_flight && ticket < self.count && now < end {
                sent.push_back(now);
                append(running, ballot, ticket, payload.clone()).await?;
                ticket += 1;
            }
            if sent.is_empty() {
                break;
            }
            let (_, position) = rt::timeout(APPEND_PATIENCE, learned(running))
                .await
                .map_err(|_| Failure("Failed to append: timed out".to_owned()))??;
            now = clock::now();
            if let Some(start) = sent.pop_front() {
                latencies.add(now.since(start));
                done += 1;
            }
            // Takes what has come together without looking at the clock again.
            while let Ok(event) = running.events.try_recv() {
                if let LogEvent::Learned {
                    ticket: Some(_), ..
                } = event
                {
                    if let Some(start) = sent.pop_front() {
                        latencies.add(now.since(start));
                        done += 1;
                    }
                } else {
                    check(&event)?;
                }
            }
            if position.0 > truncated + self.keep + self.keep / 4 {
                truncated = position.0 - self.keep;
                let to = running.log.truncate(ballot, Position(truncated)).await;
                to.map_err(|error| Failure(error.to_string()))?;
            }
        }
        let seconds = clock::now().since(begun).as_secs_f64();
        let stats = running.log.stats();
        writeln!(out, "appends {done}")?;
        writeln!(out, "seconds {seconds:.3}")?;
        writeln!(out, "appends_per_s {:.0}", done as f64 / seconds)?;
        writeln!(out, "p50_ms {:.3}", latencies.quantile(0.5))?;
        writeln!(out, "p99_ms {:.3}", latencies.quantile(0.99))?;
        writeln!(out, "max_ms {:.3}", latencies.quantile(1.0))?;
        writeln!(out, "commits {}", stats.commits)?;
        let commit_ms = stats.commit_nanos_total as f64 / 1e6 / stats.commits.max(1) as f64;
        writeln!(out, "commit_mean_ms {commit_ms:.3}")?;
        writeln!(out, "rss_mb {:.1}", rss_mb())?;
        Ok(())
    }
}

/// Resident memory of this process.
fn rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kb = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kb.unwrap_or(0.0) / 1024.0
}

/// Counts of latencies in buckets, each a 64th wider than the one before.
#[derive(Default)]
struct Latencies {
    buckets: std::collections::BTreeMap<u32, u64>,
    count: u64,
}

impl Latencies {
    fn add(&mut self, latency: Duration) {
        let micros = latency.as_secs_f64() * 1e6;
        let bucket = (micros.max(1.0).ln() * 64.0) as u32;
        *self.buckets.entry(bucket).or_default() += 1;
        self.count += 1;
    }

    /// Milliseconds that this part of all latencies do not exceed.
    fn quantile(&self, part: f64) -> f64 {
        let wanted = (self.count as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in &self.buckets {
            seen += count;
            if seen >= wanted {
                return (f64::from(*bucket + 1) / 64.0).exp() / 1000.0;
            }
        }
        0.0
    }
}
