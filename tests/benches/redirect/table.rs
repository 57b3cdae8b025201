//! The figures as a person reads them.

use std::fmt;

use anyhow::{Context, Result};
use weir_tests::spread::Spread;

use crate::bed::Way;
use crate::figures::Rounds;
use crate::measure::{Better, Measure};

/// One measure of all ways.
struct Row {
    measure: Measure,
    medians: [Option<f64>; Way::ALL.len()],
    /// weir over each way of iptables.
    against: [Option<Spread>; 2],
    over_direct: f64,
}

/// All measures. At most 100 columns.
pub(crate) struct Table(Vec<Row>);

const IPTABLES: [Way; 2] = [Way::IptablesNft, Way::IptablesLegacy];

impl Table {
    pub(crate) fn new(rounds: &Rounds) -> Result<Self> {
        let row = |measure| {
            let over_direct = rounds.ratio(Way::Weir, Way::Direct, measure);
            Ok(Row {
                measure,
                medians: Way::ALL.map(|way| rounds.median(way, measure)),
                against: IPTABLES.map(|way| rounds.ratio(Way::Weir, way, measure)),
                over_direct: over_direct.context("nothing was measured")?.median,
            })
        };
        Measure::ALL
            .into_iter()
            .map(row)
            .collect::<Result<_>>()
            .map(Self)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{:<34}{:>12}      {:<38}{:>8}\n\
             {:<18}{:>8}{:>8}{:>8}{:>8}  {:<19}{:<19}{:>8}",
            "",
            "iptables",
            "weir / iptables",
            "weir /",
            "",
            "direct",
            "weir",
            "nft",
            "legacy",
            "nft",
            "legacy",
            "direct"
        )?;
        for row in &self.0 {
            write!(out, "{:<18}", row.measure)?;
            for median in row.medians {
                match median {
                    Some(median) if median >= 1000.0 => write!(out, "{median:>8.0}")?,
                    Some(median) => write!(out, "{median:>8.1}")?,
                    None => write!(out, "{:>8}", "-")?,
                }
            }
            write!(out, "  ")?;
            for against in row.against {
                let shown = against.map_or("-".to_owned(), |it| it.to_string());
                write!(out, "{shown:<19}")?;
            }
            writeln!(out, "{:>8.2}", row.over_direct)?;
        }
        writeln!(
            out,
            "\nMedians of rounds; ratios round by round: median (least..most). Less is better, but for\n\
             connections/s. First byte: from connect() until a byte is back from the server, one\n\
             connection after the other; connections/s: the same, four at once; 200 B, 2 KB: request\n\
             and answer of that size on one connection. CPU: of client, relay and server together.\n"
        )?;
        for (index, way) in IPTABLES.into_iter().enumerate() {
            self.verdict(out, index, way)?;
        }
        Ok(())
    }
}

impl Table {
    /// One way of iptables in words.
    fn verdict(&self, out: &mut fmt::Formatter<'_>, index: usize, way: Way) -> fmt::Result {
        let (mut better, mut alike, mut worse) = (0, Vec::new(), Vec::new());
        for row in &self.0 {
            let Some(ratio) = row.against.get(index).copied().flatten() else {
                return Ok(());
            };
            let says = format!("{} {ratio}", row.measure);
            match judge(&ratio, row.measure.better()) {
                Judgement::Better => better += 1,
                Judgement::Alike => alike.push(says),
                Judgement::Worse => worse.push(says),
            }
        }
        writeln!(
            out,
            "weir beside {way}: better on {better} of {} measures, worse on {}",
            self.0.len(),
            worse.len()
        )?;
        for (what, measures) in [("worse", worse), ("undecided", alike)] {
            for measure in measures {
                writeln!(out, "  {what}: {measure}")?;
            }
        }
        Ok(())
    }
}

/// What the rounds say of weir.
enum Judgement {
    Better,
    /// They do not agree.
    Alike,
    Worse,
}

/// By three quarters of the rounds: what fewer say may be chance.
fn judge(ratio: &Spread, better: Better) -> Judgement {
    let (below, above) = (ratio.upper < 1.0, ratio.lower > 1.0);
    match (better, below, above) {
        (Better::Less, true, _) | (Better::More, _, true) => Judgement::Better,
        (Better::Less, _, true) | (Better::More, true, _) => Judgement::Worse,
        (Better::Less | Better::More, false, false) => Judgement::Alike,
    }
}
