//! Reads zip archives: the directory at the end, then each member. Nothing of it is believed that can be
//! checked, and no size in it is reserved in memory.

use super::archive::{self, Guard, member};
use super::error::Cause;
use flate2::Crc;
use flate2::read::DeflateDecoder;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const END: u32 = 0x0605_4b50;
const END_BYTES: usize = 22;
const END_64: u32 = 0x0606_4b50;
const END_64_LOCATOR: u32 = 0x0706_4b50;
const END_64_LOCATOR_BYTES: usize = 20;
const ENTRY: u32 = 0x0201_4b50;
const ENTRY_BYTES: usize = 46;
const LOCAL: u32 = 0x0403_4b50;
const LOCAL_BYTES: u64 = 30;
/// The comment at the end of an archive is no longer.
const COMMENT_BYTES_MAX: u64 = 0xffff;
/// A link's target is no longer.
const TARGET_BYTES_MAX: u64 = 4 << 10;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// The writer's system, for which modes are Unix modes.
const UNIX: u8 = 3;
const KIND: u32 = 0o170_000;
const LINK: u32 = 0o120_000;
const FILE: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;

/// One member, as the directory of the archive tells.
#[derive(Debug)]
struct Member {
    name: PathBuf,
    method: u16,
    is_encrypted: bool,
    crc: u32,
    packed: u64,
    size: u64,
    mode: u32,
    local: u64,
}

fn damaged(what: &str) -> Cause {
    Cause::Io(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the zip archive is damaged: {what}"),
    ))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// Where the directory begins, and how many members it has.
fn find_directory(file: &File) -> Result<(u64, u64), Cause> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(END_BYTES as u64 + COMMENT_BYTES_MAX);
    let mut tail = vec![0; usize::try_from(length - from).unwrap_or(0)];
    file.read_exact_at(&mut tail, from)?;
    let is_end = |at: &usize| u32_at(&tail, *at) == Some(END);
    let last = tail.len().checked_sub(END_BYTES);
    let at = last.and_then(|last| (0..=last).rev().find(is_end));
    let at = at.ok_or_else(|| damaged("it has no directory"))?;
    let short = || {
        let count = u16_at(&tail, at + 10)?;
        Some((u32_at(&tail, at + 16)?, count))
    };
    let (begin, count) = short().ok_or_else(|| damaged("its end is cut off"))?;
    if begin != u32::MAX && count != u16::MAX {
        return Ok((begin.into(), count.into()));
    }
    let locator = at.checked_sub(END_64_LOCATOR_BYTES);
    let end = locator.filter(|at| u32_at(&tail, *at) == Some(END_64_LOCATOR));
    let Some(end) = end.and_then(|at| u64_at(&tail, at + 8)) else {
        return Ok((begin.into(), count.into()));
    };
    let mut long = [0; 56];
    file.read_exact_at(&mut long, end)?;
    let found = || {
        (u32_at(&long, 0)? == END_64).then_some(())?;
        Some((u64_at(&long, 48)?, u64_at(&long, 32)?))
    };
    found().ok_or_else(|| damaged("its long end is none"))
}

/// Sizes and places that did not fit are in a field of their own, in this order.
fn lengthen(member: &mut Member, extra: &[u8]) -> Option<()> {
    let mut at = 0;
    while let (Some(tag), Some(length)) = (u16_at(extra, at), u16_at(extra, at + 2)) {
        let field = extra.get(at + 4..at + 4 + usize::from(length))?;
        if tag == 1 {
            let mut from = 0;
            for value in [&mut member.size, &mut member.packed, &mut member.local] {
                if *value == u64::from(u32::MAX) {
                    *value = u64_at(field, from)?;
                    from += 8;
                }
            }
        }
        at += 4 + usize::from(length);
    }
    Some(())
}

fn read_entry(from: &mut dyn Read) -> Result<Member, Cause> {
    let mut fixed = [0; ENTRY_BYTES];
    from.read_exact(&mut fixed)?;
    let parse = || {
        (u32_at(&fixed, 0)? == ENTRY).then_some(())?;
        let attributes = u32_at(&fixed, 38)?;
        let member = Member {
            name: PathBuf::new(),
            method: u16_at(&fixed, 10)?,
            is_encrypted: u16_at(&fixed, 8)? & 1 != 0,
            crc: u32_at(&fixed, 16)?,
            packed: u32_at(&fixed, 20)?.into(),
            size: u32_at(&fixed, 24)?.into(),
            mode: if fixed[5] == UNIX {
                attributes >> 16
            } else {
                0
            },
            local: u32_at(&fixed, 42)?.into(),
        };
        let lengths = [28, 30, 32].map(|at| u16_at(&fixed, at).map_or(0, usize::from));
        Some((member, lengths))
    };
    let (mut member, lengths) = parse().ok_or_else(|| damaged("its directory is cut off"))?;
    let mut rest = vec![0; lengths.iter().sum()];
    from.read_exact(&mut rest)?;
    let (name, rest) = rest.split_at(lengths[0]);
    member.name = PathBuf::from(OsStr::from_bytes(name));
    lengthen(&mut member, &rest[..lengths[1]]).ok_or_else(|| damaged("a field is cut off"))?;
    if name.ends_with(b"/") && member.mode & KIND == 0 {
        member.mode = DIRECTORY;
    }
    Ok(member)
}

/// Unpacks the zip archive `path` into `root`.
pub(super) fn unpack(path: &Path, root: &Path, guard: &mut dyn Guard) -> Result<(), Cause> {
    let file = File::open(path)?;
    let (begin, count) = find_directory(&file)?;
    if count > archive::MEMBERS_MAX as u64 {
        return Err(member(Path::new("?"), "it is one of too many"));
    }
    let mut directory = BufReader::new(file.try_clone()?);
    directory.seek(SeekFrom::Start(begin))?;
    for _ in 0..count {
        let member = read_entry(&mut directory)?;
        // They share one place in the file; it is put back for the directory.
        let at = directory.stream_position()?;
        unpack_member(&member, &file, root, guard)?;
        directory.seek(SeekFrom::Start(at))?;
    }
    Ok(())
}

/// What a member holds, unpacked.
fn content(found: &Member, file: &File) -> Result<Box<dyn Read>, Cause> {
    if found.is_encrypted {
        return Err(member(&found.name, "it is encrypted"));
    }
    let mut local = [0; LOCAL_BYTES as usize];
    file.read_exact_at(&mut local, found.local)?;
    let lengths = [26, 28].map(|at| u16_at(&local, at).map_or(0, u64::from));
    if u32_at(&local, 0) != Some(LOCAL) {
        return Err(damaged("a member is not where it should be"));
    }
    let begin = found
        .local
        .saturating_add(LOCAL_BYTES + lengths[0] + lengths[1]);
    let mut from = file.try_clone()?;
    from.seek(SeekFrom::Start(begin))?;
    let packed = BufReader::new(from.take(found.packed));
    match found.method {
        STORED => Ok(Box::new(packed)),
        DEFLATED => Ok(Box::new(DeflateDecoder::new(packed))),
        _ => Err(member(&found.name, "it is packed by an unknown method")),
    }
}

/// Counts what is written through it.
struct Checked<'a> {
    to: &'a mut dyn Write,
    crc: Crc,
}

impl Write for Checked<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.crc.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn copy(
    found: &Member,
    file: &File,
    to: &mut dyn Write,
    guard: &mut dyn Guard,
) -> Result<(), Cause> {
    // One byte more than it says: then it is another.
    let mut from = content(found, file)?.take(found.size.saturating_add(1));
    let crc = Crc::new();
    let mut checked = Checked { to, crc };
    archive::copy(&mut from, &mut checked, guard)?;
    let is_whole = found.size == found.size.saturating_add(1) - from.limit();
    match is_whole && checked.crc.sum() == found.crc {
        true => Ok(()),
        false => Err(member(&found.name, "its content is not what it should be")),
    }
}

fn unpack_member(
    found: &Member,
    file: &File,
    root: &Path,
    guard: &mut dyn Guard,
) -> Result<(), Cause> {
    let name = &found.name;
    let parts = archive::plain_parts(name).ok_or_else(|| member(name, "it would be outside"))?;
    guard.check(archive::MEMBER_BYTES)?;
    let Some((last, parents)) = parts.split_last() else {
        return Ok(());
    };
    let kind = found.mode & KIND;
    if kind == DIRECTORY {
        return archive::make_directories(root, &parts).map(drop);
    }
    let path = archive::make_directories(root, parents)?.join(last);
    match kind {
        LINK if found.size <= TARGET_BYTES_MAX => {
            let mut target = Vec::new();
            copy(found, file, &mut target, guard)?;
            let target = Path::new(OsStr::from_bytes(&target));
            archive::place_link(name, parents, target, &path)
        }
        0 | FILE => {
            let mode = match found.mode & 0o777 {
                0 => 0o644,
                mode => mode | 0o600,
            };
            let mut to = archive::create(&path, mode)?;
            copy(found, file, &mut to, guard)
        }
        _ => Err(member(name, "it is neither file, directory nor link")),
    }
}
