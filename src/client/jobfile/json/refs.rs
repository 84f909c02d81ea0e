//! References between double braces.

use std::fmt;

/// One part of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Component {
    /// `.name`
    Name(String),
    /// `[index]`
    Index(String),
}

/// A reference such as `thermos.ports[http]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ref(pub Vec<Component>);

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, component) in self.0.iter().enumerate() {
            match component {
                Component::Name(name) if at == 0 => f.write_str(name)?,
                Component::Name(name) => write!(f, ".{name}")?,
                Component::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Splits a word that begins with a letter or `_` from the front of a text.
fn word(text: &str) -> Option<(&str, &str)> {
    if !text.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic()) {
        return None;
    }
    let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
    Some(text.split_at(end))
}

impl Ref {
    /// Reads an address; the error says what an address is.
    pub(super) fn parse(address: &str) -> Result<Self, String> {
        Self::read(address).ok_or_else(|| {
            format!(
                "{{{{{address}}}}} is not a reference (a name, then .name or [index]); \
                 write {{{{&{address}}}}} for these braces themselves"
            )
        })
    }

    fn read(address: &str) -> Option<Self> {
        let (first, mut rest) = word(address)?;
        let mut components = vec![Component::Name(first.to_owned())];
        while !rest.is_empty() {
            if let Some(dotted) = rest.strip_prefix('.') {
                let (name, after) = word(dotted)?;
                components.push(Component::Name(name.to_owned()));
                rest = after;
            } else {
                let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
                let legal = |c: char| is_word(c) || "-./".contains(c);
                if index.is_empty() || !index.chars().all(legal) {
                    return None;
                }
                components.push(Component::Index(index.to_owned()));
                rest = after;
            }
        }
        Some(Self(components))
    }

    /// Whether the names, without indexes, are these.
    fn is(&self, names: &[&str]) -> bool {
        self.0.len() == names.len()
            && self
                .0
                .iter()
                .zip(names)
                .all(|(component, name)| matches!(component, Component::Name(own) if own == name))
    }

    /// Name of the port that the reference stands for.
    pub(super) fn port(&self) -> Option<&str> {
        match self.0.as_slice() {
            [
                Component::Name(one),
                Component::Name(two),
                Component::Index(port),
            ] if one == "thermos" && two == "ports" => Some(port),
            _ => None,
        }
    }

    /// Whether it is filled in where the task runs.
    pub(super) fn is_runtime(&self) -> bool {
        self.port().is_some()
            || self.is(&["thermos", "task_id"])
            || self.is(&["mesos", "instance"])
            || self.is(&["mesos", "hostname"])
    }
}

/// A piece of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Not a reference.
    Plain(&'a str),
    /// What stands between double braces.
    Token(&'a str),
}

/// Cuts a text into pieces: the innermost pairs of double braces are tokens.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while let Some(open) = text[at..].find("{{").map(|offset| at + offset) {
        let inner = open + 2;
        let end = text[inner..]
            .find(['{', '}'])
            .map_or(text.len(), |offset| inner + offset);
        if end > inner && text[end..].starts_with("}}") {
            found.push(Piece::Plain(&text[start..open]));
            found.push(Piece::Token(&text[inner..end]));
            at = end + 2;
            start = at;
        } else {
            at = open + 1;
        }
    }
    found.push(Piece::Plain(&text[start..]));
    found
}

/// `{{&x}}` is how `{{x}}` itself is written.
pub(super) fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Plain(text) => plain.push_str(text),
            Piece::Token(token) => {
                plain.push_str("{{");
                plain.push_str(escaped(token).unwrap_or(token));
                plain.push_str("}}");
            }
        }
    }
    plain
}

/// What an escaped token keeps.
pub(super) fn escaped(token: &str) -> Option<&str> {
    token.strip_prefix('&').filter(|rest| !rest.is_empty())
}
