//! The log as everybody outside has seen it: one value a position, nothing acknowledged lost,
//! nothing there twice, nothing led blindly.

use cores::paxos::{Ballot, Configuration, Entry, Member, Position, ReplicaId, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names one entry of the clients. Its bytes begin with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId(pub u64);

impl EntryId {
    /// The bytes of the entry.
    pub fn payload(self, length: usize) -> Vec<u8> {
        let mut bytes = self.0.to_be_bytes().to_vec();
        bytes.resize(8 + length, self.0 as u8);
        bytes
    }

    fn of(payload: &[u8]) -> Self {
        let head = payload.get(..8).expect("an entry that no client has made");
        Self(u64::from_be_bytes(head.try_into().unwrap()))
    }
}

/// What has been seen of the log.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What each position holds, since anybody was given it.
    pub chosen: BTreeMap<Position, Value>,
    /// Where each entry of the clients stands.
    places: BTreeMap<EntryId, Position>,
    next_id: u64,
    /// The highest position that a client was told of, by the term that told.
    acknowledged: BTreeMap<Ballot, Position>,
    acknowledged_count: u64,
    /// The highest `to` of a truncation that was chosen.
    truncated: Position,
    /// Every configuration that was chosen.
    configurations: BTreeMap<Position, Arc<Configuration>>,
    /// The newest configuration, and where it stands.
    configured: Option<(Position, Arc<Configuration>)>,
    /// Whose round it was.
    rounds: BTreeMap<u64, ReplicaId>,
}

impl Ledger {
    /// A name for the next entry of a client.
    pub fn name(&mut self) -> EntryId {
        self.next_id += 1;
        EntryId(self.next_id)
    }

    /// The last position that anybody was given.
    pub fn end(&self) -> Position {
        self.chosen
            .last_key_value()
            .map_or(Position::ZERO, |(at, _)| *at)
    }

    /// How many configurations were chosen.
    pub fn configuration_count(&self) -> u64 {
        self.configurations.len() as u64
    }

    /// How many entries were acknowledged to clients.
    pub fn acknowledged_count(&self) -> u64 {
        self.acknowledged_count
    }

    /// Somebody was given an entry as chosen.
    pub fn learned(&mut self, who: ReplicaId, entry: &Entry) {
        let at = entry.position;
        if let Some(chosen) = self.chosen.get(&at) {
            assert_eq!(*chosen, entry.value, "{who} learned another value at {at}");
            return;
        }
        match &entry.value {
            Value::Append(payload) => {
                let id = EntryId::of(payload);
                assert!(
                    id.0 <= self.next_id,
                    "{who} learned {id:?}, which nobody proposed"
                );
                let before = self.places.insert(id, at);
                assert!(before.is_none(), "{id:?} stands at {before:?} and at {at}");
            }
            Value::Truncate { to } => {
                assert!(
                    *to <= at,
                    "the truncation at {at} goes to {to}, beyond the end"
                );
                self.truncated = self.truncated.max(*to);
            }
            Value::Configure(configuration) => self.configure(who, at, configuration),
            Value::Nop => {}
        }
        self.chosen.insert(at, entry.value.clone());
    }

    fn configure(&mut self, who: ReplicaId, at: Position, next: &Arc<Configuration>) {
        assert!(
            next.is_sound(),
            "{who} learned a configuration whose quorums need not meet"
        );
        self.configurations.insert(at, Arc::clone(next));
        let Some((before, last)) = &self.configured else {
            self.configured = Some((at, Arc::clone(next)));
            return;
        };
        assert_eq!(
            last.cluster, next.cluster,
            "{who} learned of another cluster"
        );
        if *before > at {
            return;
        }
        for (id, seat) in &next.members {
            if let Some(old) = last.members.get(id) {
                assert!(
                    seat.incarnation >= old.incarnation,
                    "{id} goes back to an older life"
                );
            }
        }
        let gone = last
            .members
            .keys()
            .filter(|id| !next.members.contains_key(id));
        let new = next
            .members
            .keys()
            .filter(|id| !last.members.contains_key(id));
        let renewed = next.members.iter().filter(|(id, seat)| {
            let old = last.members.get(id);
            old.is_some_and(|old| old.incarnation != seat.incarnation)
        });
        let steps = gone.count().max(new.count()) + renewed.count();
        assert!(steps <= 1, "more than one member is changed at {at}");
        self.configured = Some((at, Arc::clone(next)));
    }

    /// The configuration that is in force behind `given`, and the entry that brought it.
    pub fn in_force_behind(&self, given: Position) -> Option<(Position, &Configuration)> {
        let newest = self.configurations.range(..=given).next_back();
        newest.map(|(at, configuration)| (*at, configuration.as_ref()))
    }

    /// `who` votes, in a life that is not its first, having been given everything up to `given`.
    pub fn votes(&self, who: Member, given: Position) {
        let seat = self.configurations.iter().find(|(_, c)| {
            let seat = c.members.get(&who.id);
            seat.is_some_and(|seat| seat.incarnation >= who.incarnation)
        });
        assert!(
            seat.is_some_and(|(at, _)| *at <= given),
            "{who:?} votes with {given}, before it has learned of its seat"
        );
    }

    /// `who` stands for election, having been given everything up to `given`.
    pub fn stands(&self, who: Member, given: Position) {
        let configuration = self
            .in_force_behind(given)
            .map(|(_, configuration)| configuration);
        assert!(
            configuration.is_none_or(|c| c.counts(who)),
            "{who:?} stands for election without a seat"
        );
    }

    /// The newest configuration that is chosen.
    pub fn configuration(&self) -> Option<&Arc<Configuration>> {
        self.configured
            .as_ref()
            .map(|(_, configuration)| configuration)
    }

    /// Where it stands.
    pub fn configured(&self) -> Position {
        self.configured
            .as_ref()
            .map_or(Position::ZERO, |(at, _)| *at)
    }

    /// The highest position that was acknowledged to a client.
    pub fn acknowledged(&self) -> Position {
        self.acknowledged
            .values()
            .copied()
            .max()
            .unwrap_or_default()
    }

    /// A read that was asked for when `before` was acknowledged is answered from `position`.
    pub fn read(&self, who: ReplicaId, before: Position, position: Position) {
        assert!(
            position >= before,
            "{who} answers a read from {position}, but {before} was acknowledged before it"
        );
    }

    /// Somebody has read an entry back from its disk.
    pub fn read_back(&self, who: ReplicaId, entry: &Entry) {
        let at = entry.position;
        let chosen = self.chosen.get(&at);
        assert!(
            chosen.is_some(),
            "{who} holds {at} as learned, which nobody was given"
        );
        assert_eq!(
            chosen,
            Some(&entry.value),
            "{who} holds another value at {at}"
        );
    }

    /// Entries below `first` are gone somewhere.
    pub fn skipped(&self, who: ReplicaId, first: Position) {
        assert!(
            first <= self.truncated.max(Position::FIRST),
            "{who} lacks everything below {first}, but the log is truncated to {} only",
            self.truncated
        );
    }

    /// A client was told, in the term of `ballot`, that its entry stands at `at`.
    pub fn acknowledge(&mut self, ballot: Ballot, id: EntryId, at: Position) {
        let place = self.places.get(&id);
        assert_eq!(place, Some(&at), "{id:?} was acknowledged at another place");
        let highest = self.acknowledged.entry(ballot).or_insert(at);
        *highest = at.max(*highest);
        self.acknowledged_count += 1;
    }

    /// `who` begins to lead, having been given everything up to `given`.
    pub fn leads(&mut self, who: ReplicaId, ballot: Ballot, given: Position) {
        assert_eq!(ballot.replica, who, "{who} leads under a ballot of another");
        let other = self.rounds.insert(ballot.round, who);
        assert!(
            other.is_none_or(|other| other == who),
            "round {} is led by {who} and by {other:?}",
            ballot.round
        );
        // What a later term has told need not be known to one that finds out late that it leads.
        let before = self.acknowledged.range(..ballot);
        let before = before.map(|(_, at)| *at).max().unwrap_or_default();
        assert!(
            before <= given,
            "{who} leads with {given}, but {before} was acknowledged"
        );
    }
}
