//! What many delays come to.

use std::fmt;

use anyhow::{Context, Result};

/// Delays of one kind, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Delays(Vec<u64>);

impl Delays {
    pub(crate) fn extend(&mut self, delays: Vec<u64>) {
        self.0.extend(delays);
    }

    /// # Errors
    /// There are none.
    pub(crate) fn figures(&self) -> Result<Figures> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        // The smallest delay that this part of all, in hundredths, does not exceed.
        let quantile = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied().map(milliseconds)
        };
        Ok(Figures {
            median_ms: quantile(50).context("nothing was measured")?,
            p99_ms: quantile(99).context("nothing was measured")?,
        })
    }
}

/// The middle and the slowest of a hundred.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) median_ms: f64,
    pub(crate) p99_ms: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:>7.3} {:>9.3}", self.median_ms, self.p99_ms)
    }
}

fn milliseconds(nanoseconds: u64) -> f64 {
    std::time::Duration::from_nanos(nanoseconds).as_secs_f64() * 1000.0
}
