//! From bytes to calls and back: protocols, counting, request ids.

use super::*;

#[test]
fn calls_are_counted_by_method_and_by_code() {
    let count = || {
        let stats = crate::base::stats::global();
        let work = stats.counter("scheduler_thrift_workload_getConfigSummary");
        let codes = stats.counter("scheduler_thrift_response_OK");
        (work.value(), codes.value())
    };
    let before = count();
    let args = GetConfigSummary {
        job: Some(key("web")),
    };
    let all: &[(&str, &[(u32, State)])] = &[("web", &[(0, State::Running)])];
    answer(tables(all), Request::GetConfigSummary(Box::new(args)));
    let after = count();
    assert!(after.0 > before.0 && after.1 > before.1);
}

#[test]
fn calls_are_answered_in_the_protocol_that_accept_names() {
    let (api, _) = services(Tables::default(), View::default(), Ok(Reply::ok()));
    let request = Request::GetTierConfigs(Box::default());
    let media = [
        (Protocol::Binary, BINARY),
        (Protocol::Compact, COMPACT),
        (Protocol::Json, JSON),
    ];
    for (incoming, content_type) in media {
        let body = encode_call(incoming, 9, &request);
        for (outgoing, accept) in media {
            let reply = block_on(api.serve(Some(content_type), Some(accept), None, &body));
            assert_eq!((reply.status, reply.content_type), (200, accept));
            let reply = decode_reply(outgoing, &reply.body).expect("a reply");
            assert_eq!((reply.method.as_str(), reply.seqid), ("getTierConfigs", 9));
            assert!(reply.outcome.is_ok());
        }
    }
}

#[test]
fn what_is_no_call_is_refused_over_http() {
    let (api, _) = services(Tables::default(), View::default(), Ok(Reply::ok()));
    let reply = block_on(api.serve(Some("text/plain"), None, None, b""));
    assert_eq!(reply.status, 415);
    assert_eq!(reply.body, b"Unsupported Content-Type: text/plain");
    let reply = block_on(api.serve(None, None, None, b"[1,\"getJobs\""));
    assert_eq!(reply.status, 500);
    assert!(String::from_utf8_lossy(&reply.body).contains("at byte 12"));
    let reply = block_on(api.serve(None, Some(BINARY), None, b"[1,\"getAll\",1,5,{}]"));
    assert_eq!((reply.status, reply.content_type), (200, BINARY));
    let reply = decode_reply(Protocol::Binary, &reply.body).expect("an exception");
    let exception = reply.outcome.expect_err("no such method");
    assert_eq!(
        exception.message.as_deref(),
        Some("Invalid method name: 'getAll'")
    );
}

#[test]
fn plain_json_calls_are_keyed_by_the_names_of_parameters() {
    let all: &[(&str, &[(u32, State)])] = &[("web", &[(0, State::Running), (1, State::Failed)])];
    let (api, _) = services(tables(all), View::default(), Ok(Reply::ok()));
    let beta = |method: &str, body: &str| {
        let reply = block_on(api.serve_beta(method, body.as_bytes()));
        assert_eq!(reply.content_type, "application/json");
        let response = plain_json::from_bytes::<Response>(&reply.body).expect("a response");
        (reply.status, response)
    };
    let (status, response) = beta("getTasksStatus", "{\"query\":{\"statuses\":[\"RUNNING\"]}}");
    assert_eq!((status, tasks_in(response).len()), (200, 1));
    let (status, response) = beta("getRoleSummary", "");
    assert_eq!((status, said(&response).0), (200, ResponseCode::Ok));
    for (method, body, status, message) in [
        ("getAll", "", 404, "Method getAll does not exist."),
        (
            "getJobs",
            "[]",
            400,
            "Request data must be a JSON object of method parameters.",
        ),
        ("getJobs", "{", 400, "Request must be valid JSON"),
        (
            "getJobs",
            "{\"ownerRole\":7}",
            400,
            "Failed to parse parameter ownerRole",
        ),
    ] {
        let (found, response) = beta(method, body);
        assert_eq!(found, status, "{method} {body}");
        assert!(said(&response).1[0].starts_with(message), "{response:?}");
    }
}

#[test]
fn a_request_id_goes_with_what_is_asked_for() {
    let (seen, told) = async_channel::bounded(10);
    let handle = Handle::scripted(Tables::default(), View::default(), move |id, _| {
        seen.try_send(id).unwrap();
        Ok(Reply::ok())
    });
    let api = Api::new(handle, ApiConfig::default());
    let kill = |name: &str| {
        let key = JobKey {
            role: Some("role".into()),
            environment: Some("prod".into()),
            name: Some(name.into()),
        };
        let args = KillTasks {
            job: Some(key),
            ..KillTasks::default()
        };
        Request::KillTasks(Box::new(args))
    };
    for (id, name) in [
        (Some("id"), "a"),
        (Some("id"), "a"),
        (Some("id"), "b"),
        (None, "a"),
    ] {
        block_on(api.call(id, kill(name)));
    }
    let next = || told.try_recv().unwrap();
    let (first, again, other, none) = (next(), next(), next(), next());
    assert!(
        first.as_ref().is_some_and(|id| id.starts_with("id ")),
        "{first:?}"
    );
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert_eq!(none, None);
}
