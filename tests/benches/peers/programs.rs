//! The proxies: how each is started on a path, and that it has ended with it.

mod envoy;
mod haproxy;
mod mitmproxy;
mod nginx;

use std::fs::{self, File};
use std::net::{SocketAddrV4, TcpStream};
use std::path::{Path as File_, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use weir_tests::bench::machine;
use weir_tests::output::{PATIENCE, eventually};
use weir_tests::pod::place::Container;
use weir_tests::pod::program;
use weir_tests::pod::running::Running;

use crate::ground::{Authority, Ground};
use crate::path::{Path, listen};
use crate::processes::Processes;

/// Where programs are that are not installed, and what they are told.
pub(crate) struct Means<'a> {
    pub(crate) authority: &'a Authority,
    /// Where Debian's packages were unpacked.
    pub(crate) unpacked: Option<&'a File_>,
    /// How many files a process may have open.
    pub(crate) files: u64,
    /// How many threads each may have.
    pub(crate) workers: usize,
}

impl Means<'_> {
    /// The command of a Debian package: unpacked, with its libraries, or installed.
    fn debian(&self, name: &str) -> Command {
        let unpacked = self
            .unpacked
            .map(|root| (root, root.join("usr/sbin").join(name)));
        match unpacked {
            Some((root, program)) if program.is_file() => {
                let mut command = Command::new(program);
                let libraries = root.join("usr/lib").join(TRIPLET);
                command.env("LD_LIBRARY_PATH", libraries);
                command
            }
            _ => Command::new(name),
        }
    }
}

/// The directory of a Debian package's libraries.
#[cfg(target_arch = "x86_64")]
const TRIPLET: &str = "x86_64-linux-gnu";
#[cfg(target_arch = "aarch64")]
const TRIPLET: &str = "aarch64-linux-gnu";

/// A running proxy, or none. It ends when this is dropped.
pub(crate) enum Program {
    None,
    Weir(Running),
    Peer(Peer),
}

impl Program {
    /// Starts the proxy of a path, and waits until it serves.
    pub(crate) fn start(ground: &Ground, means: &Means<'_>, on: &[usize]) -> Result<Self> {
        machine::keep_to(on)?;
        let peer = match ground.path {
            Path::Direct => return Ok(Self::None),
            Path::Weir | Path::WeirUnmetered | Path::WeirUnruled => {
                let ca = means.authority.ca();
                let also = ca.to_str().context("its name is text")?;
                return Ok(Self::Weir(ground.pod.proxy_with(&["--also-trust", also])?));
            }
            Path::Nginx => nginx::start(ground, means),
            Path::Haproxy => haproxy::start(ground, means),
            Path::Envoy => envoy::start(ground, means),
            Path::Mitmproxy => mitmproxy::start(ground, means),
        };
        peer.map(Self::Peer)
    }

    /// Its processes, if there is one.
    pub(crate) fn processes(&self) -> Result<Option<Processes>> {
        match self {
            Self::None => Ok(None),
            Self::Weir(running) => Processes::from(running.pid()).map(Some),
            Self::Peer(peer) => peer.processes().map(Some),
        }
    }
}

/// What the proxy of a path calls itself, with its version; none for weir's.
///
/// # Errors
/// It is not there.
pub(crate) fn version(path: Path, means: &Means<'_>) -> Result<Option<String>> {
    match path {
        Path::Direct | Path::Weir | Path::WeirUnmetered | Path::WeirUnruled => Ok(None),
        Path::Nginx => nginx::version(means).map(Some),
        Path::Haproxy => haproxy::version(means).map(Some),
        Path::Envoy => envoy::version().map(Some),
        Path::Mitmproxy => mitmproxy::version().map(Some),
    }
}

/// The first line that a program prints about itself.
fn first_line(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().map(str::trim).find(|line| !line.is_empty());
    Ok(line.context("it says nothing of its version")?.to_owned())
}

/// A proxy that is not weir.
pub(crate) struct Peer {
    child: Child,
    /// Whether the child is a shell, there for its sake.
    is_below: bool,
    log: PathBuf,
}

impl Peer {
    /// Starts it in the application's network and the proxy's cgroup, which takes
    /// everything in it along when it is removed, and waits until it listens.
    fn start(ground: &Ground, peer: &Command, is_below: bool) -> Result<Self> {
        let log = ground.pod.path("peer.log");
        let file = File::create(&log)?;
        let cgroup = ground.pod.place.of(Container::Proxy);
        let mut command = Command::new(program("weir-actor")?);
        command.args(["enter", "--cgroup"]);
        command.arg(cgroup.context("it has a cgroup")?).arg("--");
        command.arg(peer.get_program()).args(peer.get_args());
        for (name, value) in peer.get_envs() {
            command.env(name, value.context("none is taken away")?);
        }
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let mut peer = Self {
            child: ground.pod.namespace.spawn(&mut command)?,
            is_below,
            log,
        };
        peer.wait_for(ground, listen::NEAR)?;
        Ok(peer)
    }

    fn wait_for(&mut self, ground: &Ground, address: SocketAddrV4) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while ground
            .pod
            .namespace
            .inside(|| TcpStream::connect(address))?
            .is_err()
        {
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                let said = fs::read_to_string(&self.log)?;
                let last: Vec<&str> = said.lines().rev().take(3).collect();
                bail!("{} did not start: {last:?}", ground.path);
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Ok(())
    }

    fn processes(&self) -> Result<Processes> {
        let root = self.child.id().cast_signed();
        if self.is_below {
            Processes::below(root)
        } else {
            Processes::from(root)
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // All of them know SIGTERM, and take their workers with them.
        let root = Pid::from_raw(self.child.id().cast_signed());
        let _gone = kill(root, Signal::SIGTERM);
        let ended = eventually("the peer ends", || {
            !matches!(self.child.try_wait(), Ok(None))
        });
        if ended.is_err() {
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}
