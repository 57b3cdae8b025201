//! What a machine says on its serial console: the marked lines, and the suite's own.

use std::time::Duration;

use serde::Deserialize;

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
    /// What `weir doctor --json` found.
    Doctor(Doctor),
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
            "doctor" => Some(match serde_json::from_str(value) {
                Ok(doctor) => Self::Doctor(doctor),
                Err(error) => Self::Problem(format!("weir doctor cannot be read: {error}")),
            }),
            "suite" => Some(Self::Suite),
            "exit" => Some(Self::Exit(value.parse().ok()?)),
            _ => None,
        }
    }
}

/// What matters here of `weir doctor --json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Doctor {
    checks: Vec<Check>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Check {
    name: String,
    result: String,
    finding: String,
}

impl Doctor {
    /// The first thing for which weir does not work.
    pub(crate) fn problem(&self) -> Option<String> {
        let problem = self.checks.iter().find(|check| check.result == "problem")?;
        Some(format!("{}: {}", problem.name, problem.finding))
    }

    /// What loading and attaching the programs came to.
    pub(crate) fn load(&self) -> Option<&str> {
        let load = self.checks.iter().find(|check| check.name == "load")?;
        Some(&load.finding)
    }
}

/// What was heard so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Heard {
    /// What `uname -r` says, once the kernel is up.
    pub(crate) release: Option<String>,
    /// The first thing that was missing.
    pub(crate) problem: Option<String>,
    /// What weir itself found, before the suite.
    pub(crate) doctor: Option<Doctor>,
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
            Some(Mark::Doctor(doctor)) => self.doctor = Some(doctor.clone()),
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
            "@weir-vm doctor {  \"weir\": \"0.1.0\",  \"checks\": [ {\"name\": \"load\", \
             \"result\": \"ok\", \"finding\": \"9 programs\", \"remedy\": null} ]}\r",
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
        let doctor = heard.doctor.unwrap();
        assert_eq!(doctor.load(), Some("9 programs"));
        assert_eq!(doctor.problem(), None);
    }

    #[test]
    fn a_doctor_that_cannot_be_read_is_a_problem_and_so_is_what_it_finds() {
        assert!(matches!(
            Mark::read("@weir-vm doctor "),
            Some(Mark::Problem(_))
        ));
        let found = r#"@weir-vm doctor {"checks": [
            {"name": "kernel", "result": "warning", "finding": "old"},
            {"name": "load", "result": "problem", "finding": "invalid argument"}]}"#;
        let Some(Mark::Doctor(doctor)) = Mark::read(found) else {
            panic!("{found}")
        };
        assert_eq!(doctor.problem().as_deref(), Some("load: invalid argument"));
    }
}
