//! Leaves the program that started the executor behind.

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{ForkResult, Pid, dup2_stdin, dup2_stdout, fork, pipe2, setsid};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::ExitCode;

/// Of `clone3`: the child is born in the control group that an open directory names.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of the split this process is.
pub(in crate::executor) enum Detached {
    /// Goes on, in a session of its own; tells by the file that it is ready.
    Executor(Ready),
    /// Ends with this code: 0 when the executor is ready.
    Starter(ExitCode),
}

/// Tells the starter that the executor is ready.
pub(in crate::executor) struct Ready(File);

impl Ready {
    pub(in crate::executor) fn tell(mut self) -> io::Result<()> {
        self.0.write_all(b"r")
    }
}

/// Splits this process in two: a starter that waits, and an executor that is nobody's child and in the control
/// group whose directory is `group`, if there is one.
pub(in crate::executor) fn detach(group: Option<&Path>) -> io::Result<Detached> {
    let (reader, writer) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    match split(group)? {
        ForkResult::Parent { .. } => {
            drop(writer);
            let mut byte = [0];
            let code = match File::from(reader).read_exact(&mut byte) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            };
            Ok(Detached::Starter(code))
        }
        ForkResult::Child => {
            drop(reader);
            setsid()?;
            // Whoever reads what the starter writes must not wait for the executor.
            let null = OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/null")?;
            dup2_stdin(&null)?;
            dup2_stdout(&null)?;
            Ok(Detached::Executor(Ready(File::from(writer))))
        }
    }
}

fn split(group: Option<&Path>) -> io::Result<ForkResult> {
    if let Some(group) = group {
        match clone_into(&File::open(group)?) {
            // Older kernels, and filters of system calls that know no reason.
            Err(Errno::ENOSYS | Errno::EINVAL | Errno::E2BIG | Errno::EPERM) => {}
            split => return Ok(split?),
        }
    }
    // SAFETY: the program has one thread, so the child may do what any program may.
    let split = unsafe { fork() }?;
    if let (ForkResult::Child, Some(group)) = (split, group) {
        fs::write(group.join("cgroup.procs"), "0")?;
    }
    Ok(split)
}

/// The argument of `clone3`, as the kernel defines it.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Forks a child that is born in the control group, of version 2. To move it there afterwards would cost the
/// time in which every processor pauses once.
fn clone_into(group: &File) -> nix::Result<ForkResult> {
    let args = CloneArgs {
        flags: CLONE_INTO_CGROUP,
        exit_signal: libc::SIGCHLD.unsigned_abs().into(),
        cgroup: group.as_raw_fd().unsigned_abs().into(),
        ..CloneArgs::default()
    };
    // SAFETY: without shared memory it is a fork, and the program has one thread; the structure is our own.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    match i32::try_from(Errno::result(pid)?) {
        Ok(0) => Ok(ForkResult::Child),
        Ok(pid) => Ok(ForkResult::Parent {
            child: Pid::from_raw(pid),
        }),
        Err(_) => Err(Errno::EOVERFLOW),
    }
}
