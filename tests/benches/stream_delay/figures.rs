//! What many delays come to.

use std::fmt;

use anyhow::Result;
use weir_tests::bench::delays::Delays;

/// The middle and the slowest of a hundred.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) median_ms: f64,
    p99_ms: f64,
}

impl Figures {
    /// # Errors
    /// There are no delays.
    pub(crate) fn of(delays: &Delays) -> Result<Self> {
        Ok(Self {
            median_ms: delays.quantile_us(50)? / 1000.0,
            p99_ms: delays.quantile_us(99)? / 1000.0,
        })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:>7.3} {:>9.3}", self.median_ms, self.p99_ms)
    }
}
