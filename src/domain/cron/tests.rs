//! The dialect, the two hours, what is due.

use super::*;
use std::time::Duration;

fn at(text: &str) -> Timestamp {
    let moment: jiff::Timestamp = text.parse().unwrap();
    Timestamp(moment.as_millisecond())
}

fn shown(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).unwrap().to_string()
}

fn schedule(text: &str) -> Schedule {
    Schedule::parse(text).unwrap()
}

/// The instants after `from` and up to `to`, in UTC.
fn instants(text: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
    let (schedule, zone) = (schedule(text), Zone::named(zone).unwrap());
    let next = |from: &Timestamp| schedule.next_after(&zone, *from);
    std::iter::successors(next(&at(from)), next)
        .take_while(|instant| *instant <= at(to))
        .map(shown)
        .collect()
}

#[test]
fn schedules_have_one_normal_form() {
    for (text, normal) in [
        ("* * * * *", "* * * * *"),
        ("*/15 * * * *", "0,15,30,45 * * * *"),
        ("0-59 0-23 1-31 1-12 0-6", "* * * * *"),
        ("5,1,2,3,30 4 * * *", "1-3,5,30 4 * * *"),
        ("0 9-17/4 * * MON-FRI", "0 9,13,17 * * 1-5"),
        ("0 0 1 jan,JUL *", "0 0 1 1,7 *"),
        ("0  0\t1 * *", "0 0 1 * *"),
        ("0,,30, 1 * * *", "0,30 1 * * *"),
        ("*/100 * * * sun", "0 * * * 0"),
        ("0-58/2 * * * *", &format!("{} * * * *", even())),
    ] {
        assert_eq!(schedule(text).to_string(), normal, "{text}");
        assert_eq!(schedule(normal), schedule(text), "{text}");
    }
}

fn even() -> String {
    let numbers: Vec<String> = (0..30).map(|n| (2 * n).to_string()).collect();
    numbers.join(",")
}

#[test]
fn what_upstream_refuses_is_refused() {
    for text in [
        "",
        "* * * *",
        "* * * * * *",
        " * * * * *",
        "* * * * * ",
        "@daily",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 0 *",
        "* * * 13 *",
        "* * * * 7",
        "* * * * SUN-7",
        "5-1 * * * *",
        "*/0 * * * *",
        "0-10/10 * * * *",
        "0-10/0 * * * *",
        "5/10 * * * *",
        "? * * * *",
        "0 0 L * *",
        "0 0 1W * *",
        "* * * * 1#2",
        "a * * * *",
        "-1 * * * *",
        "1- * * * *",
        "+1 * * * *",
        "* * * * MONDAY",
        "0 0 1 * 1",
        "1-2-3 * * * *",
        ", * * * *",
        "0 0 30 FEB *",
        "0 0 31 4,6,9,11 *",
        "99999999999999999999 * * * *",
        "0 0 1 1 1-6",
        "* * * MON *",
        "* * * * JAN",
        "*/ * * * *",
        "/5 * * * *",
        "０ * * * *",
    ] {
        let error = Schedule::parse(text).unwrap_err();
        assert_eq!(error.to_string(), format!("Invalid cron schedule: {text}"));
    }
    assert!(Schedule::parse(&format!("{} * * * *", "1,".repeat(3_000))).is_err());
}

#[test]
fn days_and_months_are_followed_over_leap_years() {
    let all = instants(
        "0 12 29 2 *",
        "GMT",
        "2096-01-01T00:00:00Z",
        "2108-01-01T00:00:00Z",
    );
    assert_eq!(all, ["2096-02-29T12:00:00Z", "2104-02-29T12:00:00Z"]);
    let all = instants(
        "30 23 31 * *",
        "GMT",
        "2026-03-31T23:30:00Z",
        "2026-08-31T23:29:59Z",
    );
    assert_eq!(all, ["2026-05-31T23:30:00Z", "2026-07-31T23:30:00Z"]);
    let all = instants(
        "0 0 * * 0",
        "GMT",
        "2026-11-21T00:00:00Z",
        "2026-11-30T00:00:00Z",
    );
    assert_eq!(all, ["2026-11-22T00:00:00Z", "2026-11-29T00:00:00Z"]);
}

#[test]
fn a_named_hour_that_is_skipped_is_made_up_for_by_the_length_of_the_gap() {
    let (from, to) = ("2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z");
    let berlin = |text| instants(text, "Europe/Berlin", from, to);
    // 02:00 to 03:00 does not exist; 01:30Z is 03:30 by the new clock.
    assert_eq!(berlin("30 2 * * *"), ["2026-03-29T01:30:00Z"]);
    assert_eq!(berlin("0 2,3 * * *"), ["2026-03-29T01:00:00Z"]);
    let both = [
        "2026-03-29T01:00:00Z",
        "2026-03-29T01:30:00Z",
        "2026-03-29T02:00:00Z",
    ];
    assert_eq!(berlin("30 2 * * *").len() + berlin("0 3,4 * * *").len(), 3);
    assert_eq!(berlin("0,30 2,4 * * *")[..3], both);
    // Half an hour, in the south.
    let (from, to) = ("2026-10-03T15:00:00Z", "2026-10-03T16:30:00Z");
    let howe = |text| instants(text, "Australia/Lord_Howe", from, to);
    assert_eq!(howe("10 2 * * *"), ["2026-10-03T15:40:00Z"]);
    // A whole day: Samoa had no 30th of December 2011.
    let (from, to) = ("2011-12-30T00:00:00Z", "2011-12-31T12:00:00Z");
    let samoa = |text| instants(text, "Pacific/Apia", from, to);
    assert_eq!(samoa("0 12 30 12 *"), ["2011-12-30T22:00:00Z"]);
}

#[test]
fn a_named_hour_that_comes_twice_is_run_once() {
    let (from, to) = ("2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z");
    let berlin = |text| instants(text, "Europe/Berlin", from, to);
    assert_eq!(berlin("30 2 * * *"), ["2026-10-25T00:30:00Z"]);
    assert_eq!(berlin("0 3 * * *"), ["2026-10-25T02:00:00Z"]);
}

#[test]
fn an_open_hour_follows_the_clock_on_the_wall() {
    let berlin = |from, to| instants("20 * * * *", "Europe/Berlin", from, to);
    let spring = berlin("2026-03-28T23:30:00Z", "2026-03-29T02:30:00Z");
    assert_eq!(
        spring,
        [
            "2026-03-29T00:20:00Z",
            "2026-03-29T01:20:00Z",
            "2026-03-29T02:20:00Z"
        ]
    );
    let autumn = berlin("2026-10-24T23:30:00Z", "2026-10-25T02:30:00Z");
    assert_eq!(
        autumn,
        [
            "2026-10-25T00:20:00Z",
            "2026-10-25T01:20:00Z",
            "2026-10-25T02:20:00Z"
        ]
    );
}

#[test]
fn zones_go_by_their_names_and_nothing_else() {
    for (name, known) in [
        ("GMT", "GMT"),
        ("UTC", "UTC"),
        ("europe/berlin", "Europe/Berlin"),
        ("GMT+2", "GMT+2"),
        ("GMT-03:30", "GMT-03:30"),
        ("EST", "EST"),
    ] {
        assert_eq!(Zone::named(name).unwrap().name(), known);
    }
    for name in [
        "",
        "PDST",
        "Mars/Olympus",
        "GMT+24",
        "GMT+1:60",
        "GMT++1",
        "GMT+123",
        "../GMT",
    ] {
        let error = Zone::named(name).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("'{name}' is no time zone")),
            "{error}"
        );
    }
    let all = instants(
        "0 0 * * *",
        "GMT-03:30",
        "2026-01-01T00:00:00Z",
        "2026-01-02T00:00:00Z",
    );
    assert_eq!(all, ["2026-01-01T03:30:00Z"]);
}

#[test]
fn only_the_latest_instant_is_run_and_only_while_it_is_young() {
    let gmt = Zone::named("GMT").unwrap();
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let missed = |first, last, count| {
        Some(Missed {
            first: at(first),
            last: at(last),
            count,
        })
    };
    let due = |text, cursor, now, window| due(&schedule(text), &gmt, at(cursor), at(now), window);
    // On time, even without a window.
    let one = due(
        "* * * * *",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:01:02Z",
        minutes(0),
    );
    assert_eq!(
        one,
        Due {
            run: Some(at("2026-01-01T00:01:00Z")),
            missed: None
        }
    );
    // Nothing yet, and nothing again when the clock went back.
    for now in ["2026-01-01T00:00:59.999Z", "2025-01-01T00:00:00Z"] {
        let none = due("* * * * *", "2026-01-01T00:00:00Z", now, minutes(15));
        assert_eq!(none, Due::default());
    }
    // Three passed: one run makes up for them.
    let three = due(
        "*/5 * * * *",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:16:00Z",
        minutes(15),
    );
    assert_eq!(three.run, Some(at("2026-01-01T00:15:00Z")));
    assert_eq!(
        three.missed,
        missed("2026-01-01T00:05:00Z", "2026-01-01T00:10:00Z", 2)
    );
    // Too old.
    let old = due(
        "0 3 * * *",
        "2026-01-01T00:00:00Z",
        "2026-01-01T03:15:01Z",
        minutes(15),
    );
    assert_eq!(
        old.missed,
        missed("2026-01-01T03:00:00Z", "2026-01-01T03:00:00Z", 1)
    );
    assert_eq!(old.run, None);
    let young = due(
        "0 3 * * *",
        "2026-01-01T00:00:00Z",
        "2026-01-01T03:15:00Z",
        minutes(15),
    );
    assert_eq!(
        young,
        Due {
            run: Some(at("2026-01-01T03:00:00Z")),
            missed: None
        }
    );
    // Years away: the count ends, the record says where.
    let long = due(
        "* * * * *",
        "2020-01-01T00:00:00Z",
        "2026-01-01T00:00:30Z",
        minutes(1),
    );
    assert_eq!(long.run, Some(at("2026-01-01T00:00:00Z")));
    assert_eq!(
        long.missed,
        missed(
            "2020-01-01T00:01:00Z",
            "2026-01-01T00:00:00Z",
            MISSED_COUNTED
        )
    );
}

#[test]
fn every_collision_has_its_verdict() {
    use crate::model::CronCollisionPolicy as Policy;
    let all = [Policy::KillExisting, Policy::CancelNew, Policy::RunOverlap];
    for policy in all {
        assert_eq!(collide(policy, false, false), Verdict::Start);
        for active in [false, true] {
            assert_eq!(collide(policy, true, active), Verdict::Overtake);
        }
    }
    let verdicts = all.map(|policy| collide(policy, false, true));
    assert_eq!(
        verdicts,
        [Verdict::KillFirst, Verdict::Cancel, Verdict::RefuseOverlap]
    );
}

#[test]
fn zones_whose_rules_have_changed_for_good_are_read_right() {
    // The clocks went from -6 to -7 at the end of 2022-11-29, and 23:59 came twice.
    let all = instants(
        "59 23 * * *",
        "America/Ciudad_Juarez",
        "2022-11-30T00:00:00Z",
        "2022-12-01T12:00:00Z",
    );
    assert_eq!(all, ["2022-11-30T05:59:00Z", "2022-12-01T06:59:00Z"]);
}
