//! Running a replica from the tool: where its files are, who its peers are, how it is reached.

use super::Failure;
use crate::base::rng::Rng;
use crate::net::Protocol;
use crate::net::keys::{self, KeyKind};
use crate::net::listener::{ListenLimits, PeerListener};
use crate::replog::layout::{self, Holding};
use crate::replog::{self, LogEvent, LogHandle, LogOptions, Peers, Reach};
use crate::rt::{self, Shutdown, ShutdownTrigger};
use async_channel::Receiver;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The port that peers connect to, unless an option says otherwise.
const PORT: u16 = 8083;
/// How often a replica that is not initialised says so.
const EMPTY_NOTICE: Duration = Duration::from_secs(5);
/// As `-feature_level_delay` of a scheduler.
const FEATURE_LEVEL_DELAY: Duration = Duration::from_secs(12 * 3600);

/// What the options say.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) key: PathBuf,
    pub(super) peers: Option<String>,
    pub(super) address: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) ip: Option<String>,
    pub(super) quorum: Option<u32>,
    pub(super) initializes: bool,
}

/// A replica that runs.
pub(super) struct Running {
    pub(super) log: LogHandle,
    pub(super) events: Receiver<LogEvent>,
    /// Ends its listener when dropped.
    pub(super) _trigger: ShutdownTrigger,
}

/// Refuses discovery by ZooKeeper, which old scripts ask for.
pub(super) fn refuse_zookeeper(
    servers: Option<&String>,
    znode: Option<&String>,
) -> Result<(), Failure> {
    if servers.is_some() || znode.is_some() {
        return Err(Failure(
            "--servers and --znode are not supported yet: name the replicas with --peers=host:port,..."
                .to_owned(),
        ));
    }
    Ok(())
}

impl Place {
    fn peers(&self, port: u16) -> Result<Peers, Failure> {
        let wrong = |why: String| Failure(format!("--peers={why}"));
        let text = self.peers.as_deref().unwrap_or_default();
        let hostname = nix::unistd::gethostname().ok();
        let hostname = hostname.and_then(|name| name.into_string().ok());
        let hostname = hostname.unwrap_or_default();
        match &self.address {
            Some(own) => {
                let (host, port) = own.rsplit_once(':').unwrap_or((own, ""));
                let port = port.parse().map_err(|_| {
                    Failure(format!(
                        "--address={own}: expected one of --peers as host:port"
                    ))
                })?;
                Peers::parse(text, host, port).map_err(wrong)
            }
            None => Peers::parse(text, &hostname, port).map_err(wrong),
        }
    }

    /// Opens the replica, and makes it first if that is wanted.
    pub(super) async fn open(self) -> Result<Running, Failure> {
        let port = self.port.unwrap_or(PORT);
        let peers = self.peers(port)?;
        let majority = u32::try_from(peers.addresses.len() / 2 + 1).unwrap_or(u32::MAX);
        let quorum_size = self.quorum.unwrap_or(majority);
        peers
            .check_quorum(quorum_size)
            .map_err(|why| Failure(format!("--quorum: {why}")))?;
        let has_peers = !peers.addresses.is_empty();
        let reach = if has_peers {
            let key = keys::load(&self.key, KeyKind::Replica).map_err(|error| {
                Failure(format!(
                    "{error}; all replicas of a log share one key: copy it from another one, or name \
                     it with --key=FILE"
                ))
            })?;
            Some((key, self.listen(port).await?))
        } else {
            None
        };
        let path = self.path;
        if self.initializes && matches!(layout::inspect(&path), Ok(Holding::Empty)) {
            let path = path.clone();
            let made = rt::unblock(move || layout::initialize(&path, &mut Rng::from_os())).await;
            made.map_err(|error| Failure(error.to_string()))?;
        }
        let options = LogOptions {
            path,
            quorum_size,
            empty_notice_interval: EMPTY_NOTICE,
            feature_level_delay: FEATURE_LEVEL_DELAY,
            peers: peers.addresses,
            address: peers.own,
        };
        let (trigger, shutdown) = Shutdown::new();
        let reach = reach.map(|(key, mut listener)| {
            let reach = Reach {
                key,
                key_file: self.key,
                replicas: listener.route(Protocol::Replica),
                operators: listener.route(Protocol::Control),
            };
            rt::spawn("peer listener", listener.run(shutdown)).detach();
            reach
        });
        let opened = rt::unblock(move || replog::open(options, reach, Rng::from_os())).await;
        let (log, events) =
            opened.map_err(|error| Failure(format!("Failed to recover the log: {error}")))?;
        Ok(Running {
            log,
            events,
            _trigger: trigger,
        })
    }

    async fn listen(&self, port: u16) -> Result<PeerListener, Failure> {
        let ip = match &self.ip {
            Some(ip) => ip
                .parse()
                .map_err(|_| Failure(format!("--ip={ip}: expected an address of this machine")))?,
            None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        let address = SocketAddr::new(ip, port);
        PeerListener::bind(address, ListenLimits::default())
            .await
            .map_err(|error| Failure(format!("cannot listen on {address}: {error}")))
    }
}
