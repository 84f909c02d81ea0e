//! One look at a daemon's HTTP port.

use crate::net::http1::client::{self, ClientLimits};
use crate::rt;
use std::net::SocketAddr;
use std::time::Duration;

/// The status of a GET from this machine; `None` without an answer.
pub fn status(port: u16, path: &str) -> Option<u16> {
    let second = Duration::from_secs(1);
    let limits = ClientLimits {
        connect_timeout: second,
        write_timeout: second,
        head_timeout: second,
        body_timeout: second,
        ..ClientLimits::default()
    };
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    rt::block_on(client::get(address, path, limits))
        .ok()
        .map(|answer| answer.status)
}
