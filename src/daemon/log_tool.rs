//! `aurora-log`: the log's own tool, and the key that an initialised machine needs.

use super::exit;
use crate::net::keys::{self, KeyKind};
use crate::replog::tool;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The name of the agents' key beside a scheduler's log.
pub const AGENT_KEY: &str = "agent.key";

/// Where the agents' key is unless a flag says otherwise: beside the log's directory.
pub fn agent_key_beside(log: &Path) -> PathBuf {
    log.parent()
        .unwrap_or_else(|| Path::new("/"))
        .join(AGENT_KEY)
}

/// Runs the tool and gives its exit status. A successful `initialize` also makes a key if there is none.
pub fn run(args: &[String], out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let status = tool::main(args.to_vec(), out, err);
    if status != exit::OK || args.first().map(String::as_str) != Some("initialize") {
        return status;
    }
    let Some(path) = path_of(args) else {
        return status;
    };
    match ensure_key(&path) {
        Ok(None) => status,
        Ok(Some(key)) => {
            let said = writeln!(
                out,
                "Made {}, the key for agents of this scheduler.",
                key.display()
            );
            if said.is_ok() { status } else { exit::FAILED }
        }
        Err(reason) => {
            // The log itself is done; the scheduler makes the key when it can.
            writeln!(
                err,
                "aurora-log: the log is initialised, but its key is not made: {reason}"
            )
            .unwrap_or_default();
            exit::FAILED
        }
    }
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

/// Makes the key beside the log at `path`, owned as the log is, unless it is there.
fn ensure_key(path: &Path) -> Result<Option<PathBuf>, String> {
    let key = agent_key_beside(path);
    if key.exists() {
        return Ok(None);
    }
    let owner = std::fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let is_root = nix::unistd::Uid::effective().is_root();
    let owner = is_root.then(|| (owner.uid(), owner.gid()));
    keys::generate_for(&key, KeyKind::Agent, owner).map_err(|e| e.to_string())?;
    Ok(Some(key))
}
