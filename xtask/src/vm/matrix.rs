//! What the kernels came to: judged from what their machines said, shown as one table.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, bail};

use super::accelerator::Accelerator;
use super::console::{Doctor, Heard};
use super::machine::End;
use super::series::Series;
use crate::step::seconds;
use crate::test::report::{Counts, Outcome};

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) series: Series,
    pub(crate) release: String,
    pub(crate) accelerator: Accelerator,
    pub(crate) outcome: Outcome,
    pub(crate) counts: Counts,
    pub(crate) duration: Duration,
    /// What weir itself found of the kernel.
    pub(crate) doctor: Option<Doctor>,
}

/// The kernels in the order they ran.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matrix {
    rows: Vec<Row>,
}

/// Judges a machine by how it ended and what it had said until then; `arguments` are the suite's.
pub(crate) fn judge(end: End, heard: &Heard, release: &str, arguments: &[String]) -> Outcome {
    let Some(running) = &heard.release else {
        return Outcome::Failed(format!("{end} before the kernel was up"));
    };
    if running != release {
        return Outcome::Failed(format!("{running} runs instead"));
    }
    if let Some(problem) = &heard.problem {
        return Outcome::Failed(problem.clone());
    }
    let Some(doctor) = &heard.doctor else {
        return Outcome::Failed(format!("{end} before weir doctor had spoken"));
    };
    if let Some(problem) = doctor.problem() {
        return Outcome::Failed(format!("weir doctor: {problem}"));
    }
    match heard.exit {
        Some(status) => Outcome::judge(status == 0, heard.counts, arguments),
        None => Outcome::Failed(format!("{end} before the suite did")),
    }
}

impl Matrix {
    /// Adds a line.
    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// The verb's result.
    ///
    /// # Errors
    /// When a kernel failed, or no kernel ran a test: then a filter matches none.
    pub(crate) fn verdict(&self) -> Result<()> {
        let failed: Vec<&str> = self
            .rows
            .iter()
            .filter(|row| row.outcome != Outcome::Passed)
            .map(|row| row.series.name())
            .collect();
        if !failed.is_empty() {
            bail!("kernels failed: {}", failed.join(", "));
        }
        if self.rows.iter().all(|row| row.counts.passed == 0) {
            bail!("no test ran: the arguments match none");
        }
        Ok(())
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .rows
            .iter()
            .map(|row| row.release.len())
            .max()
            .unwrap_or(0)
            .max(7);
        write!(
            f,
            "{:9}  {:width$}  {:5}  {:6}  {:>6}  {:>6}  {:>7}  {:>8}  {:9}  weir doctor",
            "kernel", "release", "accel", "result", "passed", "failed", "ignored", "time", "why"
        )?;
        for row in &self.rows {
            let (result, why) = match &row.outcome {
                Outcome::Passed => ("passed", ""),
                Outcome::Failed(why) => ("FAILED", why.as_str()),
                Outcome::NotRun => ("not run", ""),
            };
            let found = row.doctor.as_ref().and_then(Doctor::load).unwrap_or("");
            let line = format!(
                "{:9}  {:width$}  {:5}  {result:6}  {:>6}  {:>6}  {:>7}  {:>8}  {:<9}  {found}",
                row.series,
                row.release,
                row.accelerator,
                row.counts.passed,
                row.counts.failed,
                row.counts.ignored,
                seconds(row.duration),
                why,
            );
            write!(f, "\n{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;
    use std::time::Duration;

    use super::super::accelerator::Accelerator;
    use super::super::console::Heard;
    use super::super::machine::End;
    use super::super::series::Series;
    use super::{Matrix, Row, judge};
    use crate::test::report::{Counts, Outcome};

    const RELEASE: &str = "6.1.0-50-cloud-amd64";

    fn powered_off() -> End {
        End::Itself(ExitStatus::from_raw(0))
    }

    fn heard() -> Heard {
        let mut heard = Heard::default();
        heard.line(&format!("@weir-vm up 1.0 {RELEASE}"));
        heard.line(
            r#"@weir-vm doctor {"checks": [{"name": "load", "result": "ok", "finding": "loaded"}]}"#,
        );
        heard.line("test result: ok. 3 passed; 0 failed; 0 ignored");
        heard.line("@weir-vm exit 0");
        heard
    }

    fn why(end: End, heard: &Heard) -> String {
        let outcome = judge(end, heard, RELEASE, &[]);
        let Outcome::Failed(why) = outcome else {
            panic!("{outcome:?}")
        };
        why
    }

    #[test]
    fn only_a_machine_that_said_so_has_passed() {
        assert_eq!(
            judge(powered_off(), &heard(), RELEASE, &[]),
            Outcome::Passed
        );
        let failed = Heard {
            exit: Some(101),
            ..heard()
        };
        assert_eq!(why(powered_off(), &failed), "did not build, or was stopped");
        let silent = Heard {
            exit: None,
            ..heard()
        };
        let bound = Duration::from_secs(300);
        assert_eq!(
            why(End::Silent(bound), &silent),
            "the machine said nothing for 300.0 s before the suite did"
        );
        assert!(why(powered_off(), &Heard::default()).contains("before the kernel was up"));
        let other = Heard {
            release: Some("6.1.0-47-cloud-amd64".to_owned()),
            ..heard()
        };
        assert!(why(powered_off(), &other).contains("6.1.0-47"));
        let without_veth = Heard {
            problem: Some("the module veth does not load".to_owned()),
            ..heard()
        };
        assert!(why(powered_off(), &without_veth).contains("veth"));
        let undiagnosed = Heard {
            doctor: None,
            ..heard()
        };
        assert!(why(powered_off(), &undiagnosed).contains("before weir doctor"));
        let empty = Heard {
            counts: Counts::default(),
            ..heard()
        };
        assert_eq!(why(powered_off(), &empty), "no test ran");
    }

    #[test]
    fn one_failed_kernel_fails_the_verb_and_shows_why() {
        let row = |series, outcome| Row {
            series,
            release: RELEASE.to_owned(),
            accelerator: Accelerator::Tcg,
            outcome,
            counts: heard().counts,
            duration: Duration::from_millis(61_500),
            doctor: heard().doctor,
        };
        let mut matrix = Matrix::default();
        matrix.add(row(Series::Bookworm, Outcome::Passed));
        assert!(matrix.verdict().is_ok());
        matrix.add(row(Series::Newest, Outcome::Failed("1 failed".to_owned())));
        let verdict = matrix.verdict().map_err(|error| error.to_string());
        assert_eq!(verdict, Err("kernels failed: newest".to_owned()));
        assert_eq!(
            matrix.to_string(),
            "kernel     release               accel  result  passed  failed  ignored      time  why        weir doctor\n\
             6.1        6.1.0-50-cloud-amd64  tcg    passed       3       0        0    61.5 s             loaded\n\
             newest     6.1.0-50-cloud-amd64  tcg    FAILED       3       0        0    61.5 s  1 failed   loaded"
        );
    }
}
