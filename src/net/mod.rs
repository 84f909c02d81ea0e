//! Bytes between machines: HTTP/1, keys, the preamble that names a protocol, Noise, frames, the one listener.
//!
//! Nothing here knows what a request or a frame means. HTTP is in [`http1`] and stands alone.
//!
//! A connection between programs of ours goes through these steps:
//!
//! 1. the dialer sends a [`Protocol`]'s preamble in the clear: [`listener`] dispatches by it;
//! 2. both run a Noise handshake with the pre-shared key of that protocol ([`noise`], [`keys`]);
//! 3. frames (`base::frame`: length, CRC-32C, payload) flow inside Noise records ([`frames`]).
//!
//! What comes from the network is hostile until the handshake has shown that the other side holds the
//! key: until then a connection may send 128 bytes, for a few seconds, in a bounded number of slots.

pub mod frames;
pub mod http1;
pub mod keys;
pub mod listener;
pub mod noise;
mod preamble;
mod throttle;

pub use preamble::{PREAMBLE_BYTES, Protocol};
pub use throttle::Throttle;
