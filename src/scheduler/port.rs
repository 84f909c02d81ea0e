//! The part of the log that the scheduler uses, so that tests can put another in its place.

use crate::replog::{AppendError, Ballot, LogHandle, Position};
use std::future::Future;

/// Where entries go. What becomes of them comes back as [`crate::replog::LogEvent`]s.
pub trait LogPort: Send + Sync + 'static {
    /// Appends an entry under a ballot, after all that were appended before.
    ///
    /// # Errors
    ///
    /// The entry was not appended and never will be.
    fn append(
        &self,
        ballot: Ballot,
        ticket: u64,
        payload: Vec<u8>,
    ) -> impl Future<Output = Result<(), AppendError>> + Send;

    /// Lets go of every entry below `to`.
    ///
    /// # Errors
    ///
    /// Nothing was truncated.
    fn truncate(
        &self,
        ballot: Ballot,
        to: Position,
    ) -> impl Future<Output = Result<(), AppendError>> + Send;

    /// Asks the ensemble whether we still lead; answered by [`crate::replog::LogEvent::ReadReady`]
    /// behind all that had been acknowledged by now, or by `ReadFailed`.
    ///
    /// # Errors
    ///
    /// There will be no answer.
    fn read(
        &self,
        ballot: Ballot,
        token: u64,
    ) -> impl Future<Output = Result<(), AppendError>> + Send;

    /// The feature level of the log: what may be written, and what it takes to lead it.
    fn feature_level(&self) -> u32;

    /// Whether nobody else could lead.
    fn is_alone(&self) -> bool;

    /// The round of the ballot of the leader that is believed alive.
    fn leader(&self) -> Option<u64>;

    /// Lets another member lead. False if nobody else can: we lead on.
    fn hand_over(&self) -> impl Future<Output = bool> + Send;
}

impl LogPort for LogHandle {
    async fn append(
        &self,
        ballot: Ballot,
        ticket: u64,
        payload: Vec<u8>,
    ) -> Result<(), AppendError> {
        Self::append(self, ballot, ticket, payload).await
    }

    async fn truncate(&self, ballot: Ballot, to: Position) -> Result<(), AppendError> {
        Self::truncate(self, ballot, to).await
    }

    async fn read(&self, ballot: Ballot, token: u64) -> Result<(), AppendError> {
        Self::read(self, ballot, token).await
    }

    fn feature_level(&self) -> u32 {
        Self::feature_level(self)
    }

    fn is_alone(&self) -> bool {
        Self::is_alone(self)
    }

    fn leader(&self) -> Option<u64> {
        Self::leader(self).map(|ballot| ballot.round)
    }

    async fn hand_over(&self) -> bool {
        Self::hand_over(self).await
    }
}
