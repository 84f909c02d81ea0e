//! Durations as command lines have them: `1d2h3m4s`.

use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{0}' is no duration: expected something like 30s, 10m, 12h or 1d6h")]
pub struct BadDuration(String);

/// A whole number of seconds, written in days, hours, minutes and seconds in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub u64);

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl FromStr for Span {
    type Err = BadDuration;

    fn from_str(text: &str) -> Result<Self, BadDuration> {
        let bad = || BadDuration(text.to_owned());
        let mut rest = text.trim();
        let (mut sum, mut units) = (0_u64, UNITS.iter());
        if rest.is_empty() {
            return Err(bad());
        }
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let (digits, tail) = rest.split_at(end);
            let letter = tail.chars().next().ok_or_else(bad)?;
            let same = |unit: &&(char, u64)| unit.0 == letter.to_ascii_lowercase();
            let (_, seconds) = units.find(same).ok_or_else(bad)?;
            let count: u64 = digits.parse().map_err(|_| bad())?;
            let part = count.checked_mul(*seconds).ok_or_else(bad)?;
            sum = sum.checked_add(part).ok_or_else(bad)?;
            rest = &tail[letter.len_utf8()..];
        }
        Ok(Self(sum))
    }
}

impl fmt::Display for Span {
    /// In the largest unit that leaves no rest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["days", "hrs", "mins", "secs"];
        let exact = |((_, seconds), _): &((char, u64), &str)| {
            self.0 >= *seconds && self.0.is_multiple_of(*seconds)
        };
        let mut units = UNITS.into_iter().zip(names);
        match units.find(exact) {
            Some(((_, seconds), name)) => write!(f, "{} {name}", self.0 / seconds),
            None => write!(f, "{} secs", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_shown_in_the_largest_exact_unit() {
        for (text, seconds, shown) in [
            ("1m", 60, "1 mins"),
            ("10M", 600, "10 mins"),
            ("1h", 3_600, "1 hrs"),
            ("1d12h", 129_600, "36 hrs"),
            ("7d", 604_800, "7 days"),
            ("1m30s", 90, "90 secs"),
            ("0s", 0, "0 secs"),
        ] {
            assert_eq!(text.parse(), Ok(Span(seconds)), "{text}");
            assert_eq!(Span(seconds).to_string(), shown);
        }
        for bad in ["", "5", "m", "1s1m", "1x", "-1m", "99999999999999999999d"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
