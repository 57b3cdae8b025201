//! One check's result, and all of them as a page.

use std::fmt;

use serde::Serialize;

use crate::app::paragraph::paragraph;

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// In order.
    Ok,
    /// weir works, and something should be known.
    Warning,
    /// weir does not work.
    Problem,
    /// It could not be found out.
    NotChecked,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
            Self::NotChecked => "not checked",
        }
    }

    /// Of the terminal, as in `SELECT GRAPHIC RENDITION`.
    const fn colour(self) -> u8 {
        match self {
            Self::Ok => 32,
            Self::Warning => 33,
            Self::Problem => 31,
            Self::NotChecked => 36,
        }
    }
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// What was looked at; stable, for programs.
    pub(super) name: &'static str,
    /// What came of it.
    pub(super) result: Verdict,
    /// What was found.
    pub(super) finding: String,
    /// What to do.
    pub(super) remedy: Option<String>,
}

impl Check {
    pub(super) fn ok(name: &'static str, finding: impl Into<String>) -> Self {
        Self {
            name,
            result: Verdict::Ok,
            finding: finding.into(),
            remedy: None,
        }
    }

    pub(super) fn warning(
        name: &'static str,
        finding: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            name,
            result: Verdict::Warning,
            finding: finding.into(),
            remedy: Some(remedy.into()),
        }
    }

    pub(super) fn problem(
        name: &'static str,
        finding: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            name,
            result: Verdict::Problem,
            finding: finding.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// A problem whose message says already what to do.
    pub(super) fn failed(name: &'static str, error: &dyn fmt::Display) -> Self {
        Self {
            name,
            result: Verdict::Problem,
            finding: error.to_string(),
            remedy: None,
        }
    }

    pub(super) fn not_checked(name: &'static str, why: impl Into<String>) -> Self {
        Self {
            name,
            result: Verdict::NotChecked,
            finding: why.into(),
            remedy: None,
        }
    }
}

/// All checks.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The version of weir that made it.
    weir: &'static str,
    checks: Vec<Check>,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// As text.
    Plain,
    /// For a terminal.
    Coloured,
}

impl Report {
    pub(super) fn new(checks: Vec<Check>) -> Self {
        Self {
            weir: env!("CARGO_PKG_VERSION"),
            checks,
        }
    }

    pub(super) fn problems(&self) -> usize {
        self.count(Verdict::Problem)
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.checks
            .iter()
            .filter(|check| check.result == verdict)
            .count()
    }

    /// A line for each check, with what to do below it, and the sum.
    pub(super) fn render(&self, style: Style) -> String {
        let mut out = String::new();
        for check in &self.checks {
            let verdict = format!("{:<11}", check.result.as_str());
            let head = format!("{verdict}  {:<12}  ", check.name);
            let text = paragraph(&head, &check.finding);
            out += &match style {
                Style::Plain => text,
                // After the lines were measured: colours have no width.
                Style::Coloured => text.replacen(
                    &verdict,
                    &format!("\x1b[{}m{verdict}\x1b[0m", check.result.colour()),
                    1,
                ),
            };
            if let Some(remedy) = &check.remedy {
                let arrow = format!("{}-> ", " ".repeat(head.len()));
                out += &paragraph(&arrow, remedy);
            }
        }
        let [problems, warnings, unknown] =
            [Verdict::Problem, Verdict::Warning, Verdict::NotChecked].map(|one| self.count(one));
        out += &format!(
            "\n{}, {}, {unknown} not checked\n",
            counted(problems, "problem"),
            counted(warnings, "warning")
        );
        out
    }
}

fn counted(count: usize, of: &str) -> String {
    match count {
        0 => format!("no {of}s"),
        1 => format!("1 {of}"),
        more => format!("{more} {of}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report::new(vec![
            Check::ok("kernel", "6.18.1"),
            Check::warning("ipv6", "there is none", "enable it"),
            Check::problem("cgroup2", "x ".repeat(60), "mount it"),
            Check::not_checked("canary", "it takes root"),
        ])
    }

    #[test]
    fn each_check_has_its_line_and_what_to_do() {
        let expected = format!(
            "\
ok           kernel        6.18.1
warning      ipv6          there is none
                           -> enable it
problem      cgroup2       {}
                           {}
                           -> mount it
not checked  canary        it takes root

1 problem, 1 warning, 1 not checked
",
            "x ".repeat(37).trim_end(),
            "x ".repeat(23).trim_end(),
        );
        assert_eq!(report().render(Style::Plain), expected);
        assert_eq!(report().problems(), 1);
    }

    #[test]
    fn colours_do_not_move_anything() {
        let coloured = report().render(Style::Coloured);
        let plain = [31, 32, 33, 36].iter().fold(coloured, |text, colour| {
            text.replace(&format!("\x1b[{colour}m"), "")
        });
        assert_eq!(plain.replace("\x1b[0m", ""), report().render(Style::Plain));
    }

    #[test]
    fn programs_read_the_same() {
        let json = serde_json::to_value(report()).expect("plain values");
        assert_eq!(json["checks"][1]["result"], "warning");
        assert_eq!(json["checks"][1]["remedy"], "enable it");
        assert_eq!(json["checks"][3]["result"], "not_checked");
    }
}
