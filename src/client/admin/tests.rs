//! The operators' client against a scheduler that is made up.

use super::*;
use crate::base::clock::{Instant, Timestamp};
use crate::client::scheduler::{Reply, TransportError};
use crate::client::world::Time;
use crate::thrift::api::{
    AssignedTask, DrainHostsResult, EndMaintenanceResult, GetQuotaResult, HostStatus, Hosts,
    JobKey, MaintenanceMode, MaintenanceStatusResult, QueryRecoveryResult, Resource,
    ResourceAggregate, Response, ResponseDetail, ScheduleStatus, ScheduleStatusResult,
    ScheduledTask, SlaPolicy, StartMaintenanceResult, TaskConfig, TaskEvent,
};
use crate::thrift::service::SlaDrainHosts;
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

const NOW: i64 = 10_000_000;

/// Answers calls, and remembers them.
#[derive(Clone, Default)]
struct Fake(Rc<RefCell<Vec<Request>>>);

fn statuses(hosts: Option<&Hosts>, mode: MaintenanceMode) -> Vec<HostStatus> {
    let hosts = hosts
        .map(|hosts| hosts.host_names.clone())
        .unwrap_or_default();
    let known = hosts.into_iter().filter(|host| host != "unknown");
    known
        .map(|host| HostStatus {
            host: Some(host),
            mode: Some(mode),
        })
        .collect()
}

fn task(job: &str, instance_id: i32, host: &str, up: i64) -> ScheduledTask {
    ScheduledTask {
        assigned_task: Some(AssignedTask {
            task_id: Some(format!("{job}-{instance_id}")),
            slave_host: Some(host.to_owned()),
            instance_id,
            task: Some(TaskConfig {
                job: Some(JobKey {
                    role: Some("role".into()),
                    environment: Some("prod".into()),
                    name: Some(job.to_owned()),
                }),
                production: true,
                ..TaskConfig::default()
            }),
            ..AssignedTask::default()
        }),
        status: Some(ScheduleStatus::Running),
        task_events: vec![TaskEvent {
            timestamp: NOW - up * 1_000,
            status: Some(ScheduleStatus::Running),
            ..TaskEvent::default()
        }],
        ..ScheduledTask::default()
    }
}

/// Twenty-four instances of `web` on four hosts; those of host d are young. One of `solo` on host a.
fn tasks() -> Vec<ScheduledTask> {
    let mut tasks: Vec<ScheduledTask> = (0..24)
        .map(|i| {
            let host = ["a", "b", "c", "d"][i as usize % 4];
            let up = if host == "d" { 100 } else { 5_000 };
            task("web", i, host, up)
        })
        .collect();
    tasks.push(task("solo", 0, "a", 9));
    tasks
}

impl Fake {
    /// After a restore nobody answers for some calls; after that of `lost`, nobody ever does.
    fn restart(&self, request: &Request) -> Result<(), TransportError> {
        let calls = self.0.borrow();
        let is_lost = calls.iter().any(|call| {
            matches!(call, Request::StageRecovery(args) if args.backup_id.as_deref() == Some("lost"))
        });
        let commit = |call: &Request| matches!(call, Request::CommitRecovery(_));
        match calls.iter().position(commit) {
            Some(at) if !commit(request) && (is_lost || calls.len() - at < 5) => {
                Err(TransportError::NotSent("connection refused".into()))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Transport for Fake {
    fn exchange(&mut self, request: &Request, _: Option<&str>) -> Result<Reply, TransportError> {
        use ResponseResult as R;
        self.0.borrow_mut().push(request.clone());
        self.restart(request)?;
        let (mut code, mut details, mut result) = (ResponseCode::Ok, Vec::new(), None);
        match request {
            Request::StartMaintenance(args) => {
                let statuses = statuses(args.hosts.as_ref(), MaintenanceMode::Scheduled);
                result = Some(R::StartMaintenanceResult(StartMaintenanceResult {
                    statuses,
                }));
            }
            Request::DrainHosts(args) => {
                let statuses = statuses(args.hosts.as_ref(), MaintenanceMode::Draining);
                result = Some(R::DrainHostsResult(DrainHostsResult { statuses }));
            }
            Request::SlaDrainHosts(args) => {
                let statuses = statuses(args.hosts.as_ref(), MaintenanceMode::Draining);
                result = Some(R::DrainHostsResult(DrainHostsResult { statuses }));
            }
            Request::EndMaintenance(args) => {
                let statuses = statuses(args.hosts.as_ref(), MaintenanceMode::None);
                result = Some(R::EndMaintenanceResult(EndMaintenanceResult { statuses }));
            }
            Request::MaintenanceStatus(args) => {
                let statuses = statuses(args.hosts.as_ref(), MaintenanceMode::Drained);
                let found = MaintenanceStatusResult { statuses };
                result = Some(R::MaintenanceStatusResult(found));
            }
            Request::GetTasksStatus(_) | Request::GetTasksWithoutConfigs(_) => {
                let found = ScheduleStatusResult { tasks: tasks() };
                result = Some(R::ScheduleStatusResult(found));
            }
            Request::GetQuota(_) => {
                let quota = ResourceAggregate {
                    resources: vec![
                        Resource::NumCpus(1.5),
                        Resource::RamMb(100),
                        Resource::DiskMb(200),
                    ],
                };
                result = Some(R::GetQuotaResult(GetQuotaResult {
                    quota: Some(quota),
                    ..GetQuotaResult::default()
                }));
            }
            Request::StageRecovery(args) if args.backup_id.as_deref() != Some("calm") => {
                details.push(ResponseDetail {
                    message: Some("1 running task(s) are not in the backup and end: late-0".into()),
                });
            }
            Request::QueryRecovery(_) => {
                let found = QueryRecoveryResult { tasks: tasks() };
                result = Some(R::QueryRecoveryResult(found));
            }
            Request::PerformBackup(_) => {
                code = ResponseCode::Error;
                details.push(ResponseDetail {
                    message: Some("no room".into()),
                });
            }
            _ => {}
        }
        let response = Response {
            response_code: Some(code),
            details,
            result,
            ..Response::default()
        };
        Ok(Reply {
            response,
            keeps_ids: true,
        })
    }
}

/// A clock that only moves when somebody sleeps.
struct Virtual(Cell<Instant>);

impl Time for Virtual {
    fn now(&self) -> Instant {
        self.0.get()
    }

    fn wall(&self) -> Timestamp {
        Timestamp(NOW)
    }

    fn sleep(&self, duration: Duration) {
        self.0.set(self.0.get() + duration);
    }
}

/// What a command line gives: status, output, error stream, calls.
fn tool(line: &str) -> (u8, String, String, Vec<Request>) {
    tool_told(line, "")
}

/// The same with answers to its questions.
fn tool_told(line: &str, answers: &str) -> (u8, String, String, Vec<Request>) {
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/admin_clusters.json"
    );
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let fake = Fake::default();
    let settings = Settings {
        cluster_files: vec![PathBuf::from(fixture)],
        ..Settings::from_env()
    };
    let time = Virtual(Cell::new(Instant::ZERO));
    let mut answers = answers.as_bytes();
    let mut world = World::new(&mut out, &mut err, &time, settings);
    world.take_answers_from(&mut answers);
    let transport = fake.clone();
    let connect =
        move |_: &str, _: &Settings| -> Box<dyn Transport> { Box::new(transport.clone()) };
    let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let status = run(&args, &mut world, &connect);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let calls = fake.0.borrow().clone();
    (status, text(out), text(err), calls)
}

fn out(line: &str) -> String {
    let (status, out, err, _) = tool(line);
    assert_eq!(status, 0, "{line}: {err}");
    out
}

fn refused(line: &str, part: &str) {
    let (status, out, err, _) = tool(line);
    assert_eq!((status, out.as_str()), (1, ""), "{line}");
    assert!(err.contains(part), "{line}: {err}");
}

#[test]
fn quotas_are_set_and_increased_in_megabytes() {
    let quota = |line: &str| {
        let (status, _, err, calls) = tool(line);
        assert_eq!(status, 0, "{err}");
        let Some(Request::SetQuota(args)) = calls.last() else {
            panic!("{calls:?}");
        };
        let resources = args.quota.clone().unwrap().resources;
        (args.owner_role.clone().unwrap(), resources)
    };
    let expected = vec![
        Resource::NumCpus(2.0),
        Resource::RamMb(1_024),
        Resource::DiskMb(3),
    ];
    assert_eq!(
        quota("set_quota c role 2 1G 3145728"),
        ("role".to_owned(), expected)
    );
    let expected = vec![
        Resource::NumCpus(3.5),
        Resource::RamMb(101),
        Resource::DiskMb(1_048_776),
    ];
    assert_eq!(
        quota("increase_quota c role 2 1MB 1tb"),
        ("role".to_owned(), expected)
    );
    refused("set_quota c role 2 1X 3", "1X: expected an amount");
    refused("set_quota c role two 1M 3", "two: expected a number");
    refused("set_quota c role 2 1M", "Usage: aurora_admin set_quota");
}

#[test]
fn hosts_go_in_and_out_of_service() {
    let (status, _, err, calls) = tool("host_deactivate c --hosts=a,unknown");
    assert_eq!((status, calls.len()), (0, 1));
    assert!(
        err.contains("Skipping maintenance for unknown hosts: unknown"),
        "{err}"
    );
    let (_, _, err, _) = tool("host_status c --hosts a,b");
    assert!(
        err.contains(" INFO] a is in state: DRAINED\n INFO] b is in state: DRAINED\n"),
        "{err}"
    );
    let (_, _, err, calls) = tool("host_activate c --hosts a");
    assert_eq!(calls.len(), 2);
    assert!(
        err.contains("a is not in service again: it is in state DRAINED"),
        "{err}"
    );
    let (_, _, _, calls) =
        tool("sla_host_drain c --hosts a --default_percentage=80 --force_drain_timeout=1h");
    let Some(Request::SlaDrainHosts(args)) = calls.first() else {
        panic!("{calls:?}");
    };
    let SlaDrainHosts {
        default_sla_policy,
        timeout_secs,
        ..
    } = &**args;
    let Some(SlaPolicy::PercentageSlaPolicy(policy)) = default_sla_policy else {
        panic!("{default_sla_policy:?}");
    };
    assert_eq!(
        (policy.percentage, policy.duration_secs, *timeout_secs),
        (80.0, 1_800, 3_600)
    );
    refused("host_status c", "either --filename or --hosts");
    refused(
        "host_status c --hosts=a --filename=b",
        "either --filename or --hosts",
    );
}

#[test]
fn hosts_are_safe_if_every_job_keeps_its_share() {
    assert_eq!(out("sla_list_safe_domain c 50 1h"), "a\nb\nc\nd\n");
    // Six of 24 are young, so that 75 % are up, and 50 % without one of the others.
    assert_eq!(out("sla_list_safe_domain c 75 1h"), "d\n");
    assert_eq!(out("sla_list_safe_domain c 75 1h -x d"), "");
    assert_eq!(
        out("sla_list_safe_domain c 50 1h -l -i b,c"),
        "b\tc/role/prod/web\t50.00\t3600\nc\tc/role/prod/web\t50.00\t3600\n"
    );
    let probed = "a\tc/role/prod/web\t50.00\tFalse\t3500\n";
    assert_eq!(out("sla_probe_hosts c 75 1h --hosts a"), probed);
    assert_eq!(
        out("sla_probe_hosts c 75 1h --hosts a,b --grouping none"),
        "a\tc/role/prod/web\t25.00\tFalse\tn/a\nb\tc/role/prod/web\t25.00\tFalse\tn/a\n"
    );
    refused("sla_list_safe_domain c 0 1h", "(0, 100]");
    refused("sla_list_safe_domain c 10 1x", "no duration");
}

#[test]
fn the_old_drain_leaves_hosts_alone_whose_jobs_would_suffer() {
    let (status, out, err, calls) = tool("host_drain c --hosts a,b");
    assert_eq!(status, 0, "{err}");
    assert_eq!(out, "Hosts that were not drained: a, b\n");
    assert!(
        !calls
            .iter()
            .any(|call| matches!(call, Request::DrainHosts(_)))
    );
    let line = "host_drain c --hosts a --override_percentage 40 --override_duration 1m \
                --override_reason because";
    let (_, out, _, calls) = tool(line);
    assert_eq!(out, "");
    assert!(
        calls
            .iter()
            .any(|call| matches!(call, Request::DrainHosts(_)))
    );
    refused(
        "host_drain c --hosts a --override_percentage 40",
        "go together",
    );
}

#[test]
fn tasks_are_listed_in_any_format_and_costly_queries_need_force() {
    let listed = out("query c role web --shards=1,2");
    assert!(
        listed.starts_with("role/web/0 RUNNING\nrole/web/1 RUNNING\n"),
        "{listed}"
    );
    let ids = out("query c role web -l %taskId%@%slaveHost%:100%");
    assert!(ids.starts_with("web-0@a:100%\n"), "{ids}");
    refused("query c role web -l %nothing%", "'nothing' is none of");
    refused("query c role", "--force is required");
    refused("query c role web --states=FAILED", "--force is required");
    assert!(!out("query c --force").is_empty());
}

#[test]
fn reconciliation_and_pruning_say_what_they_want() {
    let (_, _, _, calls) = tool("reconcile_tasks c -b 5");
    let Some(Request::TriggerExplicitTaskReconciliation(args)) = calls.first() else {
        panic!("{calls:?}");
    };
    assert_eq!(args.settings.as_ref().unwrap().batch_size, Some(5));
    let (_, _, _, calls) = tool("reconcile_tasks c --type=implicit");
    assert!(matches!(
        calls[0],
        Request::TriggerImplicitTaskReconciliation(_)
    ));
    refused("reconcile_tasks c -t both", "explicit or implicit");
    assert_eq!(
        out("prune_tasks c --role=r --limit=3 --states=FAILED,LOST"),
        "Tasks pruned.\n"
    );
}

#[test]
fn what_is_known_of_a_cluster_is_shown() {
    assert_eq!(
        out("get_scheduler c"),
        "Found leading scheduler at: http://127.0.0.1:8081\n"
    );
    let shell = "export AURORA_CLUSTER_NAME=c\n\
                 export AURORA_CLUSTER_SCHEDULER_URI=http://127.0.0.1:8081\n\
                 export AURORA_CLUSTER_AUTH_USER='it'\"'\"'s me'\n";
    assert_eq!(out("get_cluster_config c --sh --export"), shell);
    let json = out("get_cluster_config c");
    assert!(json.starts_with('{') && !json.ends_with('\n'), "{json}");
}

#[test]
fn every_failure_ends_with_status_1_and_help_with_0() {
    refused(
        "scheduler_backup_now c",
        "Response from scheduler: ERROR (message: no room)",
    );
    refused("host_status nowhere --hosts=a", "known clusters: c");
    refused("host_statu c", "did you mean host_status?");
    refused("host_status c --host=a --nothing", "unknown option");
    for line in ["", "help", "-h", "help query", "query --help"] {
        assert!(out(line).starts_with("Usage: aurora_admin "), "{line}");
    }
    let (status, out, _, _) = tool("help nothing");
    assert_eq!(
        (status, out.as_str()),
        (1, "Subcommand nothing not found.\n")
    );
    let (_, _, err, _) = tool("scheduler_snapshot c -q");
    assert_eq!(err, "");
}

fn names(calls: &[Request]) -> Vec<&'static str> {
    calls.iter().map(Request::name).collect()
}

#[test]
fn a_restore_shows_what_would_end_and_asks() {
    for yes in ["y\n", "yes\n", " YES \n", "y", "what?\ny\n"] {
        let (status, out, err, calls) = tool_told("scheduler_restore c b1", yes);
        assert_eq!(status, 0, "{yes:?}: {err}");
        let place = |part: &str| out.find(part).unwrap_or_else(|| panic!("{part}: {out}"));
        let (shown, unknown) = (place("b1 has 25 active task(s)"), place("end: late-0"));
        let (asked, done) = (place("Restore it? [y/N]"), place("Restored. "));
        assert!(shown < unknown && unknown < asked && asked < done, "{out}");
        assert!(names(&calls).contains(&"commitRecovery"), "{calls:?}");
        assert!(!names(&calls).contains(&"unloadRecovery"), "{calls:?}");
    }
    let (_, out, _, _) = tool_told("scheduler_restore c calm", "y\n");
    assert!(
        out.contains("No running task that is known here ends."),
        "{out}"
    );
}

#[test]
fn without_a_clear_yes_nothing_is_restored() {
    for (answer, part) in [
        ("n\n", "nothing was changed"),
        ("\n", "nothing was changed"),
        ("no\n", "nothing was changed"),
        ("sure\nok\nyep\ny\n", "nothing was changed"),
        // The end of the input: closed, or no terminal.
        ("", "--yes restores without asking"),
        ("well", "--yes restores without asking"),
    ] {
        let (status, _, err, calls) = tool_told("scheduler_restore c b1", answer);
        assert_eq!(status, 1, "{answer:?}: {err}");
        assert!(err.contains(part), "{answer:?}: {err}");
        assert!(!names(&calls).contains(&"commitRecovery"), "{answer:?}");
        assert_eq!(names(&calls).last(), Some(&"unloadRecovery"), "{answer:?}");
    }
}

#[test]
fn an_option_answers_the_question() {
    for option in ["--yes", "-y"] {
        let (status, out, err, calls) = tool_told(&format!("scheduler_restore c b1 {option}"), "");
        assert_eq!(status, 0, "{err}");
        assert!(!out.contains("Restore it?"), "{out}");
        assert!(out.contains("end: late-0"), "{out}");
        assert!(names(&calls).contains(&"commitRecovery"));
    }
}

#[test]
fn a_restore_is_done_when_the_next_leader_serves() {
    let (status, out, _, calls) = tool("scheduler_restore c b1 --yes");
    let reads = names(&calls)
        .into_iter()
        .filter(|name| *name == "getTasksWithoutConfigs");
    assert_eq!((status, reads.count()), (0, 4), "{calls:?}");
    assert!(
        out.ends_with("serves again, with 25 active task(s).\n"),
        "{out}"
    );
    let (status, out, err, _) = tool("scheduler_restore c lost --yes");
    assert_eq!(status, 1, "{out}");
    assert!(!out.contains("Restored."), "{out}");
    assert!(
        err.contains("the backup is in the log, but no scheduler serves it yet: start"),
        "{err}"
    );
}
