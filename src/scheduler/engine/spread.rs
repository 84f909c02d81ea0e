//! What is looked up by the ids of tasks, one by one.

use crate::model::TaskId;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// How many parts a map has: it grows part by part. One that holds a million would make somebody wait for
/// as long as all of them take to move.
const PARTS: usize = 256;

/// A map by id for what nobody walks.
///
/// Ids of one job are alike for long, and comparing two of them reads two texts elsewhere in memory. In an
/// ordered map a look-up did that some twenty times, where a million tasks wait or are watched: looking up in
/// such maps and others like them was a seventh of the time of placing a million (`cargo bench --bench
/// million`). Here a number made of the text decides.
#[derive(Debug)]
pub(super) struct Spread<V> {
    parts: Vec<HashMap<Key, V, BuildHasherDefault<Given>>>,
}

impl<V> Default for Spread<V> {
    fn default() -> Self {
        Self { parts: Vec::new() }
    }
}

impl<V> Spread<V> {
    /// Keeps a value; gives the one before.
    pub(super) fn insert(&mut self, task: &TaskId, value: V) -> Option<V> {
        if self.parts.is_empty() {
            self.parts.resize_with(PARTS, HashMap::default);
        }
        let key = Key::of(task);
        self.parts[key.part()].insert(key, value)
    }

    /// Whether there is a value for an id.
    pub(super) fn has(&self, task: &TaskId) -> bool {
        let key = Key::of(task);
        let part = self.parts.get(key.part());
        part.is_some_and(|part| part.contains_key(&key))
    }

    /// Takes the value of an id out.
    pub(super) fn remove(&mut self, task: &TaskId) -> Option<V> {
        let key = Key::of(task);
        let part = self.parts.get_mut(key.part())?;
        let value = part.remove(&key);
        // What a crowd needed is given back when it is gone.
        if part.is_empty() && part.capacity() > 0 {
            *part = HashMap::default();
        }
        value
    }
}

/// A task's id behind a number made of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key(u64, TaskId);

impl Key {
    fn of(task: &TaskId) -> Self {
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

    /// By bits that a map of one part does not go by.
    fn part(&self) -> usize {
        usize::try_from(self.0 >> 32).unwrap_or(0) % PARTS
    }
}

impl std::hash::Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Takes the number as it is given.
#[derive(Clone, Copy, Debug, Default)]
struct Given(u64);

impl Hasher for Given {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = self.0.rotate_left(5) ^ number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn id(number: u32) -> TaskId {
        TaskId::new(&format!("role-devel-job-{number}-0f0e0d0c-0b0a"))
    }

    #[test]
    fn ids_that_are_alike_stand_apart_and_are_found_again() {
        let mut map = Spread::default();
        assert_eq!(map.remove(&id(1)), None);
        for number in 0..10_000 {
            assert_eq!(map.insert(&id(number), number), None);
        }
        assert_eq!(map.insert(&id(7), 8), Some(7));
        let sizes = map.parts.iter().map(HashMap::len);
        assert!(sizes.clone().min() > Some(10), "some part is hardly used");
        assert!(sizes.max() < Some(100), "some part is used too much");
        let numbers: BTreeSet<u64> = (0..10_000).map(|number| Key::of(&id(number)).0).collect();
        assert_eq!(numbers.len(), 10_000, "the texts are not compared");
        assert_eq!(map.remove(&id(7)), Some(8));
        assert_eq!(map.remove(&id(7)), None);
        for number in (0..10_000).filter(|number| *number != 7) {
            assert_eq!(map.remove(&id(number)), Some(number));
        }
        let room: usize = map.parts.iter().map(HashMap::capacity).sum();
        assert_eq!(room, 0, "it holds on to memory");
    }
}
