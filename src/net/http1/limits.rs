//! Every bound of the server side, in one place.

use std::time::Duration;

/// Sizes in bytes and durations that bound what one peer, and all peers together, may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections; one more gets 503 and is closed.
    pub connections_max: usize,
    /// Request line and headers of one request; more gets 431.
    pub head_bytes_max: usize,
    /// One request's body; more gets 413.
    pub body_bytes_max: usize,
    /// All bodies that are being read or handled; more gets 503.
    pub bodies_bytes_max: usize,
    /// From a request's first byte to the end of its head; longer gets 408. Also the time that a new
    /// connection may stay silent.
    pub head_timeout: Duration,
    /// From the end of the head to the end of the body; longer gets 408.
    pub body_timeout: Duration,
    /// Silence between two requests; then the connection is closed.
    pub idle_timeout: Duration,
    /// One write without progress; then the connection is dropped.
    pub write_timeout: Duration,
    /// How long a bare HTTP/1.0 request line waits for headers before it is answered without.
    pub line_grace: Duration,
    /// After an early answer, how long the rest of what the peer sends is read and thrown away, so
    /// that a reset does not overtake the answer.
    pub linger: Duration,
    /// At shutdown, how long requests in flight may take to finish.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            head_bytes_max: 32 * 1024,
            body_bytes_max: 8 * 1024 * 1024,
            bodies_bytes_max: 256 * 1024 * 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            line_grace: Duration::from_millis(200),
            linger: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(10),
        }
    }
}
