//! Connections to the other replicas: one live one to each, whoever dialed it.
//!
//! In: addresses to keep connected, messages to send, how this replica is. Out: who has come and
//! gone, and their messages. Every replica dials every address, again and again with a jittered
//! backoff, unless the peer that listens there is connected already. A connection begins with a
//! [`Hello`](super::wire::Hello) each way; `memory` judges it: another ensemble, an older disk than
//! the peer has shown before, a copy that runs twice are refused with words for the operator, and
//! nothing of such a peer reaches the core. If both sides have dialed at once, both keep the
//! connection that the lower id has dialed.
//!
//! **Bounds.** What waits to be sent is bounded per peer (`queue`): what does not fit is dropped,
//! which the protocol bears. Entries wait behind everything else, so that a heartbeat is never
//! stuck behind them, and whatever waits is sent by one write. What has come waits in two bounded
//! channels, and then on the wire. A connection on which nothing has come for a second is over, even
//! if the system believes in it: an idle peer sends pulses.
//!
//! This module must not know what a message means, only which ones are long.

mod dial;
mod link;
mod memory;
mod network;
mod queue;

pub use network::{Known, Network, NetworkOptions, PeerEvent};
