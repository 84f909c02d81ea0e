//! `aurora-log verify`.

use super::{Failure, args};
use crate::paxos::{Position, Recovered, Run};
use crate::replog::OpenError;
use crate::replog::disk::Disk;
use crate::replog::layout::{self, Holding};
use crate::replog::open::open_disk;
use std::io::Write;
use std::path::Path;

/// Reads everything that the replica has, as a start would, and says what it found.
pub(super) fn run(options: &args::Verify, out: &mut dyn Write) -> Result<(), Failure> {
    let path = options.path()?;
    let (_disk, recovered) = stopped_replica(&path)?;
    writeln!(
        out,
        "The replica in {} holds everything it has acknowledged.",
        path.display()
    )?;
    describe(&recovered, out)
}

/// Opens a replica that no scheduler has open.
pub(super) fn stopped_replica(path: &Path) -> Result<(Disk, Recovered), Failure> {
    match layout::inspect(path) {
        Ok(Holding::Replica) => open_disk(path).map_err(|error| match error {
            OpenError::InUse { .. } => Failure(format!(
                "Failed to recover the log: {error}; stop the scheduler first"
            )),
            error => Failure(format!("Failed to recover the log: {error}")),
        }),
        Ok(Holding::Empty) => Err(Failure(format!(
            "Failed to recover the log: {path} holds no replica; to make one, run: \
             aurora-log initialize --path={path}",
            path = path.display()
        ))),
        Ok(Holding::Foreign(found)) => Err(Failure(format!(
            "Failed to recover the log: {} holds '{found}' and no replica",
            path.display()
        ))),
        Ok(Holding::NotADirectory) => Err(Failure(format!(
            "Failed to recover the log: {} is not a directory",
            path.display()
        ))),
        Err(error) => Err(Failure(format!(
            "Failed to recover the log: {}: {error}",
            path.display()
        ))),
    }
}

/// Prints who the replica is and how far it has come.
pub(super) fn describe(recovered: &Recovered, out: &mut dyn Write) -> Result<(), Failure> {
    let configuration = &recovered.configuration;
    let end = recovered.accepted.iter().map(Run::last).max();
    writeln!(out, "replica     {}", recovered.me.id)?;
    writeln!(out, "incarnation {}", recovered.me.incarnation.0)?;
    let formed = if recovered.configured > Position::ZERO {
        ""
    } else {
        " (not formed yet)"
    };
    writeln!(out, "cluster     {:032x}{formed}", configuration.cluster)?;
    let members = configuration.members.len();
    writeln!(
        out,
        "members     {members}, quorum {}",
        configuration.quorum
    )?;
    writeln!(out, "promised    {}", recovered.promised)?;
    writeln!(out, "first       {}", recovered.first)?;
    writeln!(out, "learned     {}", recovered.learned)?;
    let end = end.map_or(recovered.learned, |end| end.max(recovered.learned));
    writeln!(out, "end         {end}")?;
    Ok(())
}
