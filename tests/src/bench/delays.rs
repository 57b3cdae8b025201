//! What many delays come to.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::clock::microseconds;

/// Delays of one kind, in nanoseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Delays(Vec<u64>);

impl Delays {
    /// Adds one.
    pub fn push(&mut self, delay_ns: u64) {
        self.0.push(delay_ns);
    }

    /// Adds those of another.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest delay that this part of all, in hundredths, does not exceed,
    /// in microseconds.
    ///
    /// # Errors
    /// There are none.
    pub fn quantile_us(&self, percent: usize) -> Result<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        let delay = sorted.get(rank - 1).context("nothing was measured")?;
        Ok(microseconds(*delay))
    }
}

impl From<Vec<u64>> for Delays {
    fn from(delays_ns: Vec<u64>) -> Self {
        Self(delays_ns)
    }
}
