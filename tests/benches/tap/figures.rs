//! What the turns measured, and ratios of ways, round by round.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use weir_tests::spread::Spread;

use crate::client::Got;
use crate::shape::Shape;
use crate::way::Way;

/// What one turn measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Figures {
    /// Of bodies, in both directions.
    pub(crate) bytes: f64,
    pub(crate) events: f64,
    /// Processor time of the proxy; none where there is no proxy.
    pub(crate) computed_us: f64,
}

impl Figures {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a turn has far less than 2^53 bytes"
    )]
    pub(crate) fn of(got: &Got, computed: Option<Duration>) -> Self {
        Self {
            bytes: (got.received + got.sent) as f64,
            events: got.events as f64,
            computed_us: computed.unwrap_or_default().as_secs_f64() * 1e6,
        }
    }
}

/// Of one shape and way, by round.
#[derive(Debug, Default, Serialize)]
struct Rounds {
    turns: Vec<Figures>,
    /// The middle delay of the events of a round.
    delays_us: Vec<f64>,
}

/// All turns, in their order.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Turns(BTreeMap<String, BTreeMap<Way, Rounds>>);

impl Turns {
    pub(crate) fn add(&mut self, shape: Shape, way: Way, figures: Figures) {
        self.rounds_mut(shape, way).turns.push(figures);
    }

    /// # Errors
    /// There are none.
    pub(crate) fn add_delays(&mut self, shape: Shape, way: Way, delays: Vec<u64>) -> Result<()> {
        let delays = delays.into_iter().map(Duration::from_nanos);
        let delays = Spread::of(delays.map(|delay| delay.as_secs_f64() * 1e6).collect());
        let median = delays.context("no event was delayed")?.median;
        self.rounds_mut(shape, way).delays_us.push(median);
        Ok(())
    }

    fn rounds_mut(&mut self, shape: Shape, way: Way) -> &mut Rounds {
        let ways = self.0.entry(shape.to_string()).or_default();
        ways.entry(way).or_default()
    }

    fn rounds(&self, shape: Shape, way: Way) -> Result<&Rounds> {
        let ways = self.0.get(&shape.to_string());
        ways.and_then(|ways| ways.get(&way))
            .with_context(|| format!("{shape} was not measured {way}"))
    }

    /// What `of` makes of the turns of a way.
    pub(crate) fn each(
        &self,
        shape: Shape,
        way: Way,
        of: impl Fn(&Figures) -> f64,
    ) -> Result<Vec<f64>> {
        let rounds = self.rounds(shape, way)?;
        Ok(rounds.turns.iter().map(of).collect())
    }

    /// The delays of a way, in microseconds.
    pub(crate) fn delays(&self, shape: Shape, way: Way) -> Result<&[f64]> {
        Ok(&self.rounds(shape, way)?.delays_us)
    }
}

/// What `join` makes of each round of two ways: what disturbs a round disturbs
/// both.
pub(crate) fn paired(one: &[f64], other: &[f64], join: impl Fn(f64, f64) -> f64) -> Result<Spread> {
    let joined = one.iter().zip(other).map(|(one, other)| join(*one, *other));
    Spread::of(joined.collect()).context("nothing was measured")
}

/// The median.
pub(crate) fn median(figures: &[f64]) -> Result<f64> {
    let spread = Spread::of(figures.to_vec()).context("nothing was measured")?;
    Ok(spread.median)
}
