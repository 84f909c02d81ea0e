//! The scheduler's port while its log is read and proved: alive, and not ready for anything else.

use crate::net::http1::{self, Answer, Handler, Limits, Response};
use crate::rt::Shutdown;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

/// How long answers under way may take once the log is open.
const DRAIN: Duration = Duration::from_millis(500);

/// Answers monitors until `opened` is fired; everybody else is told to come again.
///
/// # Errors
///
/// If the listener cannot be watched.
pub async fn serve_opening(listener: TcpListener, opened: Shutdown) -> io::Result<()> {
    let limits = Limits {
        drain_timeout: DRAIN,
        ..Limits::default()
    };
    http1::serve(listener, Arc::new(Opening), limits, opened).await?;
    Ok(())
}

struct Opening;

impl Handler for Opening {
    async fn handle(&self, request: http1::Request) -> Answer {
        match request.path().trim_end_matches('/') {
            "/health" | "/livez" => Response::text(200, "OK\n"),
            "/leaderhealth" => Response::text(
                502,
                "There is no leading scheduler or the leader is unknown.\n",
            ),
            "/readyz" => Response::text(503, "NOT READY\n"),
            _ => Response::text(503, "Storage is not READY: the scheduler reads its log\n")
                .with("retry-after", "1"),
        }
        .into()
    }

    fn answered(&self, _: u16, _: Duration) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    #[test]
    fn a_scheduler_that_reads_its_log_is_healthy_and_not_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, opened) = Shutdown::new();
        let serving = rt::spawn(
            "opening",
            serve_opening(listener.try_clone().unwrap(), opened),
        );
        let ask = |path: &str| {
            let mut stream = TcpStream::connect(address).unwrap();
            // As monit asks.
            write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        };
        for path in ["/health", "/livez"] {
            let text = ask(path);
            assert!(
                text.contains(" 200 ") && text.ends_with("\r\n\r\nOK\n"),
                "{text}"
            );
        }
        assert!(ask("/readyz").contains(" 503 "));
        assert!(ask("/leaderhealth").contains(" 502 "));
        assert!(ask("/scheduler").contains("Storage is not READY"));
        trigger.fire();
        rt::block_on(serving.join()).unwrap();
        // Whoever comes now waits for the next one that serves the listener.
        assert!(TcpStream::connect(address).is_ok());
    }
}
