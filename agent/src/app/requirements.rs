//! What weir must be allowed to do, asked before anything is made: a program
//! that the kernel refuses half-way says `EPERM`, which helps nobody.

use std::io;

use nix::unistd::geteuid;

use crate::sys::privileges::{Capability, in_nested_user_namespace, kernel_version, missing};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Attach, become others, and clean up after others.
    Exec,
    /// Load and attach, and leave a file for this user.
    Attach {
        /// Whose file it is.
        proxy_uid: u32,
    },
    /// Look at what is attached, and take it off.
    Replace,
}

/// To load and attach.
const ATTACH: [Capability; 3] = [Capability::Bpf, Capability::NetAdmin, Capability::Perfmon];
/// The first kernel whose memory for programs is not bounded by RLIMIT_MEMLOCK,
/// which only this capability raises.
const WITHOUT_MEMLOCK: (u32, u32) = (5, 11);

impl Task {
    fn needed(self, kernel: (u32, u32)) -> Vec<Capability> {
        let mut needed = match self {
            Self::Exec => vec![
                Capability::Setuid,
                Capability::Setgid,
                Capability::Setpcap,
                Capability::DacOverride,
                Capability::Kill,
            ],
            // Who does not own the file cannot give it away.
            Self::Attach { proxy_uid } if geteuid().as_raw() != proxy_uid => {
                vec![Capability::Chown]
            }
            Self::Attach { .. } => Vec::new(),
            Self::Replace => vec![Capability::SysAdmin, Capability::NetAdmin],
        };
        if matches!(self, Self::Exec | Self::Attach { .. }) {
            needed.splice(0..0, ATTACH);
            if kernel < WITHOUT_MEMLOCK {
                needed.push(Capability::SysResource);
            }
        }
        needed
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::Exec => "run `sudo weir exec …`",
            Self::Attach { .. } => {
                "run it as root, or in an init container that is privileged or has them added"
            }
            Self::Replace => "run it as root, or in a privileged container",
        }
    }
}

/// What is not allowed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequirementError {
    /// Capabilities are missing.
    #[error("missing {}: {}", list(.0), .1.remedy())]
    Capabilities(Vec<Capability>, Task),
    /// The root of a user namespace has capabilities in name only.
    #[error("in a user namespace the kernel refuses {}: run it outside of one, as with `hostUsers: true`", list(&ATTACH))]
    UserNamespace,
    /// It cannot be found out.
    #[error("cannot read the capabilities of this process: {0}: mount /proc")]
    Unknown(#[source] io::Error),
}

/// Checks all of it.
pub(super) fn check(task: Task) -> Result<(), RequirementError> {
    let kernel = kernel_version().map_err(RequirementError::Unknown)?;
    let missing = missing(&task.needed(kernel)).map_err(RequirementError::Unknown)?;
    if !missing.is_empty() {
        return Err(RequirementError::Capabilities(missing, task));
    }
    match in_nested_user_namespace() {
        Ok(false) => Ok(()),
        Ok(true) => Err(RequirementError::UserNamespace),
        Err(error) => Err(RequirementError::Unknown(error)),
    }
}

fn list(capabilities: &[Capability]) -> String {
    let names: Vec<String> = capabilities.iter().map(ToString::to_string).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_what_is_missing_and_what_to_do() {
        let missing = vec![Capability::Bpf, Capability::NetAdmin];
        let error = RequirementError::Capabilities(missing, Task::Exec);
        assert_eq!(
            error.to_string(),
            "missing CAP_BPF, CAP_NET_ADMIN: run `sudo weir exec …`"
        );
        assert_eq!(
            RequirementError::UserNamespace.to_string(),
            "in a user namespace the kernel refuses CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON: run it \
             outside of one, as with `hostUsers: true`"
        );
    }

    #[test]
    fn memory_is_asked_for_only_where_it_is_bounded() {
        let bounded = |kernel| {
            Task::Attach { proxy_uid: 0 }
                .needed(kernel)
                .contains(&Capability::SysResource)
        };
        assert!(bounded((5, 10)));
        assert!(!bounded((5, 11)));
        assert!(!bounded((6, 1)));
    }
}
