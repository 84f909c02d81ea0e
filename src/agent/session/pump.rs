//! From the host's reports to whatever connection there is.

use crate::agent::proto::AgentMessage;
use crate::model::TaskReport;
use async_channel::{Receiver, Sender, TrySendError};
use std::sync::{Mutex, PoisonError};

/// Hands reports to the present connection. The host never waits for it.
#[derive(Debug, Default)]
pub(super) struct Pump(Mutex<Option<Sender<AgentMessage>>>);

impl Pump {
    /// Takes reports as they come, until the host closes their channel, and then waits for ever.
    pub(super) async fn run(&self, reports: &Receiver<TaskReport>) {
        while let Ok(report) = reports.recv().await {
            self.hand_over(report);
        }
        std::future::pending().await
    }

    /// Drops the report if there is no connection or its queue is full: it stays unacknowledged, and is
    /// sent with the next hello or by the ledger.
    fn hand_over(&self, report: TaskReport) {
        let mut outbox = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = outbox.as_ref() else {
            return;
        };
        match sender.try_send(AgentMessage::Report(report)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => log::debug!("a report waits for the next resend"),
            Err(TrySendError::Closed(_)) => *outbox = None,
        }
    }

    /// Reports go to `outbox` from now on.
    pub(super) fn connect(&self, outbox: Sender<AgentMessage>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outbox);
    }

    /// Reports go nowhere from now on.
    pub(super) fn disconnect(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
