//! Instants compared with those that other crates' calendars give.
//!
//! `croner` says which local times a schedule means, `chrono-tz` what the clocks of a zone show; the rule
//! for skipped and repeated hours is applied to every minute, one after the other. Three days around each
//! change of ten years: a share of the zones, all of them with `AURORA_LONG`.

use super::{Schedule, Zone};
use crate::base::clock::Timestamp;
use crate::base::rng::Rng;
use chrono::{DateTime, Duration, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds};
use std::collections::BTreeSet;

const SCHEDULES: [&str; 12] = [
    "* * * * *",
    "*/20 * * * *",
    "30 * * * *",
    "0 0 * * *",
    "30 0 * * *",
    "30 1 * * *",
    "0,30,45 2 * * *",
    "15 2,3 * * SUN",
    "*/7 1-3 * * *",
    "0 */6 * * *",
    "59 23 * * *",
    "10 0-22 1-30 * *",
];

/// What our calendar is asked about: a zone, and a change of its clocks.
struct Change {
    zone: Tz,
    at: DateTime<Utc>,
}

fn offset(zone: Tz, at: DateTime<Utc>) -> i32 {
    zone.offset_from_utc_datetime(&at.naive_utc())
        .fix()
        .local_minus_utc()
}

/// Every change of a zone's clocks from 2018 to 2027, to the minute.
fn changes(zone: Tz) -> Vec<DateTime<Utc>> {
    let first = Utc.with_ymd_and_hms(2018, 1, 1, 0, 0, 0).unwrap();
    let day = |n| first + Duration::days(n);
    let mut found = Vec::new();
    for n in 0..3_652 {
        let (mut low, mut high) = (day(n), day(n + 1));
        if offset(zone, low) == offset(zone, high) {
            continue;
        }
        while high - low > Duration::minutes(1) {
            let minutes = (high - low).num_minutes() / 2;
            let middle = low + Duration::minutes(minutes);
            match offset(zone, middle) == offset(zone, low) {
                true => low = middle,
                false => high = middle,
            }
        }
        found.push(high);
    }
    found
}

/// Whether both libraries' data agree about a zone around a time; they are of different years.
fn agree(change: &Change, ours: &Zone) -> bool {
    (-100..=100).all(|hours| {
        let at = change.at + Duration::hours(hours);
        let moment = jiff::Timestamp::from_second(at.timestamp()).unwrap();
        ours.rules.to_offset(moment).seconds() == offset(change.zone, at)
    })
}

/// When a local time is, by the rule for schedules that name hours.
fn fixed(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    let mut before = local;
    loop {
        if let Some(found) = zone.from_local_datetime(&before).earliest() {
            // As long after the last minute that exists as the local time says.
            let last = match before == local {
                true => found,
                false => zone.from_local_datetime(&before).latest().unwrap(),
            };
            return last.to_utc() + (local - before);
        }
        before -= Duration::minutes(1);
    }
}

/// The instants of `text` in the three days around a change.
fn expected(text: &str, zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> BTreeSet<i64> {
    let cron = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .build()
        .parse(text)
        .unwrap();
    let means = |local: NaiveDateTime| cron.is_time_matching(&local.and_utc()).unwrap();
    let minutes = |from: DateTime<Utc>, to: DateTime<Utc>| {
        (0..=(to - from).num_minutes()).map(move |n| from + Duration::minutes(n))
    };
    let open_hour = text.split(' ').nth(1) == Some("*");
    let found: BTreeSet<DateTime<Utc>> = if open_hour {
        let local = |at: &DateTime<Utc>| at.with_timezone(&zone).naive_local();
        minutes(from, to).filter(|at| means(local(at))).collect()
    } else {
        // A day more on either side, as local times are elsewhere.
        let all = minutes(from - Duration::days(2), to + Duration::days(2));
        let meant = all.map(|at| at.naive_utc()).filter(|local| means(*local));
        meant.map(|local| fixed(zone, local)).collect()
    };
    let within = found.into_iter().filter(|at| *at > from && *at <= to);
    within.map(|at| at.timestamp_millis()).collect()
}

fn compare(change: &Change, ours: &Zone, text: &str) {
    let (from, to) = (change.at - Duration::days(1), change.at + Duration::days(2));
    let schedule = Schedule::parse(text).unwrap();
    let next = |at: &Timestamp| schedule.next_after(ours, *at);
    let start = Timestamp(from.timestamp_millis());
    let found: BTreeSet<i64> = std::iter::successors(next(&start), next)
        .map(|at| at.0)
        .take_while(|at| *at <= to.timestamp_millis())
        .collect();
    let expected = expected(text, change.zone, from, to);
    let zone = change.zone;
    assert_eq!(found, expected, "{text} in {zone} around {}", change.at);
}

#[test]
fn instants_around_changes_of_clocks_are_those_of_other_calendars() {
    let long = is_long();
    let seed = Rng::from_os().next_u64();
    let mut rng = Rng::from_seed(seed);
    let (mut compared, mut apart) = (0, BTreeSet::new());
    for zone in chrono_tz::TZ_VARIANTS {
        let ours = Zone::named(zone.name()).unwrap();
        for at in changes(zone) {
            let change = Change { zone, at };
            if !agree(&change, &ours) {
                apart.insert(zone.name());
                continue;
            }
            for text in SCHEDULES {
                if long || rng.one_in(150) {
                    compare(&change, &ours, text);
                    compared += 1;
                }
            }
        }
    }
    println!(
        "{compared} comparisons; data differ in {} zones",
        apart.len()
    );
    assert!(
        compared > 100,
        "only {compared} comparisons with seed {seed}"
    );
    assert!(apart.len() < 20, "data differ in {apart:?}");
}

/// Schedules at random, in zones at random: what comes between changes.
#[test]
fn instants_of_schedules_at_random_are_those_of_another_calendar() {
    let mut rng = Rng::from_os();
    let rounds = if is_long() { 2_000 } else { 40 };
    for _ in 0..rounds {
        let field = |rng: &mut Rng, low: u64, high: u64| match rng.below(5) {
            0 | 1 => "*".to_owned(),
            2 => (low + rng.below(high - low + 1)).to_string(),
            3 => format!("*/{}", 1 + rng.below(high)),
            _ => {
                let first = low + rng.below(high - low);
                format!("{first}-{},{low}", first + rng.below(high - first + 1))
            }
        };
        let (minute, hour) = (field(&mut rng, 0, 59), field(&mut rng, 0, 23));
        let (day, month, weekday) = match rng.one_in(2) {
            true => (
                field(&mut rng, 1, 28),
                field(&mut rng, 1, 12),
                "*".to_owned(),
            ),
            false => (
                "*".to_owned(),
                field(&mut rng, 1, 12),
                field(&mut rng, 0, 6),
            ),
        };
        let text = format!("{minute} {hour} {day} {month} {weekday}");
        let zone = chrono_tz::TZ_VARIANTS[rng.index(chrono_tz::TZ_VARIANTS.len())];
        let ours = Zone::named(zone.name()).unwrap();
        let start = Utc.with_ymd_and_hms(2018, 1, 1, 0, 0, 0).unwrap();
        let at = start + Duration::minutes(i64::try_from(rng.below(5_000_000)).unwrap());
        let change = Change { zone, at };
        if agree(&change, &ours) {
            compare(&change, &ours, &text);
        }
    }
}

/// Whether the long mode was asked for.
fn is_long() -> bool {
    std::env::var("AURORA_LONG").as_deref() == Ok("1")
}
