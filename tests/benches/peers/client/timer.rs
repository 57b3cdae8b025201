//! A timer that is exact: the runtime's own knows only milliseconds.

use std::io;
use std::os::fd::OwnedFd;

use anyhow::Result;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

const SECOND_NS: u64 = 1_000_000_000;

pub(super) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    pub(super) fn new() -> Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(
            unsafe_code,
            reason = "that the descriptor stays open is ours to promise"
        )]
        // SAFETY: the descriptor is owned by what is registered, which never gives it away.
        let registered = unsafe { AsyncFd::register(timer)? };
        Ok(Self(registered))
    }

    /// Waits for a moment of the monotonic clock; not at all if it is over.
    pub(super) async fn until(&self, moment_ns: u64) -> Result<()> {
        let at = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: i64::try_from(moment_ns / SECOND_NS)?,
                tv_nsec: i64::try_from(moment_ns % SECOND_NS)?,
            },
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::ABSTIME, &at)?;
        loop {
            let mut ready = self.0.readable().await?;
            let expired = ready.try_io(|timer| {
                let mut count = [0; 8];
                rustix::io::read(timer.get_ref(), &mut count).map_err(io::Error::from)
            });
            if let Ok(count) = expired {
                count?;
                return Ok(());
            }
        }
    }
}
