//! What others on this machine do not see of a daemon: secrets of its command line, and its memory.

use super::flags::Values;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

/// Takes what is secret out of the command line that everybody on this machine can read.
pub(super) fn conceal(flags: &Values) {
    if let Err(error) = cover_arguments(&flags.secrets()) {
        log::warn!(
            "a flag holds a password, and every user of this machine can read it in the list of processes: \
             {error}"
        );
    }
}

/// Writes over each of `secrets` where the system shows the command line: `ps`, `/proc/PID/cmdline`.
///
/// The arguments have to be read before. Somebody may have seen them in the moment since the start; that is
/// why keys are given as files.
///
/// # Errors
///
/// If the system does not let a process write where its own arguments are, or says nothing of where.
fn cover_arguments(secrets: &[&str]) -> io::Result<()> {
    if secrets.is_empty() {
        return Ok(());
    }
    let shown = fs::read("/proc/self/cmdline")?;
    let start = arguments_start(&fs::read_to_string("/proc/self/stat")?)
        .ok_or_else(|| io::Error::other("/proc/self/stat does not say where the arguments are"))?;
    let memory = OpenOptions::new().write(true).open("/proc/self/mem")?;
    for secret in secrets {
        for place in places(&shown, secret.as_bytes()) {
            memory.write_all_at(&vec![b'*'; secret.len()], start + place as u64)?;
        }
    }
    Ok(())
}

/// Where `part` stands in `whole`.
fn places(whole: &[u8], part: &[u8]) -> Vec<usize> {
    let windows = whole.windows(part.len().max(1)).enumerate();
    windows
        .filter(|(_, window)| *window == part)
        .map(|(place, _)| place)
        .collect()
}

/// The field `arg_start` of a line of `/proc/PID/stat`, the 48th. The program's name, in parentheses, may
/// hold anything.
fn arguments_start(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let start = fields.nth(45)?.parse().ok()?;
    (start != 0).then_some(start)
}

/// Leaves no core dump behind, in which keys would be, whatever the machine is set to.
pub(super) fn leave_no_core() {
    let lowered = getrlimit(Resource::RLIMIT_CORE).and_then(|(soft, hard)| match soft {
        // Its unit has done it, and forbids the call.
        0 => Ok(()),
        _ => setrlimit(Resource::RLIMIT_CORE, 0, hard),
    });
    if let Err(error) = lowered {
        log::warn!(
            "core dumps of this daemon cannot be turned off, and would hold its keys: {error}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_arguments_is_found_behind_any_name() {
        let numbers: Vec<String> = (4..=52).map(|n| n.to_string()).collect();
        let stat = format!("7 (a) S) S {}", numbers.join(" "));
        assert_eq!(arguments_start(&stat), Some(48));
        assert_eq!(arguments_start("7 (a) S 1 2"), None);
        assert_eq!(arguments_start(""), None);
    }

    #[test]
    fn every_place_of_a_secret_is_found() {
        assert_eq!(places(b"-a=me:pw\0-b=me:pw\0", b"me:pw"), [3, 12]);
        assert!(places(b"short", b"much longer").is_empty());
        assert!(places(b"any", b"").is_empty());
    }
}
