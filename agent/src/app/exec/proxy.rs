//! The proxy process, seen from its supervisor.
//!
//! It is weir itself, executed anew with a socket to talk over. It starts as
//! root to read roots and bind ports, and then becomes a user that nobody else
//! is: not the caller, who could otherwise read its CA key out of its memory,
//! and not `nobody`, who is many.

use std::collections::HashSet;
use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, Uid, User, dup2_stdin, dup2_stdout, setsid};

use super::caller::Environment;
use super::cgroups::Cgroups;
use super::signals::Signals;
use super::waiting::{Source, Wake, wait};
use crate::capture::Listening;
use crate::cli::{ExecArgs, SupervisedArgs};
use crate::control::{FromProxy, Received, SupervisorEnd, ToProxy};
use crate::sys::cgroup::hierarchy::is_within;
use crate::sys::claim::Token;
use crate::sys::process::{
    Change, End, FIRST_KEPT, Process, Program, Unprepared, keep_only, restore_signals, spawn,
};

/// How long the proxy may take to listen. It reads files and binds sockets.
const READY_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long it may take to finish calls and report after the command has ended.
const FINISH_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long it still may take once the user presses Ctrl-C. Not nothing: the
/// same key may have ended the command a moment ago.
const INTERRUPTED_WAIT_MAX: Duration = Duration::from_secs(1);

/// User ids that systemd hands out for as long as a service runs; no
/// distribution gives them to anybody for good.
const DYNAMIC_IDS: std::ops::RangeInclusive<u32> = 61184..=65519;

/// The running proxy. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Proxy {
    process: Process,
    control: SupervisorEnd,
    /// The cgroup whose processes it may ask about.
    app: PathBuf,
    ended: Option<End>,
}

/// What the proxy said once it was ready.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) listening: Listening,
    pub(super) ca_pem: String,
    pub(super) warnings: Vec<String>,
}

/// What the proxy says before the command starts.
enum News {
    Ready(Ready),
    Proven,
}

/// Whether the proxy got to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finished {
    /// It ended in order.
    InOrder,
    /// It took too long, or failed.
    Lost,
}

impl Proxy {
    /// Starts it in its cgroup.
    pub(super) fn start(
        args: &ExecArgs,
        environment: &Environment,
        cgroups: &Cgroups,
        signals: &Signals,
        report: Option<&File>,
        token: Token,
    ) -> anyhow::Result<Self> {
        let (mut control, theirs) =
            SupervisorEnd::pair().context("cannot make the control socket")?;
        let id = unused_id()?;
        let report_fd = report.map(|_| FIRST_KEPT + 1);
        let line = SupervisedArgs {
            control_fd: FIRST_KEPT,
            report_fd,
            config: args.config.clone(),
            report: args.report,
            live: args.live,
            log_format: args.log_format,
            admin: args.admin,
            user: id,
            group: id,
        }
        .to_command_line();
        let program = Program {
            // This very build, wherever it was started from, or replaced since.
            file: c"/proc/self/exe".to_owned(),
            arguments: [OsString::from("weir")]
                .into_iter()
                .chain(line)
                .map(|word| Ok(CString::new(word.into_vec())?))
                .collect::<anyhow::Result<_>>()?,
            environment: environment_block(environment)?,
        };
        let mut entrance = cgroups.proxy().entrance()?;
        let mut kept: Vec<BorrowedFd<'_>> = vec![theirs.as_fd()];
        kept.extend(report.map(File::as_fd));
        let process = spawn(&program, || {
            entrance
                .write_all(b"0")
                .map_err(Unprepared::at("enter the proxy's cgroup"))?;
            setsid().map_err(Unprepared::at("leave the terminal"))?;
            detach_input_and_output().map_err(Unprepared::at("open /dev/null"))?;
            let numbers = keep_only(&kept).map_err(Unprepared::at("pass descriptors on"))?;
            std::mem::forget(numbers);
            restore_signals(signals.inherited()).map_err(Unprepared::at("restore signals"))
        })
        .context("cannot start the proxy")?;
        // It waits in the socket until the proxy reads; if that fails to start,
        // `wait_ready` says why.
        let _unheard = control.send(&ToProxy::Token { token });
        Ok(Self {
            process,
            control,
            app: cgroups.app().path().to_owned(),
            ended: None,
        })
    }

    /// Waits until it listens.
    pub(super) fn wait_ready(&mut self, signals: &Signals) -> anyhow::Result<Ready> {
        match self.wait_for_news(signals)? {
            News::Ready(ready) => Ok(ready),
            News::Proven => bail!("the proxy said that interception works before it listens"),
        }
    }

    /// Has it prove that interception works, now that the kernel half knows
    /// where it listens.
    pub(super) fn wait_proven(&mut self, signals: &Signals) -> anyhow::Result<()> {
        // If it is gone, waiting says how it ended.
        let _unheard = self.control.send(&ToProxy::Configured);
        match self.wait_for_news(signals)? {
            News::Proven => Ok(()),
            News::Ready(_) => bail!("the proxy said twice that it listens"),
        }
    }

    fn wait_for_news(&mut self, signals: &Signals) -> anyhow::Result<News> {
        let deadline = Instant::now() + READY_WAIT_MAX;
        loop {
            match self.control.receive()? {
                Received::Message(FromProxy::Ready {
                    listening,
                    admin: _,
                    ca_pem,
                    warnings,
                }) => {
                    return Ok(News::Ready(Ready {
                        listening,
                        ca_pem,
                        warnings,
                    }));
                }
                Received::Message(FromProxy::Proven) => return Ok(News::Proven),
                Received::Message(FromProxy::Failed { message }) => bail!(message),
                Received::Message(FromProxy::ResolveExe { pid }) => self.resolve(pid),
                Received::Closed => {
                    let end = self.process.end()?;
                    self.ended = Some(end);
                    bail!("the proxy {end} before it was ready");
                }
                Received::NotYet => {
                    let sources = [
                        Source::Readable(signals.as_fd()),
                        Source::Readable(self.control.as_fd()),
                    ];
                    if wait(&sources, Some(deadline))? == Wake::Deadline {
                        bail!(
                            "the proxy was not ready within {} s",
                            READY_WAIT_MAX.as_secs()
                        );
                    }
                    super::interrupted(signals)?;
                }
            }
        }
    }

    /// Answers what it has asked since.
    pub(super) fn serve(&mut self) -> Alive {
        loop {
            match self.control.receive() {
                Ok(Received::Message(FromProxy::ResolveExe { pid })) => self.resolve(pid),
                // Said once, before; the proxy is not trusted to keep to it.
                Ok(Received::Message(
                    FromProxy::Ready { .. } | FromProxy::Proven | FromProxy::Failed { .. },
                )) => {}
                Ok(Received::NotYet) => return Alive::Yes,
                Ok(Received::Closed) | Err(_) => return Alive::No,
            }
        }
    }

    /// Lets it finish what is under way and report.
    pub(super) fn finish(
        &mut self,
        flows: Vec<(String, u64)>,
        signals: &Signals,
    ) -> io::Result<Finished> {
        if self.control.send(&ToProxy::Finish { flows }).is_err() {
            return Ok(Finished::Lost);
        }
        let mut deadline = Instant::now() + FINISH_WAIT_MAX;
        let mut talks = Alive::Yes;
        loop {
            if let Some(Change::Ended(end)) = self.process.change()? {
                self.ended = Some(end);
                return Ok(match end {
                    End::Exited(0) => Finished::InOrder,
                    End::Exited(_) | End::Killed(_) => Finished::Lost,
                });
            }
            let mut sources = vec![
                Source::Readable(self.process.as_fd()),
                Source::Readable(signals.as_fd()),
            ];
            if talks == Alive::Yes {
                sources.push(Source::Readable(self.control.as_fd()));
            }
            if wait(&sources, Some(deadline))? == Wake::Deadline {
                return Ok(Finished::Lost);
            }
            while let Some(arrived) = signals.next()? {
                if arrived.ends_by_default() {
                    deadline = deadline.min(Instant::now() + INTERRUPTED_WAIT_MAX);
                }
            }
            if talks == Alive::Yes {
                talks = self.serve();
            }
        }
    }

    /// Readable when it says something or has gone.
    pub(super) fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    fn resolve(&mut self, pid: u32) {
        let exe = i32::try_from(pid)
            .ok()
            .map(Pid::from_raw)
            .and_then(|pid| executable(pid, &self.app));
        // If it does not read answers it will be noticed to be gone, or stuck.
        let _unheard = self.control.send(&ToProxy::Exe { pid, exe });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _gone = self.process.signal(Signal::SIGKILL);
            let _reaped = self.process.end();
        }
    }
}

/// Whether the proxy is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alive {
    Yes,
    No,
}

/// The program of a process of the application's. The membership is looked at
/// last, so that a number given to somebody else meanwhile is not answered.
fn executable(pid: Pid, app: &std::path::Path) -> Option<String> {
    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    is_within(pid, app).then(|| exe.to_string_lossy().into_owned())
}

fn detach_input_and_output() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    Ok(())
}

/// `NAME=value` for execve. What the kernel handed over has no zero bytes.
pub(super) fn environment_block(environment: &Environment) -> anyhow::Result<Vec<CString>> {
    environment
        .iter()
        .map(|(name, value)| {
            let mut pair = name.clone();
            pair.push("=");
            pair.push(value);
            CString::new(pair.into_vec()).context("a variable holds a zero byte")
        })
        .collect()
}

/// A user id that no account has and no process runs as, so that nobody may
/// signal or trace the proxy. Beginning at the pid, so that runs side by side
/// do not get in each other's way.
fn unused_id() -> anyhow::Result<u32> {
    let taken = running_users().context("cannot list the users of running processes")?;
    let span = DYNAMIC_IDS.end() - DYNAMIC_IDS.start() + 1;
    let first = std::process::id() % span;
    (0..span)
        .map(|step| DYNAMIC_IDS.start() + (first + step) % span)
        .filter(|id| !taken.contains(id))
        .find(|id| matches!(User::from_uid(Uid::from_raw(*id)), Ok(None)))
        .context("every user id from 61184 to 65519 is in use: free one of them")
}

fn running_users() -> io::Result<HashSet<u32>> {
    let mut users = HashSet::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        // The owner of the directory is root for a process that cannot be
        // dumped, such as another weir's proxy; its status tells.
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else {
            continue;
        };
        let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        users.extend(
            ids.unwrap_or_default()
                .split_whitespace()
                .filter_map(|id| id.parse::<u32>().ok()),
        );
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_nobody_elses() {
        let id = unused_id().expect("there are thousands");
        assert!(DYNAMIC_IDS.contains(&id));
        assert!(!running_users().expect("/proc is mounted").contains(&id));
        assert!(matches!(User::from_uid(Uid::from_raw(id)), Ok(None)));
    }

    #[test]
    fn only_processes_of_the_application_are_resolved() {
        let own = Pid::this();
        let root = std::path::Path::new("/");
        assert!(executable(own, root).is_some());
        assert_eq!(executable(own, std::path::Path::new("/elsewhere")), None);
        assert_eq!(executable(Pid::from_raw(i32::MAX), root), None);
    }
}
