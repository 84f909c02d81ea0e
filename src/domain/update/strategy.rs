//! Which instances are next.

use crate::model::UpdateStrategy;

/// How many of the idle instances are to be started now.
///
/// `total` is how many were idle when the updater began; `forward` is false on the way back, where
/// batches of different sizes are undone in the order in which they were made, last one first.
pub fn next_group(
    strategy: &UpdateStrategy,
    forward: bool,
    total: usize,
    idle: usize,
    working: usize,
) -> usize {
    let size = |size: i32| usize::try_from(size).unwrap_or(0).max(1);
    let wanted = match strategy {
        UpdateStrategy::Queue { group_size } => size(*group_size).saturating_sub(working),
        _ if working > 0 => 0,
        UpdateStrategy::Batch { group_size, .. } => size(*group_size),
        UpdateStrategy::VariableBatch { group_sizes, .. } => {
            let sizes: Vec<usize> = group_sizes.iter().map(|s| size(*s)).collect();
            match forward {
                true => going_forward(&sizes, total.saturating_sub(idle)),
                false => going_back(&sizes, idle),
            }
        }
    };
    wanted.min(idle)
}

/// The size of the batch that comes after `done` instances.
fn going_forward(sizes: &[usize], done: usize) -> usize {
    let mut sum = 0_usize;
    for size in sizes {
        sum = sum.saturating_add(*size);
        if sum > done {
            return *size;
        }
    }
    sizes.last().copied().unwrap_or(1)
}

/// The size of the batch that was made last, if batches have made `rest` instances.
fn going_back(sizes: &[usize], mut rest: usize) -> usize {
    for size in sizes {
        if rest <= *size {
            return rest;
        }
        rest -= size;
    }
    let last = sizes.last().copied().unwrap_or(1);
    match rest % last {
        0 => last,
        part => part,
    }
}
