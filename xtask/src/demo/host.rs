//! A host of the demo: namespaces for network and mounts that last as long as a process in them.
//!
//! They are not given a name in the file system, as `ip netns add` does: that name would have to
//! be removed, and would stay after SIGKILL. `ip netns exec` would also mount another `/sys`, in
//! which weir finds no cgroups.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::command::shown;
use crate::workspace::Workspace;

/// A host.
pub(crate) struct Host {
    name: &'static str,
    /// `cat`, which ends when the demo does, for whatever reason: its input is then closed.
    holder: Child,
    root: PathBuf,
}

/// What becomes of a process in a host when the demo itself is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Orphan {
    /// It is killed.
    Killed,
    /// It is asked to end, because it has to clean up.
    Asked,
}

impl Host {
    /// Makes a host without any network.
    ///
    /// # Errors
    /// When namespaces cannot be made.
    pub(crate) fn create(workspace: &Workspace, name: &'static str) -> Result<Self> {
        let mut unshare = workspace.command("unshare");
        unshare
            .args(["--net", "--mount", "--propagation", "unchanged"])
            .args(["--", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let holder = own_group(&mut unshare)
            .spawn()
            .with_context(|| format!("cannot start `{}`", shown(&unshare)))?;
        let mut host = Self {
            name,
            holder,
            root: workspace.root().to_path_buf(),
        };
        host.await_namespaces()?;
        host.part_mounts()?;
        Ok(host)
    }

    /// `cat` answers only once `unshare` has become it, in namespaces of its own.
    fn await_namespaces(&mut self) -> Result<()> {
        let (Some(input), Some(output)) = (&mut self.holder.stdin, &mut self.holder.stdout) else {
            unreachable!("both were piped");
        };
        let mut echo = String::new();
        // Whoever did not get as far does not read either: that is told by the missing answer.
        input.write_all(b"\n").unwrap_or_default();
        BufReader::new(output)
            .read_line(&mut echo)
            .context("cannot hear from the namespaces")?;
        if echo != "\n" {
            bail!(
                "cannot make namespaces for the {} host: root needs CAP_SYS_ADMIN for it, which \
                 a container has when it is started with --privileged",
                self.name
            );
        }
        Ok(())
    }

    /// Keeps what is mounted here from showing anywhere else. `unshare` would do it by itself, but
    /// fails in a chroot, whose root is no mount: entering the mounts alone leads to the root of
    /// all of them.
    fn part_mounts(&self) -> Result<()> {
        let mut part = Command::new("nsenter");
        part.arg("--target").arg(self.pid().to_string()).args([
            "--mount",
            "--",
            "mount",
            "--make-rprivate",
            "/",
        ]);
        let status = part
            .status()
            .with_context(|| format!("cannot start `{}`", shown(&part)))?;
        if !status.success() {
            bail!("`{}` failed ({status})", shown(&part));
        }
        Ok(())
    }

    /// The process that other programs know it by.
    pub(crate) fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// The kernel's name of its network namespace, such as `net:[4026532345]`.
    pub(crate) fn network_namespace(&self) -> Result<PathBuf> {
        let link = format!("/proc/{}/ns/net", self.pid());
        fs::read_link(&link).with_context(|| format!("cannot read {link}"))
    }

    /// `program` in this host, to be given arguments and started from the main thread.
    pub(crate) fn command(&self, program: impl AsRef<Path>, orphan: Orphan) -> Command {
        let signal = match orphan {
            Orphan::Killed => "KILL",
            Orphan::Asked => "TERM",
        };
        // Each of the three becomes the next one, so that the child is `program`.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", signal, "nsenter", "--target"])
            .arg(self.pid().to_string())
            // The root and the directory too, or entering the mounts would leave a chroot.
            .args(["--net", "--mount", "--root", "--wd", "--"])
            .arg(program.as_ref())
            .current_dir(&self.root);
        command
    }

    /// Shows `file` where `path` is, in this host only.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub(crate) fn show(&self, file: &Path, path: &str) -> Result<()> {
        let mut mount = self.command("mount", Orphan::Killed);
        mount.arg("--bind").arg(file).arg(path);
        let status = mount
            .status()
            .with_context(|| format!("cannot start `{}`", shown(&mount)))?;
        if !status.success() {
            bail!("cannot show another {path} to the {} host", self.name);
        }
        Ok(())
    }

    /// Has ip(8) do what `script` says, a command a line.
    ///
    /// # Errors
    /// When one of them fails.
    pub(crate) fn ip(&self, script: &str) -> Result<()> {
        let mut ip = self.command("ip", Orphan::Killed);
        ip.args(["-batch", "-"]).stdin(Stdio::piped());
        let mut child = ip
            .spawn()
            .with_context(|| format!("cannot start `{}`", shown(&ip)))?;
        if let Some(mut input) = child.stdin.take() {
            // A failed ip may have stopped reading; it says itself why.
            input.write_all(script.as_bytes()).unwrap_or_default();
        }
        let status = child.wait().context("cannot wait for ip")?;
        if !status.success() {
            bail!("cannot set up the network of the {} host", self.name);
        }
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        if let Err(error) = self.holder.wait() {
            eprintln!("cannot wait for the {} host to end: {error}", self.name);
        }
    }
}

/// Puts a command out of reach of Ctrl-C on the terminal: the demo ends it, in its turn.
pub(crate) fn own_group(command: &mut Command) -> &mut Command {
    use std::os::unix::process::CommandExt;
    command.process_group(0)
}
