//! The ways that calls take: direct, and through weir with bodies unread or read.

use std::fmt;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde::Serialize;
use weir::llm::usage::Provenance;
use weir_tests::output::Output;
use weir_tests::run::Running;
use weir_tests::world::World;

use crate::CLIENT;
use crate::client::{Got, Turn};

/// A way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// Without weir.
    Direct,
    /// Through weir, which leaves bodies unread.
    Unread,
    /// Through weir as it is by default.
    Read,
}

impl fmt::Display for Way {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Direct => "direct",
            Self::Unread => "unread",
            Self::Read => "read",
        })
    }
}

/// This program again, as the client at the beginning of a way.
pub(crate) struct Traveller {
    pub(crate) way: Way,
    process: Process,
    turns: usize,
}

enum Process {
    Direct {
        child: Child,
        input: ChildStdin,
        output: Output,
    },
    Through {
        running: Running,
        proxy: Pid,
    },
}

impl Traveller {
    pub(crate) fn start(way: Way, world: &World) -> Result<Self> {
        let process = match way {
            Way::Direct => {
                let mut child = world.application.spawn(
                    Command::new(std::env::current_exe()?)
                        .arg(CLIENT)
                        .env("SSL_CERT_FILE", world.ca())
                        .stdin(Stdio::piped())
                        .stdout(Stdio::piped()),
                )?;
                Process::Direct {
                    input: child.stdin.take().context("on a pipe")?,
                    output: Output::of(child.stdout.take().context("on a pipe")?),
                    child,
                }
            }
            Way::Unread => Self::through(world, "models: {bodies: leave}")?,
            Way::Read => Self::through(world, "")?,
        };
        Ok(Self {
            way,
            process,
            turns: 0,
        })
    }

    fn through(world: &World, yaml: &str) -> Result<Process> {
        let program = std::env::current_exe()?.display().to_string();
        // Two of them would want one address.
        let weir = world.weir().configured(yaml).option("--admin=off");
        let running = weir.start(&[program.as_str(), CLIENT])?;
        let proxy = Pid::from_raw(running.proxy()?.pid);
        Ok(Process::Through { running, proxy })
    }

    /// One turn, and the time that the proxy has computed meanwhile, if there is
    /// one.
    pub(crate) fn turn(&mut self, turn: Turn) -> Result<(Got, Option<Duration>)> {
        self.turns += 1;
        let before = self.computed()?;
        let (input, output) = match &mut self.process {
            Process::Direct { input, output, .. } => (input, output),
            Process::Through { running, .. } => (
                running.input.as_mut().context("on a pipe")?,
                &mut running.stdout,
            ),
        };
        writeln!(input, "{}", serde_json::to_string(&turn)?).context("the client is gone")?;
        let line = output.line()?;
        let got = serde_json::from_str(&line);
        let got: Got = got.with_context(|| format!("the client said {line:?}"))?;
        ensure!(got.received > 0, "the client has got nothing");
        let after = self.computed()?;
        let computed = after.zip(before).map(|(after, before)| after - before);
        Ok((got, computed))
    }

    /// The processor time of the proxy so far, by its own clock: of all its
    /// threads, also those that have ended.
    fn computed(&self) -> Result<Option<Duration>> {
        let Process::Through { proxy, .. } = &self.process else {
            return Ok(None);
        };
        let clock = clock_getcpuclockid(*proxy).context("the proxy is gone")?;
        Ok(Some(clock_gettime(clock)?.into()))
    }

    /// Ends it in order; fails if weir has not seen what was measured.
    pub(crate) fn finish(self, calls: usize) -> Result<()> {
        let running = match self.process {
            Process::Direct {
                mut child, input, ..
            } => {
                drop(input);
                let status = child.wait()?;
                ensure!(status.success(), "the direct client failed");
                return Ok(());
            }
            Process::Through { running, .. } => running,
        };
        let ended = running.finish()?.succeeded()?;
        let expected = match self.way {
            Way::Read => Provenance::Measured,
            Way::Direct | Way::Unread => Provenance::Unknown,
        };
        let records = ended.records();
        let as_expected = records
            .iter()
            .filter(|record| record.tokens_provenance == expected && record.problems.is_empty());
        ensure!(
            records.len() == calls && as_expected.count() == calls,
            "{calls} records, all {expected:?}, were expected: {ended:?}"
        );
        Ok(())
    }
}
