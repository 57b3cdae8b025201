//! What was measured of all paths, and ratios of them, round by round.

use std::collections::BTreeMap;

use serde::Serialize;
use weir_tests::spread::Spread;

use crate::case::{Aim, Case, Step};
use crate::measure::Measure;
use crate::path::Path;

/// All of a run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Results {
    /// What figures depend on, a line each.
    pub(crate) conditions: Vec<String>,
    pub(crate) rows: Vec<Row>,
    /// What was not measured, and why.
    pub(crate) left_out: Vec<LeftOut>,
}

/// One measure of one load.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) case: Case,
    pub(crate) step: String,
    pub(crate) measure: Measure,
    pub(crate) aim: Option<Aim>,
    /// By round.
    pub(crate) figures: BTreeMap<Path, Vec<Option<f64>>>,
}

/// Something that was not measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LeftOut {
    pub(crate) path: Path,
    /// None: in no case.
    pub(crate) case: Option<Case>,
    pub(crate) why: String,
}

impl Results {
    /// Rows for a step, still empty.
    pub(crate) fn begin(&mut self, case: Case, step: &Step) {
        self.rows
            .extend(step.measures.iter().map(|(measure, aim)| Row {
                case,
                step: step.name.clone(),
                measure: *measure,
                aim: *aim,
                figures: BTreeMap::new(),
            }));
    }

    /// The rows of a step.
    pub(crate) fn of<'a>(
        &'a mut self,
        case: Case,
        step: &'a Step,
    ) -> impl Iterator<Item = &'a mut Row> {
        let rows = self.rows.iter_mut();
        rows.filter(move |row| row.case == case && row.step == step.name)
    }

    /// The paths of which there is any figure in a case.
    pub(crate) fn paths(&self, case: Case) -> Vec<Path> {
        let rows = self.rows.iter().filter(|row| row.case == case);
        let has_any = |path: &Path| rows.clone().any(|row| row.median(*path).is_some());
        Path::ALL.into_iter().filter(has_any).collect()
    }
}

impl Row {
    /// The median of a path's rounds.
    pub(crate) fn median(&self, path: Path) -> Option<f64> {
        let figures = self.figures.get(&path)?;
        Some(Spread::of(figures.iter().copied().flatten().collect())?.median)
    }

    /// How much more memory weir had in the last round than in the first.
    pub(crate) fn growth(&self) -> Option<f64> {
        let mut rounds = self.figures.get(&Path::Weir)?.iter().copied().flatten();
        let first = rounds.next().filter(|_| self.measure.is_memory())?;
        Some(rounds.next_back()? / first)
    }

    /// The ratio of two paths, round by round: what disturbs a round disturbs both.
    /// Of latencies it is that of what each adds to the direct path, rounds left out
    /// in which the other adds nothing.
    pub(crate) fn ratio(&self, of: Path, to: Path) -> Option<Spread> {
        let (of, to) = (self.figures.get(&of)?, self.figures.get(&to)?);
        let direct = self.figures.get(&Path::Direct);
        let is_added = self.measure.is_added() && !std::ptr::eq(to, direct.unwrap_or(of));
        let ratios = (0..)
            .zip(of.iter().zip(to))
            .filter_map(|(round, (of, to))| {
                let base = if is_added {
                    (*direct?.get(round)?)?
                } else {
                    0.0
                };
                let (of, to) = ((*of)? - base, (*to)? - base);
                (to > 0.0).then_some(of / to)
            });
        Spread::of(ratios.collect())
    }

    /// weir's ratio to the path that it is held against: that of the aim, or nginx.
    pub(crate) fn held_against(&self) -> Option<(Path, Spread)> {
        let against = match self.aim {
            Some(Aim::Beside(path, _) | Aim::Shown(path)) => path,
            Some(Aim::Absolute(_)) | None => Path::Nginx,
        };
        Some((against, self.ratio(Path::Weir, against)?))
    }

    /// Whether the aim is reached; none without one.
    pub(crate) fn is_reached(&self) -> Option<bool> {
        Some(match self.aim? {
            Aim::Beside(path, part) => self.ratio(Path::Weir, path)?.median <= part,
            Aim::Absolute(most) => self.median(Path::Weir)? <= most,
            Aim::Shown(_) => return None,
        })
    }
}
