//! One fuzzer while it runs, and what came of it.
//!
//! Time is the processor's: on a machine that does other work, an hour by the clock may be minutes
//! of fuzzing.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Places;
use super::program::Programs;
use super::statistics::Statistics;
use crate::step::{Steps, seconds};

/// Longest input that is tried. What happens only to larger ones is for the tests.
const INPUT_LEN_MAX: u32 = 16 * 1024;
/// Memory beyond which an input is a finding, with what AddressSanitizer holds back of what was
/// freed: a quarter of a GiB, and shadows.
const MEMORY_MIB_MAX: u32 = 1024;
/// Time beyond which an input is looked at again, alone: a thousand times what the slowest takes.
/// libFuzzer counts it by the clock, also what the machine gave to others meanwhile.
const INPUT_SECONDS_MAX: u32 = 30;
/// How libFuzzer names the inputs that took long by the clock.
const SLOW: [&str; 2] = ["slow-unit-", "timeout-"];
/// How often it is looked whether a fuzzer has had its time.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How often progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_secs(30);
/// Lines of a failed fuzzer's output that are kept: enough for a panic's message.
const TAIL_LINES: usize = 60;
/// USER_HZ: the kernel counts in this unit whatever its own clock does.
const TICKS_PER_SECOND: u64 = 100;

/// Runs a fuzzer until it has had `time` of the processor, however long that takes beside others.
///
/// # Errors
/// When its directories cannot be made, it cannot be started, or its output cannot be read.
pub(crate) fn run(
    places: &Places,
    programs: &Programs,
    target: &str,
    time: Duration,
    steps: &Steps,
) -> Result<Verdict> {
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
    let known = files(&findings)?;
    let mut verdict = Verdict::new(target);
    while let Some(left) = time
        .checked_sub(verdict.processor_time)
        .filter(|left| !left.is_zero())
    {
        let mut command = programs.command(target);
        // What is new goes into the first.
        command.args(&corpora);
        command.arg(format!("-max_len={INPUT_LEN_MAX}"));
        command.arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
        command.arg(format!("-timeout={INPUT_SECONDS_MAX}"));
        command.arg(format!("-artifact_prefix={}/", findings.display()));
        command.arg("-print_final_stats=1");
        watch(&mut verdict, command, left, steps)?;

        verdict.inputs = files(&findings)?;
        verdict.inputs.retain(|path| !known.contains(path));
        let slow = verdict.inputs.iter().filter(|path| is_slow(path)).count();
        let mut starved = 0;
        for input in std::mem::take(&mut verdict.inputs) {
            if is_slow(&input) && holds_alone(programs, target, &input, steps)? {
                fs::remove_file(&input)
                    .with_context(|| format!("cannot remove {}", input.display()))?;
                starved += 1;
            } else {
                verdict.inputs.push(input);
            }
        }
        let only_starved = starved > 0 && starved == slow && verdict.inputs.is_empty();
        if !only_starved {
            break;
        }
        verdict.failure = None;
    }
    let result = if verdict.has_failed() {
        "FOUND something"
    } else {
        "held"
    };
    steps.note(&format!("{target}: {result}"));
    Ok(verdict)
}

/// Follows one process to its end, which it is asked for once it has had `limit` of the processor.
fn watch(
    verdict: &mut Verdict,
    mut command: Command,
    limit: Duration,
    steps: &Steps,
) -> Result<()> {
    let target = verdict.target.clone();
    let started = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start the fuzzer {target}"))?;
    let output = child.stderr.take().context("its output was not piped")?;
    // libFuzzer ends in peace, and says its statistics.
    let clock = Clock::start(&child, limit, Signal::SIGUSR1);
    let (mut statistics, mut tail) = (Statistics::default(), VecDeque::new());
    let mut shown = Instant::now();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read the fuzzer's output")?;
        let line = String::from_utf8_lossy(&line).into_owned();
        statistics.read_line(&line);
        if shown.elapsed() >= PROGRESS_EVERY {
            shown = Instant::now();
            steps.note(&format!(
                "{target}: {}, {} executions, {} edges",
                seconds(started.elapsed()),
                statistics.executions,
                statistics.edges
            ));
        }
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
    verdict.processor_time += clock.stop();
    let status = child.wait().context("cannot wait for the fuzzer")?;
    verdict.time += started.elapsed();
    verdict.statistics.add(statistics);
    verdict.failure = (!status.success()).then(|| Vec::from(tail).join("\n"));
    Ok(())
}

fn is_slow(input: &Path) -> bool {
    let name = input.file_name().unwrap_or_default().to_string_lossy();
    SLOW.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether an input that took long by the clock takes little of the processor, and all holds.
fn holds_alone(programs: &Programs, target: &str, input: &Path, steps: &Steps) -> Result<bool> {
    let mut command = programs.command(target);
    command.arg("-timeout=0").arg(input);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start the fuzzer {target}"))?;
    let most = Duration::from_secs(INPUT_SECONDS_MAX.into());
    let clock = Clock::start(&child, most, Signal::SIGKILL);
    let status = child.wait().context("cannot wait for the fuzzer")?;
    let time = clock.stop();
    if status.success() {
        steps.note(&format!(
            "{target}: an input that took long takes {} of the processor alone: the machine was \
             busy",
            seconds(time)
        ));
    }
    Ok(status.success())
}

/// Follows the processor time of a process.
struct Clock {
    stop: mpsc::Sender<()>,
    thread: thread::JoinHandle<Duration>,
}

impl Clock {
    /// Begins, and sends `signal` once the process has had `limit`.
    fn start(child: &Child, limit: Duration, signal: Signal) -> Self {
        let (stop, stopped) = mpsc::channel();
        let process = child.id();
        let follow = move || {
            let (mut time, mut told) = (Duration::ZERO, false);
            loop {
                // Of a process that has ended nothing can be read any more.
                time = processor_time_of(process).unwrap_or(time);
                if time >= limit && !told {
                    // It may have ended by itself.
                    let _ = kill(Pid::from_raw(process.cast_signed()), signal);
                    told = true;
                }
                if stopped.recv_timeout(ASK_EVERY) != Err(RecvTimeoutError::Timeout) {
                    return time;
                }
            }
        };
        Self {
            stop,
            thread: thread::spawn(follow),
        }
    }

    /// Ends, and gives what the process has had.
    fn stop(self) -> Duration {
        drop(self.stop);
        self.thread.join().unwrap_or_default()
    }
}

/// What came of a fuzzer.
pub(crate) struct Verdict {
    pub(crate) target: String,
    pub(crate) statistics: Statistics,
    pub(crate) time: Duration,
    /// Of the processor, to a second.
    pub(crate) processor_time: Duration,
    /// Inputs for which something did not hold.
    pub(crate) inputs: Vec<PathBuf>,
    /// The end of its output, if it did not end well.
    failure: Option<String>,
}

impl Verdict {
    /// Of one that is about to run.
    fn new(target: &str) -> Self {
        Self {
            target: target.to_owned(),
            statistics: Statistics::default(),
            time: Duration::ZERO,
            processor_time: Duration::ZERO,
            inputs: Vec::new(),
            failure: None,
        }
    }

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
