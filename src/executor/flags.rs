//! The executor's command line: upstream's flags for it, as far as they mean something here.
//!
//! The scheduler carries them as one text from its operator to the agents. It reads them itself to refuse
//! what no executor would take, the agent reads what it has to do for them, the executor the rest.

use super::logger::{self, Destination, Logger};
use crate::base::argv::{Arg, ArgvError, Flag, Table, Takes};
use std::time::Duration;
use thiserror::Error;

/// What a flag is to this executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It does what it says.
    Works,
    /// It is taken and has no effect; why.
    Idle(&'static str),
    /// Without its effect tasks would run otherwise than they were meant to.
    Refused,
}

const ANNOUNCER: Standing = Standing::Idle("nothing is announced in ZooKeeper");
const JOURNAL: Standing = Standing::Idle("the executor's own log is executor.log");
const CONTAINER: Standing = Standing::Idle("tasks with images are not run");

/// Every flag that is known.
const FLAGS: &[(&str, Takes, Standing)] = &[
    (
        "announcer-allow-custom-serverset-path",
        Takes::Switch,
        ANNOUNCER,
    ),
    ("announcer-ensemble", Takes::Value, ANNOUNCER),
    ("announcer-hostname", Takes::Value, ANNOUNCER),
    ("announcer-serverset-path", Takes::Value, ANNOUNCER),
    ("announcer-zookeeper-auth-config", Takes::Value, ANNOUNCER),
    ("execute-as-user", Takes::Value, Standing::Works),
    ("log_dir", Takes::Value, JOURNAL),
    ("log_simple", Takes::Switch, JOURNAL),
    ("log_to_disk", Takes::Value, JOURNAL),
    ("log_to_stderr", Takes::Value, JOURNAL),
    ("mesos-containerizer-path", Takes::Value, CONTAINER),
    ("no-create-user", Takes::Switch, CONTAINER),
    ("nosetuid", Takes::Switch, Standing::Works),
    ("nosetuid-health-checks", Takes::Switch, Standing::Refused),
    ("preserve_env", Takes::Switch, Standing::Works),
    ("runner-logger-destination", Takes::Value, Standing::Works),
    ("runner-logger-mode", Takes::Value, Standing::Works),
    ("runner-rotate-log-backups", Takes::Value, Standing::Works),
    ("runner-rotate-log-size-mb", Takes::Value, Standing::Works),
    ("sandbox-mount-point", Takes::Value, CONTAINER),
    ("stop_timeout_in_secs", Takes::Value, Standing::Works),
    ("task-dir", Takes::Value, Standing::Works),
];

/// The flags as values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutorFlags {
    /// The task's directory; set by the agent alone.
    pub task_dir: Option<String>,
    /// How processes log that do not say it themselves.
    pub logger: Logger,
    /// Whether processes get the executor's environment too.
    pub preserve_env: bool,
    /// Whether processes run as the executor's own user instead of the role's.
    pub nosetuid: bool,
    /// The user to run as instead of the role's.
    pub execute_as_user: Option<String>,
    /// How long a kill waits for the executor; none is the agent's own time.
    pub stop_timeout: Option<Duration>,
    /// Flags that are known and have no effect, and why.
    pub idle: Vec<(String, &'static str)>,
}

/// Why a command line is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FlagsError {
    /// It does not match the table.
    #[error("executor {0}")]
    Argv(#[from] ArgvError),
    /// The value cannot be.
    #[error("executor option '--{name}={value}': expected {expected}")]
    Value {
        /// The flag.
        name: &'static str,
        /// What was given.
        value: String,
        /// What can be.
        expected: &'static str,
    },
    /// Not an option.
    #[error("'{0}' is not an option of the executor")]
    Word(String),
    /// What upstream does with it is not done here, and must not be left out unseen.
    #[error("executor option '--{0}' is not supported by this version")]
    Refused(&'static str),
    /// The text needs a shell.
    #[error("executor options are not given to a shell: '{0}' in them has no meaning")]
    Shell(char),
    /// A quote is not closed.
    #[error("executor options end inside {0}")]
    Unclosed(char),
}

/// Splits the text of an operator into words, with a shell's quotes and backslashes.
///
/// # Errors
///
/// A quote that is not closed, and what only a shell could replace.
pub fn split(text: &str) -> Result<Vec<String>, FlagsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            (None | Some('"'), '\\') => {
                let next = letters.next().ok_or(FlagsError::Unclosed('\\'))?;
                word.get_or_insert_default().push(next);
            }
            (None | Some('"'), '$' | '`') => return Err(FlagsError::Shell(letter)),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    if let Some(open) = quote {
        return Err(FlagsError::Unclosed(open));
    }
    words.extend(word);
    Ok(words)
}

impl ExecutorFlags {
    /// Reads the text of an operator.
    ///
    /// # Errors
    ///
    /// The first thing in it that no executor would take.
    pub fn of_text(text: &str) -> Result<Self, FlagsError> {
        Self::parse(&split(text)?)
    }

    /// Reads a command line without the program's name. The last of equal flags counts.
    ///
    /// # Errors
    ///
    /// The first word that cannot be.
    pub fn parse(words: &[String]) -> Result<Self, FlagsError> {
        let flag = |(name, takes, _): &(&str, Takes, Standing)| Flag::new(name, *takes);
        let table = Table {
            flags: FLAGS.iter().map(flag).collect(),
            ..Table::default()
        };
        let mut new = Self::default();
        for arg in table.parse(words)? {
            match arg {
                Arg::Word(word) => return Err(FlagsError::Word(word)),
                Arg::Flag { index, value } => new.set(index, value)?,
            }
        }
        Ok(new)
    }

    fn set(&mut self, index: usize, value: String) -> Result<(), FlagsError> {
        let (name, _, standing) = FLAGS[index];
        match standing {
            Standing::Works => {}
            Standing::Idle(why) => {
                self.idle.push((name.to_owned(), why));
                return Ok(());
            }
            Standing::Refused if value == "false" => return Ok(()),
            Standing::Refused => return Err(FlagsError::Refused(name)),
        }
        let number = |max: u64| match value.parse() {
            Ok(number) if (1..=max).contains(&number) => Ok(number),
            Ok(_) | Err(_) => Err(FlagsError::Value {
                name,
                value: value.clone(),
                expected: "a whole number above zero",
            }),
        };
        let choice = |expected| FlagsError::Value {
            name,
            value: value.clone(),
            expected,
        };
        match name {
            "execute-as-user" => self.execute_as_user = Some(value),
            "nosetuid" => self.nosetuid = value == "true",
            "preserve_env" => self.preserve_env = value == "true",
            "runner-logger-destination" => {
                let chosen = Destination::of_name(&value);
                self.logger.destination = chosen.ok_or_else(|| choice(Destination::NAMES))?;
            }
            "runner-logger-mode" => {
                let chosen = logger::rotates(&value);
                self.logger.rotates = chosen.ok_or_else(|| choice(logger::MODES))?;
            }
            "runner-rotate-log-backups" => self.logger.backups = number(1_000)? as u32,
            "runner-rotate-log-size-mb" => self.logger.log_bytes = number(1 << 40)? << 20,
            "stop_timeout_in_secs" => {
                self.stop_timeout = Some(Duration::from_secs(number(366 * 86_400)?));
            }
            "task-dir" => self.task_dir = Some(value),
            other => unreachable!("{other} works and is set here"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_a_cluster_become_the_defaults_of_its_processes() {
        let text = "--runner-logger-destination=both --runner_logger_mode rotate \
                    --runner-rotate-log-size-mb=100 --runner-rotate-log-backups=10 \
                    --announcer-ensemble 127.0.0.1:2181 --preserve_env --stop_timeout_in_secs=7";
        let flags = ExecutorFlags::of_text(text).unwrap();
        let expected = Logger {
            destination: Destination::Both,
            rotates: true,
            log_bytes: 100 << 20,
            backups: 10,
        };
        assert_eq!(flags.logger, expected);
        assert!(flags.preserve_env && !flags.nosetuid);
        assert_eq!(flags.stop_timeout, Some(Duration::from_secs(7)));
        assert_eq!(flags.idle.len(), 1);
        assert_eq!(
            ExecutorFlags::of_text(" ").unwrap(),
            ExecutorFlags::default()
        );
    }

    #[test]
    fn what_no_executor_would_take_is_named() {
        for (text, part) in [
            ("--runner-logger-mode=spin", "standard or rotate"),
            ("--runner-logger-mdoe=rotate", "--runner-logger-mode"),
            ("--runner-rotate-log-backups=0", "above zero"),
            ("--runner-rotate-log-size-mb=-1", "above zero"),
            ("--nosetuid-health-checks", "not supported"),
            ("--announcer-hostname=$(hostname)", "'$'"),
            ("--log_dir='a", "inside '"),
            ("rotate", "'rotate'"),
        ] {
            let error = ExecutorFlags::of_text(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains('\n'));
        }
    }

    #[test]
    fn words_are_split_as_a_shell_would() {
        let words = split(r#"a "b c"  'd "e' f\ g "" h"#).unwrap();
        assert_eq!(words, ["a", "b c", "d \"e", "f g", "", "h"]);
    }
}
