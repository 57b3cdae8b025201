//! What weir must be allowed to do, asked before anything is made: a program
//! that the kernel refuses half-way says `EPERM`, which helps nobody.

use std::io;

use crate::sys::privileges::{Capability, in_nested_user_namespace, missing};

/// What attaching, becoming others and cleaning up after others takes.
const NEEDED: [Capability; 8] = [
    Capability::Bpf,
    Capability::NetAdmin,
    Capability::Perfmon,
    Capability::Setuid,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::DacOverride,
    Capability::Kill,
];

/// What is not allowed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequirementError {
    /// Capabilities are missing.
    #[error("missing {}: run `sudo weir exec …`", list(.0))]
    Capabilities(Vec<Capability>),
    /// The root of a user namespace has capabilities in name only.
    #[error("in a user namespace the kernel refuses {}: run `sudo weir exec …` outside of it", list(&NEEDED[..3]))]
    UserNamespace,
    /// It cannot be found out.
    #[error("cannot read the capabilities of this process: {0}: mount /proc")]
    Unknown(#[source] io::Error),
}

/// Checks all of it.
pub(super) fn check() -> Result<(), RequirementError> {
    let missing = missing(&NEEDED).map_err(RequirementError::Unknown)?;
    if !missing.is_empty() {
        return Err(RequirementError::Capabilities(missing));
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
        let error = RequirementError::Capabilities(vec![Capability::Bpf, Capability::NetAdmin]);
        assert_eq!(
            error.to_string(),
            "missing CAP_BPF, CAP_NET_ADMIN: run `sudo weir exec …`"
        );
        assert_eq!(
            RequirementError::UserNamespace.to_string(),
            "in a user namespace the kernel refuses CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON: run `sudo weir exec …` outside of it"
        );
    }
}
