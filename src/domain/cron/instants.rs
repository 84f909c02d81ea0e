//! The instants of a schedule in a time zone.

use super::schedule::Schedule;
use super::zone::Zone;
use crate::base::clock::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp as Moment};

/// How far ahead an instant is looked for: leap days are at most eight years apart.
const HORIZON: SignedDuration = SignedDuration::from_hours(24 * 366 * 9);

/// How far back changes of the clocks are looked for: none is by more than a day.
///
/// Forward from there, as what jiff 0.2.43 gives for the change *before* a moment is wrong in zones whose
/// rules have changed for good, such as America/Ciudad_Juarez.
const BACK: SignedDuration = SignedDuration::from_hours(48);

/// A time in which clocks are not changed.
struct Stretch {
    /// How far its clocks are from Greenwich's.
    offset: Offset,
    /// When it ends; `None` if never.
    end: Option<Moment>,
    /// When it began and what the clocks were before, if that may matter.
    change: Option<(Moment, Offset)>,
}

impl Zone {
    /// The stretch that a moment is in, without its beginning.
    fn stretch(&self, at: Moment) -> Stretch {
        Stretch {
            offset: self.rules.to_offset(at),
            end: self.rules.following(at).next().map(|t| t.timestamp()),
            change: None,
        }
    }
}

impl Schedule {
    /// The first instant after this one; `None` if there is none within some years, or beyond the end of
    /// the calendar.
    pub fn next_after(&self, zone: &Zone, after: Timestamp) -> Option<Timestamp> {
        let from = Moment::from_millisecond(after.0.checked_add(1)?).ok()?;
        let horizon = from.checked_add(HORIZON).unwrap_or(Moment::MAX);
        let mut stretch = zone.stretch(from.checked_sub(BACK).unwrap_or(Moment::MIN));
        loop {
            let end = stretch.end.filter(|end| *end <= horizon);
            if end.is_none_or(|end| end > from) {
                let shown = self.shown(&stretch, from, end.unwrap_or(horizon));
                let made_up = self.made_up(&stretch, from);
                if let Some(found) = shown.into_iter().chain(made_up).min() {
                    return Some(Timestamp(found.as_millisecond()));
                }
            }
            let end = end?;
            let change = Some((end, stretch.offset));
            stretch = Stretch {
                change,
                ..zone.stretch(end)
            };
        }
    }

    /// The first moment in the stretch at which the clock shows one of our times.
    fn shown(&self, stretch: &Stretch, from: Moment, until: Moment) -> Option<Moment> {
        let offset = stretch.offset;
        let begun = stretch.change.map_or(from, |(begun, _)| begun);
        let mut local = offset.to_datetime(from.max(begun));
        if let Some((begun, before)) = stretch.change
            && !self.is_interval()
        {
            // What the clock shows for the second time does not count.
            local = local.max(before.to_datetime(begun));
        }
        let found = self.first_from(local, offset.to_datetime(until))?;
        let moment = offset.to_timestamp(found).ok()?;
        (moment < until).then_some(moment)
    }

    /// The first of our times that the change before this stretch skipped, as the old clock would show it.
    fn made_up(&self, stretch: &Stretch, from: Moment) -> Option<Moment> {
        let (begun, before) = stretch.change.filter(|_| !self.is_interval())?;
        let resumed = stretch.offset.to_datetime(begun);
        let local = before.to_datetime(begun.max(from));
        let found = self.first_from(local, resumed)?;
        before.to_timestamp(found).ok()
    }

    /// The first of our local times that is not before `from` and before `until`.
    fn first_from(&self, from: DateTime, until: DateTime) -> Option<DateTime> {
        let begun = from.second() > 0 || from.subsec_nanosecond() > 0;
        let minute = from
            .time()
            .with()
            .second(0)
            .subsec_nanosecond(0)
            .build()
            .ok()?;
        let mut at = from.date().to_datetime(minute);
        if begun {
            at = at.checked_add(SignedDuration::from_mins(1)).ok()?;
        }
        while at < until {
            let date = at.date();
            if !self.has_month(date.month()) {
                let next = date.last_of_month().tomorrow().ok()?;
                at = next.to_datetime(Time::midnight());
                continue;
            }
            let weekday = date.weekday().to_sunday_zero_offset();
            if self.has_day(date.day(), weekday)
                && let Some((hour, minute)) = self.time_from(at.hour(), at.minute())
            {
                let found = date.at(hour, minute, 0, 0);
                return (found < until).then_some(found);
            }
            at = date.tomorrow().ok()?.to_datetime(Time::midnight());
        }
        None
    }
}
