//! `aurora-log read`.

use super::initialize::within;
use super::verify::stopped_replica;
use super::{Failure, args};
use crate::paxos::{Entry, Position, Recovered, Value};
use crate::replog::disk::{self, Disk};
use std::collections::BTreeMap;
use std::io::Write;

/// About how much is held in memory at once.
const PAGE_BYTES: usize = 1 << 20;

/// Prints a line for every entry: position, ballot, kind, size, and whether it is learned.
pub(super) fn run(options: args::Read, out: &mut dyn Write) -> Result<(), Failure> {
    let path = options.path()?;
    let limit = options.timeout()?;
    let (disk, recovered) = within(limit, "read the log", move || stopped_replica(&path))?;
    let pending = pending(&recovered);
    let end = pending
        .last_key_value()
        .map_or(recovered.learned, |(at, _)| *at);
    let from = options.from.map_or(recovered.first, Position);
    let to = options.to.map_or(end, Position);
    if options.from.is_none() && options.to.is_none() && end < recovered.first {
        return Ok(());
    }
    let bad = |why: &str| Err(Failure(format!("Bad read range ({why})")));
    if to < from {
        return bad("to < from");
    }
    if from < recovered.first {
        return bad("truncated position");
    }
    if to > end {
        return bad("past end of log");
    }
    let decodes = options.decode;
    print_learned(&disk, from, to.min(recovered.learned), decodes, out)?;
    for (_, entry) in pending.range(from..=to) {
        line(entry, false, decodes, out)?;
    }
    Ok(())
}

fn print_learned(
    disk: &Disk,
    from: Position,
    through: Position,
    decodes: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut next = from;
    while next <= through {
        let page = disk::read_entries(disk.store().as_ref(), next, through, PAGE_BYTES)
            .map_err(|error| Failure(error.to_string()))?;
        if page.is_empty() {
            return Err(Failure(format!("the entry at position {next} is missing")));
        }
        for entry in page {
            next = entry.position.next();
            line(&entry, true, decodes, out)?;
        }
    }
    Ok(())
}

/// What is accepted and not known to be learned.
fn pending(recovered: &Recovered) -> BTreeMap<Position, Entry> {
    let mut pending: BTreeMap<Position, Entry> = BTreeMap::new();
    for run in &recovered.accepted {
        for entry in run.entries().filter(|e| e.position > recovered.learned) {
            let held = pending.get(&entry.position);
            if held.is_none_or(|held| held.ballot < entry.ballot) {
                pending.insert(entry.position, entry);
            }
        }
    }
    pending
}

fn line(
    entry: &Entry,
    is_learned: bool,
    decodes: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let value = match &entry.value {
        Value::Append(bytes) => format!("APPEND {} bytes", bytes.len()),
        Value::Configure(configuration) => format!(
            "CONFIGURE {} member(s), quorum {}",
            configuration.members.len(),
            configuration.quorum
        ),
        Value::Nop => "NOP".to_owned(),
        Value::Truncate { to } => format!("TRUNCATE to {to}"),
    };
    let (position, ballot) = (entry.position, entry.ballot);
    let learned = if is_learned { "learned" } else { "accepted" };
    writeln!(out, "position {position} ballot {ballot} {learned} {value}")?;
    if decodes {
        decoded(&entry.value, out)?;
    }
    Ok(())
}

/// Bytes shown on one line.
const LINE_BYTES: usize = 32;

/// What an entry holds. The log does not know what its owner's bytes mean: they are shown as they
/// are, with what is text beside them.
fn decoded(value: &Value, out: &mut dyn Write) -> Result<(), Failure> {
    match value {
        Value::Append(bytes) => {
            for (line, at) in bytes.chunks(LINE_BYTES).zip((0..).step_by(LINE_BYTES)) {
                let hex: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
                let text = line.iter().map(|byte| match byte {
                    b' '..=b'~' => char::from(*byte),
                    _ => '.',
                });
                let text: String = text.collect();
                writeln!(out, "  {at:08x}  {hex:64}  {text}")?;
            }
        }
        Value::Configure(configuration) => {
            writeln!(out, "  cluster {:032x}", configuration.cluster)?;
            for (id, seat) in &configuration.members {
                let incarnation = seat.incarnation.0;
                writeln!(out, "  member {id}.{incarnation} {}", seat.address)?;
            }
        }
        Value::Nop | Value::Truncate { .. } => {}
    }
    Ok(())
}
