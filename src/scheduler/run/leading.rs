//! Leading: its beginning, its end, handing it over; and knowing who leads instead.

use super::{LAST_WORDS, Loop, RunError};
use crate::base::clock::{self, Instant};
use crate::replog::Ballot;
use crate::rt;
use crate::scheduler::handle::Lifecycle;
use crate::scheduler::port::LogPort;
use crate::storage::Leader;
use async_channel::Sender;
use std::sync::Arc;
use std::time::Duration;

/// How long a member may take to be ready to lead, before we lead on or end all the same.
const HAND_OVER: Duration = Duration::from_secs(2);

/// A term that we lead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    pub(super) ballot: Ballot,
    /// When it ends of its own accord (`-max_leading_duration`).
    ends: Instant,
    /// When a Mesos master must know us, if one is to.
    registered_by: Option<Instant>,
    hand_over: HandOver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HandOver {
    /// No command is taken; what is on its way to the log is waited for until then.
    Draining(Instant),
    No,
    /// The log has been asked.
    UnderWay,
}

impl<L: LogPort> Loop<L> {
    pub(super) fn lead(&mut self, ballot: Ballot) -> Result<(), RunError> {
        if let Some(level) = self.outdated {
            return Err(RunError::Outdated(level));
        }
        if self.term.is_some() {
            self.stand_down();
        }
        let now = clock::both();
        self.engine.handle_leading(now)?;
        self.engine.announce(
            now,
            Leader {
                term: ballot.round,
                http: self.options.address.clone(),
                agents: self.options.agents_address.clone(),
            },
        );
        self.term = Some(Term {
            ballot,
            ends: now.mono + self.options.max_leading,
            registered_by: self.options.awaits_master.map(|delay| now.mono + delay),
            hand_over: HandOver::No,
        });
        self.timed.leads(now.mono);
        self.enter(Lifecycle::LeaderAwaitingRegistration);
        if self.options.awaits_master.is_none() {
            self.driver.lead(ballot.round);
            self.enter(Lifecycle::Active);
        }
        let tables = self.engine.tables();
        log::info!(
            "leading in term {} with {} tasks",
            ballot.round,
            tables.task_count()
        );
        self.handle.publish_tables(Arc::clone(tables));
        self.handle.set_ready(true);
        Ok(())
    }

    pub(super) fn stand_down(&mut self) {
        log::warn!("leading no more");
        self.handle.set_ready(false);
        self.term = None;
        self.engine.handle_discarded();
        self.latency.give_up();
        self.driver.stand_down();
        self.reads.fail_all();
        self.enter(Lifecycle::StoragePrepared);
    }

    /// Ends a term that has lasted long enough, if somebody else can lead.
    pub(super) fn limit_term(&mut self, now: Instant) {
        let is_alone = self.log.is_alone();
        let max = self.options.max_leading;
        let Some(term) = &mut self.term else {
            return;
        };
        match term.hand_over {
            HandOver::No if now >= term.ends && is_alone => {
                // Upstream's scheduler ends itself here, for another to take over. There is none.
                log::info!("has led for {max:?}, and leads on: nobody else could");
                term.ends = now + max;
            }
            HandOver::No if now >= term.ends => {
                log::info!("has led for {max:?}: hands over");
                term.hand_over = HandOver::Draining(now + LAST_WORDS);
                self.handle.set_ready(false);
            }
            HandOver::Draining(until) if self.engine.is_idle() || now >= until => {
                term.hand_over = HandOver::UnderWay;
                let asked = hand_over(Arc::clone(&self.log), self.tell_handed_over.clone());
                rt::spawn("hand over", asked).detach();
            }
            HandOver::No | HandOver::Draining(_) | HandOver::UnderWay => {}
        }
    }

    /// Ends a scheduler that no Mesos master knows.
    pub(super) fn check_registration(&self, now: Instant) -> Result<(), RunError> {
        let registered_by = self.term.as_ref().and_then(|term| term.registered_by);
        match registered_by.is_some_and(|at| at <= now) {
            true => Err(RunError::NotRegistered),
            false => Ok(()),
        }
    }

    /// When [`Loop::limit_term`] or [`Loop::check_registration`] has something to do.
    pub(super) fn term_deadline(&self) -> Instant {
        let Some(term) = &self.term else {
            return Instant::FAR;
        };
        let ends = match term.hand_over {
            HandOver::Draining(until) => until,
            HandOver::No => term.ends,
            HandOver::UnderWay => Instant::FAR,
        };
        ends.min(term.registered_by.unwrap_or(Instant::FAR))
    }

    /// How handing over went. If it went well, the term ends by the log's word.
    pub(super) fn handed_over(&mut self, well: bool) {
        let next = clock::now() + self.options.max_leading;
        if let Some(term) = &mut self.term
            && term.hand_over == HandOver::UnderWay
            && !well
        {
            log::info!("leads on: no other scheduler is ready to");
            term.hand_over = HandOver::No;
            term.ends = next;
            self.handle.set_ready(true);
        }
    }

    /// Before the end: somebody else need not wait for our silence.
    pub(super) async fn hand_over_at_the_end(&mut self) {
        if self.term.is_none() || self.log.is_alone() {
            return;
        }
        match rt::timeout(HAND_OVER, self.log.hand_over()).await {
            Ok(true) => log::info!("another scheduler takes over"),
            Ok(false) | Err(_) => log::warn!("no other scheduler is ready to take over"),
        }
    }

    /// Looks who leads, if we do not, for the pages and for machines that come here by mistake.
    pub(super) fn look_for_leader(&mut self) {
        let leader = match self.term {
            Some(_) => None,
            None => self.leader_elsewhere(),
        };
        if leader != self.elsewhere {
            if self.term.is_none() {
                match &leader {
                    Some(leader) => log::info!("the leader is {}", leader.http),
                    None => log::info!("no leader is known"),
                }
            }
            self.driver
                .set_leader(leader.as_ref().map(|l| l.agents.clone()));
            self.elsewhere = leader;
            self.stale = true;
            self.urgent = true;
        }
    }

    /// The scheduler that leads by its own word, if the log believes it alive.
    fn leader_elsewhere(&self) -> Option<Arc<Leader>> {
        let round = self.log.leader()?;
        let leader = self.engine.followed()?.leader()?;
        (leader.term == round).then(|| Arc::clone(leader))
    }
}

async fn hand_over<L: LogPort>(log: Arc<L>, tell: Sender<bool>) {
    let went = rt::timeout(HAND_OVER, log.hand_over()).await;
    if tell.send(went.unwrap_or(false)).await.is_err() {
        log::debug!("the scheduler ended while it handed over");
    }
}
