//! Fills in what only the machine knows: `{{thermos.ports[http]}}`, `{{mesos.instance}}` and the like.

use std::collections::BTreeMap;
use thiserror::Error;

/// How often replaced text is scanned again.
const PASSES_MAX: usize = 100;

/// A reference that means nothing here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// The text grows without end.
    #[error("references in '{0}' lead to each other")]
    Endless(String),
    /// A name of the runtime that has no value.
    #[error("'{{{{{0}}}}}' has no value on this machine")]
    Unbound(String),
}

/// The values of one task.
#[derive(Clone, Debug, Default)]
pub struct Values(pub BTreeMap<String, String>);

impl Values {
    /// Replaces every reference to a value in `text`, inner ones first.
    ///
    /// `{{&x}}` becomes the text `{{x}}`. References outside the namespaces `thermos` and `mesos` stay as they
    /// are: the client has resolved what it could, and such text may well be meant for the command.
    ///
    /// # Errors
    ///
    /// A reference into one of the two namespaces that has no value.
    pub fn fill(&self, text: &str) -> Result<String, ReferenceError> {
        let mut text = text.to_owned();
        for _ in 0..PASSES_MAX {
            let next = self.pass(&text)?;
            if next == text {
                return Ok(unescape(&text));
            }
            text = next;
        }
        Err(ReferenceError::Endless(text.chars().take(80).collect()))
    }

    fn pass(&self, text: &str) -> Result<String, ReferenceError> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, name, after)) = next_reference(rest) {
            out.push_str(before);
            match self.0.get(name) {
                Some(value) => out.push_str(value),
                None if name.starts_with("thermos.") || name.starts_with("mesos.") => {
                    return Err(ReferenceError::Unbound(name.to_owned()));
                }
                None => {
                    out.push_str("{{");
                    out.push_str(name);
                    out.push_str("}}");
                }
            }
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// Splits at the first `{{name}}`, where the name is not empty and has no braces.
fn next_reference(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let close = from + text[from..].find("}}")?;
        if let Some(open) = text[from..close].rfind("{{") {
            let open = from + open;
            let name = &text[open + 2..close];
            if !name.is_empty() && !name.contains(['{', '}']) {
                return Some((&text[..open], name, &text[close + 2..]));
            }
        }
        from = close + 1;
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, name, after)) = next_reference(rest) {
        out.push_str(before);
        out.push_str("{{");
        out.push_str(name.strip_prefix('&').unwrap_or(name));
        out.push_str("}}");
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> Result<String, ReferenceError> {
        let pairs = [
            ("thermos.ports[http]", "8080"),
            ("thermos.ports[i3]", "9003"),
            ("mesos.instance", "3"),
            ("loop", "{{loop}}x"),
        ];
        let own = |(a, b): (&str, &str)| (a.to_owned(), b.to_owned());
        Values(pairs.into_iter().map(own).collect()).fill(text)
    }

    #[test]
    fn known_references_are_replaced_inner_ones_first() {
        assert_eq!(
            fill("a {{thermos.ports[http]}} b").as_deref(),
            Ok("a 8080 b")
        );
        assert_eq!(
            fill("{{thermos.ports[i{{mesos.instance}}]}}").as_deref(),
            Ok("9003")
        );
        assert_eq!(fill("{{{mesos.instance}}}").as_deref(), Ok("{3}"));
    }

    #[test]
    fn other_braces_stay_as_they_are() {
        for text in [
            "{{}}",
            "{ {x} }",
            "}}{{",
            "awk '{{print $1}}'",
            "{{a",
            "ä}}ö",
        ] {
            assert_eq!(fill(text).as_deref(), Ok(text));
        }
        assert_eq!(fill("{{&x}}").as_deref(), Ok("{{x}}"));
        assert_eq!(
            fill("{{&mesos.instance}}").as_deref(),
            Ok("{{mesos.instance}}")
        );
    }

    #[test]
    fn a_port_that_was_not_given_is_an_error() {
        let name = "thermos.ports[admin]".to_owned();
        assert_eq!(
            fill("{{thermos.ports[admin]}}"),
            Err(ReferenceError::Unbound(name))
        );
        assert!(matches!(fill("{{loop}}"), Err(ReferenceError::Endless(_))));
    }
}
