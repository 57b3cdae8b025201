//! What many figures come to: quantiles of delays, and ratios of turns.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use weir_tests::spread::Spread;

use crate::bed::Way;
use crate::measure::Measure;

/// Delays of one kind, in nanoseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Delays(Vec<u64>);

impl Delays {
    pub(crate) fn push(&mut self, delay_ns: u64) {
        self.0.push(delay_ns);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The smallest delay that this part of all, in hundredths, does not exceed,
    /// in microseconds.
    ///
    /// # Errors
    /// There are none.
    pub(crate) fn quantile_us(&self, percent: usize) -> Result<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        let delay = sorted.get(rank - 1).context("nothing was measured")?;
        Ok(microseconds(*delay))
    }
}

/// Nanoseconds as microseconds.
pub(crate) fn microseconds(nanoseconds: u64) -> f64 {
    std::time::Duration::from_nanos(nanoseconds).as_secs_f64() * 1e6
}

/// What one turn measured.
pub(crate) type Figures = BTreeMap<Measure, f64>;

/// What all turns measured, in their order.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Rounds(BTreeMap<Way, Vec<Figures>>);

impl Rounds {
    pub(crate) fn add(&mut self, way: Way, figures: Figures) {
        self.0.entry(way).or_default().push(figures);
    }

    /// The median of a way's turns; `None` where the way has none.
    pub(crate) fn median(&self, way: Way, measure: Measure) -> Option<f64> {
        Some(Spread::of(self.turns(way, measure)?)?.median)
    }

    /// The ratio of two ways, turn by turn: what disturbs a round disturbs both.
    pub(crate) fn ratio(&self, of: Way, to: Way, measure: Measure) -> Option<Spread> {
        let (of, to) = (self.turns(of, measure)?, self.turns(to, measure)?);
        Spread::of(of.iter().zip(to).map(|(of, to)| of / to).collect())
    }

    fn turns(&self, way: Way, measure: Measure) -> Option<Vec<f64>> {
        let turns = self.0.get(&way)?.iter();
        turns
            .map(|figures| figures.get(&measure).copied())
            .collect()
    }
}
