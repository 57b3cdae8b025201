//! The report as a table for a terminal.

use std::fmt::Write;

use super::Report;
use super::amounts::{ESTIMATED, NONE, STATED, UNKNOWN, bytes, dollars, duration, grouped, tokens};
use super::columns::{Align, Column, fit, shortened};
use super::line::{cost_of, model, process, tokens_of};
use super::totals::Sums;
use crate::llm::usage::Provenance;
use crate::meter::reason::Decision;
use crate::meter::record::{CostProvenance, Record};

/// Exchanges shown one by one. With more there is a summary by model, and the
/// whole list in the JSON report.
const ROWS_MAX: usize = 50;

pub(super) fn render(report: &Report, width: usize) -> String {
    let exchanges: Vec<&Record> = report
        .records()
        .filter(|record| record.decision == Decision::Intercept)
        .collect();
    let shown = exchanges
        .get(exchanges.len().saturating_sub(ROWS_MAX)..)
        .unwrap_or_default();
    let totals = report.totals();
    let mut text = String::new();
    if totals.exchanges == 0 {
        text.push_str("no model calls\n");
    } else {
        let hidden = totals.exchanges - shown.len() as u64;
        if hidden > 0 {
            text.push_str(&fit(by_model(report), width));
            let _infallible = writeln!(
                text,
                "\nthe last {} of {} calls",
                shown.len(),
                totals.exchanges
            );
        }
        text.push_str(&fit(calls(shown, report), width));
        text.push_str(&legend(&text, report));
    }
    not_inspected(report, &mut text);
    not_captured(report, &mut text);
    text
}

/// A row for each exchange, and one for the totals.
fn calls(shown: &[&Record], report: &Report) -> Vec<Column> {
    let column = |title, align, expendable, cell: &dyn Fn(&Record) -> String, total: String| {
        let cells = shown
            .iter()
            .map(|record| shortened(&cell(record)))
            .chain([total])
            .collect();
        Column {
            title,
            align,
            expendable,
            cells,
        }
    };
    let sums = &report.totals().sums;
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
    let count = match report.totals().exchanges {
        1 => "1 call".to_owned(),
        count => format!("{} calls", grouped(count)),
    };
    vec![
        column(
            "provider",
            Align::Left,
            0,
            &|record| or_dash(record.provider.clone().or_else(|| record.host.clone())),
            count,
        ),
        column(
            "model",
            Align::Left,
            0,
            &|record| or_dash(model(record).map(str::to_owned)),
            String::new(),
        ),
        column(
            "operation",
            Align::Left,
            4,
            &|record| or_dash(record.operation.as_deref().map(str::to_owned)),
            String::new(),
        ),
        column(
            "stream",
            Align::Left,
            3,
            &|record| {
                or_dash(
                    record
                        .stream
                        .map(|yes| if yes { "yes" } else { "no" }.to_owned()),
                )
            },
            String::new(),
        ),
        column(
            "status",
            Align::Right,
            2,
            &|record| or_dash(record.status.map(|status| status.to_string())),
            String::new(),
        ),
        column(
            "input",
            Align::Right,
            0,
            &|record| tokens_of(record, record.input_tokens),
            sum(sums.input_tokens, sums),
        ),
        column(
            "cached",
            Align::Right,
            1,
            &|record| or_dash(record.cache_read_tokens.map(grouped)),
            or_dash(sums.cache_read_tokens.map(grouped)),
        ),
        column(
            "output",
            Align::Right,
            0,
            &|record| tokens_of(record, record.output_tokens),
            sum(sums.output_tokens, sums),
        ),
        column("cost", Align::Right, 0, &cost_of, cost_sum(sums)),
        column(
            "first",
            Align::Right,
            5,
            &|record| or_dash(record.time_to_first_chunk_ms.map(duration)),
            String::new(),
        ),
        column(
            "total",
            Align::Right,
            5,
            &|record| duration(record.duration_ms),
            String::new(),
        ),
        column(
            "process",
            Align::Left,
            6,
            &|record| or_dash(record.process.as_ref().and_then(process)),
            String::new(),
        ),
        column(
            "note",
            Align::Left,
            7,
            &|record| record.error.clone().unwrap_or_default(),
            String::new(),
        ),
    ]
}

/// A row for each model, and one for the totals.
fn by_model(report: &Report) -> Vec<Column> {
    let models = &report.totals().by_model;
    let all = &report.totals().sums;
    let column = |title, align, cells: Vec<String>| Column {
        title,
        align,
        expendable: 0,
        cells,
    };
    let counts = |of: &dyn Fn(&Sums) -> String| -> Vec<String> {
        models
            .values()
            .map(|model| of(&model.sums))
            .chain([of(all)])
            .collect()
    };
    vec![
        column(
            "provider",
            Align::Left,
            models
                .values()
                .map(|model| shortened(&model.provider))
                .chain(["all".into()])
                .collect(),
        ),
        column(
            "model",
            Align::Left,
            models
                .values()
                .map(|model| shortened(&model.model))
                .chain([String::new()])
                .collect(),
        ),
        column(
            "calls",
            Align::Right,
            models
                .values()
                .map(|model| model.exchanges)
                .chain([report.totals().exchanges])
                .map(grouped)
                .collect(),
        ),
        column(
            "input",
            Align::Right,
            counts(&|sums| sum(sums.input_tokens, sums)),
        ),
        column(
            "output",
            Align::Right,
            counts(&|sums| sum(sums.output_tokens, sums)),
        ),
        column("cost", Align::Right, counts(&cost_sum)),
    ]
}

/// A sum of tokens: estimated if a part of it is.
fn sum(count: Option<u64>, sums: &Sums) -> String {
    let provenance = if sums.estimated_exchanges > 0 {
        Provenance::Estimated
    } else {
        Provenance::Measured
    };
    tokens(count, provenance)
}

fn cost_sum(sums: &Sums) -> String {
    let estimated = if sums.estimated_exchanges > 0 {
        ESTIMATED
    } else {
        ""
    };
    sums.cost_usd.map_or(UNKNOWN.to_owned(), |usd| {
        format!("{estimated}{}", dollars(usd))
    })
}

/// What the marks mean, as far as they were used.
fn legend(table: &str, report: &Report) -> String {
    let sums = &report.totals().sums;
    let mut notes = Vec::new();
    if table.contains(ESTIMATED) {
        notes.push(format!("{ESTIMATED} estimated from the length of the text"));
    }
    if table.contains(UNKNOWN) {
        notes.push(format!("{UNKNOWN} unknown, not in the totals"));
    }
    let is_stated = |record: &Record| record.cost_provenance == CostProvenance::Stated;
    if report.records().any(is_stated) {
        notes.push(format!("{STATED} stated by the provider"));
    }
    let not_read = report.totals().exchanges_not_read;
    if not_read > 0 {
        notes.push(format!(
            "{} not read, as configured (models.bodies: leave)",
            grouped(not_read)
        ));
    }
    if sums.unpriced_exchanges > 0 {
        let calls = if sums.unpriced_exchanges == 1 {
            "call"
        } else {
            "calls"
        };
        notes.push(format!(
            "{} {calls} without a price",
            grouped(sums.unpriced_exchanges)
        ));
    }
    if notes.is_empty() {
        String::new()
    } else {
        format!("{}\n", notes.join("; "))
    }
}

/// Connections that were spliced or refused, by host and reason.
fn not_inspected(report: &Report, text: &mut String) {
    for (decision, title) in [
        (Decision::Splice, "not inspected"),
        (Decision::Refuse, "refused"),
    ] {
        let groups: Vec<_> = report
            .totals()
            .not_inspected
            .values()
            .filter(|group| group.decision == decision)
            .collect();
        if groups.is_empty() {
            continue;
        }
        let _infallible = writeln!(text, "\n{title}");
        for group in groups {
            let times = format!("{}\u{d7}", grouped(group.connections));
            let traffic = format!(
                "{} sent, {} received",
                bytes(group.bytes_sent),
                bytes(group.bytes_received)
            );
            let _infallible = writeln!(
                text,
                "{times:>6}  {}  ({}; {traffic})",
                shortened(&group.host),
                group.reason
            );
        }
    }
}

/// Attempts towards captured ports that the kernel did not hand to the proxy,
/// and what that means.
const NOT_CAPTURED: [(&str, &str); 6] = [
    (
        "quic_refused",
        "UDP to a captured port: refused, so that the client uses TCP",
    ),
    (
        "quic_allowed",
        "UDP to a captured port: went direct, as configured",
    ),
    ("bound_to_device", "socket bound to a device: went direct"),
    ("proxy_down_closed", "while the proxy was down: refused"),
    (
        "proxy_down_open",
        "while the proxy was down: went direct, as configured",
    ),
    ("storage_failed", "no room in the kernel's maps: refused"),
];

fn not_captured(report: &Report, text: &mut String) {
    let flows = &report.totals().flows;
    let seen: Vec<_> = NOT_CAPTURED
        .iter()
        .filter_map(|(name, meaning)| Some((flows.get(*name)?, meaning)))
        .collect();
    if seen.is_empty() {
        return;
    }
    text.push_str("\nnot captured\n");
    for (count, meaning) in seen {
        let times = format!("{}\u{d7}", grouped(*count));
        let _infallible = writeln!(text, "{times:>6}  {meaning}");
    }
}
