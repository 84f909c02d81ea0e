//! The machines, in the order in which they last changed.
//!
//! A group of equal tasks that a machine was refused to need not look at it again before it changes. As
//! the book is ordered by change, a group remembers one number, up to which all machines are refused,
//! instead of a list of bans: an attempt looks at what changed since, not at the cluster. Placing a task
//! changes its machine, which so moves to the end: tasks spread over the machines in turn.
//!
//! Most changes are such, and make no machine better for anyone: a second number says when a machine last
//! changed in any other way, and a group that every machine has refused looks only at those that did since.
//! Before, every task that was placed had all waiting groups look at its machine: 1,000 groups in vain took
//! nine tenths of the placing of others (`cargo bench --bench placement`, `unschedulable_100k_cost_percent`).
//!
//! A limit that a job sets may end without a change of the machine, when one of its tasks leaves another
//! machine. Whoever searches compares its counts with those of its last search, and begins anew where they
//! have fallen. Before, such refusals were not remembered at all, and each attempt looked at every machine.
//!
//! Nothing here but [`Book::iter`] looks at all machines. (A search by name did, once for each machine that
//! came: quadratic.)

use super::order::{OfferOrder, Ranked};
use super::veto::{Demand, Host, Limits, NearestFit, VetoKind, evaluate};
use crate::model::{
    AgentId, AgentSession, Attribute, ConstraintKind, MaintenanceMode, Ports, Resources, TaskConfig,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Up to so many machines are named one by one.
const FEW_MACHINES: usize = 1_000;

/// Up to so many machines that changed are put in order by themselves.
const FEW_CHANGES: usize = 64;

/// A machine that offers itself, or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its agent.
    pub agent: AgentId,
    /// The agent's present run.
    pub session: AgentSession,
    /// Its name.
    pub host: Arc<str>,
    /// All that it gives to tasks.
    pub total: Resources,
    /// The ports it gives out.
    pub ports: Ports,
    /// Its properties.
    pub attributes: Vec<Attribute>,
    /// How far it is out of service.
    pub mode: MaintenanceMode,
    /// Whether it is connected.
    pub connected: bool,
}

/// All machines.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// In the order in which they came. None is ever forgotten: that would give its place to another.
    machines: Vec<(Changed, Machine)>,
    places: BTreeMap<AgentId, usize>,
    /// The connected ones by when they last changed, with when that was for the better.
    by_change: BTreeMap<u64, (u64, usize)>,
    /// The connected ones by when they last changed in another way than by being given a task.
    by_better: BTreeMap<u64, usize>,
    changes: u64,
    /// The agents of each machine by its name.
    by_host: BTreeMap<Arc<str>, BTreeSet<AgentId>>,
    /// The machines with each value of each attribute.
    by_attribute: BTreeMap<String, BTreeMap<String, BTreeSet<AgentId>>>,
}

/// When a machine has changed; zero while it is not connected.
#[derive(Clone, Copy, Debug, Default)]
struct Changed {
    last: u64,
    /// In another way than by being given a task.
    better: u64,
}

/// What a search of the book came to.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// Machines that changed up to here are refused, as far as refusals last.
    pub seen: u64,
    /// Machines that have not changed for the better since are refused, as far as refusals last.
    pub refused: u64,
    /// The refusals met, by kind.
    pub refusals: BTreeMap<VetoKind, Refusals>,
    /// How many machines were looked at.
    pub evaluated: u64,
}

/// How often machines refused for reasons of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Machines that did.
    pub machines: u64,
    /// Their vetoes: one for each resource that is short.
    pub vetoes: u64,
}

/// What is searched for.
#[derive(Clone, Copy)]
pub struct Search<'a, F, S> {
    /// The task.
    pub demand: Demand<'a>,
    /// The counts of its job, if it limits any.
    pub limits: Option<&'a Limits>,
    /// What a machine has left.
    pub free: F,
    /// Machines that must not be taken now; to end that, [`Book::touch`] them.
    pub skip: S,
    /// Which of those that do is taken; if empty, the one that has not changed for longest.
    pub order: &'a [OfferOrder],
    /// What a machine has left of each kind, for the order alone.
    pub rank: &'a dyn Fn(&Machine) -> (Resources, Resources),
}

impl<F, S> Search<'_, F, S> {
    /// Whether a machine comes before one that was found earlier; those about to leave come last.
    fn prefers(&self, new: (bool, &Machine), known: (bool, &Machine)) -> bool {
        let ranked = |machine| {
            let (free, revocable) = (self.rank)(machine);
            Ranked {
                agent: &machine.agent,
                free,
                revocable,
            }
        };
        let by_order = || {
            let (new, known) = (ranked(new.1), ranked(known.1));
            OfferOrder::compare(self.order, &new, &known)
        };
        new.0.cmp(&known.0).then_with(by_order).is_lt()
    }
}

impl Book {
    /// Enters a machine, or takes its new data.
    pub fn put(&mut self, machine: Machine) {
        let agent = machine.agent.clone();
        let old = self.get(&agent).map(|old| &old.attributes);
        if old != Some(&machine.attributes) {
            let old = old.cloned().unwrap_or_default();
            self.index_attributes(&agent, &old, false);
            self.index_attributes(&agent, &machine.attributes, true);
        }
        let host = Arc::clone(&machine.host);
        let entry = (Changed::default(), machine);
        if let Some(place) = self.places.get(&agent) {
            let (at, old) = std::mem::replace(&mut self.machines[*place], entry);
            self.by_change.remove(&at.last);
            self.by_better.remove(&at.better);
            if old.host != host
                && let Some(agents) = self.by_host.get_mut(&old.host)
            {
                agents.remove(&agent);
                if agents.is_empty() {
                    self.by_host.remove(&old.host);
                }
            }
        } else {
            self.places.insert(agent.clone(), self.machines.len());
            self.machines.push(entry);
        }
        self.by_host.entry(host).or_default().insert(agent.clone());
        self.touch(&agent);
    }

    /// The machine of an agent.
    pub fn get(&self, agent: &AgentId) -> Option<&Machine> {
        self.places.get(agent).map(|place| &self.machines[*place].1)
    }

    /// All machines by agent.
    pub fn iter(&self) -> impl Iterator<Item = &Machine> {
        self.places.values().map(|place| &self.machines[*place].1)
    }

    /// Marks a machine as no longer connected: it is not offered, but its data stay.
    pub fn disconnect(&mut self, agent: &AgentId) {
        if let Some(place) = self.places.get(agent) {
            let (at, machine) = &mut self.machines[*place];
            machine.connected = false;
            self.by_change.remove(&at.last);
            self.by_better.remove(&at.better);
            *at = Changed::default();
        }
    }

    /// How far each machine of this name is out of service.
    pub fn set_mode(&mut self, host: &str, mode: MaintenanceMode) {
        let agents = self.by_host.get(host).cloned().unwrap_or_default();
        for agent in &agents {
            if let Some(place) = self.places.get(agent) {
                self.machines[*place].1.mode = mode;
            }
        }
        agents.iter().for_each(|agent| self.touch(agent));
    }

    /// Something about the machine changed, so that whoever was refused may try again.
    pub fn touch(&mut self, agent: &AgentId) {
        let Some(place) = self.places.get(agent) else {
            return;
        };
        let (at, machine) = &mut self.machines[*place];
        if !machine.connected {
            return;
        }
        self.by_change.remove(&at.last);
        self.by_better.remove(&at.better);
        self.changes += 1;
        (at.last, at.better) = (self.changes, self.changes);
        self.by_change.insert(self.changes, (self.changes, *place));
        self.by_better.insert(self.changes, *place);
    }

    /// The machine was given a task: it moves to the end, and is no better for anyone.
    pub fn note_placed(&mut self, agent: &AgentId) {
        let Some(place) = self.places.get(agent) else {
            return;
        };
        let (at, machine) = &mut self.machines[*place];
        if machine.connected
            && let Some(entry) = self.by_change.remove(&at.last)
        {
            self.changes += 1;
            at.last = self.changes;
            self.by_change.insert(self.changes, entry);
        }
    }

    /// The machines that changed after `seen`, and for the better after `refused`, in the order of their
    /// last changes, with the number of that.
    fn changed(&self, seen: u64, refused: u64) -> impl Iterator<Item = (u64, &Machine)> {
        let get = |place: &usize| &self.machines[*place];
        let better = self.by_better.range(refused + 1..).map(|(_, place)| place);
        let mut few: Vec<(u64, &Machine)> = match refused {
            0 => Vec::new(),
            _ => better
                .take(FEW_CHANGES + 1)
                .map(get)
                .map(|(at, machine)| (at.last, machine))
                .collect(),
        };
        let are_few = refused > 0 && few.len() <= FEW_CHANGES;
        if are_few {
            few.retain(|(at, _)| *at > seen);
            few.sort_unstable_by_key(|(at, _)| *at);
        } else {
            few.clear();
        }
        let all = self.by_change.range(seen + 1..);
        let open = all.filter(move |(_, (better, _))| *better > refused);
        let open = open.map(move |(at, (_, place))| (*at, &get(place).1));
        few.into_iter()
            .chain((!are_few).then_some(open).into_iter().flatten())
    }

    /// The number of the latest change.
    pub fn latest(&self) -> u64 {
        self.changes
    }

    /// How many machines are connected.
    pub fn connected(&self) -> usize {
        self.by_change.len()
    }

    /// The only machines that come into question by what the task demands of attributes; `None` if that
    /// may be many.
    pub fn only(&self, config: &TaskConfig) -> Option<BTreeSet<AgentId>> {
        let none = BTreeSet::new();
        let demanded = config.constraints.iter().filter_map(|constraint| {
            let ConstraintKind::Value {
                negated: false,
                values,
            } = &constraint.kind
            else {
                return None;
            };
            let named = self.by_attribute.get(&constraint.name);
            let of_value = |value| named.and_then(|named| named.get(value)).unwrap_or(&none);
            let sets: Vec<&BTreeSet<AgentId>> = values.iter().map(of_value).collect();
            let count: usize = sets.iter().map(|set| set.len()).sum();
            Some((count, sets))
        });
        let (count, sets) = demanded.min_by_key(|(count, _)| *count)?;
        let few = count <= FEW_MACHINES;
        few.then(|| sets.into_iter().flatten().cloned().collect())
    }

    fn index_attributes(&mut self, agent: &AgentId, attributes: &[Attribute], present: bool) {
        for attribute in attributes {
            let named = self.by_attribute.entry(attribute.name.clone()).or_default();
            for value in &attribute.values {
                let agents = named.entry(value.clone()).or_default();
                match present {
                    true => agents.insert(agent.clone()),
                    false => agents.remove(agent),
                };
                if agents.is_empty() {
                    named.remove(value);
                }
            }
        }
    }

    /// Finds a machine for a task among those that changed after `scan.seen`.
    ///
    /// Machines that will soon be out of service are taken only if no other does. Where `search.limits` count
    /// less than in an earlier search, its refusals are worth nothing: see [`Limits::is_below`].
    pub fn find<F, S>(
        &self,
        search: &Search<'_, F, S>,
        nearest: &mut NearestFit,
        scan: &mut Scan,
    ) -> Option<&Machine>
    where
        F: Fn(&Machine) -> Resources,
        S: Fn(&Machine) -> bool,
    {
        let mut last_resort: Option<(bool, &Machine)> = None;
        for (at, machine) in self.changed(scan.seen, scan.refused) {
            if (search.skip)(machine) {
                // Lasting, as a machine that is no longer kept for others counts as changed.
                if last_resort.is_none() {
                    scan.seen = at;
                }
                continue;
            }
            scan.evaluated += 1;
            let host = Host {
                attributes: &machine.attributes,
                mode: machine.mode,
            };
            let free = || (search.free)(machine);
            let Some(refusal) = evaluate(&search.demand, &host, search.limits, free) else {
                let is_leaving = machine.mode != MaintenanceMode::None;
                if !is_leaving && search.order.is_empty() {
                    return Some(machine);
                }
                let is_first =
                    last_resort.is_none_or(|known| search.prefers((is_leaving, machine), known));
                if is_first {
                    last_resort = Some((is_leaving, machine));
                }
                continue;
            };
            let met = scan.refusals.entry(refusal.kind()).or_default();
            met.machines += 1;
            met.vetoes += refusal.count() as u64;
            // Only an unbroken run of refusals may be skipped the next time.
            if last_resort.is_none() {
                scan.seen = at;
            }
            nearest.offer(&refusal);
        }
        if last_resort.is_none() {
            scan.refused = self.changes;
        }
        last_resort.map(|(_, machine)| machine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Constraint, Container, JobKey, MilliCpus};

    fn machine(name: &str, mode: MaintenanceMode) -> Machine {
        Machine {
            agent: AgentId::new(name),
            session: AgentSession(1),
            host: name.into(),
            total: Resources::default(),
            ports: Ports::default(),
            attributes: Vec::new(),
            mode,
            connected: true,
        }
    }

    fn config() -> TaskConfig {
        TaskConfig {
            job: JobKey::new("r", "e", "j").unwrap(),
            owner: None,
            is_service: true,
            priority: 0,
            max_task_failures: 1,
            production: false,
            tier: None,
            resources: Resources::default(),
            port_names: BTreeSet::new(),
            names_gpus: false,
            constraints: BTreeSet::new(),
            fetcher_uris: BTreeSet::new(),
            task_links: BTreeMap::new(),
            contact_email: None,
            executor: None,
            metadata: BTreeSet::new(),
            partition_policy: None,
            sla_policy: None,
            container: Container::default(),
        }
    }

    /// The machine found for a task of so many cores, where each machine has one.
    fn find(book: &Book, cores: i64, scan: &mut Scan) -> Option<String> {
        let (config, one) = (config(), MilliCpus(1_000));
        let of = |cpus| Resources {
            cpus,
            ..Resources::default()
        };
        let demand = Demand {
            config: &config,
            need: of(MilliCpus(cores * 1_000)),
        };
        let search = Search {
            demand,
            limits: None,
            free: |_: &Machine| of(one),
            skip: |machine: &Machine| machine.agent.as_str() == "kept",
            order: &[],
            rank: &|_: &Machine| Default::default(),
        };
        let found = book.find(&search, &mut NearestFit::default(), scan);
        found.map(|machine| machine.host.to_string())
    }

    #[test]
    fn a_machine_that_refused_is_not_asked_again_until_it_changes() {
        let mut book = Book::default();
        for name in ["a", "b", "c"] {
            book.put(machine(name, MaintenanceMode::None));
        }
        let mut scan = Scan::default();
        assert_eq!(find(&book, 2, &mut scan), None);
        assert_eq!((scan.evaluated, scan.seen), (3, book.latest()));
        assert_eq!(find(&book, 2, &mut scan), None);
        assert_eq!(scan.evaluated, 3);
        book.touch(&AgentId::new("b"));
        assert_eq!(find(&book, 1, &mut scan), Some("b".to_owned()));
        assert_eq!(scan.evaluated, 4);
    }

    #[test]
    fn who_was_refused_by_all_does_not_look_at_machines_that_were_given_tasks() {
        let mut book = Book::default();
        let names: Vec<String> = (0..200).map(|n| format!("m{n:03}")).collect();
        for name in &names {
            book.put(machine(name, MaintenanceMode::None));
        }
        let mut scan = Scan::default();
        assert_eq!(find(&book, 2, &mut scan), None);
        assert_eq!((scan.evaluated, scan.refused), (200, book.latest()));
        for name in &names {
            book.note_placed(&AgentId::new(name));
        }
        assert_eq!(find(&book, 1, &mut scan), None);
        assert_eq!(scan.evaluated, 200, "none of them is any better");
        // What else happens to one counts, however often it was given a task before or after.
        book.touch(&AgentId::new("m007"));
        book.note_placed(&AgentId::new("m003"));
        book.note_placed(&AgentId::new("m007"));
        assert_eq!(find(&book, 1, &mut scan), Some("m007".to_owned()));
        // Also where many did: in the order of their last changes.
        for name in names.iter().rev() {
            book.touch(&AgentId::new(name));
        }
        book.note_placed(&AgentId::new("m199"));
        assert_eq!(find(&book, 1, &mut scan), Some("m198".to_owned()));
        // And whoever is new may take any.
        assert_eq!(
            find(&book, 1, &mut Scan::default()),
            Some("m198".to_owned())
        );
        book.disconnect(&AgentId::new("m198"));
        assert_eq!(find(&book, 1, &mut scan), Some("m197".to_owned()));
    }

    #[test]
    fn a_machine_that_is_kept_for_others_is_looked_at_once_it_is_not() {
        let mut book = Book::default();
        book.put(machine("kept", MaintenanceMode::None));
        let mut scan = Scan::default();
        assert_eq!(find(&book, 1, &mut scan), None);
        assert_eq!((scan.evaluated, scan.seen), (0, book.latest()));
        book.touch(&AgentId::new("kept"));
        assert!(scan.seen < book.latest());
    }

    #[test]
    fn demands_on_attributes_name_the_machines_that_come_into_question() {
        let mut book = Book::default();
        let with = |name: &str, racks: &[&str]| Machine {
            attributes: vec![Attribute {
                name: "rack".into(),
                values: racks.iter().map(|rack| (*rack).to_owned()).collect(),
            }],
            ..machine(name, MaintenanceMode::None)
        };
        book.put(with("a", &["1"]));
        book.put(with("b", &["1", "2"]));
        book.put(with("c", &["3"]));
        let only = |book: &Book, values: &[&str], negated| {
            let mut config = config();
            config.constraints.insert(Constraint {
                name: "rack".into(),
                kind: ConstraintKind::Value {
                    negated,
                    values: values.iter().map(|value| (*value).to_owned()).collect(),
                },
            });
            let agents = book.only(&config)?;
            Some(
                agents
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(","),
            )
        };
        assert_eq!(only(&book, &["1"], false).as_deref(), Some("a,b"));
        assert_eq!(only(&book, &["2", "3"], false).as_deref(), Some("b,c"));
        assert_eq!(only(&book, &["4"], false).as_deref(), Some(""));
        assert_eq!(only(&book, &["1"], true), None);
        book.put(with("b", &["3"]));
        assert_eq!(only(&book, &["1"], false).as_deref(), Some("a"));
        assert_eq!(only(&book, &["3"], false).as_deref(), Some("b,c"));
    }

    #[test]
    fn machines_take_turns_and_those_about_to_leave_come_last() {
        let mut book = Book::default();
        book.put(machine("leaving", MaintenanceMode::Scheduled));
        book.put(machine("a", MaintenanceMode::None));
        book.put(machine("b", MaintenanceMode::None));
        let mut turns = Vec::new();
        for _ in 0..4 {
            let name = find(&book, 1, &mut Scan::default()).unwrap();
            book.touch(&AgentId::new(&name));
            turns.push(name);
        }
        assert_eq!(turns, ["a", "b", "a", "b"]);
        book.disconnect(&AgentId::new("a"));
        book.set_mode("b", MaintenanceMode::Drained);
        assert_eq!(
            find(&book, 1, &mut Scan::default()),
            Some("leaving".to_owned())
        );
        assert_eq!(book.connected(), 2);
    }
}
