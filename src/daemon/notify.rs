//! Tells the service manager how a daemon is: systemd's notification protocol, which others speak too.
//!
//! One datagram of `NAME=value` lines goes to the UNIX socket that the environment names. Without that
//! variable nothing is sent. A manager that is gone or slow costs its messages, never the daemon.

use crate::base::clock::{self, Instant};
use crate::rt::{self, Shutdown};
use crate::scheduler::{Handle, Lifecycle, OUTDATED, View};
use std::fmt::Write as _;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often a state that has not changed is looked at, unless the watchdog needs more.
const LOOK: Duration = Duration::from_millis(500);

/// How much longer a start may take that still gets on.
const EXTENSION: Duration = Duration::from_secs(60);

/// How long a scheduler that may vote looks for a leader before its start counts as done: the others may
/// be started after it.
const LEADERLESS: Duration = Duration::from_secs(10);

/// The way to the service manager. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Notifier {
    socket: Option<Arc<(UnixDatagram, SocketAddr)>>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// By `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn from_env() -> Self {
        let text = |name| std::env::var(name).ok();
        let pid = text("WATCHDOG_PID").and_then(|it| it.parse::<u32>().ok());
        let is_ours = pid.is_none_or(|pid| pid == std::process::id());
        let micros = text("WATCHDOG_USEC").and_then(|it| it.parse().ok());
        Self::new(
            text("NOTIFY_SOCKET").as_deref().unwrap_or_default(),
            micros.filter(|_| is_ours),
        )
    }

    /// To the socket of this name, which begins with `/`, or with `@` for an abstract one.
    fn new(name: &str, watchdog_micros: Option<u64>) -> Self {
        let address = match name.as_bytes() {
            [b'/', ..] => SocketAddr::from_pathname(name),
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
            [] => return Self::default(),
            _ => Err(std::io::Error::from(std::io::ErrorKind::InvalidInput)),
        };
        let socket = address.and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Ok(Arc::new((socket, address)))
        });
        match socket {
            Ok(socket) => Self {
                socket: Some(socket),
                watchdog: watchdog_micros
                    .filter(|micros| *micros > 0)
                    .map(Duration::from_micros),
            },
            Err(error) => {
                log::warn!(
                    "the service manager is not told anything: NOTIFY_SOCKET={name}: {error}"
                );
                Self::default()
            }
        }
    }

    /// The daemon does its work from now on; `status` says what it does.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// What the daemon does, for people.
    pub fn status(&self, status: &str) {
        self.send(&format!("STATUS={}", one_line(status)));
    }

    /// The daemon ends.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=Stopping");
    }

    /// A start that takes longer than usual still gets on.
    fn extend(&self) {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}", EXTENSION.as_micros()));
    }

    fn send(&self, text: &str) {
        let Some(socket) = &self.socket else { return };
        let (socket, address) = socket.as_ref();
        if let Err(error) = socket.send_to_addr(text.as_bytes(), address) {
            log::debug!("the service manager was not told {text:?}: {error}");
        }
    }

    /// Says `status` and keeps the start alive while `work` goes on.
    pub async fn during<T>(&self, status: &str, work: impl Future<Output = T>) -> T {
        self.status(status);
        let extend = async {
            loop {
                self.extend();
                rt::sleep(EXTENSION / 4).await;
            }
        };
        futures_lite::future::or(work, extend).await
    }

    /// Reports a scheduler until `shutdown`: ready once it can do its part, fed by its loop alone.
    pub async fn follow(self, handle: Handle, waits_for: Advice, shutdown: Shutdown) {
        if self.socket.is_none() {
            return;
        }
        let look = self.watchdog.map_or(LOOK, |limit| LOOK.min(limit / 4));
        let mut report = Report::new(waits_for, clock::now());
        loop {
            for text in report.look(clock::now(), &handle) {
                self.send(&text);
            }
            let turn = async {
                rt::sleep(look).await;
                true
            };
            let end = async {
                shutdown.wait().await;
                false
            };
            if !futures_lite::future::or(end, turn).await {
                return self.stopping();
            }
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

/// What a person has to type where the scheduler waits for one.
#[derive(Clone, Debug)]
pub struct Advice {
    /// Where the log is.
    pub log: PathBuf,
    /// The user that the scheduler runs as, unless that is root.
    pub user: Option<String>,
}

impl Advice {
    /// For the log at this path and the user of this process.
    pub fn new(log: PathBuf) -> Self {
        let uid = nix::unistd::Uid::effective();
        let user = nix::unistd::User::from_uid(uid).ok().flatten();
        Self {
            log,
            user: user.filter(|_| !uid.is_root()).map(|user| user.name),
        }
    }

    /// The command that initialises the log.
    pub fn initialize(&self) -> String {
        let mut text = String::new();
        if let Some(user) = &self.user {
            write!(text, "sudo -u {user} ").expect("writing to a string cannot fail");
        }
        let path = self.log.display();
        write!(text, "aurora-log initialize --path={path}")
            .expect("writing to a string cannot fail");
        text
    }
}

/// What was said of a scheduler.
struct Report {
    advice: Advice,
    started: Instant,
    is_ready: bool,
    said: String,
    fed: Instant,
}

impl Report {
    fn new(advice: Advice, started: Instant) -> Self {
        Self {
            advice,
            started,
            is_ready: false,
            said: String::new(),
            fed: Instant::ZERO,
        }
    }

    /// The messages that are due.
    fn look(&mut self, now: Instant, handle: &Handle) -> Vec<String> {
        let mut due = Vec::new();
        let view = handle.view();
        let tasks = handle.tables().task_count();
        let (can_work, status) = self.standing(now, &view, tasks);
        if can_work && !self.is_ready {
            self.is_ready = true;
            due.push(format!("READY=1\nSTATUS={status}"));
        } else if status != self.said {
            due.push(format!("STATUS={status}"));
        }
        self.said = status;
        // Only the loop's own turns count: a living fiber beside a stuck loop proves nothing.
        let turned = handle.last_turn();
        if turned != self.fed {
            self.fed = turned;
            if self.is_ready {
                due.push("WATCHDOG=1".to_owned());
            } else {
                due.push(format!("EXTEND_TIMEOUT_USEC={}", EXTENSION.as_micros()));
            }
        }
        due
    }

    /// Whether the scheduler can do its part, and what it does.
    fn standing(&self, now: Instant, view: &View, tasks: usize) -> (bool, String) {
        match view.lifecycle {
            Lifecycle::Active => {
                let agents = view.agents.iter().filter(|it| it.connected).count();
                let text = format!("Leading: {tasks} tasks, {agents} agents connected");
                (true, text)
            }
            Lifecycle::LeaderAwaitingRegistration => {
                let text = "Leading, and waits for its registration with the Mesos master";
                (true, text.to_owned())
            }
            Lifecycle::Dead => (self.is_ready, "Ending".to_owned()),
            Lifecycle::Idle | Lifecycle::PreparingStorage if view.replica != "EMPTY" => {
                (false, "Opening the log".to_owned())
            }
            _ if view.replica == "EMPTY" => {
                let text = format!(
                    "Waiting: Replica in EMPTY status. Stop this service, run: {} and start it again",
                    self.advice.initialize()
                );
                (true, text)
            }
            Lifecycle::Idle | Lifecycle::PreparingStorage | Lifecycle::StoragePrepared => {
                self.standby(now, view)
            }
        }
    }

    fn standby(&self, now: Instant, view: &View) -> (bool, String) {
        if let Some(leader) = &view.leader {
            return (true, format!("Following {leader}"));
        }
        if view.replica == OUTDATED {
            let text = "Waiting: a newer version has written the log. Install that version again; until then \
                        this one accepts entries, but does not lead";
            return (true, text.to_owned());
        }
        if view.replica != "VOTING" {
            let text = format!("Recovering the log (replica {})", view.replica);
            return (self.is_ready, text);
        }
        let waited = now.since(self.started) >= LEADERLESS;
        (self.is_ready || waited, "Waiting for a leader".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Tables;

    fn handle(lifecycle: Lifecycle, replica: &'static str, leader: Option<&str>) -> Handle {
        let view = View {
            lifecycle,
            replica,
            leader: leader.map(str::to_owned),
            ..View::default()
        };
        Handle::scripted(Tables::default(), view, |_, _| {
            Err(crate::scheduler::SubmitError::NotReady)
        })
    }

    fn report() -> Report {
        let advice = Advice {
            log: "/var/lib/aurora/scheduler/db".into(),
            user: Some("aurora".to_owned()),
        };
        Report::new(advice, Instant::ZERO)
    }

    #[test]
    fn a_leader_is_ready_and_says_so_once() {
        let mut report = report();
        let handle = handle(Lifecycle::Active, "VOTING", Some("a:8081"));
        let first = report.look(Instant::ZERO, &handle);
        assert_eq!(
            first,
            ["READY=1\nSTATUS=Leading: 0 tasks, 0 agents connected"]
        );
        assert!(report.look(Instant::ZERO, &handle).is_empty());
    }

    #[test]
    fn the_watchdog_is_fed_only_when_the_loop_has_turned() {
        let mut report = report();
        let handle = handle(Lifecycle::Active, "VOTING", Some("a:8081"));
        report.look(Instant::ZERO, &handle);
        assert!(report.look(Instant::ZERO, &handle).is_empty());
        handle.turn_for_test(Instant::from_nanos(7));
        assert_eq!(report.look(Instant::ZERO, &handle), ["WATCHDOG=1"]);
        assert!(report.look(Instant::ZERO, &handle).is_empty());
    }

    #[test]
    fn an_empty_replica_is_up_and_says_the_very_command() {
        let said = report().look(
            Instant::ZERO,
            &handle(Lifecycle::StoragePrepared, "EMPTY", None),
        );
        let command =
            "sudo -u aurora aurora-log initialize --path=/var/lib/aurora/scheduler/db and start";
        assert!(said[0].starts_with("READY=1\nSTATUS=Waiting: Replica in EMPTY status"));
        assert!(said[0].contains(command), "{said:?}");
    }

    #[test]
    fn recovery_is_no_readiness_and_keeps_the_start_alive() {
        let mut report = report();
        let handle = handle(Lifecycle::StoragePrepared, "RECOVERING", None);
        handle.turn_for_test(Instant::from_nanos(7));
        let said = report.look(Instant::ZERO, &handle);
        assert!(said[0].starts_with("STATUS=Recovering"), "{said:?}");
        assert!(said[1].starts_with("EXTEND_TIMEOUT_USEC="), "{said:?}");
    }

    #[test]
    fn a_replica_without_a_leader_is_up_after_a_while() {
        let mut report = report();
        let handle = handle(Lifecycle::StoragePrepared, "VOTING", None);
        let early = report.look(Instant::ZERO, &handle);
        assert_eq!(early, ["STATUS=Waiting for a leader"]);
        let late = report.look(Instant::ZERO + LEADERLESS, &handle);
        assert!(late[0].starts_with("READY=1"), "{late:?}");
    }

    #[test]
    fn messages_arrive_at_a_socket_of_either_kind() {
        let name = format!("aurora-notify-{}", std::process::id());
        let path = std::env::temp_dir().join(&name);
        drop(std::fs::remove_file(&path));
        let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
        let servers = [
            (
                UnixDatagram::bind(&path).unwrap(),
                path.display().to_string(),
            ),
            (
                UnixDatagram::bind_addr(&abstract_address).unwrap(),
                format!("@{name}"),
            ),
        ];
        for (server, name) in servers {
            Notifier::new(&name, None).ready("a\nb");
            let mut buffer = [0; 64];
            let length = server.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1\nSTATUS=a b");
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_manager_that_is_gone_costs_nothing() {
        Notifier::new("/nonexistent/socket", Some(1)).status("x");
        Notifier::new("nonsense", None).status("x");
        Notifier::default().stopping();
    }
}
