//! What is read of tasks, jobs, quotas and tiers.

use super::*;

#[test]
fn tasks_are_found_by_every_restriction() {
    let all: &[(&str, &[(u32, State)])] = &[
        (
            "web",
            &[(0, State::Running), (1, State::Failed), (1, State::Pending)],
        ),
        ("db", &[(0, State::Running)]),
    ];
    let count =
        |change: fn(&mut TaskQuery)| tasks_in(answer(tables(all), status_of(query(change)))).len();
    assert_eq!(count(|_| {}), 4);
    assert_eq!(count(|q| q.role = Some("  ".to_owned())), 4);
    assert_eq!(count(|q| q.role = Some("ads".to_owned())), 0);
    assert_eq!(count(|q| q.job_name = Some("web".to_owned())), 3);
    assert_eq!(count(|q| q.statuses = vec![ScheduleStatus::Running]), 2);
    assert_eq!(count(|q| q.job_keys = vec![key("db"), key("none")]), 1);
    assert_eq!(count(|q| q.instance_ids = vec![1]), 2);
    assert_eq!(count(|q| q.instance_ids = vec![-1]), 0);
    assert_eq!(count(|q| q.task_ids = vec!["db-0-RUNNING".to_owned()]), 1);
    assert_eq!(count(|q| (q.offset, q.limit) = (1, 2)), 2);
    assert_eq!(count(|q| (q.offset, q.limit) = (-1, -2)), 4);

    let response = answer(
        tables(all),
        status_of(query(|q| q.job_keys = vec![key("a b")])),
    );
    let message = "Invalid job key format: www/prod/a b";
    assert_eq!(said(&response), (ResponseCode::Error, vec![message]));
    let response = answer(tables(all), status_of(None));
    assert_eq!(said(&response).0, ResponseCode::Error);
}

#[test]
fn tasks_without_configs_lack_the_executors_data_alone() {
    let all: &[(&str, &[(u32, State)])] = &[("web", &[(0, State::Running)])];
    let args = GetTasksWithoutConfigs {
        query: query(|_| {}),
    };
    let request = Request::GetTasksWithoutConfigs(Box::new(args));
    let mut without = tasks_in(answer(tables(all), request));
    let with = tasks_in(answer(tables(all), status_of(query(|_| {}))));
    let executor = without[0]
        .assigned_task
        .as_mut()
        .and_then(|task| task.task.as_mut())
        .and_then(|config| config.executor_config.as_mut())
        .expect("the executor's name stays");
    assert_eq!(executor.data.take(), None);
    executor.data = Some("{}".to_owned());
    assert_eq!(without, with);
}

#[test]
fn jobs_are_summed_up_from_their_tasks() {
    let all: &[(&str, &[(u32, State)])] = &[
        (
            "web",
            &[
                (0, State::Running),
                (1, State::Failed),
                (1, State::Pending),
                (2, State::Lost),
            ],
        ),
        ("old", &[(0, State::Finished), (1, State::Killed)]),
    ];
    let jobs = |role: Option<&str>| {
        let args = GetJobs {
            owner_role: role.map(str::to_owned),
        };
        let response = answer(tables(all), Request::GetJobs(Box::new(args)));
        match response.result {
            Some(ResponseResult::GetJobsResult(found)) => found.configs,
            other => panic!("not jobs: {other:?}"),
        }
    };
    let active = jobs(None);
    assert_eq!(active.len(), 1);
    assert_eq!(
        (active[0].key.clone(), active[0].instance_count),
        (Some(key("web")), 2)
    );
    assert_eq!((jobs(Some("www")), jobs(Some("ads"))), (active, vec![]));

    let args = GetJobSummary {
        role: Some("www".to_owned()),
    };
    let response = answer(tables(all), Request::GetJobSummary(Box::new(args)));
    let Some(ResponseResult::JobSummaryResult(found)) = response.result else {
        panic!("{response:?}");
    };
    let stats = |name: &str| {
        let of_job = |s: &&JobSummary| s.job.as_ref().is_some_and(|j| j.key == Some(key(name)));
        let summary = found.summaries.iter().find(of_job).expect("a summary");
        let count = summary.job.as_ref().map_or(0, |job| job.instance_count);
        (summary.stats.clone().expect("stats"), count)
    };
    let expected = JobStats {
        active_task_count: 1,
        finished_task_count: 0,
        failed_task_count: 2,
        pending_task_count: 1,
    };
    assert_eq!(stats("web"), (expected, 4));
    assert_eq!(stats("old").0.finished_task_count, 2);

    let response = answer(tables(all), Request::GetRoleSummary(Box::default()));
    let Some(ResponseResult::RoleSummaryResult(found)) = response.result else {
        panic!("{response:?}");
    };
    let expected = RoleSummary {
        role: Some("www".to_owned()),
        job_count: 2,
        cron_job_count: 0,
    };
    assert_eq!(found.summaries, [expected]);
}

#[test]
fn configs_are_summed_up_into_ranges_of_instances() {
    let running = [0, 1, 2, 5, 7, 8].map(|instance| (instance, State::Running));
    let args = GetConfigSummary {
        job: Some(key("web")),
    };
    let request = Request::GetConfigSummary(Box::new(args));
    let response = answer(tables(&[("web", &running)]), request);
    let Some(ResponseResult::ConfigSummaryResult(found)) = response.result else {
        panic!("{response:?}");
    };
    let groups = found.summary.expect("a summary").groups;
    assert_eq!(groups.len(), 1);
    let ranges: Vec<_> = groups[0]
        .instances
        .iter()
        .map(|r| (r.first, r.last))
        .collect();
    assert_eq!(ranges, [(0, 2), (5, 5), (7, 8)]);
}

#[test]
fn pending_tasks_say_why() {
    let all: &[(&str, &[(u32, State)])] = &[
        ("web", &[(0, State::Pending), (1, State::Running)]),
        ("db", &[(0, State::Pending)]),
    ];
    let view = View {
        pending: vec![PendingGroup {
            config: stored("web").task,
            tasks: vec![],
            penalty: Duration::ZERO,
            reasons: vec![
                "Insufficient: CPU".to_owned(),
                "Insufficient: RAM".to_owned(),
            ],
        }],
        ..View::default()
    };
    let (api, _) = services(tables(all), view, Ok(Reply::ok()));
    let ask_for = |change: fn(&mut TaskQuery)| {
        let args = GetPendingReason {
            query: query(change),
        };
        ask(&api, Request::GetPendingReason(Box::new(args)))
    };
    let response = ask_for(|_| {});
    let Some(ResponseResult::GetPendingReasonResult(found)) = response.result else {
        panic!("{response:?}");
    };
    let reasons: Vec<_> = found
        .reasons
        .iter()
        .filter_map(|r| r.reason.as_deref())
        .collect();
    assert_eq!(reasons, ["", "Insufficient: CPU,Insufficient: RAM"]);
    let response = ask_for(|q| q.slave_hosts = vec!["h".to_owned()]);
    assert!(said(&response).1[0].starts_with("SlaveHosts are not supported in {"));
    let response = ask_for(|q| q.statuses = vec![ScheduleStatus::Pending]);
    assert!(said(&response).1[0].starts_with("Statuses is not supported in {"));
}

#[test]
fn quota_is_three_resources_and_what_a_role_uses() {
    let all: &[(&str, &[(u32, State)])] = &[(
        "web",
        &[(0, State::Running), (1, State::Pending), (2, State::Failed)],
    )];
    let ask_for = |role: &str| {
        let args = GetQuota {
            owner_role: Some(role.to_owned()),
        };
        answer(tables(all), Request::GetQuota(Box::new(args)))
    };
    let response = ask_for("www");
    let Some(ResponseResult::GetQuotaResult(found)) = response.result else {
        panic!("{response:?}");
    };
    let zero = convert::quota_to_wire(model::Quota::default());
    assert_eq!(found.quota, Some(zero.clone()));
    assert_eq!(found.prod_shared_consumption, Some(zero));
    let used = [
        Resource::NumCpus(1.0),
        Resource::RamMb(128),
        Resource::DiskMb(64),
    ];
    let consumption = found.non_prod_shared_consumption.expect("set");
    assert_eq!(consumption.resources, used);
    assert_eq!(said(&ask_for(" ")).0, ResponseCode::Error);
}

#[test]
fn tiers_are_named_with_their_properties() {
    let response = answer(Tables::default(), Request::GetTierConfigs(Box::default()));
    let Some(ResponseResult::GetTierConfigResult(found)) = response.result else {
        panic!("{response:?}");
    };
    assert_eq!(found.default_tier_name.as_deref(), Some("preemptible"));
    let tiers: Vec<_> = found
        .tiers
        .iter()
        .map(|tier| {
            (
                tier.name.as_deref().unwrap_or(""),
                tier.settings["revocable"].as_str(),
            )
        })
        .collect();
    let expected = [
        ("preemptible", "false"),
        ("preferred", "false"),
        ("revocable", "true"),
    ];
    assert_eq!(tiers, expected);
}
