//! What the kernel says that weir's own programs take.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, ensure};
use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};

use crate::bed::Bed;
use crate::client::Task;

/// What is done while the kernel measures.
const CONNECTIONS: Task = Task::Connect { count: 2000 };
const EXCHANGES: Task = Task::Exchange {
    bytes: 200,
    count: 2000,
};

/// How often and how long each program ran, by its name.
type Ran = BTreeMap<String, (u64, u64)>;

/// The costs of each program of weir.
pub(crate) struct Costs {
    /// Per program: runs, nanoseconds of all runs.
    connections: Ran,
    exchanges: Ran,
}

/// Measures them, on processes of their own: taking the time of each run costs
/// time too, and so is no part of the comparison.
pub(crate) fn costs(bed: &Bed) -> Result<Costs> {
    // The kernel stops when this is closed, also by being killed.
    let _measuring = enable_stats(Stats::RunTime).context("the kernel measures no programs")?;
    let mut turn = bed.start()?;
    let start = ran(bed)?;
    turn.task(CONNECTIONS)?;
    let connected = ran(bed)?;
    turn.task(EXCHANGES)?;
    let exchanged = ran(bed)?;
    turn.finish()?;
    Ok(Costs {
        connections: since(&connected, &start),
        exchanges: since(&exchanged, &connected),
    })
}

fn ran(bed: &Bed) -> Result<Ran> {
    let attached = bed.pod().attached()?;
    let mut ran = Ran::new();
    for program in loaded_programs() {
        // Others' programs may go while they are listed.
        let Ok(program) = program else { continue };
        if let Some(name) = attached.programs.get(&program.id()) {
            let time = u64::try_from(program.run_time().as_nanos())?;
            ran.insert(name.clone(), (program.run_count(), time));
        }
    }
    ensure!(!ran.is_empty(), "weir's programs are not loaded");
    Ok(ran)
}

fn since(later: &Ran, earlier: &Ran) -> Ran {
    let before = |name| earlier.get(name).copied().unwrap_or_default();
    later
        .iter()
        .map(|(name, (runs, time))| {
            let (runs_before, time_before) = before(name);
            (name.clone(), (runs - runs_before, time - time_before))
        })
        .collect()
}

impl fmt::Display for Costs {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "weir's programs, by the kernel's own clock (which adds some ns to each run)\n\
             {:<16} {:>9} {:>18} {:>17} {:>16}",
            "", "ns/run", "runs/connection", "ns/connection", "runs/request"
        )?;
        let mut sum = 0.0;
        for (name, (runs, time)) in &self.connections {
            if *runs == 0 {
                // Of the other family, or of datagrams.
                continue;
            }
            let requests = self.exchanges.get(name).map_or(0, |(runs, _)| *runs);
            let per_connection = per(*time, CONNECTIONS.total());
            sum += per_connection;
            writeln!(
                out,
                "{name:<16} {:>9.0} {:>18.2} {per_connection:>17.0} {:>16.3}",
                per(*time, usize::try_from(*runs).unwrap_or(usize::MAX)),
                per(*runs, CONNECTIONS.total()),
                per(requests, EXCHANGES.total()),
            )?;
        }
        writeln!(out, "{:<16} {:>9} {:>18} {sum:>17.0}", "together", "", "")
    }
}

/// A part of a whole; nothing of nothing is nothing.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts and nanoseconds of seconds are far below 2^52"
)]
fn per(part: u64, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}
