use super::*;
use crate::model::*;
use std::collections::BTreeMap;

fn config() -> TaskConfig {
    TaskConfig {
        job: JobKey::new("www", "prod", "web").expect("a key"),
        owner: None,
        is_service: true,
        priority: 0,
        max_task_failures: 1,
        production: true,
        tier: None,
        resources: Resources {
            cpus: MilliCpus(100),
            ram_mb: 1,
            disk_mb: 1,
            ports: 0,
            gpus: 0,
        },
        port_names: BTreeSet::new(),
        names_gpus: false,
        constraints: BTreeSet::new(),
        fetcher_uris: BTreeSet::new(),
        task_links: BTreeMap::new(),
        contact_email: None,
        executor: Some(ExecutorConfig {
            name: Some("AuroraExecutor".to_owned()),
            data: None,
        }),
        metadata: BTreeSet::new(),
        partition_policy: None,
        sla_policy: None,
        container: Container::default(),
    }
}

/// What `rules` say of a description that `change` has changed.
fn verdict(rules: &Rules, change: impl FnOnce(&mut TaskConfig)) -> Result<TaskConfig, String> {
    let mut config = config();
    change(&mut config);
    match rules.populate(&mut config, 20, &BTreeSet::new()) {
        Ok(()) => Ok(config),
        Err(Invalid(message)) => Err(message),
    }
}

fn refusal(change: impl FnOnce(&mut TaskConfig)) -> String {
    verdict(&Rules::default(), change).expect_err("a refusal")
}

#[test]
fn the_tier_decides_whether_a_job_is_production_whatever_the_client_says() {
    let rules = Rules::default();
    let plain = verdict(&rules, |_| {}).expect("fine");
    assert_eq!(plain.tier.as_deref(), Some("preemptible"));
    assert!(!plain.production);
    let preferred = verdict(&rules, |c| {
        c.tier = Some("preferred".to_owned());
        c.production = false;
    });
    assert!(preferred.expect("fine").production);
    let message = refusal(|c| c.tier = Some("gold".to_owned()));
    assert_eq!(message, "Invalid tier 'gold' in TaskConfig.");
    let message = refusal(|c| c.tier = Some("a b".to_owned()));
    assert_eq!(message, "Tier contains illegal characters: a b");
}

#[test]
fn an_executor_must_be_there_named_and_known() {
    assert_eq!(
        refusal(|c| c.executor = None),
        "Configuration may not be null."
    );
    let executor = |name: Option<&str>| {
        Some(ExecutorConfig {
            name: name.map(str::to_owned),
            data: None,
        })
    };
    assert_eq!(
        refusal(|c| c.executor = executor(None)),
        "Executor name may not be left unset."
    );
    assert_eq!(
        refusal(|c| c.executor = executor(Some("x"))),
        "Configuration for executor 'x' doesn't exist."
    );
}

fn dedicated(kind: ConstraintKind) -> BTreeSet<Constraint> {
    BTreeSet::from([Constraint {
        name: "dedicated".to_owned(),
        kind,
    }])
}

fn values(values: &[&str]) -> ConstraintKind {
    ConstraintKind::Value {
        negated: false,
        values: values.iter().map(|v| (*v).to_owned()).collect(),
    }
}

#[test]
fn only_a_role_itself_may_use_its_dedicated_hosts() {
    let rules = Rules::default();
    for good in ["www", "www/kafka", "*", "*/ssd"] {
        let verdict = verdict(&rules, |c| c.constraints = dedicated(values(&[good])));
        assert!(verdict.is_ok(), "{good}");
    }
    assert_eq!(
        refusal(|c| c.constraints = dedicated(values(&["ads/x"]))),
        "Only ads may use hosts dedicated for that role."
    );
    assert_eq!(
        refusal(|c| c.constraints = dedicated(values(&["www", "ads"]))),
        "A dedicated constraint must have exactly one value"
    );
    assert_eq!(
        refusal(|c| c.constraints = dedicated(ConstraintKind::Limit(1))),
        "A dedicated constraint must be of value type."
    );
}

#[test]
fn docker_needs_an_image_an_executor_and_leave() {
    let docker = |image: &str, parameter: bool| Container::Docker {
        image: image.to_owned(),
        parameters: match parameter {
            true => vec![DockerParameter {
                name: "a".to_owned(),
                value: "b".to_owned(),
            }],
            false => Vec::new(),
        },
    };
    assert_eq!(
        refusal(|c| c.container = docker("", false)),
        "A container must specify an image."
    );
    assert_eq!(
        refusal(|c| c.container = docker("x", true)),
        "This scheduler is configured to disallow Docker parameters."
    );
    let without_executor = |c: &mut TaskConfig| {
        c.container = docker("x", false);
        c.executor = None;
    };
    assert_eq!(
        refusal(without_executor),
        "This scheduler is configured to require an executor for Docker-based tasks."
    );
    assert_eq!(
        refusal(|c| c.container = docker("x", false)),
        "This scheduler is not configured to allow the container type DOCKER"
    );
    let rules = Rules {
        container_types: BTreeSet::from([ContainerType::Docker]),
        require_docker_use_executor: false,
        ..Rules::default()
    };
    assert!(verdict(&rules, without_executor).is_ok());
}

#[test]
fn each_resource_is_positive_and_named_once() {
    assert_eq!(
        refusal(|c| c.resources.cpus = MilliCpus(0)),
        "num_cpus must be greater than 0.0"
    );
    assert_eq!(
        refusal(|c| c.resources.ram_mb = -1),
        "ram_mb must be greater than 0.0"
    );
    assert_eq!(
        refusal(|c| c.resources.disk_mb = 0),
        "disk_mb must be greater than 0.0"
    );
    assert_eq!(
        refusal(|c| c.names_gpus = true),
        "GPU resource support is disabled in this cluster."
    );
    let repeated = BTreeSet::from([ResourceKind::Ram, ResourceKind::Cpu]);
    let refused = Rules::default().populate(&mut config(), 1, &repeated);
    assert_eq!(
        refused,
        Err(Invalid(
            "Multiple resource values are not supported for CPU, RAM".to_owned()
        ))
    );
}

#[test]
fn files_and_volumes_need_leave() {
    let uri = FetcherUri {
        value: "http://x".to_owned(),
        extract: None,
        cache: None,
        output_file: None,
    };
    assert_eq!(
        refusal(|c| c.fetcher_uris = BTreeSet::from([uri])),
        "Mesos Fetcher for individual jobs is disabled in this cluster."
    );
    let volume = Volume {
        container_path: "/a".to_owned(),
        host_path: "/b".to_owned(),
        mode: VolumeMode::ReadOnly,
    };
    let container = Container::Mesos {
        image: None,
        volumes: vec![volume],
    };
    assert_eq!(
        refusal(|c| c.container = container),
        "This scheduler is configured to disallow container volumes."
    );
}

#[test]
fn promises_are_for_production_jobs_that_are_large_enough() {
    let preferred = |policy: SlaPolicy| {
        |c: &mut TaskConfig| {
            c.tier = Some("preferred".to_owned());
            c.sla_policy = Some(policy);
        }
    };
    let count = |count, duration_secs| SlaPolicy::Count {
        count,
        duration_secs,
    };
    let percent = |percent: i64| SlaPolicy::Percentage {
        milli_percent: percent * 1000,
        duration_secs: 60,
    };
    assert_eq!(
        refusal(|c| c.sla_policy = Some(count(1, 1))),
        "Tier 'preemptible' does not support SlaPolicy."
    );
    let rules = Rules::default();
    assert!(verdict(&rules, preferred(count(19, 7200))).is_ok());
    assert!(refusal(preferred(count(20, 1))).starts_with("Current CountSlaPolicy: count=20"));
    assert!(refusal(preferred(count(19, 7201))).starts_with("CountSlaPolicy: durationSecs=7201"));
    assert!(verdict(&rules, preferred(percent(95))).is_ok());
    assert!(refusal(preferred(percent(96))).starts_with("Current PercentageSlaPolicy"));
    assert!(refusal(preferred(percent(i64::MAX / 1000))).starts_with("Current Percentage"));

    let mut small = config();
    preferred(count(1, 1))(&mut small);
    let refused = rules.populate(&mut small, 19, &BTreeSet::new());
    let message =
        "Job with fewer than 20 instances cannot have Percentage/Count SlaPolicy.".to_owned();
    assert_eq!(refused, Err(Invalid(message)));
}

#[test]
fn links_to_well_known_ports_are_filled_in() {
    let rules = Rules::default();
    let ports = |c: &mut TaskConfig| {
        c.port_names = ["http", "admin"].map(str::to_owned).into();
    };
    let links = verdict(&rules, ports).expect("fine").task_links;
    let expected = BTreeMap::from([("http".to_owned(), "http://%host%:%port:http%".to_owned())]);
    assert_eq!(links, expected);
    let given = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let links = verdict(&rules, |c| {
        ports(c);
        c.task_links.clone_from(&given);
    });
    assert_eq!(links.expect("fine").task_links, given);
}

#[test]
fn environments_match_the_pattern_as_a_whole() {
    let rules = Rules::default();
    let check = |environment: &str| {
        let key = JobKey::new("www", environment, "web").expect("a key");
        rules.check_key(&key).map_err(|Invalid(message)| message)
    };
    for good in ["prod", "devel", "test", "staging", "staging12"] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    assert_eq!(
        check("prod2"),
        Err(r"Job environment prod2 doesn't match: ^(prod|devel|test|staging\d*)$".to_owned())
    );
    let rule = EnvironmentRule::new("a|b").expect("a pattern");
    assert!(rule.check("b").is_ok() && rule.check("ab").is_err());
    assert!(EnvironmentRule::new("(").is_err());
}

#[test]
fn keys_leave_room_for_the_ids_of_tasks() {
    let key = JobKey::new("www", "prod", &"x".repeat(194)).expect("a key");
    assert!(Rules::default().check_key(&key).is_err());
    let key = JobKey::new("www", "prod", &"x".repeat(193)).expect("a key");
    assert!(Rules::default().check_key(&key).is_ok());
    let mut rng = crate::base::rng::Rng::from_seed(1);
    assert!(TaskId::fresh(&key, u32::MAX, &mut rng).as_str().len() <= 255);
}

#[test]
fn owners_are_identifiers() {
    assert!(check_owner("jane-doe").is_ok());
    assert!(check_owner("").is_err());
}

#[test]
fn container_types_are_read_by_their_names() {
    for kind in [ContainerType::Docker, ContainerType::Mesos] {
        assert_eq!(ContainerType::from_name(&kind.to_string()), Some(kind));
    }
    assert_eq!(
        ContainerType::from_name("mesos"),
        Some(ContainerType::Mesos)
    );
    assert_eq!(ContainerType::from_name("LXC"), None);
}

#[test]
fn nobody_stores_more_than_a_description_may_hold() {
    type Change = fn(&mut TaskConfig);
    let long = || "x".repeat(20_000);
    let cases: &[(&str, Change)] = &[
        ("at most 1000 ports", |c| {
            c.port_names = (0..1_001).map(|n| n.to_string()).collect();
        }),
        ("Port name \"\"", |c| {
            c.port_names.insert(String::new());
        }),
        ("Port name \"a\\nb\"", |c| {
            c.port_names.insert("a\nb".into());
        }),
        ("at most 1000 pieces of metadata", |c| {
            let one = |n: u32| Metadata {
                key: n.to_string(),
                value: String::new(),
            };
            c.metadata = (0..1_001).map(one).collect();
        }),
        ("Limit constraint rack must not be negative", |c| {
            c.constraints.insert(Constraint {
                name: "rack".into(),
                kind: ConstraintKind::Limit(-1),
            });
        }),
        ("at most 1000 task links", |c| {
            let one = |n: u32| (n.to_string(), String::new());
            c.task_links = (0..1_001).map(one).collect();
        }),
        ("delaySecs must not be negative", |c| {
            c.partition_policy = Some(PartitionPolicy {
                reschedule: true,
                delay_secs: -1,
            });
        }),
        ("Executor data may have at most 1048576 bytes", |c| {
            if let Some(executor) = &mut c.executor {
                executor.data = Some("x".repeat((1 << 20) + 1));
            }
        }),
    ];
    for (part, change) in cases {
        let message = refusal(change);
        assert!(message.contains(part), "{part}: {message}");
    }
    let email = refusal(|c| c.contact_email = Some(long()));
    assert_eq!(email, "Contact email may have at most 16384 bytes.");
    assert!(verdict(&Rules::default(), |c| c.contact_email = Some("a@b".into())).is_ok());
}
