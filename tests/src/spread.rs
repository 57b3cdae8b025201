//! The middle of some figures and how far they lie apart.

use std::fmt;

use serde::Serialize;

/// Quartiles of some figures, and their ends.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// The smallest.
    pub least: f64,
    /// A quarter of them is less.
    pub lower: f64,
    /// The one in the middle; of an even number, the mean of the two there.
    pub median: f64,
    /// A quarter of them is more.
    pub upper: f64,
    /// The largest.
    pub most: f64,
}

impl Spread {
    /// Of these figures; `None` if there are none.
    #[must_use]
    pub fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_unstable_by(f64::total_cmp);
        let last = figures.len().checked_sub(1)?;
        let (below, above) = (last / 2, last.div_ceil(2));
        Some(Self {
            least: *figures.first()?,
            lower: *figures.get(last / 4)?,
            median: f64::midpoint(*figures.get(below)?, *figures.get(above)?),
            upper: *figures.get(last - last / 4)?,
            most: *figures.last()?,
        })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{:.2} ({:.2}..{:.2})",
            self.median, self.least, self.most
        )
    }
}
