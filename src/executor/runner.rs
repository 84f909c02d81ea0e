//! The loop of the executor: tells the supervisor what happened and does what it decides.

use super::checkpoint::{self, ProcessEvent, ProcessRecord, Record, TaskRecord, Writer};
use super::control::Command;
use super::definition::{Definition, HealthProbe};
use super::http::Call;
use super::journal;
use super::listener::Listener;
use super::logger::{Destination, Logger};
use super::logs::Logs;
use super::memory::MemoryGroup;
use super::order::Order;
use super::os::{Children, Output, Spawn, peek, proc, reap, signal_child, signal_group};
use super::paths;
use super::probe::Probe;
use super::states;
use crate::base::clock::{self, Instant};
use crate::model::TaskState;
use crate::supervise::{CheckId, Effect, Endpoint, Exit, KillReason, ProcessSignal};
use crate::supervise::{Run, Supervisor};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a shutdown endpoint may take to answer.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two tries to write the checkpoint.
const WRITE_AGAIN: Duration = Duration::from_secs(1);
/// In the sandbox: what the processes write.
const LOGS: &str = ".logs";
/// In the sandbox: as long as it is there, health checks count as good.
const SNOOZE_FILE: &str = ".healthchecksnooze";
/// In the sandbox: read by each shell before its command.
const PROFILE_FILE: &str = ".thermos_profile";

/// What is there before the task begins.
pub(super) struct Start {
    pub(super) order: Order,
    pub(super) definition: Definition,
    pub(super) sandbox: PathBuf,
    pub(super) shell: PathBuf,
    pub(super) path: String,
    /// Whether processes get this process' environment too.
    pub(super) preserve_env: bool,
    pub(super) writer: Writer,
    pub(super) listener: Listener,
    pub(super) signals: SignalFd,
    /// The task's control group, if it has one with a memory limit.
    pub(super) memory: Option<MemoryGroup>,
    pub(super) supervisor: Supervisor,
}

/// Runs one task.
pub(super) struct Runner {
    start: Start,
    sequence: u64,
    /// The shells that run, by process id.
    runs: BTreeMap<i32, Run>,
    pids: BTreeMap<Run, i32>,
    logs: Logs,
    call: Option<Call>,
    /// The checks under way.
    probes: BTreeMap<CheckId, Probe>,
    write_again: Option<Instant>,
    is_over: bool,
}

impl Runner {
    /// Puts header and first state on disk.
    ///
    /// # Errors
    ///
    /// They cannot be written: nothing may be started.
    pub(super) fn begin(start: Start) -> std::io::Result<Self> {
        let logs = start.sandbox.join(LOGS);
        let mut new = Self {
            logs: Logs::new(logs, &start.order.identity),
            start,
            sequence: 0,
            runs: BTreeMap::new(),
            pids: BTreeMap::new(),
            call: None,
            probes: BTreeMap::new(),
            write_again: None,
            is_over: false,
        };
        let first = new.start.supervisor.poll_effect();
        if let Some(Effect::Report { state, message }) = first {
            new.record_task(state, message);
        }
        new.start.writer.flush()?;
        Ok(new)
    }

    /// Runs until the task has ended and its end is on disk.
    pub(super) fn run(mut self) {
        loop {
            self.apply_effects();
            self.write(clock::now());
            if self.is_over && !self.start.writer.is_behind() {
                return;
            }
            self.wait();
            self.logs.pump();
            self.handle_signals();
            self.reap();
            for command in self.start.listener.poll() {
                match command {
                    Command::Fail(why) => self.start.supervisor.fail(clock::now(), why),
                    Command::Kill => {
                        let now = clock::now();
                        self.start.supervisor.kill(now, KillReason::Instructed);
                    }
                    Command::Ping => self.start.listener.nudge(),
                }
            }
            self.poll_calls();
            let now = clock::now();
            if self
                .start
                .supervisor
                .deadline()
                .is_some_and(|due| due <= now)
            {
                self.start.supervisor.handle_timeout(now);
            }
        }
    }

    fn write(&mut self, now: Instant) {
        if !self.start.writer.is_behind() || self.write_again.is_some_and(|due| due > now) {
            return;
        }
        match self.start.writer.flush() {
            Ok(()) => {
                self.write_again = None;
                self.start.listener.nudge();
            }
            Err(error) => {
                if self.write_again.is_none() {
                    journal::note(format_args!("cannot write the checkpoint: {error}"));
                }
                self.write_again = Some(now + WRITE_AGAIN);
            }
        }
    }

    fn wait(&self) {
        let deadlines = [
            self.start.supervisor.deadline(),
            self.call.as_ref().map(Call::deadline),
            self.probes.values().map(Probe::deadline).min(),
            self.write_again,
            self.logs.deadline(),
        ];
        let timeout = match deadlines.into_iter().flatten().min() {
            None => PollTimeout::NONE,
            Some(due) => {
                // Rounded up, so that the deadline has passed when the wait is over.
                let wait = due.since(clock::now()) + Duration::from_millis(1);
                PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX)
            }
        };
        let mut fds = vec![PollFd::new(self.start.signals.as_fd(), PollFlags::POLLIN)];
        let control = self.start.listener.fds();
        let read = control.chain(self.logs.fds());
        fds.extend(read.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let flags = |wants_write| match wants_write {
            true => PollFlags::POLLOUT,
            false => PollFlags::POLLIN,
        };
        if let Some(call) = &self.call {
            fds.push(PollFd::new(call.fd(), flags(call.wants_write())));
        }
        for probe in self.probes.values().filter(|it| !it.is_drained()) {
            fds.push(PollFd::new(probe.fd(), flags(probe.wants_write())));
        }
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => panic!("poll on descriptors that are open: {error}"),
        }
    }

    fn handle_signals(&mut self) {
        while let Ok(Some(info)) = self.start.signals.read_signal() {
            let is_stop = [Signal::SIGTERM, Signal::SIGINT]
                .iter()
                .any(|signal| i32::try_from(info.ssi_signo) == Ok(*signal as i32));
            if is_stop {
                let now = clock::now();
                self.start.supervisor.kill(now, KillReason::ShutDown);
            }
        }
    }

    /// Learns of every child that has ended. A child stays a zombie until what follows from its end is done,
    /// so that its id cannot have become another's.
    fn reap(&mut self) {
        loop {
            let now = clock::now();
            match peek() {
                Ok(Children::Ended(ended)) => {
                    let exit = match ended.is_signalled {
                        true => Exit::Signal(ended.code),
                        false => Exit::Code(ended.code),
                    };
                    self.check_memory(now, exit);
                    self.handle_end(now, ended.pid, exit);
                    reap(ended.pid);
                }
                Ok(Children::None) => {
                    self.start.supervisor.handle_childless(now);
                    return self.apply_effects();
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(Children::Running) => return,
                Err(error) => panic!("waitid with constant arguments: {error}"),
            }
        }
    }

    /// Before anything else follows from an end: it may be the limit's work, and then that is the reason.
    fn check_memory(&mut self, now: Instant, exit: Exit) {
        let exceeded = match exit {
            Exit::Code(0) => None,
            Exit::Code(_) | Exit::Signal(_) => {
                self.start.memory.as_ref().and_then(MemoryGroup::exceeded)
            }
        };
        if let Some(exceeded) = exceeded {
            self.start.supervisor.fail(now, exceeded.to_string());
            // Told once.
            self.start.memory = None;
        }
    }

    fn handle_end(&mut self, now: Instant, pid: i32, exit: Exit) {
        if let Some(run) = self.runs.get(&pid).copied() {
            let event = match exit {
                Exit::Code(0) => ProcessEvent::Success,
                Exit::Code(return_code) => ProcessEvent::Failed { return_code },
                Exit::Signal(signal) => ProcessEvent::Killed { signal },
            };
            self.logs.finish_run(run);
            self.record_process(run, event);
            self.start.supervisor.handle_exit(now, run, exit);
            self.apply_effects();
            self.runs.remove(&pid);
            self.pids.remove(&run);
        } else if let Some((check, mut probe)) = self.take_probe(|probe| probe.is_child(pid)) {
            let outcome = probe.handle_exit(match exit {
                Exit::Code(code) => code,
                Exit::Signal(signal) => -signal,
            });
            probe.drop_now();
            self.start.supervisor.handle_checked(now, check, outcome);
        }
    }

    fn take_probe(&mut self, is_wanted: impl Fn(&Probe) -> bool) -> Option<(CheckId, Probe)> {
        let mut all = self.probes.iter();
        let check = *all.find(|(_, probe)| is_wanted(probe))?.0;
        self.probes.remove_entry(&check)
    }

    fn poll_calls(&mut self) {
        let now = clock::now();
        if let Some(answer) = self.call.as_mut().and_then(|call| call.poll(now)) {
            self.call = None;
            self.start.supervisor.handle_posted(now, answer.is_ok());
        }
        let over = |(check, probe): (&CheckId, &mut Probe)| Some((*check, probe.poll(now)?));
        let over: Vec<_> = self.probes.iter_mut().filter_map(over).collect();
        for (check, outcome) in over {
            if let Some(probe) = self.probes.remove(&check) {
                probe.drop_now();
            }
            self.start.supervisor.handle_checked(now, check, outcome);
        }
    }

    fn apply_effects(&mut self) {
        while let Some(effect) = self.start.supervisor.poll_effect() {
            match effect {
                Effect::Check(check) => self.begin_check(check),
                Effect::End => self.is_over = true,
                Effect::KillAll => self.kill_all(),
                Effect::Post(endpoint) => self.post(endpoint),
                Effect::Report { state, message } => self.record_task(state, message),
                Effect::Start(run) => self.start_run(run),
                Effect::StopChecks => {
                    for probe in std::mem::take(&mut self.probes).into_values() {
                        probe.drop_now();
                    }
                }
                Effect::Sweep { run, signal } => {
                    if let Some(pid) = self.pids.get(&run) {
                        signal_group(*pid, to_signal(signal));
                    }
                }
                Effect::Terminate(run) => {
                    if let Some(pid) = self.pids.get(&run) {
                        signal_child(*pid, Signal::SIGTERM);
                    }
                }
                Effect::TerminateOrphans => self.terminate_orphans(),
            }
        }
    }

    fn record_task(&mut self, state: TaskState, message: Option<String>) {
        if state.is_terminal() {
            self.logs.finish();
        }
        self.sequence += 1;
        let record = TaskRecord {
            sequence: self.sequence,
            state: states::to_record(state),
            message: message.as_deref().map(checkpoint::cut_message),
            at_ms: clock::wall().as_ms(),
        };
        self.start.writer.push(&Record::Task(record));
    }

    fn record_process(&mut self, run: Run, event: ProcessEvent) {
        let name = &self.start.definition.task.processes[run.process].name;
        let record = ProcessRecord {
            process: name.clone(),
            run: run.number,
            event,
            at_ms: clock::wall().as_ms(),
        };
        self.start.writer.push(&Record::Process(record));
    }

    fn start_run(&mut self, run: Run) {
        let process = &self.start.definition.task.processes[run.process];
        let cmdline = process.cmdline.clone();
        let logger = self.start.definition.loggers[run.process];
        let output = output(&self.start.sandbox.join(LOGS), &process.name, run, logger);
        let mut started = self.spawn(&cmdline, output).start();
        if let Ok(spawned) = &mut started
            && !spawned.pipes.is_empty()
        {
            let name = &self.start.definition.task.processes[run.process].name;
            let pipes = std::mem::take(&mut spawned.pipes);
            if let Err(error) = self.logs.add(run, name, logger, pipes) {
                journal::note(format_args!("cannot follow '{name}': {error}"));
            }
        }
        let now = clock::now();
        match started {
            Ok(spawned) => {
                self.runs.insert(spawned.pid, run);
                self.pids.insert(run, spawned.pid);
                let start_ticks = proc::stat(spawned.pid).map_or(0, |stat| stat.start_ticks);
                let pid = spawned.pid;
                self.record_process(run, ProcessEvent::Running { pid, start_ticks });
                self.start.supervisor.handle_started(now, run);
            }
            Err(error) => {
                let process = &self.start.definition.task.processes[run.process];
                journal::note(format_args!("cannot start '{}': {error}", process.name));
                let reason = error.to_string();
                self.record_process(run, ProcessEvent::NotStarted { reason });
                self.start.supervisor.handle_start_failed(now, run);
            }
        }
    }

    fn spawn<'a>(&'a self, cmdline: &'a str, output: Output) -> Spawn<'a> {
        let start = &self.start;
        let sandbox = start.sandbox.display().to_string();
        let profile = start.sandbox.join(PROFILE_FILE);
        let user = &start.order.identity.user;
        let mut environment = Vec::new();
        if start.preserve_env {
            let text = |(name, value): (OsString, OsString)| {
                Some((name.into_string().ok()?, value.into_string().ok()?))
            };
            let all = std::env::vars_os().filter_map(text);
            environment
                .extend(all.filter(|(name, _)| !paths::OWN_VARIABLES.contains(&name.as_str())));
        }
        // The last of equal names counts.
        environment.extend([
            ("HOME".to_owned(), sandbox),
            ("LOGNAME".to_owned(), user.clone()),
            ("PATH".to_owned(), start.path.clone()),
            ("USER".to_owned(), user.clone()),
        ]);
        if profile.exists() {
            environment.push(("BASH_ENV".to_owned(), profile.display().to_string()));
        }
        Spawn {
            shell: &start.shell,
            cmdline,
            directory: &start.sandbox,
            environment,
            identity: &start.order.identity,
            output,
        }
    }

    fn begin_check(&mut self, check: CheckId) {
        let now = clock::now();
        let supervisor = &mut self.start.supervisor;
        let Some(definition) = self.start.definition.probes.get(check.0) else {
            return supervisor.handle_checked(now, check, None);
        };
        if definition.can_snooze && self.start.sandbox.join(SNOOZE_FILE).exists() {
            return supervisor.handle_checked(now, check, None);
        }
        let deadline = now + definition.timeout;
        let begun = match &definition.probe {
            HealthProbe::Shell(command) => {
                let spawned = self.spawn(command, Output::Pipe).start();
                let spawned = spawned.map_err(|error| error.to_string());
                spawned.and_then(|it| Probe::of_shell(command, it, deadline))
            }
            HealthProbe::Http(probe) => Probe::of_http(probe, deadline),
        };
        match begun {
            Ok(probe) => drop(self.probes.insert(check, probe)),
            Err(why) => self.start.supervisor.handle_checked(now, check, Some(why)),
        }
    }

    fn post(&mut self, endpoint: Endpoint) {
        let now = clock::now();
        let call = self.start.definition.endpoints.as_ref().map(|endpoints| {
            let path = match endpoint {
                Endpoint::Abort => &endpoints.abort,
                Endpoint::Quit => &endpoints.quit,
            };
            Call::begin("POST", endpoints.port, path, now + ENDPOINT_TIMEOUT)
        });
        match call {
            Some(Ok(call)) => self.call = Some(call),
            Some(Err(_)) | None => self.start.supervisor.handle_posted(now, false),
        }
    }

    /// Children that no run leads: they left their session and lost their parent.
    fn terminate_orphans(&self) {
        let own = nix::unistd::getpid().as_raw();
        for process in proc::children_of(own).unwrap_or_default() {
            let is_orphan = !self.runs.contains_key(&process.pid);
            if is_orphan && !process.is_zombie {
                proc::signal(&process, Signal::SIGTERM);
            }
        }
    }

    /// Everything that descends from this process: as their subreaper it sees all of them, wherever they
    /// have gone. The supervisor asks again until none is left.
    fn kill_all(&self) {
        let own = nix::unistd::getpid().as_raw();
        let all = proc::descendants_of(own).unwrap_or_default();
        for process in all.iter().filter(|it| !it.is_zombie) {
            proc::signal(process, Signal::SIGKILL);
        }
    }
}

fn output(logs: &Path, process: &str, run: Run, logger: Logger) -> Output {
    if logger.is_piped() {
        return Output::Pipes;
    }
    if logger.destination == Destination::None {
        return Output::Nothing;
    }
    let of_process = logs.join(process);
    let of_run = of_process.join(run.number.to_string());
    Output::Logs(vec![logs.to_owned(), of_process, of_run])
}

fn to_signal(signal: ProcessSignal) -> Signal {
    match signal {
        ProcessSignal::Kill => Signal::SIGKILL,
        ProcessSignal::Terminate => Signal::SIGTERM,
    }
}
