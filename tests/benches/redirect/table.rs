//! The figures as a person reads them.

use std::fmt;

use anyhow::{Context, Result};

use crate::bed::Way;
use crate::figures::{Rounds, Spread};
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
        let [direct, weir, nft, legacy] = Way::ALL;
        writeln!(
            out,
            "{:<18}{direct:>8}{weir:>8}{nft:>8}{legacy:>11}  {:<19} {:<19}{:>6}",
            "", "weir/ipt-nft", "weir/ipt-legacy", "weir/direct"
        )?;
        for row in &self.0 {
            write!(out, "{:<18}", row.measure)?;
            for (median, width) in row.medians.iter().zip([8, 8, 8, 11]) {
                match median {
                    Some(median) if *median >= 1000.0 => write!(out, "{median:>width$.0}")?,
                    Some(median) => write!(out, "{median:>width$.1}")?,
                    None => write!(out, "{:>width$}", "-")?,
                }
            }
            write!(out, "  ")?;
            for against in row.against {
                let shown = against.map_or("-".to_owned(), |it| it.to_string());
                write!(out, "{shown:<19} ")?;
            }
            writeln!(out, "{:>6.2}", row.over_direct)?;
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
        let mut faster = 0;
        let mut slower = Vec::new();
        for row in &self.0 {
            let Some(ratio) = row.against.get(index).copied().flatten() else {
                return Ok(());
            };
            let median = match row.measure.better() {
                Better::Less => ratio.median,
                Better::More => ratio.median.recip(),
            };
            if median > 1.0 {
                slower.push(format!("{} ({ratio})", row.measure));
            } else {
                faster += 1;
            }
        }
        write!(
            out,
            "weir beside {way}: not slower on {faster} of {} measures",
            self.0.len()
        )?;
        if slower.is_empty() {
            writeln!(out)
        } else {
            writeln!(out, "; slower: {}", slower.join(", "))
        }
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
