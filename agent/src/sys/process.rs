//! Processes: starting one with a say in what happens before it executes,
//! holding on to it without a race, and ending as another one did.
//!
//! weir forks instead of using `std::process::Command` because the steps
//! between fork and exec decide whom the child is and where it is counted, and
//! because a step that failed must be told apart from a command that does not
//! exist.

use std::ffi::CString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::unistd::{ForkResult, Pid, execvpe, fork, pipe2};
use rustix::process::{
    DumpableBehavior, PidfdFlags, Resource, Rlimit, WaitId, WaitIdOptions, pidfd_open,
    pidfd_send_signal, set_dumpable_behavior, setrlimit, waitid,
};

/// A child held by a descriptor: a signal sent through it can never reach
/// another process that was given the same number.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    descriptor: OwnedFd,
}

/// What became of a process. Signals are numbers, as real-time ones have no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It stopped, and can go on.
    Stopped {
        /// What stopped it.
        signal: i32,
    },
    /// It ended.
    Ended(End),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this status.
    Exited(u8),
    /// By a signal of this number.
    Killed(i32),
}

/// As people say it, after the name of the process.
impl fmt::Display for End {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(out, "ended with status {status}"),
            Self::Killed(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(out, "was ended by {signal}"),
                Err(_) => write!(out, "was ended by signal {number}"),
            },
        }
    }
}

impl Process {
    fn of_child(pid: Pid) -> io::Result<Self> {
        let raw = rustix::process::Pid::from_raw(pid.as_raw())
            .ok_or_else(|| io::Error::other("a process id of 0"))?;
        let descriptor = pidfd_open(raw, PidfdFlags::empty())?;
        Ok(Self { pid, descriptor })
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends it a signal. One that has ended is no error.
    ///
    /// # Errors
    /// The kernel does not allow it.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let signal = rustix::process::Signal::from_named_raw(signal as i32)
            .ok_or_else(|| io::Error::other("a signal without name"))?;
        match pidfd_send_signal(&self.descriptor, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            other => Ok(other?),
        }
    }

    /// What became of it since last asked, without waiting. Once it has ended
    /// the kernel forgets it, so its end is told once.
    ///
    /// # Errors
    /// Its end was told already.
    pub fn change(&self) -> io::Result<Option<Change>> {
        self.wait(WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOHANG)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Its end was told already.
    pub fn end(&self) -> io::Result<End> {
        loop {
            match self.wait(WaitIdOptions::EXITED) {
                Ok(Some(Change::Ended(end))) => return Ok(end),
                Ok(Some(Change::Stopped { .. }) | None) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn wait(&self, options: WaitIdOptions) -> io::Result<Option<Change>> {
        let Some(status) = waitid(WaitId::PidFd(self.descriptor.as_fd()), options)? else {
            return Ok(None);
        };
        if let Some(status) = status.exit_status() {
            // The kernel keeps the low byte of what exit(2) was given.
            let status = u8::try_from(status & 0xff).unwrap_or(u8::MAX);
            return Ok(Some(Change::Ended(End::Exited(status))));
        }
        if let Some(signal) = status.terminating_signal() {
            return Ok(Some(Change::Ended(End::Killed(signal))));
        }
        Ok(status
            .stopping_signal()
            .map(|signal| Change::Stopped { signal }))
    }
}

/// Readable once the process has ended.
impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Runs `body` in a child process, whose exit status is what it returns.
///
/// # Errors
/// This process has other threads, or the kernel gives no more processes.
pub fn fork_into(body: impl FnOnce() -> u8) -> io::Result<Process> {
    // A lock held by another thread would stay held in the child for ever.
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("cannot fork with more than one thread"));
    }
    // SAFETY: this process has one thread, so the child may do what it could.
    #[expect(unsafe_code, reason = "fork has no safe wrapper")]
    let forked = unsafe { fork() }?;
    match forked {
        ForkResult::Parent { child } => Process::of_child(child),
        ForkResult::Child => {
            // Unwinding further would run the parent's code a second time.
            let status = catch_unwind(AssertUnwindSafe(body)).unwrap_or(u8::MAX);
            // SAFETY: ends the process; nothing of it is used afterwards.
            #[expect(unsafe_code, reason = "exit(3) would run the parent's exit handlers")]
            unsafe {
                libc::_exit(status.into())
            }
        }
    }
}

/// What is executed.
#[derive(Clone, Debug)]
pub struct Program {
    /// Looked for in PATH if it has no slash.
    pub file: CString,
    /// With the name it is called by first.
    pub arguments: Vec<CString>,
    /// `NAME=value`.
    pub environment: Vec<CString>,
}

/// A step between fork and exec that failed.
#[derive(Debug)]
pub struct Unprepared {
    /// What was attempted, to follow "cannot".
    pub step: &'static str,
    /// What the kernel said.
    pub source: io::Error,
}

impl Unprepared {
    /// For `map_err`.
    pub fn at<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self {
            step,
            source: source.into(),
        }
    }
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// There is no child.
    #[error("cannot start a process: {0}")]
    Start(#[source] io::Error),
    /// The child failed before it executed anything.
    #[error("cannot {step}: {source}")]
    Prepare {
        /// What it attempted.
        step: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The program could not be executed.
    #[error("{0}")]
    Execute(#[source] io::Error),
}

/// Starts a child that runs `prepare` and then becomes `program`.
///
/// # Errors
/// Says which of the three it was; there is no child then.
pub fn spawn(
    program: &Program,
    prepare: impl FnOnce() -> Result<(), Unprepared>,
) -> Result<Process, SpawnError> {
    let (reading, writing) =
        pipe2(OFlag::O_CLOEXEC).map_err(|error| SpawnError::Start(error.into()))?;
    let child = fork_into(|| {
        let (step, source) = match prepare() {
            Err(Unprepared { step, source }) => (step, source),
            Ok(()) => {
                let Err(error) = execvpe(&program.file, &program.arguments, &program.environment);
                ("", error.into())
            }
        };
        // The parent tells the cases apart by the step, which executing has not.
        let errno = source.raw_os_error().unwrap_or(libc::EIO);
        let mut report = errno.to_ne_bytes().to_vec();
        report.extend_from_slice(step.as_bytes());
        // If the parent is gone there is nobody to tell.
        let _unheard = File::from(writing).write_all(&report);
        u8::MAX
    })
    .map_err(SpawnError::Start)?;

    let mut report = Vec::new();
    File::from(reading)
        .read_to_end(&mut report)
        .map_err(SpawnError::Start)?;
    let Some((errno, step)) = report.split_first_chunk() else {
        return Ok(child);
    };
    child.end().map_err(SpawnError::Start)?;
    let source = io::Error::from_raw_os_error(i32::from_ne_bytes(*errno));
    if step.is_empty() {
        return Err(SpawnError::Execute(source));
    }
    Err(SpawnError::Prepare {
        step: String::from_utf8_lossy(step).into_owned(),
        source,
    })
}

/// The lowest number that [`keep_only`] gives.
pub const FIRST_KEPT: RawFd = 3;

/// A descriptor this process was started with, by the number it was told.
///
/// Each is to be taken once: whoever drops it closes it.
#[must_use]
pub fn inherited(number: RawFd) -> OwnedFd {
    // SAFETY: whoever started this process opened it there for this process.
    #[expect(unsafe_code, reason = "descriptors arrive as numbers")]
    unsafe {
        OwnedFd::from_raw_fd(number)
    }
}

/// Gives these descriptors the numbers from [`FIRST_KEPT`] on, without
/// close-on-exec, and closes every other one above standard error. What owned
/// them must not be used afterwards, nor dropped: for children only.
///
/// # Errors
/// A descriptor could not be duplicated.
pub fn keep_only(descriptors: &[BorrowedFd<'_>]) -> io::Result<Vec<OwnedFd>> {
    // First out of the way of the numbers they are to get.
    let aside = FIRST_KEPT + RawFd::try_from(descriptors.len()).unwrap_or(RawFd::MAX);
    let mut moved = Vec::with_capacity(descriptors.len());
    for descriptor in descriptors {
        moved.push(rustix::io::fcntl_dupfd_cloexec(descriptor, aside)?);
    }
    let mut kept = Vec::with_capacity(moved.len());
    let mut next = FIRST_KEPT;
    for descriptor in moved {
        // SAFETY: both are plain numbers; whatever `next` was is given up.
        #[expect(unsafe_code, reason = "dup2 onto a number whose owner is left behind")]
        let done = unsafe { libc::dup2(descriptor.as_raw_fd(), next) };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: dup2 has just made it, and nothing else owns it.
        #[expect(unsafe_code, reason = "the number is now a descriptor of ours")]
        kept.push(unsafe { OwnedFd::from_raw_fd(next) });
        next += 1;
    }
    let first = libc::c_uint::try_from(next).map_err(io::Error::other)?;
    // SAFETY: closes numbers only, and their owners are not used again.
    #[expect(unsafe_code, reason = "close_range has no safe wrapper")]
    let closed = unsafe { libc::close_range(first, libc::c_uint::MAX, 0) };
    if closed < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(kept)
}

/// Puts this thread's signals back to how a program expects to find them: this
/// mask, and a broken pipe ending it, which Rust's runtime turns off at start.
///
/// # Errors
/// Never in practice: the arguments are fixed.
pub fn restore_signals(mask: &SigSet) -> io::Result<()> {
    default_action(Signal::SIGPIPE as i32)?;
    Ok(mask.thread_set_mask()?)
}

/// Ignores these signals, which a program executed later would inherit.
///
/// # Errors
/// One of them cannot be ignored.
pub fn ignore(signals: &[Signal]) -> io::Result<()> {
    for one in signals {
        // SAFETY: no handler is installed.
        #[expect(unsafe_code, reason = "signal has no safe wrapper")]
        unsafe { signal(*one, SigHandler::SigIgn) }?;
    }
    Ok(())
}

/// Undoes a parent's choice to ignore its children, which is inherited and would
/// let their ends go unnoticed.
///
/// # Errors
/// Never in practice: the arguments are fixed.
pub fn expect_children() -> io::Result<()> {
    default_action(Signal::SIGCHLD as i32)
}

fn default_action(signal: i32) -> io::Result<()> {
    // SAFETY: no handler is installed.
    #[expect(unsafe_code, reason = "nix has no number for real-time signals")]
    let before = unsafe { libc::signal(signal, libc::SIG_DFL) };
    if before == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The signals that this process was started with ignored, as by nohup(1).
///
/// # Errors
/// `/proc` cannot be read.
pub fn ignored_signals() -> io::Result<SigSet> {
    let status = fs::read_to_string("/proc/self/status")?;
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .ok_or_else(|| io::Error::other("/proc/self/status does not say what is ignored"))?;
    Ok(Signal::iterator()
        .filter(|one| ignored >> (*one as i32 - 1) & 1 == 1)
        .collect())
}

/// Ends this process by the default action of a signal, so that its parent sees
/// what it would have seen of the process that the signal ended. Leaves no core
/// dump: that would be weir's memory, not the command's.
pub fn end_by(signal: i32) -> u8 {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // A core handler behind a pipe is not bound by the limit.
    let _kept = setrlimit(Resource::Core, none);
    let _kept = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // Refused for SIGKILL, which has no other action.
    let _kept = default_action(signal);
    // Others that wait blocked must not come first.
    let others: SigSet = Signal::iterator()
        .filter(|other| *other as i32 != signal)
        .collect();
    let _kept = others.thread_set_mask();
    // SAFETY: raise has no preconditions.
    #[expect(unsafe_code, reason = "nix has no number for real-time signals")]
    unsafe {
        libc::raise(signal);
    }
    // The first process of a pid namespace does not die of its own signals.
    // What shells make of a signal is the next best thing.
    u8::try_from(128_i32.saturating_add(signal)).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::End;

    #[test]
    fn an_end_is_said_as_people_say_it() {
        for (end, said) in [
            (End::Exited(3), "ended with status 3"),
            (End::Killed(9), "was ended by SIGKILL"),
            (End::Killed(40), "was ended by signal 40"),
        ] {
            assert_eq!(end.to_string(), said);
        }
    }
}
