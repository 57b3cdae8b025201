//! What a machine says on its serial console: the marked lines, and the suite's own.

use std::time::Duration;

use crate::test::report::Counts;

/// What begins a line that is for xtask.
const MARK: &str = "@weir-vm ";
/// What libtest says of a test that failed.
const FAILED: &str = " ... FAILED";

/// A marked line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mark {
    /// The kernel runs its first process.
    Up {
        /// Since the kernel started.
        after: Duration,
        /// What `uname -r` says.
        release: String,
    },
    /// Something the suite needs is missing.
    Problem(String),
    /// The suite begins.
    Suite,
    /// The suite's program ended with that status.
    Exit(u32),
}

impl Mark {
    /// Reads a line of the console, if it is marked.
    pub(crate) fn read(line: &str) -> Option<Self> {
        // The firmware may have left something before it on the first line.
        let (_, marked) = line.split_once(MARK)?;
        let (name, value) = marked
            .trim_end()
            .split_once(' ')
            .unwrap_or((marked.trim_end(), ""));
        match name {
            "up" => {
                let (seconds, release) = value.split_once(' ')?;
                Some(Self::Up {
                    after: Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?,
                    release: release.to_owned(),
                })
            }
            "problem" => Some(Self::Problem(value.to_owned())),
            "suite" => Some(Self::Suite),
            "exit" => Some(Self::Exit(value.parse().ok()?)),
            _ => None,
        }
    }
}

/// What was heard so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Heard {
    /// What `uname -r` says, once the kernel is up.
    pub(crate) release: Option<String>,
    /// The first thing that was missing.
    pub(crate) problem: Option<String>,
    /// The status of the suite's program, once it ended.
    pub(crate) exit: Option<u32>,
    /// The suite's summary.
    pub(crate) counts: Counts,
    /// Names of the tests that failed.
    pub(crate) failed: Vec<String>,
}

impl Heard {
    /// Takes in a line, and gives back its mark.
    pub(crate) fn line(&mut self, line: &str) -> Option<Mark> {
        let mark = Mark::read(line);
        match &mark {
            Some(Mark::Up { release, .. }) => self.release = Some(release.clone()),
            Some(Mark::Problem(what)) => {
                self.problem.get_or_insert_with(|| what.clone());
            }
            Some(Mark::Exit(status)) => self.exit = Some(*status),
            Some(Mark::Suite) => {}
            None => {
                self.counts.read_line(line);
                self.failed.extend(failed_test(line).map(str::to_owned));
            }
        }
        mark
    }
}

/// The name in libtest's line about a test that failed: `test NAME ... FAILED`.
pub(crate) fn failed_test(line: &str) -> Option<&str> {
    line.trim_end().strip_prefix("test ")?.strip_suffix(FAILED)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Heard, Mark};

    #[test]
    fn marks_are_read_from_lines_of_a_serial_console() {
        let up = Mark::Up {
            after: Duration::from_millis(1230),
            release: "6.1.0-50-cloud-amd64".to_owned(),
        };
        for (line, mark) in [
            ("@weir-vm up 1.23 6.1.0-50-cloud-amd64\r", Some(up.clone())),
            (
                "\u{1b}c\u{1b}[?7l@weir-vm up 1.23 6.1.0-50-cloud-amd64",
                Some(up),
            ),
            (
                "@weir-vm problem the module veth does not load\r",
                Some(Mark::Problem("the module veth does not load".to_owned())),
            ),
            ("@weir-vm suite\r", Some(Mark::Suite)),
            ("@weir-vm exit 101\r", Some(Mark::Exit(101))),
            ("@weir-vm exit", None),
            ("@weir-vm up soon 6.1", None),
            ("@weir-vm up -1 6.1", None),
            ("@weir-vm other 1", None),
            ("test up ... ok", None),
        ] {
            assert_eq!(Mark::read(line), mark, "{line:?}");
        }
    }

    #[test]
    fn a_whole_console_is_summed_up() {
        let mut heard = Heard::default();
        for line in [
            "@weir-vm up 0.98 5.10.0-32-cloud-amd64\r",
            "@weir-vm suite\r",
            "running 2 tests\r",
            "test claim::a_wrong_token_is_refused ... ok\r",
            "test spread::ports_are_all_used ... FAILED\r",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured\r",
            "@weir-vm exit 101\r",
        ] {
            heard.line(line);
        }
        assert_eq!(heard.release.as_deref(), Some("5.10.0-32-cloud-amd64"));
        assert_eq!(heard.failed, ["spread::ports_are_all_used"]);
        assert_eq!((heard.counts.passed, heard.counts.failed), (1, 1));
        assert_eq!(heard.exit, Some(101));
        assert_eq!(heard.problem, None);
    }
}
