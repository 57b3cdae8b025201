//! What the figures of many turns come to.

use std::collections::BTreeMap;

use serde::Serialize;
use weir_tests::spread::Spread;

use crate::bed::Way;
use crate::measure::Measure;

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
