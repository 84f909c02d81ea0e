//! The links between machines: what becomes of one message.

use crate::clock::Nanos;
use crate::plan::NetworkPlan;
use cores::base::rng::Rng;
use cores::paxos::Message;
use std::time::Duration;

/// One direction between two machines.
#[derive(Debug, Default)]
struct Link {
    /// How many reasons there are for it to be dead.
    cuts: u32,
    /// What it keeps back, if it does.
    held: Option<Vec<Message>>,
    /// When its last message arrives.
    last: Nanos,
}

/// All links.
#[derive(Debug)]
pub struct Network {
    plan: NetworkPlan,
    size: usize,
    links: Vec<Link>,
    /// Whether single messages meet trouble.
    is_rough: bool,
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Network {
    pub fn new(plan: NetworkPlan, size: usize) -> Self {
        let links = (0..size * size).map(|_| Link::default()).collect();
        Self {
            plan,
            size,
            links,
            is_rough: true,
        }
    }

    fn link(&mut self, from: usize, to: usize) -> &mut Link {
        &mut self.links[from * self.size + to]
    }

    /// Messages from `from` to `to` vanish until [`Network::mend`].
    pub fn cut(&mut self, from: usize, to: usize) {
        self.link(from, to).cuts += 1;
    }

    /// Takes one cut back.
    pub fn mend(&mut self, from: usize, to: usize) {
        let link = self.link(from, to);
        link.cuts = link.cuts.saturating_sub(1);
    }

    /// Keeps messages back until [`Network::release`].
    pub fn hold(&mut self, from: usize, to: usize) {
        self.link(from, to).held.get_or_insert_default();
    }

    /// What was kept back.
    pub fn release(&mut self, from: usize, to: usize) -> Vec<Message> {
        self.link(from, to).held.take().unwrap_or_default()
    }

    /// Everything works from now on. Gives what was kept back.
    pub fn heal(&mut self) -> Vec<(usize, Message)> {
        self.is_rough = false;
        let mut released = Vec::new();
        let size = self.size;
        for (index, link) in self.links.iter_mut().enumerate() {
            link.cuts = 0;
            let held = link.held.take().unwrap_or_default();
            released.extend(held.into_iter().map(|message| (index % size, message)));
        }
        released
    }

    /// Trouble may begin again.
    pub fn roughen(&mut self) {
        self.is_rough = true;
    }

    /// Whether a message now would pass.
    pub fn is_open(&self, from: usize, to: usize) -> bool {
        let link = &self.links[from * self.size + to];
        link.cuts == 0 && link.held.is_none()
    }

    /// When the message arrives: never, once or twice.
    pub fn send(
        &mut self,
        now: Nanos,
        from: usize,
        to: usize,
        message: &Message,
        rng: &mut Rng,
    ) -> [Option<Nanos>; 2] {
        let is_rough = self.is_rough;
        let plan = &self.plan;
        let chance = |rng: &mut Rng, per_mille: u64| is_rough && rng.below(1000) < per_mille;
        let is_lost = chance(rng, plan.lost_per_mille);
        let is_doubled = chance(rng, plan.doubled_per_mille);
        let mut arrival = || {
            let (low, high) = plan.delay;
            let mut delay = rng.duration(low, high);
            if chance(rng, plan.slow_per_mille) {
                delay += rng.duration(Duration::ZERO, plan.slow);
            }
            now + nanos(delay)
        };
        let (first, second) = (arrival(), is_doubled.then(&mut arrival));
        let is_fifo = plan.is_fifo;
        let link = self.link(from, to);
        if link.cuts > 0 || is_lost {
            return [None, None];
        }
        if let Some(held) = &mut link.held {
            held.push(message.clone());
            return [None, None];
        }
        let first = if is_fifo { first.max(link.last) } else { first };
        link.last = first;
        [Some(first), second]
    }
}
