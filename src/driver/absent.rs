//! No machines: for a scheduler that waits for a Mesos master.
//!
//! Agents find nobody who speaks with them, so nothing that they run is ended, whatever the tables say.

use super::{Driver, DriverCommand, DriverEvent};
use async_channel::{Receiver, Sender, bounded};

/// A driver without machines.
#[derive(Debug)]
pub struct AbsentDriver {
    /// Nothing is sent; held so that the events do not end.
    _events: Sender<DriverEvent>,
}

impl AbsentDriver {
    /// The driver, and where its events would come from.
    pub fn new() -> (Self, Receiver<DriverEvent>) {
        let (events, none) = bounded(1);
        (Self { _events: events }, none)
    }
}

impl Driver for AbsentDriver {
    fn command(&self, command: DriverCommand) {
        log::debug!("there are no machines for {command:?}");
    }

    fn lead(&self, _ballot: u64) {}

    fn set_leader(&self, _leader: Option<String>) {}

    fn stand_down(&self) {}
}
