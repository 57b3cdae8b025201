//! The cgroups of a pod: one of its own below the suite's, and in it one for the
//! application and one for the proxy, as a container runtime would make them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use weir::sys::cgroup::Cgroup;
use weir::sys::cgroup::hierarchy::own_cgroup;

use crate::output::PATIENCE;

/// What the names of pods' cgroups begin with; the suite's process follows.
const PREFIX: &str = "weir-pod-";

/// Which part of a pod a process is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// The application's.
    Application,
    /// The proxy's.
    Proxy,
    /// In the pod's network and in no cgroup of it.
    Outside,
}

impl Container {
    /// Its cgroup in the pod's.
    const fn name(self) -> Option<&'static str> {
        match self {
            Self::Application => Some("app"),
            Self::Proxy => Some("proxy"),
            Self::Outside => None,
        }
    }
}

/// The cgroups of one pod.
#[derive(Debug)]
pub struct Place {
    parent: Cgroup,
    name: String,
    pod: Cgroup,
    directory: PathBuf,
}

impl Place {
    /// Makes them.
    ///
    /// # Errors
    /// Not without root and cgroup v2.
    pub fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static SWEEP: Once = Once::new();
        let parent = own_cgroup().context("these suites need cgroup v2")?;
        SWEEP.call_once(|| sweep(&parent));
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let pod = parent
            .create(&name)
            .context("cannot make a cgroup: run these suites as root")?;
        for container in [Container::Application, Container::Proxy] {
            pod.create(container.name().context("it has a cgroup")?)?;
        }
        let directory = mount_point()?.join(pod.path().strip_prefix("/").unwrap_or(pod.path()));
        Ok(Self {
            parent,
            name,
            pod,
            directory,
        })
    }

    /// The pod's cgroup, to which weir attaches.
    #[must_use]
    pub fn pod(&self) -> &Cgroup {
        &self.pod
    }

    /// The directory of the pod's cgroup.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory of a container's cgroup; none for what is outside.
    #[must_use]
    pub fn of(&self, container: Container) -> Option<PathBuf> {
        container.name().map(|name| self.directory.join(name))
    }

    /// Replaces a container's cgroup by a new one of the same name, as a restart
    /// of the container does.
    ///
    /// # Errors
    /// A process is in it.
    pub fn renew(&self, container: Container) -> Result<()> {
        let name = container.name().context("that has no cgroup")?;
        self.pod.remove(name)?;
        self.pod.create(name)?;
        Ok(())
    }

    /// Ends every process of the pod and removes its cgroups.
    ///
    /// # Errors
    /// Something stays.
    pub fn remove(&self) -> Result<()> {
        remove(&self.parent, &self.name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What stays after a failed test is swept by the next run.
        let _removed = self.remove();
    }
}

fn remove(parent: &Cgroup, name: &str) -> Result<()> {
    let Ok(cgroup) = parent.child(name) else {
        return Ok(());
    };
    cgroup.kill()?;
    cgroup.wait_empty(Instant::now() + PATIENCE)?;
    parent
        .remove(name)
        .with_context(|| format!("cannot remove the cgroup {name}"))
}

/// Removes what suites left that were killed.
fn sweep(parent: &Cgroup) {
    for name in parent.child_names().unwrap_or_default() {
        let pid = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _removed = remove(parent, &name);
        }
    }
}

/// Where the hierarchy is mounted.
fn mount_point() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let point = fields.next()?;
            (fields.next()? == "cgroup2").then(|| PathBuf::from(point))
        })
        .next()
        .context("cgroup2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup")
}
