//! Fills a sandbox and hands it over.

use super::archive::{self, Guard, Kind};
use super::cache::{Arrival, Cache, Found, Key, Lease};
use super::error::{Cause, FetchError};
use super::source::{self, Source};
use crate::base::clock::{self, Instant};
use crate::base::secret::hide;
use crate::executor::order::{Identity, Uri};
use std::fs::{self, DirBuilder};
use std::io::{self, Read};
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

const BUFFER_BYTES: usize = 64 << 10;
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
    /// Where files are kept for other tasks, if at all.
    pub(in crate::agent) cache: Option<Arc<Cache>>,
    /// Set when nobody waits for it any more.
    pub(in crate::agent) is_cancelled: Arc<AtomicBool>,
}

/// Where a file is after a good try.
enum Brought<'a> {
    InCache(Lease<'a>),
    InSandbox,
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
            uri: hide(&uri.value).into_owned(),
            cause: hide(&cause.to_string()).into_owned(),
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
        let brought = match bring(job, uri, &path, budget) {
            Err(cause) if tries > 0 && source::is_remote(&uri.value) && cause.is_passing() => {
                log::info!("'{}': {cause}; tried again in {pause:?}", uri.value);
                budget.left = room;
                budget.rest(pause)?;
                pause *= 2;
                continue;
            }
            Err(cause) => return Err(cause),
            Ok(brought) => brought,
        };
        return match (&brought, kind) {
            (Brought::InSandbox, _) => unpack(&path, &path, kind, job, budget),
            (Brought::InCache(lease), Kind::Plain) => {
                let mut file = archive::create(&path, FILE_MODE)?;
                archive::copy(&mut &lease.file, &mut file, budget)
            }
            // As with Mesos, the archive itself is not in the sandbox then.
            (Brought::InCache(lease), _) => unpack(&lease.path, &path, kind, job, budget),
        };
    }
}

fn unpack(
    from: &Path,
    name: &Path,
    kind: Kind,
    job: &FetchJob,
    budget: &mut Budget<'_>,
) -> Result<(), Cause> {
    archive::unpack(from, name, kind, &job.sandbox, &job.identity, budget)
}

/// One try to get a file: from the cache, into it, or past it.
fn bring<'a>(
    job: &'a FetchJob,
    uri: &Uri,
    path: &Path,
    budget: &mut Budget<'_>,
) -> Result<Brought<'a>, Cause> {
    let found = match job.cache.as_deref().filter(|_| uri.is_cached) {
        Some(cache) => cache.find(&Key::new(&job.identity, &uri.value), budget)?,
        None => Found::Unusable,
    };
    let open = |budget: &Budget<'_>| {
        let left = budget.late.since(clock::now());
        source::open_uri(&uri.value, &job.identity, left)
    };
    let arrival = match found {
        Found::Here(lease) => return Ok(Brought::InCache(lease)),
        Found::Missing(arrival) => Some(arrival),
        Found::Unusable => None,
    };
    let mut from = open(budget)?;
    if let Some(arrival) = arrival {
        match fill(arrival, &mut from, budget)? {
            Filled::Whole(lease) => return Ok(Brought::InCache(lease)),
            Filled::Untouched => {}
            Filled::Given => from = open(budget)?,
        }
        log::info!("'{}' has no place in the cache of fetched files", uri.value);
    }
    let mut file = archive::create(path, FILE_MODE)?;
    archive::copy(&mut from.reader, &mut file, budget)?;
    Ok(Brought::InSandbox)
}

/// What came of a file that should be kept.
enum Filled<'a> {
    /// It cannot be, and a part of it was read.
    Given,
    /// It cannot be; nothing of it was read.
    Untouched,
    /// It is.
    Whole(Lease<'a>),
}

/// Reads a file into the cache. It counts towards what the task may write only when it is copied from there, but
/// no task brings more than it may have.
fn fill<'a>(
    mut arrival: Arrival<'a>,
    from: &mut Source,
    budget: &mut Budget<'_>,
) -> Result<Filled<'a>, Cause> {
    let limit = budget.left;
    if from.length.is_some_and(|length| length > limit) {
        return Err(Cause::TooLarge(budget.mib));
    }
    if !from.is_bounded || arrival.reserve(from.length.unwrap_or(0)).is_err() {
        return Ok(Filled::Untouched);
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = match from.reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        budget.check(0)?;
        if arrival.written() + count as u64 > limit {
            return Err(Cause::TooLarge(budget.mib));
        }
        if arrival.write(&buffer[..count]).is_err() {
            return Ok(Filled::Given);
        }
    }
    // A file of this machine may have changed while it was read.
    if from
        .length
        .is_some_and(|length| length != arrival.written())
    {
        return Ok(Filled::Given);
    }
    Ok(Filled::Whole(arrival.finish()?))
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
