//! Who leads, who is connected: one lock, and nothing waits under it.

use crate::agent::proto::{Hello, Order, SchedulerMessage, TASKS_PER_RECONCILE, VERSION};
use crate::base::clock::{self, Instant};
use crate::driver::{AgentOffer, DriverCommand, DriverEvent};
use crate::model::{AgentId, AgentSession, TaskReport};
use crate::net::frames::Hangup;
use async_channel::{Receiver, Sender, TrySendError};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A period of leadership, as a connection that began in it sees it.
#[derive(Clone, Debug)]
pub(super) struct Term {
    /// Rises with each term of this process.
    number: u64,
    pub(super) ballot: u64,
    /// How many orders may wait for one agent.
    pub(super) orders: usize,
    /// Closed when the term ends.
    over: Receiver<()>,
}

impl Term {
    /// Ends when the term does.
    pub(super) async fn ended(&self) {
        // Nothing is ever sent: closing is the news.
        if self.over.recv().await.is_ok() {
            log::debug!("the end of a term carried a value");
        }
    }
}

/// One established connection of an agent.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// What one command comes to is one item.
    pub(super) outbox: Sender<Vec<SchedulerMessage>>,
    pub(super) hangup: Hangup,
    /// The other side's address, for messages.
    pub(super) peer: String,
}

#[derive(Debug)]
struct Entry {
    /// Rises with each connection.
    number: u64,
    session: AgentSession,
    place: String,
    host: String,
    heard: Instant,
    /// None when the connection is lost and the agent not yet given up.
    link: Option<Link>,
}

/// Why an agent is not welcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: String,
    pub(super) leader: Option<String>,
    /// Whether an operator should see it: it does not go away by itself.
    pub(super) alarming: bool,
}

/// Why an event did not reach the scheduler's queue.
#[derive(Debug)]
pub(super) enum NotSent {
    /// The queue is full: the event is given back to try again.
    Full(Box<DriverEvent>),
    /// The term is over, or the connection has been replaced.
    Over,
}

#[derive(Debug)]
struct State {
    term: Option<(Term, Sender<()>)>,
    terms: u64,
    connections: u64,
    leader: Option<String>,
    agents: BTreeMap<AgentId, Entry>,
}

/// The driver's state.
#[derive(Debug)]
pub(super) struct Registry {
    state: Mutex<State>,
    events: Sender<DriverEvent>,
    /// To drop what an earlier term left behind.
    unread: Receiver<DriverEvent>,
}

impl Registry {
    pub(super) fn new(events: Sender<DriverEvent>, unread: Receiver<DriverEvent>) -> Self {
        Self {
            state: Mutex::new(State {
                term: None,
                terms: 0,
                connections: 0,
                leader: None,
                agents: BTreeMap::new(),
            }),
            events,
            unread,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_leader(&self, leader: Option<String>) {
        self.lock().leader = leader;
    }

    pub(super) fn connected(&self) -> usize {
        let state = self.lock();
        state.agents.values().filter(|a| a.link.is_some()).count()
    }

    pub(super) fn lead(&self, ballot: u64, orders: usize) {
        let mut state = self.lock();
        self.end_term(&mut state);
        let (running, over) = async_channel::bounded(1);
        state.terms += 1;
        let term = Term {
            number: state.terms,
            ballot,
            orders: orders.max(1),
            over,
        };
        state.term = Some((term, running));
    }

    pub(super) fn stand_down(&self) {
        self.end_term(&mut self.lock());
    }

    fn end_term(&self, state: &mut State) {
        if let Some((_, running)) = state.term.take() {
            running.close();
        }
        let agents = std::mem::take(&mut state.agents);
        agents
            .values()
            .filter_map(|a| a.link.as_ref())
            .for_each(|l| l.hangup.hang_up());
        // Events are sent under the lock that is held here: what is unread is all there is.
        while self.unread.try_recv().is_ok() {}
    }

    /// Whether an agent may come in, and in which term.
    pub(super) fn admit(&self, hello: &Hello, silence: Duration) -> Result<Term, Refusal> {
        let state = self.lock();
        let refuse = |reason: String, alarming| {
            Err(Refusal {
                reason,
                leader: state.leader.clone(),
                alarming,
            })
        };
        if hello.version != VERSION {
            let reason = format!(
                "agent {} speaks version {} of the protocol, this scheduler version {VERSION}",
                hello.agent, hello.version
            );
            return refuse(reason, true);
        }
        let Some((term, _)) = &state.term else {
            return refuse("this scheduler does not lead now".to_owned(), false);
        };
        if hello.highest_ballot > term.ballot {
            let reason = format!(
                "agent {} has obeyed a leader with ballot {}, and this one has {}; if the log was \
                 made anew, remove the file 'fence' from the agent's work directory",
                hello.agent, hello.highest_ballot, term.ballot
            );
            return refuse(reason, true);
        }
        if let Some(entry) = state.agents.get(&hello.agent)
            && let Some(link) = &entry.link
            && entry.place != hello.place
            && clock::now().since(entry.heard) < silence
        {
            let reason = format!(
                "agent {} on {} is connected already, from {} on {}: a work directory was copied; \
                 remove the file 'agent_id' from the copy",
                hello.agent, hello.host, link.peer, entry.host
            );
            return refuse(reason, true);
        }
        Ok(term.clone())
    }

    /// An agent is up: takes its connection in place of any earlier one, and announces it, in one step.
    ///
    /// Gives the number of the connection.
    pub(super) fn register(
        &self,
        term: &Term,
        hello: &Hello,
        link: &Link,
        tasks: &[TaskReport],
    ) -> Result<u64, NotSent> {
        let mut state = self.lock();
        if !state.leads(term) {
            return Err(NotSent::Over);
        }
        self.send(DriverEvent::AgentUp {
            offer: offer(hello),
            tasks: tasks.to_vec(),
        })?;
        state.connections += 1;
        let number = state.connections;
        let entry = Entry {
            number,
            session: hello.session,
            place: hello.place.clone(),
            host: hello.host.clone(),
            heard: clock::now(),
            link: Some(link.clone()),
        };
        let old = state.agents.insert(hello.agent.clone(), entry);
        if let Some(old) = old.and_then(|entry| entry.link) {
            old.hangup.hang_up();
        }
        Ok(number)
    }

    fn send(&self, event: DriverEvent) -> Result<(), NotSent> {
        self.events.try_send(event).map_err(|error| match error {
            TrySendError::Full(event) => NotSent::Full(Box::new(event)),
            TrySendError::Closed(_) => NotSent::Over,
        })
    }

    /// Something came on a connection: gives the event on to the scheduler, if there is one.
    pub(super) fn handle_heard(
        &self,
        term: &Term,
        agent: &AgentId,
        number: u64,
        event: Option<DriverEvent>,
    ) -> Result<(), NotSent> {
        let mut state = self.lock();
        let entry = state.entry(term, agent, number).ok_or(NotSent::Over)?;
        entry.heard = clock::now();
        event.map_or(Ok(()), |event| self.send(event))
    }

    /// A connection ended. Says when the agent was heard last, unless it has been replaced.
    pub(super) fn handle_lost(&self, term: &Term, agent: &AgentId, number: u64) -> Option<Instant> {
        let mut state = self.lock();
        let entry = state.entry(term, agent, number)?;
        entry.link = None;
        Some(entry.heard)
    }

    /// Gives an agent up that has not come back.
    pub(super) fn give_up(&self, term: &Term, agent: &AgentId, number: u64) -> Result<(), NotSent> {
        let mut state = self.lock();
        let entry = state.entry(term, agent, number).ok_or(NotSent::Over)?;
        let session = entry.session;
        self.send(DriverEvent::AgentDown {
            agent: agent.clone(),
            session,
        })?;
        state.agents.remove(agent);
        Ok(())
    }

    pub(super) fn command(&self, command: DriverCommand) {
        let mut state = self.lock();
        let Some(ballot) = state.term.as_ref().map(|(term, _)| term.ballot) else {
            log::debug!("an order was dropped: this scheduler does not lead");
            return;
        };
        let (agent, orders) = orders(command);
        let Some(entry) = state.agents.get_mut(&agent) else {
            log::debug!("an order was dropped: agent {agent} is not known");
            return;
        };
        let Some(link) = entry.link.clone() else {
            log::debug!("an order was dropped: agent {agent} is not connected");
            return;
        };
        let mut messages = Vec::with_capacity(orders.len());
        for order in orders {
            if is_for_another_session(&order, entry.session) {
                // The scheduler has not heard of the new session yet, but will: its announcement is in
                // the queue of events, and without this task in it.
                log::debug!("a launch for an earlier session of agent {agent} was dropped");
                continue;
            }
            messages.push(SchedulerMessage::Order { ballot, order });
        }
        if !messages.is_empty() && link.outbox.try_send(messages).is_err() {
            log::warn!("agent {agent} does not take its orders; its connection is dropped");
            entry.link = None;
            link.outbox.close();
            link.hangup.hang_up();
        }
    }
}

impl State {
    fn leads(&self, term: &Term) -> bool {
        self.term
            .as_ref()
            .is_some_and(|(t, _)| t.number == term.number)
    }

    /// The agent, if its present connection is the one with this number.
    fn entry(&mut self, term: &Term, agent: &AgentId, number: u64) -> Option<&mut Entry> {
        if !self.leads(term) {
            return None;
        }
        self.agents.get_mut(agent).filter(|e| e.number == number)
    }
}

fn offer(hello: &Hello) -> AgentOffer {
    AgentOffer {
        agent: hello.agent.clone(),
        session: hello.session,
        host: hello.host.clone(),
        total: hello.total,
        ports: hello.ports.clone(),
        attributes: hello.attributes.clone(),
    }
}

fn is_for_another_session(order: &Order, present: AgentSession) -> bool {
    matches!(order, Order::Launch { session, .. } if *session != present)
}

/// Whom a command concerns, and what is to be said.
fn orders(command: DriverCommand) -> (AgentId, Vec<Order>) {
    match command {
        DriverCommand::Acknowledge { agent, reports } => {
            let order = |(task, sequence)| Order::Acknowledge { sequence, task };
            (agent, reports.into_iter().map(order).collect())
        }
        DriverCommand::Kill { agent, task } => (agent, vec![Order::Kill { task }]),
        DriverCommand::Launch {
            agent,
            session,
            order,
        } => (agent, vec![Order::Launch { order, session }]),
        DriverCommand::Reconcile { agent, tasks } if tasks.is_empty() => {
            (agent, vec![Order::Reconcile { tasks }])
        }
        DriverCommand::Reconcile { agent, tasks } => {
            let part = |tasks: &[_]| Order::Reconcile {
                tasks: tasks.to_vec(),
            };
            (agent, tasks.chunks(TASKS_PER_RECONCILE).map(part).collect())
        }
    }
}
