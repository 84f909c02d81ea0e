//! Changing the ensemble: what may be asked for, and what comes of it.

use super::ballot::{Incarnation, Member, ReplicaId};
use super::entry::{Configuration, Seat};
use super::quorum;
use std::sync::Arc;
use thiserror::Error;

/// A change of the ensemble. One at a time, each an entry of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Another member. It is fed until it is nearly up to date before the change is appended.
    Add {
        /// Who.
        member: Member,
        /// Where its peers reach it.
        address: Arc<str>,
    },
    /// Write what needs this feature level from now on.
    FeatureLevel {
        /// The level. Every member must be able to read it.
        level: u32,
    },
    /// A member's peers reach it elsewhere.
    Move {
        /// Which.
        id: ReplicaId,
        /// Where, from now on.
        address: Arc<str>,
    },
    /// Let this many members decide.
    Quorum {
        /// At least a majority, at most all.
        size: u32,
    },
    /// A member that has lost its state comes back.
    Rejoin {
        /// Which.
        id: ReplicaId,
        /// Its new life.
        incarnation: Incarnation,
    },
    /// One member less.
    Remove {
        /// Which.
        id: ReplicaId,
    },
    /// A new replica takes the seat of one that is gone for good.
    Replace {
        /// Which is gone.
        old: ReplicaId,
        /// Who takes its seat.
        member: Member,
        /// Where its peers reach it.
        address: Arc<str>,
    },
}

/// Why the ensemble was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// It is a member already.
    #[error("replica {0} is a member already")]
    AlreadyMember(ReplicaId),
    /// Another change is under way.
    #[error("another change of the ensemble is under way")]
    Busy,
    /// Some member cannot read what the level allows, or the newcomer what is written already.
    #[error("feature level {level} is not possible: replica {id} reads up to level {reads}")]
    FeatureLevel {
        /// What was asked for, or is in force.
        level: u32,
        /// Who is in the way.
        id: ReplicaId,
        /// What it can read.
        reads: u32,
    },
    /// It would leave nobody.
    #[error("the last member cannot be removed")]
    LastMember,
    /// The old or the new ensemble has too few members that are up and up to date.
    #[error("{up} of {needed} replicas needed for a quorum are up and up to date")]
    NoQuorum {
        /// How many are up.
        up: usize,
        /// How many are needed.
        needed: u32,
    },
    /// This replica does not lead.
    #[error("not the leader")]
    NotLeader,
    /// It is no member.
    #[error("replica {0} is no member")]
    NotMember(ReplicaId),
    /// The newcomer has not come up, or has not caught up.
    #[error("replica {0} has not been heard, or does not catch up")]
    NotReady(ReplicaId),
    /// The quorum would not be a majority of the members that they can form.
    #[error(
        "a quorum of {size} of {members} members is not possible: it takes {least} to {members}"
    )]
    Quorum {
        /// What was asked for.
        size: u32,
        /// How many members there are.
        members: usize,
        /// The smallest majority.
        least: u32,
    },
    /// The feature level or incarnation is not above the present one.
    #[error("{0} is not above the present one")]
    Stale(u32),
    /// More members than an ensemble may have.
    #[error("an ensemble has at most {} members", Configuration::MEMBERS_MAX)]
    TooMany,
}

impl Change {
    /// Who gets a seat by it.
    pub(super) fn newcomer(&self, present: &Configuration) -> Option<Member> {
        match self {
            Self::Add { member, .. } | Self::Replace { member, .. } => Some(*member),
            Self::Rejoin { id, incarnation } => present.members.get(id).map(|_| Member {
                id: *id,
                incarnation: *incarnation,
            }),
            Self::FeatureLevel { .. }
            | Self::Move { .. }
            | Self::Quorum { .. }
            | Self::Remove { .. } => None,
        }
    }

    /// The configuration behind the change.
    ///
    /// # Errors
    ///
    /// If `present` cannot be changed so.
    pub fn apply(&self, present: &Configuration) -> Result<Configuration, ChangeError> {
        let mut next = present.clone();
        match self {
            Self::Add { member, address } => next.seat(*member, address)?,
            Self::FeatureLevel { level } => {
                if *level <= present.feature_level {
                    return Err(ChangeError::Stale(*level));
                }
                next.feature_level = *level;
            }
            Self::Move { id, address } => {
                let seat = next.members.get_mut(id);
                let seat = seat.ok_or(ChangeError::NotMember(*id))?;
                seat.address = Arc::clone(address);
            }
            Self::Quorum { size } => next.quorum = *size,
            Self::Rejoin { id, incarnation } => {
                let seat = next.members.get_mut(id);
                let seat = seat.ok_or(ChangeError::NotMember(*id))?;
                // An incarnation that had votes must never have them again.
                if *incarnation <= seat.incarnation {
                    return Err(ChangeError::Stale(incarnation.0));
                }
                seat.incarnation = *incarnation;
            }
            Self::Remove { id } => next.unseat(*id)?,
            Self::Replace {
                old,
                member,
                address,
            } => {
                next.unseat(*old)?;
                next.seat(*member, address)?;
            }
        }
        if next.members.is_empty() {
            return Err(ChangeError::LastMember);
        }
        if next.members.len() > Configuration::MEMBERS_MAX {
            return Err(ChangeError::TooMany);
        }
        if next.members.len() != present.members.len() {
            next.quorum = resized_quorum(present, next.members.len());
        }
        next.check_quorum(next.quorum, quorum::majority(next.members.len()))?;
        Ok(next)
    }
}

/// The quorum for another number of members: the smallest majority, unless the operator has set
/// more, which stays as far as it can.
fn resized_quorum(present: &Configuration, size: usize) -> u32 {
    let majority = quorum::majority(size);
    if present.quorum == quorum::majority(present.members.len()) {
        return majority;
    }
    let all = u32::try_from(size).unwrap_or(u32::MAX);
    present.quorum.clamp(majority, all)
}

impl Configuration {
    fn seat(&mut self, member: Member, address: &Arc<str>) -> Result<(), ChangeError> {
        let seat = Seat {
            incarnation: member.incarnation,
            address: Arc::clone(address),
        };
        match self.members.insert(member.id, seat) {
            Some(_) => Err(ChangeError::AlreadyMember(member.id)),
            None => Ok(()),
        }
    }

    fn unseat(&mut self, id: ReplicaId) -> Result<(), ChangeError> {
        let seat = self.members.remove(&id);
        seat.map(drop).ok_or(ChangeError::NotMember(id))
    }

    /// Checks a quorum size that an operator has given, as `-native_log_quorum_size` does: from
    /// `least` to the number of members.
    ///
    /// # Errors
    ///
    /// If it is smaller or larger.
    pub fn check_quorum(&self, size: u32, least: u32) -> Result<(), ChangeError> {
        let members = self.members.len();
        let all = u32::try_from(members).unwrap_or(u32::MAX);
        if (least..=all).contains(&size) {
            return Ok(());
        }
        Err(ChangeError::Quorum {
            size,
            members,
            least,
        })
    }
}
