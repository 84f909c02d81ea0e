//! Durations and sizes as people write them in flags: `15secs`, `360mins`, `64MB`.

use std::time::Duration;
use thiserror::Error;

/// A text that is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{text}' is not {expected}")]
pub struct UnitError {
    text: String,
    expected: &'static str,
}

const DURATION: &str =
    "a duration: a whole number and one of ns, us, ms, secs, mins, hrs, days, such as 15secs";
const SIZE: &str = "a size: a whole number and one of B, KB, MB, GB, TB, such as 64MB";

fn split(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// Reads a duration: `100ns 10us 50ms 15secs 5mins 1hrs 365days`, and the short forms `s m h d`.
///
/// # Errors
///
/// Names the text and the form that is wanted.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let bad = || UnitError {
        text: text.to_owned(),
        expected: DURATION,
    };
    let (number, unit) = split(text.trim());
    let number: u64 = number.parse().map_err(|_| bad())?;
    let nanos: u64 = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" | "sec" | "secs" => 1_000_000_000,
        "m" | "min" | "mins" => 60_000_000_000,
        "h" | "hr" | "hrs" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        _ => return Err(bad()),
    };
    number
        .checked_mul(nanos)
        .map(Duration::from_nanos)
        .ok_or_else(bad)
}

/// Reads a size in bytes: `512KB`, `64MB`; units are powers of 1024.
///
/// # Errors
///
/// Names the text and the form that is wanted.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let bad = || UnitError {
        text: text.to_owned(),
        expected: SIZE,
    };
    let (number, unit) = split(text.trim());
    let number: u64 = number.parse().map_err(|_| bad())?;
    let shift = match unit.to_ascii_uppercase().as_str() {
        "B" | "BYTES" => 0,
        "KB" => 10,
        "MB" => 20,
        "GB" => 30,
        "TB" => 40,
        _ => return Err(bad()),
    };
    number.checked_mul(1 << shift).ok_or_else(bad)
}

/// Writes a duration in the largest unit that keeps it whole.
pub fn show_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let units: [(u128, &str); 7] = [
        (86_400_000_000_000, "days"),
        (3_600_000_000_000, "hrs"),
        (60_000_000_000, "mins"),
        (1_000_000_000, "secs"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    for (size, name) in units {
        if nanos >= size && nanos.is_multiple_of(size) {
            return format!("{}{name}", nanos / size);
        }
    }
    "0secs".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_written() {
        assert_eq!(parse_duration("360mins"), Ok(Duration::from_secs(360 * 60)));
        assert_eq!(
            parse_duration("365days"),
            Ok(Duration::from_secs(365 * 86_400))
        );
        assert_eq!(parse_duration("1ms"), Ok(Duration::from_millis(1)));
        for bad in [
            "",
            "5",
            "mins",
            "5 parsecs",
            "-1secs",
            "1.5hrs",
            "99999999999999999days",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        for text in ["365days", "5mins", "15secs", "1ms", "7hrs", "90secs"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_read_as_written() {
        assert_eq!(parse_size("512KB"), Ok(512 << 10));
        assert_eq!(parse_size("4MB"), Ok(4 << 20));
        for bad in ["", "64", "MB", "9999999999999TB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
