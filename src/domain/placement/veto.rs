//! Why a machine does not do for a task.

use crate::model::{Attribute, ConstraintKind, MaintenanceMode, Resources, TaskConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What a task asks of a machine.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// The task.
    pub config: &'a TaskConfig,
    /// What it needs, its executor's share included.
    pub need: Resources,
}

/// A machine as a candidate.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    /// Its properties.
    pub attributes: &'a [Attribute],
    /// How far it is out of service.
    pub mode: MaintenanceMode,
}

impl Host<'_> {
    /// The values of all attributes of this name, together.
    fn values<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b String> + 'b {
        let named = self.attributes.iter().filter(move |a| a.name == name);
        named.flat_map(|a| &a.values)
    }
}

/// How many tasks of one job hold resources on machines with each attribute value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits(BTreeMap<String, BTreeMap<String, i64>>);

impl Limits {
    /// Counts for the attributes that the task limits; `None` if it limits none.
    pub fn of(config: &TaskConfig) -> Option<Self> {
        let limited = config.constraints.iter();
        let limited = limited.filter(|c| matches!(c.kind, ConstraintKind::Limit(_)));
        let names: BTreeMap<_, _> = limited.map(|c| (c.name.clone(), BTreeMap::new())).collect();
        (!names.is_empty()).then_some(Self(names))
    }

    /// Counts one more task of the job on a machine with these attributes.
    pub fn add(&mut self, attributes: &[Attribute]) {
        for attribute in attributes {
            if let Some(counts) = self.0.get_mut(&attribute.name) {
                for value in &attribute.values {
                    *counts.entry(value.clone()).or_default() += 1;
                }
            }
        }
    }

    /// Whether it counts less than `before` anywhere: what was refused by those counts may be refused no more.
    pub fn is_below(&self, before: &Self) -> bool {
        let mut counts = before.0.iter().flat_map(|(name, counts)| {
            let counts = counts.iter();
            counts.map(move |(value, count)| (name, value, *count))
        });
        counts.any(|(name, value, count)| self.count(name, value) < count)
    }

    fn count(&self, name: &str, value: &str) -> i64 {
        let counts = self.0.get(name);
        counts.and_then(|c| c.get(value)).copied().unwrap_or(0)
    }
}

/// The kinds of veto.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VetoKind {
    /// A constraint does not hold.
    ConstraintMismatch,
    /// The machine is for others.
    DedicatedMismatch,
    /// Too little of a resource.
    InsufficientResources,
    /// Enough tasks of the job are there.
    LimitNotSatisfied,
    /// The machine is being taken out of service.
    Maintenance,
}

impl VetoKind {
    /// Whether it can end without a change of the machine: when a task of the job leaves another one.
    pub fn is_dynamic(self) -> bool {
        self == Self::LimitNotSatisfied
    }

    /// The name of its counter.
    pub fn counter(self) -> &'static str {
        match self {
            Self::ConstraintMismatch => "scheduling_veto_constraint_mismatch",
            Self::DedicatedMismatch => "scheduling_veto_dedicated_constraint_mismatch",
            Self::InsufficientResources => "scheduling_veto_insufficient_resources",
            Self::LimitNotSatisfied => "scheduling_veto_limit_not_satisfied",
            Self::Maintenance => "scheduling_veto_maintenance",
        }
    }
}

/// One reason why a machine does not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veto {
    /// Its kind.
    pub kind: VetoKind,
    /// For people.
    pub reason: String,
    /// How far the machine is from doing; higher is farther.
    pub score: i64,
}

/// Why a machine does not do: the first category of which there is anything.
///
/// A search refuses thousands of machines and tells of one: so this holds no text of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// The machine is for others.
    Dedicated,
    /// The machine is empty, to be out of service.
    Drained,
    /// The machine is being emptied.
    Draining,
    /// Enough tasks of the job are where this attribute says.
    Limit(&'a str),
    /// The constraint on this attribute does not hold.
    Mismatch(&'a str),
    /// Too little of some resource.
    Short {
        /// What the task needs.
        need: Resources,
        /// What the machine has left.
        free: Resources,
    },
}

impl Refusal<'_> {
    /// The kind of its vetoes, which are all of one.
    pub fn kind(&self) -> VetoKind {
        match self {
            Self::Dedicated => VetoKind::DedicatedMismatch,
            Self::Drained | Self::Draining => VetoKind::Maintenance,
            Self::Limit(_) => VetoKind::LimitNotSatisfied,
            Self::Mismatch(_) => VetoKind::ConstraintMismatch,
            Self::Short { .. } => VetoKind::InsufficientResources,
        }
    }

    /// How many vetoes it is.
    pub fn count(&self) -> usize {
        match self {
            Self::Short { need, free } => missing(need, free).count(),
            _ => 1,
        }
    }

    /// The sum of their scores.
    fn score(&self) -> i64 {
        match self {
            Self::Dedicated => 1_000_000,
            Self::Drained | Self::Draining => 100_000,
            Self::Limit(_) | Self::Mismatch(_) => 10_000,
            Self::Short { need, free } => missing(need, free).map(|(_, score)| score).sum(),
        }
    }

    /// Its vetoes, for people.
    pub fn vetoes(&self) -> Vec<Veto> {
        let kind = self.kind();
        let one = |reason: String| {
            vec![Veto {
                kind,
                reason,
                score: self.score(),
            }]
        };
        match self {
            Self::Dedicated => one("Host is dedicated".to_owned()),
            Self::Drained => one("Host drained for maintenance".to_owned()),
            Self::Draining => one("Host draining for maintenance".to_owned()),
            Self::Limit(name) => one(format!("Limit not satisfied: {name}")),
            Self::Mismatch(name) => one(format!("Constraint not satisfied: {name}")),
            Self::Short { need, free } => missing(need, free)
                .map(|(what, score)| Veto {
                    kind,
                    reason: format!("Insufficient: {what}"),
                    score,
                })
                .collect(),
        }
    }
}

impl fmt::Display for Veto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// The vetoes of the machine that came nearest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NearestFit(Option<(i64, Vec<Veto>)>);

impl NearestFit {
    /// Takes this machine's vetoes if they are nearer than all before.
    pub fn offer(&mut self, refusal: &Refusal<'_>) {
        let score = refusal.score();
        if self.0.as_ref().is_none_or(|(best, _)| score < *best) {
            self.0 = Some((score, refusal.vetoes()));
        }
    }

    /// The reasons; none if no machine was tried.
    pub fn reasons(&self) -> Vec<String> {
        let vetoes = self.0.iter().flat_map(|(_, vetoes)| vetoes);
        vetoes.map(|v| v.reason.clone()).collect()
    }
}

/// Why the machine does not do; `None` if it does.
///
/// `limits` are those of the task's job, from [`Limits::of`] its description. `free` is what the machine has
/// left, which is asked for only if all else holds.
pub fn evaluate<'a>(
    demand: &Demand<'a>,
    host: &Host<'_>,
    limits: Option<&Limits>,
    free: impl FnOnce() -> Resources,
) -> Option<Refusal<'a>> {
    mismatch(demand, host, limits).or_else(|| {
        let (need, free) = (demand.need, free());
        let is_short = missing(&need, &free).next().is_some();
        is_short.then_some(Refusal::Short { need, free })
    })
}

/// Why the machine does not do, whatever it has left; `None` if that is all that counts.
pub fn mismatch<'a>(
    demand: &Demand<'a>,
    host: &Host<'_>,
    limits: Option<&Limits>,
) -> Option<Refusal<'a>> {
    let constraints = &demand.config.constraints;
    let dedicated = host.attributes.iter().any(|a| a.name == "dedicated");
    if dedicated && !constraints.iter().any(|c| c.name == "dedicated") {
        return Some(Refusal::Dedicated);
    }
    match host.mode {
        MaintenanceMode::None | MaintenanceMode::Scheduled => {}
        MaintenanceMode::Draining => return Some(Refusal::Draining),
        MaintenanceMode::Drained => return Some(Refusal::Drained),
    }
    for constraint in constraints {
        if let ConstraintKind::Value { negated, values } = &constraint.kind
            && !value_holds(host, &constraint.name, *negated, values)
        {
            return Some(Refusal::Mismatch(&constraint.name));
        }
    }
    for constraint in constraints {
        if let ConstraintKind::Limit(limit) = constraint.kind {
            let name = &constraint.name;
            if host.values(name).next().is_none() {
                return Some(Refusal::Mismatch(name));
            }
            let count = |value: &String| limits.map_or(0, |l| l.count(name, value));
            if host
                .values(name)
                .any(|value| count(value) >= i64::from(limit))
            {
                return Some(Refusal::Limit(name));
            }
        }
    }
    None
}

fn value_holds(host: &Host<'_>, name: &str, negated: bool, values: &BTreeSet<String>) -> bool {
    host.values(name).any(|value| values.contains(value)) != negated
}

/// The resources of which there is too little, and how far off that is: by a thousand times what is missing,
/// of what machines have at most.
fn missing(need: &Resources, free: &Resources) -> impl Iterator<Item = (&'static str, i64)> {
    let short = [
        ("CPU", need.cpus.0 - free.cpus.0, 16),
        (
            "RAM",
            (need.ram_mb - free.ram_mb).saturating_mul(1000),
            24 * 1024,
        ),
        (
            "disk",
            (need.disk_mb - free.disk_mb).saturating_mul(1000),
            450 * 1024,
        ),
        (
            "ports",
            (i64::from(need.ports) - i64::from(free.ports)) * 1000,
            1000,
        ),
        ("GPU", (need.gpus - free.gpus).saturating_mul(1000), 4),
    ];
    let missing = short.into_iter().filter(|(_, missing, _)| *missing > 0);
    missing.map(|(what, missing, range)| (what, (missing / range).min(1_000)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Constraint, JobKey, MilliCpus};

    fn config(constraints: &[Constraint]) -> TaskConfig {
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
            constraints: constraints.iter().cloned().collect(),
            fetcher_uris: BTreeSet::new(),
            task_links: BTreeMap::new(),
            contact_email: None,
            executor: None,
            metadata: BTreeSet::new(),
            partition_policy: None,
            sla_policy: None,
            container: Default::default(),
        }
    }

    fn value(name: &str, negated: bool, values: &[&str]) -> Constraint {
        Constraint {
            name: name.into(),
            kind: ConstraintKind::Value {
                negated,
                values: values.iter().map(|v| (*v).to_owned()).collect(),
            },
        }
    }

    fn limit(name: &str, limit: i32) -> Constraint {
        Constraint {
            name: name.into(),
            kind: ConstraintKind::Limit(limit),
        }
    }

    fn attribute(name: &str, values: &[&str]) -> Attribute {
        Attribute {
            name: name.into(),
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        }
    }

    fn reasons(constraints: &[Constraint], attributes: &[Attribute]) -> String {
        let config = config(constraints);
        let demand = Demand {
            config: &config,
            need: Resources::default(),
        };
        let host = Host {
            attributes,
            mode: MaintenanceMode::None,
        };
        let mut limits = Limits::of(&config);
        if let Some(limits) = &mut limits {
            limits.add(&[attribute("rack", &["a"])]);
        }
        let refusal = evaluate(&demand, &host, limits.as_ref(), Resources::default);
        let vetoes = refusal.map(|refusal| refusal.vetoes());
        vetoes
            .iter()
            .flatten()
            .map(|v| v.reason.clone())
            .collect::<Vec<_>>()
            .join(",")
    }

    #[test]
    fn value_constraints_look_at_the_union_of_values_and_negation_accepts_absence() {
        let two = [attribute("rack", &["a"]), attribute("rack", &["b"])];
        assert_eq!(reasons(&[value("rack", false, &["b", "c"])], &two), "");
        assert_eq!(
            reasons(&[value("rack", true, &["b"])], &two),
            "Constraint not satisfied: rack"
        );
        assert_eq!(reasons(&[value("zone", true, &["b"])], &two), "");
        assert_eq!(
            reasons(&[value("zone", false, &["b"])], &two),
            "Constraint not satisfied: zone"
        );
    }

    #[test]
    fn limits_count_tasks_of_the_job_and_need_the_attribute() {
        let (a, b) = ([attribute("rack", &["a"])], [attribute("rack", &["b"])]);
        assert_eq!(
            reasons(&[limit("rack", 1)], &a),
            "Limit not satisfied: rack"
        );
        assert_eq!(reasons(&[limit("rack", 2)], &a), "");
        assert_eq!(reasons(&[limit("rack", 1)], &b), "");
        assert_eq!(
            reasons(&[limit("rack", 0)], &b),
            "Limit not satisfied: rack"
        );
        assert_eq!(
            reasons(&[limit("host", 1)], &b),
            "Constraint not satisfied: host"
        );
    }

    #[test]
    fn dedicated_machines_take_only_who_asks_for_them() {
        let host = [attribute("dedicated", &["r/x"])];
        assert_eq!(reasons(&[], &host), "Host is dedicated");
        assert_eq!(reasons(&[value("dedicated", false, &["r/x"])], &host), "");
        assert_eq!(
            reasons(&[value("dedicated", false, &["r/y"])], &host),
            "Constraint not satisfied: dedicated"
        );
    }

    #[test]
    fn every_short_resource_is_named_and_the_nearest_machine_wins() {
        let need = Resources {
            cpus: MilliCpus(2000),
            ram_mb: 1024,
            ..Resources::default()
        };
        let far = Refusal::Short {
            need,
            free: Resources::default(),
        };
        let scores: Vec<i64> = far.vetoes().iter().map(|v| v.score).collect();
        assert_eq!((scores.as_slice(), far.count()), ([125, 41].as_slice(), 2));
        let near = Refusal::Short {
            need,
            free: need.minus(Resources {
                ram_mb: 24,
                ..Resources::default()
            }),
        };
        let mut fit = NearestFit::default();
        fit.offer(&far);
        assert_eq!(fit.reasons(), ["Insufficient: CPU", "Insufficient: RAM"]);
        fit.offer(&near);
        fit.offer(&far);
        assert_eq!(fit.reasons(), ["Insufficient: RAM"]);
    }
}
