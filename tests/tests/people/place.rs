//! Which pod `--cgroup auto` takes: the real hierarchy, real cgroup namespaces.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use weir::sys::cgroup::hierarchy::roots;
use weir_tests::pod::{Pod, program};

use super::{inside, json, refusal, run};

/// An id as container engines make them.
fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a plain path")
}

/// Cgroups below that of a pod of the harness, with which they go.
struct Below(Pod);

impl Below {
    fn new() -> Result<Self> {
        Ok(Self(Pod::new()?))
    }

    fn make(&self, path: &str) -> Result<PathBuf> {
        let directory = self.0.place.directory().join(path);
        fs::create_dir_all(&directory)?;
        Ok(directory)
    }
}

/// The directory that `weir init --cgroup auto` attaches to from `own`, started
/// as `wrapper` starts it; nothing stays attached.
fn taken(own: &Path, wrapper: &[&str]) -> Result<PathBuf> {
    let wrapper = [&inside(text(own)?)[..], wrapper].concat();
    let state = tempfile::tempdir()?;
    let output = run(
        &wrapper,
        &["init", "--cgroup=auto", "--state", text(state.path())?],
    )?;
    assert!(output.status.success(), "{output:?}");
    let written: serde_json::Value =
        serde_json::from_slice(&fs::read(state.path().join("capture.json"))?)?;
    let path = PathBuf::from(written["cgroup"].as_str().context("a path")?);
    let detached = run(&wrapper, &["detach", "--cgroup=auto"])?;
    assert!(detached.status.success(), "{detached:?}");
    let said = String::from_utf8_lossy(&detached.stderr).into_owned();
    assert!(said.contains("detached 9 programs"), "{said}");
    Ok(path)
}

const NAMESPACE: [&str; 2] = ["unshare", "--cgroup"];

#[test]
fn the_pod_is_found_by_the_kubelets_names() -> Result<()> {
    let below = Below::new()?;
    let uid = "6c2d7a31_0f5e_4b4e_9d51_1b2f5b9c0a77";
    let slices =
        format!("kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid}.slice");
    for (pod, container) in [
        (slices.as_str(), format!("cri-containerd-{}.scope", id('a'))),
        (&slices, format!("crio-{}.scope/container", id('b'))),
        ("kubepods/besteffort/podx", id('c')),
    ] {
        let own = below.make(&format!("{pod}/{container}"))?;
        let pod = below.0.place.directory().join(pod);
        assert_eq!(taken(&own, &[])?, pod, "in the machine's namespace");
        assert_eq!(taken(&own, &NAMESPACE)?, pod, "in one of its own");
    }
    Ok(())
}

/// A root directory as an init container has it: its own /sys/fs/cgroup is that of
/// its namespace, and the machine's is mounted beside it, read-only.
const CONTAINER: &str = r#"set -e
machine=$1 root=$2 weir=$3 host=$4; shift 4
mount -t tmpfs none "$root"
for directory in bin lib lib64 usr etc dev proc; do
    [ -d "/$directory" ] || continue
    mkdir "$root/$directory"
    mount --rbind "/$directory" "$root/$directory"
done
mkdir -p "$root/sys/fs/cgroup" "$root/run" "$root$host"
mount --bind "$machine" "$root$host"
mount -o remount,bind,ro "$root$host"
mount -t cgroup2 none "$root/sys/fs/cgroup"
touch "$root/weir"
mount --bind "$weir" "$root/weir"
exec chroot "$root" /weir "$@""#;

#[test]
fn the_pod_is_found_on_the_mount_made_for_it() -> Result<()> {
    let below = Below::new()?;
    let own = below.make(&format!("kubepods/podx/{}", id('d')))?;
    let machine = roots()?.first().context("a mount")?.path().to_owned();
    let pod = below.0.place.directory().join("kubepods/podx");
    let inner = Path::new("/host/sys/fs/cgroup").join(pod.strip_prefix(&machine)?);
    let attached = format!("attached 9 programs on {}", inner.display());
    let only_own = "shows this container's own cgroup and nothing above it: mount the host's";
    // The second time it is mounted where nobody looks.
    for (host, status, expected) in [
        ("/host/sys/fs/cgroup", 0, attached.as_str()),
        ("/elsewhere", 125, only_own),
    ] {
        let root = tempfile::tempdir()?;
        let weir = program("weir")?;
        let output = Command::new("sh")
            .args(&inside(text(&own)?)[1..])
            .args(["unshare", "--cgroup", "--mount", "--propagation", "private"])
            .args(["sh", "-c", CONTAINER, "sh"])
            .args([machine.as_path(), root.path(), &weir, Path::new(host)])
            .args(["init", "--cgroup=auto", "--state=/run"])
            .output()?;
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(expected), "{said}");
    }
    Ok(())
}

#[test]
fn a_container_in_no_pod_is_refused_with_what_to_do() -> Result<()> {
    let below = Below::new()?;
    for above in ["docker", "system.slice", "kubepods/burstable"] {
        let own = below.make(&format!("{above}/{}", id('e')))?;
        let output = run(
            &inside(text(&own)?),
            &["init", "--cgroup=auto", "--state=/nonexistent"],
        )?;
        let line = refusal(&output)?;
        assert!(
            line.contains(&format!("{above}, which it shares with others")),
            "{line}"
        );
        assert!(
            line.ends_with("name the cgroup to capture with --cgroup PATH"),
            "{line}"
        );
    }
    Ok(())
}

/// With a cgroup namespace of its own, a container's parent seems to be the root.
#[test]
fn the_machine_is_never_taken_for_a_pod() -> Result<()> {
    let root = roots()?.first().context("a mount")?.path().to_owned();
    for namespace in [&[][..], &NAMESPACE] {
        let wrapper = [&inside(text(&root)?)[..], namespace].concat();
        let output = run(&wrapper, &["init", "--cgroup=auto", "--state=/nonexistent"])?;
        let line = refusal(&output)?;
        // In a container the mount's root is that of its namespace.
        let expected = if root.join("cgroup.events").exists() {
            "shows this container's own cgroup and nothing above it"
        } else {
            "this process is in the root cgroup"
        };
        assert!(line.contains(expected), "{line}");
        assert!(line.ends_with("with --cgroup PATH"), "{line}");
    }
    Ok(())
}

#[test]
fn the_doctor_says_which_one_it_would_be() -> Result<()> {
    let below = Below::new()?;
    let own = below.make(&format!("kubepods/podx/{}", id('f')))?;
    let pod = below.0.place.directory().join("kubepods/podx");
    let output = run(
        &[&inside(text(&own)?)[..], &NAMESPACE].concat(),
        &["doctor", "--json"],
    )?;
    let report = json(&output)?;
    let checks = report["checks"].as_array().context("a list")?;
    let found = checks
        .iter()
        .find(|check| check["name"] == "pod")
        .context("a check of the pod")?;
    let expected = format!(
        "--cgroup auto takes {}: a Kubernetes pod, cgroupfs driver",
        pod.display()
    );
    assert_eq!(found["finding"], expected);
    Ok(())
}
