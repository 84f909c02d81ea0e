//! Secrets that stand inside a text, and how the text is shown without them.
//!
//! Addresses carry names and passwords (`http://name:password@host/`, `zk://name:password@host:2181/`) and
//! tokens (`?access_token=...`). Whoever shows a text that may hold an address, in a log line, an error, a
//! page, shows what [`hide`] leaves of it. Other texts pass unchanged, without a copy.

use std::borrow::Cow;

/// What stands in the place of a secret.
pub const HIDDEN: &str = "***";

/// Parameters of addresses whose values are secrets; compared in lower case, anywhere in the name.
const PARAMETERS: &[&str] = &[
    "password",
    "passwd",
    "secret",
    "token",
    "signature",
    "credential",
    "api_key",
    "apikey",
];

/// The text with every name and password of an address, and every secret parameter, replaced. Idempotent.
pub fn hide(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = after.find(ends_address).unwrap_or(after.len());
        // Where several addresses stand in one word, each is looked at by itself.
        let end = after.find("://").map_or(end, |next| {
            let scheme = after[..next]
                .trim_end_matches(|c: char| c.is_ascii_alphanumeric() || "+-.".contains(c));
            end.min(scheme.len())
        });
        let (address, later) = after.split_at(end);
        show_address(address, &mut shown);
        rest = later;
    }
    shown.push_str(rest);
    match shown == text {
        true => Cow::Borrowed(text),
        false => Cow::Owned(shown),
    }
}

/// Whether this character stands behind an address, in texts that people and programs write.
fn ends_address(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '`' | '<' | '>')
}

/// What stands behind `://`.
fn show_address(address: &str, shown: &mut String) {
    let (authority, path) = split(address, &['/', '?', '#']);
    // A slash in a password that nobody encoded: what it cuts off is no port.
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let is_cut = !authority.contains('@')
        && !authority.starts_with('[')
        && authority
            .split_once(':')
            .is_some_and(|(_, port)| !is_port(port));
    let (login, place) = match address.rfind('@') {
        Some(at) if is_cut => (&address[..at], &address[at..]),
        _ => match authority.rfind('@') {
            Some(at) => (&authority[..at], &address[at..]),
            None => ("", address),
        },
    };
    if login.is_empty() {
        show_parameters(place, authority.len().min(place.len()), shown);
        return;
    }
    shown.push_str(HIDDEN);
    show_parameters(place, place.len().saturating_sub(path.len()), shown);
}

/// The rest of an address: its parameters begin somewhere behind `from`.
fn show_parameters(place: &str, from: usize, shown: &mut String) {
    let Some(mark) = place.get(from..).and_then(|p| p.find(['?', '#'])) else {
        shown.push_str(place);
        return;
    };
    let (before, parameters) = place.split_at(from + mark + 1);
    shown.push_str(before);
    for (index, parameter) in parameters.split('&').enumerate() {
        if index > 0 {
            shown.push('&');
        }
        match parameter.split_once('=') {
            Some((name, value)) if !value.is_empty() && is_secret(name) => {
                shown.push_str(name);
                shown.push('=');
                shown.push_str(HIDDEN);
            }
            Some(_) | None => shown.push_str(parameter),
        }
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "sig" || PARAMETERS.iter().any(|it| name.contains(it))
}

/// The text up to the first of `marks`, and the rest with it.
fn split<'a>(text: &'a str, marks: &[char]) -> (&'a str, &'a str) {
    text.split_at(text.find(marks).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_passwords_of_addresses_are_not_shown() {
        for (text, shown) in [
            ("http://me:pw@host/x", "http://***@host/x"),
            (
                "'http://me:p@w@host:80/x': gone",
                "'http://***@host:80/x': gone",
            ),
            ("https://token@host", "https://***@host"),
            (
                "zk://me:pw@one:2181,two:2181/mesos",
                "zk://***@one:2181,two:2181/mesos",
            ),
            (
                "http://a:b@one,https://c:d@two/x",
                "http://***@one,https://***@two/x",
            ),
            ("http://me:p/w@host/x", "http://***@host/x"),
            ("http://me:pw@host/?a=b@c", "http://***@host/?a=b@c"),
            (
                "https://s/x?a=1&X-Amz-Signature=abc&sig=&sig=d#t",
                "https://s/x?a=1&X-Amz-Signature=***&sig=&sig=***",
            ),
            (
                "https://m:p@s/x?access_token=1 y",
                "https://***@s/x?access_token=*** y",
            ),
            ("http://me:pw@host?x", "http://***@host?x"),
        ] {
            assert_eq!(hide(text), shown);
            assert_eq!(hide(&hide(text)), shown, "again");
        }
    }

    #[test]
    fn other_texts_pass_as_they_are() {
        for text in [
            "",
            "http://host:8081/a@b",
            "http://[::1]:8081/scheduler?role=a&job=b",
            "http://[fe80::1]/x@y",
            "mail me@example.org, a:b@c",
            "file:///etc/passwd and http://",
            "://",
            "x://@",
            "host:5050 and http://host:5050",
        ] {
            assert!(
                matches!(hide(text), Cow::Borrowed(it) if it == text),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_password_is_ever_left(
            before in "[ a-z:/@.]{0,12}",
            user in "[a-z]{1,4}",
            // One with marks of its own in it is only known by what cannot be a port.
            extra in "[a-z0-9:@!*%&=]{0,8}|[a-z!*%&=][a-z0-9!*/%?#&=]{0,7}",
            after in "(/[a-z/]{0,6})?([ '][a-z :/@]{0,12})?",
        ) {
            let text = format!("{before} http://{user}:{extra}PASSWORD@host{after}");
            let shown = hide(&text);
            prop_assert!(!shown.contains("PASSWORD"), "{} of {}", shown, text);
        }

        #[test]
        fn whatever_the_text_it_is_shown(text in "[a-z:/@?&=# ']{0,40}|\\PC{0,40}") {
            let once = hide(&text).into_owned();
            prop_assert_eq!(hide(&once), once.as_str());
        }
    }
}
