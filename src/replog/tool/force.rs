//! `aurora-log force-new-ensemble`: the last resort.

use super::verify::stopped_replica;
use super::{Failure, args};
use crate::base::clock;
use crate::base::rng::Rng;
use crate::paxos::{
    Ballot, Configuration, Configured, Entry, Incarnation, Member, Position, Record, Recovered,
    ReplicaId, Run, Status, Value,
};
use crate::replog::layout;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

/// Makes a stopped replica the only member of a new ensemble, if told exactly what is lost.
pub(super) fn run(options: &args::ForceNewEnsemble, out: &mut dyn Write) -> Result<(), Failure> {
    let path = options.path()?;
    let (mut disk, recovered) = stopped_replica(&path)?;
    let members = &recovered.configuration.members;
    if recovered.configured == Position::ZERO {
        return Err(Failure(format!(
            "the replica in {} belongs to no ensemble yet: there is nothing to force",
            path.display()
        )));
    }
    if members.len() == 1 && members.contains_key(&recovered.me.id) {
        return Err(Failure(format!(
            "the replica in {} is the only member of its ensemble already",
            path.display()
        )));
    }
    let kept = kept(&recovered);
    let last = recovered.learned.plus(kept.len() as u64);
    let loss = format!("{:032x}:{last}", recovered.configuration.cluster);
    if options.accept_loss.as_deref() != Some(loss.as_str()) {
        let seats: Vec<&str> = members.values().map(|seat| &*seat.address).collect();
        return Err(Failure(format!(
            "This makes the replica in {path} the only member of a new ensemble. It holds entries up to \
             {learned} that are known to be chosen{accepted}. What was acknowledged behind {last} is \
             lost for good, as is every other replica's copy: {seats} must never be started again with \
             the disks they have; start them with empty ones, and add them by aurora-log add-member. \
             Do this only if a quorum of these will never come back, on the replica that status or \
             verify shows to be the furthest. Nothing was changed. To do it, run: aurora-log \
             force-new-ensemble --path={path} --accept-loss={loss}",
            path = path.display(),
            learned = recovered.learned,
            accepted = if kept.is_empty() {
                String::new()
            } else {
                format!(", and up to {last} that may be")
            },
            seats = seats.join(", "),
        )));
    }
    let mut rng = Rng::from_os();
    let me = Member {
        // What the old ensemble has promised or counted of this replica must not meet the new one.
        id: ReplicaId(rng.next_u64().max(1)),
        incarnation: Incarnation(0),
    };
    let cluster = (u128::from(rng.next_u64()) << 64) | u128::from(rng.next_u64());
    let address = members
        .get(&recovered.me.id)
        .map(|seat| Arc::clone(&seat.address));
    let mut configuration = Configuration::alone(cluster, me);
    if let (Some(seat), Some(address)) = (configuration.members.get_mut(&me.id), address) {
        seat.address = address;
    }
    configuration.feature_level = recovered.configuration.feature_level;
    let configuration = Arc::new(configuration);
    disk.commit(records(&recovered, kept, me, &configuration))
        .and_then(|_| disk.attest())
        .map_err(|error| Failure(format!("failed to write {}: {error}", path.display())))?;
    writeln!(
        out,
        "The replica in {} is the only member of the new ensemble {cluster:032x}, with entries up to \
         {last}. Start it with -native_log_quorum_size=1, or with the quorum of the ensemble that it is \
         to grow to and -native_log_peers; the others with empty directories.",
        path.display()
    )?;
    Ok(())
}

/// What is accepted behind the watermark without a hole: it may have been acknowledged.
fn kept(recovered: &Recovered) -> Vec<Value> {
    let mut pending: BTreeMap<Position, Entry> = BTreeMap::new();
    for entry in recovered.accepted.iter().flat_map(Run::entries) {
        let held = pending.get(&entry.position);
        if entry.position > recovered.learned && held.is_none_or(|h| h.ballot < entry.ballot) {
            pending.insert(entry.position, entry);
        }
    }
    let mut values = Vec::new();
    let mut next = recovered.learned.next();
    while let Some(entry) = pending.remove(&next) {
        // A configuration of the old ensemble is not one of the new.
        values.push(match entry.value {
            Value::Configure(_) => Value::Nop,
            value => value,
        });
        next = next.next();
    }
    values
}

/// The entries that are kept, and the configuration that makes this replica alone, under a ballot above
/// all that the old ensemble has seen: also where this replica took no part any more, or agents would refuse
/// the new one's orders.
fn records(
    recovered: &Recovered,
    mut values: Vec<Value>,
    me: Member,
    configuration: &Arc<Configuration>,
) -> Vec<Record> {
    let highest = recovered.accepted.iter().map(|run| run.ballot).max();
    let ballot = recovered
        .promised
        .max(highest.unwrap_or(Ballot::ZERO))
        .max(layout::first_ballot(clock::wall()))
        .above(me.id);
    let first = recovered.learned.next();
    values.push(Value::Configure(Arc::clone(configuration)));
    let position = first.plus(values.len() as u64).before();
    let mut records: Vec<Record> = Run::cut(ballot, first, values)
        .into_iter()
        .map(Record::Run)
        .collect();
    records.extend([
        Record::Promise(ballot),
        Record::Learned(position),
        Record::Member(me),
        Record::Configuration(Configured {
            position,
            configuration: Arc::clone(configuration),
        }),
        Record::Status(Status::Voting),
    ]);
    records
}
