//! `aurora-scheduler`: the daemon that decides.

use super::backups::BackupPlan;
use super::exit::{self, Failure};
use super::flags::{SCHEDULER_FLAGS, Values, help};
use super::notify::{Advice, Notifier};
use super::{log_tool, logging, placing, private, replica_key, signals};
use crate::api::{Api, ApiConfig};
use crate::base::backoff::Backoff;
use crate::base::rng::Rng;
use crate::base::stats;
use crate::domain::cron::Zone;
use crate::domain::flapping::Flapping;
use crate::domain::sla::{Metric, SlaRules, Wanted};
use crate::domain::tier::Tiers;
use crate::domain::validate::{ContainerType, EnvironmentRule, Rules};
use crate::driver::embedded::{EmbeddedDriver, EmbeddedOptions};
use crate::executor::flags::ExecutorFlags;
use crate::http::coordinator;
use crate::http::{HttpState, LogLevels, Operator};
use crate::model::{ExecutorSetup, MilliCpus, Resources};
use crate::net::Protocol;
use crate::net::http1::Limits;
use crate::net::keys::{self, KeyError, KeyKind, SecretKey};
use crate::net::listener::{ListenLimits, PeerListener};
use crate::replog::{self, LogHandle, LogOptions, Peers, Reach, ReplicaStatus};
use crate::rt::{self, Shutdown, ShutdownTrigger};
use crate::scheduler::{self, EngineOptions, RunError};
use async_channel::Receiver;
use log::LevelFilter;
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long requests in flight may take to end once the scheduler stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Commands that may wait for the scheduler's loop.
const QUEUE: usize = 4096;

/// Runs the daemon until it is told to stop or must.
///
/// # Errors
///
/// One line for the person who started it, and a status for the supervisor.
pub fn run(args: &[String], out: &mut dyn Write) -> Result<(), Failure> {
    let flags = Values::parse(SCHEDULER_FLAGS, args)?;
    if flags.help {
        let purpose =
            "Schedules services, batch jobs and cron jobs on the agents that connect to it.";
        write!(
            out,
            "{}",
            help("aurora-scheduler", purpose, SCHEDULER_FLAGS)
        )?;
        return Ok(());
    }
    let plan = Plan::new(&flags)?;
    let signals = signals::listen()?;
    logging::start(plan.log_level)?;
    if flags.is_on("exit_with_parent") && !signals::follow_parent() {
        return Ok(());
    }
    private::conceal(&flags);
    private::leave_no_core();
    for warning in flags.warnings().into_iter().chain(plan.warnings.clone()) {
        log::warn!("{warning}");
    }
    for (name, value) in flags.effective() {
        log::debug!("flag -{name}={value}");
        stats::global().text(&format!("flag_{name}"), &value);
    }
    let result = rt::block_on(serve(plan, signals));
    logging::flush();
    result
}

/// The flags as values.
struct Plan {
    cluster: String,
    hostname: String,
    http: SocketAddr,
    peers: SocketAddr,
    log: LogOptions,
    /// The replicas' key, and where it is.
    replica_key: Option<(SecretKey, PathBuf)>,
    key_file: PathBuf,
    engine: EngineOptions,
    driver: EmbeddedOptions,
    api: ApiConfig,
    cors_origin: Option<String>,
    coordinator_timeout: Duration,
    sla_metrics: (Wanted, Duration),
    /// How often consumption and empty slots are reckoned.
    usage_intervals: (Duration, Duration),
    max_leading: Duration,
    backups: BackupPlan,
    /// How long a Mesos master is waited for, if one is named.
    awaits_master: Option<Duration>,
    log_level: LevelFilter,
    /// Of what was asked for and has no effect.
    warnings: Vec<String>,
}

impl Plan {
    fn new(flags: &Values) -> Result<Self, Failure> {
        let path = PathBuf::from(flags.required("native_log_file_path")?);
        let path = std::path::absolute(&path)?;
        let ip = address(flags, "ip")?.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let peer_ip = address(flags, "peer_ip")?.unwrap_or(ip);
        let hostname = match flags.text("hostname") {
            Some(name) => name.to_owned(),
            None => system_hostname()?,
        };
        let quorum_size: u32 = flags.count("native_log_quorum_size")?;
        let peer_port = flags.count("peer_port")?;
        let named = flags.text("native_log_peers").unwrap_or_default();
        let replicas = Peers::parse(named, &hostname, peer_port)
            .map_err(|why| Failure::new(format!("-native_log_peers={why}")))?;
        replicas
            .check_quorum(quorum_size)
            .map_err(|why| Failure::new(format!("-native_log_quorum_size: {why}")))?;
        let has_peers = replicas.addresses.len() > 1;
        let replica_key = replica_key::load(flags.text("replica_key_file"), &path, has_peers)?;
        let key_file = match flags.text("agent_key_file") {
            Some(file) => PathBuf::from(file),
            None => log_tool::agent_key_beside(&path),
        };
        let (executor, mut warnings) = executor_setup(flags)?;
        warnings.extend(placing::warnings(flags));
        let tiers = placing::tiers(flags)?;
        let mut engine = engine_options(flags, &hostname, executor)?;
        placing::apply(flags, &tiers, &mut engine)?;
        Ok(Self {
            cluster: flags.required("cluster_name")?.to_owned(),
            http: SocketAddr::new(ip, flags.count("http_port")?),
            peers: SocketAddr::new(peer_ip, peer_port),
            log: LogOptions {
                path: path.clone(),
                quorum_size,
                empty_notice_interval: flags.time("empty_notice_interval"),
                peers: replicas.addresses,
                address: replicas.own,
                feature_level_delay: flags.time("feature_level_delay"),
            },
            replica_key,
            key_file,
            driver: EmbeddedOptions {
                agent_timeout: flags.time("agent_timeout"),
                ..EmbeddedOptions::default()
            },
            api: api_config(flags, tiers)?,
            engine,
            hostname,
            sla_metrics: (
                Wanted {
                    production: metrics(flags, "sla_prod_metrics")?,
                    other: metrics(flags, "sla_non_prod_metrics")?,
                },
                flags.time("sla_stat_refresh_interval"),
            ),
            usage_intervals: (
                flags.time("async_task_stat_update_interval"),
                flags.time("async_slot_stat_update_interval"),
            ),
            coordinator_timeout: flags.time("sla_coordinator_timeout"),
            cors_origin: flags.text("enable_cors_for").map(str::to_owned),
            max_leading: flags.time("max_leading_duration"),
            awaits_master: flags
                .text("mesos_master_address")
                .map(|_| flags.time("max_registration_delay")),
            backups: BackupPlan::new(flags, &path)?,
            log_level: log_level(flags)?,
            warnings,
        })
    }
}

/// The log level of a flag table that has `log_level`.
///
/// # Errors
///
/// Names the levels there are.
pub fn log_level(flags: &Values) -> Result<LevelFilter, Failure> {
    let text = flags.text("log_level").unwrap_or("INFO");
    text.parse().map_err(|_| {
        Failure::new(format!(
            "-log_level={text}: expected one of OFF, ERROR, WARN, INFO, DEBUG, TRACE"
        ))
    })
}

/// An address flag; `None` if it was not given.
///
/// # Errors
///
/// A text that is no address.
pub fn address(flags: &Values, name: &str) -> Result<Option<IpAddr>, Failure> {
    let Some(text) = flags.text(name) else {
        return Ok(None);
    };
    let bad = |_| {
        Failure::new(format!(
            "-{name}={text}: expected an IP address of this machine"
        ))
    };
    text.parse().map(Some).map_err(bad)
}

/// The system's name for this machine.
///
/// # Errors
///
/// If it is not usable as text.
pub fn system_hostname() -> Result<String, Failure> {
    let name = nix::unistd::gethostname().map_err(std::io::Error::from)?;
    name.into_string()
        .map_err(|_| Failure::new("this machine's name is not text; set -hostname".into()))
}

/// How agents start executors, and what of it has no effect.
fn executor_setup(flags: &Values) -> Result<(ExecutorSetup, Vec<String>), Failure> {
    let text = |name| flags.text(name).unwrap_or_default().trim();
    let options = text("thermos_executor_flags");
    let wrong = |why: String| Failure::new(format!("-thermos_executor_flags: {why}"));
    let read = ExecutorFlags::of_text(options).map_err(|error| wrong(error.to_string()))?;
    if read.task_dir.is_some() {
        return Err(wrong("--task-dir is for agents alone".to_owned()));
    }
    let idle = |(name, why)| format!("-thermos_executor_flags: --{name} has no effect: {why}");
    let mut warnings: Vec<String> = read.idle.into_iter().map(idle).collect();
    let path = Some(text("thermos_executor_path")).filter(|path| !path.is_empty());
    let files = text("thermos_executor_resources").split(',').map(str::trim);
    let files: Vec<String> = files
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
        .collect();
    let all = path.into_iter().chain(files.iter().map(String::as_str));
    let mut names = BTreeSet::new();
    for file in all {
        let name = Path::new(file).file_name();
        if !file.starts_with('/') || name.is_none() || !names.insert(name) {
            return Err(Failure::new(format!(
                "-thermos_executor_path, -thermos_executor_resources: {file}: expected the absolute \
                 path of a file on the agents, whose name no other one has"
            )));
        }
    }
    if path.is_none() && !files.is_empty() {
        let why = "-thermos_executor_resources has no effect without -thermos_executor_path";
        warnings.push(why.to_owned());
    }
    let setup = ExecutorSetup {
        flags: options.to_owned(),
        path: path.map(str::to_owned),
        resources: files,
    };
    Ok((setup, warnings))
}

fn engine_options(
    flags: &Values,
    hostname: &str,
    executor: ExecutorSetup,
) -> Result<EngineOptions, Failure> {
    let size_mb = |name| i64::try_from(flags.size(name) >> 20).unwrap_or(i64::MAX);
    let retry = Backoff::new(
        flags.time("initial_task_kill_retry_interval"),
        flags.time("transient_task_state_timeout"),
    );
    Ok(EngineOptions {
        cluster: flags.required("cluster_name")?.into(),
        scheduler: hostname.into(),
        executor,
        executor_overhead: Resources {
            cpus: MilliCpus::from_cores(flags.float("thermos_executor_cpu")),
            ram_mb: size_mb("thermos_executor_ram"),
            ..Resources::default()
        },
        max_tasks_per_job: flags.count("max_tasks_per_job")?,
        max_tasks_per_attempt: flags.count("max_tasks_per_schedule_attempt")?,
        first_schedule_delay: flags.time("first_schedule_delay"),
        schedule_penalty: Backoff::new(
            flags.time("initial_schedule_penalty"),
            flags.time("max_schedule_penalty"),
        ),
        flapping: Flapping {
            backoff: Backoff::new(
                flags.time("initial_flapping_task_delay"),
                flags.time("max_flapping_task_delay"),
            ),
            threshold: flags.time("flapping_task_threshold"),
        },
        cron_zone: cron_zone(flags)?,
        cron_catch_up: flags.time("cron_catch_up_window"),
        transient_timeout: flags.time("transient_task_state_timeout"),
        kill_retry: retry,
        agent_timeout: flags.time("unreachable_agent_grace"),
        reconcile: (
            flags.time("reconciliation_initial_delay"),
            flags.time("reconciliation_explicit_interval"),
        ),
        history_min_retention: flags.time("history_min_retention_threshold"),
        history_retention: flags.time("history_prune_threshold"),
        history_per_job: flags.count("history_max_per_job_threshold")?,
        sla: SlaRules {
            for_non_production: flags.is_on("sla_aware_kill_non_prod"),
            min_instances: flags.count("min_required_instances_for_sla_check")?,
        },
        maintenance_interval: flags.time("host_maintenance_polling_interval"),
        coordinators: flags.count("max_parallel_coordinated_maintenance")?,
        reconcile_batch: flags.count("reconciliation_explicit_batch_size")?,
        reconcile_implicitly: (
            flags.time("reconciliation_initial_delay")
                + flags.time("reconciliation_schedule_spread"),
            flags.time("reconciliation_implicit_interval"),
        ),
        preemption_initial_delay: flags
            .is_on("enable_preemptor")
            .then(|| flags.time("preemption_slot_search_initial_delay")),
        preemption_interval: flags.time("preemption_slot_search_interval"),
        preemption_delay: flags.time("preemption_delay"),
        preemption_batch: flags.count("preemption_reservation_max_batch_size")?,
        reservation: flags.time("offer_reservation_duration"),
        snapshot_interval: flags.time("dlog_snapshot_interval"),
        ..update_options(flags)?
    })
}

/// The options of job updates, the others as they are by default.
fn update_options(flags: &Values) -> Result<EngineOptions, Failure> {
    Ok(EngineOptions {
        update_affinity: flags
            .is_on("enable_update_affinity")
            .then(|| flags.time("update_affinity_reservation_hold_time")),
        sla_kill_retry: Backoff::new(
            flags.time("sla_aware_kill_retry_min_delay"),
            flags.time("sla_aware_kill_retry_max_delay"),
        ),
        update_history: flags.time("job_update_history_pruning_threshold"),
        updates_per_job: flags.count("job_update_history_per_job_threshold")?,
        update_pruning_interval: flags.time("job_update_history_pruning_interval"),
        ..EngineOptions::default()
    })
}

/// The time zone that new cron jobs get, by its proper name.
fn cron_zone(flags: &Values) -> Result<Arc<str>, Failure> {
    let text = flags.text("cron_timezone").unwrap_or("GMT");
    let zone = Zone::named(text);
    let zone = zone.map_err(|error| Failure::new(format!("-cron_timezone: {error}")))?;
    Ok(zone.name().into())
}

fn api_config(flags: &Values, tiers: Tiers) -> Result<ApiConfig, Failure> {
    let pattern = flags.text("allowed_job_environments").unwrap_or_default();
    let environments = EnvironmentRule::new(pattern)
        .map_err(|e| Failure::new(format!("-allowed_job_environments: {e}")))?;
    let mut container_types = BTreeSet::new();
    for name in flags
        .text("allowed_container_types")
        .unwrap_or_default()
        .split(',')
    {
        container_types.insert(match name.trim() {
            "DOCKER" => ContainerType::Docker,
            "MESOS" => ContainerType::Mesos,
            "" => continue,
            other => {
                return Err(Failure::new(format!(
                    "-allowed_container_types: {other} is neither MESOS nor DOCKER"
                )));
            }
        });
    }
    let rules = Rules {
        environments,
        tiers,
        container_types,
        allow_docker_parameters: flags.is_on("allow_docker_parameters"),
        require_docker_use_executor: flags.is_on("require_docker_use_executor"),
        allow_gpus: flags.is_on("allow_gpu_resource"),
        allow_fetcher: flags.is_on("enable_mesos_fetcher"),
        allow_volumes: flags.is_on("allow_container_volumes"),
        sla_for_non_production: flags.is_on("sla_aware_kill_non_prod"),
        sla_min_instances: flags.count("min_required_instances_for_sla_check")?,
        sla_max_duration: flags.time("max_sla_duration_secs"),
        max_update_failures: flags.count("max_update_instance_failures")?,
        ..Rules::default()
    };
    Ok(ApiConfig {
        cluster_name: flags.required("cluster_name")?.to_owned(),
        stats_url_prefix: flags
            .text("viz_job_url_prefix")
            .unwrap_or_default()
            .to_owned(),
        rules,
    })
}

/// The kinds of figures that a flag names.
fn metrics(flags: &Values, name: &str) -> Result<BTreeSet<Metric>, Failure> {
    let names = flags.text(name).unwrap_or_default().split(',');
    let names = names.map(str::trim).filter(|name| !name.is_empty());
    let metric = |text: &str| {
        Metric::from_name(text).ok_or_else(|| {
            Failure::new(format!(
                "-{name}={text}: expected JOB_UPTIMES, PLATFORM_UPTIME or MEDIANS, separated by commas"
            ))
        })
    };
    names.map(metric).collect()
}

/// The agents' key; made if there is none, so that nobody runs without one.
fn agent_key(file: &Path) -> Result<SecretKey, Failure> {
    match keys::load(file, KeyKind::Agent) {
        Err(KeyError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            let key = keys::generate(file, KeyKind::Agent).map_err(|e| {
                Failure::new(format!(
                    "{e}; name a place for the agents' key with -agent_key_file=FILE"
                ))
            })?;
            log::info!(
                "made {}, the key for agents; give it to them",
                file.display()
            );
            Ok(key)
        }
        other => other.map_err(|e| Failure::new(e.to_string())),
    }
}

fn busy(flag: &'static str, address: SocketAddr) -> impl Fn(std::io::Error) -> Failure {
    move |error| {
        Failure::new(format!(
            "cannot listen on {address}: {error}; free the port, or choose another one with -{flag}=PORT"
        ))
    }
}

/// Ends the process for `/quitquitquit` and `/abortabortabort`.
struct Stop(ShutdownTrigger);

impl Operator for Stop {
    fn quit(&self) {
        log::info!("asked to quit over HTTP");
        self.0.fire();
    }

    // To end at once, without any hook, is what is asked for.
    fn abort(&self) {
        std::process::exit(i32::from(exit::OK));
    }
}

/// The levels of this process' log.
struct Levels;

impl LogLevels for Levels {
    fn levels(&self) -> Vec<(String, LevelFilter)> {
        logging::levels()
    }

    fn set_level(&self, prefix: &str, level: Option<LevelFilter>) {
        logging::set_level(prefix, level);
    }
}

async fn serve(plan: Plan, signals: Receiver<Signal>) -> Result<(), Failure> {
    let http = TcpListener::bind(plan.http).map_err(busy("http_port", plan.http))?;
    let mut peers = PeerListener::bind(plan.peers, ListenLimits::default())
        .await
        .map_err(busy("peer_port", plan.peers))?;
    let peers_port = peers.local_addr()?.port();
    let advertised = format!("{}:{}", plan.hostname, http.local_addr()?.port());
    let path = plan.log.path.clone();
    let log = plan.log;
    let notifier = Notifier::from_env();
    let reading = format!("Reading and proving the log at {}", path.display());
    let reach = plan.replica_key.map(|(key, key_file)| Reach {
        key,
        key_file,
        replicas: peers.route(Protocol::Replica),
        operators: peers.route(Protocol::Control),
    });
    // Meanwhile nobody may take this scheduler for a sick one.
    let (opened, is_opened) = Shutdown::new();
    let alive = crate::http::serve_opening(http.try_clone()?, is_opened);
    let alive = rt::spawn("http while opening", alive);
    // Reading and proving the whole log blocks.
    let open = || replog::open(log, reach, Rng::from_os());
    let opening = rt::unblock(move || catch_unwind(AssertUnwindSafe(open)));
    let (log, log_events) = match notifier.during(&reading, opening).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return Err(plan.backups.refusal(&error)),
        Err(panic) => return Err(plan.backups.gave_up(&*panic)),
    };
    opened.fire();
    alive.join().await?;
    let backups = plan.backups.start()?;
    let key = if log.status() == ReplicaStatus::Empty && !plan.key_file.exists() {
        // No agent is of use before the log is initialised, which makes the key. One that is there already
        // is used, so that agents that wait are not told that theirs is wrong.
        SecretKey::random(KeyKind::Agent)
    } else {
        agent_key(&plan.key_file)?
    };
    let (trigger, shutdown) = Shutdown::new();
    let agents = peers.route(Protocol::Agent);
    let (driver, driver_events) = EmbeddedDriver::start(key, agents, plan.driver, shutdown.clone());
    rt::spawn("peer listener", peers.run(shutdown.clone())).detach();
    let coordinators = coordinator::start(&plan.cluster, plan.coordinator_timeout);
    let options = scheduler::Options {
        coordinators: Some(coordinators),
        engine: plan.engine,
        queue: QUEUE,
        address: advertised.clone(),
        agents_address: format!("{}:{}", plan.hostname, peers_port),
        max_leading: plan.max_leading,
        awaits_master: plan.awaits_master,
        backups: Some(backups.clone()),
    };
    let (handle, running) = scheduler::start(
        options,
        log.clone(),
        log_events,
        Arc::new(driver),
        driver_events,
        shutdown.clone(),
    );
    let advice = Advice::new(path);
    let following = notifier.follow(handle.clone(), advice, shutdown.clone());
    rt::spawn("service manager", following).detach();
    let (wanted, interval) = plan.sla_metrics;
    let reckoning = scheduler::publish_sla(handle.clone(), wanted, interval);
    rt::spawn("sla figures", reckoning).detach();
    let (tasks, slots) = plan.usage_intervals;
    let reckoning = scheduler::publish_usage(handle.clone(), tasks);
    rt::spawn("usage figures", reckoning).detach();
    let reckoning = scheduler::publish_slots(handle.clone(), slots);
    rt::spawn("slot figures", reckoning).detach();
    let tiers = plan.api.rules.tiers.clone();
    let api = Api::new(handle.clone(), plan.api).with_backups(backups);
    let mut state = HttpState::new(
        plan.cluster,
        advertised,
        Arc::new(handle),
        Arc::new(api),
        Arc::new(Stop(trigger.clone())),
    );
    state.log_levels = Arc::new(Levels);
    state.cors_origin = plan.cors_origin;
    state.tiers = tiers;
    log::info!(
        "serving http://{}, agents on {}",
        http.local_addr()?,
        plan.peers
    );
    let limits = Limits {
        drain_timeout: DRAIN,
        ..Limits::default()
    };
    let pages = rt::spawn(
        "http",
        crate::http::serve(http, state, limits, shutdown.clone()),
    );
    rt::spawn("signals", stop_on_signal(signals, trigger.clone())).detach();
    rt::spawn("log statistics", publish_log(log.clone())).detach();
    let ended = running.join().await;
    // Whatever ended it, nothing else may go on as if it ran.
    trigger.fire();
    match pages.join().await {
        Ok(_) => {}
        Err(error) => log::warn!("the HTTP port ended with an error: {error}"),
    }
    log.close().await;
    log::info!("stopped");
    match ended {
        // Asked for; a supervisor starts the scheduler again, which begins with what was restored.
        Err(RunError::Restored) => {
            log::warn!("a recovery was committed: start the scheduler again to go on with it");
            Ok(())
        }
        ended => ended.map_err(|e| failure(&e)),
    }
}

fn failure(error: &RunError) -> Failure {
    let status = match error {
        RunError::Poisoned(_) => exit::LOG_POISONED,
        RunError::Refused(_) => exit::LOG_REFUSED,
        RunError::Append(_) => exit::NOT_LEADER,
        RunError::NotRegistered
        | RunError::Outdated(_)
        | RunError::Replay(_)
        | RunError::Restored
        | RunError::SourceEnded(_) => exit::FAILED,
    };
    Failure::with_status(error.to_string(), status)
}

async fn stop_on_signal(signals: Receiver<Signal>, trigger: ShutdownTrigger) {
    while let Ok(signal) = signals.recv().await {
        if signal == Signal::SIGHUP {
            continue;
        }
        log::info!("{signal}: the scheduler stops");
        trigger.fire();
    }
}

/// Shows what the log does, under the names that operators know.
async fn publish_log(log: LogHandle) {
    let registry = stats::global();
    loop {
        let stats = log.stats();
        let show = |name: &str, value: u64| {
            registry
                .gauge(name)
                .set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        show("scheduler_log_entries_written", stats.appends);
        show("scheduler_log_bytes_written", stats.append_bytes);
        let kept = stats.learned.saturating_sub(stats.first);
        show("scheduler_log_un_snapshotted_transactions", kept);
        let nanos = stats.commit_nanos_total;
        show("scheduler_log_native_commit_nanos_total", nanos);
        let nanos = stats.commit_nanos_last;
        show("scheduler_log_native_commit_nanos_last", nanos);
        let nanos = stats.commit_nanos_max;
        show("scheduler_log_native_commit_nanos_max", nanos);
        show("scheduler_log_native_commit_events", stats.commits);
        show("scheduler_log_native_first_position", stats.first);
        show("scheduler_log_native_learned_position", stats.learned);
        show("scheduler_log_native_disk_bytes", stats.disk_bytes);
        rt::sleep(Duration::from_secs(1)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(args: &[&str]) -> Result<(ExecutorSetup, Vec<String>), Failure> {
        let args: Vec<String> = args.iter().map(|it| (*it).to_owned()).collect();
        executor_setup(&Values::parse(SCHEDULER_FLAGS, &args)?)
    }

    #[test]
    fn what_the_flags_say_of_executors_goes_to_the_agents() {
        let (plain, warnings) = setup(&[]).unwrap();
        assert_eq!((plain, warnings), (ExecutorSetup::default(), Vec::new()));
        let (setup, warnings) = setup(&[
            "-thermos_executor_flags=--announcer-ensemble 127.0.0.1:2181 --preserve_env",
            "-thermos_executor_path=/opt/wrapper.sh",
            "-thermos_executor_resources=/opt/a, /opt/b",
        ])
        .unwrap();
        assert_eq!(setup.path.as_deref(), Some("/opt/wrapper.sh"));
        assert_eq!(setup.resources, ["/opt/a", "/opt/b"]);
        assert!(setup.flags.ends_with("--preserve_env"));
        assert!(warnings[0].contains("--announcer-ensemble"), "{warnings:?}");
    }

    #[test]
    fn what_no_executor_would_take_stops_the_start_with_one_line() {
        for (arg, part) in [
            (
                "-thermos_executor_flags=--runner-logger-mod=rotate",
                "did you mean",
            ),
            ("-thermos_executor_flags=--task-dir=/x", "--task-dir"),
            ("-thermos_executor_path=wrapper.sh", "absolute"),
            ("-thermos_executor_resources=/a/x,/b/x", "/b/x"),
        ] {
            let Err(failure) = setup(&[arg]) else {
                panic!("{arg} is taken");
            };
            let text = failure.to_string();
            assert!(text.contains(part) && !text.contains('\n'), "{arg}: {text}");
        }
    }
}
