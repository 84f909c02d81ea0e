//! What could be freed on each machine, kept up to date task by task.

use super::victims::Eligible;
use crate::domain::placement::Machine;
use crate::domain::tier::Tiers;
use crate::model::{AgentId, Resources, ScheduledTask, TaskConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a task holds of a machine, its executor's share included.
pub(super) fn cost(config: &TaskConfig, overhead: Resources) -> Resources {
    match config.executor.is_some() {
        true => config.resources.plus(overhead),
        false => config.resources,
    }
}

/// What some tasks hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    sum: Resources,
    tasks: u32,
}

impl Held {
    fn add(&mut self, amount: Resources) {
        self.sum = self.sum.plus(amount);
        self.tasks += 1;
    }

    /// Whether nothing is left.
    fn take(&mut self, amount: Resources) -> bool {
        self.sum = self.sum.minus(amount);
        self.tasks = self.tasks.saturating_sub(1);
        self.tasks == 0
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OnAgent {
    /// All that the machine gives; nothing while it is not connected.
    total: Resources,
    used: Held,
    preemptible: Held,
}

/// Tasks of one role that are all preemptible or all not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OfRole {
    priorities: BTreeMap<i32, u32>,
    agents: BTreeMap<AgentId, Held>,
}

/// What could be freed where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    tiers: Tiers,
    overhead: Resources,
    agents: BTreeMap<AgentId, OnAgent>,
    roles: BTreeMap<(Arc<str>, bool), OfRole>,
}

/// Who looks for room.
#[derive(Clone, Copy, Debug)]
pub struct Seeker<'a> {
    /// The task that waits.
    pub config: &'a TaskConfig,
    /// What it needs, its executor's share included.
    pub need: Resources,
    /// The only machines that come into question, if that is known.
    pub only: Option<&'a BTreeSet<AgentId>>,
    /// Machines behind this one come first.
    pub after: Option<&'a AgentId>,
}

impl Index {
    /// An index of nothing. `overhead` is what an executor takes.
    pub fn new(tiers: Tiers, overhead: Resources) -> Self {
        Self {
            tiers,
            overhead,
            agents: BTreeMap::new(),
            roles: BTreeMap::new(),
        }
    }

    /// The tiers it judges by.
    pub fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// Takes what a machine gives now.
    pub fn set_machine(&mut self, machine: &Machine) {
        let total = match machine.connected {
            true => machine.total,
            false => Resources::default(),
        };
        self.agents.entry(machine.agent.clone()).or_default().total = total;
    }

    /// A machine gives nothing for now.
    pub fn disconnect(&mut self, agent: &AgentId) {
        if let Some(on_agent) = self.agents.get_mut(agent) {
            on_agent.total = Resources::default();
        }
    }

    /// Takes a change of a task.
    pub fn change(&mut self, before: Option<&ScheduledTask>, after: Option<&ScheduledTask>) {
        let place = |task: Option<&ScheduledTask>| {
            let task = task.filter(|task| task.status.is_assigned());
            task.and_then(|task| task.agent.clone())
        };
        if place(before) == place(after) {
            return;
        }
        if let (Some(task), Some(agent)) = (before, place(before)) {
            self.remove(&task.config, &agent);
        }
        if let (Some(task), Some(agent)) = (after, place(after)) {
            self.add(&task.config, &agent);
        }
    }

    fn add(&mut self, config: &TaskConfig, agent: &AgentId) {
        let amount = cost(config, self.overhead);
        let preemptible = Eligible::tier(&self.tiers, config).preemptible;
        let on_agent = self.agents.entry(agent.clone()).or_default();
        on_agent.used.add(amount);
        if preemptible {
            on_agent.preemptible.add(amount);
        }
        let key = (Arc::from(config.job.role()), preemptible);
        let of_role = self.roles.entry(key).or_default();
        *of_role.priorities.entry(config.priority).or_default() += 1;
        let held = of_role.agents.entry(agent.clone()).or_default();
        held.add(amount);
    }

    fn remove(&mut self, config: &TaskConfig, agent: &AgentId) {
        let amount = cost(config, self.overhead);
        let preemptible = Eligible::tier(&self.tiers, config).preemptible;
        if let Some(on_agent) = self.agents.get_mut(agent) {
            on_agent.used.take(amount);
            if preemptible {
                on_agent.preemptible.take(amount);
            }
        }
        let key = (Arc::from(config.job.role()), preemptible);
        let Some(of_role) = self.roles.get_mut(&key) else {
            return;
        };
        if let Some(count) = of_role.priorities.get_mut(&config.priority) {
            *count -= 1;
            if *count == 0 {
                of_role.priorities.remove(&config.priority);
            }
        }
        if of_role
            .agents
            .get_mut(agent)
            .is_some_and(|held| held.take(amount))
        {
            of_role.agents.remove(agent);
        }
        if of_role.agents.is_empty() {
            self.roles.remove(&key);
        }
    }

    /// The machines on which all possible victims together might be enough, each once.
    pub fn candidates<'a>(&'a self, seeker: &Seeker<'a>) -> Vec<&'a AgentId> {
        let preemptible = Eligible::tier(&self.tiers, seeker.config).preemptible;
        let role: Arc<str> = Arc::from(seeker.config.job.role());
        let of_role = self.roles.get(&(role, preemptible)).filter(|of_role| {
            let lowest = of_role.priorities.first_key_value();
            lowest.is_some_and(|(lowest, _)| *lowest < seeker.config.priority)
        });
        if preemptible && of_role.is_none() {
            return Vec::new();
        }
        let fits = |agent: &AgentId, on_agent: &OnAgent| {
            let mut room = on_agent.total.minus(on_agent.used.sum);
            // Ports stop at zero when subtracted; victims' ports come on top all the same.
            if !preemptible {
                room = room.plus(on_agent.preemptible.sum);
            }
            if !room.fits(&seeker.need)
                && let Some(held) = of_role.and_then(|of_role| of_role.agents.get(agent))
            {
                room = room.plus(held.sum);
            }
            on_agent.total.fits(&seeker.need) && room.fits(&seeker.need)
        };
        let mut found: Vec<&AgentId> = match (seeker.only, of_role) {
            (Some(only), _) => {
                let known = only
                    .iter()
                    .filter_map(|agent| self.agents.get_key_value(agent));
                known
                    .filter(|(a, on)| fits(a, on))
                    .map(|(a, _)| a)
                    .collect()
            }
            (None, Some(of_role)) if preemptible => {
                let known = of_role.agents.keys();
                let known = known.filter_map(|agent| self.agents.get_key_value(agent));
                known
                    .filter(|(a, on)| fits(a, on))
                    .map(|(a, _)| a)
                    .collect()
            }
            (None, _) => {
                let all = self.agents.iter();
                all.filter(|(a, on)| fits(a, on)).map(|(a, _)| a).collect()
            }
        };
        if let Some(after) = seeker.after {
            let start = found.partition_point(|agent| *agent <= after);
            found.rotate_left(start);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::domain::fixture;
    use crate::model::{AgentSession, JobKey, MilliCpus, Ports, ScheduleStatus};

    fn agent(number: u64) -> AgentId {
        AgentId::new(&format!("a{number}"))
    }

    fn machine(number: u64) -> Machine {
        Machine {
            agent: agent(number),
            session: AgentSession(1),
            host: format!("h{number}").into(),
            total: Resources {
                cpus: MilliCpus(8_000),
                ram_mb: 1_000,
                ..Resources::default()
            },
            ports: Ports::default(),
            attributes: Vec::new(),
            mode: Default::default(),
            connected: true,
        }
    }

    fn random_config(rng: &mut Rng) -> TaskConfig {
        let tier = ["preferred", "preemptible", "revocable"][rng.index(3)];
        let role = ["x", "y"][rng.index(2)];
        let (cpus, priority) = (500 * (1 + rng.below(6)), rng.below(3));
        fixture::config("j", |c| {
            c.job = JobKey::new(role, "e", "j").unwrap();
            c.tier = Some(tier.to_owned());
            c.priority = i32::try_from(priority).unwrap();
            c.resources.cpus = MilliCpus(i64::try_from(cpus).unwrap());
        })
    }

    /// No machine on which victims can be found is passed over, and the sums are those of the tasks.
    #[test]
    fn candidates_hold_every_machine_on_which_victims_are_enough() {
        for seed in 0..200 {
            let rng = &mut Rng::from_seed(seed);
            let mut index = Index::new(Tiers::default(), Resources::default());
            let mut tasks: Vec<Arc<ScheduledTask>> = Vec::new();
            for number in 0..6 {
                index.set_machine(&machine(number));
            }
            for instance in 0..60 {
                if rng.one_in(3) && !tasks.is_empty() {
                    let gone = tasks.swap_remove(rng.index(tasks.len()));
                    index.change(Some(&gone), None);
                    continue;
                }
                let mut task = fixture::task(instance, ScheduleStatus::Running, 0, |_| {});
                let new = Arc::make_mut(&mut task);
                new.config = Arc::new(random_config(rng));
                new.agent = Some(agent(rng.below(6)));
                index.change(None, Some(&task));
                tasks.push(task);
            }
            let mut waiting = random_config(rng);
            waiting.resources.cpus = MilliCpus(4_000);
            let need = waiting.resources;
            let seeker = Seeker {
                config: &waiting,
                need,
                only: None,
                after: Some(&agent(rng.below(6))),
            };
            let found = index.candidates(&seeker);
            for number in 0..6 {
                let here = || tasks.iter().filter(|t| t.agent == Some(agent(number)));
                let used = here().fold(Resources::default(), |sum, t| sum.plus(t.config.resources));
                let eligible = Eligible {
                    waiting: &waiting,
                    tiers: &Tiers::default(),
                };
                let free = machine(number).total.minus(used);
                let freed = |victim: &TaskConfig| cost(victim, Resources::default());
                let victims = super::super::choose(&eligible, &need, free, here(), freed);
                let listed = found.iter().filter(|a| ***a == agent(number)).count();
                let anybody = here().any(|task| eligible.takes(&task.config));
                if victims.is_some() && anybody {
                    assert_eq!(listed, 1, "seed {seed}, machine {number}");
                }
                assert!(listed <= 1);
            }
            for task in tasks.drain(..) {
                index.change(Some(&task), None);
            }
            assert!(index.roles.is_empty(), "seed {seed}");
            let empty =
                |on: &OnAgent| on.used == Held::default() && on.preemptible == Held::default();
            assert!(index.agents.values().all(empty), "seed {seed}");
        }
    }

    #[test]
    fn machines_that_are_away_or_out_of_the_question_are_not_candidates() {
        let mut index = Index::new(Tiers::default(), Resources::default());
        for number in 0..3 {
            index.set_machine(&machine(number));
            let mut task = fixture::task(0, ScheduleStatus::Running, 0, |_| {});
            Arc::make_mut(&mut task).agent = Some(agent(number));
            index.change(None, Some(&task));
        }
        index.disconnect(&agent(1));
        let waiting = fixture::config("w", |c| c.tier = Some("preferred".into()));
        let mut seeker = Seeker {
            config: &waiting,
            need: waiting.resources,
            only: None,
            after: None,
        };
        assert_eq!(index.candidates(&seeker), [&agent(0), &agent(2)]);
        let last = agent(0);
        seeker.after = Some(&last);
        assert_eq!(index.candidates(&seeker), [&agent(2), &agent(0)]);
        let only = BTreeSet::from([agent(1), agent(2)]);
        seeker.only = Some(&only);
        assert_eq!(index.candidates(&seeker), [&agent(2)]);
    }
}
