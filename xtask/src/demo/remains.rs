//! Proof that nothing is left: no process in the demo's hosts, nothing of weir's, no file.
//!
//! A network namespace without a name is gone with the last process in it, and its devices with
//! it, so that processes are all there is to look for.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::demo::host::Host;

/// How long what has been ended may take to be gone: weir's guard notices the end of weir.
const GOING_MAX: Duration = Duration::from_secs(5);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What the demo made.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    namespaces: Vec<PathBuf>,
    directory: Option<PathBuf>,
    weir: Option<u32>,
}

impl Trace {
    /// The namespace of a host is to be gone.
    ///
    /// # Errors
    /// When it cannot be identified.
    pub(crate) fn watch_namespace(&mut self, host: &Host) -> Result<()> {
        self.namespaces.push(host.network_namespace()?);
        Ok(())
    }

    /// The directory of the run is to be gone.
    pub(crate) fn watch_directory(&mut self, path: &Path) {
        self.directory = Some(path.to_path_buf());
    }

    /// What this process of weir made is to be gone.
    pub(crate) fn watch_weir(&mut self, pid: u32) {
        self.weir = Some(pid);
    }

    /// What is still there, each with the remedy.
    pub(crate) fn remains(&self) -> Vec<String> {
        let deadline = Instant::now() + GOING_MAX;
        loop {
            let found = self.look();
            if found.is_empty() || Instant::now() > deadline {
                return found;
            }
            thread::sleep(LOOK);
        }
    }

    fn look(&self) -> Vec<String> {
        let mut found: Vec<String> = self
            .processes()
            .map(|pid| format!("process {pid}, in a namespace of the demo: kill {pid}"))
            .collect();
        let weir = self.weir.iter().flat_map(|pid| weir_places(*pid));
        found.extend(
            weir.chain(self.directory.clone())
                .filter(|path| path.exists())
                .map(|path| format!("{0}: rm -r {0}, or rmdir for a cgroup", path.display())),
        );
        found
    }

    /// Processes in the namespaces.
    fn processes(&self) -> impl Iterator<Item = u32> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            // A process that ends meanwhile has no link any more.
            let namespace = fs::read_link(entry.path().join("ns/net")).ok()?;
            self.namespaces.contains(&namespace).then_some(pid)
        })
    }
}

/// Where `weir exec` keeps its files, and its cgroups below those of whoever started it.
fn weir_places(pid: u32) -> impl Iterator<Item = PathBuf> {
    let name = format!("weir-exec-{pid}");
    let mut places = vec![
        Path::new("/run").join(&name),
        std::env::temp_dir().join(&name),
    ];
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    places.extend(own_cgroup(&mounts, &own).map(|cgroup| cgroup.join(&name)));
    places.into_iter()
}

/// The cgroup2 that proc_pid_cgroup(5) names, where `mounts` says that it is.
fn own_cgroup(mounts: &str, own: &str) -> Option<PathBuf> {
    let root = mounts.lines().find_map(|mount| {
        let mut fields = mount.split(' ').skip(1);
        let place = fields.next()?;
        (fields.next()? == "cgroup2").then_some(place)
    })?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(Path::new(root).join(path.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::own_cgroup;

    #[test]
    fn the_cgroup_is_found_in_both_layouts() {
        let hybrid = "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(
            own_cgroup(hybrid, "3:cpu:/x\n0::/\n").as_deref(),
            Some(Path::new("/sys/fs/cgroup/unified/"))
        );
        let unified = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
        assert_eq!(
            own_cgroup(unified, "0::/user.slice/a.scope\n").as_deref(),
            Some(Path::new("/sys/fs/cgroup/user.slice/a.scope"))
        );
        assert_eq!(own_cgroup("", "0::/\n"), None);
    }
}
