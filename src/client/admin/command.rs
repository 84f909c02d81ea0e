//! The commands and their options, and what a command line asks for.

use super::fail;
use crate::base::argv::{Arg, Flag, Table, Takes, nearest};
use crate::client::exit::{CommandError, Exit};
use std::collections::BTreeMap;
use std::fmt::Write;

/// An option: name, letter, whether it has a value, meaning.
type Opt = (&'static str, Option<char>, Takes, &'static str);

/// A command: name, positional arguments (those in brackets may be left out), options, purpose.
struct Command {
    name: &'static str,
    words: &'static [&'static str],
    options: &'static [Opt],
    purpose: &'static str,
}

const fn value(name: &'static str, short: Option<char>, meaning: &'static str) -> Opt {
    (name, short, Takes::Value, meaning)
}

const fn switch(name: &'static str, short: Option<char>, meaning: &'static str) -> Opt {
    (name, short, Takes::Switch, meaning)
}

/// Options that every command takes.
const SHARED: &[Opt] = &[
    switch("help", Some('h'), "show this"),
    switch("v", Some('v'), "tell details"),
    switch("q", Some('q'), "tell nothing on stderr but errors"),
    switch(
        "bypass_leader_redirect",
        None,
        "talk to the scheduler that clusters.json names, leader or not",
    ),
    value("log_to_stderr", None, "accepted, without effect"),
    value("log_dir", None, "accepted, without effect"),
];

const HOSTS: [Opt; 2] = [
    value("filename", None, "a file with a host on each line"),
    value("hosts", None, "hosts, separated by commas"),
];

const GROUPING: Opt = value(
    "grouping",
    None,
    "hosts that go down together: by_host (default) or none",
);

const MIN_COUNT: Opt = value(
    "min_job_instance_count",
    None,
    "jobs with fewer instances do not matter (default 10)",
);

const NO_OPTIONS: &[Opt] = &[];
const CLUSTER: &[&str] = &["cluster"];
const SLA: &[&str] = &["cluster", "percentage", "duration"];
const QUOTA: &[&str] = &["cluster", "role", "cpu", "ram", "disk"];

const COMMANDS: &[Command] = &[
    Command {
        name: "get_cluster_config",
        words: CLUSTER,
        options: &[
            switch("sh", None, "as assignments for a shell"),
            switch("export", None, "with --sh: assignments that are exported"),
        ],
        purpose: "Show what clusters.json says of a cluster.",
    },
    Command {
        name: "get_scheduler",
        words: CLUSTER,
        options: NO_OPTIONS,
        purpose: "Show where the scheduler is.",
    },
    Command {
        name: "host_activate",
        words: CLUSTER,
        options: &HOSTS,
        purpose: "Put hosts back into service.",
    },
    Command {
        name: "host_deactivate",
        words: CLUSTER,
        options: &HOSTS,
        purpose: "Use hosts only if nothing else fits.",
    },
    Command {
        name: "host_drain",
        words: CLUSTER,
        options: &[
            HOSTS[0],
            HOSTS[1],
            value(
                "post_drain_script",
                None,
                "a program that is run with each drained host",
            ),
            GROUPING,
            value(
                "override_percentage",
                None,
                "percentage of tasks that must stay up",
            ),
            value(
                "override_duration",
                None,
                "for how long they must have been up",
            ),
            value("override_reason", None, "why the usual limits do not hold"),
            value(
                "unsafe_hosts_file",
                None,
                "a file for the hosts that could not be drained",
            ),
        ],
        purpose: "Drain hosts as far as jobs stay up (deprecated: use sla_host_drain).",
    },
    Command {
        name: "host_status",
        words: CLUSTER,
        options: &HOSTS,
        purpose: "Show how far hosts are out of service.",
    },
    Command {
        name: "increase_quota",
        words: QUOTA,
        options: NO_OPTIONS,
        purpose: "Add to the quota of a role.",
    },
    Command {
        name: "prune_tasks",
        words: CLUSTER,
        options: &[
            value(
                "states",
                None,
                "states, separated by commas (default: all ended ones)",
            ),
            value("role", None, "tasks of this role only"),
            value("env", None, "tasks of this environment only"),
            value("limit", None, "no more than this many tasks"),
        ],
        purpose: "Forget ended tasks.",
    },
    Command {
        name: "query",
        words: &["cluster", "[role]", "[job]"],
        options: &[
            switch("force", None, "allow queries that may find very much"),
            value("shards", None, "instances, separated by commas"),
            value(
                "states",
                None,
                "states, separated by commas (default RUNNING)",
            ),
            value(
                "listformat",
                Some('l'),
                "how a task is shown: text with %key% in it",
            ),
        ],
        purpose: "List tasks.",
    },
    Command {
        name: "reconcile_tasks",
        words: CLUSTER,
        options: &[
            value("type", Some('t'), "explicit (default) or implicit"),
            value("batch_size", Some('b'), "tasks in one order, for explicit"),
        ],
        purpose: "Compare the tasks that the scheduler knows with those that agents have.",
    },
    Command {
        name: "scheduler_backup_now",
        words: CLUSTER,
        options: NO_OPTIONS,
        purpose: "Write a backup.",
    },
    Command {
        name: "scheduler_commit_recovery",
        words: CLUSTER,
        options: NO_OPTIONS,
        purpose: "Put the staged backup in place of everything.",
    },
    Command {
        name: "scheduler_delete_recovery_tasks",
        words: &["cluster", "task_ids"],
        options: NO_OPTIONS,
        purpose: "Take tasks, separated by commas, out of the staged backup.",
    },
    Command {
        name: "scheduler_list_backups",
        words: CLUSTER,
        options: NO_OPTIONS,
        purpose: "List the backups.",
    },
    Command {
        name: "scheduler_print_recovery_tasks",
        words: CLUSTER,
        options: NO_OPTIONS,
        purpose: "Show the active tasks of the staged backup.",
    },
    Command {
        name: "scheduler_restore",
        words: &["cluster", "backup_id"],
        options: &[switch("yes", Some('y'), "do not ask")],
        purpose: "Restore a backup: show what comes back and what ends, ask, and do it.",
    },
    Command {
        name: "scheduler_snapshot",
        words: CLUSTER,
        options: NO_OPTIONS,
        purpose: "Take a snapshot and wait for it.",
    },
    Command {
        name: "scheduler_stage_recovery",
        words: &["cluster", "backup_id"],
        options: NO_OPTIONS,
        purpose: "Load a backup to look at it.",
    },
    Command {
        name: "scheduler_unload_recovery",
        words: CLUSTER,
        options: NO_OPTIONS,
        purpose: "Let go of the staged backup.",
    },
    Command {
        name: "set_quota",
        words: QUOTA,
        options: NO_OPTIONS,
        purpose: "Set the quota of a role.",
    },
    Command {
        name: "sla_host_drain",
        words: CLUSTER,
        options: &[
            HOSTS[0],
            HOSTS[1],
            value(
                "default_percentage",
                None,
                "share that stays up of jobs that say nothing (95)",
            ),
            value(
                "default_duration",
                None,
                "for how long they must have been up (30m)",
            ),
            value(
                "force_drain_timeout",
                None,
                "after this long nothing is minded any more (7d)",
            ),
        ],
        purpose: "Drain hosts as jobs allow it, and return at once.",
    },
    Command {
        name: "sla_list_safe_domain",
        words: SLA,
        options: &[
            value(
                "exclude_file",
                Some('X'),
                "a file with hosts that are left out",
            ),
            value("exclude_hosts", Some('x'), "hosts that are left out"),
            GROUPING,
            value(
                "include_file",
                Some('I'),
                "a file with the only hosts to look at",
            ),
            value("include_hosts", Some('i'), "the only hosts to look at"),
            switch("list_jobs", Some('l'), "show the jobs as well"),
            MIN_COUNT,
            value(
                "override_file",
                Some('o'),
                "a file of lines JOB PERCENTAGE DURATION",
            ),
        ],
        purpose: "List hosts that may go down while jobs stay up.",
    },
    Command {
        name: "sla_probe_hosts",
        words: SLA,
        options: &[HOSTS[0], HOSTS[1], GROUPING, MIN_COUNT],
        purpose: "Show what would happen to jobs if hosts went down.",
    },
];

/// What a command line asks for.
pub(super) enum Invocation {
    Run(Given),
    Say { text: String, exit: Exit },
}

/// A command with its arguments.
pub(super) struct Given {
    pub(super) command: &'static str,
    words: Vec<String>,
    options: BTreeMap<&'static str, String>,
}

impl Given {
    /// A positional argument; empty if it was left out.
    pub(super) fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    /// An option's value.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    pub(super) fn is_on(&self, name: &str) -> bool {
        self.option(name) == Some("true")
    }

    /// An option's value as a number.
    pub(super) fn number<T: std::str::FromStr>(
        &self,
        name: &str,
    ) -> Result<Option<T>, CommandError> {
        let Some(text) = self.option(name) else {
            return Ok(None);
        };
        let number = text.parse().map(Some);
        number.map_err(|_| fail(format!("--{name}={text}: expected a number")))
    }
}

/// Reads a command line without the program's name.
pub(super) fn read(args: &[String]) -> Result<Invocation, CommandError> {
    // Options that all commands share may stand before the command.
    let first = args.iter().position(|arg| !arg.starts_with('-'));
    let Some(first) = first else {
        return match args
            .iter()
            .find(|arg| arg.as_str() != "-h" && arg.as_str() != "--help")
        {
            None => Ok(say(usage(), Exit::Ok)),
            Some(odd) => Err(fail(format!(
                "{odd}: a command is missing; see aurora_admin help"
            ))),
        };
    };
    let mut rest = args.to_vec();
    let name = rest.remove(first);
    if name == "help" {
        return Ok(match rest.first() {
            None => say(usage(), Exit::Ok),
            Some(command) => match find(command) {
                Some(command) => say(help(command), Exit::Ok),
                None => say(format!("Subcommand {command} not found."), Exit::Failure),
            },
        });
    }
    let Some(command) = find(&name) else {
        let names = COMMANDS.iter().map(|command| command.name);
        let hint = nearest(&name, names).map(|name| format!("; did you mean {name}?"));
        let hint = hint.unwrap_or_default();
        return Err(fail(format!(
            "unknown command {name}{hint} (see aurora_admin help)"
        )));
    };
    given(command, &rest)
}

fn given(command: &'static Command, args: &[String]) -> Result<Invocation, CommandError> {
    let all: Vec<&Opt> = SHARED.iter().chain(command.options).collect();
    let table = Table {
        flags: all
            .iter()
            .map(|(name, short, takes, _)| Flag {
                short: *short,
                ..Flag::new(name, *takes)
            })
            .collect(),
        prefixes: true,
        switch_words: false,
    };
    let parsed = table.parse(args);
    let parsed = parsed.map_err(|error| fail(format!("{}: {error}", command.name)))?;
    let (mut words, mut options) = (Vec::new(), BTreeMap::new());
    for arg in parsed {
        match arg {
            Arg::Flag { index, value } => {
                options.insert(all[index].0, value);
            }
            Arg::Word(word) => words.push(word),
        }
    }
    let given = Given {
        command: command.name,
        words,
        options,
    };
    if given.is_on("help") {
        return Ok(say(help(command), Exit::Ok));
    }
    let needed = command.words.iter().filter(|word| !word.starts_with('['));
    if !(needed.count()..=command.words.len()).contains(&given.words.len()) {
        return Err(fail(format!("Usage: {}", line(command))));
    }
    Ok(Invocation::Run(given))
}

fn say(text: String, exit: Exit) -> Invocation {
    Invocation::Say { text, exit }
}

fn find(name: &str) -> Option<&'static Command> {
    let plain = name.replace('-', "_");
    COMMANDS.iter().find(|command| command.name == plain)
}

fn line(command: &Command) -> String {
    let options = match command.options.is_empty() {
        true => "",
        false => " [options]",
    };
    format!(
        "aurora_admin {}{options} {}",
        command.name,
        command.words.join(" ")
    )
}

fn usage() -> String {
    let mut text = "Usage: aurora_admin COMMAND [options] ...\n\nCommands:\n".to_owned();
    for command in COMMANDS {
        let row = writeln!(text, "  {:<32} {}", command.name, command.purpose);
        row.expect("a text takes all that is written");
    }
    text.push_str("\naurora_admin help COMMAND shows a command's options.");
    text
}

fn help(command: &Command) -> String {
    let mut text = format!(
        "Usage: {}\n\n{}\n\nOptions:",
        line(command),
        command.purpose
    );
    for (name, short, takes, meaning) in command.options.iter().chain(SHARED) {
        let short = short
            .map(|letter| format!("-{letter}, "))
            .unwrap_or_default();
        let value = match takes {
            Takes::Value => "=VALUE",
            Takes::Switch => "",
        };
        let spelled = format!("{short}--{name}{value}");
        let row = write!(text, "\n  {spelled:<32} {meaning}");
        row.expect("a text takes all that is written");
    }
    text
}
