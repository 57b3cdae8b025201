//! What the suites came to: counted from the output of the test programs, shown as one table.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::step::seconds;

/// The tests of one suite, summed over its programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) ignored: u32,
}

impl Counts {
    /// Adds a program's summary if the line is one:
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; …`, perhaps with colours.
    pub(crate) fn read_line(&mut self, line: &str) {
        let Some((_, summary)) = line.split_once("test result: ") else {
            return;
        };
        let count = |label: &str| -> u32 {
            summary
                .split([';', '.'])
                .filter_map(|part| part.trim().strip_suffix(label))
                .find_map(|part| part.split_whitespace().last()?.parse().ok())
                .unwrap_or(0)
        };
        self.passed += count("passed");
        self.failed += count("failed");
        self.ignored += count("ignored");
    }
}

/// How a suite ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its programs exited with 0 and ran tests.
    Passed,
    /// A test failed, or the suite could not run: why.
    Failed(String),
    /// Left out on request.
    NotRun,
}

impl Outcome {
    /// Judges a suite that ran. No test at all is a failure, unless the caller's `arguments` may
    /// have filtered them out.
    pub(crate) fn judge(success: bool, counts: Counts, arguments: &[String]) -> Self {
        if !success {
            Self::Failed(match counts.failed {
                0 => "did not build, or was stopped".to_owned(),
                failed => format!("{failed} failed"),
            })
        } else if counts.passed == 0 && arguments.is_empty() {
            Self::Failed("no test ran".to_owned())
        } else {
            Self::Passed
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Suite {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    pub(crate) counts: Counts,
    pub(crate) duration: Duration,
}

impl Suite {
    /// A suite that could not run.
    pub(crate) fn failed(name: &str, why: &str) -> Self {
        Self::without_tests(name, Outcome::Failed(why.to_owned()))
    }

    /// A suite left out on request.
    pub(crate) fn not_run(name: &str) -> Self {
        Self::without_tests(name, Outcome::NotRun)
    }

    fn without_tests(name: &str, outcome: Outcome) -> Self {
        Self {
            name: name.to_owned(),
            outcome,
            counts: Counts::default(),
            duration: Duration::ZERO,
        }
    }
}

/// The suites in the order they ran.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    suites: Vec<Suite>,
}

impl Report {
    /// Adds a line.
    pub(crate) fn add(&mut self, suite: Suite) {
        self.suites.push(suite);
    }

    /// The verb's result.
    ///
    /// # Errors
    /// When a suite failed, or no suite ran a test: then a filter matches none.
    pub(crate) fn verdict(&self) -> Result<()> {
        let failed: Vec<&str> = self
            .suites
            .iter()
            .filter(|suite| matches!(suite.outcome, Outcome::Failed(_)))
            .map(|suite| suite.name.as_str())
            .collect();
        if !failed.is_empty() {
            bail!("suites failed: {}", failed.join(", "));
        }
        if self.suites.iter().all(|suite| suite.counts.passed == 0) {
            bail!("no test ran: the arguments match none");
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .suites
            .iter()
            .map(|suite| suite.name.len())
            .max()
            .unwrap_or(0)
            .max(5);
        write!(
            f,
            "{:width$}  {:7}  {:>6}  {:>7}  {:>8}",
            "suite", "result", "passed", "ignored", "time"
        )?;
        for suite in &self.suites {
            let (result, why) = match &suite.outcome {
                Outcome::Passed => ("passed", ""),
                Outcome::Failed(why) => ("FAILED", why.as_str()),
                Outcome::NotRun => ("not run", "left out by --unprivileged"),
            };
            let Counts {
                passed, ignored, ..
            } = suite.counts;
            let time = seconds(suite.duration);
            let line = format!(
                "{:width$}  {result:7}  {passed:>6}  {ignored:>7}  {time:>8}  {why}",
                suite.name
            );
            write!(f, "\n{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Outcome, Report, Suite};

    #[test]
    fn summaries_of_programs_are_summed_with_and_without_colour() {
        let mut counts = Counts::default();
        for line in [
            "running 3 tests",
            "test passed::failed ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
            "test result: \u{1b}[31mFAILED\u{1b}(B\u{1b}[m. 12 passed; 2 failed; 0 ignored",
        ] {
            counts.read_line(line);
        }
        assert_eq!(
            counts,
            Counts {
                passed: 15,
                failed: 2,
                ignored: 1
            }
        );
    }

    #[test]
    fn a_suite_without_tests_fails_unless_the_caller_filtered() {
        let none = Counts::default();
        let some = Counts { passed: 1, ..none };
        let filtered = ["name".to_owned()];
        assert_eq!(Outcome::judge(true, some, &[]), Outcome::Passed);
        assert_eq!(Outcome::judge(true, none, &filtered), Outcome::Passed);
        assert!(matches!(
            Outcome::judge(true, none, &[]),
            Outcome::Failed(_)
        ));
        assert!(matches!(
            Outcome::judge(false, some, &filtered),
            Outcome::Failed(_)
        ));
    }

    #[test]
    fn a_suite_that_could_not_run_fails_the_verb_and_one_left_out_does_not() {
        let counts = Counts {
            passed: 1,
            ..Counts::default()
        };
        let ran = Suite {
            counts,
            ..Suite::without_tests("unit", Outcome::Passed)
        };
        let mut report = Report::default();
        report.add(Suite::not_run("kernel"));
        assert!(report.verdict().is_err(), "nothing ran");
        report.add(ran);
        assert!(report.verdict().is_ok());
        report.add(Suite::failed("exec", "needs root"));
        let verdict = report.verdict().map_err(|error| error.to_string());
        assert_eq!(verdict, Err("suites failed: exec".to_owned()));
        assert!(report.to_string().contains("needs root"));
    }
}
