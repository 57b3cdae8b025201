//! The kernel: whether it is new enough, whether it is the one that makes the
//! application's connections, and whether it lets programs be loaded.

use std::fs;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;

use crate::sys::bpf::{self, AttachType};
use crate::sys::privileges::{Capability, kernel_version, missing};

use super::check::Check;

/// The oldest kernel that has every program type and helper weir uses.
const OLDEST: (u32, u32) = (5, 10);
/// The first kernel on which using net_cls or net_prio does not turn programs
/// of cgroup2 off for all new sockets (commit 8520e224f547).
const WITHOUT_CLASS_TRAP: (u32, u32) = (5, 15);

pub(super) fn checks() -> Vec<Check> {
    let read = |path: &str| fs::read_to_string(path);
    let version = kernel_version();
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    vec![
        kernel(version.as_ref().ok().copied(), release.trim()),
        runtime(read("/proc/version").ok().as_deref()),
        bpf_call(
            probe(),
            missing(&[Capability::NetAdmin]).is_ok_and(|missing| missing.is_empty()),
            read("/proc/self/status").ok().as_deref(),
        ),
        unprivileged(
            read("/proc/sys/kernel/unprivileged_bpf_disabled")
                .ok()
                .as_deref(),
        ),
        security(
            read("/sys/kernel/security/lsm").ok().as_deref(),
            read("/sys/kernel/security/lockdown").ok().as_deref(),
            read("/proc/self/attr/current").ok().as_deref(),
        ),
        classes(version.ok(), read("/proc/cgroups").ok().as_deref()),
        ipv6(TcpListener::bind("[::1]:0").err()),
    ]
}

fn kernel(version: Option<(u32, u32)>, release: &str) -> Check {
    const NAME: &str = "kernel";
    let (major, minor) = OLDEST;
    match version {
        None => Check::not_checked(NAME, format!("{release:?} is not a kernel release")),
        Some(version) if version < OLDEST => Check::problem(
            NAME,
            format!("Linux {release} lacks program types that weir uses"),
            format!("run Linux {major}.{minor} or newer"),
        ),
        Some(_) => Check::ok(
            NAME,
            format!("Linux {release}; {major}.{minor} or newer is needed, its BTF is not"),
        ),
    }
}

/// In gVisor every system call is answered by a process; the machine's kernel
/// never sees the application connect.
fn runtime(version: Option<&str>) -> Check {
    const NAME: &str = "runtime";
    match version {
        None => Check::not_checked(NAME, "cannot read /proc/version: mount /proc"),
        Some(version) if version.contains("gVisor") => Check::problem(
            NAME,
            "this is a gVisor sandbox, whose connections the machine's kernel does not make",
            "give the pod a runtime class that shares the machine's kernel, such as runc",
        ),
        Some(_) => Check::ok(NAME, "no sandbox with a kernel of its own is seen"),
    }
}

/// What bpf(2) says to a harmless question that is wrong in another respect:
/// `EBADF`, because the file is no cgroup.
fn probe() -> io::Result<()> {
    let null = File::open("/dev/null")?;
    bpf::attached(null.as_fd(), AttachType::Connect4).map(drop)
}

fn bpf_call(probed: io::Result<()>, may_ask: bool, status: Option<&str>) -> Check {
    const NAME: &str = "bpf(2)";
    let filtered = status
        .into_iter()
        .flat_map(str::lines)
        .any(|line| line.split_whitespace().eq(["Seccomp:", "2"]));
    let errno = probed.as_ref().err().and_then(io::Error::raw_os_error);
    match (errno, may_ask) {
        (Some(libc::EBADF | libc::EINVAL) | None, _) => Check::ok(NAME, "the kernel answers"),
        (Some(libc::ENOSYS), _) => Check::problem(
            NAME,
            "this kernel has no bpf(2)",
            "run a kernel with CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF, outside of sandboxes",
        ),
        (Some(libc::EPERM | libc::EACCES), false) => Check::not_checked(
            NAME,
            "without CAP_NET_ADMIN it is refused in any case: run `sudo weir doctor`",
        ),
        (Some(libc::EPERM | libc::EACCES), true) if filtered => Check::problem(
            NAME,
            "refused, although this process has the capabilities: by its seccomp filter",
            "run weir init privileged, or with seccompProfile Unconfined, or allow bpf in the profile",
        ),
        (Some(libc::EPERM | libc::EACCES), true) => Check::problem(
            NAME,
            "refused, although this process has the capabilities and no seccomp filter",
            "a security module refuses it, or a user namespace is in between: see `journalctl -k`",
        ),
        (Some(other), _) => {
            let error = io::Error::from_raw_os_error(other);
            Check::warning(NAME, format!("unexpected: {error}"), "see the canary below")
        }
    }
}

fn unprivileged(setting: Option<&str>) -> Check {
    const NAME: &str = "unprivileged";
    match setting.map(str::trim) {
        None => Check::not_checked(NAME, "this kernel has no kernel.unprivileged_bpf_disabled"),
        Some("0") => Check::ok(
            NAME,
            "bpf(2) is open to everybody (kernel.unprivileged_bpf_disabled=0); weir does not need that",
        ),
        Some(value) => Check::ok(
            NAME,
            format!(
                "bpf(2) is for the privileged (kernel.unprivileged_bpf_disabled={value}); weir proxy does not use it"
            ),
        ),
    }
}

/// Nothing here is judged: whether a module refuses weir depends on its policy,
/// which only the canary can try.
fn security(modules: Option<&str>, lockdown: Option<&str>, label: Option<&str>) -> Check {
    const NAME: &str = "security";
    let Some(modules) = modules else {
        return Check::not_checked(
            NAME,
            "which security modules there are: securityfs is not mounted; the canary tries instead",
        );
    };
    // One of three, in brackets.
    let lockdown = lockdown
        .and_then(|text| text.split_once('['))
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or("unknown", |(mode, _)| mode);
    let label = label
        .map(|text| text.trim_matches(['\0', '\n', ' ']))
        .filter(|label| !label.is_empty())
        .map(|label| format!("; this process is {label}"))
        .unwrap_or_default();
    Check::ok(
        NAME,
        format!(
            "modules {}; lockdown {lockdown}, which weir's programs do not mind{label}",
            modules.trim()
        ),
    )
}

fn classes(version: Option<(u32, u32)>, cgroups: Option<&str>) -> Check {
    const NAME: &str = "net_cls";
    let Some(version) = version else {
        return Check::not_checked(NAME, "the kernel's version is not known");
    };
    if version >= WITHOUT_CLASS_TRAP {
        return Check::ok(
            NAME,
            "no trap: since Linux 5.15 it does not turn cgroup2 off",
        );
    }
    let Some(cgroups) = cgroups else {
        return Check::not_checked(NAME, "cannot read /proc/cgroups: mount /proc");
    };
    // name, hierarchy (0: not mounted as version 1), number of cgroups, enabled
    let used: Vec<&str> = cgroups
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let name = fields
                .next()
                .filter(|name| ["net_cls", "net_prio"].contains(name))?;
            let hierarchy = fields.next()?;
            let count: u32 = fields.next()?.parse().ok()?;
            (hierarchy != "0" && count > 1).then_some(name)
        })
        .collect();
    if used.is_empty() {
        return Check::ok(NAME, "neither net_cls nor net_prio has cgroups");
    }
    Check::warning(
        NAME,
        format!(
            "there are cgroups of {}: once one of them is given a class, new sockets of the whole machine go past every cgroup2 program until the next boot",
            used.join(" and ")
        ),
        "boot with cgroup_no_v1=net_cls,net_prio, or run Linux 5.15 or newer",
    )
}

fn ipv6(refused: Option<io::Error>) -> Check {
    const NAME: &str = "ipv6";
    match refused {
        None => Check::ok(NAME, "there is an IPv6 loopback"),
        Some(error) => Check::warning(
            NAME,
            format!(
                "no IPv6 loopback ({error}): IPv6 connections are taken over IPv4, and sockets that are IPv6 only fail"
            ),
            "set net.ipv6.conf.lo.disable_ipv6=0, unless nothing here uses IPv6",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict::{self, NotChecked, Ok, Problem, Warning};
    use super::*;

    fn refused(errno: i32) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn a_kernel_before_5_10_is_a_problem() {
        for (version, expected) in [
            (Some((5, 10)), Ok),
            (Some((6, 18)), Ok),
            (Some((10, 0)), Ok),
            (Some((5, 9)), Problem),
            (Some((4, 19)), Problem),
            (None, NotChecked),
        ] {
            assert_eq!(kernel(version, "x").result, expected, "{version:?}");
        }
    }

    #[test]
    fn a_sandbox_says_so_itself() {
        let gvisor = "Linux version 4.4.0 gVisor";
        assert_eq!(runtime(Some(gvisor)).result, Problem);
        assert_eq!(runtime(Some("Linux version 6.1.0 (gcc)")).result, Ok);
        assert_eq!(runtime(None).result, NotChecked);
    }

    #[test]
    fn a_refusal_is_only_one_with_the_capability() {
        let filter = Some("Name:\tweir\nSeccomp:\t2\n");
        let free = Some("Seccomp:\t0\n");
        for (errno, may_ask, status, expected) in [
            (libc::EBADF, true, free, Ok),
            (libc::EBADF, true, filter, Ok),
            (libc::ENOSYS, true, free, Problem),
            (libc::EPERM, false, filter, NotChecked),
            (libc::EPERM, true, filter, Problem),
            (libc::EPERM, true, free, Problem),
            (libc::EIO, true, free, Warning),
        ] {
            let check = bpf_call(refused(errno), may_ask, status);
            assert_eq!(check.result, expected, "{check:?}");
        }
        let by_filter = bpf_call(refused(libc::EPERM), true, filter);
        assert!(
            by_filter.finding.contains("seccomp filter"),
            "{by_filter:?}"
        );
    }

    #[test]
    fn the_class_trap_needs_an_old_kernel_and_a_class() {
        let used = "#subsys_name\thierarchy\tnum_cgroups\tenabled\nnet_cls\t4\t12\t1\n";
        let mounted = "net_cls\t4\t1\t1\nnet_prio\t4\t1\t1\n";
        let unmounted = "net_cls\t0\t53\t1\n";
        let table: [(_, _, Verdict); 7] = [
            (Some((5, 10)), Some(used), Warning),
            (Some((5, 14)), Some(used), Warning),
            (Some((5, 15)), Some(used), Ok),
            (Some((5, 10)), Some(mounted), Ok),
            (Some((5, 10)), Some(unmounted), Ok),
            (Some((5, 10)), None, NotChecked),
            (None, Some(used), NotChecked),
        ];
        for (version, cgroups, expected) in table {
            assert_eq!(
                classes(version, cgroups).result,
                expected,
                "{version:?} {cgroups:?}"
            );
        }
    }

    #[test]
    fn security_modules_are_named_and_not_judged() {
        let check = security(
            Some("lockdown,capability,apparmor,bpf"),
            Some("none [integrity] confidentiality\n"),
            Some("docker-default (enforce)\n"),
        );
        assert_eq!(check.result, Ok);
        assert_eq!(
            check.finding,
            "modules lockdown,capability,apparmor,bpf; lockdown integrity, which weir's programs do not mind; this process is docker-default (enforce)"
        );
        assert_eq!(security(None, None, None).result, NotChecked);
    }

    #[test]
    fn a_machine_without_ipv6_is_warned() {
        assert_eq!(ipv6(None).result, Ok);
        let error = io::Error::from_raw_os_error(libc::EADDRNOTAVAIL);
        assert_eq!(ipv6(Some(error)).result, Warning);
    }
}
