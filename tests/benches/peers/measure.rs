//! What is measured of a load on a path.

use std::fmt;

use anyhow::{Context, Result};
use serde::Serialize;
use weir_tests::bench::clock::microseconds;

use crate::load::Done;
use crate::processes::Memory;

/// What was seen of one turn.
pub(crate) struct Seen {
    pub(crate) done: Done,
    /// Of the proxy, if there is one.
    pub(crate) proxy: Option<SeenOfProxy>,
}

/// What the proxy took.
pub(crate) struct SeenOfProxy {
    /// Meanwhile.
    pub(crate) cpu_ns: u64,
    /// At the end, while its connections were open.
    pub(crate) memory: Memory,
    /// A while after they were closed.
    pub(crate) after: Option<Memory>,
    /// Before the first connection.
    pub(crate) idle: Option<Memory>,
}

/// A figure of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    LatencyMedian,
    LatencyP99,
    CallRate,
    CpuPerCall,
    FirstMedian,
    FirstP99,
    DelayMedian,
    DelayP99,
    CpuPerEvent,
    EventRate,
    CpuShare,
    CpuPerMegabyte,
    MegabyteRate,
    Resident,
    ResidentAfter,
    AfterOverIdle,
    Peak,
}

impl Measure {
    /// Whether it is memory, which must not grow from round to round.
    pub(crate) fn is_memory(self) -> bool {
        matches!(self, Self::Resident | Self::ResidentAfter | Self::Peak)
    }

    /// Whether what the path adds to the direct one is compared, and not all of it.
    pub(crate) fn is_added(self) -> bool {
        match self {
            Self::LatencyMedian
            | Self::LatencyP99
            | Self::FirstMedian
            | Self::FirstP99
            | Self::DelayMedian
            | Self::DelayP99 => true,
            Self::CallRate
            | Self::CpuPerCall
            | Self::CpuPerEvent
            | Self::EventRate
            | Self::CpuShare
            | Self::CpuPerMegabyte
            | Self::MegabyteRate
            | Self::Resident
            | Self::ResidentAfter
            | Self::AfterOverIdle
            | Self::Peak => false,
        }
    }

    /// The figure; none of what a path without a proxy does not have.
    ///
    /// # Errors
    /// Nothing was measured.
    pub(crate) fn of(self, seen: &Seen) -> Result<Option<f64>> {
        let Seen { done, proxy } = seen;
        let seconds = microseconds(done.elapsed_ns) / 1e6;
        let megabytes = number(done.bytes) / 1e6;
        let cpu_us = proxy.as_ref().map(|proxy| microseconds(proxy.cpu_ns));
        let per = |whole: f64| -> Result<Option<f64>> {
            (whole > 0.0).then_some(()).context("nothing was done")?;
            Ok(cpu_us.map(|us| us / whole))
        };
        let memory = |of: fn(&SeenOfProxy) -> Option<u64>| {
            proxy.as_ref().and_then(of).map(|bytes| number(bytes) / 1e6)
        };
        Ok(match self {
            Self::LatencyMedian => Some(done.latency.quantile_us(50)?),
            Self::LatencyP99 => Some(done.latency.quantile_us(99)?),
            Self::FirstMedian => Some(done.first.quantile_us(50)?),
            Self::FirstP99 => Some(done.first.quantile_us(99)?),
            Self::DelayMedian => Some(done.delay.quantile_us(50)?),
            Self::DelayP99 => Some(done.delay.quantile_us(99)?),
            Self::CallRate => Some(number(done.calls) / seconds),
            Self::EventRate => Some(number(done.events) / seconds),
            Self::MegabyteRate => Some(megabytes / seconds),
            Self::CpuPerCall => per(number(done.calls))?,
            Self::CpuPerEvent => per(number(done.events))?,
            Self::CpuPerMegabyte => per(megabytes)?,
            Self::CpuShare => per(seconds * 1e4)?,
            Self::Resident => memory(|it| Some(it.memory.resident)),
            Self::ResidentAfter => memory(|it| it.after.map(|it| it.resident)),
            Self::AfterOverIdle => proxy.as_ref().and_then(|it| {
                let (after, idle) = (it.after?.resident, it.idle?.resident);
                Some(number(after) / number(idle))
            }),
            Self::Peak => memory(|it| Some(it.memory.peak)),
        })
    }
}

/// A count as a figure.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of calls and bytes stay far below 2^53"
)]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

impl fmt::Display for Measure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::LatencyMedian => "p50, µs",
            Self::LatencyP99 => "p99, µs",
            Self::CallRate => "calls/s",
            Self::CpuPerCall => "CPU/call, µs",
            Self::FirstMedian => "first event p50, µs",
            Self::FirstP99 => "first event p99, µs",
            Self::DelayMedian => "event delay p50, µs",
            Self::DelayP99 => "event delay p99, µs",
            Self::CpuPerEvent => "CPU/event, µs",
            Self::EventRate => "events/s",
            Self::CpuShare => "CPU, %",
            Self::CpuPerMegabyte => "CPU/MB, µs",
            Self::MegabyteRate => "MB/s",
            Self::Resident => "RSS, MB",
            Self::ResidentAfter => "RSS afterwards, MB",
            Self::AfterOverIdle => "that, of idle",
            Self::Peak => "RSS at most, MB",
        })
    }
}
