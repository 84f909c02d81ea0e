//! One signal to stop, heard by many.

use async_channel::{Receiver, Sender, bounded};
use std::sync::Arc;

/// Heard by every fiber that should end when the program does. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown {
    closed: Receiver<()>,
}

/// Gives the signal, by [`ShutdownTrigger::fire`] or when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct ShutdownTrigger {
    sender: Arc<Sender<()>>,
}

impl Shutdown {
    /// A pair of trigger and listener.
    pub fn new() -> (ShutdownTrigger, Self) {
        let (sender, closed) = bounded(1);
        (
            ShutdownTrigger {
                sender: Arc::new(sender),
            },
            Self { closed },
        )
    }

    /// Ends when the signal has been given.
    pub async fn wait(&self) {
        // The channel carries nothing: only its closing is news.
        if self.closed.recv().await.is_ok() {
            log::debug!("a shutdown channel carried a value");
        }
    }

    /// Whether the signal has been given.
    pub fn is_fired(&self) -> bool {
        self.closed.is_closed()
    }
}

impl ShutdownTrigger {
    /// Gives the signal. Harmless if given before.
    pub fn fire(&self) {
        self.sender.close();
    }
}
