//! Runs of `weir exec`, as a user would start them.

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::output::{Output, eventually};
use crate::pod::program;
use crate::processes::{Seen, with_environment};
use crate::remains::Machine;

/// The variable by which the processes of a run are found.
const MARK: &str = "WEIR_TEST_RUN";

/// A command line to come.
#[derive(Debug)]
pub struct Exec {
    command: Command,
    mark: String,
}

impl Exec {
    /// `weir exec`, built beside this test program.
    ///
    /// # Errors
    /// It is not built.
    pub fn new() -> Result<Self> {
        Self::within(&[])
    }

    /// `weir exec`, started by another program that executes its arguments.
    ///
    /// # Errors
    /// weir is not built.
    pub fn within(wrapper: &[&str]) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let weir = program("weir")?;
        // What the suite was started with is not what the tests are about: nohup
        // ignores SIGHUP, and a shell's background jobs SIGINT and SIGQUIT.
        let mut words = ["env", "--default-signal"]
            .iter()
            .chain(wrapper)
            .map(OsStr::new)
            .chain([weir.as_os_str(), OsStr::new("exec")]);
        let mut command = Command::new(words.next().context("a program")?);
        let mark = format!(
            "{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        command.args(words).env(MARK, &mark);
        // The suite itself may have been started through sudo.
        for name in ["SUDO_UID", "SUDO_GID", "SUDO_USER", "SUDO_COMMAND"] {
            command.env_remove(name);
        }
        Ok(Self {
            command,
            // As it stands in an environment, with its end.
            mark: format!("{MARK}={mark}\0"),
        })
    }

    /// Adds options.
    #[must_use]
    pub fn options(mut self, options: &[&str]) -> Self {
        self.command.args(options);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets what sudo sets when this user calls it.
    #[must_use]
    pub fn by_sudo_of(self, uid: u32, gid: u32) -> Self {
        self.variable("SUDO_UID", uid.to_string())
            .variable("SUDO_GID", gid.to_string())
            .variable("SUDO_USER", "whoever")
            .variable("SUDO_COMMAND", "weir exec")
    }

    /// Starts it with this command, on pipes.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(mut self, command: &[&str]) -> Result<Running> {
        let machine = Machine::take()?;
        self.command.arg("--").args(command);
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {:?}", self.command))?;
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
            mark: self.mark,
            machine,
        })
    }

    /// Runs it to its end with this command, without input.
    ///
    /// # Errors
    /// It cannot be run, does not end, or leaves something behind.
    pub fn run(self, command: &[&str]) -> Result<Finished> {
        let mut running = self.start(command)?;
        running.input = None;
        running.finish()
    }

    /// The command line, to be started otherwise, and its mark.
    #[must_use]
    pub fn into_command(mut self, command: &[&str]) -> (Command, String) {
        self.command.arg("--").args(command);
        (self.command, self.mark)
    }
}

/// A run under way.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// The command's standard input.
    pub input: Option<ChildStdin>,
    /// The command's standard output.
    pub stdout: Output,
    /// The standard error of both.
    pub stderr: Output,
    mark: String,
    machine: Machine,
}

/// A run that has ended and left nothing behind.
#[derive(Debug)]
pub struct Finished {
    /// How weir ended.
    pub status: ExitStatus,
    /// What was written to standard output.
    pub stdout: Vec<u8>,
    /// What was written to standard error.
    pub stderr: String,
}

impl Running {
    /// The supervisor's process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap_or_default())
    }

    /// Sends the supervisor a signal.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid(), signal).context("weir is gone")
    }

    /// The processes of the run, the supervisor included.
    #[must_use]
    pub fn processes(&self) -> Vec<Seen> {
        with_environment(&self.mark)
    }

    /// The one process of the run that has this name.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn process(&self, name: &str) -> Result<Seen> {
        let mut found = None;
        eventually(&format!("one process is called {name}"), || {
            let mut named = self.processes();
            named.retain(|process| process.name == name);
            found = named.pop().filter(|_| named.is_empty());
            found.is_some()
        })?;
        found.context("found above")
    }

    /// Waits for weir's end alone.
    ///
    /// # Errors
    /// It does not end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let mut status = None;
        eventually("weir ends", || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        })?;
        status.context("found above")
    }

    /// Waits for the end of everything, and that nothing is left.
    ///
    /// # Errors
    /// It does not end, or leaves something behind.
    pub fn finish(mut self) -> Result<Finished> {
        let status = self.wait()?;
        let finished = Finished {
            status,
            stdout: self.stdout.everything()?,
            stderr: String::from_utf8(self.stderr.everything()?)?,
        };
        self.machine
            .is_as_before(self.child.id(), &self.mark)
            .with_context(|| format!("after {finished:?}"))?;
        Ok(finished)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only of a test that failed: nothing of it may disturb the next.
        for process in self.processes() {
            let _gone = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        let _reaped = self.child.wait();
    }
}

impl Finished {
    /// Standard output as text.
    ///
    /// # Errors
    /// It is none.
    pub fn text(&self) -> Result<&str> {
        Ok(std::str::from_utf8(&self.stdout)?)
    }

    /// The exit status; -1 if a signal ended it.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// The number of the signal that ended it.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// What weir itself said, without its prefix; a report is not among it.
    #[must_use]
    pub fn said(&self) -> Vec<&str> {
        self.stderr
            .lines()
            .filter_map(|line| line.strip_prefix("weir: "))
            .collect()
    }
}
