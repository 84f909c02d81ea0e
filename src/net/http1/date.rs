//! The Date header.

use crate::base::clock::Timestamp;
use std::sync::Mutex;

/// The Date header's value, made once a second.
#[derive(Debug, Default)]
pub(super) struct DateCache(Mutex<(i64, String)>);

impl DateCache {
    /// Appends the date of `now` to `out`.
    pub(super) fn write(&self, now: Timestamp, out: &mut Vec<u8>) {
        let second = now.as_ms().div_euclid(1000);
        let mut cached = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if cached.0 != second || cached.1.is_empty() {
            *cached = (second, imf_fixdate(second));
        }
        out.extend_from_slice(cached.1.as_bytes());
    }
}

/// A second since the Unix epoch in the format of RFC 9110 section 5.6.7.
pub(super) fn imf_fixdate(second: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let days = second.div_euclid(86_400);
    let clock = second.rem_euclid(86_400);
    // Days to a date of the Gregorian calendar, counted in 400-year eras that start on 1 March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 2
    } else {
        month_from_march - 10
    };
    let year = year_of_era + era * 400 + i64::from(month < 2);
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        DAYS[usize::try_from(days.rem_euclid(7)).unwrap_or(0)],
        MONTHS[usize::try_from(month).unwrap_or(0)],
        clock / 3600,
        clock / 60 % 60,
        clock % 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(imf_fixdate(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(imf_fixdate(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(imf_fixdate(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(imf_fixdate(1_795_305_600), "Sun, 22 Nov 2026 00:00:00 GMT");
        assert_eq!(imf_fixdate(-1), "Wed, 31 Dec 1969 23:59:59 GMT");
    }
}
