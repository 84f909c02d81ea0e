//! The net catches fish: each deliberate mistake in the protocol or the disk code is found.

use crate::plan::Plan;
use crate::scenario::live;
use cores::base::{clock, mistake};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Every mistake, by the name that its place in the code asks for.
const MISTAKES: &[&str] = &[
    "evidence-before-store",
    "go-on-after-a-failed-sync",
    "vote-before-the-seat",
    "accept-lower-ballot",
    "accept-while-not-voting",
    "accept-without-promise",
    "accept-without-storing",
    "acknowledge-over-a-gap",
    "answer-before-sync",
    "believe-an-older-store",
    "believe-any-runs",
    "come-back-as-the-same",
    "count-any-incarnation",
    "count-new-members-only",
    "count-old-members-only",
    "count-own-vote-before-sync",
    "count-what-others-learned",
    "drop-promises",
    "form-without-storing",
    "hear-older-incarnations",
    "ignore-refusals",
    "join-a-round-under-way",
    "keep-any-ballot",
    "keep-matched-of-older-life",
    "lead-without-catching-up",
    "lead-without-quorum",
    "learn-any-ballot",
    "learn-over-a-gap",
    "learn-without-storing",
    "older-slot",
    "one-slot",
    "one-vote-less",
    "promise-lower-ballot",
    "promise-while-not-voting",
    "promise-without-entries",
    "promise-without-storing",
    "propose-during-a-change",
    "raise-promise-unstored",
    "read-any-ballot",
    "read-without-quorum",
    "recover-learned-only",
    "release-later-tickets",
    "retry-a-failed-sync",
    "reuse-a-ballot",
    "reuse-a-stale-handle",
    "settle-nothing",
    "share-a-round",
    "skip-evidence-sync",
    "skip-the-evidence",
    "stand-without-a-seat",
    "sweep-too-far",
    "truncate-everything",
    "vote-unformed",
];

/// Those that need trouble of one kind, and where it is.
const FOCUSED: &[(fn(u64) -> Plan, &[&str])] = &[
    (
        Plan::of_a_disk,
        &[
            "older-slot",
            "retry-a-failed-sync",
            "skip-the-evidence",
            "one-slot",
            "believe-any-runs",
        ],
    ),
    (
        Plan::of_leaders,
        &[
            "join-a-round-under-way",
            "read-without-quorum",
            "count-what-others-learned",
            "ignore-refusals",
        ],
    ),
    (
        Plan::of_members,
        &[
            "vote-before-the-seat",
            "count-any-incarnation",
            "count-new-members-only",
            "count-old-members-only",
            "form-without-storing",
            "hear-older-incarnations",
            "keep-matched-of-older-life",
            "propose-during-a-change",
            "share-a-round",
            "stand-without-a-seat",
            "accept-while-not-voting",
            "promise-while-not-voting",
        ],
    ),
];

/// The second of two checks for one thing: with either of them nothing is missed.
const DOUBLED: &[&str] = &["believe-any-meta"];

/// The plan in which a mistake is looked for.
fn plan_for(name: &str, seed: u64) -> Plan {
    let focus = FOCUSED.iter().find(|(_, names)| names.contains(&name));
    match focus {
        // Now and then one of all kinds.
        Some((plan, _)) if seed % 4 != 0 => plan(seed),
        Some(_) | None => Plan::from_seed(seed),
    }
}

/// Within this long each of them is found.
const BUDGET: Duration = Duration::from_secs(5);

/// Those that take a coincidence of several faults to be seen: looked for in the long mode.
const SLOW: &[&str] = &["change-before-settled", "let-configurations-ride"];
const SLOW_BUDGET: Duration = Duration::from_secs(60);

/// How long it took to find a mistake, and at which seed; none within the budget.
fn find(name: &'static str, budget: Duration) -> Option<(u64, Duration)> {
    let started = clock::now();
    for seed in 1.. {
        let took = clock::now().since(started);
        if took > budget {
            break;
        }
        mistake::set(Some(name));
        let result = catch_unwind(AssertUnwindSafe(|| live(plan_for(name, seed))));
        mistake::set(None);
        if result.is_err() {
            return Some((seed, clock::now().since(started)));
        }
    }
    None
}

#[test]
fn every_mistake_is_found() {
    // What is found panics, and need not say so a hundred times.
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    let is_long = std::env::var("AURORA_LONG").is_ok_and(|long| long == "1");
    let quick = MISTAKES.iter().map(|name| (name, BUDGET));
    let slow = SLOW.iter().map(|name| (name, SLOW_BUDGET));
    let wanted: Vec<_> = quick.chain(slow.filter(|_| is_long)).collect();
    for (name, budget) in &wanted {
        match find(name, *budget) {
            Some((seed, took)) => println!("{name}: seed {seed}, {} ms", took.as_millis()),
            None => missed.push(*name),
        }
    }
    drop(std::panic::take_hook());
    println!("{} of {} found", wanted.len() - missed.len(), wanted.len());
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn no_mistake_is_left_out_of_the_table() {
    mistake::set(None);
    for seed in 1..40 {
        live(Plan::from_seed(seed));
    }
    let known = |name: &String| [MISTAKES, SLOW, DOUBLED].concat().contains(&name.as_str());
    let names = mistake::names_asked();
    assert!(names.len() >= 40, "{} places ask", names.len());
    let unknown: Vec<_> = names.iter().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "not in the table: {unknown:?}");
}
