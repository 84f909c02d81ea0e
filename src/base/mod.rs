//! What every other module stands on: time, randomness, framing, backoff, units.
//!
//! Nothing here knows a word of the domain, waits, spawns or opens anything. The operating system's
//! clock and entropy are read in [`clock`] and [`rng`] and nowhere else, so that every decision above
//! can be replayed from a seed and a list of instants.

pub mod argv;
pub mod backoff;
pub mod clock;
pub mod frame;
pub mod mistake;
pub mod rng;
pub mod secret;
pub mod stamp;
pub mod stats;
pub mod units;
