//! Schedules as upstream writes them.

use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// A schedule: minute, hour, day of month, month, day of week.
///
/// Exactly five fields between blanks, none around them. A field is a list of `*`, `N`, `A-B`, `*/S` and
/// `A-B/S` between commas; months and days of the week may be given by their first three letters. Sunday
/// is 0 and nothing else. A step must be smaller than the end of its range, and at least one of the two
/// day fields must be open. Displayed in its normal form, as the page `/cron` has always shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    weekdays: Field,
}

/// A text that is no schedule, or one that would never run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("Invalid cron schedule: {0}")]
pub struct ScheduleError(String);

/// The numbers that a field allows, as bits, and the range they are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    bits: u64,
    low: u8,
    high: u8,
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// The most days that each month has.
const LONGEST: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// The longest text that is read: every number of every field fits several times.
const MAX_LENGTH: usize = 4_096;

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    ///
    /// A text outside the dialect, or a schedule without any instant, such as the 30th of February.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let schedule = (text.len() <= MAX_LENGTH)
            .then(|| Self::read(text))
            .flatten();
        schedule.ok_or_else(|| ScheduleError(text.chars().take(200).collect()))
    }

    fn read(text: &str) -> Option<Self> {
        if text.trim() != text {
            return None;
        }
        let mut fields = text.split_whitespace();
        let mut field = |low, high, names: &[&str]| Field::read(fields.next()?, low, high, names);
        let schedule = Self {
            minutes: field(0, 59, &[])?,
            hours: field(0, 23, &[])?,
            days: field(1, 31, &[])?,
            months: field(1, 12, &MONTHS)?,
            weekdays: field(0, 6, &WEEKDAYS)?,
        };
        let one_open = schedule.days.is_open() || schedule.weekdays.is_open();
        (fields.next().is_none() && one_open && schedule.ever_runs()).then_some(schedule)
    }

    /// Whether some month is long enough for some day.
    fn ever_runs(&self) -> bool {
        let first = self.days.next(1);
        (1..=12)
            .any(|month| self.months.has(month) && first <= Some(LONGEST[usize::from(month) - 1]))
    }

    /// Whether it runs at intervals, whatever the hour.
    pub fn is_interval(&self) -> bool {
        self.hours.is_open()
    }

    pub(super) fn has_month(&self, month: i8) -> bool {
        u8::try_from(month).is_ok_and(|month| self.months.has(month))
    }

    /// Whether a day is one of its days; its month is not looked at.
    pub(super) fn has_day(&self, day: i8, weekday: i8) -> bool {
        u8::try_from(day).is_ok_and(|day| self.days.has(day))
            && u8::try_from(weekday).is_ok_and(|weekday| self.weekdays.has(weekday))
    }

    /// The first of its times of day that is not before this one.
    pub(super) fn time_from(&self, hour: i8, minute: i8) -> Option<(i8, i8)> {
        let (hour, minute) = (u8::try_from(hour).ok()?, u8::try_from(minute).ok()?);
        let found = match self.minutes.next(minute) {
            Some(minute) if self.hours.has(hour) => (hour, minute),
            _ => (self.hours.next(hour + 1)?, self.minutes.next(0)?),
        };
        Some((found.0.cast_signed(), found.1.cast_signed()))
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        Self::parse(text)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            minutes,
            hours,
            days,
            months,
            weekdays,
        } = self;
        write!(f, "{minutes} {hours} {days} {months} {weekdays}")
    }
}

impl Field {
    fn read(text: &str, low: u8, high: u8, names: &[&str]) -> Option<Self> {
        let mut field = Self { bits: 0, low, high };
        // COMPAT: upstream drops what is empty in a list, and refuses a list of nothing else.
        for part in text.split(',').filter(|part| !part.is_empty()) {
            field.add(&part.to_ascii_uppercase(), names)?;
        }
        (field.bits != 0).then_some(field)
    }

    /// Adds one element of a list.
    fn add(&mut self, part: &str, names: &[&str]) -> Option<()> {
        let number = |text: &str| self.number(text, names);
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(digits(step)?)),
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.low, self.high),
            Some((first, last)) => (number(first)?, number(last)?),
            None if step.is_none() => (number(range)?, number(range)?),
            None => return None,
        };
        let least = match step {
            Some(0) => return None,
            Some(step) if range != "*" && step >= u32::from(last) => return None,
            Some(step) => usize::try_from(step).ok()?,
            None => 1,
        };
        if first > last {
            return None;
        }
        for number in (first..=last).step_by(least) {
            self.bits |= 1 << number;
        }
        Some(())
    }

    fn number(&self, text: &str, names: &[&str]) -> Option<u8> {
        let number = match names.iter().position(|name| *name == text) {
            Some(place) => u32::try_from(place).ok()? + u32::from(self.low),
            None => digits(text)?,
        };
        let number = u8::try_from(number).ok()?;
        (self.low..=self.high).contains(&number).then_some(number)
    }

    fn has(self, number: u8) -> bool {
        number <= self.high && self.bits >> number & 1 == 1
    }

    /// The first of its numbers that is not below this one.
    fn next(self, from: u8) -> Option<u8> {
        (from..=self.high).find(|number| self.has(*number))
    }

    /// Whether it allows everything.
    fn is_open(self) -> bool {
        (self.low..=self.high).all(|number| self.has(number))
    }
}

/// The value of a text of digits and nothing else.
fn digits(text: &str) -> Option<u32> {
    let all = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_open() {
            return f.write_str("*");
        }
        let mut from = self.low;
        let mut between = "";
        while let Some(first) = self.next(from) {
            let end = (first..=self.high).find(|number| !self.has(*number));
            let last = end.map_or(self.high, |end| end - 1);
            match first == last {
                true => write!(f, "{between}{first}")?,
                false => write!(f, "{between}{first}-{last}")?,
            }
            (from, between) = (last + 1, ",");
        }
        Ok(())
    }
}
