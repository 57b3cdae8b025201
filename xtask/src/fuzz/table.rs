//! What the fuzzers came to, as one table.

use std::fmt;

use super::session::Verdict;

/// A line for each, in their order.
pub(crate) struct Table<'a>(pub(crate) &'a [Verdict]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|verdict| verdict.target.len());
        let width = names.max().unwrap_or(0).max(6);
        write!(
            out,
            "{:width$}  {:>8}  {:>8}  {:>12}  {:>8}  {:>6}  {:>6}  {:>8}",
            "fuzzer", "time", "CPU", "executions", "exec/s", "edges", "new", "findings"
        )?;
        for verdict in self.0 {
            let executions = verdict.statistics.executions;
            let seconds = verdict.processor_time.as_secs().max(1);
            write!(
                out,
                "\n{:width$}  {:>6} s  {:>6} s  {:>12}  {:>8}  {:>6}  {:>6}  {:>8}",
                verdict.target,
                verdict.time.as_secs(),
                verdict.processor_time.as_secs(),
                executions,
                executions / seconds,
                verdict.statistics.edges,
                verdict.statistics.new_inputs,
                // One that broke off without leaving an input is one, too.
                verdict.inputs.len().max(usize::from(verdict.has_failed())),
            )?;
        }
        Ok(())
    }
}
