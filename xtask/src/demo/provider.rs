//! The emulator, as the provider host runs it.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::command::shown;
use crate::demo::directory::{self, RunDirectory};
use crate::demo::events::{Event, Events, Source};
use crate::demo::host::{Orphan, own_group};
use crate::demo::network::{Network, SITES};
use crate::workspace::Workspace;

/// Time before an answer and between its events, in milliseconds: enough to be seen, and little
/// enough not to be waited for.
const DELAY_MS: &str = "120";
const GAP_MS: &str = "10";
/// How long the emulator may take to listen, and to end: both are a matter of milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// The running emulator, which is killed when it is dropped.
pub(crate) struct Provider {
    child: Child,
}

impl Provider {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn start(
        workspace: &Workspace,
        network: &Network,
        files: &RunDirectory,
        events: &mut Events,
    ) -> Result<Self> {
        let program = super::built(workspace, "weir-emulator");
        let mut command = network.provider().command(program, Orphan::Killed);
        for site in SITES {
            command.args(["--name", site.name]);
        }
        for address in network.listen_addresses() {
            command.args(["--listen", &address]);
        }
        command
            // Records are matched with its ledger by the id of the answer.
            .arg("--unique-ids")
            .args(["--delay-ms", DELAY_MS, "--gap-ms", GAP_MS])
            .arg("--ca-out")
            .arg(files.file(directory::PROVIDER_CA))
            .arg("--ledger")
            .arg(files.file(directory::LEDGER))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = own_group(&mut command)
            .spawn()
            .with_context(|| format!("cannot start `{}`", shown(&command)))?;
        let output = child.stdout.take();
        let provider = Self { child };
        events.follow(
            Source::Provider,
            output.context("the emulator's output was not piped")?,
        );
        match events.next(
            Instant::now() + PATIENCE,
            "the emulator's word that it listens",
        )? {
            Event::Line(Source::Provider, _) => Ok(provider),
            Event::Signal(signal) => bail!("interrupted by {signal}"),
            Event::Closed(_) | Event::Line(..) => bail!("the emulator did not start"),
        }
    }

    /// Ends it in order, after which its ledger is complete.
    ///
    /// # Errors
    /// When it does not end, or not in order.
    pub(crate) fn stop(mut self, events: &mut Events) -> Result<()> {
        let pid = i32::try_from(self.child.id()).context("a process id is too large")?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).context("cannot end the emulator")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match events.next(deadline, "the end of the emulator")? {
                Event::Closed(Source::Provider) => break,
                Event::Signal(signal) => bail!("interrupted by {signal}"),
                Event::Line(..) | Event::Closed(_) => {}
            }
        }
        let status = self.child.wait().context("cannot wait for the emulator")?;
        if !status.success() {
            bail!("the emulator failed ({status})");
        }
        Ok(())
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // An error means that it has ended already.
        self.child.kill().unwrap_or_default();
        if let Err(error) = self.child.wait() {
            eprintln!("cannot wait for the emulator to end: {error}");
        }
    }
}
