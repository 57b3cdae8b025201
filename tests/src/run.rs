//! `weir exec` in a world, with its report read back.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use weir::meter::reason::{Decision, Reason};
use weir::meter::record::Record;

use crate::exec::Exec;
use crate::output::{Output, eventually};
use crate::processes::{Seen, with_environment};
use crate::remains;
use crate::world::World;

/// Where metrics and health are served in the application's namespace.
pub const ADMIN: &str = "127.0.0.1:15020";

/// A run to come.
#[derive(Debug)]
pub struct Weir<'world> {
    world: &'world World,
    /// Lines below `tls` besides the roots.
    tls: String,
    /// Configuration besides `tls`.
    yaml: String,
    options: Vec<String>,
    variables: Vec<(String, String)>,
}

impl<'world> Weir<'world> {
    pub(crate) fn new(world: &'world World) -> Self {
        Self {
            world,
            tls: String::new(),
            yaml: String::new(),
            options: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// Adds a key below `tls` of `weir.yaml`.
    #[must_use]
    pub fn tls(mut self, key: &str, value: &str) -> Self {
        self.tls.push_str(&format!("  {key}: {value}\n"));
        self
    }

    /// Adds lines to `weir.yaml`; `tls` is already there.
    #[must_use]
    pub fn configured(mut self, yaml: &str) -> Self {
        self.yaml.push_str(yaml);
        self.yaml.push('\n');
        self
    }

    /// Adds an option of `weir exec`.
    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it with this command, on pipes.
    ///
    /// # Errors
    /// weir is not built.
    pub fn start<S: AsRef<str>>(self, command: &[S]) -> Result<Running> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let file = |name: &str| self.world.directory().join(format!("{name}-{number}"));
        let (config, report) = (file("weir.yaml"), file("report"));
        let (tls, yaml) = (&self.tls, &self.yaml);
        let yaml = format!("tls:\n  upstream_roots: [ca.pem]\n{tls}{yaml}");
        fs::write(&config, yaml).context("cannot write the configuration")?;

        let config = format!("--config={}", config.display());
        let report_option = format!("--report-file={}", report.display());
        let mut options = vec!["--report=json", &config, &report_option];
        options.extend(self.options.iter().map(String::as_str));
        let words: Vec<&str> = command.iter().map(AsRef::as_ref).collect();
        let mut exec = Exec::new()?.options(&options);
        for (name, value) in &self.variables {
            exec = exec.variable(name, value);
        }
        let (mut command, mark) = exec.into_command(&words);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.world.application.spawn(&mut command)?;
        let (Some(input), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            bail!("pipes were asked for");
        };
        Ok(Running {
            child,
            input: Some(input),
            stdout: Output::of(stdout),
            stderr: Output::of(stderr),
            report,
            mark,
        })
    }

    /// Runs it to its end with this command, without input.
    ///
    /// # Errors
    /// It does not end, or without a report.
    pub fn run<S: AsRef<str>>(self, command: &[S]) -> Result<Ended> {
        self.start(command)?.finish()
    }
}

/// A run under way. Dropping it kills weir, and waits for its guard.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// The command's standard input.
    pub input: Option<ChildStdin>,
    /// The command's standard output.
    pub stdout: Output,
    /// The standard error of both.
    pub stderr: Output,
    report: PathBuf,
    mark: String,
}

impl Running {
    /// The one process of this name.
    ///
    /// # Errors
    /// None appears.
    pub fn process(&self, name: &str) -> Result<Seen> {
        self.find(&format!("called {name}"), |process| process.name == name)
    }

    /// The proxy's process.
    ///
    /// # Errors
    /// None appears.
    pub fn proxy(&self) -> Result<Seen> {
        self.find("in the proxy's cgroup", |process| {
            process.cgroup.ends_with("proxy")
        })
    }

    fn find(&self, what: &str, is_it: impl Fn(&Seen) -> bool) -> Result<Seen> {
        let mut found = None;
        eventually(&format!("a process is {what}"), || {
            found = with_environment(&self.mark).into_iter().find(&is_it);
            found.is_some()
        })?;
        found.context("found above")
    }

    /// Ends the proxy as nothing else would, and waits until nothing listens any
    /// more.
    ///
    /// # Errors
    /// It is not there, or does not go.
    pub fn kill_proxy(&self, world: &World) -> Result<()> {
        kill(Pid::from_raw(self.proxy()?.pid), Signal::SIGKILL)?;
        eventually("the proxy's ports are closed", || {
            listening_ports(world).is_ok_and(|ports| ports.is_empty())
        })
    }

    /// Closes the command's input, waits for the end and reads the report.
    ///
    /// # Errors
    /// It does not end, or without a report, or something of it is left.
    pub fn finish(self) -> Result<Ended> {
        let path = self.report.clone();
        let outcome = self.finish_unreported()?;
        let text = fs::read_to_string(&path)?;
        let mut report: Report = serde_json::from_str(&text)
            .with_context(|| format!("the report is {text:?}, after {outcome:?}"))?;
        report.exchanges.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(Ended { outcome, report })
    }

    /// The same without looking for a report: that of a proxy that was killed
    /// is lost.
    ///
    /// # Errors
    /// It does not end, or something of it is left.
    pub fn finish_unreported(mut self) -> Result<CommandOutcome> {
        self.input = None;
        let mut status = None;
        eventually("weir ends", || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        })
        .with_context(|| format!("there are {:?}", with_environment(&self.mark)))?;
        remains::nothing_of(self.child.id(), &self.mark)?;
        Ok(CommandOutcome {
            status: status.context("it has ended")?,
            stdout: self.stdout.everything()?,
            stderr: String::from_utf8(self.stderr.everything()?)?,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // The guard ends the command and clears away the rest.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        if remains::nothing_of(self.child.id(), &self.mark).is_err() {
            for process in with_environment(&self.mark) {
                let _gone = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
            }
        }
    }
}

/// What `--report json` writes.
#[derive(Debug, Deserialize)]
pub struct Report {
    /// A record for each exchange, and each connection that was not read, in the
    /// order in which they began.
    pub exchanges: Vec<Record>,
    /// Sums over them.
    pub totals: serde_json::Value,
}

/// How the command of a run ended.
pub struct CommandOutcome {
    /// Its status, which is weir's.
    pub status: ExitStatus,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// What it and weir said.
    pub stderr: String,
}

impl CommandOutcome {
    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Fails unless the command succeeded.
    ///
    /// # Errors
    /// It did not; with what it said.
    pub fn succeeded(self) -> Result<Self> {
        ensure!(self.status.success(), "the command failed: {self:?}");
        Ok(self)
    }
}

impl fmt::Debug for CommandOutcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}; stdout {:?}; stderr {:?}",
            self.status,
            self.text(),
            self.stderr
        )
    }
}

/// A run that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub outcome: CommandOutcome,
    /// What weir reported.
    pub report: Report,
}

impl Ended {
    /// The command's standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        self.outcome.text()
    }

    /// Fails unless the command succeeded.
    ///
    /// # Errors
    /// It did not; with what it said.
    pub fn succeeded(self) -> Result<Self> {
        ensure!(
            self.outcome.status.success(),
            "the command failed: {self:?}"
        );
        Ok(self)
    }

    /// All records.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.report.exchanges
    }

    /// The only record.
    ///
    /// # Errors
    /// There are none, or several.
    pub fn only(&self) -> Result<&Record> {
        match self.records() {
            [only] => Ok(only),
            _ => bail!("one record was expected: {self:?}"),
        }
    }

    /// Fails unless there are `count` records, all of this decision and reason.
    ///
    /// # Errors
    /// There is another.
    pub fn all_are(&self, count: usize, decision: Decision, reason: Reason) -> Result<()> {
        let others = self
            .records()
            .iter()
            .filter(|record| (record.decision, record.reason) != (decision, reason));
        ensure!(
            self.records().len() == count && others.count() == 0,
            "{count} × {decision}/{reason} were expected: {self:?}"
        );
        Ok(())
    }
}

/// One of the proxy's ports: any that is listened on besides [`ADMIN`]'s.
///
/// # Errors
/// The application's namespace has none.
pub fn proxy_port(world: &World) -> Result<u16> {
    let admin: SocketAddr = ADMIN.parse()?;
    let mut ports = listening_ports(world)?;
    ports.remove(&admin.port());
    ports
        .pop_first()
        .context("the proxy listens nowhere in the application's namespace")
}

/// The ports that are listened on in the application's namespace, over either
/// family.
fn listening_ports(world: &World) -> Result<BTreeSet<u16>> {
    let read = || -> std::io::Result<String> {
        // Of the thread: `/proc/net` is of the process, and so outside.
        let four = fs::read_to_string("/proc/thread-self/net/tcp")?;
        Ok(four + &fs::read_to_string("/proc/thread-self/net/tcp6")?)
    };
    let tables = world.application.inside(read)??;
    Ok(tables.lines().filter_map(listening_port).collect())
}

/// The port of a line of `/proc/net/tcp`, if that is listened on.
fn listening_port(line: &str) -> Option<u16> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace().skip(1);
    let (_address, port) = fields.next()?.split_once(':')?;
    (fields.nth(1)? == LISTEN).then(|| u16::from_str_radix(port, 16).ok())?
}
