//! `aurora-log`: the log's own tool, and the keys that an initialised machine needs.

use super::{exit, logging};
use crate::net::keys::{self, KeyKind};
use crate::replog::tool;
use log::LevelFilter;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The name of the agents' key beside a scheduler's log.
pub const AGENT_KEY: &str = "agent.key";

/// The name of the replicas' key beside a scheduler's log.
pub const REPLICA_KEY: &str = "replica.key";

/// Where the replicas' key is unless a flag says otherwise: beside the log's directory.
pub fn replica_key_beside(log: &Path) -> PathBuf {
    log.parent()
        .unwrap_or_else(|| Path::new("/"))
        .join(REPLICA_KEY)
}

/// Where the agents' key is unless a flag says otherwise: beside the log's directory.
pub fn agent_key_beside(log: &Path) -> PathBuf {
    log.parent()
        .unwrap_or_else(|| Path::new("/"))
        .join(AGENT_KEY)
}

/// Runs the tool and gives its exit status. A successful `initialize` also makes the keys that are missing.
pub fn run(args: &[String], out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    // A replica runs for as long as a daemon.
    if args.first().map(String::as_str) == Some("replica")
        && let Err(error) = logging::start(LevelFilter::Info)
    {
        writeln!(err, "aurora-log: {error}").unwrap_or_default();
        return exit::FAILED;
    }
    let status = tool::main(args.to_vec(), out, err);
    logging::flush();
    if status != exit::OK || args.first().map(String::as_str) != Some("initialize") {
        return status;
    }
    let Some(path) = path_of(args) else {
        return status;
    };
    for (key, kind, purpose) in [
        (
            agent_key_beside(&path),
            KeyKind::Agent,
            "the key for agents of this scheduler",
        ),
        (
            replica_key_beside(&path),
            KeyKind::Replica,
            "the key that all replicas of this log share: copy it to the others",
        ),
    ] {
        let said = match ensure_key(&path, &key, kind) {
            Ok(false) => Ok(()),
            Ok(true) => writeln!(out, "Made {}, {purpose}.", key.display()),
            Err(reason) => {
                // The log itself is done.
                writeln!(
                    err,
                    "aurora-log: the log is initialised, but the {kind} is not made: {reason}"
                )
                .unwrap_or_default();
                return exit::FAILED;
            }
        };
        if said.is_err() {
            return exit::FAILED;
        }
    }
    status
}

fn path_of(args: &[String]) -> Option<PathBuf> {
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let body = arg.trim_start_matches('-');
        if let Some(path) = body.strip_prefix("path=") {
            return std::path::absolute(path).ok();
        }
        if body == "path" && arg.starts_with('-') {
            return args.next().and_then(|p| std::path::absolute(p).ok());
        }
    }
    None
}

/// Makes `key` for the log at `path`, owned as that is, unless it is there. Whether it was made.
fn ensure_key(path: &Path, key: &Path, kind: KeyKind) -> Result<bool, String> {
    if key.exists() {
        return Ok(false);
    }
    let owner = std::fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let is_root = nix::unistd::Uid::effective().is_root();
    let owner = is_root.then(|| (owner.uid(), owner.gid()));
    keys::generate_for(key, kind, owner).map_err(|e| e.to_string())?;
    Ok(true)
}
