//! What a process may do: asking for what is missing, and giving up everything.

use std::fmt;
use std::fs;
use std::io;

use nix::unistd::{Gid, Uid, getgroups, getresgid, getresuid, setgroups, setresgid, setresuid};
use rustix::process::{DumpableBehavior, dumpable_behavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, no_new_privs, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

/// Why privileges were not given up. Whoever gets this must not go on.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegesError {
    /// A step failed.
    #[error("cannot {step}: {source}")]
    Step {
        /// What was attempted.
        step: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Every step succeeded, and yet something is left.
    #[error("{left} remained after giving up all privileges")]
    Left {
        /// What.
        left: &'static str,
    },
    /// Ids of zero would keep what is to be given up.
    #[error("user and group 0 have privileges: drop to others")]
    Root,
    /// Capabilities belong to threads, and only this one can be changed.
    #[error("{count} threads run already: give up privileges before starting any")]
    Threads {
        /// How many, this one included.
        count: usize,
    },
}

/// Becomes this user and group for good: no supplementary groups, no
/// capabilities in any set, no way to regain them by executing something, no
/// reading of this process's memory by others of the same user.
///
/// To be called while the process has a single thread.
///
/// # Errors
/// Something could not be given up, or is still there afterwards.
pub fn drop_to(uid: u32, gid: u32) -> Result<(), PrivilegesError> {
    if uid == 0 || gid == 0 {
        return Err(PrivilegesError::Root);
    }
    let threads = fs::read_dir("/proc/self/task").map_err(step("count threads"))?;
    match threads.count() {
        1 => {}
        count => return Err(PrivilegesError::Threads { count }),
    }
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));

    // The bounding set goes first: removing from it takes CAP_SETPCAP.
    for capability in each_capability() {
        match capability_is_in_bounding_set(capability) {
            Ok(false) => {}
            // The kernel does not know a capability of that number.
            Err(rustix::io::Errno::INVAL) => break,
            Ok(true) | Err(_) => remove_capability_from_bounding_set(capability)
                .map_err(step("empty the capability bounding set"))?,
        }
    }
    clear_ambient_capability_set().map_err(step("clear the ambient capabilities"))?;
    setgroups(&[]).map_err(step("leave the supplementary groups"))?;
    setresgid(group, group, group).map_err(step("change the group id"))?;
    setresuid(user, user, user).map_err(step("change the user id"))?;
    set_capabilities(None, NO_CAPABILITIES).map_err(step("empty the capability sets"))?;
    set_no_new_privs(true).map_err(step("set no_new_privs"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(step("become undumpable"))?;

    verify(user, group)
}

const NO_CAPABILITIES: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};

/// Asks the kernel, instead of believing the calls above.
fn verify(user: Uid, group: Gid) -> Result<(), PrivilegesError> {
    let left = |left| Err(PrivilegesError::Left { left });
    let users = getresuid().map_err(step("read the user ids"))?;
    if [users.real, users.effective, users.saved] != [user; 3] {
        return left("another user id");
    }
    let groups = getresgid().map_err(step("read the group ids"))?;
    if [groups.real, groups.effective, groups.saved] != [group; 3] {
        return left("another group id");
    }
    if !getgroups().map_err(step("read the groups"))?.is_empty() {
        return left("a supplementary group");
    }
    if capabilities(None).map_err(step("read the capabilities"))? != NO_CAPABILITIES {
        return left("a capability");
    }
    if each_capability().any(|one| capability_is_in_bounding_set(one) == Ok(true)) {
        return left("a capability in the bounding set");
    }
    if !no_new_privs().map_err(step("read no_new_privs"))? {
        return left("the right to gain privileges by executing");
    }
    if dumpable_behavior().map_err(step("read dumpability"))? != DumpableBehavior::NotDumpable {
        return left("dumpability");
    }
    // Undoing is what an attacker would try.
    if setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok() {
        return left("the right to become root");
    }
    Ok(())
}

/// Every capability there can be, known to this build or not.
fn each_capability() -> impl Iterator<Item = CapabilitySet> {
    (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit))
}

fn step<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> PrivilegesError {
    move |source| PrivilegesError::Step {
        step,
        source: source.into(),
    }
}

/// A capability that weir can miss, displayed by its kernel name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// To load and attach programs.
    Bpf,
    /// To attach network programs.
    NetAdmin,
    /// To load programs that do arithmetic on pointers, as compiled Rust does.
    Perfmon,
    /// To become another user.
    Setuid,
    /// To become another group.
    Setgid,
    /// To empty the capability bounding set.
    Setpcap,
    /// To write in directories of others.
    DacOverride,
    /// To signal processes of others.
    Kill,
    /// To give a file to another user.
    Chown,
    /// To lock as much memory as programs take, before Linux 5.11.
    SysResource,
    /// To look at programs and maps that others have loaded.
    SysAdmin,
}

impl Capability {
    /// The sets that grant it: its own, or a wider one from before it existed.
    fn granted_by(self) -> CapabilitySet {
        match self {
            Self::Bpf => CapabilitySet::BPF | CapabilitySet::SYS_ADMIN,
            Self::NetAdmin => CapabilitySet::NET_ADMIN,
            Self::Perfmon => CapabilitySet::PERFMON | CapabilitySet::SYS_ADMIN,
            Self::Setuid => CapabilitySet::SETUID,
            Self::Setgid => CapabilitySet::SETGID,
            Self::Setpcap => CapabilitySet::SETPCAP,
            Self::DacOverride => CapabilitySet::DAC_OVERRIDE,
            Self::Kill => CapabilitySet::KILL,
            Self::Chown => CapabilitySet::CHOWN,
            Self::SysResource => CapabilitySet::SYS_RESOURCE,
            Self::SysAdmin => CapabilitySet::SYS_ADMIN,
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Bpf => "CAP_BPF",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::Perfmon => "CAP_PERFMON",
            Self::Setuid => "CAP_SETUID",
            Self::Setgid => "CAP_SETGID",
            Self::Setpcap => "CAP_SETPCAP",
            Self::DacOverride => "CAP_DAC_OVERRIDE",
            Self::Kill => "CAP_KILL",
            Self::Chown => "CAP_CHOWN",
            Self::SysResource => "CAP_SYS_RESOURCE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
        })
    }
}

/// Which of these capabilities this thread does not have.
///
/// # Errors
/// The kernel does not say.
pub fn missing(needed: &[Capability]) -> io::Result<Vec<Capability>> {
    let have = capabilities(None)?.effective;
    Ok(needed
        .iter()
        .copied()
        .filter(|one| !have.intersects(one.granted_by()))
        .collect())
}

/// Whether this process is in a user namespace below the machine's, where
/// capabilities do not reach the kernel's own objects.
///
/// # Errors
/// `/proc` cannot be read.
pub fn in_nested_user_namespace() -> io::Result<bool> {
    let map = fs::read_to_string("/proc/self/uid_map")?;
    let whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
    Ok(!whole)
}

/// Major and minor version of the running kernel.
///
/// # Errors
/// The kernel does not say, or says it in a form of its own.
pub fn kernel_version() -> io::Result<(u32, u32)> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    version_of(&release)
        .ok_or_else(|| io::Error::other(format!("{release:?} is not a kernel release")))
}

fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::version_of;

    #[test]
    fn releases_of_distributions_have_two_numbers() {
        for (release, version) in [
            ("5.10.0-32-cloud-amd64\n", Some((5, 10))),
            ("6.18.44", Some((6, 18))),
            ("7.0-rc1+", Some((7, 0))),
            ("", None),
            ("linux", None),
        ] {
            assert_eq!(version_of(release), version, "{release}");
        }
    }
}
