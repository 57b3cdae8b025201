//! What the scenario says of itself, one line each.

use std::fmt;

use anyhow::{Result, bail};

use crate::step::Steps;

/// What begins a line that is read.
const PREFIX: &str = "@weir-pod ";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It has begun, on this kernel and engine.
    Up(String),
    /// A check passed.
    Passed(String),
    /// A check failed, for what was seen.
    Failed { name: String, seen: String },
    /// A figure or remark.
    Said(String),
    /// It has come to its end.
    Exit,
}

impl Mark {
    /// The mark in a line of output.
    pub(super) fn read(line: &str) -> Option<Self> {
        let text = line.strip_prefix(PREFIX)?;
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        Some(match word {
            "up" => Self::Up(rest.to_owned()),
            "ok" => Self::Passed(rest.to_owned()),
            "FAILED" => {
                let (name, seen) = rest.split_once(" | ").unwrap_or((rest, ""));
                Self::Failed {
                    name: name.to_owned(),
                    seen: seen.to_owned(),
                }
            }
            "exit" => Self::Exit,
            _ => Self::Said(text.to_owned()),
        })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up(on) => write!(f, "Linux {on}"),
            Self::Passed(name) => write!(f, "ok      {name}"),
            Self::Failed { name, seen } => write!(f, "FAILED  {name}: {seen}"),
            Self::Said(text) => write!(f, "        {text}"),
            Self::Exit => write!(f, "        the end"),
        }
    }
}

/// What was said in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    passed: u32,
    failed: Vec<String>,
    ended: bool,
}

impl Seen {
    /// Takes a mark into account.
    pub(super) fn add(&mut self, mark: &Mark) {
        match mark {
            Mark::Passed(_) => self.passed += 1,
            Mark::Failed { name, .. } => self.failed.push(name.clone()),
            Mark::Exit => self.ended = true,
            Mark::Up(_) | Mark::Said(_) => {}
        }
    }

    /// Shows a line of output, and takes it into account if it is a mark.
    pub(super) fn hear(&mut self, steps: &Steps, line: &str) {
        let line = line.trim_end();
        match Mark::read(line) {
            Some(mark) => {
                println!("{mark}");
                self.add(&mark);
            }
            None => steps.note(line),
        }
    }

    /// The result, as the last line.
    ///
    /// # Errors
    /// A check failed, or not all of them were made.
    pub(super) fn verdict(&self) -> Result<()> {
        println!("{} passed, {} failed", self.passed, self.failed.len());
        if !self.failed.is_empty() {
            bail!("failed: {}", self.failed.join("; "));
        }
        if !self.ended || self.passed == 0 {
            bail!("the scenario did not come to its end: see above");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Mark, Seen};

    fn seen(lines: &[&str]) -> Seen {
        let mut seen = Seen::default();
        for mark in lines.iter().filter_map(|line| Mark::read(line)) {
            seen.add(&mark);
        }
        seen
    }

    #[test]
    fn only_a_scenario_that_came_to_its_end_passes() {
        let all = ["@weir-pod ok it works", "podman says", "@weir-pod exit 0"];
        assert!(seen(&all).verdict().is_ok());
        assert!(seen(&all[..2]).verdict().is_err());
        assert!(seen(&all[2..]).verdict().is_err());
        let failed = ["@weir-pod FAILED it works | not", all[0], all[2]];
        let error = seen(&failed).verdict().unwrap_err();
        assert_eq!(error.to_string(), "failed: it works");
    }

    #[test]
    fn other_output_is_no_mark() {
        assert_eq!(Mark::read("Error: no such container"), None);
        assert_eq!(
            Mark::read("@weir-pod FAILED a b | c | d"),
            Some(Mark::Failed {
                name: "a b".to_owned(),
                seen: "c | d".to_owned()
            })
        );
    }
}
