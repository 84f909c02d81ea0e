//! Tiers: what may be done to a task when machines run short.

use std::collections::BTreeMap;

/// The properties of a tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tier {
    /// Its tasks make room for those of better tiers.
    pub preemptible: bool,
    /// Its tasks run on resources that can be taken back at any time.
    pub revocable: bool,
}

impl Tier {
    /// Whether its tasks count as production: neither preemptible nor revocable.
    pub fn is_production(self) -> bool {
        !self.preemptible && !self.revocable
    }
}

/// The tiers of this cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiers {
    default: String,
    tiers: BTreeMap<String, Tier>,
}

impl Tiers {
    /// These tiers; `None` if the default is not among them.
    pub fn new(default: &str, tiers: BTreeMap<String, Tier>) -> Option<Self> {
        tiers.contains_key(default).then(|| Self {
            default: default.to_owned(),
            tiers,
        })
    }

    /// The name of the tier of tasks that name none.
    pub fn default_name(&self) -> &str {
        &self.default
    }

    /// The tier of this name.
    pub fn get(&self, name: &str) -> Option<Tier> {
        self.tiers.get(name).copied()
    }

    /// The tier of a task that names this one; of one that names none, or none that there is, the
    /// default.
    pub fn of(&self, name: Option<&str>) -> Tier {
        let named = name.and_then(|name| self.get(name));
        named
            .or_else(|| self.get(&self.default))
            .unwrap_or_default()
    }

    /// All tiers by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Tier)> {
        self.tiers.iter().map(|(name, tier)| (name.as_str(), *tier))
    }
}

impl Default for Tiers {
    fn default() -> Self {
        let tier = |preemptible, revocable| Tier {
            preemptible,
            revocable,
        };
        let tiers = BTreeMap::from([
            ("preferred".to_owned(), tier(false, false)),
            ("preemptible".to_owned(), tier(true, false)),
            ("revocable".to_owned(), tier(true, true)),
        ]);
        Self {
            default: "preemptible".to_owned(),
            tiers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_preferred_tier_is_production() {
        let tiers = Tiers::default();
        let production: Vec<_> = tiers
            .iter()
            .filter(|(_, t)| t.is_production())
            .map(|(n, _)| n)
            .collect();
        assert_eq!(production, ["preferred"]);
        assert!(tiers.get(tiers.default_name()).is_some());
        assert!(Tiers::new("gold", BTreeMap::new()).is_none());
    }
}
