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

/// How long it took to find a mistake, and at which seed; none within the budget.
fn find(name: &'static str) -> Option<(u64, Duration)> {
    let started = clock::now();
    for seed in 1.. {
        let took = clock::now().since(started);
        if took > BUDGET {
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
    for name in MISTAKES {
        match find(name) {
            Some((seed, took)) => println!("{name}: seed {seed}, {} ms", took.as_millis()),
            None => missed.push(*name),
        }
    }
    drop(std::panic::take_hook());
    println!(
        "{} of {} found",
        MISTAKES.len() - missed.len(),
        MISTAKES.len()
    );
    assert!(missed.is_empty(), "not found within {BUDGET:?}: {missed:?}");
}
