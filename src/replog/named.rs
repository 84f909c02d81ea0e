//! The replicas of an ensemble as a command line names them, and which of them this one is.

use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs, UdpSocket};

/// Longest `host:port`.
const ADDRESS_BYTES_MAX: usize = super::wire::ADDRESS_BYTES_MAX;

/// The replicas of an ensemble as the flags name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// All of them, this one among them. Empty on a lone node.
    pub addresses: Vec<String>,
    /// This one. Empty on a lone node.
    pub own: String,
}

impl Peers {
    /// Reads a list; `hostname` and `port` are this replica's own.
    ///
    /// # Errors
    ///
    /// A list that is malformed, names one twice, or does not name this replica.
    pub fn parse(text: &str, hostname: &str, port: u16) -> Result<Self, String> {
        let wrong = |why: String| format!("{text}: {why}");
        let addresses: Vec<String> = text
            .split(',')
            .map(str::trim)
            .filter(|address| !address.is_empty())
            .map(str::to_owned)
            .collect();
        let mut seen = BTreeSet::new();
        for address in &addresses {
            if split(address).is_none() || address.len() > ADDRESS_BYTES_MAX {
                return Err(wrong(format!(
                    "'{address}' is no host:port; name the -peer_port of every scheduler, as in \
                     a.example:8083,b.example:8083,c.example:8083"
                )));
            }
            if !seen.insert(address) {
                return Err(wrong(format!("'{address}' is named twice")));
            }
        }
        if addresses.is_empty() {
            return Ok(Self::default());
        }
        let named = format!("{hostname}:{port}");
        let own = match addresses.iter().find(|address| **address == named) {
            Some(own) => own.clone(),
            None => own_of(&addresses, port).map_err(|why| {
                wrong(format!(
                    "{why}; the list has to be the same on every scheduler and to name each of \
                     them once, this one as '{named}' (-hostname and -peer_port) or by an address \
                     of this machine"
                ))
            })?,
        };
        Ok(Self { addresses, own })
    }

    /// Checks `-native_log_quorum_size` against the number of replicas.
    ///
    /// # Errors
    ///
    /// If so many are no majority, or are more than there are.
    pub fn check_quorum(&self, size: u32) -> Result<(), String> {
        let members = self.addresses.len().max(1);
        let majority = members / 2 + 1;
        if (majority..=members).contains(&(size as usize)) {
            return Ok(());
        }
        Err(if self.addresses.is_empty() {
            format!(
                "a quorum of {size} needs other replicas: name all of them with -native_log_peers, \
                 or use 1"
            )
        } else {
            format!(
                "a quorum of {size} does not fit the {members} replicas that are named: use \
                 {majority}, and before more are added what these will need, at most {members}"
            )
        })
    }
}

/// Host and port.
fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    (!host.is_empty() && host.chars().all(is_host)).then_some((host, port))
}

/// The one address with this port whose host is this machine.
fn own_of(addresses: &[String], port: u16) -> Result<String, String> {
    let mut found = Vec::new();
    for address in addresses {
        if split(address).is_some_and(|(_, given)| given == port) && is_here(address) {
            found.push(address);
        }
    }
    match found.as_slice() {
        [own] => Ok((*own).clone()),
        [] => Err(format!("none of them is this machine with port {port}")),
        [..] => Err(format!(
            "more than one of them is this machine with port {port}"
        )),
    }
}

/// Whether a name leads to this machine: only its own addresses can be bound.
fn is_here(address: &str) -> bool {
    let Ok(resolved) = address.to_socket_addrs() else {
        return false;
    };
    let mut ips = resolved.map(|address| address.ip());
    ips.any(|ip: IpAddr| !ip.is_unspecified() && UdpSocket::bind((ip, 0)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_address_is_found_by_name_or_by_being_here() {
        let list = "a.example:8083, 127.0.0.1:9001,127.0.0.1:9002";
        let own = |hostname: &str, port| Peers::parse(list, hostname, port).map(|p| p.own);
        assert_eq!(own("a.example", 8083).unwrap(), "a.example:8083");
        assert_eq!(own("x", 9001).unwrap(), "127.0.0.1:9001");
        let error = own("x", 9003).unwrap_err();
        assert!(error.contains("none of them is this machine"), "{error}");
        assert!(error.contains("'x:9003'"), "{error}");
        let twice = Peers::parse("127.0.0.1:7,127.0.0.2:7", "x", 7).unwrap_err();
        assert!(twice.contains("more than one"), "{twice}");
    }

    #[test]
    fn malformed_lists_are_refused_and_an_empty_one_is_a_lone_node() {
        assert_eq!(Peers::parse(" ", "x", 1).unwrap(), Peers::default());
        for bad in ["a", "a:", ":1", "a:0", "a:99999", "a:1,a:1", "a b:1"] {
            let error = Peers::parse(bad, "a", 1).unwrap_err();
            assert!(error.starts_with(bad), "{error}");
        }
    }

    #[test]
    fn a_quorum_is_a_majority_of_the_peers_at_least_and_all_of_them_at_most() {
        let of = |count: usize| Peers {
            addresses: (0..count).map(|n| format!("h{n}:1")).collect(),
            own: String::new(),
        };
        for (peers, size, fits) in [
            (0, 1, true),
            (0, 2, false),
            (3, 1, false),
            (3, 2, true),
            (3, 3, true),
            (3, 4, false),
            (5, 2, false),
            (5, 3, true),
        ] {
            let checked = of(peers).check_quorum(size);
            assert_eq!(checked.is_ok(), fits, "{size} of {peers}: {checked:?}");
        }
        let error = of(3).check_quorum(1).unwrap_err();
        assert!(error.contains("use 2"), "{error}");
    }
}
