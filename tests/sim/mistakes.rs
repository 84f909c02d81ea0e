//! The net catches fish: each deliberate mistake in the protocol or the disk code is found.
//!
//! Some rules are there twice: that a member votes only when it has learned of its seat, and that no
//! other life of it is counted; that a change goes alone, and that nothing behind it is counted before it
//! is. With one of the two broken nothing is lost yet. Those mistakes are found by what is said, see
//! `overhear.rs`, and not by a loss. That a newer life of a peer begins with nothing acknowledged is not
//! among them: whatever an older life can have acknowledged is learned before the newer one is seated, so
//! it would change nothing that anybody could see. `paxos::peer` tests it.

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
    "change-before-settled",
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
    "lead-without-catching-up",
    "lead-without-quorum",
    "learn-any-ballot",
    "learn-over-a-gap",
    "learn-without-storing",
    "let-configurations-ride",
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
    (Plan::of_elections, &["share-a-round"]),
    (Plan::of_feeding, &["count-what-others-learned"]),
    (Plan::of_forming, &["form-without-storing"]),
    (Plan::of_growth, &["count-old-members-only"]),
    (
        Plan::of_leaders,
        &[
            "join-a-round-under-way",
            "read-without-quorum",
            "ignore-refusals",
        ],
    ),
    (
        Plan::of_lives,
        &[
            "accept-while-not-voting",
            "count-any-incarnation",
            "hear-older-incarnations",
            "promise-while-not-voting",
            "vote-before-the-seat",
        ],
    ),
    (
        Plan::of_members,
        &[
            "change-before-settled",
            "count-new-members-only",
            "let-configurations-ride",
            "propose-during-a-change",
            "stand-without-a-seat",
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
        Some((plan, _)) if !seed.is_multiple_of(4) => plan(seed),
        Some(_) | None => Plan::from_seed(seed),
    }
}

/// By then each of them is found: a number of seeds, and not a time, so that a slow machine finds what
/// a fast one does. They take about five seconds.
const SEEDS: u64 = 400;

/// How long it took to find a mistake, and at which seed.
fn find(name: &'static str) -> Option<(u64, Duration)> {
    let started = clock::now();
    for seed in 1..=SEEDS {
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
    if std::env::var_os("AURORA_LOUD").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let mut missed = Vec::new();
    let only = std::env::var("AURORA_MISTAKE").ok();
    let is_wanted = |name: &str| only.as_deref().is_none_or(|only| only.contains(name));
    let wanted = MISTAKES.iter().filter(|name| is_wanted(name));
    let wanted: Vec<&'static str> = wanted.copied().collect();
    for name in &wanted {
        match find(name) {
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
    let known = |name: &String| [MISTAKES, DOUBLED].concat().contains(&name.as_str());
    let names = mistake::names_asked();
    assert!(names.len() >= 40, "{} places ask", names.len());
    let unknown: Vec<_> = names.iter().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "not in the table: {unknown:?}");
}
