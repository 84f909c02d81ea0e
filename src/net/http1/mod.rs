//! HTTP/1.0 and HTTP/1.1, server and client, over any async byte stream.
//!
//! In go connections and a [`Handler`]; out come whole [`Request`]s with their bodies read and
//! checked, and answers written under time limits. Every limit is in [`Limits`]: nothing that a peer
//! sends can make the codec hold more than it allows, and every wait has an end.
//!
//! The parsers ([`head`], [`chunked`]) are plain functions over bytes, without input or output.
//! [`serve`] runs the accept loop, one fiber for each connection.
//!
//! What it is strict about, because the leniency of one party is the attack on another: bare line
//! feeds, both or repeated lengths, unknown transfer codings, a missing or repeated Host in HTTP/1.1,
//! and CR, LF or NUL in the headers of an answer. What it is lenient about: HTTP/1.0 without Host, and
//! an HTTP/1.0 request line with nothing after it, which old monitors send and then wait.
//!
//! Reads are never cancelled half way: bytes go from the stream to the connection's buffer inside one
//! poll, so that a deadline that passes beside a read loses nothing.
//!
//! This module must not know tide, routes, or anything of Aurora.

pub mod chunked;
pub mod client;
mod connection;
mod date;
mod encode;
pub mod head;
mod limits;
mod message;
mod server;
mod socket;
mod wire;

#[cfg(test)]
mod connection_tests;
#[cfg(test)]
mod head_tests;
#[cfg(test)]
mod pipe;
#[cfg(test)]
mod server_tests;

pub use encode::{EncodeError, reason};
pub use limits::Limits;
pub use message::{Answer, Body, Handler, Headers, Method, Request, Response, Version};
pub use server::{Drained, serve};
pub use socket::Socket;
