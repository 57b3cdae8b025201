//! weir works wherever it is started.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};
use weir_tests::exec::Exec;

struct NetworkNamespace(String);

impl NetworkNamespace {
    fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("weir-test-{}-{number}", std::process::id());
        let status = Command::new("ip").args(["netns", "add", &name]).status()?;
        ensure!(status.success(), "ip netns add {name}: {status}");
        Ok(Self(name))
    }
}

impl Drop for NetworkNamespace {
    fn drop(&mut self) {
        let _gone = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// `ip netns exec` mounts a fresh /sys, in which no cgroup is mounted.
#[test]
fn in_a_network_namespace_without_a_cgroup_mount() -> Result<()> {
    let namespace = NetworkNamespace::new()?;
    // The machine may have more mounts than that one, such as those of a chroot.
    let hide = "ip link set lo up; umount --all --types cgroup2; exec \"$@\"";
    let within = ["ip", "netns", "exec", &namespace.0, "sh", "-c", hide, "sh"];
    let run = Exec::within(&within)?.run(&[
        "sh",
        "-c",
        "grep -c cgroup2 /proc/self/mounts; sed -n 's/^0:://p' /proc/self/cgroup",
    ])?;
    assert_eq!(run.code(), 0, "{run:?}");
    let lines: Vec<&str> = run.text()?.lines().collect();
    let ["0", cgroup] = lines.as_slice() else {
        panic!("a cgroup2 mount was visible: {run:?}");
    };
    assert!(
        cgroup.contains("/weir-exec-") && cgroup.ends_with("/app"),
        "{cgroup}"
    );
    Ok(())
}

#[test]
fn in_a_network_namespace_whose_loopback_is_down_it_says_so() -> Result<()> {
    let namespace = NetworkNamespace::new()?;
    let run = Exec::within(&["ip", "netns", "exec", &namespace.0])?.run(&["true"])?;
    assert_eq!(run.code(), 125, "{run:?}");
    assert_eq!(
        run.said(),
        ["loopback is down in this network namespace: `ip link set lo up`"]
    );
    Ok(())
}

#[test]
fn in_a_cgroup_namespace() -> Result<()> {
    let run = Exec::within(&["unshare", "--cgroup", "--mount"])?.run(&[
        "sed",
        "-n",
        "s/^0:://p",
        "/proc/self/cgroup",
    ])?;
    assert_eq!(run.code(), 0, "{run:?}");
    let cgroup = run.text()?.trim_end();
    assert!(
        cgroup.starts_with("/weir-exec-") && cgroup.ends_with("/app"),
        "{cgroup}"
    );
    Ok(())
}

#[test]
fn within_itself() -> Result<()> {
    let outer = Exec::new()?;
    let (inner, _mark) = Exec::new()?.into_command(&["sh", "-c", "exit 6"]);
    let words: Vec<_> = std::iter::once(inner.get_program())
        .chain(inner.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let run = outer.run(&words)?;
    assert_eq!(run.code(), 6, "{run:?}");
    Ok(())
}
