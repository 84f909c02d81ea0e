//! Where files come from.

use super::error::Cause;
use crate::executor::order::Identity;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, fstat};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(30);
/// Until a server begins to answer.
const ANSWER: Duration = Duration::from_secs(60);

/// A server that says nothing for so long is given up, as Mesos' fetcher does.
const STALL: Duration = Duration::from_secs(60);

/// What is there to be read.
pub(super) struct Source {
    pub(super) reader: Box<dyn Read>,
    /// How long it is, where that is known before.
    pub(super) length: Option<u64>,
    /// Whether an end that comes too soon can be told from the end.
    pub(super) is_bounded: bool,
}

/// Opens what `uri` names.
pub(super) fn open_uri(uri: &str, identity: &Identity, limit: Duration) -> Result<Source, Cause> {
    if let Some(path) = local_path(uri) {
        let file = open_local(Path::new(path), identity)?;
        return Ok(Source {
            length: Some(file.metadata()?.len()),
            is_bounded: true,
            reader: Box::new(file),
        });
    }
    if !is_remote(uri) {
        return Err(Cause::UnknownScheme);
    }
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(ANSWER))
        .timeout_per_read(Some(STALL))
        .timeout_global(Some(limit))
        .max_idle_connections(0)
        .user_agent("aurora-agent");
    let response = config.build().new_agent().get(uri).call();
    let response = response.map_err(|error| Cause::Http(Box::new(error)))?;
    if !response.status().is_success() {
        return Err(Cause::Status(response.status().as_u16()));
    }
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    let length = header("content-length").and_then(|it| it.trim().parse().ok());
    let is_chunked = header("transfer-encoding").is_some_and(|it| it.contains("chunked"));
    Ok(Source {
        length: length.filter(|_| !is_chunked),
        is_bounded: is_chunked || length.is_some(),
        reader: Box::new(response.into_body().into_reader()),
    })
}

/// Whether a server is asked for it.
pub(super) fn is_remote(uri: &str) -> bool {
    let lower = uri.get(..8).unwrap_or(uri).to_ascii_lowercase();
    lower.starts_with("http://") || lower.starts_with("https://")
}

fn local_path(uri: &str) -> Option<&str> {
    let path = uri.strip_prefix("file://").unwrap_or(uri);
    path.starts_with('/').then_some(path)
}

/// Opens a file of this machine with no more rights than the user has: directory by directory, so that what
/// was checked is what is read.
fn open_local(path: &Path, identity: &Identity) -> Result<File, Cause> {
    // Links are resolved here once; below nothing follows any.
    let path = fs::canonicalize(path)?;
    let mut names = path.components().filter_map(|it| match it {
        Component::Normal(name) => Some(name),
        Component::CurDir | Component::ParentDir | Component::Prefix(_) | Component::RootDir => {
            None
        }
    });
    let directory = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut at: OwnedFd = open("/", directory, Mode::empty()).map_err(std::io::Error::from)?;
    let last = names.next_back().ok_or(Cause::NotReadable)?;
    let may =
        |stat: &FileStat, right: u32| !identity.is_switched || has_right(stat, identity, right);
    for name in names {
        let flags = directory | OFlag::O_NOFOLLOW;
        at = openat(&at, name, flags, Mode::empty()).map_err(std::io::Error::from)?;
        if !may(&fstat(&at).map_err(std::io::Error::from)?, 1) {
            return Err(Cause::NotReadable);
        }
    }
    // A pipe must not block the agent.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = openat(&at, last, flags, Mode::empty()).map_err(std::io::Error::from)?;
    let file = File::from(file);
    let stat = fstat(&file).map_err(std::io::Error::from)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is not a file").into());
    }
    if !may(&stat, 4) {
        return Err(Cause::NotReadable);
    }
    Ok(file)
}

/// Whether the user has this right of `rwx` = 421.
fn has_right(stat: &FileStat, identity: &Identity, right: u32) -> bool {
    let is_in_group = identity.gid == stat.st_gid || identity.groups.contains(&stat.st_gid);
    let shift = if identity.uid == 0 {
        return true;
    } else if identity.uid == stat.st_uid {
        6
    } else if is_in_group {
        3
    } else {
        0
    };
    stat.st_mode >> shift & right != 0
}
