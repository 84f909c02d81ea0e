//! What travels between machines, as bytes: HTTP/1 here, frames and Noise beside it.
//!
//! Nothing here knows what a request or a frame means.

pub mod http1;
