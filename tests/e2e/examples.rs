//! Every example that is installed runs as its own comments say.

use crate::world::{World, text};
use std::collections::BTreeSet;
use std::path::Path;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/examples");

/// Each file, with the job in it and the commands that try it; `JOB` and `FILE` stand for both.
const TRIALS: &[(&str, &str, &[&str])] = &[
    (
        "batch",
        "devel/batch",
        &["job create --wait-until=FINISHED JOB FILE"],
    ),
    (
        "cron",
        "devel/tidy",
        &[
            "cron schedule JOB FILE",
            "cron show JOB",
            "cron start JOB",
            "cron deschedule JOB",
        ],
    ),
    (
        "hello_world",
        "devel/hello_world",
        &[
            "job create --wait-until=RUNNING JOB FILE",
            "job killall JOB",
        ],
    ),
    (
        "http_service",
        "devel/http_service",
        &[
            "job create --wait-until=RUNNING JOB FILE",
            "job killall JOB",
        ],
    ),
    (
        "profiles",
        "devel/greeter",
        &[
            "job create --wait-until=RUNNING JOB FILE",
            "job killall JOB",
        ],
    ),
    (
        "profiles",
        "prod/greeter",
        &[
            "job create --wait-until=RUNNING JOB FILE --bind profile.greeting=Salut",
            "job killall JOB",
        ],
    ),
    (
        "sequential",
        "devel/sequential",
        &["job create --wait-until=FINISHED JOB FILE"],
    ),
];

#[test]
fn every_installed_example_runs() {
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(EXAMPLES).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        files.insert(name.trim_end_matches(".aurora").to_owned());
    }
    let tried: BTreeSet<String> = TRIALS.iter().map(|it| it.0.to_owned()).collect();
    assert_eq!(files, tried, "each example has a trial here");
    let mut world = World::new("examples");
    world.start_all();
    let uid = nix::unistd::Uid::effective();
    let user = nix::unistd::User::from_uid(uid).unwrap().unwrap().name;
    for (file, job, commands) in TRIALS {
        let file = Path::new(EXAMPLES).join(format!("{file}.aurora"));
        let file = file.display().to_string();
        let job = format!("local/{user}/{job}");
        for command in *commands {
            let words = command.split(' ').map(|word| match word {
                "JOB" => job.as_str(),
                "FILE" => file.as_str(),
                word => word,
            });
            let words: Vec<&str> = words.collect();
            let out = world.client(&words);
            assert!(out.status.success(), "{words:?}: {}", text(&out));
        }
    }
}
