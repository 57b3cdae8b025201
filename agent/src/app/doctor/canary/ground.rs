//! Where it is tried: a cgroup below the own one, which goes with this value.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::sys::cgroup::Cgroup;
use crate::sys::cgroup::hierarchy::own_cgroup;

/// What the temporary cgroup's name begins with; the process id follows.
const PREFIX: &str = "weir-doctor-";
/// For the kernel to let go of a process that has ended.
const ENDED_WAIT: Duration = Duration::from_secs(2);

/// The cgroups: one to attach to, one for each part. They go when this is
/// dropped, and the programs with them.
pub(super) struct Ground {
    base: Cgroup,
    name: String,
    /// Where the programs are attached.
    pub(super) run: Cgroup,
    /// Where the proxy's part is played.
    pub(super) proxy: Cgroup,
    /// Where the application's part is played.
    pub(super) application: Cgroup,
}

impl Ground {
    pub(super) fn create() -> io::Result<Self> {
        let base = own_cgroup().map_err(io::Error::other)?;
        sweep(&base);
        let name = format!("{PREFIX}{}", Pid::this());
        let run = base.create(&name)?;
        let parts = run
            .create("proxy")
            .and_then(|proxy| Ok((proxy, run.create("app")?)));
        match parts {
            Ok((proxy, application)) => Ok(Self {
                base,
                name,
                run,
                proxy,
                application,
            }),
            Err(error) => {
                let _left = base.remove(&name);
                Err(error)
            }
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let removed = self
            .run
            .wait_empty(Instant::now() + ENDED_WAIT)
            .and_then(|_empty| self.base.remove(&self.name));
        if let Err(error) = removed {
            let path = self.base.path().join(&self.name);
            crate::app::say(&format!(
                "cannot remove the cgroup {}: {error}",
                path.display()
            ));
        }
    }
}

/// Removes what a doctor left that was killed.
fn sweep(base: &Cgroup) {
    for name in base.child_names().unwrap_or_default() {
        let pid = name
            .strip_prefix(PREFIX)
            .and_then(|pid| pid.parse::<u32>().ok());
        let dead = pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists());
        if dead {
            // Somebody in it, of another pid namespace, keeps it.
            let _kept = base.remove(&name);
        }
    }
}
