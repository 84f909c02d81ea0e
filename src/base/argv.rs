//! Reads command lines in every spelling that people type, against a table of flags.
//!
//! `--flag=value`, `--flag value`, `-flag=value`, `-flag value`, with `_` or `-` inside the name; `-f value`
//! and `-fvalue` for flags with a letter; `-switch`, `-switch=false`, `-no_switch`. Everything behind `--`
//! is positional. It knows names and shapes only: what a value means is for the caller.

use thiserror::Error;

/// Whether a flag is followed by a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Always followed by a value, whatever that looks like.
    Value,
    /// On when it is named; `=true`, `=false` and a leading `no_` are understood.
    Switch,
}

/// One flag of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The name without leading dashes; `_` and `-` are the same.
    pub name: String,
    /// A letter that may stand for it.
    pub short: Option<char>,
    /// Its shape.
    pub takes: Takes,
}

impl Flag {
    /// A flag with no letter.
    pub fn new(name: &str, takes: Takes) -> Self {
        Self {
            name: name.to_owned(),
            short: None,
            takes,
        }
    }
}

/// The flags of a program and how freely they may be spelled.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Every flag.
    pub flags: Vec<Flag>,
    /// Whether the first letters of a name stand for it while no other name begins with them.
    pub prefixes: bool,
    /// Whether a switch takes a `true` or `false` that follows it as the next word.
    pub switch_words: bool,
}

/// One piece of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arg {
    /// A flag.
    Flag {
        /// Its place in the table.
        index: usize,
        /// Its value; `true` or `false` for a switch.
        value: String,
    },
    /// Anything else, in its order.
    Word(String),
}

/// A command line that does not match its table. Flags are named as they were typed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ArgvError {
    /// No flag has this name.
    #[error("unknown option '{typed}'{}", did_you_mean(.nearest.as_deref()))]
    Unknown {
        /// As typed, without a value.
        typed: String,
        /// The right one that looks most like it, in the same style.
        nearest: Option<String>,
    },
    /// The first letters of several flags.
    #[error("option '{typed}' could be {}", .candidates.join(" or "))]
    Ambiguous {
        /// As typed.
        typed: String,
        /// What it could be.
        candidates: Vec<String>,
    },
    /// The value is missing.
    #[error("option '{typed}' needs a value")]
    NoValue {
        /// As typed.
        typed: String,
    },
    /// A switch has a value that is neither `true` nor `false`.
    #[error("option '{typed}' is on or off: '{value}' is neither true nor false")]
    NotSwitch {
        /// As typed.
        typed: String,
        /// The value.
        value: String,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean '{name}'?"))
}

/// The one spelling of a name that is compared: dashes.
fn plain(name: &str) -> String {
    name.replace('_', "-")
}

impl Table {
    /// Takes a command line apart. `args` does not hold the program's name.
    ///
    /// # Errors
    ///
    /// The first thing that does not match, named as it was typed.
    pub fn parse(&self, args: &[String]) -> Result<Vec<Arg>, ArgvError> {
        let mut out = Vec::with_capacity(args.len());
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            if arg == "--" {
                out.extend(rest.by_ref().cloned().map(Arg::Word));
            } else if !self.looks_like_flag(arg) {
                out.push(Arg::Word(arg.clone()));
            } else {
                self.parse_flag(arg, &mut rest, &mut out)?;
            }
        }
        Ok(out)
    }

    /// A lone dash is a word, and so is a negative number.
    fn looks_like_flag(&self, arg: &str) -> bool {
        let Some(body) = arg.strip_prefix('-') else {
            return false;
        };
        !body.is_empty() && (body.parse::<f64>().is_err() || body.starts_with(['i', 'n', 'I', 'N']))
    }

    fn parse_flag(
        &self,
        arg: &str,
        rest: &mut std::slice::Iter<'_, String>,
        out: &mut Vec<Arg>,
    ) -> Result<(), ArgvError> {
        let (typed, given) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (arg, None),
        };
        let dashes = if typed.starts_with("--") { 2 } else { 1 };
        let name = plain(&typed[dashes..]);
        let (index, negated) = match self.find(&name, dashes == 2)? {
            Found::Flag(index) => (index, false),
            Found::Negated(index) => (index, true),
            Found::Several(candidates) => {
                return Err(ArgvError::Ambiguous {
                    typed: typed.to_owned(),
                    candidates,
                });
            }
            Found::Nothing if dashes == 1 => return self.parse_letters(arg, rest, out),
            Found::Nothing => return Err(self.unknown(typed)),
        };
        let value = match self.flags[index].takes {
            Takes::Value => {
                given
                    .or_else(|| rest.next().cloned())
                    .ok_or_else(|| ArgvError::NoValue {
                        typed: typed.to_owned(),
                    })?
            }
            Takes::Switch => {
                let next = rest.as_slice().first().map(String::as_str);
                let word = match (given, next) {
                    (None, Some(word @ ("true" | "false"))) if self.switch_words => {
                        rest.next();
                        Some(word.to_owned())
                    }
                    (given, _) => given,
                };
                switch(typed, word.as_deref(), negated)?
            }
        };
        out.push(Arg::Flag { index, value });
        Ok(())
    }

    /// `-v`, `-mtext`, `-m text`, `-m=text`, `-vn`: letters behind one dash.
    fn parse_letters(
        &self,
        arg: &str,
        rest: &mut std::slice::Iter<'_, String>,
        out: &mut Vec<Arg>,
    ) -> Result<(), ArgvError> {
        let typed = arg.split('=').next().unwrap_or(arg);
        let mut letters = arg.strip_prefix('-').unwrap_or(arg).chars();
        let mut found = Vec::new();
        while let Some(letter) = letters.next() {
            let Some(index) = self.flags.iter().position(|f| f.short == Some(letter)) else {
                return Err(self.unknown(typed));
            };
            match self.flags[index].takes {
                Takes::Switch => found.push(Arg::Flag {
                    index,
                    value: "true".to_owned(),
                }),
                Takes::Value => {
                    let attached = letters.as_str();
                    let attached = attached.strip_prefix('=').unwrap_or(attached);
                    let value = if letters.as_str().is_empty() {
                        rest.next().cloned().ok_or_else(|| ArgvError::NoValue {
                            typed: format!("-{letter}"),
                        })?
                    } else {
                        attached.to_owned()
                    };
                    found.push(Arg::Flag { index, value });
                    break;
                }
            }
        }
        out.append(&mut found);
        Ok(())
    }

    fn find(&self, name: &str, long: bool) -> Result<Found, ArgvError> {
        let exact = |name: &str| self.flags.iter().position(|f| plain(&f.name) == name);
        if let Some(index) = exact(name) {
            return Ok(Found::Flag(index));
        }
        if let Some(index) = name.strip_prefix("no-").and_then(exact)
            && self.flags[index].takes == Takes::Switch
        {
            return Ok(Found::Negated(index));
        }
        if !self.prefixes || !long || name.is_empty() {
            return Ok(Found::Nothing);
        }
        let begins = |(_, flag): &(usize, &Flag)| plain(&flag.name).starts_with(name);
        let matching: Vec<_> = self.flags.iter().enumerate().filter(begins).collect();
        Ok(match matching.as_slice() {
            [] => Found::Nothing,
            [(index, _)] => Found::Flag(*index),
            several => Found::Several(
                several
                    .iter()
                    .map(|(_, f)| format!("--{}", f.name))
                    .collect(),
            ),
        })
    }

    fn unknown(&self, typed: &str) -> ArgvError {
        let name = plain(typed.trim_start_matches('-'));
        let near = |flag: &&Flag| distance(&plain(&flag.name), &name) <= 1 + name.len() / 4;
        let nearest = self
            .flags
            .iter()
            .filter(near)
            .min_by_key(|flag| distance(&plain(&flag.name), &name));
        let dashes = if typed.starts_with("--") { "--" } else { "-" };
        ArgvError::Unknown {
            typed: typed.to_owned(),
            nearest: nearest.map(|flag| format!("{dashes}{}", flag.name)),
        }
    }
}

enum Found {
    Flag(usize),
    Negated(usize),
    Several(Vec<String>),
    Nothing,
}

fn switch(typed: &str, word: Option<&str>, negated: bool) -> Result<String, ArgvError> {
    let on = match word {
        None => true,
        Some(word) if word.eq_ignore_ascii_case("true") => true,
        Some(word) if word.eq_ignore_ascii_case("false") => false,
        Some(word) => {
            return Err(ArgvError::NotSwitch {
                typed: typed.to_owned(),
                value: word.to_owned(),
            });
        }
    };
    Ok((on != negated).to_string())
}

/// How many letters must be added, taken away or changed to get from `a` to `b`.
pub fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

/// The one of `names` that looks most like `typed`, if any is near.
pub fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .filter(|name| distance(name, typed) <= 1 + typed.chars().count() / 4)
        .min_by_key(|name| distance(name, typed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut message = Flag::new("message", Takes::Value);
        message.short = Some('m');
        let mut verbose = Flag::new("verbose", Takes::Switch);
        verbose.short = Some('v');
        Table {
            flags: vec![
                Flag::new("batch-size", Takes::Value),
                Flag::new("no-batching", Takes::Switch),
                Flag::new("enable_preemptor", Takes::Switch),
                message,
                verbose,
            ],
            prefixes: true,
            switch_words: false,
        }
    }

    fn parse(line: &str) -> Result<Vec<Arg>, ArgvError> {
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        table().parse(&args)
    }

    fn flag(index: usize, value: &str) -> Arg {
        Arg::Flag {
            index,
            value: value.to_owned(),
        }
    }

    fn word(text: &str) -> Arg {
        Arg::Word(text.to_owned())
    }

    #[test]
    fn every_spelling_of_a_value_is_read() {
        for line in [
            "--batch-size=5",
            "--batch_size=5",
            "--batch-size 5",
            "-batch_size=5",
            "-batch_size 5",
            "--batch 5",
        ] {
            assert_eq!(parse(line).unwrap(), [flag(0, "5")], "{line}");
        }
        for line in ["-m x=-y", "-mx=-y", "-m=x=-y", "--message=x=-y"] {
            assert_eq!(parse(line).unwrap(), [flag(3, "x=-y")], "{line}");
        }
        assert_eq!(parse("--message -v").unwrap(), [flag(3, "-v")]);
    }

    #[test]
    fn switches_are_on_off_and_negated() {
        for (line, on) in [
            ("-enable_preemptor", "true"),
            ("--enable-preemptor=false", "false"),
            ("-no_enable_preemptor", "false"),
            ("-enable_preemptor=TRUE", "true"),
        ] {
            assert_eq!(parse(line).unwrap(), [flag(2, on)], "{line}");
        }
        assert_eq!(parse("--no-batching").unwrap(), [flag(1, "true")]);
        assert_eq!(parse("-v true").unwrap(), [flag(4, "true"), word("true")]);
        let mut words = table();
        words.switch_words = true;
        let args = ["-enable_preemptor", "false", "x"].map(str::to_owned);
        assert_eq!(words.parse(&args).unwrap(), [flag(2, "false"), word("x")]);
    }

    #[test]
    fn words_stay_in_order_and_nothing_behind_the_double_dash_is_a_flag() {
        let line = "a -v b - -1 -2.5 -- -m --x";
        let expected = [
            word("a"),
            flag(4, "true"),
            word("b"),
            word("-"),
            word("-1"),
            word("-2.5"),
            word("-m"),
            word("--x"),
        ];
        assert_eq!(parse(line).unwrap(), expected);
    }

    #[test]
    fn errors_name_what_was_typed_and_what_was_meant() {
        for (line, text) in [
            (
                "--batchsize=5",
                "unknown option '--batchsize'; did you mean '--batch-size'?",
            ),
            (
                "-batch_sise=5",
                "unknown option '-batch_sise'; did you mean '-batch-size'?",
            ),
            (
                "-enable_premptor",
                "unknown option '-enable_premptor'; did you mean '-enable_preemptor'?",
            ),
            ("--nothing_like_it", "unknown option '--nothing_like_it'"),
            ("--batch-size", "option '--batch-size' needs a value"),
            ("-m", "option '-m' needs a value"),
            (
                "--verbose=yes",
                "option '--verbose' is on or off: 'yes' is neither true nor false",
            ),
        ] {
            assert_eq!(parse(line).unwrap_err().to_string(), text, "{line}");
        }
        let mut ambiguous = table();
        ambiguous.flags.push(Flag::new("batch-wait", Takes::Value));
        let error = ambiguous.parse(&["--bat=1".to_owned()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "option '--bat' could be --batch-size or --batch-wait"
        );
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_typed_is_read_or_refused(
            args in proptest::collection::vec("(-{0,2})([a-z=_é-]{0,6}|batch-size|m)", 0..6),
        ) {
            if let Ok(parsed) = table().parse(&args) {
                for arg in parsed {
                    if let Arg::Word(word) = arg {
                        proptest::prop_assert!(args.contains(&word));
                    }
                }
            }
        }
    }

    #[test]
    fn distances_count_changes() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(
            nearest("kilall", ["kill", "killall", "list"]),
            Some("killall")
        );
        assert_eq!(nearest("xyzzy", ["kill", "list"]), None);
    }
}
