//! What a task demands of the machine it runs on.

use std::collections::BTreeSet;

/// A demand on one attribute of the machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Constraint {
    /// The attribute's name.
    pub name: String,
    /// What it must satisfy.
    pub kind: ConstraintKind,
}

/// The kinds of demand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConstraintKind {
    /// At most this many tasks of the job on machines with the same value.
    Limit(i32),
    /// One of the values must be (or, negated, none may be) among the machine's.
    Value {
        /// Turns the demand around.
        negated: bool,
        /// The values.
        values: BTreeSet<String>,
    },
}
