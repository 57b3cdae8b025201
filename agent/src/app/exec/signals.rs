//! Signals as something to read instead of something that happens.
//!
//! They are blocked and read from a descriptor, so that the supervisor stands
//! in one loop and no handler runs between two of its steps. A signal that weir
//! was started with ignored, as by nohup(1), is left alone: the command inherits
//! that.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use crate::sys::process::{expect_children, ignored_signals};

/// What weir reads. Signals that report a fault of weir's own are not here.
const READ: [Signal; 14] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGWINCH,
    Signal::SIGCONT,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGCHLD,
    Signal::SIGPWR,
];

/// The signals of this process, from now on.
#[derive(Debug)]
pub(super) struct Signals {
    descriptor: SignalFd,
    inherited: SigSet,
}

/// A signal that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    /// Which.
    pub(super) signal: Signal,
    /// Where from.
    pub(super) sender: Sender,
}

impl Arrived {
    /// Whether a process that does nothing about it would end.
    pub(super) fn ends_by_default(&self) -> bool {
        !matches!(
            self.signal,
            Signal::SIGCHLD
                | Signal::SIGCONT
                | Signal::SIGTSTP
                | Signal::SIGTTIN
                | Signal::SIGTTOU
                | Signal::SIGWINCH
        )
    }
}

/// Where a signal came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// The kernel. What a terminal causes reaches the whole foreground group,
    /// the command included.
    Kernel,
    /// A process, for weir alone as far as can be told.
    Process(Pid),
}

impl Signals {
    /// Blocks the signals and keeps what was blocked before.
    pub(super) fn take() -> io::Result<Self> {
        // With children ignored their ends would be lost.
        expect_children()?;
        let ignored = ignored_signals()?;
        let read: SigSet = READ
            .into_iter()
            .filter(|signal| !ignored.contains(*signal))
            .collect();
        let inherited = SigSet::thread_get_mask()?;
        read.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let descriptor = SignalFd::with_flags(&read, flags)?;
        Ok(Self {
            descriptor,
            inherited,
        })
    }

    /// What was blocked when weir was started; the command's to inherit.
    pub(super) fn inherited(&self) -> &SigSet {
        &self.inherited
    }

    /// The next signal, if one has arrived.
    pub(super) fn next(&self) -> io::Result<Option<Arrived>> {
        loop {
            let Some(read) = self.descriptor.read_signal()? else {
                return Ok(None);
            };
            let number = i32::try_from(read.ssi_signo).unwrap_or_default();
            let Ok(signal) = Signal::try_from(number) else {
                continue;
            };
            let sender = match read.ssi_code {
                libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => Sender::Process(Pid::from_raw(
                    i32::try_from(read.ssi_pid).unwrap_or_default(),
                )),
                _ => Sender::Kernel,
            };
            return Ok(Some(Arrived { signal, sender }));
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
