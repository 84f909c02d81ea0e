//! The daemons' flags: one table each of name, type, default, standing and meaning.
//!
//! Any of `-flag=v`, `--flag=v`, `-flag v`, `--flag v` is read, with `_` or `-` within names. Each flag
//! has a [`Standing`]: it works; or it is accepted with one warning; or it stops the start, because it
//! would restrict access or redirect work and does not do so yet. Nothing may look secured and not be.

/// Writes a table of flags: `name: Kind = "default", standing, "help";`.
macro_rules! table {
    ($(#[$doc:meta])* $table:ident $($name:ident: $kind:ident = $default:literal,
        $standing:ident $(($why:literal))?, $help:literal;)*) => {
        $(#[$doc])*
        pub const $table: &[$crate::daemon::flags::Flag] = &[$(
            $crate::daemon::flags::Flag {
                name: stringify!($name),
                kind: $crate::daemon::flags::Kind::$kind,
                default: $default,
                standing: table!(@ $standing $($why)?),
                help: $help,
            },
        )*];
    };
    (@ works) => { $crate::daemon::flags::Standing::Works };
    (@ idle $why:literal) => { $crate::daemon::flags::Standing::Idle($why) };
    (@ stops $why:literal) => { $crate::daemon::flags::Standing::Stops($why) };
}

mod agent;
mod bounds;
mod observer;
mod quickstart;
mod scheduler;

pub use agent::AGENT_FLAGS;
pub use observer::OBSERVER_FLAGS;
pub use quickstart::QUICKSTART_FLAGS;
pub use scheduler::SCHEDULER_FLAGS;

use crate::base::argv::{self, Arg, ArgvError, Table, Takes};
use crate::base::secret::{HIDDEN, hide};
use crate::base::units;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;
use thiserror::Error;

/// What a flag's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`; bare means true.
    Bool,
    /// A size such as `64MB`.
    Data,
    /// A number with a fraction.
    Float,
    /// A whole number.
    Int,
    /// Any text.
    Text,
    /// A duration such as `15secs`.
    Time,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Data => "size",
            Self::Float => "number",
            Self::Int => "int",
            Self::Text => "text",
            Self::Time => "duration",
        }
    }
}

/// What setting a flag does in this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is accepted, has no effect, and one warning says this.
    Idle(&'static str),
    /// A value other than the default stops the start, for this reason.
    Stops(&'static str),
    /// It works.
    Works,
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Its name, with underscores.
    pub name: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// Its default, as it would be written; empty for none.
    pub default: &'static str,
    /// What setting it does.
    pub standing: Standing,
    /// What it means, in a line.
    pub help: &'static str,
}

/// Why a command line was refused. Each is one line that names the flag.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FlagError {
    /// A value that is not of the flag's type.
    #[error("-{flag}={value}: {reason}")]
    BadValue {
        /// The flag.
        flag: String,
        /// What was given.
        value: String,
        /// What was wanted.
        reason: String,
    },
    /// A flag that does not exist, lacks its value, or is no switch.
    #[error("{0}; -help lists all flags")]
    Line(#[from] ArgvError),
    /// A flag that must be given.
    #[error("a value for the -{0} flag must be supplied")]
    Required(&'static str),
    /// A flag given twice with different values.
    #[error("-{0} is given more than once, with different values")]
    Repeated(String),
    /// A flag whose feature does not work yet, and whose absence would mislead.
    #[error(
        "-{flag} does not work yet in this version of aurora, and starting without it would {reason}; remove the flag to start"
    )]
    Stops {
        /// The flag.
        flag: &'static str,
        /// What would go wrong.
        reason: &'static str,
    },
    /// Something that is no flag.
    #[error("unexpected argument '{0}': flags are written -name=value; see -help")]
    Unexpected(String),
}

/// Flags whose values are secrets themselves, not names of files with secrets.
const SECRETS: &[&str] = &["zk_digest_credentials"];

/// The flags of one run, all valid.
#[derive(Clone, Debug)]
pub struct Values {
    table: &'static [Flag],
    given: BTreeMap<&'static str, String>,
    /// Whether help was asked for.
    pub help: bool,
}

impl Values {
    /// Reads a command line by `table`.
    ///
    /// # Errors
    ///
    /// The first flag that is unknown, wrong, repeated, or that stops the start.
    pub fn parse(table: &'static [Flag], args: &[String]) -> Result<Self, FlagError> {
        let mut values = Self {
            table,
            given: BTreeMap::new(),
            help: false,
        };
        for arg in spellings(table).parse(args)? {
            match arg {
                // The last one, behind the table's own, is help.
                Arg::Flag { index, value } => match table.get(index) {
                    Some(flag) => values.take(flag, value)?,
                    None => values.help = true,
                },
                Arg::Word(word) => return Err(FlagError::Unexpected(hide(&word).into_owned())),
            }
        }
        bounds::check_order(&values)?;
        Ok(values)
    }

    fn take(&mut self, flag: &'static Flag, value: String) -> Result<(), FlagError> {
        check(flag, &value)?;
        if let Standing::Stops(reason) = flag.standing
            && value != flag.default
        {
            return Err(FlagError::Stops {
                flag: flag.name,
                reason,
            });
        }
        match self.given.insert(flag.name, value.clone()) {
            Some(before) if before != value => Err(FlagError::Repeated(flag.name.to_owned())),
            Some(_) | None => Ok(()),
        }
    }

    /// One line for each accepted flag that has no effect.
    pub fn warnings(&self) -> Vec<String> {
        let idle = |flag: &&Flag| self.given.contains_key(flag.name);
        let warn = |flag: &Flag| match flag.standing {
            Standing::Idle(why) => Some(format!("-{} has no effect: {why}", flag.name)),
            Standing::Stops(_) | Standing::Works => None,
        };
        self.table.iter().filter(idle).filter_map(warn).collect()
    }

    /// The value as text; `None` if it was not given and has no default.
    ///
    /// # Panics
    ///
    /// If the table has no such flag: names are literals of this program.
    pub fn text(&self, name: &str) -> Option<&str> {
        let flag = find(self.table, name).expect("the flag is in the table");
        let default = (!flag.default.is_empty()).then_some(flag.default);
        self.given.get(name).map(String::as_str).or(default)
    }

    /// The value as text, which must be there.
    ///
    /// # Errors
    ///
    /// If it was not given and has no default.
    pub fn required(&self, name: &'static str) -> Result<&str, FlagError> {
        self.text(name)
            .filter(|v| !v.is_empty())
            .ok_or(FlagError::Required(name))
    }

    /// Whether the flag is true.
    pub fn is_on(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    /// The value as a duration.
    ///
    /// # Panics
    ///
    /// If the flag has neither value nor default: see [`Values::text`].
    pub fn time(&self, name: &str) -> Duration {
        let text = self.text(name).expect("durations have defaults");
        units::parse_duration(text).expect("values are checked when they are read")
    }

    /// The value as a size in bytes.
    ///
    /// # Panics
    ///
    /// If the flag has neither value nor default: see [`Values::text`].
    pub fn size(&self, name: &str) -> u64 {
        let text = self.text(name).expect("sizes have defaults");
        units::parse_size(text).expect("values are checked when they are read")
    }

    /// The value as a whole number.
    ///
    /// # Panics
    ///
    /// If the flag has neither value nor default: see [`Values::text`].
    pub fn int(&self, name: &str) -> i64 {
        let text = self.text(name).expect("numbers have defaults");
        text.parse().expect("values are checked when they are read")
    }

    /// The value as a whole number between zero and the largest of `T`.
    ///
    /// # Errors
    ///
    /// A number that is out of range.
    pub fn count<T: TryFrom<i64>>(&self, name: &'static str) -> Result<T, FlagError> {
        let value = self.int(name);
        T::try_from(value).map_err(|_| FlagError::BadValue {
            flag: name.to_owned(),
            value: value.to_string(),
            reason: "out of range".to_owned(),
        })
    }

    /// The value as a number.
    ///
    /// # Panics
    ///
    /// If the flag has neither value nor default: see [`Values::text`].
    pub fn float(&self, name: &str) -> f64 {
        let text = self.text(name).expect("numbers have defaults");
        text.parse().expect("values are checked when they are read")
    }

    /// All flags and their values in force, for the log and `/vars`: of a secret only that it is set.
    pub fn effective(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        let shown = |flag: &Flag| {
            let value = self.text(flag.name)?;
            Some((flag.name, shown_value(flag.name, value)))
        };
        self.table.iter().filter_map(shown).collect()
    }

    /// Values that nobody should see in a list of processes: of flags that are secrets, and addresses with
    /// a login.
    pub fn secrets(&self) -> Vec<&str> {
        let is_secret = |name: &str, value: &str| !matches!(shown_value(name, value), Cow::Borrowed(it) if it == value);
        self.given
            .iter()
            .filter(|(name, value)| is_secret(name, value))
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

/// A value as the log and pages may show it.
fn shown_value<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    match SECRETS.contains(&name) && !value.is_empty() {
        true => Cow::Borrowed("(set)"),
        false => hide(value),
    }
}

fn find(table: &'static [Flag], name: &str) -> Option<&'static Flag> {
    table.iter().find(|f| f.name == name)
}

/// The table as the command line reader wants it, and `help` behind it.
fn spellings(table: &[Flag]) -> Table {
    let takes = |kind| {
        if kind == Kind::Bool {
            Takes::Switch
        } else {
            Takes::Value
        }
    };
    let mut flags: Vec<_> = table
        .iter()
        .map(|f| argv::Flag::new(f.name, takes(f.kind)))
        .collect();
    flags.push(argv::Flag {
        short: Some('h'),
        ..argv::Flag::new("help", Takes::Switch)
    });
    Table {
        flags,
        prefixes: false,
        switch_words: true,
    }
}

fn check(flag: &Flag, value: &str) -> Result<(), FlagError> {
    let bad = |reason: String| FlagError::BadValue {
        flag: flag.name.to_owned(),
        value: match SECRETS.contains(&flag.name) {
            true => HIDDEN.to_owned(),
            false => hide(value).chars().take(80).collect(),
        },
        reason,
    };
    match flag.kind {
        Kind::Bool if !matches!(value, "true" | "false") => {
            Err(bad("expected true or false".to_owned()))
        }
        Kind::Int if value.parse::<i64>().is_err() => {
            Err(bad("expected a whole number".to_owned()))
        }
        Kind::Float if !value.parse::<f64>().is_ok_and(f64::is_finite) => {
            Err(bad("expected a number".to_owned()))
        }
        Kind::Time => units::parse_duration(value)
            .map(|_| ())
            .map_err(|e| bad(e.to_string())),
        Kind::Data => units::parse_size(value)
            .map(|_| ())
            .map_err(|e| bad(e.to_string())),
        Kind::Bool | Kind::Float | Kind::Int | Kind::Text => Ok(()),
    }?;
    match bounds::refuse(flag.name, flag.kind, value) {
        Some(reason) => Err(bad(reason.to_owned())),
        None => Ok(()),
    }
}

/// The help text of a table.
pub fn help(program: &str, purpose: &str, table: &[Flag]) -> String {
    let mut text = format!("usage: {program} -flag=value ...\n\n{purpose}\n\nflags:\n");
    for flag in table {
        // Some meanings say what stands in for a value that is not given.
        let default = match flag.default {
            "" if flag.help.contains("default:") => String::new(),
            "" => " (default: none)".to_owned(),
            default => format!(" (default: {default})"),
        };
        let note = match flag.standing {
            Standing::Idle(_) => " (accepted, no effect)",
            Standing::Stops(_) => " (not supported yet: stops the start)",
            Standing::Works => "",
        };
        write!(
            text,
            "  -{}={}{note}\n      {}{default}\n",
            flag.name,
            flag.kind.name(),
            flag.help
        )
        .expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Values, FlagError> {
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        Values::parse(SCHEDULER_FLAGS, &args)
    }

    #[test]
    fn every_spelling_of_a_flag_is_read() {
        for args in [
            &["-http_port=8081"][..],
            &["--http_port=8081"],
            &["-http_port", "8081"],
            &["--http-port", "8081"],
        ] {
            assert_eq!(parse(args).unwrap().int("http_port"), 8081, "{args:?}");
        }
        assert!(
            parse(&["-hold_offers_forever"])
                .unwrap()
                .is_on("hold_offers_forever")
        );
        assert!(
            !parse(&["-enable_preemptor=false"])
                .unwrap()
                .is_on("enable_preemptor")
        );
        assert!(
            !parse(&["-enable_preemptor", "false"])
                .unwrap()
                .is_on("enable_preemptor")
        );
    }

    #[test]
    fn wrong_flags_are_named_with_the_nearest_right_one() {
        let error = parse(&["-http_prot=1"]).unwrap_err().to_string();
        assert!(
            error.contains("-http_prot") && error.contains("-http_port"),
            "{error}"
        );
        let error = parse(&["-backup_interval=5parsecs"])
            .unwrap_err()
            .to_string();
        assert!(error.contains("-backup_interval=5parsecs"), "{error}");
        assert!(parse(&["-http_port"]).is_err());
        assert!(parse(&["-http_port=x"]).is_err());
        assert!(parse(&["stray"]).is_err());
        assert!(parse(&["-http_port=1", "-http_port=2"]).is_err());
    }

    #[test]
    fn flags_that_would_only_look_like_protection_stop_the_start() {
        for flag in [
            "-http_authentication_mechanism=BASIC",
            "-shiro_ini_path=/etc/shiro.ini",
            "-zk_endpoints=localhost:2181",
            "-kerberos_server_keytab=/k",
        ] {
            let error = parse(&[flag]).unwrap_err();
            assert!(matches!(error, FlagError::Stops { .. }), "{flag}: {error}");
        }
        assert!(parse(&["-http_authentication_mechanism=NONE"]).is_ok());
    }

    #[test]
    fn defaults_are_of_their_own_type_and_names_are_unique() {
        for table in [SCHEDULER_FLAGS, AGENT_FLAGS] {
            for (index, flag) in table.iter().enumerate() {
                if !flag.default.is_empty() {
                    check(flag, flag.default).unwrap();
                }
                assert!(
                    table[..index].iter().all(|f| f.name != flag.name),
                    "{}",
                    flag.name
                );
            }
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        table! {
            /// Flags of this test.
            FLAGS
            hostname: Text = "", works, "";
            zk_digest_credentials: Text = "", works, "";
        }
        let args = ["-hostname=a", "-zk_digest_credentials=me:secret"].map(str::to_owned);
        let values = Values::parse(FLAGS, &args).unwrap();
        assert_eq!(
            values.effective(),
            [
                ("hostname", "a".into()),
                ("zk_digest_credentials", "(set)".into())
            ]
        );
        assert_eq!(values.secrets(), ["me:secret"]);
        let args = ["-hostname=zk://me:pw@a"].map(str::to_owned);
        let values = Values::parse(FLAGS, &args).unwrap();
        assert_eq!(values.effective(), [("hostname", "zk://***@a".into())]);
        assert_eq!(values.secrets(), ["zk://me:pw@a"]);
        for args in [["http://me:secret@a"], ["-zk_digest_credential=me:secret"]] {
            let error = Values::parse(FLAGS, &args.map(str::to_owned)).unwrap_err();
            assert!(!error.to_string().contains("secret@"), "{error}");
            assert!(!error.to_string().contains(":secret"), "{error}");
        }
    }

    /// What upstream's scheduler has, with its defaults; `-` where it has none or names classes.
    const UPSTREAM: &str = include_str!("../../../tests/fixtures/upstream_flags.txt");

    /// Defaults that are not upstream's, on purpose.
    const OURS: &[(&str, &str)] = &[
        // An ephemeral port is of no use to anybody who does not read the log.
        ("http_port", "8081"),
        // Executors are small and start fast; leaders are ready at once.
        ("max_reschedule_task_delay_on_startup", "0secs"),
        ("thermos_executor_cpu", "0.01"),
        ("thermos_executor_ram", "8MB"),
        // Written out where upstream's table says "all three".
        ("sla_prod_metrics", "JOB_UPTIMES,PLATFORM_UPTIME,MEDIANS"),
    ];

    /// Flags that restrict access or redirect work: each works or stops the start, and is never ignored.
    const GUARDED: &[&str] = &[
        "allow_container_volumes",
        "allow_docker_parameters",
        "allow_gpu_resource",
        "allowed_container_types",
        "allowed_job_environments",
        "custom_executor_config",
        "default_docker_parameters",
        "enable_cors_for",
        "enable_mesos_fetcher",
        "framework_authentication_file",
        "global_container_mounts",
        "http_authentication_mechanism",
        "ip",
        "kerberos_server_keytab",
        "kerberos_server_principal",
        "max_tasks_per_job",
        "mesos_master_address",
        "mesos_role",
        "native_log_zk_group_path",
        "offer_set_module",
        "preemption_slot_finder_modules",
        "require_docker_use_executor",
        "serverset_path",
        "shiro_after_auth_filter",
        "shiro_credentials_matcher",
        "shiro_ini_path",
        "shiro_realm_modules",
        "task_assigner_modules",
        "thrift_method_interceptor_modules",
        "tier_config",
        "webhook_config",
        "zk_chroot_path",
        "zk_digest_credentials",
        "zk_endpoints",
        "zk_in_proc",
    ];

    fn upstream() -> impl Iterator<Item = (&'static str, &'static str)> {
        UPSTREAM.lines().filter_map(|line| line.split_once(' '))
    }

    #[test]
    fn every_flag_of_upstream_is_known_with_its_default_and_said_in_the_help() {
        let text = help("aurora-scheduler", "", SCHEDULER_FLAGS);
        assert_eq!(upstream().count(), 137);
        for (name, theirs) in upstream() {
            let flag = find(SCHEDULER_FLAGS, name);
            let flag = flag.unwrap_or_else(|| panic!("-{name} is not known"));
            let ours = OURS.iter().find(|(own, _)| *own == name);
            let wanted = ours.map_or(theirs, |(_, ours)| *ours);
            let wanted = wanted.trim_matches('-');
            if ours.is_some() || wanted.is_empty() || !flag.default.is_empty() {
                assert_eq!(flag.default, wanted, "-{name}");
            }
            assert!(
                text.contains(&format!("\n  -{name}=")),
                "-{name} in the help"
            );
            assert!(flag.help.len() > 4, "-{name}");
        }
        for flag in SCHEDULER_FLAGS {
            assert!(text.contains(&format!("\n  -{}=", flag.name)));
        }
    }

    #[test]
    fn a_flag_that_works_is_read_somewhere() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/daemon");
        let files = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let sources = files.filter(|path| path.extension().is_some_and(|end| end == "rs"));
        let text: String = sources
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        for flag in SCHEDULER_FLAGS {
            let name = format!("\"{}\"", flag.name);
            let works = flag.standing == Standing::Works;
            assert!(
                !works || text.contains(&name),
                "-{} is said to work",
                flag.name
            );
        }
    }

    #[test]
    fn a_flag_works_or_is_accepted_with_one_warning_or_stops_the_start() {
        for (name, _) in upstream() {
            let flag = find(SCHEDULER_FLAGS, name).unwrap();
            let value = match flag.kind {
                Kind::Bool if flag.default == "true" => "false",
                Kind::Bool => "true",
                Kind::Data => "3MB",
                Kind::Float | Kind::Int => "3",
                Kind::Text => "x",
                // Pauses grow up to these, so they must not be less than what they begin with.
                Kind::Time if name.contains("max_") => "3hrs",
                Kind::Time => "3secs",
            };
            let parsed = parse(&[&format!("-{name}={value}")]);
            match flag.standing {
                Standing::Works => assert_eq!(parsed.unwrap().warnings(), [""; 0], "-{name}"),
                Standing::Idle(why) => {
                    let guarded = GUARDED.contains(&name);
                    assert!(!guarded, "-{name} would only look like what it says");
                    let warnings = parsed.unwrap().warnings();
                    assert_eq!(warnings.len(), 1, "-{name}");
                    assert!(warnings[0].contains(name) && warnings[0].contains(why));
                    assert!(
                        !why.contains("not in this version"),
                        "-{name} says nothing of what to use instead"
                    );
                }
                Standing::Stops(_) => {
                    let error = parsed.unwrap_err();
                    assert!(matches!(error, FlagError::Stops { .. }), "-{name}");
                    assert!(error.to_string().contains(name) && !error.to_string().contains('\n'));
                }
            }
        }
    }
}
