//! The figures as a person reads them: on a terminal, and as Markdown.

use std::fmt::{self, Write as _};

use crate::bars::Bars;
use crate::case::Aim;
use crate::path::Path;
use crate::results::{Results, Row};

/// What the figures mean.
const LEGEND: &str = "\
Medians of rounds. Of weir beside another path: the median of the ratios of each round, and in \
parentheses their quartiles; of latencies and delays (p50, p99) the ratio of what each adds to the \
direct path. Time on the processor and memory are of the proxy alone, all its processes together. \
Less is better, but for calls/s, events/s and MB/s.";

/// How they come about, for those who were not there.
const METHOD: &str = "\
An application calls a provider, in one network namespace and another; between them is a proxy, or \
none. All paths take turns, a few seconds each, in several rounds. nginx, HAProxy, Envoy and \
mitmproxy terminate TLS and encrypt again with certificates of the same kind, verify the provider, \
and keep their connections to it; the application is told of them. Of weir it knows nothing: its \
programs redirect, and it meters every call (`weir`), or leaves bodies unread (`unmetered`), or asks \
no stream for its usage, and estimates it (`no rules`).

- The provider answers at once, with chat completions of a given size or events at a given pace, and \
stamps each event with the time; the delay of an event is from its stamp to its arrival.
- `when due`: calls are made by a clock, whether those before are done or not, and a late one is \
timed from when it was due. Elsewhere each connection calls again once it has its answer.
- A call of `dial` takes a connection of its own: TCP, a full handshake, one call, the end. Proxies \
may keep theirs to the provider.
- A provider that is far away is behind two TUN devices that hold each packet back for half the \
round trip, those of handshakes too. Nothing is lost, and bandwidth has no bound.
- nginx speaks HTTP/1.1 to the provider also where the application speaks HTTP/2.
- Behind rules of iptables weir refuses connections, because it takes a destination from its own \
programs alone; `cargo xtask bench redirect` compares the two ways of redirecting.";

/// A table for the terminal.
pub(crate) struct Terminal<'a>(pub(crate) &'a Results);

/// The same as Markdown.
pub(crate) struct Markdown<'a>(pub(crate) &'a Results);

/// Figures with three digits that mean something.
fn figure(value: f64) -> String {
    if value >= 99.5 {
        format!("{value:.0}")
    } else if value >= 9.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn cell(row: &Row, path: Path) -> String {
    row.median(path).map_or("–".to_owned(), figure)
}

/// weir beside the path that it is held against.
fn beside(row: &Row) -> String {
    let Some((against, ratio)) = row.held_against() else {
        return "–".to_owned();
    };
    let growth = row.growth();
    let growth = growth.map_or(String::new(), |it| format!(", {it:.2} × its first round"));
    format!(
        "{:.2} ({:.2}..{:.2}) × {against}{growth}",
        ratio.median, ratio.lower, ratio.upper
    )
}

/// What was aimed at, and whether it is reached.
fn aim(row: &Row) -> String {
    let Some(aim) = row.aim else {
        return String::new();
    };
    let what = match aim {
        Aim::Beside(path, part) => format!("≤ {part:.1} × {path}"),
        Aim::Absolute(most) => format!("≤ {}", figure(most)),
        Aim::Shown(_) => return String::new(),
    };
    match row.is_reached() {
        Some(true) => format!("{what}: yes"),
        Some(false) => format!("{what}: NO"),
        None => format!("{what}: ?"),
    }
}

/// A case with its loads.
fn title(row: &Row) -> String {
    let case = clap::ValueEnum::to_possible_value(&row.case);
    let case = case.map_or(String::new(), |it| it.get_name().to_owned());
    format!("{case}: {}", row.step)
}

impl fmt::Display for Terminal<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.0.conditions {
            writeln!(out, "{line}")?;
        }
        let mut last = String::new();
        for row in &self.0.rows {
            let paths = self.0.paths(row.case);
            if title(row) != last {
                last = title(row);
                write!(out, "\n{last:<21}\n{:<21}", "")?;
                for path in &paths {
                    write!(out, "{path:>10}")?;
                }
                writeln!(out, "  weir beside another")?;
            }
            write!(out, "  {:<19}", row.measure)?;
            for path in &paths {
                write!(out, "{:>10}", cell(row, *path))?;
            }
            writeln!(out, "  {:<30} {}", beside(row), aim(row))?;
        }
        writeln!(out, "\n{}{LEGEND}", Bars(self.0))?;
        left_out(out, self.0)
    }
}

impl fmt::Display for Markdown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "# What weir costs beside other proxies\n\n\
             Written by `cargo xtask bench peers -- --markdown tests/benches/README.md`.\n\n\
             {METHOD}\n\n## This run\n"
        )?;
        for line in &self.0.conditions {
            writeln!(out, "- {line}")?;
        }
        writeln!(out, "\n{LEGEND}")?;
        let mut case = None;
        for row in &self.0.rows {
            let paths = self.0.paths(row.case);
            if case != Some(row.case) {
                case = Some(row.case);
                let about = clap::ValueEnum::to_possible_value(&row.case);
                let about = about.and_then(|it| it.get_help().map(ToString::to_string));
                writeln!(out, "\n## {}\n", about.unwrap_or_default())?;
                let (mut names, mut rule) = (String::new(), String::new());
                for path in &paths {
                    write!(names, " {path} |")?;
                    rule.push_str("--:|");
                }
                writeln!(out, "| load | |{names} weir beside another | aim |")?;
                writeln!(out, "|---|---|{rule}---|---|")?;
            }
            write!(out, "| {} | {} |", row.step, row.measure)?;
            for path in &paths {
                write!(out, " {} |", cell(row, *path))?;
            }
            writeln!(out, " {} | {} |", beside(row), aim(row))?;
        }
        writeln!(
            out,
            "\n## What is aimed at, as bars\n\n```text\n{}```\n",
            Bars(self.0)
        )?;
        left_out(out, self.0)
    }
}

fn left_out(out: &mut fmt::Formatter<'_>, results: &Results) -> fmt::Result {
    for it in &results.left_out {
        let case = it
            .case
            .and_then(|case| clap::ValueEnum::to_possible_value(&case));
        let of = case.map_or(String::new(), |case| format!(" in {}", case.get_name()));
        writeln!(out, "- Not measured: {}{of}: {}", it.path, it.why)?;
    }
    Ok(())
}
