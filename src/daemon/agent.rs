//! `aurora-agent`: the daemon that runs tasks on this machine.

use super::exit::Failure;
use super::flags::{AGENT_FLAGS, Values, help};
use super::notify::Notifier;
use super::scheduler::{address, log_level, system_hostname};
use super::{logging, private, signals};
use crate::agent::host::HostConfig;
use crate::agent::limits::LimitConfig;
use crate::agent::resources;
use crate::agent::session::{Drain, Timing};
use crate::agent::{self, AgentOptions};
use crate::model::Attribute;
use crate::net::keys::{self, KeyKind};
use crate::rt::{self, Shutdown};
use nix::sys::signal::Signal;
use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where a packaged scheduler on the same machine keeps the key.
const DEFAULT_KEY: &str = "/var/lib/aurora/scheduler/agent.key";

/// The executor's program.
const EXECUTOR: &str = "aurora-executor";

/// Runs the daemon until it is told to stop. Its tasks run on.
///
/// # Errors
///
/// One line for the person who started it.
pub fn run(args: &[String], out: &mut dyn Write) -> Result<(), Failure> {
    let flags = Values::parse(AGENT_FLAGS, args)?;
    if flags.help {
        let purpose = "Runs tasks on this machine for the schedulers it is pointed at.";
        write!(out, "{}", help("aurora-agent", purpose, AGENT_FLAGS))?;
        return Ok(());
    }
    let options = options(&flags)?;
    let level = log_level(&flags)?;
    let signals = signals::listen_also(&[Signal::SIGUSR1, Signal::SIGUSR2])?;
    logging::start(level)?;
    private::conceal(&flags);
    // Tasks inherit the agent's limit.
    if !flags.is_on("task_core_dumps") {
        private::leave_no_core();
    }
    if flags.is_on("exit_with_parent") && !signals::follow_parent() {
        return Ok(());
    }
    let (trigger, shutdown) = Shutdown::new();
    let notifier = Notifier::from_env();
    notifier.status("Looking at the tasks of this machine");
    let leaving = notifier.clone();
    let drain = options.drain.clone();
    rt::spawn("signals", async move {
        while let Ok(signal) = signals.recv().await {
            match signal {
                Signal::SIGHUP => {}
                Signal::SIGUSR1 => turn(&drain, true),
                Signal::SIGUSR2 => turn(&drain, false),
                _ => {
                    log::info!("{signal}: the agent stops");
                    leaving.stopping();
                    trigger.fire();
                }
            }
        }
    })
    .detach();
    let result = rt::block_on(agent::run(options, shutdown, |text| notifier.ready(text)));
    logging::flush();
    result.map_err(|e| Failure::new(e.to_string()))
}

/// SIGUSR1 empties the machine, SIGUSR2 fills it again. Signals, because any task could call a port.
fn turn(drain: &Drain, on: bool) {
    match on {
        true => log::info!("SIGUSR1: this machine drains: it offers nothing, what runs, runs on"),
        false => log::info!("SIGUSR2: this machine offers itself again"),
    }
    if let Err(error) = drain.set(on) {
        log::error!("that will not survive a restart of the agent: {error}");
    }
}

fn options(flags: &Values) -> Result<AgentOptions, Failure> {
    let hostname = match flags.text("hostname") {
        Some(name) => name.to_owned(),
        None => system_hostname()?,
    };
    let work_dir = std::path::absolute(flags.required("work_dir")?)?;
    let mut host = HostConfig::new(work_dir.clone(), executor(flags, &work_dir)?, &hostname);
    host.allow_root_tasks = flags.is_on("allow_root_tasks");
    host.sandbox_age_max = flags.time("sandbox_keep");
    host.limits = limits(flags)?;
    host.fetch_cache_dir = match flags.text("fetcher_cache_dir") {
        Some(path) => Some(std::path::absolute(path)?),
        None => None,
    };
    host.fetch_cache_bytes = flags.size("fetcher_cache_size");
    host.disk_headroom_percent = percent(flags, "disk_headroom")?;
    let key_file = flags.text("agent_key_file").unwrap_or(DEFAULT_KEY);
    let key = keys::load(Path::new(key_file), KeyKind::Agent).map_err(|e| {
        Failure::new(format!(
            "{e}; name the scheduler's key with -agent_key_file=FILE"
        ))
    })?;
    let schedulers: Vec<String> = flags
        .required("scheduler")?
        .split(',')
        .map(|s| s.trim().to_owned())
        .filter(|s| !s.is_empty())
        .collect();
    if schedulers.is_empty() {
        return Err(Failure::new(
            "-scheduler names no scheduler: host:port,host:port".into(),
        ));
    }
    let bad = |name: &str, e: &dyn std::fmt::Display| Failure::new(format!("-{name}: {e}"));
    Ok(AgentOptions {
        host,
        schedulers,
        key,
        resources: resources::parse_resources(flags.text("resources").unwrap_or(""))
            .map_err(|e| bad("resources", &e))?,
        attributes: attributes(flags)?,
        observer: observer(flags)?,
        kill_tasks_on_exit: flags.is_on("kill_tasks_on_exit"),
        drain: Drain::default(),
        timing: Timing::default(),
    })
}

/// The machine's attributes, what it may take back among them.
fn attributes(flags: &Values) -> Result<Vec<Attribute>, Failure> {
    let text = flags.text("attributes").unwrap_or("");
    let mut attributes =
        resources::parse_attributes(text).map_err(|e| Failure::new(format!("-attributes: {e}")))?;
    let text = flags.text("revocable_resources").unwrap_or("");
    let revocable = resources::parse_revocable(text)
        .map_err(|e| Failure::new(format!("-revocable_resources: {e}")))?;
    attributes.extend(revocable);
    Ok(attributes)
}

fn limits(flags: &Values) -> Result<LimitConfig, Failure> {
    let root = flags.text("cgroup_root").filter(|root| *root != "none");
    let memory_interval = flags.time("memory_check_interval");
    if memory_interval.is_zero() {
        let text = "-memory_check_interval: has to be more than nothing";
        return Err(Failure::new(text.into()));
    }
    if let Some(root) = root
        && root.split('/').any(|part| part == "..")
    {
        return Err(Failure::new(format!("-cgroup_root={root}: no '..' please")));
    }
    Ok(LimitConfig {
        cgroup_root: root.map(str::to_owned),
        is_cpu_capped: flags.is_on("cgroup_cpu_quota"),
        pids: flags.count("cgroup_pids")?,
        executor_memory: flags.size("executor_ram"),
        open_files: flags.count("task_nofile")?,
        processes_of_user: flags.count("task_nproc")?,
        is_core_dumped: flags.is_on("task_core_dumps"),
        disk_interval: flags.time("disk_check_interval"),
        memory_interval,
    })
}

fn percent(flags: &Values, name: &str) -> Result<u8, Failure> {
    let value = u8::try_from(flags.int(name)).ok().filter(|v| *v <= 100);
    value.ok_or_else(|| Failure::new(format!("-{name}: expected a number from 0 to 100")))
}

fn observer(flags: &Values) -> Result<Option<SocketAddr>, Failure> {
    if flags.int("observer_port") == -1 {
        return Ok(None);
    }
    let ip = address(flags, "ip")?.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    Ok(Some(SocketAddr::new(ip, flags.count("observer_port")?)))
}

/// The executor beside this program, or where packages put it, unless a flag names one.
///
/// `cargo run` builds one program only; that one can be the executor too, under its name.
fn executor(flags: &Values, work_dir: &Path) -> Result<PathBuf, Failure> {
    if let Some(path) = flags.text("executor_path") {
        let path = std::path::absolute(path)?;
        return match path.is_file() {
            true => Ok(path),
            false => Err(Failure::new(format!(
                "-executor_path={}: no such file",
                path.display()
            ))),
        };
    }
    let program = std::env::current_exe()?;
    for path in [
        program.with_file_name(EXECUTOR),
        PathBuf::from("/usr/lib/aurora").join(EXECUTOR),
    ] {
        if path.is_file() {
            return Ok(path);
        }
    }
    let bin = work_dir.join("bin");
    let link = bin.join(EXECUTOR);
    let made = fs::create_dir_all(&bin).and_then(|()| {
        // An older one may lead to a program that is gone.
        match fs::remove_file(&link) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            Ok(()) | Err(_) => {}
        }
        std::os::unix::fs::symlink(&program, &link)
    });
    made.map_err(|e| Failure::new(format!("cannot make {}: {e}", link.display())))?;
    Ok(link)
}
