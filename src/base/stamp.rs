//! What this program calls itself: its version, and the newest feature level that it reads and writes.
//!
//! Both stand in one place of the executable, behind words that stand nowhere else in it, so that a
//! program can be given another stamp after it was built: `packaging/build --version V --level N` does.
//! The tests of upgrades thereby have two versions of one build.

use std::hint::black_box;

/// Versions have at most as many bytes.
const VERSION_BYTES: usize = 32;

/// What the log of a program of this source may hold at most. Raised by one whenever something is written
/// that an older program cannot read: see `storage::stored`.
const FEATURE_LEVEL: u32 = 1;

/// The longest stamp: what is found it by, the version, the level in three digits.
const BYTES: usize = MARK.len() + VERSION_BYTES + 3;

const MARK: &[u8] = b"aurora's stamp: ";

#[used]
static STAMP: [u8; BYTES] = stamp(env!("CARGO_PKG_VERSION").as_bytes());

const fn stamp(version: &[u8]) -> [u8; BYTES] {
    assert!(version.len() <= VERSION_BYTES, "the version is too long");
    let mut bytes = [b' '; BYTES];
    let mut at = 0;
    while at < MARK.len() {
        bytes[at] = MARK[at];
        at += 1;
    }
    at = 0;
    while at < version.len() {
        bytes[MARK.len() + at] = version[at];
        at += 1;
    }
    let mut level = FEATURE_LEVEL;
    at = BYTES;
    while at > BYTES - 3 {
        at -= 1;
        // A digit.
        bytes[at] = b"0123456789"[(level % 10) as usize];
        level /= 10;
    }
    bytes
}

/// The part of the stamp between these places, as it is in the executable and not as it was compiled.
fn part(from: usize, to: usize) -> &'static str {
    let bytes: &'static [u8; BYTES] = black_box(&STAMP);
    let part = bytes.get(from..to).unwrap_or_default();
    std::str::from_utf8(part).unwrap_or_default().trim_end()
}

/// The version of this program.
pub fn version() -> &'static str {
    part(MARK.len(), MARK.len() + VERSION_BYTES)
}

/// The newest feature level that this program reads and writes; at least 1.
pub fn feature_level() -> u32 {
    let digits = part(MARK.len() + VERSION_BYTES, BYTES);
    digits.parse().unwrap_or(FEATURE_LEVEL).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_says_what_was_built() {
        assert_eq!(version(), env!("CARGO_PKG_VERSION"));
        assert_eq!(feature_level(), FEATURE_LEVEL);
    }

    #[test]
    fn a_stamp_is_told_apart_by_its_place() {
        let bytes = stamp(b"10.2.3-rc1");
        let text = std::str::from_utf8(&bytes).unwrap();
        assert_eq!(text.len(), BYTES);
        assert_eq!(
            text.split_whitespace().collect::<Vec<_>>(),
            ["aurora's", "stamp:", "10.2.3-rc1", "001"]
        );
    }
}
