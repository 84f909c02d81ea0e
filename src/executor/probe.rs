//! One health check under way.

use super::definition::HttpProbe;
use super::http::{Answer, Call};
use super::os::{Spawned, signal_group};
use crate::base::clock::Instant;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

/// More of a command's output is not kept.
const OUTPUT_BYTES_MAX: usize = 4 << 10;
/// A command that writes without end must not keep the loop.
const READS_MAX: usize = 64;
/// Texts are cut to this many characters in reasons.
const SHOWN_CHARS_MAX: usize = 10;

/// A check under way: over when `poll` or `handle_exit` gives a result, none or the reason of a failure.
#[derive(Debug)]
pub(super) enum Probe {
    Http {
        call: Call,
        url: String,
        response: String,
        code: u16,
    },
    Shell {
        command: String,
        pid: i32,
        pipe: File,
        output: Vec<u8>,
        /// Everything that held the pipe has closed it.
        is_drained: bool,
        deadline: Instant,
    },
}

/// The result of a check: the reason if it failed.
pub(super) type Outcome = Option<String>;

impl Probe {
    pub(super) fn of_http(probe: &HttpProbe, deadline: Instant) -> Result<Self, String> {
        let url = format!("http://localhost:{}{}", probe.port, probe.path);
        match Call::begin("GET", probe.port, &probe.path, deadline) {
            Ok(call) => Ok(Self::Http {
                call,
                url,
                response: probe.response.clone(),
                code: probe.code,
            }),
            Err(error) => Err(format!("Failed to signal {url}: {error}")),
        }
    }

    pub(super) fn of_shell(
        command: &str,
        spawned: Spawned,
        deadline: Instant,
    ) -> Result<Self, String> {
        let pipe = spawned.pipes.into_iter().next();
        let pipe = pipe.ok_or("no pipe to the health check")?;
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|it| it.to_string())?;
        Ok(Self::Shell {
            command: command.to_owned(),
            pid: spawned.pid,
            pipe: File::from(pipe),
            output: Vec::new(),
            is_drained: false,
            deadline,
        })
    }

    pub(super) fn deadline(&self) -> Instant {
        match self {
            Self::Http { call, .. } => call.deadline(),
            Self::Shell { deadline, .. } => *deadline,
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Http { call, .. } => call.fd(),
            Self::Shell { pipe, .. } => pipe.as_fd(),
        }
    }

    pub(super) fn wants_write(&self) -> bool {
        match self {
            Self::Http { call, .. } => call.wants_write(),
            Self::Shell { .. } => false,
        }
    }

    /// Whether nothing more can be read: only the exit of the shell is awaited.
    pub(super) fn is_drained(&self) -> bool {
        matches!(
            self,
            Self::Shell {
                is_drained: true,
                ..
            }
        )
    }

    /// Whether `pid` is the shell of this check.
    pub(super) fn is_child(&self, pid: i32) -> bool {
        matches!(self, Self::Shell { pid: own, .. } if *own == pid)
    }

    /// Goes on. Some when the check is over; that of a shell is when it exits or is late.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Outcome> {
        match self {
            Self::Http {
                call,
                url,
                response,
                code,
            } => {
                let answer = call.poll(now)?;
                Some(match answer {
                    Ok(answer) => judge(&answer, response, *code),
                    Err(why) => Some(format!("Failed to signal {url}: {why}")),
                })
            }
            Self::Shell { deadline, .. } if *deadline <= now => {
                Some(Some("Health check timed out.".to_owned()))
            }
            Self::Shell {
                pipe,
                output,
                is_drained,
                ..
            } => {
                *is_drained |= read_output(pipe, output);
                None
            }
        }
    }

    /// The shell ended with this status; a signal counts as its negative number.
    pub(super) fn handle_exit(&mut self, code: i32) -> Outcome {
        let Self::Shell {
            command,
            pipe,
            output,
            ..
        } = self
        else {
            return None;
        };
        if code == 0 {
            return None;
        }
        read_output(pipe, output);
        let output = String::from_utf8_lossy(output);
        Some(format!(
            "Command '{command}' returned non-zero exit status {code} with output '{}'",
            output.trim_end()
        ))
    }

    /// Ends what is left of a check whose result is not wanted any more.
    pub(super) fn drop_now(self) {
        if let Self::Shell { pid, .. } = self {
            signal_group(pid, Signal::SIGKILL);
        }
    }
}

/// Reads what is there so that the command does not wait for us, and keeps the beginning. Gives whether the
/// pipe is at its end.
fn read_output(pipe: &mut File, output: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    for _ in 0..READS_MAX {
        match pipe.read(&mut buffer) {
            Ok(0) => return true,
            Ok(read) => {
                let room = OUTPUT_BYTES_MAX.saturating_sub(output.len());
                output.extend_from_slice(&buffer[..read.min(room)]);
            }
            Err(_) => return false,
        }
    }
    false
}

fn judge(answer: &Answer, response: &str, code: u16) -> Outcome {
    let is_error = answer.status >= 400;
    let body = if is_error {
        String::new()
    } else {
        answer.body.trim().to_lowercase()
    };
    if !response.is_empty() && body != response {
        return Some(format!(
            "Response differs from expected response (expected \"{}\", got \"{}\")",
            shorten(response),
            shorten(&body)
        ));
    }
    if code != 0 && answer.status != code {
        return Some(format!(
            "Response code differs from expected response (expected {code}, got {})",
            answer.status
        ));
    }
    None
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return text.to_owned();
    }
    let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{start}...")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged_by_body_and_status() {
        let answer = |status, body: &str| Answer {
            status,
            body: body.to_owned(),
        };
        assert_eq!(judge(&answer(200, " OK\n"), "ok", 0), None);
        assert_eq!(judge(&answer(500, "x"), "", 0), None);
        let wrong = judge(&answer(200, "this is too long"), "ok", 0).unwrap();
        assert!(wrong.contains("got \"this is to...\""), "{wrong}");
        assert!(judge(&answer(500, "ok"), "ok", 0).is_some());
        let wrong = judge(&answer(404, "ok"), "", 200).unwrap();
        assert!(wrong.contains("(expected 200, got 404)"), "{wrong}");
    }
}
