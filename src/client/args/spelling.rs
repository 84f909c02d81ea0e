//! From the words of a command line to a parsed command: finds noun and verb, brings options into the one
//! spelling that the parser knows.

use super::noun::{Aurora, LATER, Noun};
use crate::base::argv::{self, Arg, Flag, Table, Takes};
use crate::client::exit::{CommandError, Exit};
use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfoKind, FromArgs, Optionality};
use std::collections::BTreeSet;

/// What a command line asks for.
#[derive(Debug, PartialEq)]
pub enum Invocation {
    /// A command.
    Run {
        /// The command.
        noun: Box<Noun>,
        /// Whether details are logged.
        verbose: bool,
        /// Hooks that are left out.
        skip_hooks: Option<String>,
    },
    /// A text for the output, and nothing else.
    Say(String),
}

/// Options of every command, before those of the command itself.
const SHARED: usize = 3;

fn shared_flags() -> Vec<Flag> {
    let flag = |name: &str, short, takes| Flag {
        short,
        ..Flag::new(name, takes)
    };
    vec![
        flag("help", Some('h'), Takes::Switch),
        flag("verbose", Some('v'), Takes::Switch),
        flag("skip-hooks", None, Takes::Value),
    ]
}

/// Reads a command line without the program's name.
///
/// # Errors
///
/// It is wrong (status 2), or asks for something that is not there yet (status 5).
pub fn read(args: &[String]) -> Result<Invocation, CommandError> {
    let info = Aurora::get_args_info();
    let mut rest = args;
    let mut verbose = false;
    let mut path: Vec<&str> = Vec::new();
    let mut level = &info;
    while let Some((word, tail)) = rest.split_first() {
        if level.commands.is_empty() {
            break;
        }
        rest = tail;
        match word.as_str() {
            "-h" | "-help" | "--help" | "help" => return help(&path),
            "-v" | "--verbose" | "-verbose" => verbose = true,
            "--version" | "-version" if path.is_empty() => return Ok(Invocation::Say(version())),
            _ => {
                level = descend(level, &path, word)?;
                path.push(level.name);
            }
        }
    }
    if !level.commands.is_empty() {
        return if args.is_empty() {
            help(&path)
        } else {
            let usage = missing(level, &path);
            Err(CommandError::usage(usage))
        };
    }
    let table = table_of(level);
    let parsed = table.parse(rest).map_err(|error| {
        let command = path.join(" ");
        CommandError::usage(format!(
            "aurora {command}: {error} (see aurora {command} --help)"
        ))
    });
    if path.first().is_some_and(|noun| LATER.contains(noun)) {
        return if matches!(&parsed, Ok(args) if asks_help(args)) {
            help(&path)
        } else {
            let message = format!(
                "aurora {} is not supported yet by this version",
                path.join(" ")
            );
            Err(CommandError::new(Exit::InvalidCommand, message))
        };
    }
    run(&path, level, &last_ones(level, &table, parsed?), verbose)
}

fn asks_help(args: &[Arg]) -> bool {
    let help = |arg: &Arg| matches!(arg, Arg::Flag { index: 0, value } if value == "true");
    args.iter().any(help)
}

fn version() -> String {
    crate::base::stamp::version().to_owned()
}

/// The noun or verb called `word`.
fn descend<'i>(
    level: &'i CommandInfoWithArgs,
    path: &[&str],
    word: &str,
) -> Result<&'i CommandInfoWithArgs, CommandError> {
    let kind = if path.is_empty() { "noun" } else { "verb" };
    let found = level.commands.iter().find(|c| c.name == word);
    found.map(|c| &c.command).ok_or_else(|| {
        if word.starts_with('-') {
            return CommandError::usage(format!(
                "unknown option '{word}' (see {} --help)",
                program(path)
            ));
        }
        let names = level.commands.iter().map(|c| c.name);
        let hint = match argv::nearest(word, names.clone()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("choose from {}", names.collect::<Vec<_>>().join(", ")),
        };
        CommandError::usage(format!(
            "{}: unknown {kind} '{word}'; {hint}",
            program(path)
        ))
    })
}

fn program(path: &[&str]) -> String {
    std::iter::once("aurora")
        .chain(path.iter().copied())
        .collect::<Vec<_>>()
        .join(" ")
}

fn missing(level: &CommandInfoWithArgs, path: &[&str]) -> String {
    let kind = if path.is_empty() { "noun" } else { "verb" };
    let names: Vec<_> = level.commands.iter().map(|c| c.name).collect();
    format!(
        "{}: a {kind} is missing; choose from {}",
        program(path),
        names.join(", ")
    )
}

fn table_of(command: &CommandInfoWithArgs) -> Table {
    let mut flags = shared_flags();
    for flag in command.flags {
        let name = flag.long.trim_start_matches('-');
        if name != "help" {
            flags.push(Flag {
                name: name.to_owned(),
                short: flag.short,
                takes: match flag.kind {
                    FlagInfoKind::Switch => Takes::Switch,
                    FlagInfoKind::Option { .. } => Takes::Value,
                },
            });
        }
    }
    Table {
        flags,
        prefixes: true,
        switch_words: false,
    }
}

fn help(path: &[&str]) -> Result<Invocation, CommandError> {
    let args: Vec<&str> = path.iter().copied().chain(["--help"]).collect();
    match Aurora::from_args(&["aurora"], &args) {
        Err(exit) => Ok(Invocation::Say(exit.output.trim_end().to_owned())),
        Ok(_) => Ok(Invocation::Say(String::new())),
    }
}

/// Leaves of an option that is given several times the last, unless it may be repeated.
fn last_ones(level: &CommandInfoWithArgs, table: &Table, parsed: Vec<Arg>) -> Vec<Arg> {
    let repeats = |index: usize| {
        let name = &table.flags[index].name;
        let named = |long: &str| long.trim_start_matches('-') == name;
        let flag = level.flags.iter().find(|flag| named(flag.long));
        flag.is_some_and(|flag| flag.optionality == Optionality::Repeating)
    };
    let mut seen = BTreeSet::new();
    let mut kept: Vec<Arg> = parsed
        .into_iter()
        .rev()
        .filter(|arg| match arg {
            Arg::Flag { index, .. } => repeats(*index) || seen.insert(*index),
            Arg::Word(_) => true,
        })
        .collect();
    kept.reverse();
    kept
}

/// Hands the command to the parser, options first, then the words.
fn run(
    path: &[&str],
    level: &CommandInfoWithArgs,
    parsed: &[Arg],
    verbose: bool,
) -> Result<Invocation, CommandError> {
    if asks_help(parsed) {
        return help(path);
    }
    let table = table_of(level);
    let mut verbose = verbose;
    let mut skip_hooks = None;
    let mut args: Vec<String> = path.iter().map(|&p| p.to_owned()).collect();
    let mut words = vec!["--".to_owned()];
    for arg in parsed {
        match arg {
            Arg::Flag { index: 0, .. } => {}
            Arg::Flag { index: 1, value } => verbose = value == "true",
            Arg::Flag { index: 2, value } => skip_hooks = Some(value.clone()),
            Arg::Flag { index, value } => {
                debug_assert!(*index >= SHARED);
                let flag = &table.flags[*index];
                if flag.takes == Takes::Value {
                    args.extend([format!("--{}", flag.name), value.clone()]);
                } else if value == "true" {
                    args.push(format!("--{}", flag.name));
                }
            }
            Arg::Word(word) => words.push(word.clone()),
        }
    }
    args.append(&mut words);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match Aurora::from_args(&["aurora"], &args) {
        Ok(Aurora {
            noun: Some(noun), ..
        }) => Ok(Invocation::Run {
            noun: Box::new(noun),
            verbose,
            skip_hooks,
        }),
        Ok(_) => help(path),
        Err(exit) => {
            let command = path.join(" ");
            // The parser takes several lines and shouts; mistakes have one line here.
            let said: Vec<&str> = exit.output.split_whitespace().collect();
            let said = said.join(" ").replacen("Error parsing ", "cannot read ", 1);
            Err(CommandError::usage(format!(
                "aurora {command}: {said} (see aurora {command} --help)"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::args::{JobVerb, WaitUntil};

    fn parse(line: &str) -> Result<Invocation, CommandError> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        read(&args)
    }

    fn job(line: &str) -> JobVerb {
        match parse(line) {
            Ok(Invocation::Run { noun, .. }) => match *noun {
                Noun::Job(job) => job.verb,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_are_read_in_every_spelling_and_place() {
        let plain = job("job kill c/r/e/n/0-2 --batch-size 5 --no-batching --message why");
        for line in [
            "job kill --batch_size=5 c/r/e/n/0-2 --no-batching -m why",
            "job kill -batch-size 5 -no_batching -mwhy c/r/e/n/0-2",
            "job kill --batch=5 --no-b --mess=why c/r/e/n/0-2",
            "job kill c/r/e/n/0-2 --batch-size=1 --no-batching -m no --no-batching --batch-size=5 -m why",
        ] {
            assert_eq!(job(line), plain, "{line}");
        }
        let JobVerb::Create(create) =
            job("job create c/r/e/n x.aurora --bind a=b=c --bind=d= --wait-until=RUNNING")
        else {
            panic!("create");
        };
        assert_eq!(create.wait_until, WaitUntil::Running);
        assert_eq!(
            (create.bind[0].name.as_str(), create.bind[0].value.as_str()),
            ("a", "b=c")
        );
        assert_eq!(create.bind[1].value, "");
    }

    #[test]
    fn mistakes_are_named() {
        for (line, text) in [
            (
                "jobs list x",
                "aurora: unknown noun 'jobs'; did you mean 'job'?",
            ),
            (
                "job kil x",
                "aurora job: unknown verb 'kil'; did you mean 'kill'?",
            ),
            (
                "job",
                "aurora job: a verb is missing; choose from create, status, list, inspect, kill, \
                     killall, restart, add, diff, open",
            ),
            (
                "job kill c/r/e/n --batchsize=3",
                "aurora job kill: unknown option '--batchsize'; did you \
              mean '--batch-size'? (see aurora job kill --help)",
            ),
            (
                "--frobnicate",
                "unknown option '--frobnicate' (see aurora --help)",
            ),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(
                (error.exit, error.message.as_str()),
                (Exit::Usage, text),
                "{line}"
            );
        }
        for line in [
            "job create c/r/e/n",
            "job create c/r/e x.aurora",
            "job create c/r/e/n x.aurora --wait-until=SOON",
            "job create c/r/e/n x.aurora --bind=x",
            "job kill c/r/e/n/0 --batch-size=many",
        ] {
            assert_eq!(parse(line).unwrap_err().exit, Exit::Usage, "{line}");
        }
    }

    #[test]
    fn help_is_found_everywhere() {
        for line in [
            "",
            "-h",
            "--help",
            "help",
            "job -h",
            "job create --help",
            "job create -h x",
            "cron start -h",
        ] {
            let Ok(Invocation::Say(text)) = parse(line) else {
                panic!("{line}");
            };
            assert!(text.contains("Usage: aurora"), "{line}: {text}");
        }
        let Ok(Invocation::Say(text)) = parse("job create -h") else {
            panic!("help");
        };
        assert!(
            text.contains("--wait-until") && text.contains("aurora job create"),
            "{text}"
        );
    }

    #[test]
    fn verbs_of_later_versions_say_so() {
        let error = parse("task ssh c/r/e/n/0").unwrap_err();
        assert_eq!(error.exit, Exit::InvalidCommand);
        assert_eq!(
            error.message,
            "aurora task ssh is not supported yet by this version"
        );
    }

    #[test]
    fn shared_options_stand_anywhere() {
        let line = "-v job list west --skip-hooks=all";
        let Ok(Invocation::Run {
            verbose,
            skip_hooks,
            ..
        }) = parse(line)
        else {
            panic!("{line}");
        };
        assert!(verbose && skip_hooks.as_deref() == Some("all"));
    }
}
