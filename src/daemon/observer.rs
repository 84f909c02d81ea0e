//! `thermos_observer`: the pages about the tasks of this machine, without the agent.

use super::exit::Failure;
use super::flags::{OBSERVER_FLAGS, Values, help};
use super::scheduler::{address, log_level, system_hostname};
use super::{logging, signals};
use crate::agent::observe::{self, Observer};
use crate::rt::{self, Shutdown};
use nix::sys::signal::Signal;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// Serves the pages until it is told to stop.
///
/// # Errors
///
/// One line for the person who started it.
pub fn run(args: &[String], out: &mut dyn Write) -> Result<(), Failure> {
    let flags = Values::parse(OBSERVER_FLAGS, args)?;
    if flags.help {
        let purpose = "Shows the tasks of this machine, their processes and their files.";
        write!(out, "{}", help("thermos_observer", purpose, OBSERVER_FLAGS))?;
        return Ok(());
    }
    let level = log_level(&flags)?;
    let root = std::path::absolute(flags.required("mesos_root")?)?;
    let ip = address(&flags, "ip")?.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let address = SocketAddr::new(ip, flags.count("port")?);
    let hostname = system_hostname()?;
    let signals = signals::listen()?;
    logging::start(level)?;
    for warning in flags.warnings() {
        log::warn!("{warning}");
    }
    let listener = TcpListener::bind(address)
        .and_then(|it| Ok((it.local_addr()?, it)))
        .map_err(|e| Failure::new(format!("cannot serve on {address}: {e}")))?;
    log::info!(
        "the pages of the tasks below {} are at http://{}/",
        root.display(),
        listener.0
    );
    let (trigger, shutdown) = Shutdown::new();
    rt::spawn("signals", async move {
        while let Ok(signal) = signals.recv().await {
            if signal != Signal::SIGHUP {
                trigger.fire();
            }
        }
    })
    .detach();
    rt::block_on(observe::serve(
        listener.1,
        Observer::alone(root, hostname),
        shutdown,
    ));
    logging::flush();
    Ok(())
}
