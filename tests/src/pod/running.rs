//! A program of a pod while it runs.

use std::fmt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;

use crate::namespace::Namespace;
use crate::output::{Output, eventually};

/// How often the usual patience is had with a program: some make a hundred
/// thousand connections, and some machines are emulated.
const PATIENCES: u32 = 4;

/// A program of a pod. Dropping it kills it.
pub struct Running {
    child: Child,
    input: Option<ChildStdin>,
    stdout: Output,
    stderr: Mutex<Output>,
    line: String,
    ended: Option<ExitStatus>,
}

impl Running {
    pub(super) fn start(namespace: &Namespace, command: &mut Command) -> Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = namespace.spawn(command)?;
        let (Some(input), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            bail!("pipes were asked for");
        };
        Ok(Self {
            child,
            input: Some(input),
            stdout: Output::of(stdout),
            stderr: Mutex::new(Output::of(stderr)),
            line: format!("{command:?}"),
            ended: None,
        })
    }

    /// Its process: that of the program itself, `enter` executes it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Waits until it has written this.
    ///
    /// # Errors
    /// It ended first; with what it said.
    pub fn wait_for(&mut self, text: &str) -> Result<()> {
        let found = self.stdout.wait_for(text);
        found.with_context(|| format!("{self:?}"))
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn has_ended(&mut self) -> Result<bool> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended.is_some())
    }

    /// Closes its input, at which actors that stay come to an end, and gives what
    /// it said last.
    ///
    /// # Errors
    /// It failed, or does not end, or says something else than a `T`.
    pub fn finish<T: DeserializeOwned>(mut self) -> Result<T> {
        self.input = None;
        let status = self.wait()?;
        ensure!(status.success(), "failed: {self:?}");
        let text = self.stdout.everything()?;
        let last = text
            .split(|byte| *byte == b'\n')
            .rfind(|line| !line.is_empty())
            .with_context(|| format!("nothing was said: {self:?}"))?;
        serde_json::from_slice(last)
            .with_context(|| format!("unexpected: {}", String::from_utf8_lossy(last)))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It takes too long.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        for _patience in 0..PATIENCES {
            if eventually("it ends", || self.has_ended().unwrap_or(true)).is_ok() {
                return self.ended.context("it cannot be waited for");
            }
        }
        bail!("it does not end: {self:?}")
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.pid()), signal)?)
    }

    /// Ends it as nothing else would; its sockets are closed when this returns.
    ///
    /// # Errors
    /// It had ended.
    pub fn kill(mut self) -> Result<()> {
        ensure!(!self.has_ended()?, "it had ended before: {self:?}");
        self.child.kill()?;
        self.ended = Some(self.child.wait()?);
        Ok(())
    }

    /// What it said on standard error; waits for its end.
    ///
    /// # Errors
    /// It does not end.
    pub fn complaints(&mut self) -> Result<String> {
        self.wait()?;
        let stderr = self
            .stderr
            .get_mut()
            .unwrap_or_else(|error| error.into_inner());
        Ok(String::from_utf8_lossy(&stderr.everything()?).into_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stderr = match self.stderr.try_lock() {
            Ok(mut stderr) => stderr.so_far(),
            Err(_) => "?".to_owned(),
        };
        write!(
            out,
            "{}: {:?}; stderr {stderr:?}",
            self.line,
            self.ended.map(|status| status.to_string())
        )
    }
}
