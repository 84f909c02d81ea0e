//! The agent as a whole, with a real host in an empty work directory.

use super::host::{HostConfig, HostError};
use super::resources::{parse_attributes, parse_resources};
use super::session::{Drain, Timing};
use super::{AgentError, AgentOptions, run};
use crate::base::rng::Rng;
use crate::driver::embedded::{EmbeddedDriver, EmbeddedOptions};
use crate::driver::{Driver, DriverEvent};
use crate::net::Protocol;
use crate::net::keys::{KeyKind, SecretKey};
use crate::net::listener::{ListenLimits, PeerListener};
use crate::rt::{self, Shutdown};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

fn key() -> SecretKey {
    SecretKey::from_bytes(KeyKind::Agent, [1; 32])
}

fn work_dir() -> PathBuf {
    std::env::temp_dir().join(format!("aurora-agent-{}", Rng::from_os().uuid()))
}

fn options(work_dir: &Path, scheduler: SocketAddr, observer: SocketAddr) -> AgentOptions {
    AgentOptions {
        host: HostConfig::new(work_dir.to_owned(), PathBuf::from("/bin/false"), "h1"),
        schedulers: vec![scheduler.to_string()],
        key: key(),
        resources: parse_resources("cpus:2;mem:512;disk:100;ports:[31000-31009]").unwrap(),
        attributes: parse_attributes("rack:r1").unwrap(),
        observer: Some(observer),
        kill_tasks_on_exit: true,
        drain: Default::default(),
        timing: Timing::default(),
    }
}

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[test]
fn an_agent_offers_its_machine_and_stops_when_told() {
    rt::block_on(async {
        let limits = ListenLimits::default();
        let mut listener = PeerListener::bind(any(), limits).await.unwrap();
        let scheduler = listener.local_addr().unwrap();
        let (_serving, shutdown) = Shutdown::new();
        let incoming = listener.route(Protocol::Agent);
        rt::spawn("listener", listener.run(shutdown.clone())).detach();
        let options_of_driver = EmbeddedOptions::default();
        let (driver, events) = EmbeddedDriver::start(key(), incoming, options_of_driver, shutdown);
        driver.lead(1);
        let dir = work_dir();
        let drain = Drain::default();
        let (trigger, stop) = Shutdown::new();
        let mut own = options(&dir, scheduler, any());
        own.drain = drain.clone();
        let agent = rt::spawn("agent", run(own, stop, |_| {}));
        let event = rt::timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
        let DriverEvent::AgentUp { offer, tasks } = event else {
            panic!("not an AgentUp: {event:?}");
        };
        assert_eq!((offer.host.as_str(), tasks.len()), ("h1", 0));
        assert_eq!((offer.total.cpus.0, offer.total.ports), (2000, 10));
        let names: Vec<&str> = offer.attributes.iter().map(|a| a.name.as_str()).collect();
        assert_eq!(names, ["host", "rack"]);
        // It drains, and offers itself again, in the same session.
        for (on, ports) in [(true, 0), (false, 10)] {
            drain.set(on).unwrap();
            assert_eq!(dir.join("draining").exists(), on);
            let event = rt::timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
            let DriverEvent::AgentUp { offer: next, .. } = event else {
                panic!("not an AgentUp: {event:?}");
            };
            assert_eq!((next.session, next.total.ports), (offer.session, ports));
        }
        // Its directory is taken as long as it runs.
        let (_other, never) = Shutdown::new();
        let second = run(options(&dir, scheduler, any()), never, |_| {}).await;
        assert!(
            matches!(second, Err(AgentError::Host(HostError::InUse(_)))),
            "{second:?}"
        );
        trigger.fire();
        assert!(rt::timeout(PATIENCE, agent.join()).await.unwrap().is_ok());
    });
}

#[test]
fn a_busy_port_costs_the_pages_and_not_the_agent_until_it_is_free() {
    let taken = TcpListener::bind(any()).unwrap();
    let address = taken.local_addr().unwrap();
    let (trigger, shutdown) = Shutdown::new();
    let dir = work_dir();
    rt::block_on(async {
        let agent = rt::spawn(
            "agent",
            run(options(&dir, any(), address), shutdown, |_| {}),
        );
        let is_there = async |what: &dyn Fn() -> bool| {
            while !what() {
                rt::sleep(Duration::from_millis(10)).await;
            }
        };
        let (runs, serves) = (
            || dir.join("agent_id").exists(),
            || TcpStream::connect(address).is_ok(),
        );
        rt::timeout(PATIENCE, is_there(&runs)).await.unwrap();
        drop(taken);
        rt::timeout(PATIENCE, is_there(&serves)).await.unwrap();
        trigger.fire();
        assert!(rt::timeout(PATIENCE, agent.join()).await.unwrap().is_ok());
    });
    std::fs::remove_dir_all(dir).unwrap();
}
