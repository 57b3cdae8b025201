//! Columns of text: their widths, and which go first where space is short.

use std::fmt::Write;

use super::amounts::printable;

/// Space between columns.
const GAP: usize = 2;

/// Cells are cut to this many characters before columns are left out.
const CELL_WIDTH_MAX: usize = 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// A column: its cells, and how readily it is left out where space is short.
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) align: Align,
    /// The highest goes first; 0 never.
    pub(super) expendable: u8,
    pub(super) cells: Vec<String>,
}

/// Lays columns out in `width` characters, leaving out what does not fit.
/// The last row is set apart from those above it.
pub(super) fn fit(mut columns: Vec<Column>, width: usize) -> String {
    columns.retain(|column| column.cells.iter().any(|cell| !cell.is_empty()));
    while total_width(&columns) > width {
        let Some(worst) = columns
            .iter()
            .map(|column| column.expendable)
            .max()
            .filter(|&e| e > 0)
        else {
            break;
        };
        columns.retain(|column| column.expendable != worst);
    }
    let rows = columns.first().map_or(0, |column| column.cells.len());
    let mut text = String::new();
    let titles = columns.iter().map(|column| (column, column.title));
    push_row(&mut text, titles);
    let rule = "\u{2500}".repeat(total_width(&columns));
    for row in 0..rows {
        if row == 0 || row + 1 == rows {
            text.push_str(&rule);
            text.push('\n');
        }
        let cells = columns.iter().map(|column| {
            (
                column,
                column
                    .cells
                    .get(row)
                    .map(String::as_str)
                    .unwrap_or_default(),
            )
        });
        push_row(&mut text, cells);
    }
    text
}

fn push_row<'a>(text: &mut String, cells: impl Iterator<Item = (&'a Column, &'a str)>) {
    let mut line = String::new();
    for (at, (column, cell)) in cells.enumerate() {
        if at > 0 {
            line.push_str(&" ".repeat(GAP));
        }
        let width = column.width();
        let _infallible = match column.align {
            Align::Left => write!(line, "{cell:<width$}"),
            Align::Right => write!(line, "{cell:>width$}"),
        };
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

impl Column {
    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(self.title.len())
    }
}

fn total_width(columns: &[Column]) -> usize {
    columns
        .iter()
        .map(|column| column.width() + GAP)
        .sum::<usize>()
        .saturating_sub(GAP)
}

/// A cell as it can be printed, cut to what a column may take.
pub(super) fn shortened(cell: &str) -> String {
    let cell = printable(cell);
    if cell.chars().count() <= CELL_WIDTH_MAX {
        return cell;
    }
    cell.chars()
        .take(CELL_WIDTH_MAX - 1)
        .chain(['\u{2026}'])
        .collect()
}
