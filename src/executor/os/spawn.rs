//! Starts the shell of one process: own session, own user, own log files.

use crate::executor::order::Identity;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Pid, Uid, dup2_stderr, dup2_stdout, getppid, setgroups, setresgid};
use nix::unistd::{mkdir, setresuid, setsid};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where a process writes.
pub(in crate::executor) enum Output {
    /// To `stdout` and `stderr` in the last of these directories, each of which is made if missing.
    Logs(Vec<PathBuf>),
    /// Nowhere.
    Nothing,
    /// Both streams to one pipe that the caller reads.
    Pipe,
    /// Each stream to a pipe of its own that the caller reads.
    Pipes,
}

/// A shell to start.
pub(in crate::executor) struct Spawn<'a> {
    pub(in crate::executor) shell: &'a Path,
    pub(in crate::executor) cmdline: &'a str,
    pub(in crate::executor) directory: &'a Path,
    pub(in crate::executor) environment: Vec<(String, String)>,
    pub(in crate::executor) identity: &'a Identity,
    pub(in crate::executor) output: Output,
}

/// A shell that was started.
pub(in crate::executor) struct Spawned {
    pub(in crate::executor) pid: i32,
    /// The reading ends: one for [`Output::Pipe`], for [`Output::Pipes`] those of stdout and stderr.
    pub(in crate::executor) pipes: Vec<OwnedFd>,
}

/// What the child does before it becomes the shell.
struct Preparation {
    parent: Pid,
    user: Option<(Vec<Gid>, Gid, Uid)>,
    logs: Option<Vec<PathBuf>>,
}

impl Spawn<'_> {
    /// Starts the shell.
    ///
    /// The directories and files of the logs are made by the child after it has become the user: nothing that
    /// the user may have put in their place is followed with more rights than the user has.
    pub(in crate::executor) fn start(self) -> io::Result<Spawned> {
        let preparation = Preparation {
            parent: nix::unistd::getpid(),
            user: self.identity.is_switched.then(|| switch(self.identity)),
            logs: match &self.output {
                Output::Logs(directories) => Some(directories.clone()),
                Output::Nothing | Output::Pipe | Output::Pipes => None,
            },
        };
        let mut command = Command::new(self.shell);
        command
            .arg("-c")
            .arg(self.cmdline)
            .current_dir(self.directory)
            .env_clear()
            .envs(self.environment)
            .stdin(Stdio::null());
        let pipes = match self.output {
            Output::Logs(_) | Output::Nothing => {
                command.stdout(Stdio::null()).stderr(Stdio::null());
                Vec::new()
            }
            Output::Pipe => {
                let (reader, writer) = io::pipe()?;
                command.stdout(writer.try_clone()?).stderr(writer);
                vec![OwnedFd::from(reader)]
            }
            Output::Pipes => {
                let (stdout, stderr) = (io::pipe()?, io::pipe()?);
                command.stdout(stdout.1).stderr(stderr.1);
                vec![OwnedFd::from(stdout.0), OwnedFd::from(stderr.0)]
            }
        };
        // SAFETY: the program has one thread, so that the child finds every lock free and may allocate.
        unsafe { command.pre_exec(move || preparation.run()) };
        let child = command.spawn()?;
        Ok(Spawned {
            pid: i32::try_from(child.id()).map_err(io::Error::other)?,
            pipes,
        })
    }
}

fn switch(identity: &Identity) -> (Vec<Gid>, Gid, Uid) {
    let groups = identity.groups.iter().copied().map(Gid::from_raw).collect();
    (
        groups,
        Gid::from_raw(identity.gid),
        Uid::from_raw(identity.uid),
    )
}

/// Nothing that whoever started the agent ignores is ignored by tasks.
fn default_signals() -> io::Result<()> {
    let fixed = [Signal::SIGKILL, Signal::SIGSTOP];
    for which in Signal::iterator().filter(|which| !fixed.contains(which)) {
        // SAFETY: the default runs no code of this program.
        unsafe { signal(which, SigHandler::SigDfl) }?;
    }
    Ok(())
}

impl Preparation {
    fn run(&self) -> io::Result<()> {
        setsid()?;
        if let Some((groups, gid, uid)) = &self.user {
            setgroups(groups)?;
            setresgid(*gid, *gid, *gid)?;
            setresuid(*uid, *uid, *uid)?;
        }
        // After the change of user, which clears it. The shell does not outlive its executor unseen.
        set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != self.parent {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        }
        umask(Mode::from_bits_truncate(0o022));
        default_signals()?;
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        let Some(directories) = &self.logs else {
            return Ok(());
        };
        for directory in directories {
            match mkdir(directory, Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Some(last) = directories.last() else {
            return Ok(());
        };
        dup2_stdout(open_log(&last.join("stdout"))?)?;
        dup2_stderr(open_log(&last.join("stderr"))?)?;
        Ok(())
    }
}

/// A name that the user made a pipe must not stop the executor, which waits until this child has its program.
fn open_log(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_APPEND | OFlag::O_CLOEXEC;
    let careful = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mode = Mode::from_bits_truncate(0o644);
    let file = File::from(open(path, flags | careful, mode)?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("its log is not a file"));
    }
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(file.into())
}
