//! `aurora-log initialize`.

use super::{Failure, args};
use crate::base::rng::Rng;
use crate::replog::layout;
use crate::rt;
use std::time::Duration;

/// Makes the replica. Says nothing when it has worked.
pub(super) fn run(options: args::Initialize) -> Result<(), Failure> {
    let path = options.path()?;
    let work = move || {
        let made = layout::initialize(&path, &mut Rng::from_os());
        made.map_err(|error| Failure(error.to_string()))
    };
    // A replica appears at once and whole: giving up while it is being made leaves none, or all of
    // it.
    within(options.timeout()?, "initialize the log", work)
}

/// Does blocking work, for at most as long as the operator wants to wait.
pub(super) fn within<T: Send + 'static>(
    limit: Option<Duration>,
    doing: &str,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let Some(limit) = limit else {
        return work();
    };
    let done = rt::block_on(rt::timeout(limit, rt::unblock(work)));
    done.unwrap_or_else(|_| Err(Failure(format!("Timed out while trying to {doing}"))))
}
