//! Finding the cgroup of the pod this process is in, for `weir init --cgroup auto`.
//!
//! With a cgroup namespace of its own a container is told that it is in `/`,
//! whose parent would be the whole machine. So nothing is believed that a path
//! says: the machine's hierarchy is searched for the directory that lists this
//! very process, and the pod is read from the names above it (`layout`). What
//! is shared with others is refused, never widened to.

mod layout;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::Cgroup;
use super::hierarchy::is_ours;

pub use layout::{Layout, UnknownPod};

/// Where the machine's hierarchy is looked for, after the directories given:
/// mounted for an init container, or the machine's own; whole or hybrid.
const ROOTS: [&str; 4] = [
    "/host/sys/fs/cgroup",
    "/host/sys/fs/cgroup/unified",
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/unified",
];

/// How many cgroups are looked at. A node with 500 pods has a few thousand, and
/// each costs tens of microseconds.
const CGROUPS_MAX: usize = 65_536;

/// Why the pod's cgroup is not known.
#[derive(Debug, thiserror::Error)]
pub enum PodCgroupError {
    /// No directory looked at is a cgroup2 mount.
    #[error(
        "no cgroup2 hierarchy is mounted at {}: mount the host's /sys/fs/cgroup read-only into the init container at /host/sys/fs/cgroup, or name the pod's cgroup with --cgroup PATH",
        list(.roots)
    )]
    NoMount {
        /// Where it was looked for.
        roots: Vec<PathBuf>,
    },
    /// The mount begins at this process's own cgroup: that of its namespace.
    #[error(
        "{} shows this container's own cgroup and nothing above it: mount the host's /sys/fs/cgroup read-only into the init container at /host/sys/fs/cgroup, or name the pod's cgroup with --cgroup PATH",
        root.display()
    )]
    OnlyOwn {
        /// The mount.
        root: PathBuf,
    },
    /// This process is in no cgroup but the one of the whole machine.
    #[error(
        "this process is in the root cgroup, whose programs would capture the whole machine: name the cgroup to capture with --cgroup PATH"
    )]
    MachineRoot,
    /// Mounts are there, and this process in none of their cgroups.
    #[error(
        "none of {} lists this process: mount the host's /sys/fs/cgroup read-only into the init container at /host/sys/fs/cgroup, or name the pod's cgroup with --cgroup PATH",
        list(.roots)
    )]
    NotFound {
        /// The mounts searched.
        roots: Vec<PathBuf>,
    },
    /// The search was given up.
    #[error(
        "{} has more than {CGROUPS_MAX} cgroups: name the pod's with --cgroup PATH",
        root.display()
    )]
    TooMany {
        /// The mount.
        root: PathBuf,
    },
    /// This process was found, and the names above it are not a pod's.
    #[error("{source}: name the cgroup to capture with --cgroup PATH")]
    Unknown {
        /// What was found instead.
        #[source]
        source: UnknownPod,
    },
    /// It was found and is gone again, or may not be opened.
    #[error("cannot open the pod's cgroup {}: {source}", path.display())]
    Open {
        /// Its directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
    paths.join(", ")
}

/// The pod this process is in.
#[derive(Debug)]
pub struct Pod {
    /// Its cgroup; the path is the directory, on the mount where it was found.
    pub cgroup: Cgroup,
    /// The directory of this process's own cgroup, the pod's or below it.
    pub own: PathBuf,
    /// By which names it was recognised.
    pub layout: Layout,
}

/// The cgroup of the pod this process is in, looked for on the mounts `roots`
/// and then on the usual ones. Its path is the directory on that mount.
///
/// # Errors
/// There is none, or it cannot be told from what is shared with others.
pub fn pod_cgroup(roots: &[PathBuf]) -> Result<Cgroup, PodCgroupError> {
    find_pod(roots).map(|pod| pod.cgroup)
}

/// As [`pod_cgroup`], with how it was found.
///
/// # Errors
/// As there.
pub fn find_pod(roots: &[PathBuf]) -> Result<Pod, PodCgroupError> {
    let roots: Vec<PathBuf> = roots
        .iter()
        .cloned()
        .chain(ROOTS.map(PathBuf::from))
        .collect();
    let mounts: Vec<Cgroup> = roots
        .iter()
        .filter_map(|root| Cgroup::at(root).ok())
        .collect();
    if mounts.is_empty() {
        return Err(PodCgroupError::NoMount { roots });
    }
    let mut only_own = None;
    for mount in &mounts {
        match search(mount)? {
            Found::Nowhere => {}
            Found::Root if is_machine_root(mount) => return Err(PodCgroupError::MachineRoot),
            Found::Root => only_own = only_own.or(Some(mount.path().to_owned())),
            Found::Below(own) => return pod_above(mount, &own),
        }
    }
    Err(match only_own {
        Some(root) => PodCgroupError::OnlyOwn { root },
        None => PodCgroupError::NotFound {
            roots: mounts.iter().map(|mount| mount.path().into()).collect(),
        },
    })
}

/// Where below a mount this process is.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nowhere,
    /// In the cgroup that the mount begins with.
    Root,
    /// Relative to it.
    Below(PathBuf),
}

/// The kernel gives this file to every cgroup except the one root.
fn is_machine_root(cgroup: &Cgroup) -> bool {
    cgroup.events().is_err()
}

/// Breadth first: containers are a few levels down, whatever lies below some.
fn search(mount: &Cgroup) -> Result<Found, PodCgroupError> {
    if is_ours(mount) {
        return Ok(Found::Root);
    }
    let mut waiting = VecDeque::from([PathBuf::new()]);
    let mut seen = 0;
    while let Some(relative) = waiting.pop_front() {
        // What vanishes meanwhile is not where this process is.
        let Ok(parent) = Cgroup::at(&mount.path().join(&relative)) else {
            continue;
        };
        for name in parent.child_names().unwrap_or_default() {
            seen += 1;
            if seen > CGROUPS_MAX {
                let root = mount.path().to_owned();
                return Err(PodCgroupError::TooMany { root });
            }
            let below = relative.join(&name);
            if parent.child(&name).is_ok_and(|child| is_ours(&child)) {
                return Ok(Found::Below(below));
            }
            waiting.push_back(below);
        }
    }
    Ok(Found::Nowhere)
}

fn pod_above(mount: &Cgroup, own: &Path) -> Result<Pod, PodCgroupError> {
    let (pod, layout) = layout::pod_of(own).map_err(|source| PodCgroupError::Unknown { source })?;
    let path = mount.path().join(pod);
    let cgroup = Cgroup::at(&path).map_err(|source| PodCgroupError::Open { path, source })?;
    Ok(Pod {
        cgroup,
        own: mount.path().join(own),
        layout,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_found_comes_with_what_to_do() {
        for (error, begins) in [
            (
                PodCgroupError::NoMount {
                    roots: vec!["/a".into(), "/b".into()],
                },
                "no cgroup2 hierarchy is mounted at /a, /b: mount the host's /sys/fs/cgroup",
            ),
            (
                PodCgroupError::OnlyOwn { root: "/a".into() },
                "/a shows this container's own cgroup and nothing above it: mount",
            ),
            (
                PodCgroupError::MachineRoot,
                "this process is in the root cgroup",
            ),
        ] {
            let text = error.to_string();
            assert!(text.starts_with(begins), "{text}");
            assert!(text.ends_with("with --cgroup PATH"), "{text}");
        }
    }

    #[test]
    fn a_directory_that_is_no_cgroup_is_not_searched() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(Cgroup::at(directory.path()).is_err());
        assert!(Cgroup::at(Path::new("/nonexistent")).is_err());
    }
}
