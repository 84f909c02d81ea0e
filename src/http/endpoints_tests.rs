//! Every endpoint that operators and scripts of upstream's know, in one table: what it answers to a GET, in
//! which type. Beside each row is the test that looks closer, if there is one.

use super::fixture::{Fixed, Site, cluster, open, site, site_with};
use crate::base::clock::Instant;
use crate::net::http1::{Answer, Body, Method};
use crate::scheduler::{Lifecycle, View};
use std::sync::Arc;

const TEXT: &str = "text/plain";
const JSON: &str = "application/json";
const HTML: &str = "text/html";

/// Path, status, type, a part of the answer.
type Row = (&'static str, u16, &'static str, &'static str);

const GETS: &[Row] = &[
    ("/", 302, "", ""),
    ("/index.html", 302, "", ""),
    // routes_tests: variables_are_sorted_lines_and_json
    ("/vars", 200, TEXT, "task_store_RUNNING 1"),
    ("/vars.json", 200, JSON, "\"task_store_RUNNING\":1"),
    // graph: its own tests
    ("/graphdata/", 200, JSON, "["),
    ("/graphview", 200, HTML, "<form"),
    ("/graphview/index.html", 200, HTML, "<form"),
    // routes_tests: health_is_ok_in_every_state_but_a_stuck_loop
    ("/health", 200, TEXT, "OK\n"),
    // routes_tests: leaderhealth_tells_who_leads
    (
        "/leaderhealth",
        200,
        TEXT,
        "Current status: This is the leading scheduler.\n\n",
    ),
    // routes_tests: the_process_shows_its_numbers_threads_and_parts
    ("/threads", 200, TEXT, "Name: "),
    ("/contention", 200, TEXT, "Locked threads:"),
    ("/services", 200, JSON, "\"state\":\"RUNNING\""),
    ("/metrics", 200, TEXT, "aurora_task_store_running 1"),
    // routes_tests: levels_of_the_log_can_be_set
    ("/logconfig", 200, HTML, "root"),
    // routes_tests: what_is_stored_can_be_looked_at
    ("/structdump", 400, HTML, "/structdump/task/{task_id}"),
    ("/structdump/task/web-0", 200, HTML, "web-0"),
    ("/structdump/task/none", 200, HTML, "Entity not found"),
    ("/structdump/cron/a/b/c", 200, HTML, "Entity not found"),
    ("/state", 200, JSON, "\"agents\":{\"agent-1\":["),
    ("/utilization", 200, HTML, "Total consumed"),
    ("/utilization/total_consumed", 200, HTML, "www-data"),
    ("/utilization/Free_Pool_Consumed/www-data", 200, HTML, "web"),
    ("/utilization/none", 400, TEXT, "Invalid metric type."),
    ("/agents", 200, HTML, "agent-1"),
    ("/slaves", 200, HTML, "agent-1"),
    // cron: its own tests
    ("/cron", 200, JSON, "{\"scheduled\":{}"),
    ("/maintenance", 200, JSON, "\"DRAINING\":{}"),
    // routes_tests: mname_leads_to_the_web_port_of_a_running_instance
    ("/mname", 400, HTML, "/mname/{role}"),
    ("/mname/www-data/prod/web/0", 307, "", ""),
    (
        "/mname/www-data/prod/web/1",
        404,
        TEXT,
        "The selected instance is currently in state PENDING",
    ),
    // routes_tests: the_tables_are_there_as_json
    ("/offers", 200, JSON, "\"hostname\":\"host-1\""),
    ("/pendingtasks", 200, JSON, "\"penaltyMs\":2000"),
    ("/quotas", 200, JSON, "{\"ops\":{\"cpu_cores\":0.25"),
    (
        "/tiers",
        200,
        JSON,
        "{\"default\":\"preemptible\",\"tiers\":{\"preemptible\":",
    ),
    ("/apibeta", 303, "", ""),
    ("/apihelp/index.html", 200, HTML, "getTasksStatus"),
    // pages/apiclient: its own tests
    ("/apiclient/", 302, "", ""),
    ("/apiclient/api.html", 200, HTML, "getTasksStatus"),
    (
        "/apiclient/api_types.js",
        200,
        "application/javascript",
        "JobKey",
    ),
    (
        "/apiclient/ReadOnlyScheduler.js",
        200,
        "application/javascript",
        "getTasksStatus",
    ),
    (
        "/apiclient/AuroraAdmin.js",
        200,
        "application/javascript",
        "setQuota",
    ),
    ("/apiclient/storage.js", 404, TEXT, "404"),
    // tests/e2e/answers.rs has every method by /api and /apibeta
    ("/api", 200, "application/x-test", "None"),
    ("/scheduler", 200, HTML, "www-data"),
    ("/scheduler/www-data/prod/web", 200, HTML, "RUNNING"),
    ("/updates", 200, HTML, ""),
];

/// What takes a POST; everything else does not.
const POSTS: &[&str] = &[
    "/api",
    "/logconfig",
    "/mname/www-data/prod/web/0",
    "/mname/www-data/prod/web/1",
];

fn content_type(headers: &str) -> &str {
    let mut lines = headers.lines();
    lines
        .find_map(|line| line.strip_prefix("content-type: "))
        .unwrap_or("")
}

#[test]
fn every_endpoint_answers_in_its_type() {
    let site = site(cluster());
    for (path, status, kind, part) in GETS {
        let (found, headers, body) = site.get(path);
        assert_eq!(found, *status, "{path}: {body}");
        assert!(body.contains(part), "{path}: {body}");
        if !kind.is_empty() {
            assert!(
                content_type(&headers).starts_with(kind),
                "{path}: {headers}"
            );
        }
    }
}

#[test]
fn a_head_is_answered_as_the_get_is() {
    let site = site(cluster());
    for (path, status, kind, _) in GETS {
        let Answer::Reply(response) = site.ask(Method::Head, path, &[], b"") else {
            panic!("{path}: no answer");
        };
        assert_eq!(response.status, *status, "{path}");
        let mut headers = response.headers.iter();
        let found = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        assert!(
            kind.is_empty() || found.is_some_and(|(_, v)| v.starts_with(kind)),
            "{path}"
        );
    }
}

#[test]
fn what_is_only_read_takes_no_post() {
    let site = site(cluster());
    for (path, ..) in GETS.iter().filter(|(path, ..)| !POSTS.contains(path)) {
        for method in [Method::Post, Method::Put, Method::Delete] {
            let (status, headers, body) = open(site.ask(method, path, &[], b""));
            assert_eq!(status, 405, "{method:?} {path}: {body}");
            assert!(headers.contains("allow: GET, HEAD\n"), "{path}: {headers}");
        }
    }
    for path in ["/quitquitquit", "/abortabortabort", "/apibeta/getJobs"] {
        let (status, headers, _) = site.get(path);
        assert_eq!(status, 405, "{path}");
        assert!(headers.contains("allow: POST\n"), "{path}: {headers}");
    }
    for (path, allowed) in [
        ("/api", "GET, HEAD, POST, OPTIONS"),
        ("/logconfig/", "GET, HEAD, POST"),
        ("/mname/a/b/c/0/x/y", "GET, HEAD, PUT, POST, DELETE"),
        ("/mname/a/b/c/0", "GET, HEAD, PUT, POST, DELETE"),
    ] {
        let (status, headers, _) = open(site.ask(Method::Patch, path, &[], b""));
        assert_eq!(status, 405, "{path}");
        assert!(
            headers.contains(&format!("allow: {allowed}\n")),
            "{path}: {headers}"
        );
    }
    assert!(!site.shutdown.is_fired());
}

#[test]
fn an_instances_port_is_found_by_every_method_that_upstream_forwards() {
    let site = site(cluster());
    for method in [Method::Get, Method::Post, Method::Put, Method::Delete] {
        let target = "/mname/www-data/prod/web/0/x?y=z";
        let (status, headers, _) = open(site.ask(method, target, &[], b""));
        assert_eq!(status, 307, "{method:?}");
        assert!(
            headers.contains("location: http://host-1:31000/x?y=z\n"),
            "{headers}"
        );
    }
}

const CORS: [&str; 3] = [
    "access-control-allow-origin: http://here.example\n",
    "access-control-allow-methods: DELETE,GET,HEAD,OPTIONS,POST,PUT\n",
    "access-control-allow-headers: Accept,Content-Type,Origin,X-Requested-With\n",
];

#[test]
fn pages_of_other_sites_may_call_the_api_if_the_flag_says_so() {
    let origin = Some("http://here.example".to_owned());
    let open_site = site_with(cluster(), |state| state.cors_origin = origin);
    let closed_site = site(cluster());
    for method in [Method::Options, Method::Get, Method::Post, Method::Head] {
        let headers_of = |site: &Site, path| {
            let headers = [
                ("Sec-Fetch-Site", "same-site"),
                ("Origin", "http://here.example"),
            ];
            let (status, headers, _) = open(site.ask(method, path, &headers, b""));
            (status, headers.to_ascii_lowercase())
        };
        let (status, headers) = headers_of(&open_site, "/api");
        assert_eq!(status, 200, "{method:?}");
        for line in CORS {
            assert!(
                headers.contains(&line.to_ascii_lowercase()),
                "{method:?}: {headers}"
            );
        }
        assert!(
            !headers_of(&closed_site, "/api")
                .1
                .contains("access-control")
        );
        // The API alone.
        for path in ["/vars", "/apibeta/getJobs"] {
            assert!(
                !headers_of(&open_site, path).1.contains("access-control"),
                "{path}"
            );
        }
    }
}

#[test]
fn other_sites_may_post_to_the_api_alone_and_only_those_that_are_named() {
    let here = "http://here.example";
    let invited = |origin: &str| {
        let origin = Some(origin.to_owned());
        site_with(cluster(), |state| state.cors_origin = origin)
    };
    let post = |site: &Site, path: &str, origin: &str| {
        let headers = [("Sec-Fetch-Site", "cross-site"), ("Origin", origin)];
        open(site.ask(Method::Post, path, &headers, b"")).0
    };
    let site = invited(here);
    assert_eq!(post(&site, "/api", here), 200);
    assert_eq!(post(&site, "/api", "http://elsewhere.example"), 403);
    for path in ["/quitquitquit", "/logconfig", "/apibeta/killTasks"] {
        assert_eq!(post(&site, path, here), 403, "{path}");
    }
    assert!(!site.shutdown.is_fired());
    assert_eq!(post(&invited("*"), "/api", "http://elsewhere.example"), 200);
}

#[test]
fn without_a_leader_no_empty_table_is_shown() {
    let view = View {
        lifecycle: Lifecycle::StoragePrepared,
        ..View::default()
    };
    let site = site(Fixed {
        tables: Arc::default(),
        view: Arc::new(view),
        last_turn: Instant::ZERO,
    });
    for path in [
        "/offers",
        "/quotas?role=a",
        "/maintenance",
        "/state",
        "/cron",
        "/utilization",
    ] {
        let (status, headers, body) = site.get(path);
        assert_eq!(status, 503, "{path}");
        assert!(headers.contains("retry-after: 1\n"), "{headers}");
        assert!(body.starts_with("There is no leading scheduler"), "{body}");
        let bypass = [("Bypass-Leader-Redirect", "")];
        assert_eq!(
            open(site.ask(Method::Get, path, &bypass, b"")).0,
            200,
            "{path}"
        );
    }
    // These say so themselves.
    for path in [
        "/scheduler",
        "/updates",
        "/agents",
        "/api",
        "/vars",
        "/health",
    ] {
        assert_eq!(site.get(path).0, 200, "{path}");
    }
}

#[test]
fn long_answers_are_packed_for_those_who_take_it_on_get_and_post() {
    let site = site(cluster());
    let packed = |method, path: &str, accept: &str| {
        let Answer::Reply(response) = site.ask(method, path, &[("Accept-Encoding", accept)], b"")
        else {
            panic!("{path}: no answer");
        };
        let Body::Bytes(bytes) = &response.body else {
            panic!("{path}: streamed");
        };
        let says = response
            .headers
            .iter()
            .any(|(n, v)| n == "content-encoding" && v == "gzip");
        assert_eq!(says, bytes.starts_with(&[0x1f, 0x8b]), "{path}");
        says
    };
    for path in ["/vars", "/vars.json", "/scheduler", "/metrics"] {
        assert!(packed(Method::Get, path, "gzip, deflate"), "{path}");
        assert!(!packed(Method::Get, path, "identity"), "{path}");
    }
    assert!(
        !packed(Method::Get, "/health", "gzip"),
        "too short to be worth it"
    );
}

#[test]
fn the_tiers_are_those_of_this_cluster() {
    use crate::domain::tier::{Tier, Tiers};
    let tier = Tier {
        preemptible: false,
        revocable: true,
    };
    let tiers = Tiers::new("only", [("only".to_owned(), tier)].into()).unwrap();
    let site = site_with(cluster(), |state| state.tiers = tiers);
    let expected = r#"{"default":"only","tiers":{"only":{"preemptible":false,"revocable":true}}}"#;
    assert_eq!(site.get("/tiers").2, expected);
}

#[test]
fn offers_show_what_a_machine_may_take_back_apart() {
    let (_, _, body) = site(cluster()).get("/offers");
    let offers: serde_json::Value = serde_json::from_str(&body).unwrap();
    let resources = offers[0]["resources"].as_array().unwrap();
    let (shared, own): (Vec<_>, Vec<_>) =
        resources.iter().partition(|r| r.get("revocable").is_some());
    assert_eq!(shared.len(), 1, "{body}");
    assert_eq!(shared[0]["scalar"]["value"], 0.5);
    assert_eq!(own[0]["scalar"]["value"], 3.75);
    // One of four ports is taken.
    let ports = own
        .iter()
        .find(|resource| resource["name"] == "ports")
        .unwrap();
    let expected =
        serde_json::json!([{"begin": 30_999, "end": 30_999}, {"begin": 31_001, "end": 31_002}]);
    assert_eq!(ports["ranges"]["range"], expected);
}
