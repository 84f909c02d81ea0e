//! The key that all replicas of the log share.

use super::exit::Failure;
use super::log_tool;
use crate::net::keys::{self, KeyKind, SecretKey};
use std::path::{Path, PathBuf};

/// The key that all replicas share, and where it is.
///
/// # Errors
///
/// If there are peers and the key cannot be used. Without peers, a node without a key only goes
/// without what needs one.
pub fn load(
    flag: Option<&str>,
    log: &Path,
    has_peers: bool,
) -> Result<Option<(SecretKey, PathBuf)>, Failure> {
    let file = match flag {
        Some(file) => PathBuf::from(file),
        None => log_tool::replica_key_beside(log),
    };
    match keys::load(&file, KeyKind::Replica) {
        Ok(key) => Ok(Some((key, file))),
        Err(error) if has_peers || flag.is_some() || file.exists() => Err(Failure::new(format!(
            "{error}; all replicas of a log share one key, which aurora-log initialize makes on \
                 the first: copy {} from that scheduler's machine (mode 0640, owned like the log), \
                 or name it with -replica_key_file=FILE",
            file.display()
        ))),
        Err(_) => Ok(None),
    }
}
