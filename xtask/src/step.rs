//! Steps of a verb: announced with their reason, timed, and explained when they fail.
//!
//! Progress goes to stderr; stdout is left to what a verb was asked for.

use std::fs::{self, File};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::command::shown;

/// How often the elapsed time is redrawn on a terminal: each tick changes the digit shown.
const TICK: Duration = Duration::from_millis(200);
/// Lines of a failed command's log that are printed: enough for a compiler's last message.
const LOG_TAIL_LINES: usize = 30;

/// The steps of one verb.
pub(crate) struct Steps {
    verb: &'static str,
    logs: PathBuf,
}

impl Steps {
    /// Steps of `verb`, which keep the output of silent commands in `logs`.
    pub(crate) fn new(verb: &'static str, logs: PathBuf) -> Self {
        Self { verb, logs }
    }

    /// Says something that is not a step.
    pub(crate) fn note(&self, text: &str) {
        eprintln!("{:>7}  {text}", self.verb);
    }

    /// Runs a command whose output is of interest only when it fails; `what` says what it does
    /// and why. The output is kept in `<name>.log`.
    ///
    /// # Errors
    /// When the command cannot be started or does not exit with 0; the end of its output is
    /// printed first.
    pub(crate) fn silent(&self, name: &str, what: &str, mut command: Command) -> Result<()> {
        let started = Instant::now();
        fs::create_dir_all(&self.logs)
            .with_context(|| format!("cannot create {}", self.logs.display()))?;
        let path = self.logs.join(format!("{name}.log"));
        let log =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let log_too = log
            .try_clone()
            .with_context(|| format!("cannot share {}", path.display()))?;

        self.note(what);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too)
            .spawn()
            .with_context(|| format!("cannot start `{}`", shown(&command)))?;
        let status = wait_ticking(&mut child, started)?;
        if !status.success() {
            print_tail(&path);
            bail!(
                "`{}` failed ({status}): see {}",
                shown(&command),
                path.display()
            );
        }
        eprintln!("{:>7}  done in {}", "", seconds(started.elapsed()));
        Ok(())
    }

    /// Runs a command whose output is for the reader.
    ///
    /// # Errors
    /// When the command cannot be started or does not exit with 0.
    pub(crate) fn shown(&self, what: &str, mut command: Command) -> Result<()> {
        let started = Instant::now();
        self.note(what);
        let status = command
            .status()
            .with_context(|| format!("cannot start `{}`", shown(&command)))?;
        if !status.success() {
            bail!("{what}: `{}` failed ({status})", shown(&command));
        }
        self.note(&format!("{what}: done in {}", seconds(started.elapsed())));
        Ok(())
    }
}

/// A duration for reading, in seconds with one decimal.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Waits for the child; on a terminal shows the time it takes.
fn wait_ticking(child: &mut Child, started: Instant) -> Result<ExitStatus> {
    let mut terminal = std::io::stderr();
    if !terminal.is_terminal() {
        return child.wait().context("cannot wait for the command");
    }
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for the command")? {
            // Back to the first column and clear the line: the result is written over the ticks.
            write!(terminal, "\r\x1b[K")?;
            return Ok(status);
        }
        write!(terminal, "\r{:>7}  {}", "", seconds(started.elapsed()))?;
        terminal.flush()?;
        thread::sleep(TICK);
    }
}

fn print_tail(log: &Path) {
    // A log that cannot be read is named in the error that follows.
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    for line in lines
        .iter()
        .skip(lines.len().saturating_sub(LOG_TAIL_LINES))
    {
        eprintln!("{:>7}  | {line}", "");
    }
}
