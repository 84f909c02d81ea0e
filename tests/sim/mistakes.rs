//! The net catches fish: each deliberate mistake in the protocol or the disk code is found.

use crate::model;
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
    "believe-any-meta",
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
        let result = catch_unwind(AssertUnwindSafe(|| live(Plan::from_seed(seed))));
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

/// Some that the model check finds too: it looks at every order, and so needs no luck.
const FOUND_BY_THE_MODEL: &[&str] = &[
    "accept-lower-ballot",
    "keep-any-ballot",
    "promise-without-entries",
    "promise-without-storing",
    "settle-nothing",
];

#[test]
fn the_model_check_finds_mistakes() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for name in FOUND_BY_THE_MODEL {
        let started = clock::now();
        mistake::set(Some(name));
        let result = catch_unwind(|| model::search(model::SMALL));
        mistake::set(None);
        let took = clock::now().since(started).as_millis();
        match result {
            Err(_) => println!("{name}: {took} ms"),
            Ok(searched) => missed.push((*name, searched)),
        }
    }
    drop(std::panic::take_hook());
    assert!(missed.is_empty(), "the model check misses {missed:?}");
}

#[test]
fn no_mistake_is_left_out_of_the_table() {
    mistake::set(None);
    for seed in 1..40 {
        live(Plan::from_seed(seed));
    }
    let known = |name: &String| [MISTAKES, SLOW].concat().contains(&name.as_str());
    let names = mistake::names_asked();
    assert!(names.len() >= 40, "{} places ask", names.len());
    let unknown: Vec<_> = names.iter().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "not in the table: {unknown:?}");
}
