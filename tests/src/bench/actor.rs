//! A part of what is measured, as a process of its own: it says that it is
//! ready, then answers each line with a line, both JSON, until its input ends.

use std::io::{BufRead, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use crate::namespace::Namespace;
use crate::output::Output;
use anyhow::{Context, Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How long an answer may take: opening thousands of streams through a slow proxy
/// takes minutes.
const PATIENCE: Duration = Duration::from_secs(1200);
/// What it says first.
const READY: &str = "ready\n";

/// The process, from outside. Dropping it kills it.
#[derive(Debug)]
pub struct Actor {
    child: Child,
    /// `None` only while it is told to end.
    input: Option<ChildStdin>,
    output: Output,
}

impl Actor {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// There is no such program, or it ends before it is ready.
    pub fn start(namespace: &Namespace, command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = namespace.spawn(command)?;
        let output = child.stdout.take().context("a pipe was asked for")?;
        let mut actor = Self {
            input: child.stdin.take(),
            output: Output::of(output),
            child,
        };
        let ready = actor.output.wait_for(READY);
        ready.with_context(|| format!("{command:?} did not start"))?;
        Ok(actor)
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// It has ended, or answers something else than a `T`.
    pub fn ask<T: DeserializeOwned>(&mut self, question: &impl Serialize) -> Result<T> {
        let mut line = serde_json::to_vec(question)?;
        line.push(b'\n');
        let input = self.input.as_mut().context("it was told to end")?;
        input.write_all(&line).context("it has ended")?;
        let answer = self
            .output
            .line_within(PATIENCE)
            .context("it does not answer")?;
        serde_json::from_str(&answer).with_context(|| format!("unexpected: {answer:?}"))
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// It failed.
    pub fn finish(mut self) -> Result<()> {
        self.input = None;
        let status = self.child.wait()?;
        ensure!(status.success(), "a process failed: {status}");
        Ok(())
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// From inside: is ready, and answers until the input ends.
///
/// # Errors
/// An answer failed, or nobody reads them.
pub fn serve<Q, A>(mut answer: impl FnMut(Q) -> Result<A>) -> Result<()>
where
    Q: DeserializeOwned,
    A: Serialize,
{
    let mut out = std::io::stdout().lock();
    out.write_all(READY.as_bytes())?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let answer = answer(serde_json::from_str(&line?)?)?;
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        out.write_all(&line)?;
        out.flush()?;
    }
    Ok(())
}

/// Time that this process has been on a processor, in nanoseconds: its own, and
/// that of the packets the kernel handled while it was there.
#[must_use]
pub fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanoseconds) = (time.tv_sec.cast_unsigned(), time.tv_nsec.cast_unsigned());
    seconds * 1_000_000_000 + nanoseconds
}
