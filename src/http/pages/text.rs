//! Quantities as people read them.

use crate::base::clock::Timestamp;
use crate::model::MilliCpus;

/// How long ago `at` was, in its two largest units.
pub(super) fn age(now: Timestamp, at: Timestamp) -> String {
    let secs = now.since(at).as_secs();
    match (secs / 86_400, secs / 3600 % 24, secs / 60 % 60, secs % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m {s}s"),
        (0, h, m, _) => format!("{h}h {m}m"),
        (d, h, _, _) => format!("{d}d {h}h"),
    }
}

/// A moment in UTC, to the second.
pub(super) fn stamp(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.as_ms()) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => "outside of time".to_owned(),
    }
}

/// Mebibytes, or gibibytes and tebibytes where that is shorter.
pub(super) fn size(mb: i64) -> String {
    match mb.unsigned_abs() {
        0..1024 => format!("{mb} MB"),
        1024..0x10_0000 => format!("{} GB", short(mb as f64 / 1024.0)),
        _ => format!("{} TB", short(mb as f64 / 1_048_576.0)),
    }
}

/// Cores, as short as they can be told.
pub(super) fn cores(cpus: MilliCpus) -> String {
    short(cpus.as_cores())
}

/// At most two digits behind the point, and no zeros at the end.
fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The share of `part` in `whole` in percent, between 0 and 100.
pub(super) fn percent(part: i64, whole: i64) -> i64 {
    if whole <= 0 {
        return 0;
    }
    (part.max(0).saturating_mul(100) / whole).min(100)
}

/// Text cut to `max` characters.
pub(super) fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((at, _)) => format!("{}\u{2026}", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_show_two_units() {
        let age_of = |secs: i64| age(Timestamp(secs * 1000), Timestamp(0));
        assert_eq!(age_of(-5), "0s");
        assert_eq!(age_of(42), "42s");
        assert_eq!(age_of(192), "3m 12s");
        assert_eq!(age_of(7500), "2h 5m");
        assert_eq!(age_of(273_600), "3d 4h");
    }

    #[test]
    fn quantities_are_short() {
        assert_eq!(size(512), "512 MB");
        assert_eq!(size(1536), "1.5 GB");
        assert_eq!(size(3 << 20), "3 TB");
        assert_eq!(cores(MilliCpus(250)), "0.25");
        assert_eq!(cores(MilliCpus(4000)), "4");
        assert_eq!(percent(1, 3), 33);
        assert_eq!(percent(5, 0), 0);
        assert_eq!(percent(9, 3), 100);
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "abc\u{2026}");
    }

    #[test]
    fn moments_are_utc() {
        assert_eq!(stamp(Timestamp(784_111_777_000)), "1994-11-06 08:49:37 UTC");
        assert_eq!(stamp(Timestamp(i64::MAX)), "outside of time");
    }
}
