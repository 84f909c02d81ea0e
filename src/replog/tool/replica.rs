//! `aurora-log replica`: a replica that votes and leads nothing.

use super::args;
use super::place::{Place, refuse_zookeeper};
use super::{Failure, args::required};
use crate::replog::LogEvent;
use crate::rt;
use std::time::Duration;

/// Between attempts to let somebody else lead.
const HAND_OVER_PAUSE: Duration = Duration::from_millis(200);

/// Runs until the disk fails or the other replicas refuse this one; a signal ends the process, which
/// a replica survives like any other crash.
pub(super) fn run(options: args::Replica) -> Result<(), Failure> {
    let path = options.path()?;
    refuse_zookeeper(options.servers.as_ref(), options.znode.as_ref())?;
    required(options.peers.as_ref(), "peers")?;
    let place = Place {
        path,
        key: options.key(),
        peers: options.peers,
        address: options.address,
        port: options.port,
        ip: options.ip,
        quorum: options.quorum,
        initializes: options.initialize && !options.no_initialize,
    };
    rt::block_on(serve(place))
}

async fn serve(place: Place) -> Result<(), Failure> {
    let running = place.open().await?;
    while let Ok(event) = running.events.recv().await {
        match event {
            // It may win an election, by holding what nobody else holds. Having given that to the
            // others, it lets one of them lead.
            LogEvent::Leading { .. } => {
                let log = running.log.clone();
                let giving = async move {
                    while log.leading().is_some() && !log.is_alone() && !log.hand_over().await {
                        rt::sleep(HAND_OVER_PAUSE).await;
                    }
                };
                rt::spawn("hand over", giving).detach();
            }
            LogEvent::Poisoned { reason } => {
                return Err(Failure(format!("the log has failed: {reason}")));
            }
            LogEvent::Refused { reason } => return Err(Failure(reason)),
            LogEvent::Status(status) => log::info!("this replica is {}", status.name()),
            LogEvent::Discarded { .. }
            | LogEvent::Learned { .. }
            | LogEvent::ReadFailed { .. }
            | LogEvent::ReadReady { .. }
            | LogEvent::Skipped { .. } => {}
        }
    }
    Err(Failure("the log has ended".to_owned()))
}
