//! All pairs of states, rendered.

use super::*;
use ScheduleStatus as S;

/// One letter per effect: f(ailures) s(ave) r(eschedule) l(ost) k(ill) d(elete); `.` nothing, `=` noop.
fn cell(from: Option<S>, to: Option<S>, facts: Facts) -> String {
    let verdict = decide(from, to, facts);
    let letter = |e: &Effect| match e {
        Effect::IncrementFailures => 'f',
        Effect::SaveState => 's',
        Effect::Reschedule => 'r',
        Effect::TransitionToLost => 'l',
        Effect::Kill => 'k',
        Effect::Delete => 'd',
    };
    match verdict.outcome {
        Outcome::Noop => "=".into(),
        Outcome::Illegal => ".".into(),
        Outcome::IllegalWithSideEffects | Outcome::Success => {
            verdict.effects.iter().map(letter).collect()
        }
    }
}

const ORDER: [Option<S>; 16] = [
    Some(S::Init),
    Some(S::Throttled),
    Some(S::Pending),
    Some(S::Assigned),
    Some(S::Starting),
    Some(S::Running),
    Some(S::Partitioned),
    Some(S::Preempting),
    Some(S::Restarting),
    Some(S::Draining),
    Some(S::Killing),
    Some(S::Finished),
    Some(S::Failed),
    Some(S::Killed),
    Some(S::Lost),
    None,
];

fn render(facts: Facts) -> String {
    let name = |s: &Option<S>| s.map_or("GONE", S::name)[..4].to_owned();
    let mut out = format!("{:5}", "");
    for to in &ORDER {
        out += &format!("{:5}", name(to));
    }
    for from in &ORDER {
        out = out.trim_end().to_owned() + "\n" + &format!("{:5}", name(from));
        for to in &ORDER {
            out += &format!("{:5}", cell(*from, *to, facts));
        }
    }
    out.trim_end().to_owned() + "\n"
}

/// A task that is no service and may not fail again.
const ONCE: &str =
    "     INIT THRO PEND ASSI STAR RUNN PART PREE REST DRAI KILL FINI FAIL KILL LOST GONE
INIT =    s    s    .    .    .    .    .    .    .    .    .    .    .    .    .
THRO .    =    s    .    .    .    .    .    .    .    d    .    .    .    .    .
PEND .    .    =    s    .    .    .    .    .    .    d    .    .    .    .    .
ASSI .    .    .    =    s    s    .    sk   sk   sk   sk   s    fs   sr   srk  .
STAR .    .    .    .    =    s    s    sk   sk   sk   sk   s    fs   sr   sr   .
RUNN .    .    .    .    .    =    s    sk   sk   sk   sk   s    fs   sr   sr   .
PART .    .    .    s    s    s    =    sl   sl   sl   sl   s    fs   .    srk  .
PREE .    .    .    k    k    k    sl   =    .    .    s    sr   sr   sr   srk  .
REST .    .    .    k    k    k    sl   .    =    .    s    sr   sr   sr   srk  .
DRAI .    .    .    k    k    k    sl   .    .    =    s    sr   sr   sr   srk  .
KILL .    .    .    k    k    k    sl   .    .    .    =    s    s    s    s    d
FINI .    .    .    k    k    k    .    .    .    .    .    =    .    .    .    d
FAIL .    .    .    k    k    k    .    .    .    .    .    .    =    .    .    d
KILL .    .    .    k    k    k    .    .    .    .    .    .    .    =    .    d
LOST .    .    .    k    k    k    .    .    .    .    .    .    .    .    =    d
GONE .    .    .    k    k    k    .    .    .    .    .    .    .    .    .    =
";

#[test]
fn every_pair_of_states_does_what_the_table_says() {
    let rendered = render(Facts::default());
    assert_eq!(rendered, ONCE, "\n{rendered}");
}

/// The cells that differ from those of [`ONCE`] under these facts.
fn differences(facts: Facts) -> Vec<String> {
    let mut found = Vec::new();
    for from in ORDER {
        for to in ORDER {
            let (plain, here) = (cell(from, to, Facts::default()), cell(from, to, facts));
            if plain != here {
                let name = |s: Option<S>| s.map_or("GONE", S::name);
                found.push(format!("{} {} {here}", name(from), name(to)));
            }
        }
    }
    found
}

#[test]
fn services_run_again_however_they_end() {
    let facts = Facts {
        is_service: true,
        ..Facts::default()
    };
    let mut expected = Vec::new();
    for from in ["ASSIGNED", "STARTING", "RUNNING", "PARTITIONED"] {
        expected.push(format!("{from} FINISHED sr"));
        expected.push(format!("{from} FAILED fsr"));
    }
    assert_eq!(differences(facts), expected);
}

#[test]
fn a_task_that_may_fail_again_does() {
    let facts = Facts {
        may_fail_again: true,
        ..Facts::default()
    };
    let expected = ["ASSIGNED", "STARTING", "RUNNING", "PARTITIONED"];
    assert_eq!(
        differences(facts),
        expected.map(|from| format!("{from} FAILED fsr"))
    );
}

#[test]
fn a_task_that_was_killed_is_not_run_again_when_its_machine_is_lost() {
    let facts = Facts {
        was_killed: true,
        ..Facts::default()
    };
    assert_eq!(differences(facts), ["PARTITIONED LOST sk"]);
}
