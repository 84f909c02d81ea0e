//! The clusters that benchmarks place tasks on: upstream's fixtures.

use aurora::driver::AgentOffer;
use aurora::model::{
    AgentId, AgentSession, Attribute, Container, JobKey, MilliCpus, PortRange, Ports, Resources,
    TaskConfig,
};
use std::collections::{BTreeMap, BTreeSet};

/// So many thousandths of a core, megabytes of memory and of disk.
pub fn amount(milli_cpus: i64, ram_mb: i64, disk_mb: i64) -> Resources {
    Resources {
        cpus: MilliCpus(milli_cpus),
        ram_mb,
        disk_mb,
        ..Resources::default()
    }
}

/// Machine `number`, which gives `total` and a thousand ports. Two machines share a rack, and racks are
/// of two zones in turn.
pub fn offer(number: u64, total: Resources) -> AgentOffer {
    let attribute = |name: &str, value: String| Attribute {
        name: name.to_owned(),
        values: BTreeSet::from([value]),
    };
    let (host, rack) = (format!("host-{number}"), number / 2);
    let ports = Ports(vec![PortRange {
        first: 1,
        last: 1023,
    }]);
    AgentOffer {
        agent: AgentId::new(&format!("slave-{number}")),
        session: AgentSession(1),
        host: host.clone(),
        total: Resources {
            ports: ports.count(),
            ..total
        },
        ports,
        attributes: vec![
            attribute("host", host),
            attribute("rack", format!("rack-{rack}")),
            attribute("zone", format!("zone-{}", rack % 2)),
        ],
    }
}

/// A task of job `role/dev/name` that may be preempted.
pub fn config(role: &str, name: &str, resources: Resources) -> TaskConfig {
    TaskConfig {
        job: JobKey::new(role, "devel", name).expect("a good key"),
        owner: None,
        is_service: true,
        priority: 0,
        max_task_failures: 1,
        production: false,
        tier: Some("preemptible".into()),
        resources,
        port_names: BTreeSet::new(),
        names_gpus: false,
        constraints: BTreeSet::new(),
        fetcher_uris: BTreeSet::new(),
        task_links: BTreeMap::new(),
        contact_email: None,
        executor: None,
        metadata: BTreeSet::new(),
        partition_policy: None,
        sla_policy: None,
        container: Container::default(),
    }
}
