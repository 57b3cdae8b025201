//! A network namespace, without a name.
//!
//! It exists for as long as somebody has it open or a process is in it, so that
//! nothing has to be cleared away: not after a panic, and not if the test
//! program is killed. Interfaces go with it.

use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns, unshare};

use crate::names::Names;

/// An open network namespace.
#[derive(Debug)]
pub struct Namespace {
    network: File,
    /// Of whoever is inside, if not those of the machine.
    names: Option<Names>,
}

impl Namespace {
    /// Makes one, in which not even loopback is up.
    ///
    /// # Errors
    /// Not without `CAP_SYS_ADMIN`.
    pub fn new() -> Result<Self> {
        // Namespaces are of threads; this one's ends with it.
        let made = thread::scope(|scope| {
            let made = scope.spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET)
                    .context("cannot make a network namespace: run this as root")?;
                File::open("/proc/thread-self/ns/net").context("cannot open the namespace")
            });
            made.join().unwrap_or_else(|panic| resume_unwind(panic))
        })?;
        Ok(Self {
            network: made,
            names: None,
        })
    }

    /// Has `names` lead to `address` for whatever enters from now on, and no other
    /// name anywhere. `files` is a directory that has to last as long.
    ///
    /// # Errors
    /// Not without `CAP_SYS_ADMIN`.
    pub fn resolve(&mut self, names: &[&str], address: IpAddr, files: &Path) -> Result<()> {
        let made = thread::scope(|scope| {
            let made = scope.spawn(|| Names::new(names, address, files));
            made.join().unwrap_or_else(|panic| resume_unwind(panic))
        })?;
        self.names = Some(made);
        Ok(())
    }

    /// Calls `body` on a thread inside; threads and processes that it starts
    /// are inside too.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub fn inside<T: Send>(&self, body: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&self.network, CloneFlags::CLONE_NEWNET)
                    .context("cannot enter the namespace")?;
                if let Some(names) = &self.names {
                    names.enter()?;
                }
                Ok(body())
            });
            inside.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Starts a program inside.
    ///
    /// # Errors
    /// There is no such program.
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        self.inside(|| command.spawn())?
            .with_context(|| format!("cannot start {command:?}"))
    }

    /// Runs a batch of commands of ip(8) inside.
    ///
    /// # Errors
    /// One of them failed, or iproute2 is not installed.
    pub fn ip(&self, batch: &str) -> Result<()> {
        let mut command = Command::new("ip");
        command
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        let mut ip = self
            .spawn(&mut command)
            .context("install iproute2: these suites make networks with it")?;
        let mut input = ip.stdin.take().context("a pipe was asked for")?;
        input.write_all(batch.as_bytes())?;
        drop(input);
        let output = ip.wait_with_output()?;
        if !output.status.success() {
            bail!(
                "ip(8) failed: {}, of\n{batch}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    /// A path by which other programs can enter, while this one lives.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.network.as_raw_fd()
        )
        .into()
    }
}
