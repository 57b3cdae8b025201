//! The verdict for reading: a row for each exchange, what was not inspected, and one last line.

use std::fmt;
use std::io::{IsTerminal, stderr, stdout};

use crate::demo::evidence::{Record, Sent};
use crate::demo::verdict::{Agreement, Row, Verdict};

/// What nobody knows.
const UNKNOWN: &str = "?";
/// What there is none of.
const NONE: &str = "-";

/// Whether the reader sees colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Coloured,
    Plain,
}

/// How a text is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Usual,
    Faint,
    Good,
    Bad,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

/// A column: what stands over it, its own title, its side, and the space before it.
struct Column {
    over: &'static str,
    title: &'static str,
    align: Align,
    gap: usize,
}

const fn left(title: &'static str) -> Column {
    Column {
        over: "",
        title,
        align: Align::Left,
        gap: 2,
    }
}

const fn right(over: &'static str, title: &'static str) -> Column {
    Column {
        over,
        title,
        align: Align::Right,
        gap: 2,
    }
}

/// A column that is compared with the one before it.
const fn beside(title: &'static str) -> Column {
    Column {
        over: "",
        title,
        align: Align::Right,
        gap: 1,
    }
}

const COLUMNS: [Column; 13] = [
    left("client"),
    left("api"),
    left("stream"),
    left("http"),
    left("model"),
    right("input", "weir"),
    beside("sent"),
    right("", "cached"),
    right("output", "weir"),
    beside("sent"),
    left("="),
    right("", "cost"),
    right("first", "chunk"),
];
/// The column that is coloured.
const EQUAL: usize = 10;

type Line = [String; COLUMNS.len()];

/// A verdict, to be displayed.
pub(crate) struct Table<'a> {
    verdict: &'a Verdict,
    paint: Paint,
}

impl<'a> Table<'a> {
    /// A table of `verdict`, painted for where it will be written.
    pub(crate) fn new(verdict: &'a Verdict, paint: Paint) -> Self {
        Self { verdict, paint }
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<Line> = self.verdict.rows.iter().map(line).collect();
        lines.push(sums(self.verdict));
        let widths = widths(&lines);

        let over = COLUMNS.map(|column| column.over.to_owned());
        let titles = COLUMNS.map(|column| column.title.to_owned());
        self.write_line(f, &over, &widths, Tone::Faint)?;
        self.write_line(f, &titles, &widths, Tone::Faint)?;
        for (row, line) in self.verdict.rows.iter().zip(&lines) {
            let tone = match row.agreement {
                Agreement::Equal => Tone::Usual,
                Agreement::Different => Tone::Bad,
            };
            self.write_line(f, line, &widths, tone)?;
        }
        let rule = widths.map(|width| "─".repeat(width));
        self.write_line(f, &rule, &widths, Tone::Faint)?;
        if let Some(sums) = lines.last() {
            self.write_line(f, sums, &widths, Tone::Usual)?;
        }
        writeln!(f)?;
        for record in &self.verdict.spliced {
            writeln!(f, "{}", spliced(record))?;
        }
        if self.verdict.findings.is_empty() {
            writeln!(
                f,
                "               curl verified the provider's own certificate there"
            )?;
        }
        for finding in &self.verdict.findings {
            writeln!(f, "{} {finding}", self.paint.of("✗", Tone::Bad))?;
        }
        let count = match self.verdict.rows.len() {
            1 => "1 exchange".to_owned(),
            count => format!("{count} exchanges"),
        };
        if self.verdict.findings.is_empty() {
            let last = format!("every token count equals what the provider said it sent ({count})");
            write!(f, "{}", self.paint.of(&last, Tone::Good))
        } else {
            let last = format!(
                "{} of {count} with the token counts that the provider said it sent",
                self.verdict.equal()
            );
            write!(f, "{}", self.paint.of(&last, Tone::Bad))
        }
    }
}

impl Table<'_> {
    fn write_line(
        &self,
        f: &mut fmt::Formatter<'_>,
        line: &Line,
        widths: &[usize; COLUMNS.len()],
        tone: Tone,
    ) -> fmt::Result {
        let mut text = String::new();
        for (index, ((cell, width), column)) in line.iter().zip(widths).zip(&COLUMNS).enumerate() {
            let padding = " ".repeat(width - cell.chars().count());
            let tone = match (index, cell.as_str()) {
                (EQUAL, "✓") => Tone::Good,
                _ => tone,
            };
            let cell = self.paint.of(cell, tone);
            if index > 0 {
                text.push_str(&" ".repeat(column.gap));
            }
            match column.align {
                Align::Left => text.extend([cell, padding]),
                Align::Right => text.extend([padding, cell]),
            }
        }
        writeln!(f, "{}", text.trim_end())
    }
}

impl Paint {
    /// As standard output shows it.
    pub(crate) fn for_stdout() -> Self {
        Self::on(&stdout())
    }

    /// As standard error shows it.
    pub(crate) fn for_stderr() -> Self {
        Self::on(&stderr())
    }

    fn on(stream: &impl IsTerminal) -> Self {
        // See https://no-color.org
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if stream.is_terminal() && !refused {
            Self::Coloured
        } else {
            Self::Plain
        }
    }

    fn of(self, text: &str, tone: Tone) -> String {
        let code = match (self, tone) {
            (Self::Plain, _) | (_, Tone::Usual) => return text.to_owned(),
            // Or the spaces at the end of a line could not be trimmed.
            _ if text.is_empty() => return String::new(),
            (Self::Coloured, Tone::Faint) => "2",
            (Self::Coloured, Tone::Good) => "32",
            (Self::Coloured, Tone::Bad) => "1;31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// An exchange. The emulator's word stands for what it was, weir's for what was counted.
fn line(row: &Row) -> Line {
    let Sent {
        api, http, stream, ..
    } = row.sent;
    let record = row.record.as_ref();
    let of_record = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.to_owned());
    [
        row.client.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
        api.as_str().to_owned(),
        if stream { "yes" } else { "no" }.to_owned(),
        http.as_str().to_owned(),
        of_record(record.and_then(|it| it.request_model.clone())),
        of_record(record.and_then(|it| it.input_tokens).map(grouped)),
        grouped(row.sent.input_tokens),
        match record.map(|it| it.cache_read_tokens.unwrap_or(0)) {
            Some(0) => NONE.to_owned(),
            cached => of_record(cached.map(grouped)),
        },
        of_record(record.and_then(|it| it.output_tokens).map(grouped)),
        grouped(row.sent.output_tokens),
        mark(row.agreement).to_owned(),
        of_record(record.and_then(|it| it.cost_usd).map(dollars)),
        match (stream, record) {
            (false, _) => NONE.to_owned(),
            (true, record) => {
                of_record(record.and_then(|it| it.time_to_first_chunk_ms).map(millis))
            }
        },
    ]
}

/// The last line: weir's own totals beside the sums of what was sent.
fn sums(verdict: &Verdict) -> Line {
    let totals = &verdict.totals;
    let known = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.to_owned());
    let sent = |count: fn(&Sent) -> u64| grouped(verdict.sum(count));
    let agreement = if verdict.equal() == verdict.rows.len() {
        Agreement::Equal
    } else {
        Agreement::Different
    };
    let mut line = Line::default();
    line[0] = match totals.exchanges {
        1 => "1 exchange".to_owned(),
        count => format!("{} exchanges", grouped(count)),
    };
    line[5] = known(totals.input_tokens.map(grouped));
    line[6] = sent(|sent| sent.input_tokens);
    line[7] = known(totals.cache_read_tokens.map(grouped));
    line[8] = known(totals.output_tokens.map(grouped));
    line[9] = sent(|sent| sent.output_tokens);
    line[EQUAL] = mark(agreement).to_owned();
    line[11] = known(totals.cost_usd.map(dollars));
    line
}

fn widths(lines: &[Line]) -> [usize; COLUMNS.len()] {
    let mut widths = COLUMNS.map(|column| column.over.len().max(column.title.len()));
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    widths
}

fn mark(agreement: Agreement) -> &'static str {
    match agreement {
        Agreement::Equal => "✓",
        Agreement::Different => "✗",
    }
}

/// A connection that weir did not decrypt.
fn spliced(record: &Record) -> String {
    format!(
        "not inspected: {}, passed on undecrypted ({}): {} bytes sent, {} received",
        record.host.as_deref().unwrap_or(UNKNOWN),
        record.reason,
        grouped(record.bytes_sent),
        grouped(record.bytes_received)
    )
}

/// `1234567` as `1,234,567`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// To a ten-millionth: one token of the demo's cheapest model costs four of them.
fn dollars(usd: f64) -> String {
    format!("${usd:.7}")
}

fn millis(millis: f64) -> String {
    format!("{millis:.0} ms")
}

#[cfg(test)]
mod tests;
