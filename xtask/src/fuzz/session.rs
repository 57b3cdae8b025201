//! One fuzzer while it runs, and what came of it.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Places;
use super::program::Programs;
use super::statistics::Statistics;
use crate::step::{Steps, seconds};

/// Longest input that is tried. What happens only to larger ones is for the tests.
const INPUT_LEN_MAX: u32 = 16 * 1024;
/// Memory beyond which an input is a finding, with what AddressSanitizer holds back of what was
/// freed: a quarter of a GiB, and shadows.
const MEMORY_MIB_MAX: u32 = 1024;
/// Time beyond which an input is a finding: a thousand times what the slowest takes.
const INPUT_SECONDS_MAX: u32 = 30;
/// How often progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_secs(30);
/// Lines of a failed fuzzer's output that are kept: enough for a panic's message.
const TAIL_LINES: usize = 60;
/// USER_HZ: the kernel counts in this unit whatever its own clock does.
const TICKS_PER_SECOND: u64 = 100;

/// A fuzzer that runs.
pub(crate) struct Session {
    target: String,
    child: Child,
    started: Instant,
    findings: PathBuf,
    known: Vec<PathBuf>,
}

impl Session {
    /// Starts one.
    ///
    /// # Errors
    /// When its directories cannot be made, or it cannot be started.
    pub(crate) fn start(
        places: &Places,
        programs: &Programs,
        target: &str,
        time: Duration,
    ) -> Result<Self> {
        let findings = places.findings(target);
        let corpora = [
            places.grown(target),
            places.committed(target),
            places.seeds().join(target),
        ];
        for directory in corpora.iter().chain([&findings]) {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        let mut command = programs.command(target);
        // What is new goes into the first.
        command.args(&corpora);
        command.arg(format!("-max_total_time={}", time.as_secs()));
        command.arg(format!("-max_len={INPUT_LEN_MAX}"));
        command.arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
        command.arg(format!("-timeout={INPUT_SECONDS_MAX}"));
        command.arg(format!("-artifact_prefix={}/", findings.display()));
        command.arg("-print_final_stats=1");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::piped());
        let known = files(&findings)?;
        let child = command
            .spawn()
            .with_context(|| format!("cannot start the fuzzer {target}"))?;
        Ok(Self {
            target: target.to_owned(),
            child,
            started: Instant::now(),
            findings,
            known,
        })
    }

    /// Follows it to its end.
    ///
    /// # Errors
    /// When its output cannot be read.
    pub(crate) fn watch(mut self, steps: &Steps) -> Result<Verdict> {
        let output = self
            .child
            .stderr
            .take()
            .context("its output was not piped")?;
        let mut statistics = Statistics::default();
        let (mut tail, mut processor_time) = (VecDeque::new(), Duration::ZERO);
        let mut shown = Instant::now();
        for line in BufReader::new(output).split(b'\n') {
            let line = line.context("cannot read the fuzzer's output")?;
            let line = String::from_utf8_lossy(&line).into_owned();
            statistics.read_line(&line);
            // Of a process that has ended nothing can be read any more.
            if let Some(time) = processor_time_of(self.child.id()) {
                processor_time = time;
            }
            if shown.elapsed() >= PROGRESS_EVERY {
                shown = Instant::now();
                steps.note(&format!(
                    "{}: {}, {} executions, {} edges",
                    self.target,
                    seconds(self.started.elapsed()),
                    statistics.executions,
                    statistics.edges
                ));
            }
            if tail.len() == TAIL_LINES {
                tail.pop_front();
            }
            tail.push_back(line);
        }
        let status = self.child.wait().context("cannot wait for the fuzzer")?;
        let mut inputs = files(&self.findings)?;
        inputs.retain(|path| !self.known.contains(path));
        let verdict = Verdict {
            target: self.target,
            statistics,
            time: self.started.elapsed(),
            processor_time,
            inputs,
            failure: (!status.success()).then(|| Vec::from(tail).join("\n")),
        };
        let result = if verdict.has_failed() {
            "FOUND something"
        } else {
            "held"
        };
        steps.note(&format!("{}: {result}", verdict.target));
        Ok(verdict)
    }
}

/// What came of a fuzzer.
pub(crate) struct Verdict {
    pub(crate) target: String,
    pub(crate) statistics: Statistics,
    pub(crate) time: Duration,
    /// Of the processor, as of the last line of its output.
    pub(crate) processor_time: Duration,
    /// Inputs for which something did not hold.
    pub(crate) inputs: Vec<PathBuf>,
    /// The end of its output, if it did not end well.
    failure: Option<String>,
}

impl Verdict {
    /// Whether there is something to look at.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some() || !self.inputs.is_empty()
    }

    /// What was found, and how to see it again.
    pub(crate) fn explanation(&self, programs: &Programs) -> String {
        let mut said = format!(
            "{}:\n{}",
            self.target,
            self.failure.as_deref().unwrap_or_default()
        );
        for input in &self.inputs {
            let program = programs.path(&self.target);
            said.push_str(&format!(
                "\nsee it again: RUST_BACKTRACE=1 {} {}\nkeep it: cp {} tests/fuzz/corpus/{}/",
                program.display(),
                input.display(),
                input.display(),
                self.target
            ));
        }
        said
    }
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let list = || format!("cannot list {}", directory.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(list)? {
        found.push(entry.with_context(list)?.path());
    }
    found.sort();
    Ok(found)
}

/// The time a process has had of the processors, of proc_pid_stat(5): fields 14 and 15, in ticks.
fn processor_time_of(process: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is a name in parentheses, which may have anything in it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let ticks: u64 = times.next()?.parse::<u64>().ok()? + times.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}
