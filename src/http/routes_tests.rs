//! Every route over a small fixed cluster.

use super::fixture::{EVIL, Fixed, cluster, open, site};
use crate::base::clock::{self, Instant};
use crate::net::http1::{Answer, Method};
use crate::scheduler::{Lifecycle, View};
use std::sync::Arc;

fn waiting(view: View) -> Fixed {
    Fixed {
        tables: Arc::default(),
        view: Arc::new(view),
        last_turn: Instant::ZERO,
    }
}

#[test]
fn health_is_ok_in_every_state_but_a_stuck_loop() {
    for lifecycle in Lifecycle::ALL {
        let site = site(waiting(View {
            lifecycle,
            ..View::default()
        }));
        let (status, headers, body) = site.get("/health");
        assert_eq!((status, body.as_str()), (200, "OK\n"), "{lifecycle}");
        assert!(headers.contains("content-type: text/plain"), "{headers}");
    }
    let turned = |last_turn| Fixed {
        last_turn,
        ..cluster()
    };
    // Clocks begin at one second, so that this turn was long ago.
    let (status, _, body) = site(turned(Instant::from_nanos(1))).get("/health");
    assert_eq!((status, body.as_str()), (503, "SICK\n"));
    let future = clock::now() + std::time::Duration::from_secs(60);
    assert_eq!(site(turned(future)).get("/health").0, 200);
}

#[test]
fn health_that_is_answered_at_once_is_answered_as_the_route_does() {
    let sick = Fixed {
        last_turn: Instant::from_nanos(1),
        ..cluster()
    };
    for (source, wanted) in [(cluster(), 200), (sick, 503)] {
        let site = site(source);
        // Only a GET is answered at once.
        let lines = |method, target| {
            let (status, headers, _) = open(site.ask(method, target, &[], b""));
            let mut lines: Vec<String> = headers.lines().map(str::to_owned).collect();
            lines.sort();
            (status, lines)
        };
        let routed = lines(Method::Head, "/health");
        assert_eq!(routed.0, wanted);
        for target in ["/health", "/livez", "/health/", "/health?full=1"] {
            assert_eq!(lines(Method::Get, target), routed, "{target}");
        }
        assert_eq!(site.get("/healthy").0, 404);
    }
}

#[test]
fn readiness_tells_why() {
    let (status, _, body) = site(cluster()).get("/readyz?verbose");
    assert_eq!(status, 200);
    assert!(
        body.contains("[+]storage ok\n") && body.ends_with("OK\n"),
        "{body}"
    );
    let empty = waiting(View {
        replica: "EMPTY",
        ..View::default()
    });
    let site = site(empty);
    let (status, _, body) = site.get("/readyz?verbose=1");
    assert_eq!(status, 503);
    assert!(
        body.contains("[-]leading not ready\n") && body.contains("replica EMPTY"),
        "{body}"
    );
    assert_eq!(site.get("/readyz").2, "NOT READY\n");
}

#[test]
fn leaderhealth_tells_who_leads() {
    let led_by = |leader: Option<&str>, lifecycle| {
        let leader = leader.map(str::to_owned);
        let site = site(waiting(View {
            leader,
            lifecycle,
            ..View::default()
        }));
        let (status, _, body) = site.get("/leaderhealth");
        (status, body.lines().next().unwrap_or_default().to_owned())
    };
    let said = |text: &str| format!("Current status: {text}");
    assert_eq!(
        led_by(None, Lifecycle::Active),
        (200, said("This is the leading scheduler."))
    );
    assert_eq!(led_by(Some("here:8081"), Lifecycle::StoragePrepared).0, 200);
    assert_eq!(
        led_by(Some("there:8081"), Lifecycle::StoragePrepared),
        (503, said("Another instance is the leading scheduler."))
    );
    assert_eq!(
        led_by(None, Lifecycle::Idle),
        (
            502,
            said("There is no leading scheduler or the leader is unknown.")
        )
    );
}

#[test]
fn what_only_the_leader_knows_is_sent_there() {
    let view = View {
        leader: Some("there:8081".to_owned()),
        ..View::default()
    };
    let site = site(waiting(view));
    for target in [
        "/api",
        "/apibeta/getJobs",
        "/scheduler/a?from=2",
        "/offers",
        "/agents",
    ] {
        let (status, headers, _) = site.get(target);
        assert_eq!(status, 307, "{target}");
        assert!(
            headers.contains(&format!("location: http://there:8081{target}\n")),
            "{headers}"
        );
    }
    for target in ["/health", "/vars", "/leaderhealth"] {
        assert_ne!(site.get(target).0, 307, "{target}");
    }
    let bypass = [("Bypass-Leader-Redirect", "true")];
    assert_eq!(open(site.ask(Method::Get, "/quotas", &bypass, b"")).0, 200);
}

#[test]
fn variables_are_sorted_lines_and_json() {
    let site = site(cluster());
    let (_, headers, body) = site.get("/vars");
    assert!(headers.contains("content-type: text/plain"));
    assert!(!body.ends_with('\n'));
    let lines: Vec<&str> = body.lines().collect();
    assert!(lines.is_sorted());
    for line in [
        "framework_registered 1",
        "scheduler_lifecycle_ACTIVE 1",
        "scheduler_lifecycle_IDLE 0",
        "scheduler_resource_offers 12",
        "task_store_FAILED 1",
        "task_store_LOST 0",
        "task_store_RUNNING 1",
        "http_500_responses_events 0",
    ] {
        assert!(lines.contains(&line), "{line}");
    }
    let (_, headers, body) = site.get("/vars.json");
    assert!(headers.contains("content-type: application/json\n"));
    let vars: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(vars["task_store_PENDING"], 1);
    assert!(!body.contains('\n'));
    assert!(site.get("/vars.json?pretty=true").2.starts_with("{\n  \""));
}

#[test]
fn the_tables_are_there_as_json() {
    let site = site(cluster());
    let json = |target: &str| -> serde_json::Value {
        let (status, headers, body) = site.get(target);
        assert_eq!(status, 200, "{target}");
        assert!(
            headers.contains("content-type: application/json\n"),
            "{headers}"
        );
        serde_json::from_str(&body).unwrap()
    };
    let pending = json("/pendingtasks");
    assert_eq!(pending[0]["name"], "www-data/prod/web");
    assert_eq!(pending[0]["reason"], "[Insufficient: cpus, Host <busy>]");
    assert_eq!(pending[0]["penaltyMs"], 2000);
    assert_eq!(pending[0]["taskIds"][0], "web-1");
    assert_eq!(json("/quotas")["ops"]["cpu_cores"], 0.25);
    assert_eq!(json("/quotas?role=none"), serde_json::json!({}));
    assert_eq!(json("/tiers")["tiers"]["preferred"]["preemptible"], false);
    let offers = json("/offers");
    assert_eq!(offers[0]["hostname"], "host-1");
    assert_eq!(offers[0]["resources"][0]["scalar"]["value"], 3.75);
    assert_eq!(json("/maintenance")["DRAINED"], serde_json::json!([]));
    assert_eq!(json("/cron")["scheduled"], serde_json::json!({}));
}

#[test]
fn the_api_gets_what_was_sent() {
    let site = site(cluster());
    let headers = [
        ("content-type", "a/b"),
        ("accept", "c/d"),
        ("X-Aurora-Request-Id", "7"),
    ];
    let (status, lines, body) = open(site.ask(Method::Post, "/api", &headers, b"x"));
    assert_eq!(status, 200);
    assert!(lines.contains("content-type: application/x-test\n"));
    assert_eq!(body, r#"Some("a/b") Some("c/d") Some("7")"#);
    let twice = [("accept", "a/b"), ("accept", "c/d")];
    assert_eq!(
        open(site.ask(Method::Post, "/api", &twice, b"x")).2,
        "None None None"
    );
    assert_eq!(site.get("/api").0, 200);
    let beta = open(site.ask(Method::Post, "/apibeta/getJobs", &[], b"{}"));
    assert_eq!((beta.0, beta.2.as_str()), (200, "getJobs {}"));
}

#[test]
fn an_unknown_outcome_closes_without_an_answer() {
    let answer = site(cluster()).ask(Method::Post, "/api", &[], b"unknown");
    assert!(matches!(answer, Answer::Hangup), "{answer:?}");
}

#[test]
fn other_sites_cannot_post() {
    let site = site(cluster());
    let cross = [("Sec-Fetch-Site", "cross-site")];
    assert_eq!(
        open(site.ask(Method::Post, "/quitquitquit", &cross, b"")).0,
        403
    );
    assert!(!site.shutdown.is_fired());
    assert_eq!(
        open(site.ask(Method::Get, "/scheduler", &cross, b"")).0,
        200
    );
}

#[test]
fn quitting_begins_the_end() {
    let site = site(cluster());
    assert_eq!(site.get("/quitquitquit").0, 405);
    let (status, _, body) = open(site.ask(Method::Post, "/quitquitquit", &[], b""));
    assert_eq!((status, body.as_str()), (200, "Notifying quit listener."));
    assert!(site.shutdown.is_fired());
}

#[test]
fn paths_lead_where_they_should() {
    let site = site(cluster());
    let (status, headers, _) = site.get("/");
    assert_eq!(status, 302);
    assert!(headers.contains("location: /scheduler\n"));
    assert_eq!(site.get("/nowhere").0, 404);
    assert_eq!(site.get("/nowhere").2, "404 Not Found\n");
    assert_eq!(open(site.ask(Method::Put, "/health", &[], b"")).0, 405);
    assert_eq!(open(site.ask(Method::Head, "/health", &[], b"")).0, 200);
    assert_eq!(site.get("/scheduler/").0, 200);
    assert_eq!(site.get("/scheduler/www%2Ddata/prod/web/").0, 200);
    assert_eq!(site.get("/scheduler/%ff").0, 400);
    assert_eq!(site.get("/slaves").0, 200);
    assert_eq!(site.get("/favicon.ico").0, 200);
    assert!(
        site.get(super::pages::STYLE_PATH)
            .1
            .contains("content-type: text/css")
    );
}

#[test]
fn pages_show_the_cluster_and_escape_everything() {
    let site = site(cluster());
    for (target, expected) in [
        (
            "/scheduler",
            &[
                "www-data",
                "ops",
                "Host &lt;busy&gt;",
                "Latest failures",
                "host-1",
            ][..],
        ),
        (
            "/scheduler/www-data",
            &["Active jobs", "prod", "web", "service", "1.5 GB"],
        ),
        ("/scheduler/www-data/prod", &["web"]),
        (
            "/scheduler/www-data/prod/web",
            &[
                "RUNNING",
                "PENDING",
                "Insufficient: cpus,Host &lt;busy&gt;",
                "http://host-1:1338/task/web-0",
                "http://host-1:1338/browse/web-0",
                "FAILED",
                "Took the place of",
                "0.25 cores, 1.5 GB memory, 64 MB disk",
                "./serve &lt;script&gt;",
            ],
        ),
        (
            "/scheduler/www-data/prod/web/0",
            &["old-0", "web-0", "2 tasks"],
        ),
        (
            "/agents",
            &["host-1", "agent-1", "rack=[a, b]", "0.25", " of 4", "NONE"],
        ),
        ("/agents/host-1", &["www-data/prod/web/0", "Ended here"]),
        ("/logconfig", &["root", "DEBUG"]),
    ] {
        let (status, headers, body) = site.get(target);
        assert_eq!(status, 200, "{target}");
        assert!(
            headers.contains("content-security-policy: default-src 'none';"),
            "{headers}"
        );
        assert!(
            headers.contains("content-type: text/html; charset=utf-8\n"),
            "{headers}"
        );
        for text in expected {
            assert!(body.contains(text), "{target} lacks {text}: {body}");
        }
        assert!(!body.contains(EVIL), "{target}");
        for inline in ["<script", " style=", "<style", " onclick="] {
            assert!(
                !body.contains(inline),
                "{target} has {inline}, which its policy forbids"
            );
        }
    }
    assert_eq!(site.get("/scheduler/nobody").0, 404);
    assert_eq!(site.get("/scheduler/www-data/prod/none").0, 404);
    assert_eq!(site.get("/agents/none").0, 404);
}

#[test]
fn an_uninitialised_scheduler_says_what_to_do() {
    let site = site(waiting(View {
        replica: "EMPTY",
        ..View::default()
    }));
    let (status, _, body) = site.get("/scheduler");
    assert_eq!(status, 200);
    assert!(body.contains("Storage is not READY") && body.contains("aurora-log initialize"));
}

#[test]
fn levels_of_the_log_can_be_set() {
    let site = site(cluster());
    let (status, headers, _) = open(site.ask(
        Method::Post,
        "/logconfig",
        &[],
        b"logger=a::b&level=INHERIT",
    ));
    assert_eq!(status, 303);
    assert!(headers.contains("location: /logconfig\n"));
    let bad = site.ask(
        Method::Post,
        "/logconfig",
        &[],
        b"logger=%3Cb%3E&level=INFO",
    );
    assert_eq!(open(bad).0, 400);
}

#[test]
fn what_is_stored_can_be_looked_at() {
    let site = site(cluster());
    let (status, _, body) = site.get("/state");
    assert_eq!(status, 200);
    let state: serde_json::Value = serde_json::from_str(&body).unwrap();
    let name = state["agents"]["agent-1"][0].as_str().unwrap();
    assert!(name.starts_with("www-data/prod/web-"), "{name}");
    assert!(state["taskConfigs"][name]["job"].is_object(), "{body}");

    assert_eq!(site.get("/structdump").0, 400);
    let (status, _, body) = site.get("/structdump/task/web-0");
    assert_eq!(status, 200);
    assert!(
        body.contains("&quot;taskId&quot;: &quot;web-0&quot;"),
        "{body}"
    );
    // The default container is the union's member that it is, and resources are.
    for union in [
        "&quot;key&quot;: &quot;MESOS&quot;",
        "&quot;key&quot;: &quot;NUM_CPUS&quot;",
    ] {
        assert!(body.contains(union), "{union}: {body}");
    }
    for gone in ["/structdump/task/no", "/structdump/cron/a/b/c"] {
        let (status, _, body) = site.get(gone);
        assert_eq!(status, 200);
        assert!(body.contains("Entity not found"), "{gone}: {body}");
    }

    let (_, _, body) = site.get("/utilization");
    assert_eq!(body.matches("<tr>").count(), 5, "{body}");
    assert!(
        body.contains("href=\"/utilization/quota_consumed\""),
        "{body}"
    );
    let (_, _, body) = site.get("/utilization/TOTAL_consumed/www-data");
    assert!(
        body.contains("<td>web</td>") && body.contains(">3072<"),
        "{body}"
    );
    assert_eq!(site.get("/utilization/odd").0, 400);
}

#[test]
fn mname_leads_to_the_web_port_of_a_running_instance() {
    let site = site(cluster());
    let (status, headers, _) = site.get("/mname/www-data/prod/web/0/a/b?c=d");
    assert_eq!(status, 307);
    assert!(
        headers.contains("location: http://host-1:31000/a/b?c=d"),
        "{headers}"
    );
    let (status, headers, _) = site.get("/mname/www-data/prod/web/0");
    assert_eq!(status, 307);
    assert!(
        headers.contains("location: http://host-1:31000/\n"),
        "{headers}"
    );
    let (status, _, body) = site.get("/mname/www-data/prod/web/1");
    assert_eq!(status, 404);
    assert_eq!(
        body,
        "The selected instance is currently in state PENDING\n"
    );
    assert_eq!(
        site.get("/mname/www-data/prod/web/9").2,
        "No such live instance found.\n"
    );
    assert_eq!(site.get("/mname").0, 400);
}

#[test]
fn the_process_shows_its_numbers_threads_and_parts() {
    let site = site(cluster());
    let (status, headers, body) = site.get("/metrics");
    assert_eq!(status, 200);
    assert!(headers.contains("version=0.0.4"), "{headers}");
    assert!(body.contains("\naurora_task_store_running 1\n"), "{body}");
    let mut names: Vec<&str> = body
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "a metric is there twice");
    assert!(site.get("/threads").2.contains("Name: "));
    assert!(site.get("/contention").2.starts_with("Locked threads:"));
    assert!(
        site.get("/services")
            .2
            .contains("{\"name\":\"Scheduler\",\"state\":\"RUNNING\"}")
    );
    assert_eq!(site.get("/graphdata").2, "[]", "nothing was kept yet");
    let (status, _, body) = site.get("/graphdata?metrics=no");
    assert_eq!(
        (status, body.as_str()),
        (500, "{\"error\":\"Unknown metric no\"}")
    );
    assert_eq!(site.get("/graphview").0, 200);
    assert_eq!(site.get("/graphview?query=no").0, 404);
}
