//! `aurora-log status`.

use super::verify::describe;
use super::{Failure, args};
use crate::replog::OpenError;
use crate::replog::layout::{self, Holding};
use crate::replog::open::open_disk;
use std::io::Write;

/// Says what the path holds. A running replica is left alone: its numbers are at `/vars`.
pub(super) fn run(options: &args::Status, out: &mut dyn Write) -> Result<(), Failure> {
    let path = options.path()?;
    let shown = path.display();
    match layout::inspect(&path) {
        Ok(Holding::Empty) => {
            writeln!(out, "status      EMPTY")?;
            writeln!(
                out,
                "To make a replica, run: aurora-log initialize --path={shown}"
            )?;
            Ok(())
        }
        Ok(Holding::Foreign(found)) => Err(Failure(format!(
            "{shown} holds '{found}' and no replica of the log"
        ))),
        Ok(Holding::NotADirectory) => Err(Failure(format!("{shown} is not a directory"))),
        Ok(Holding::Replica) => match open_disk(&path) {
            Ok((_disk, recovered)) => {
                let status = recovered.status.name();
                writeln!(out, "status      {status}, not running")?;
                describe(&recovered, out)
            }
            Err(OpenError::InUse { .. }) => {
                writeln!(out, "status      in use by a running process")?;
                writeln!(out, "Its numbers are at /vars of the scheduler.")?;
                Ok(())
            }
            Err(error) => Err(Failure(error.to_string())),
        },
        Err(error) => Err(Failure(format!("{shown}: {error}"))),
    }
}
