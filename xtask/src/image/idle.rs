//! The proxy of the image at rest: what it takes, and what it may do.
//!
//! A network namespace and two cgroups stand for a pod: `weir init` attaches with no more
//! capabilities than it needs, then the proxy runs as its user, without any, until it is ready.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};

use super::contents::USER;
use crate::command::shown;
use crate::privilege::Privilege;
use crate::workspace::Workspace;

/// What the shell does as root, with the program as `$1`: attach, become the proxy in the
/// background, wait for it, and say what the kernel knows of it.
const SCRIPT: &str = include_str!("idle.sh");
/// What `weir init` needs, by the numbers of setpriv(1), which does not know all names:
/// `CAP_NET_ADMIN`, `CAP_PERFMON`, `CAP_BPF`, and `CAP_CHOWN` for the file it leaves.
const INIT_CAPABILITIES: &str = "-all,+net_admin,+cap_38,+cap_39,+chown";

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Idle {
    resident: String,
    anonymous: String,
    threads: String,
    user: String,
    capabilities: Vec<String>,
    no_new_privileges: String,
}

impl Idle {
    /// Runs the program; `None` without a way to root.
    ///
    /// # Errors
    /// When it does not become ready.
    pub(super) fn measure(workspace: &Workspace, program: &Path) -> Result<Option<Self>> {
        let place = Place::new(program)?;
        let user = USER.to_string();
        let Ok(words) = Privilege::detect().words(&["PATH"], &[], Path::new("unshare")) else {
            return Ok(None);
        };
        let mut run = workspace.command_in(workspace.root(), &words);
        run.args(["--net", "--", "sh", "-euc", SCRIPT, "idle"])
            .arg(&place.program)
            .arg(&place.directory)
            .args([user.as_str(), INIT_CAPABILITIES])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut child: Child = run
            .spawn()
            .with_context(|| format!("cannot start `{}`", shown(&run)))?;
        let output = child.stdout.take().context("its output was not piped")?;
        let mut idle = Self::default();
        for line in BufReader::new(output).lines() {
            idle.read(&line.context("cannot read what was seen")?);
        }
        let status = child.wait().context("cannot wait for the measurement")?;
        if !status.success() || idle.resident.is_empty() {
            bail!("the proxy of the image does not run here ({status}): see above");
        }
        Ok(Some(idle))
    }

    /// A line of `/proc/PID/status`.
    fn read(&mut self, line: &str) {
        let Some((name, value)) = line.split_once(':') else {
            return;
        };
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        match name {
            "VmRSS" => self.resident = value,
            "RssAnon" => self.anonymous = value,
            "Threads" => self.threads = value,
            "Uid" => self.user = value,
            "NoNewPrivs" => self.no_new_privileges = value,
            _ if name.starts_with("Cap") => self.capabilities.push(format!("{name} {value}")),
            _ => {}
        }
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "proxy at rest     {} resident, {} of it its own, {} threads",
            self.resident, self.anonymous, self.threads
        )?;
        writeln!(
            f,
            "its rights        user {}, no new privileges {}",
            self.user, self.no_new_privileges
        )?;
        writeln!(f, "                  {}", self.capabilities.join(", "))?;
        write!(f, "weir init ran with net_admin, perfmon, bpf, chown")
    }
}

/// A directory that every user can reach, with a copy of the program.
struct Place {
    directory: PathBuf,
    program: PathBuf,
}

impl Place {
    fn new(program: &Path) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("weir-image-{}", std::process::id()));
        let copied = directory.join("weir");
        let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755));
        fs::create_dir(&directory)
            .and_then(|()| open(&directory))
            .and_then(|()| fs::copy(program, &copied))
            .and_then(|_bytes| open(&copied))
            .with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self {
            directory,
            program: copied,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Root's files in a directory of ours; what cannot be removed is in a directory of /tmp.
        let _removed = fs::remove_dir_all(&self.directory);
    }
}

#[cfg(test)]
mod tests {
    use super::Idle;

    #[test]
    fn the_kernels_page_about_a_process_is_read() {
        let mut idle = Idle::default();
        for line in [
            "Name:\tweir",
            "Uid:\t1337\t1337\t1337\t1337",
            "VmRSS:\t   14336 kB",
            "RssAnon:\t    4096 kB",
            "Threads:\t3",
            "CapEff:\t0000000000000000",
            "NoNewPrivs:\t1",
        ] {
            idle.read(line);
        }
        assert_eq!(idle.resident, "14336 kB");
        assert_eq!(idle.anonymous, "4096 kB");
        assert_eq!(idle.user, "1337 1337 1337 1337");
        assert_eq!(idle.capabilities, ["CapEff 0000000000000000"]);
        assert!(idle.to_string().contains("CapEff 0000000000000000"));
    }
}
