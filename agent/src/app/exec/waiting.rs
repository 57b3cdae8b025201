//! Waiting for any of several descriptors, with a deadline.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Why a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// At least one descriptor has something to say; ask them all.
    Event,
    /// It is time.
    Deadline,
}

/// What is waited for on a descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// That it can be read, or is closed at the other end.
    Readable(BorrowedFd<'a>),
    /// That a file of the kernel changed since it was read, as `cgroup.events`
    /// does. Such a file can always be read.
    Changed(BorrowedFd<'a>),
}

/// Waits until one of them has come true.
pub(super) fn wait(sources: &[Source<'_>], deadline: Option<Instant>) -> io::Result<Wake> {
    let mut polled: Vec<PollFd<'_>> = sources
        .iter()
        .map(|source| match source {
            Source::Readable(descriptor) => PollFd::new(*descriptor, PollFlags::POLLIN),
            Source::Changed(descriptor) => PollFd::new(*descriptor, PollFlags::POLLPRI),
        })
        .collect();
    loop {
        let left = match deadline {
            None => PollTimeout::NONE,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                // Rounded up, so that the rest of a millisecond does not spin.
                let left = left.saturating_add(Duration::from_micros(999));
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
        };
        match poll(&mut polled, left) {
            Ok(0) if deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                return Ok(Wake::Deadline);
            }
            Ok(0) | Err(nix::Error::EINTR) => {}
            Ok(_) => return Ok(Wake::Event),
            Err(error) => return Err(error.into()),
        }
    }
}
