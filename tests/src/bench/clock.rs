//! The clock that is the same in every process, and the times that events carry.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// What the line of a stamp begins with: a comment of an event stream.
pub const STAMP: &str = ": t=";

/// Now, in nanoseconds since some moment that is the same for all processes.
#[must_use]
pub fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let (seconds, nanoseconds) = (time.tv_sec.cast_unsigned(), time.tv_nsec.cast_unsigned());
    seconds * 1_000_000_000 + nanoseconds
}

/// How long before `arrived_ns` the event was written, by its stamp, in nanoseconds.
///
/// # Errors
/// It has no stamp, or one of another clock.
pub fn delay_ns(event: &[u8], arrived_ns: u64) -> Result<u64> {
    let text = std::str::from_utf8(event)?;
    let stamp = text.lines().find_map(|line| line.strip_prefix(STAMP));
    let written: u64 = stamp
        .with_context(|| format!("no stamp in {text:?}"))?
        .parse()?;
    arrived_ns
        .checked_sub(written)
        .context("an event arrived before it was written: the clocks differ")
}

/// Nanoseconds as microseconds.
#[must_use]
pub fn microseconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64() * 1e6
}
