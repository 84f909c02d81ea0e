//! What comes from peers: who may say what, and the acceptor's and the learner's answers.

use super::acceptor::{Accepted, Acceptor, Refusal};
use super::ballot::{Ballot, Member};
use super::coordinator::Role;
use super::effect::{Effect, Record};
use super::entry::{Configured, Position, Run, Value};
use super::lead::Answer;
use super::message::{Body, Message};
use super::replica::Replica;
use super::status::Status;
use crate::base::clock::Instant;
use crate::base::mistake;
use crate::base::rng::Rng;

impl Replica {
    /// A message has come. Whatever it says, it cannot make this replica break the protocol's
    /// rules.
    pub fn handle_message(&mut self, now: Instant, message: Message, rng: &mut Rng) {
        // Only this replica itself speaks for it: another of its name is a copy of its disk.
        if message.from.id != self.me.id && self.is_plausible(&message) {
            if !matches!(message.body, Body::PreVote | Body::PreVoteReply { .. }) {
                self.seen = self.seen.max(message.ballot);
            }
            self.dispatch(now, message, rng);
        }
        self.settle(now, rng);
    }

    /// Bounds what a peer can make this replica believe: no run of elections is that long, and no
    /// acceptor holds that much above its watermark.
    fn is_plausible(&self, message: &Message) -> bool {
        let mut round = message.ballot.round;
        if let Body::Reject { promised } | Body::PreVoteReply { promised, .. } = &message.body {
            round = round.max(promised.round);
        }
        let is_near = |learned: Position, run: &Run| {
            run.last().0 <= learned.0.saturating_add(2 * Acceptor::WINDOW)
        };
        let is_bounded = match &message.body {
            Body::Promise { learned, accepted } => accepted.iter().all(|r| is_near(*learned, r)),
            Body::Learn {
                runs, configured, ..
            } => {
                runs.iter().all(|run| self.is_of_this_ensemble(run))
                    && configured.iter().all(|c| self.is_sane(c))
            }
            Body::Write { run, .. } => self.is_of_this_ensemble(run),
            _ => true,
        };
        let highest = self.seen.round.saturating_add(u64::from(u32::MAX));
        round <= highest.max(Self::ROUNDS_BEGIN_BELOW) && is_bounded
    }

    /// Rounds of a new log begin at the time in milliseconds. One that knows nothing yet, or whose own log
    /// was made long before, hears of rounds that began so much later: this is the year 2527.
    pub const ROUNDS_BEGIN_BELOW: u64 = 1 << 44;

    /// Whether every configuration in a run may follow the present one. Entries of another ensemble
    /// would replace this one's.
    fn is_of_this_ensemble(&self, run: &Run) -> bool {
        run.values.iter().all(|value| match value {
            Value::Configure(configuration) => {
                let is_own = configuration.cluster == self.configuration().cluster;
                configuration.is_sound() && (is_own || !self.is_bound())
            }
            Value::Append(_) | Value::Nop | Value::Truncate { .. } => true,
        })
    }

    fn is_sane(&self, configured: &Configured) -> bool {
        let configuration = &configured.configuration;
        let is_own = configuration.cluster == self.configuration().cluster;
        configuration.is_sound() && (is_own || !self.is_bound())
    }

    pub(super) fn dispatch(&mut self, now: Instant, message: Message, rng: &mut Rng) {
        let Message { from, ballot, body } = message;
        match body {
            // Only a ballot's owner speaks for it.
            Body::Prepare
            | Body::PreVote
            | Body::Write { .. }
            | Body::Heartbeat { .. }
            | Body::TimeoutNow
                if ballot.replica != from.id => {}
            Body::Prepare => self.on_prepare(now, from, ballot, rng),
            Body::PreVote => self.on_pre_vote(now, from, ballot),
            Body::PreVoteReply {
                is_granted,
                promised,
            } => self.on_pre_vote_reply(now, from, ballot, (is_granted, promised), rng),
            Body::Write { run, learned } => {
                // A write's ballot is the run's: a message that says otherwise is nonsense.
                if run.ballot == ballot && run.first > Position::ZERO && !run.values.is_empty() {
                    self.on_write(now, from, &run, learned, rng);
                }
            }
            Body::Heartbeat { learned, round } => {
                self.on_heartbeat(now, from, ballot, (learned, round), rng);
            }
            Body::Promise { learned, accepted } => {
                self.on_promise(now, from, ballot, (learned, accepted));
            }
            Body::Accepted {
                first,
                last,
                learned,
            } => {
                let answer = Answer::Accepted { first, last };
                self.on_answer(now, from, ballot, learned, answer);
            }
            Body::Progress {
                feature_level,
                learned,
                round,
                status,
            } => {
                let answer = Answer::Progress {
                    feature_level,
                    round,
                    status,
                };
                self.on_answer(now, from, ballot, learned, answer);
            }
            Body::Reject { promised } => self.on_reject(now, ballot, promised, rng),
            Body::Ignored { status } => self.on_ignored(now, from, status),
            Body::CatchUp { from: position } => self.on_catch_up(from, position),
            Body::Learn {
                first_kept,
                configured,
                runs,
            } => self.on_learn(now, from, ballot, first_kept, configured, runs),
            Body::Form { configuration } => self.on_form(now, from, configuration, rng),
            Body::Join(join) => self.on_join(now, from, join),
            Body::Welcome { incarnation, nonce } => self.on_welcome(now, incarnation, nonce),
            Body::TimeoutNow => self.on_timeout_now(now, ballot, rng),
        }
    }

    fn on_write(
        &mut self,
        now: Instant,
        from: Member,
        run: &Run,
        learned: Position,
        rng: &mut Rng,
    ) {
        if self.acceptor.status == Status::Voting && !self.acceptor.has_room_for(run) {
            // Silence makes the coordinator send again, after its watermark has made room here.
            return self.hear_watermark(now, run.ballot, learned);
        }
        let Accepted {
            runs,
            is_promise_raised,
        } = match self.acceptor.write(run) {
            Ok(accepted) => accepted,
            Err(refusal) => return self.refuse(from, run.ballot, refusal),
        };
        self.hear_leader(now, run.ballot, rng);
        self.hear_watermark(now, run.ballot, learned);
        let mut records: Vec<Record> = Vec::with_capacity(runs.len() + 1);
        if is_promise_raised && !mistake::is_on("raise-promise-unstored") {
            records.push(Record::Promise(run.ballot));
        }
        if !mistake::is_on("accept-without-storing") {
            records.extend(runs.into_iter().map(Record::Run));
        }
        let body = Body::Accepted {
            first: run.first,
            last: run.last(),
            // DURABILITY: what is learned now is durable when this answer leaves.
            learned: self.acceptor.learned,
        };
        self.persist_then(records, from.id, run.ballot, body);
    }

    fn on_heartbeat(
        &mut self,
        now: Instant,
        from: Member,
        ballot: Ballot,
        (learned, round): (Position, u64),
        rng: &mut Rng,
    ) {
        // A replica that does not vote demotes nobody, whatever it has promised in an earlier life.
        if ballot < self.acceptor.promised && self.acceptor.status == Status::Voting {
            return self.refuse(from, ballot, Refusal::Reject(self.acceptor.promised));
        }
        self.hear_leader(now, ballot, rng);
        self.hear_watermark(now, ballot, learned);
        let body = self.progress(round);
        self.send(from.id, ballot, body);
    }

    /// How far this replica is.
    pub(super) fn progress(&self, round: u64) -> Body {
        Body::Progress {
            feature_level: self.options.feature_level,
            learned: self.held(),
            round,
            status: self.acceptor.status,
        }
    }

    /// The owner of `ballot` leads, and no promise stands against it.
    fn hear_leader(&mut self, now: Instant, ballot: Ballot, rng: &mut Rng) {
        self.pulse.beat(now);
        self.in_vain = 0;
        let is_new = self.leader != Some(ballot);
        self.follow(now, rng);
        self.set_leader(Some(ballot));
        if is_new && !self.is_seatless() {
            // Its silence is borne for longer than nobody's.
            self.expect_leader(now, rng);
        }
    }

    /// Learns what is held of `ballot` up to its coordinator's watermark.
    fn hear_watermark(&mut self, now: Instant, ballot: Ballot, learned: Position) {
        let runs = self.acceptor.learn_accepted(ballot, learned);
        self.give(now, runs);
        self.keep_configuration(ballot);
    }

    pub(super) fn on_catch_up(&mut self, from: Member, position: Position) {
        if position <= self.readable {
            self.effects.push_back(Effect::Read {
                peer: from.id,
                from: position.max(self.acceptor.first),
                through: self.readable,
            });
        } else if position <= self.acceptor.learned
            && self.catching_up.len() < Self::CATCHING_UP_MAX
        {
            // DURABILITY: the disk may still hold what an older ballot wrote there.
            self.catching_up.insert(from.id, position);
            self.flush();
        }
    }

    /// Most replicas that wait for something to become readable.
    const CATCHING_UP_MAX: usize = 16;

    /// Serves those who have asked for what can be read by now.
    pub(super) fn serve_catching_up(&mut self) {
        let readable = self.readable;
        let waiting = std::mem::take(&mut self.catching_up);
        for (peer, from) in waiting {
            if from > readable {
                self.catching_up.insert(peer, from);
                continue;
            }
            self.effects.push_back(Effect::Read {
                peer,
                from: from.max(self.acceptor.first),
                through: readable,
            });
        }
    }

    fn on_learn(
        &mut self,
        now: Instant,
        from: Member,
        ballot: Ballot,
        first_kept: Position,
        configured: Option<Configured>,
        runs: Vec<Run>,
    ) {
        if self.acceptor.status == Status::Empty {
            return;
        }
        if let Some(configured) = &configured {
            self.check_superseded(configured);
        }
        // News of the ensemble alone is not answered: the answer would be answered with news.
        if matches!(self.role, Role::Leader(_)) || runs.is_empty() {
            return;
        }
        if first_kept > self.acceptor.learned.next() {
            let Some(configured) = configured else {
                // Whoever has truncated has formed an ensemble.
                return;
            };
            self.skip(first_kept, configured);
        }
        let (learned, new) = self.acceptor.learn_chosen(&runs);
        let records: Vec<Record> = new.into_iter().map(Record::Run).collect();
        self.give(now, learned);
        // DURABILITY: what is learned now is durable when this answer leaves.
        let body = Body::Progress {
            feature_level: self.options.feature_level,
            learned: self.acceptor.learned,
            round: 0,
            status: self.acceptor.status,
        };
        self.persist_then(records, from.id, ballot, body);
        self.try_to_lead(now);
    }

    /// Goes on behind a truncation. The configuration in force there cannot be learned from
    /// entries, so it comes with the news.
    ///
    /// The sender's may be one that is configured only later in the log, because it knows no older
    /// one. It is chosen, so it can be believed; but this replica must not lead by it before it has
    /// learned the entry: what was chosen before that was chosen by other quorums.
    fn skip(&mut self, first: Position, configured: Configured) {
        self.acceptor.skip_to(first);
        self.effects.push_back(Effect::Skipped { first });
        let mut records = vec![Record::First(first)];
        if configured.position > self.configured.position {
            self.restarts |= *self.configured.configuration != *configured.configuration;
            self.configured = configured.clone();
            self.effects
                .push_back(Effect::Configured(configured.clone()));
            records.push(Record::Configuration(configured));
        }
        self.take_seat(Ballot::ZERO);
        self.persist(records);
    }

    pub(super) fn refuse(&mut self, to: Member, ballot: Ballot, refusal: Refusal) {
        let body = match refusal {
            Refusal::Ignored(status) => Body::Ignored { status },
            Refusal::Reject(promised) => Body::Reject { promised },
        };
        self.send(to.id, ballot, body);
    }

    /// Gives learned entries to the owner, and takes from them what is meant for the log itself.
    pub(super) fn give(&mut self, now: Instant, runs: Vec<Run>) {
        for run in runs {
            for (value, at) in run.values.iter().zip(run.first.0..) {
                match value {
                    Value::Append(_) | Value::Nop => {}
                    Value::Truncate { to } => {
                        let to = (*to).min(Position(at));
                        let too_far = mistake::is_on("truncate-everything");
                        let to = if too_far { Position(at) } else { to };
                        if to > self.acceptor.first {
                            self.acceptor.first = to;
                            self.riding.push(Record::First(to));
                        }
                    }
                    Value::Configure(configuration) => {
                        let configured = Configured {
                            position: Position(at),
                            configuration: configuration.clone(),
                        };
                        self.configure(now, run.ballot, configured);
                    }
                }
            }
            self.effects.push_back(Effect::Learned(run));
        }
    }
}
