//! Ids as keys of what is looked up one by one.

use crate::model::TaskId;

/// A task's id behind a number made of its text.
///
/// Ids of one job are alike for long, and comparing two of them reads two texts elsewhere in memory; here
/// the number decides, and it stands in the map itself. The order means nothing: it is for maps that nobody
/// walks. Every task that is placed is looked up in two of them; the gain has not been measured by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spread(u64, TaskId);

impl Spread {
    pub(super) fn of(task: &TaskId) -> Self {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let number = task.as_str().as_bytes().chunks(8).fold(0, |sum, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            (sum ^ u64::from_le_bytes(word))
                .wrapping_mul(ODD)
                .rotate_left(29)
        });
        Self(number, task.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_that_are_alike_stand_apart_and_are_found_again() {
        let id = |n: u32| TaskId::new(&format!("role-devel-job-{n}-0f0e0d0c-0b0a"));
        let all: BTreeSet<Spread> = (0..1_000).map(|n| Spread::of(&id(n))).collect();
        assert_eq!(all.len(), 1_000);
        let numbers: BTreeSet<u64> = all.iter().map(|key| key.0).collect();
        assert_eq!(numbers.len(), 1_000, "the texts are not compared");
        assert!(all.contains(&Spread::of(&id(7))));
        assert!(!all.contains(&Spread::of(&id(1_000))));
    }
}
