//! Which component of a cgroup's path is the pod, by the names that container
//! engines give: a function of the path, nothing is looked up.
//!
//! | engine | path of a container |
//! |---|---|
//! | kubelet, systemd driver | `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/cri-containerd-ID.scope` |
//! | kubelet, cgroupfs driver | `kubepods/burstable/podUID/ID` |
//! | kind, k3d: a node in a container | either of these below `docker/ID` or `docker/ID/kubelet.slice` |
//! | podman, systemd | `machine.slice/machine-libpod_pod_ID.slice/libpod-ID.scope` |
//! | podman, cgroupfs | `libpod_parent/ID/libpod-ID` |
//! | with a parent of its own | `ANY/ID`, `ANY.slice/docker-ID.scope` |
//!
//! Below a container there may be more, such as the `container` of crun or the
//! slices of a systemd in it.

use std::fmt;
use std::path::{Component, Path, PathBuf};

/// How a pod's cgroup was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Made by a kubelet with the systemd driver.
    KubernetesSystemd,
    /// Made by a kubelet with the cgroupfs driver.
    KubernetesCgroupfs,
    /// Made by podman for a pod.
    Podman,
    /// Somebody gave a container a parent, and it is none that is shared.
    ParentOfContainer,
}

impl fmt::Display for Layout {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::KubernetesSystemd => "a Kubernetes pod, systemd driver",
            Self::KubernetesCgroupfs => "a Kubernetes pod, cgroupfs driver",
            Self::Podman => "a podman pod",
            Self::ParentOfContainer => "the parent of this container",
        })
    }
}

/// Why no pod is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownPod {
    /// Nothing in the path is named like a container or a pod.
    #[error("the cgroup of this process, {}, is not a container's", own.display())]
    NoContainer {
        /// Relative to the mount.
        own: PathBuf,
    },
    /// The container stands alone: above it is what it shares with others.
    #[error(
        "the container {container} is in no pod: above it is {}, which it shares with others",
        above.display()
    )]
    Shared {
        /// Its component.
        container: String,
        /// What is above it, relative to the mount; `/` is the mount itself.
        above: PathBuf,
    },
}

/// The pod's part of the path of one of its processes, relative to a mount.
pub(super) fn pod_of(own: &Path) -> Result<(PathBuf, Layout), UnknownPod> {
    let names: Vec<String> = own
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            Component::RootDir
            | Component::CurDir
            | Component::ParentDir
            | Component::Prefix(_) => None,
        })
        .collect();
    // From the inside out, so that a node in a container is not taken for the pod.
    for end in (0..names.len()).rev() {
        let (above, name) = (&names[..end], &names[end]);
        if let Some(layout) = pod(above, name) {
            return Ok((names[..=end].iter().collect(), layout));
        }
        if !is_container(name) {
            continue;
        }
        let parent = above.split_last();
        if let Some((parent, above_it)) = parent {
            let path = above.iter().collect();
            if let Some(layout) = pod(above_it, parent) {
                return Ok((path, layout));
            }
            if !is_shared(parent) && !is_container(parent) {
                return Ok((path, Layout::ParentOfContainer));
            }
        }
        return Err(UnknownPod::Shared {
            container: name.clone(),
            above: Path::new("/").join(above.iter().collect::<PathBuf>()),
        });
    }
    Err(UnknownPod::NoContainer {
        own: Path::new("/").join(own),
    })
}

/// Whether this is a pod, given the names above it.
fn pod(above: &[String], name: &str) -> Option<Layout> {
    let parent = above.last().map(String::as_str);
    if let Some(slice) = name.strip_suffix(".slice") {
        if kubernetes_slice(slice).is_some_and(|rest| rest.starts_with("-pod")) {
            return Some(Layout::KubernetesSystemd);
        }
        // Prefixed with the slices it is in: machine-libpod_pod_ID.
        let (_, last) = slice.rsplit_once('-').unwrap_or(("", slice));
        let podman = last.strip_prefix("libpod_pod_").is_some_and(is_id);
        return podman.then_some(Layout::Podman);
    }
    if parent == Some("libpod_parent") && is_id(name) {
        return Some(Layout::Podman);
    }
    let class = match parent? {
        "burstable" | "besteffort" => above.len().checked_sub(2).map(|at| above[at].as_str()),
        other => Some(other),
    };
    let uid = name.strip_prefix("pod")?;
    (class == Some("kubepods") && !uid.is_empty()).then_some(Layout::KubernetesCgroupfs)
}

/// What follows `kubepods` and the class of service in the name of a slice,
/// which begins with the slices that it is in: `kubelet-kubepods-burstable`.
fn kubernetes_slice(slice: &str) -> Option<&str> {
    let at = match slice.find("-kubepods") {
        _ if slice.starts_with("kubepods") => 0,
        Some(at) => at + 1,
        None => return None,
    };
    let rest = &slice[at + "kubepods".len()..];
    let classless = rest
        .strip_prefix("-burstable")
        .or_else(|| rest.strip_prefix("-besteffort"))
        .unwrap_or(rest);
    (classless.is_empty() || classless.starts_with('-')).then_some(classless)
}

/// Whether this names a container: an id, the engine's name before it and
/// `.scope` behind. containerd told to use cgroupfs under a kubelet that uses
/// systemd makes `kubepods-podUID.slice:cri-containerd:ID` of it.
fn is_container(name: &str) -> bool {
    let stem = name.strip_suffix(".scope").unwrap_or(name);
    let last = stem.rsplit(['-', ':']).next().unwrap_or(stem);
    is_id(last)
}

/// Engines make ids of 32 random bytes.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether more than one pod, or more than pods, lives in a cgroup of this name.
fn is_shared(name: &str) -> bool {
    if let Some(slice) = name.strip_suffix(".slice") {
        let systemd = [
            "-",
            "system",
            "user",
            "machine",
            "app",
            "session",
            "background",
        ];
        let nodes = [
            "kubelet",
            "runtime",
            "podruntime",
            "docker",
            "containerd",
            "crio",
            "nomad",
            "share",
            "ecstasks",
        ];
        return systemd.contains(&slice)
            || nodes.contains(&slice)
            || ["system-", "user-"]
                .iter()
                .any(|one| slice.starts_with(one))
            || kubernetes_slice(slice).is_some();
    }
    let directories = [
        "init.scope",
        "kubepods",
        "burstable",
        "besteffort",
        "kubelet",
        "docker",
        "libpod_parent",
        "lxc",
        "ecs",
        "buildkit",
        "actions_job",
        // Namespaces of containerd.
        "default",
        "moby",
        "k8s.io",
    ];
    directories.contains(&name) || name.ends_with(".service")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With `ID` for an id of 64 digits.
    fn path(text: &str) -> PathBuf {
        let id = "3f4c1d9a".repeat(8);
        text.replace("ID", &id).into()
    }

    #[test]
    fn a_pod_is_found_in_the_paths_of_its_containers() {
        use Layout::{KubernetesCgroupfs, KubernetesSystemd, ParentOfContainer, Podman};
        let uid = "6c2d7a31_0f5e_4b4e_9d51_1b2f5b9c0a77";
        let slice = format!("kubepods-burstable-pod{uid}.slice");
        let burstable = format!("kubepods.slice/kubepods-burstable.slice/{slice}");
        let guaranteed = format!("kubepods.slice/kubepods-pod{uid}.slice");
        let kind = format!(
            "docker/ID/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{uid}.slice"
        );
        let nested = format!("system.slice/docker-ID.scope/{burstable}");
        let cgroupfs = "kubepods/besteffort/pod6c2d7a31-0f5e-4b4e-9d51-1b2f5b9c0a77";
        let static_pod = "kubepods/burstable/pod5dcb3a0b6e6ef8a1e4a6b0ec3a8ee8d5";
        for (pod, below, layout) in [
            (&*burstable, "cri-containerd-ID.scope", KubernetesSystemd),
            (&burstable, "crio-ID.scope", KubernetesSystemd),
            (&burstable, "crio-ID.scope/container", KubernetesSystemd),
            (&burstable, "docker-ID.scope", KubernetesSystemd),
            (
                &burstable,
                "cri-containerd-ID.scope/init.scope",
                KubernetesSystemd,
            ),
            (
                &burstable,
                "cri-containerd-ID.scope/system.slice/weir.service",
                KubernetesSystemd,
            ),
            (&guaranteed, "cri-containerd-ID.scope", KubernetesSystemd),
            (&kind, "cri-containerd-ID.scope", KubernetesSystemd),
            (&nested, "cri-containerd-ID.scope", KubernetesSystemd),
            (cgroupfs, "ID", KubernetesCgroupfs),
            (cgroupfs, "crio-ID", KubernetesCgroupfs),
            (static_pod, "ID", KubernetesCgroupfs),
            (
                "kubepods/pod6c2d7a31-0f5e-4b4e-9d51-1b2f5b9c0a77",
                "ID",
                KubernetesCgroupfs,
            ),
            (
                "docker/ID/kubepods/besteffort/podx",
                "ID",
                KubernetesCgroupfs,
            ),
            (
                "docker/ID/kubelet/kubepods/besteffort/podx",
                "ID",
                KubernetesCgroupfs,
            ),
            (
                "machine.slice/machine-libpod_pod_ID.slice",
                "libpod-ID.scope",
                Podman,
            ),
            (
                "machine.slice/machine-libpod_pod_ID.slice",
                "libpod-ID.scope/container",
                Podman,
            ),
            (
                "user.slice/user-1000.slice/user@1000.service/user.slice/user-libpod_pod_ID.slice",
                "libpod-ID.scope/container",
                Podman,
            ),
            ("libpod_parent/ID", "libpod-ID", Podman),
            ("libpod_parent/ID", "libpod-ID/container", Podman),
            ("mine.slice", "docker-ID.scope", ParentOfContainer),
            ("mine", "ID", ParentOfContainer),
            (
                "ecs/0123456789abcdef0123456789abcdef",
                "ID",
                ParentOfContainer,
            ),
        ] {
            let own = path(&format!("{pod}/{below}"));
            assert_eq!(pod_of(&own), Ok((path(pod), layout)), "{}", own.display());
            assert_eq!(
                pod_of(&Path::new("/").join(&own)),
                Ok((path(pod), layout)),
                "from the root: {}",
                own.display()
            );
        }
    }

    #[test]
    fn a_container_in_no_pod_is_not_widened_to_what_it_shares() {
        for (above, container) in [
            ("/", "ID"),
            ("/docker", "ID"),
            ("/system.slice", "docker-ID.scope"),
            ("/system.slice", "nerdctl-ID.scope"),
            ("/machine.slice", "libpod-ID.scope"),
            ("/libpod_parent", "libpod-ID"),
            ("/default", "ID"),
            ("/k8s.io", "ID"),
            ("/kubepods", "ID"),
            ("/kubepods/burstable", "ID"),
            ("/kubepods.slice", "cri-containerd-ID.scope"),
            (
                "/kubepods.slice/kubepods-burstable.slice",
                "cri-containerd-ID.scope",
            ),
            (
                "/docker/ID/kubelet.slice/kubelet-kubepods.slice",
                "cri-containerd-ID.scope",
            ),
            (
                "/system.slice/containerd.service",
                "kubepods-burstable-podx.slice:cri-containerd:ID",
            ),
            ("/user.slice/user-0.slice", "docker-ID.scope"),
            ("/system.slice/system-docker.slice", "docker-ID.scope"),
            // Docker in a container of a pod, and an engine that nests directly.
            ("/kubepods/burstable/podx/ID/docker", "ID"),
            ("/kubepods/burstable/podx/ID", "ID"),
        ] {
            let own = path(&format!("{above}/{container}"));
            assert_eq!(
                pod_of(&own),
                Err(UnknownPod::Shared {
                    container: path(container).to_string_lossy().into_owned(),
                    above: path(above),
                }),
                "{}",
                own.display()
            );
        }
    }

    #[test]
    fn a_process_of_the_machine_is_in_no_pod() {
        for own in [
            "/",
            "/init.scope",
            "/system.slice/sshd.service",
            "/user.slice/user-0.slice/session-1.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/a.scope",
            "/kubepods",
            "/kubepods.slice/kubepods-burstable.slice",
            "/kubepods/burstable/other",
            "/docker/3f4c1d9a",
            "/weir-exec-12/app",
        ] {
            assert_eq!(
                pod_of(Path::new(own)),
                Err(UnknownPod::NoContainer { own: own.into() }),
            );
        }
    }

    #[test]
    fn a_refusal_names_what_is_shared() {
        let error = pod_of(&path("/docker/ID")).expect_err("in no pod");
        assert_eq!(
            error.to_string(),
            format!(
                "the container {} is in no pod: above it is /docker, which it shares with others",
                "3f4c1d9a".repeat(8)
            )
        );
    }
}
