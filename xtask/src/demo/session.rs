//! The clients under `weir exec`, and what they and weir say meanwhile.

use std::env;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::command::shown;
use crate::demo::clients::Clients;
use crate::demo::directory::{self, RunDirectory};
use crate::demo::events::{Event, Events, Source};
use crate::demo::evidence::Told;
use crate::demo::host::Orphan;
use crate::demo::network::Network;
use crate::demo::remains::Trace;
use crate::step::Steps;
use crate::workspace::Workspace;

/// All that an application gets: who it is and where programs are, which says nothing of weir.
const ENVIRONMENT: [&str; 6] = ["HOME", "LANG", "LOGNAME", "PATH", "TERM", "USER"];
/// How weir learns whom sudo was called by.
const SUDO: [&str; 3] = ["SUDO_GID", "SUDO_UID", "SUDO_USER"];
/// What an application needs to call its provider. The emulator takes any.
const API_KEYS: [(&str, &str); 2] = [
    ("ANTHROPIC_API_KEY", "a-key-of-the-demo"),
    ("OPENAI_API_KEY", "a-key-of-the-demo"),
];
/// How long all clients may take together. They need some ten seconds.
const SESSION_MAX: Duration = Duration::from_secs(180);
/// How long weir may take to end when asked to, before it is killed.
const ENDING_MAX: Duration = Duration::from_secs(20);

/// What the clients said, and how they ended.
#[derive(Debug)]
pub(crate) struct Session {
    /// One for each answer that a client got.
    pub(crate) told: Vec<Told>,
    /// How weir ended, which is how the clients did.
    pub(crate) status: ExitStatus,
}

/// Runs all clients under weir and shows each call as it ends.
///
/// # Errors
/// When weir cannot be started or does not end, or a signal arrives.
pub(crate) fn run(
    workspace: &Workspace,
    steps: &Steps,
    network: &Network,
    files: &RunDirectory,
    clients: &Clients,
    events: &mut Events,
    trace: &mut Trace,
) -> Result<Session> {
    let provider_ca = files.file(directory::PROVIDER_CA);
    let config = files.write(directory::CONFIG, &config(&provider_ca.to_string_lossy()))?;
    let report = files.file(directory::REPORT);

    let program = super::built(workspace, "weir");
    let mut command = network.application().command(program, Orphan::Asked);
    command
        .arg("exec")
        .arg("--config")
        .arg(config)
        .args(["--report", "json", "--report-file"])
        .arg(report)
        .args(["--live", "--"])
        .args(clients.command_line(&provider_ca));
    only_environment(&mut command);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    steps.note("weir exec -- python, node, curl: each call as it ends");
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{}`", shown(&command)))?;
    trace.watch_weir(child.id());
    let output = child.stdout.take().context("weir's output was not piped")?;
    let errors = child
        .stderr
        .take()
        .context("weir's errors were not piped")?;
    events.follow(Source::Clients, output);
    events.follow(Source::Weir, errors);
    Running { child }.watch(events)
}

/// weir, which does not outlive this value.
struct Running {
    child: Child,
}

impl Running {
    fn watch(mut self, events: &mut Events) -> Result<Session> {
        let mut told = Vec::new();
        let mut interrupted = None;
        let mut open = 2;
        let mut deadline = Instant::now() + SESSION_MAX;
        while open > 0 {
            match events.next(deadline, "the end of the clients")? {
                Event::Line(Source::Clients, line) => told.push(Told::parse(&line)?),
                Event::Line(Source::Weir, line) if interrupted.is_none() => {
                    eprintln!("{:>7}  {line}", "");
                }
                // What clients say about being interrupted is of no interest.
                Event::Line(Source::Weir | Source::Provider, _) => {}
                Event::Closed(Source::Provider) => bail!("the emulator ended before its clients"),
                Event::Closed(Source::Clients | Source::Weir) => open -= 1,
                Event::Signal(signal) => {
                    interrupted = Some(signal);
                    self.ask_to_end()?;
                    deadline = Instant::now() + ENDING_MAX;
                }
            }
        }
        let status = self.child.wait().context("cannot wait for weir")?;
        if let Some(signal) = interrupted {
            bail!("interrupted by {signal}");
        }
        Ok(Session { told, status })
    }

    fn ask_to_end(&self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).context("a process id is too large")?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).context("cannot end weir")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // weir's guard ends what it has started when it is killed.
        self.child.kill().unwrap_or_default();
        if let Err(error) = self.child.wait() {
            eprintln!("cannot wait for weir to end: {error}");
        }
    }
}

/// All that weir is told: the emulator's CA is what the roots of the internet are elsewhere.
fn config(provider_ca: &str) -> String {
    // JSON is YAML, and quotes whatever is in a path.
    format!(
        "tls:\n  upstream_roots: [{}]\n",
        serde_json::Value::from(provider_ca)
    )
}

fn only_environment(command: &mut Command) {
    command.env_clear();
    for name in ENVIRONMENT.iter().chain(&SUDO) {
        if let Some(value) = env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(API_KEYS);
}
