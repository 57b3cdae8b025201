//! The figures as bars: what is aimed at, of every path beside the one that weir is held against.

use std::fmt;

use crate::case::Aim;
use crate::path::Path;
use crate::results::{Results, Row};

/// Columns of the path that weir is held against.
const UNIT: f64 = 20.0;
/// Columns of the longest bar; longer ones end in an arrow.
const LONGEST: f64 = 60.0;
/// A column, in eighths.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// Bars of all rows with an aim.
pub(crate) struct Bars<'a>(pub(crate) &'a Results);

impl fmt::Display for Bars<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.0.rows {
            if row.aim.is_some() {
                bars(out, row)?;
            }
        }
        Ok(())
    }
}

fn bars(out: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
    let unit = match row.aim {
        Some(Aim::Beside(path, _) | Aim::Shown(path)) => value(row, path),
        Some(Aim::Absolute(most)) => Some(most),
        None => None,
    };
    let Some(unit) = unit.filter(|unit| *unit > 0.0) else {
        return Ok(());
    };
    let added = if is_added(row) { ", added" } else { "" };
    writeln!(out, "{}: {}{added}", row.step, row.measure)?;
    for path in Path::ALL {
        let Some(value) = value(row, path).filter(|_| path != Path::Direct || !is_added(row))
        else {
            continue;
        };
        writeln!(out, "  {path:<10} {} {value:.1}", bar(value / unit * UNIT))?;
    }
    writeln!(out)
}

/// Whether only what is added to the direct path is shown.
fn is_added(row: &Row) -> bool {
    row.measure.is_added() && !matches!(row.aim, Some(Aim::Beside(Path::Direct, _)))
}

fn value(row: &Row, path: Path) -> Option<f64> {
    let base = if is_added(row) {
        row.median(Path::Direct)?
    } else {
        0.0
    };
    Some(row.median(path)? - base)
}

fn bar(columns: f64) -> String {
    if columns > LONGEST {
        return "█".repeat(59) + "▸";
    }
    let mut bar = String::new();
    let mut left = columns;
    while left >= 1.0 {
        bar.push('█');
        left -= 1.0;
    }
    let eighth = EIGHTHS
        .iter()
        .rev()
        .zip((0..8).rev().map(|it| f64::from(it) / 8.0));
    bar.push_str(
        eighth
            .filter(|(_, part)| left >= *part)
            .map(|(it, _)| *it)
            .next()
            .unwrap_or(""),
    );
    bar
}
