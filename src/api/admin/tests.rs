//! Operators' methods over fixed tables.

use super::*;
use crate::api::ApiConfig;
use crate::model::{AgentId, HostAttributes, MilliCpus, Resources};
use crate::rt::block_on;
use crate::scheduler::{Handle, View};
use crate::storage::{Op, Reply};
use crate::thrift::api::{
    CountSlaPolicy, ExplicitReconciliationSettings, ResourceAggregate, ScheduleStatus, TaskQuery,
};
use crate::thrift::service::Request;
use std::sync::{Arc, Mutex};

type Seen = Arc<Mutex<Vec<Command>>>;

/// Services that know machine `one`, DRAINING; all orders are remembered and answered with OK.
fn services() -> (Api, Seen) {
    let mut tables = Tables::default();
    let host = HostAttributes {
        host: "one".into(),
        agent: AgentId::new("a"),
        attributes: Vec::new(),
        mode: MaintenanceMode::Draining,
    };
    tables.apply(&Op::SetHost(Arc::new(host))).unwrap();
    let seen = Seen::default();
    let record = Arc::clone(&seen);
    let handle = Handle::scripted(tables, View::default(), move |_, command| {
        record.lock().unwrap().push(command);
        Ok(Reply::ok())
    });
    (Api::new(handle, ApiConfig::default()), seen)
}

/// What is answered, in words, and the order that was given.
fn ask(
    request: Request,
) -> (
    ResponseCode,
    String,
    Option<AdminCommand>,
    Option<ResponseResult>,
) {
    let (api, seen) = services();
    let Outcome::Answer(response) = block_on(api.call(None, request)) else {
        panic!("outcome unknown");
    };
    let details = response.details.iter().filter_map(|d| d.message.clone());
    let details: Vec<String> = details.collect();
    let order = seen.lock().unwrap().pop().map(|command| match command {
        Command::Admin(order) => order,
        other => panic!("{other:?}"),
    });
    (
        response.response_code.unwrap(),
        details.join(";"),
        order,
        response.result,
    )
}

fn quota(role: &str, resources: &[Resource]) -> (ResponseCode, String, Option<AdminCommand>) {
    let (code, said, order, _) = ask(Request::SetQuota(Box::new(SetQuota {
        owner_role: Some(role.to_owned()),
        quota: Some(ResourceAggregate {
            resources: resources.to_vec(),
        }),
    })));
    (code, said, order)
}

#[test]
fn a_quota_is_exactly_processor_time_memory_and_disk_and_not_negative() {
    let cpu = Resource::NumCpus(1.5);
    let (ram, disk) = (Resource::RamMb(2), Resource::DiskMb(3));
    let (code, _, order) = quota("www", &[disk.clone(), cpu.clone(), ram.clone()]);
    let expected = Resources {
        cpus: MilliCpus(1_500),
        ram_mb: 2,
        disk_mb: 3,
        ..Resources::default()
    };
    let set = AdminCommand::SetQuota {
        role: "www".into(),
        quota: expected,
    };
    assert_eq!((code, order), (ResponseCode::Ok, Some(set)));
    let exactly = "Quota resources must be exactly: [CPUS, RAM_MB, DISK_MB]";
    let port = Resource::NamedPort("http".into());
    let four = [cpu.clone(), ram.clone(), disk.clone(), cpu.clone()];
    let negative = [cpu.clone(), ram.clone(), Resource::DiskMb(-1)];
    for (role, resources, code, message) in [
        (" ", &[][..], ResponseCode::Error, "ownerRole is not set"),
        (
            "a b",
            &[][..],
            ResponseCode::InvalidRequest,
            "Role contains illegal characters: a b",
        ),
        ("www", &[][..], ResponseCode::Error, exactly),
        (
            "www",
            &[cpu.clone(), ram.clone(), port][..],
            ResponseCode::Error,
            exactly,
        ),
        (
            "www",
            &[cpu.clone(), ram.clone(), ram.clone()][..],
            ResponseCode::Error,
            exactly,
        ),
        (
            "www",
            &four[..],
            ResponseCode::Error,
            "Too many resource values in quota.",
        ),
        (
            "www",
            &negative[..],
            ResponseCode::InvalidRequest,
            "Negative values in: CPUS=1.5, RAM_MB=2, DISK_MB=-1",
        ),
    ] {
        assert_eq!(quota(role, resources), (code, message.to_owned(), None));
    }
}

fn hosts() -> Option<Hosts> {
    Some(Hosts {
        host_names: vec!["one".into(), "unknown".into()],
    })
}

#[test]
fn orders_about_machines_answer_with_the_modes_of_those_that_are_known() {
    let names = BTreeSet::from(["one".to_owned(), "unknown".to_owned()]);
    let status = HostStatus {
        host: Some("one".into()),
        mode: Some(crate::thrift::api::MaintenanceMode::Draining),
    };
    let statuses = vec![status];
    let (_, _, order, result) = ask(Request::DrainHosts(Box::new(DrainHosts { hosts: hosts() })));
    let drain = AdminCommand::DrainHosts {
        hosts: names.clone(),
        default_policy: SlaPolicy::Percentage {
            milli_percent: 0,
            duration_secs: 0,
        },
        timeout_secs: 0,
    };
    let found = DrainHostsResult {
        statuses: statuses.clone(),
    };
    assert_eq!(order, Some(drain));
    assert_eq!(result, Some(ResponseResult::DrainHostsResult(found)));

    let policy = CountSlaPolicy {
        count: 3,
        duration_secs: 4,
    };
    let sla = |policy| {
        ask(Request::SlaDrainHosts(Box::new(SlaDrainHosts {
            hosts: hosts(),
            default_sla_policy: policy,
            timeout_secs: 5,
        })))
    };
    let policy = Some(crate::thrift::api::SlaPolicy::CountSlaPolicy(policy));
    let (_, _, order, _) = sla(policy);
    let Some(AdminCommand::DrainHosts {
        default_policy: SlaPolicy::Count { count: 3, .. },
        timeout_secs: 5,
        ..
    }) = order
    else {
        panic!("{order:?}");
    };
    let (code, _, order, _) = sla(None);
    assert_eq!((code, order), (ResponseCode::Error, None));

    let (_, _, order, _) = ask(Request::EndMaintenance(Box::new(EndMaintenance {
        hosts: hosts(),
    })));
    assert_eq!(
        order,
        Some(AdminCommand::EndMaintenance {
            hosts: names.clone()
        })
    );
    let start = Request::StartMaintenance(Box::new(StartMaintenance { hosts: hosts() }));
    let (_, _, order, _) = ask(start);
    assert_eq!(order, Some(AdminCommand::StartMaintenance { hosts: names }));
    let look = Request::MaintenanceStatus(Box::new(MaintenanceStatus { hosts: hosts() }));
    let (_, _, order, result) = ask(look);
    let found = MaintenanceStatusResult { statuses };
    assert_eq!(order, None);
    assert_eq!(result, Some(ResponseResult::MaintenanceStatusResult(found)));
    let (code, said, ..) = ask(Request::MaintenanceStatus(Box::default()));
    assert_eq!(
        (code, said.as_str()),
        (ResponseCode::Error, "hosts is not set")
    );
}

#[test]
fn tasks_are_forced_pruned_and_reconciled() {
    let force = |task: Option<&str>, status| {
        let (code, _, order, _) = ask(Request::ForceTaskState(Box::new(ForceTaskState {
            task_id: task.map(str::to_owned),
            status,
        })));
        (code, order)
    };
    let expected = AdminCommand::ForceTaskState {
        task: TaskId::new("t"),
        status: crate::model::ScheduleStatus::Lost,
        user: UNSECURE.into(),
    };
    let lost = Some(ScheduleStatus::Lost);
    assert_eq!(force(Some("t"), lost), (ResponseCode::Ok, Some(expected)));
    assert_eq!(force(None, lost), (ResponseCode::Error, None));
    assert_eq!(force(Some("t"), None), (ResponseCode::Error, None));

    let query = Some(TaskQuery {
        role: Some("www".into()),
        ..TaskQuery::default()
    });
    let (_, _, order, _) = ask(Request::PruneTasks(Box::new(PruneTasks { query })));
    let Some(AdminCommand::PruneTasks { query }) = order else {
        panic!("{order:?}");
    };
    assert_eq!(query.role.as_deref(), Some("www"));

    let explicit = |settings| {
        let args = TriggerExplicitTaskReconciliation { settings };
        let (code, said, order, _) =
            ask(Request::TriggerExplicitTaskReconciliation(Box::new(args)));
        (code, said, order)
    };
    let sized = |batch_size| Some(ExplicitReconciliationSettings { batch_size });
    let batch = |batch| Some(AdminCommand::ReconcileExplicitly { batch });
    assert_eq!(explicit(sized(Some(7))).2, batch(Some(7)));
    assert_eq!(explicit(sized(None)).2, batch(None));
    let refused = "Batch size must be greater than zero.".to_owned();
    assert_eq!(
        explicit(sized(Some(0))),
        (ResponseCode::InvalidRequest, refused, None)
    );
    assert_eq!(explicit(None).0, ResponseCode::Error);
    let (_, _, order, _) = ask(Request::TriggerImplicitTaskReconciliation(Box::default()));
    assert_eq!(order, Some(AdminCommand::ReconcileImplicitly));
    let (_, _, order, _) = ask(Request::Snapshot(Box::default()));
    assert_eq!(order, Some(AdminCommand::Snapshot));
}
