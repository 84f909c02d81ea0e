//! The rules of the protocol, one test each, named by what they claim.

mod acceptor;
mod conformance;
mod election;
mod ensemble;
mod leading;
mod membership;
mod reads;
mod seats;
mod warm;

use super::acceptor::Acceptor;
use super::*;
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use std::sync::Arc;

const NOW: Instant = Instant::from_nanos(1);

fn ballot(round: u64, replica: u64) -> Ballot {
    Ballot {
        round,
        replica: ReplicaId(replica),
    }
}

fn member(id: u64) -> Member {
    Member {
        id: ReplicaId(id),
        incarnation: Incarnation(0),
    }
}

fn seat(id: u64) -> (ReplicaId, Seat) {
    let seat = Seat {
        incarnation: Incarnation(0),
        address: format!("host{id}:8083").into(),
    };
    (ReplicaId(id), seat)
}

fn value(number: u8) -> Value {
    Value::Append(Arc::from([number]))
}

fn run(ballot: Ballot, first: u64, numbers: &[u8]) -> Run {
    Run {
        ballot,
        first: Position(first),
        values: numbers.iter().map(|number| value(*number)).collect(),
    }
}

fn acceptor() -> Acceptor {
    Acceptor::new(
        Status::Voting,
        Ballot::ZERO,
        Position::FIRST,
        Position::ZERO,
        &[],
    )
}

fn values_of(runs: impl IntoIterator<Item = Run>) -> Vec<(u64, Value)> {
    let runs: Vec<Run> = runs.into_iter().collect();
    let entries = runs.iter().flat_map(Run::entries);
    entries.map(|e| (e.position.0, e.value)).collect()
}

fn recovered(members: &[u64]) -> Recovered {
    Recovered {
        me: member(members[0]),
        status: Status::Voting,
        promised: Ballot::ZERO,
        first: Position::FIRST,
        learned: Position::ZERO,
        configuration: Configuration::majority(1, members.iter().copied().map(seat)),
        configured: Position::ZERO,
        needs_incarnation: false,
        accepted: Vec::new(),
    }
}

struct Driven {
    core: Replica,
    rng: Rng,
    asked: Ticket,
    synced: Ticket,
}

impl Driven {
    fn new(recovered: Recovered) -> Self {
        let mut driven = Self {
            core: Replica::new(recovered, Options::default()),
            rng: Rng::from_seed(1),
            asked: Ticket(0),
            synced: Ticket(0),
        };
        driven.core.start(NOW, &mut driven.rng);
        driven
    }

    fn effects(&mut self) -> Vec<Effect> {
        let effects: Vec<Effect> = std::iter::from_fn(|| self.core.poll_effect()).collect();
        for effect in &effects {
            if let Effect::Persist { ticket, .. } = effect {
                self.asked = *ticket;
            }
        }
        effects
    }

    fn hear(&mut self, from: u64, ballot: Ballot, body: Body) -> Vec<Effect> {
        let from = member(from);
        let message = Message { from, ballot, body };
        self.core.handle_message(NOW, message, &mut self.rng);
        self.effects()
    }

    /// Lets the deadline pass; asked by it, `friend` would welcome its candidacy. Its own promise is
    /// durable then.
    fn stand(&mut self, friend: u64) {
        self.pass_deadline();
        let asked = self.effects().into_iter().find_map(|effect| match effect {
            Effect::Send { message, .. } if message.body == Body::PreVote => Some(message.ballot),
            _ => None,
        });
        let body = Body::PreVoteReply {
            is_granted: true,
            promised: Ballot::ZERO,
        };
        self.hear(friend, asked.expect("it asks first"), body);
        self.sync();
    }

    fn pass_deadline(&mut self) {
        let due = self.core.deadline();
        self.core.handle_timeout(due, &mut self.rng);
    }

    /// Makes everything durable until nothing more is asked for; gives the other effects.
    fn sync(&mut self) -> Vec<Effect> {
        let mut others = Vec::new();
        loop {
            let effects = self.effects().into_iter();
            others.extend(effects.filter(|effect| !matches!(effect, Effect::Persist { .. })));
            if self.asked == self.synced {
                return others;
            }
            self.synced = self.asked;
            self.core.handle_persisted(NOW, self.synced, &mut self.rng);
        }
    }
}

fn learned_of(effects: &[Effect]) -> Vec<Value> {
    let runs = effects.iter().filter_map(|effect| match effect {
        Effect::Learned(run) => Some(run.values.to_vec()),
        _ => None,
    });
    runs.flatten().collect()
}

fn sent(effects: &[Effect]) -> Vec<&Body> {
    let bodies = effects.iter().filter_map(|effect| match effect {
        Effect::Send { message, .. } => Some(&message.body),
        _ => None,
    });
    bodies.collect()
}

/// Replica 1 of three, leading.
fn leading_of_three() -> (Driven, Ballot) {
    let (mut driven, term) = candidate_of_three();
    driven.hear(2, term, promise(0, Vec::new()));
    driven.sync();
    assert_eq!(
        driven.core.leading(),
        None,
        "a quorum has not accepted its first entry"
    );
    driven.hear(2, term, accepted(1, 1));
    assert_eq!(driven.core.leading(), Some(term));
    (driven, term)
}

/// Replica 1 of three, with a promise of its own for ballot 1.
fn candidate_of_three() -> (Driven, Ballot) {
    let mut driven = Driven::new(recovered(&[1, 2, 3]));
    driven.stand(2);
    (driven, ballot(1, 1))
}

fn accepted(first: u64, last: u64) -> Body {
    Body::Accepted {
        first: Position(first),
        last: Position(last),
        learned: Position::ZERO,
    }
}

fn promise(learned: u64, accepted: Vec<Run>) -> Body {
    Body::Promise {
        learned: Position(learned),
        accepted,
    }
}

fn progress(learned: u64, round: u64) -> Body {
    Body::Progress {
        feature_level: 1,
        learned: Position(learned),
        round,
        status: Status::Voting,
    }
}
