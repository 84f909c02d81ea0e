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
}
