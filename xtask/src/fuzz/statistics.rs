//! What libFuzzer says of itself, line by line.

/// The counts of a fuzzer under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statistics {
    /// Inputs tried.
    pub(crate) executions: u64,
    /// Edges of the code that some input reached.
    pub(crate) edges: u64,
    /// Inputs that were added to the corpus.
    pub(crate) new_inputs: u64,
}

impl Statistics {
    /// Adds those of a later process of the same fuzzer.
    pub(crate) fn add(&mut self, later: Self) {
        self.executions += later.executions;
        self.edges = self.edges.max(later.edges);
        self.new_inputs += later.new_inputs;
    }

    /// Reads a line of progress, or of the end:
    /// `#1234 (tab) NEW cov: 56 ft: 78 corp: 9/10b lim: 4 exec/s: 5 rss: 6Mb …`,
    /// `stat::number_of_executed_units: 1234`, `stat::new_units_added:          5`.
    pub(crate) fn read_line(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix('#') {
            let mut words = rest.split_whitespace();
            let Some(executions) = words.next().and_then(|word| word.parse().ok()) else {
                return;
            };
            self.executions = executions;
            if words.next() == Some("NEW") {
                self.new_inputs += 1;
            }
            let edges = words.skip_while(|word| *word != "cov:").nth(1);
            if let Some(edges) = edges.and_then(|word| word.parse().ok()) {
                self.edges = edges;
            }
        } else if let Some((name, count)) = line
            .strip_prefix("stat::")
            .and_then(|it| it.split_once(':'))
            && let Ok(count) = count.trim().parse()
        {
            match name {
                "number_of_executed_units" => self.executions = count,
                "new_units_added" => self.new_inputs = count,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Statistics;

    #[test]
    fn progress_and_end_are_read() {
        let mut statistics = Statistics::default();
        for line in [
            "INFO: Running with entropic power schedule (0xFF, 100).",
            "#2\tINITED cov: 40 ft: 41 corp: 1/1b exec/s: 0 rss: 30Mb",
            "#35\tNEW    cov: 56 ft: 78 corp: 9/10b lim: 4 exec/s: 5 rss: 6Mb L: 3/4 MS: 1 -",
            "#64\tpulse  cov: 57 ft: 78 corp: 9/10b lim: 4 exec/s: 5 rss: 6Mb",
            "#not a number",
        ] {
            statistics.read_line(line);
        }
        let expected = Statistics {
            executions: 64,
            edges: 57,
            new_inputs: 1,
        };
        assert_eq!(statistics, expected);
        statistics.read_line("stat::number_of_executed_units: 1234");
        statistics.read_line("stat::new_units_added:          5");
        assert_eq!((statistics.executions, statistics.new_inputs), (1234, 5));
    }
}
