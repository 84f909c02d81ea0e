//! What a command has to do with the outside, but for the scheduler: two streams, a clock, a few settings.

use crate::base::clock::{self, Instant, Timestamp};
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

/// Reads the time and lets it pass.
pub trait Time {
    /// A point on the monotonic clock.
    fn now(&self) -> Instant;
    /// The wall clock.
    fn wall(&self) -> Timestamp;
    /// Waits.
    fn sleep(&self, duration: Duration);
}

/// The real time.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealTime;

impl Time for RealTime {
    fn now(&self) -> Instant {
        clock::now()
    }

    fn wall(&self) -> Timestamp {
        clock::wall()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// What a command reads from its surroundings besides files and the network.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster files, in the order in which they are read; a missing one is no error.
    pub cluster_files: Vec<PathBuf>,
    /// Who runs the client.
    pub user: String,
    /// The program that compares task descriptions.
    pub diff_viewer: String,
    /// The program that opens web pages.
    pub browser: Option<String>,
    /// The zone in which times are shown.
    pub zone: jiff::tz::TimeZone,
    /// A file with passwords in the format of netrc.
    pub netrc: Option<PathBuf>,
    /// A file with the certificates that vouch for schedulers, instead of the usual ones.
    pub ca_bundle: Option<PathBuf>,
    /// Whether a person watches: progress may then be drawn.
    pub interactive: bool,
    /// Whether the scheduler is to answer even if it does not lead.
    pub bypass_leader_redirect: bool,
}

impl Settings {
    /// As the environment of this process says.
    pub fn from_env() -> Self {
        let var = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let home = var("HOME").map(PathBuf::from);
        let root = var("AURORA_CONFIG_ROOT").unwrap_or_else(|| "/etc/aurora".to_owned());
        let root = PathBuf::from(root);
        // The variable names a folder; the customer's page reads as if it named the file.
        let system = if root.is_file() {
            root
        } else {
            root.join("clusters.json")
        };
        let own = home.as_ref().map(|h| h.join(".aurora/clusters.json"));
        Self {
            cluster_files: std::iter::once(system).chain(own).collect(),
            user: user_name().or_else(|| var("USER")).unwrap_or_default(),
            diff_viewer: var("DIFF_VIEWER").unwrap_or_else(|| "diff".to_owned()),
            browser: var("BROWSER"),
            zone: jiff::tz::TimeZone::system(),
            netrc: var("NETRC")
                .map(PathBuf::from)
                .or_else(|| home.map(|h| h.join(".netrc"))),
            ca_bundle: ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"]
                .into_iter()
                .find_map(var)
                .map(PathBuf::from),
            bypass_leader_redirect: false,
            interactive: std::io::IsTerminal::is_terminal(&std::io::stderr()),
        }
    }
}

fn user_name() -> Option<String> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
    user.ok().flatten().map(|user| user.name)
}

/// The streams, the clock and the settings of one command.
pub struct World<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    time: &'a dyn Time,
    /// Where answers to questions come from, if not from the standard input.
    input: Option<&'a mut dyn BufRead>,
    /// What the surroundings say.
    pub settings: Settings,
    /// Whether details are logged: `--verbose`.
    pub verbose: bool,
    /// Whether nothing but errors is logged.
    pub quiet: bool,
}

impl<'a> World<'a> {
    /// Puts a world together.
    pub fn new(
        out: &'a mut dyn Write,
        err: &'a mut dyn Write,
        time: &'a dyn Time,
        settings: Settings,
    ) -> Self {
        Self {
            out,
            err,
            time,
            input: None,
            settings,
            verbose: false,
            quiet: false,
        }
    }

    /// Takes answers from somewhere else than the standard input.
    pub fn take_answers_from(&mut self, input: &'a mut dyn BufRead) {
        self.input = Some(input);
    }

    /// Asks and gives the line that comes, without white space around it; `None` if there is none.
    pub fn ask(&mut self, question: &str) -> Option<String> {
        self.print(question);
        let mut line = String::new();
        let read = match &mut self.input {
            Some(input) => input.read_line(&mut line),
            None => std::io::stdin().read_line(&mut line),
        };
        match read {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim().to_owned()),
        }
    }

    /// The clock.
    pub fn time(&self) -> &'a dyn Time {
        self.time
    }

    /// Writes `text` and an end of line to the output.
    pub fn print(&mut self, text: &str) {
        // Whoever reads may have gone away, as `head` does: what is done is still done.
        writeln!(self.out, "{text}")
            .and_then(|()| self.out.flush())
            .ok();
    }

    /// Writes `text` to the output, without an end of line.
    pub fn print_bare(&mut self, text: &str) {
        write!(self.out, "{text}")
            .and_then(|()| self.out.flush())
            .ok();
    }

    /// Writes `text` and an end of line to the error stream.
    pub fn complain(&mut self, text: &str) {
        writeln!(self.err, "{text}")
            .and_then(|()| self.err.flush())
            .ok();
    }

    /// Logs something of interest.
    pub fn info(&mut self, text: &str) {
        if !self.quiet {
            self.complain(&format!(" INFO] {text}"));
        }
    }

    /// Logs something that may be wrong.
    pub fn warn(&mut self, text: &str) {
        if !self.quiet {
            self.complain(&format!(" WARN] {text}"));
        }
    }

    /// Logs a detail, if details are wanted.
    pub fn debug(&mut self, text: &str) {
        if self.verbose {
            self.complain(&format!("DEBUG] {text}"));
        }
    }
}
