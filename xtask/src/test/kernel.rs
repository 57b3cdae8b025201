//! Whether this kernel and this user can run the privileged suites, and the remedy if not.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::privilege::Privilege;

/// Bits of the capability sets in `/proc/self/status`, from linux/capability.h.
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
/// Exists when, and only when, the kernel has the bpf system call.
const BPF_SYSCTL: &str = "/proc/sys/kernel/unprivileged_bpf_disabled";

/// Passes when root can be had, cgroup2 is mounted and the kernel has BPF.
///
/// # Errors
/// What is missing, with the remedy.
pub(crate) fn ready(privilege: Privilege) -> Result<()> {
    match privilege {
        Privilege::Root => {
            let status =
                fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
            require_capabilities(&status)?;
        }
        // What sudo grants shows when a test runs.
        Privilege::Sudo => {}
        Privilege::None => {
            bail!("needs root: run as root or install sudo, or pass --unprivileged")
        }
    }
    let mounts =
        fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
    require_cgroup2(&mounts)?;
    if !Path::new(BPF_SYSCTL).exists() {
        bail!("this kernel has no BPF (CONFIG_BPF_SYSCALL): use a distribution's kernel");
    }
    Ok(())
}

/// Root inside a container often has neither of the two.
fn require_capabilities(status: &str) -> Result<()> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .context("/proc/self/status has no CapEff")?;
    for (bit, name) in [
        (CAP_NET_ADMIN, "CAP_NET_ADMIN"),
        (CAP_SYS_ADMIN, "CAP_SYS_ADMIN"),
    ] {
        if effective & (1 << bit) == 0 {
            bail!("root lacks {name} here: start the container with --privileged");
        }
    }
    Ok(())
}

fn require_cgroup2(mounts: &str) -> Result<()> {
    // Fields of proc(5): device, mount point, type.
    if mounts
        .lines()
        .any(|mount| mount.split(' ').nth(2) == Some("cgroup2"))
    {
        return Ok(());
    }
    bail!("cgroup2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup")
}

#[cfg(test)]
mod tests {
    use super::{require_capabilities, require_cgroup2};

    #[test]
    fn root_without_the_capabilities_is_told_which() {
        assert!(require_capabilities("Name:\tx\nCapEff:\t000001ffffffffff\n").is_ok());
        let docker = require_capabilities("CapEff:\t00000000a80425fb\n");
        assert!(docker.is_err_and(|error| error.to_string().contains("CAP_NET_ADMIN")));
    }

    #[test]
    fn cgroup2_is_found_by_its_type_wherever_it_is_mounted() {
        let hybrid = "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert!(require_cgroup2(hybrid).is_ok());
        assert!(require_cgroup2("cgroup2 /sys/fs/cgroup tmpfs rw 0 0\n").is_err());
    }
}
