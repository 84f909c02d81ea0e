//! Fills a sandbox and hands it over.

use super::archive::{self, Guard, Kind};
use super::error::{Cause, FetchError};
use super::source;
use crate::base::clock::{self, Instant};
use crate::executor::order::{Identity, Uri};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a task may fetch that has no limit on its disk.
const DEFAULT_MIB: u64 = 1 << 10;
/// All files of a task have to be there after this time.
const LIMIT: Duration = Duration::from_secs(600);
/// Fetched files are not programs; members of archives may be.
const FILE_MODE: u32 = 0o644;

/// So often a server is asked for a file.
const TRIES_MAX: u32 = 6;
/// Between the first try and the second; it doubles, so that a server may take half a minute to come back.
pub(in crate::agent) const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Between two looks whether anybody still waits.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What has to be there before a task starts.
#[derive(Clone, Debug)]
pub(in crate::agent) struct FetchJob {
    /// Where to; emptied first.
    pub(in crate::agent) sandbox: PathBuf,
    /// Who gets it.
    pub(in crate::agent) identity: Identity,
    /// The files.
    pub(in crate::agent) uris: Vec<Uri>,
    /// The task's limit on its disk; zero is none.
    pub(in crate::agent) disk_mb: i64,
    /// Between the first two tries to get a file from a server; usually [`RETRY_PAUSE`].
    pub(in crate::agent) retry_pause: Duration,
    /// Set when nobody waits for it any more.
    pub(in crate::agent) is_cancelled: Arc<AtomicBool>,
}

struct Budget<'a> {
    left: u64,
    mib: u64,
    late: Instant,
    is_cancelled: &'a AtomicBool,
}

impl Budget<'_> {
    /// Waits, unless nobody does any more.
    fn rest(&mut self, pause: Duration) -> Result<(), Cause> {
        let until = clock::now() + pause;
        while clock::now() < until {
            self.check(0)?;
            std::thread::sleep(until.since(clock::now()).min(LOOK_AGAIN));
        }
        Ok(())
    }
}

impl Guard for Budget<'_> {
    fn check(&mut self, bytes: u64) -> Result<(), Cause> {
        if self.is_cancelled.load(Ordering::Relaxed) {
            return Err(Cause::Cancelled);
        }
        if clock::now() >= self.late {
            return Err(Cause::Late(LIMIT.as_secs()));
        }
        self.left = self
            .left
            .checked_sub(bytes)
            .ok_or(Cause::TooLarge(self.mib))?;
        Ok(())
    }
}

/// Empties the sandbox, fetches everything and gives all to the task's user. Blocks, for minutes if servers
/// are slow.
///
/// # Errors
///
/// Names the URI. The sandbox is the agent's and holds anything.
pub(in crate::agent) fn fetch(job: &FetchJob) -> Result<(), FetchError> {
    // Whatever a fetch that was cut off has left.
    match fs::remove_dir_all(&job.sandbox) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    DirBuilder::new().mode(0o700).create(&job.sandbox)?;
    let mib = match u64::try_from(job.disk_mb) {
        Ok(0) | Err(_) => DEFAULT_MIB,
        Ok(mib) => mib,
    };
    let mut budget = Budget {
        left: mib << 20,
        mib,
        late: clock::now() + LIMIT,
        is_cancelled: &job.is_cancelled,
    };
    for uri in &job.uris {
        fetch_one(job, uri, &mut budget).map_err(|cause| FetchError::File {
            uri: uri.value.clone(),
            cause: cause.to_string(),
        })?;
    }
    if job.identity.is_switched {
        hand_over(&job.sandbox, &job.identity)?;
    }
    Ok(())
}

fn fetch_one(job: &FetchJob, uri: &Uri, budget: &mut Budget<'_>) -> Result<(), Cause> {
    let own = last_part(&uri.value);
    let name = uri.output_file.as_deref().unwrap_or(own);
    let bad = || Cause::Name(name.to_owned());
    let parts = archive::plain_parts(Path::new(name)).ok_or_else(bad)?;
    let (last, parents) = parts.split_last().ok_or_else(bad)?;
    // Its own name tells what it is, whatever it is called here.
    let kind = match uri.extract {
        true => Kind::of_name(own),
        false => Kind::Plain,
    };
    let path = archive::make_directories(&job.sandbox, parents)?.join(last);
    let mut pause = job.retry_pause;
    let mut tries = TRIES_MAX;
    loop {
        let room = budget.left;
        tries -= 1;
        match bring(job, uri, &path, budget) {
            Err(cause) if tries > 0 && source::is_remote(&uri.value) && cause.is_passing() => {
                log::info!("'{}': {cause}; tried again in {pause:?}", uri.value);
                budget.left = room;
                budget.rest(pause)?;
                pause *= 2;
            }
            Err(cause) => return Err(cause),
            Ok(()) => break,
        }
    }
    archive::unpack(&path, kind, &job.sandbox, &job.identity, budget)
}

/// One try to get a file.
fn bring(job: &FetchJob, uri: &Uri, path: &Path, budget: &mut Budget<'_>) -> Result<(), Cause> {
    let left = budget.late.since(clock::now());
    let mut from = source::open_uri(&uri.value, &job.identity, left)?;
    let mut file = archive::create(path, FILE_MODE)?;
    archive::copy(&mut from, &mut file, budget)
}

/// What a URI calls its file.
fn last_part(uri: &str) -> &str {
    let path = match uri.contains("://") && !uri.starts_with("file://") {
        true => uri.split(['?', '#']).next().unwrap_or(uri),
        false => uri,
    };
    path.rsplit('/').next().unwrap_or(path)
}

/// Gives a tree to the user, its root last: until then nobody else can enter it. No link is followed.
fn hand_over(path: &Path, identity: &Identity) -> io::Result<()> {
    let mut open = vec![path.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            lchown(entry.path(), Some(identity.uid), Some(identity.gid))?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            }
        }
    }
    lchown(path, Some(identity.uid), Some(identity.gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_its_file() {
        for (uri, name) in [
            ("/a/b.tar", "b.tar"),
            ("file:///a/b#c?d", "b#c?d"),
            ("http://h/a/b.tgz?x=/y#z", "b.tgz"),
            ("https://h/", ""),
        ] {
            assert_eq!(last_part(uri), name);
        }
    }
}
