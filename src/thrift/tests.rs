use super::api::*;
use super::message::*;
use super::protocol::plain_json;
use super::service::*;
use super::*;
use crate::base::rng::Rng;
use proptest::prelude::*;

fn some_response(rng: &mut Rng) -> Response {
    Response {
        response_code: Some(ResponseCode::Ok),
        ..Response::sample(rng)
    }
}

proptest! {
    #[test]
    fn calls_of_every_method_come_back_in_every_protocol(seed: u64, seqid: i32) {
        let mut rng = Rng::from_seed(seed);
        for index in 0..Request::METHODS.len() {
            let request = Request::sample(index, &mut rng);
            prop_assert_eq!(request.name(), Request::METHODS[index]);
            for protocol in Protocol::ALL {
                let bytes = encode_call(protocol, seqid, &request);
                let call = decode_call(protocol, &bytes);
                let expected = Call {
                    method: request.name().to_owned(),
                    seqid,
                    request: Some(request.clone()),
                };
                prop_assert_eq!(call, Ok(expected));
            }
        }
    }

    #[test]
    fn responses_come_back_in_every_protocol_and_in_plain_json(seed: u64) {
        let response = some_response(&mut Rng::from_seed(seed));
        for protocol in Protocol::ALL {
            let bytes = encode_reply(protocol, "getJobs", 7, &response);
            let reply = decode_reply(protocol, &bytes).map(|reply| reply.outcome);
            prop_assert_eq!(reply, Ok(Ok(response.clone())));
        }
        let bytes = plain_json::to_bytes(&response);
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
        prop_assert_eq!(plain_json::from_bytes::<Response>(&bytes), Ok(response));
    }

    #[test]
    fn damaged_calls_are_refused_with_a_place_or_read_without_harm(seed: u64) {
        let mut rng = Rng::from_seed(seed);
        let request = Request::sample(rng.index(Request::METHODS.len()), &mut rng);
        for protocol in Protocol::ALL {
            let mut bytes = encode_call(protocol, 1, &request);
            damage(&mut bytes, &mut rng);
            check_refusal(decode_call(protocol, &bytes).err(), bytes.len())?;
        }
        let mut bytes = plain_json::to_bytes(&some_response(&mut rng));
        damage(&mut bytes, &mut rng);
        check_refusal(plain_json::from_bytes::<Response>(&bytes).err(), bytes.len())?;
    }

    #[test]
    fn damaged_replies_are_refused_with_a_place_or_read_without_harm(seed: u64) {
        let mut rng = Rng::from_seed(seed);
        let response = some_response(&mut rng);
        for protocol in Protocol::ALL {
            let mut bytes = encode_reply(protocol, "getTasksStatus", 1, &response);
            damage(&mut bytes, &mut rng);
            check_refusal(decode_reply(protocol, &bytes).err(), bytes.len())?;
        }
    }

    #[test]
    fn noise_is_refused_with_a_place(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        for protocol in Protocol::ALL {
            check_refusal(decode_call(protocol, &noise).err(), noise.len())?;
            // The same after a head that is right, so that the arguments are reached.
            let head = encode_call(protocol, 1, &Request::GetTierConfigs(Box::new(NoArguments)));
            let mut bytes = encode_call(protocol, 1, &Request::CreateJob(Box::default()));
            let tail = if protocol == Protocol::Json { 3 } else { 1 };
            prop_assert!(head.len() > tail);
            bytes.truncate(bytes.len() - tail);
            bytes.extend_from_slice(&noise);
            check_refusal(decode_call(protocol, &bytes).err(), bytes.len())?;
        }
        check_refusal(plain_json::from_bytes::<CreateJob>(&noise).err(), noise.len())?;
    }
}

fn check_refusal(error: Option<ThriftError>, len: usize) -> Result<(), TestCaseError> {
    if let Some(error) = error {
        prop_assert!(error.offset() <= len, "{error} in {len} bytes");
        prop_assert!(error.to_string().contains(" at byte "), "{error}");
    }
    Ok(())
}

/// Flips, removes, repeats and inserts a few bytes.
fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..=rng.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.index(bytes.len());
        match rng.below(5) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'[', b'{'][rng.index(8)],
            2 => bytes.truncate(at),
            3 => {
                bytes.remove(at);
            }
            _ => {
                let piece = bytes[at..(at + 8).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}

fn kill() -> Request {
    Request::KillTasks(Box::new(KillTasks {
        job: Some(JobKey {
            role: Some("www".to_owned()),
            environment: None,
            name: Some("a\"é".to_owned()),
        }),
        instances: vec![1, -2],
        message: None,
    }))
}

#[test]
fn the_bytes_of_a_call_are_those_of_the_protocol() {
    let json = "[1,\"killTasks\",1,3,{\"4\":{\"rec\":{\"1\":{\"str\":\"www\"},\
                \"3\":{\"str\":\"a\\\"é\"}}},\"5\":{\"set\":[\"i32\",2,1,-2]}}]";
    let bytes = encode_call(Protocol::Json, 3, &kill());
    assert_eq!(String::from_utf8_lossy(&bytes), json);

    let mut binary = b"\x80\x01\x00\x01\x00\x00\x00\x09killTasks\x00\x00\x00\x03".to_vec();
    binary.extend(b"\x0c\x00\x04\x0b\x00\x01\x00\x00\x00\x03www");
    binary.extend(b"\x0b\x00\x03\x00\x00\x00\x04a\"\xc3\xa9\x00");
    binary.extend(b"\x0e\x00\x05\x08\x00\x00\x00\x02\x00\x00\x00\x01\xff\xff\xff\xfe\x00");
    assert_eq!(encode_call(Protocol::Binary, 3, &kill()), binary);

    let mut compact = b"\x82\x21\x03\x09killTasks\x4c\x18\x03www\x28\x04a\"\xc3\xa9\x00".to_vec();
    compact.extend(b"\x1a\x25\x02\x03\x00");
    assert_eq!(encode_call(Protocol::Compact, 3, &kill()), compact);
}

#[test]
fn the_old_form_of_a_binary_message_is_read() {
    let mut old = b"\x00\x00\x00\x0egetTierConfigs\x01\x00\x00\x00\x05\x00".to_vec();
    let call = decode_call(Protocol::Binary, &old).expect("old form");
    assert_eq!((call.method.as_str(), call.seqid), ("getTierConfigs", 5));
    assert!(call.request.is_some());
    old.push(0);
    let error = decode_call(Protocol::Binary, &old).expect_err("a byte too many");
    assert_eq!(
        error.to_string(),
        "bytes after the end of the message at byte 24"
    );
}

#[test]
fn unknown_methods_fields_and_members_are_passed_over() {
    let text = b"[1,\"getAll\",1,9,{\"1\":{\"map\":[\"str\",\"lst\",1,{\"k\":[\"tf\",1,1]}]}}]";
    let call = decode_call(Protocol::Json, text).expect("unknown method");
    assert_eq!((call.method.as_str(), call.request), ("getAll", None));

    let text = b" [1,\"forceTaskState\",1,9, {\"1\":{\"str\":\"t\"}, \"2\":{\"i32\":99},
        \"77\":{\"rec\":{\"1\":{\"dbl\":1.5e3}}}}]\n";
    let call = decode_call(Protocol::Json, text).expect("unknown field and member");
    let expected = ForceTaskState {
        task_id: Some("t".to_owned()),
        status: None,
    };
    assert_eq!(
        call.request,
        Some(Request::ForceTaskState(Box::new(expected)))
    );
}

#[test]
fn a_set_of_unknown_members_is_refused_rather_than_emptied() {
    let text = b"[1,\"pruneTasks\",1,9,{\"1\":{\"rec\":{\"5\":{\"set\":[\"i32\",2,4,99]}}}}]";
    let error = decode_call(Protocol::Json, text).expect_err("99 is no status");
    assert_eq!(error.path(), "query.statuses[1]");
    assert_eq!(error.reason(), "unknown member of enum ScheduleStatus");
}

#[test]
fn a_list_where_a_set_belongs_is_refused_rather_than_dropped() {
    let text = b"[1,\"killTasks\",1,9,{\"5\":{\"lst\":[\"i32\",1,1]}}]";
    let error = decode_call(Protocol::Json, text).expect_err("a list");
    assert_eq!(
        (error.reason(), error.path().as_str()),
        ("expected set, found list", "instances")
    );
}

#[test]
fn a_union_has_exactly_one_member() {
    let read = |text: &str| plain_json::from_bytes::<Resource>(text.as_bytes());
    assert_eq!(read("{\"numCpus\":1}"), Ok(Resource::NumCpus(1.0)));
    assert_eq!(
        read("{ \"ramMb\" : 5, \"diskMb\": null }"),
        Ok(Resource::RamMb(5))
    );
    for text in ["{}", "{\"numCpus\":1,\"ramMb\":2}", "{\"other\":1}"] {
        assert!(read(text).is_err(), "{text}");
    }
    let query = b"[1,\"createJob\",1,9,{\"1\":{\"rec\":{\"6\":{\"rec\":{\"29\":{\"rec\":{}}}}}}}]";
    let error = decode_call(Protocol::Json, query).expect_err("empty container");
    assert_eq!(error.path(), "description.taskConfig.container");
}

#[test]
fn a_task_config_without_a_container_has_the_default_one() {
    let config = plain_json::from_bytes::<TaskConfig>(b"{}").expect("all is optional");
    assert_eq!(
        config.container,
        Some(Container::Mesos(MesosContainer::default()))
    );
    assert_eq!(config, TaskConfig::default());
}

#[test]
fn plain_json_writes_primitives_and_collections_always_and_the_rest_if_set() {
    let query = TaskQuery {
        role: Some("www".to_owned()),
        statuses: vec![ScheduleStatus::Running],
        ..TaskQuery::default()
    };
    assert_eq!(
        String::from_utf8_lossy(&plain_json::to_bytes(&query)),
        "{\"role\":\"www\",\"taskIds\":[],\"statuses\":[\"RUNNING\"],\"instanceIds\":[],\
         \"slaveHosts\":[],\"jobKeys\":[],\"offset\":0,\"limit\":0}"
    );
    let bytes = plain_json::to_bytes(&Resource::NumCpus(1.0));
    assert_eq!(bytes, b"{\"numCpus\":1.0}");
}

#[test]
fn deep_nesting_is_refused_before_the_stack_ends() {
    // A list in a list in a list, in a field that nobody knows.
    let mut binary = encode_call(Protocol::Binary, 1, &kill());
    binary.pop();
    binary.extend(b"\x0f\x00\x63");
    let mut compact = encode_call(Protocol::Compact, 1, &kill());
    compact.pop();
    compact.extend(b"\x09\xc6\x01");
    compact.extend(vec![0x19; 100_000]);
    for _ in 0..100_000 {
        binary.extend(b"\x0f\x00\x00\x00\x01");
    }
    let mut json = b"[1,\"killTasks\",1,1,{\"99\":{\"lst\":".to_vec();
    json.extend(b"[\"lst\",1,".repeat(100_000));
    for (protocol, bytes) in Protocol::ALL.into_iter().zip([binary, compact, json]) {
        let error = decode_call(protocol, &bytes).expect_err("too deep");
        assert_eq!(error.reason(), "more than 64 levels", "{protocol:?}");
    }
    let text = b"{\"x\":".repeat(100_000);
    let error = plain_json::from_bytes::<TaskQuery>(&text).expect_err("too deep");
    assert_eq!(error.reason(), "more than 64 levels");
}

#[test]
fn a_claimed_length_is_checked_before_memory_is_taken() {
    let mut binary = encode_call(Protocol::Binary, 1, &Request::KillTasks(Box::default()));
    let len = binary.len();
    binary[len - 5..len - 1].copy_from_slice(&i32::MAX.to_be_bytes());
    let error = decode_call(Protocol::Binary, &binary).expect_err("length");
    assert_eq!(error.path(), "instances");
    assert!(error.reason().starts_with("length 2147483647"), "{error}");

    let json = b"[1,\"killTasks\",1,1,{\"5\":{\"set\":[\"i32\",9000000000,1]}}]";
    assert!(decode_call(Protocol::Json, json).is_err());
    let compact = b"\x82\x21\x01\x09killTasks\x5a\xf5\xff\xff\xff\xff\x0f\x00";
    let error = decode_call(Protocol::Compact, compact).expect_err("length");
    assert!(error.reason().starts_with("length 4294967295"), "{error}");
}

#[test]
fn many_tiny_elements_do_not_take_much_memory() {
    // Each element is one byte on the wire and some hundred in memory.
    let mut compact = b"\x82\x41\x01\x0egetTasksStatus\x0c\x00\x15\x02\x2c\x3c\x19\xfc".to_vec();
    compact.extend(b"\x80\x80\x80\x04");
    compact.extend(vec![0; 8 << 20]);
    let error = decode_reply(Protocol::Compact, &compact).expect_err("too much memory");
    assert!(error.reason().contains("memory"), "{error}");
    assert!(error.path().starts_with("success.result"), "{error}");
}

#[test]
fn strings_of_json_are_read_with_all_escapes() {
    let read = |text: &[u8]| plain_json::from_bytes::<String>(text);
    assert_eq!(
        read(b"\"\\u00e9\\ud834\\udd1e\\/\\b\\f\""),
        Ok("é𝄞/\u{8}\u{c}".to_owned())
    );
    for bad in [
        &b"\"\\ud834\""[..],
        b"\"\\ud834\\u0041\"",
        b"\"\\udd1e\"",
        b"\"\\x\"",
        b"\"\\u12g4\"",
        b"\"\xff\"",
        b"\"abc",
        b"\"\\",
        b"\"\\u1",
        b"",
    ] {
        assert!(read(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn doubles_without_a_json_number_are_names() {
    for value in [f64::INFINITY, f64::NEG_INFINITY] {
        let bytes = plain_json::to_bytes(&value);
        assert_eq!(plain_json::from_bytes(&bytes), Ok(value));
    }
    let bytes = plain_json::to_bytes(&f64::NAN);
    assert!(plain_json::from_bytes::<f64>(&bytes).is_ok_and(f64::is_nan));
}

#[test]
fn exceptions_reach_the_caller() {
    for protocol in Protocol::ALL {
        let exception = ApplicationException::unknown_method("getAll");
        let bytes = encode_exception(protocol, "getAll", 4, &exception);
        let reply = decode_reply(protocol, &bytes).expect("an exception");
        assert_eq!(reply.outcome, Err(exception));
    }
}

#[test]
fn enums_have_the_numbers_and_names_of_the_interface() {
    assert_eq!(
        ScheduleStatus::from_number(17),
        Some(ScheduleStatus::Draining)
    );
    assert_eq!(ScheduleStatus::from_number(8), None);
    assert_eq!(
        ScheduleStatus::from_name("PENDING"),
        Some(ScheduleStatus::Pending)
    );
    assert_eq!(ScheduleStatus::Partitioned.to_string(), "PARTITIONED");
    assert_eq!(ResponseCode::ErrorTransient.number(), 6);
    assert_eq!(Request::METHODS.len(), 45);
}

/// A call written by Apache's library (`tests/thrift_oracle/drive.py --write-fixtures`).
macro_rules! fixture {
    ($name:literal) => {
        [
            (
                Protocol::Binary,
                &include_bytes!(concat!("../../tests/fixtures/thrift/", $name, ".binary"))[..],
            ),
            (
                Protocol::Compact,
                include_bytes!(concat!("../../tests/fixtures/thrift/", $name, ".compact")),
            ),
            (
                Protocol::Json,
                include_bytes!(concat!("../../tests/fixtures/thrift/", $name, ".json")),
            ),
        ]
    };
}

#[test]
fn calls_of_apaches_library_are_read() {
    for (protocol, bytes) in fixture!("createJob") {
        let call = decode_call(protocol, bytes).expect("a call of Apache's library");
        let Some(Request::CreateJob(args)) = call.request else {
            panic!("{protocol:?}: {}", call.method);
        };
        let job = args.description.expect("a description");
        assert_eq!(job.cron_schedule.as_deref(), Some("5 * * * *"));
        assert_eq!((call.seqid, job.instance_count), (7, 2));
        let config = job.task_config.expect("a configuration");
        assert_eq!(config.job, job.key);
        assert_eq!((config.priority, config.max_task_failures), (3, -1));
        assert!(config.production && !config.is_service);
        let resources = [
            Resource::NumCpus(0.01),
            Resource::RamMb(1),
            Resource::DiskMb(1),
            Resource::NamedPort("http".to_owned()),
        ];
        assert_eq!(config.resources, resources);
        assert_eq!(config.metadata[0].value.as_deref(), Some("𝄞\n"));
        assert_eq!(config.constraints.len(), 2);
        let policy = PartitionPolicy {
            reschedule: true,
            delay_secs: 30,
        };
        assert_eq!(config.partition_policy, Some(policy));
    }
}

#[test]
fn our_calls_are_those_of_apaches_library_byte_by_byte() {
    let key = JobKey {
        role: Some("www".to_owned()),
        environment: Some("devel".to_owned()),
        name: Some("hello".to_owned()),
    };
    let kill = Request::KillTasks(Box::new(KillTasks {
        job: Some(key),
        instances: vec![3, 300, 70_000],
        message: None,
    }));
    for (protocol, bytes) in fixture!("killTasks") {
        assert_eq!(encode_call(protocol, -1, &kill), bytes, "{protocol:?}");
    }
    let tiers = Request::GetTierConfigs(Box::new(NoArguments));
    for (protocol, bytes) in fixture!("getTierConfigs") {
        assert_eq!(encode_call(protocol, i32::MAX, &tiers), bytes);
    }
}
