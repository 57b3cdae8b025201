//! What this process may do, by the command that needs it.

use std::io;

use nix::unistd::geteuid;

use crate::sys::privileges::{Capability, in_nested_user_namespace, kernel_version, missing};

use super::check::Check;

/// The first kernel that does not count programs as locked memory.
const WITHOUT_MEMLOCK: (u32, u32) = (5, 11);

pub(super) fn checks() -> Vec<Check> {
    let kernel = kernel_version().unwrap_or(WITHOUT_MEMLOCK);
    let who = if geteuid().is_root() {
        Who::Root
    } else {
        Who::Ordinary
    };
    vec![
        attach(missing(&to_attach(kernel)), &to_attach(kernel), who),
        inspect(missing(&[Capability::SysAdmin])),
        user_namespace(in_nested_user_namespace()),
    ]
}

/// Who asks: what root lacks was taken from it, what others lack is as ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Root,
    Ordinary,
}

fn to_attach(kernel: (u32, u32)) -> Vec<Capability> {
    let mut needed = vec![Capability::Bpf, Capability::NetAdmin, Capability::Perfmon];
    if kernel < WITHOUT_MEMLOCK {
        needed.push(Capability::SysResource);
    }
    needed
}

fn attach(missing: io::Result<Vec<Capability>>, needed: &[Capability], who: Who) -> Check {
    const NAME: &str = "attach";
    match (missing, who) {
        (Err(error), _) => Check::not_checked(NAME, error.to_string()),
        (Ok(missing), _) if missing.is_empty() => {
            Check::ok(NAME, format!("{} are there", list(needed)))
        }
        (Ok(missing), Who::Root) => Check::problem(
            NAME,
            format!("missing {}", list(&missing)),
            "run it with all of root's rights; in a pod, name these in the init container's capabilities.add, or make it privileged",
        ),
        (Ok(missing), Who::Ordinary) => Check::warning(
            NAME,
            format!("missing {}, as ordinary users do", list(&missing)),
            "run weir exec and weir init as root; weir proxy needs none of them",
        ),
    }
}

fn inspect(missing: io::Result<Vec<Capability>>) -> Check {
    const NAME: &str = "inspect";
    match missing {
        Err(error) => Check::not_checked(NAME, error.to_string()),
        Ok(missing) if missing.is_empty() => Check::ok(NAME, "CAP_SYS_ADMIN is there"),
        Ok(_) => Check::warning(
            NAME,
            "missing CAP_SYS_ADMIN: weir status, trace and detach, and weir init on a cgroup where it has been, do not work",
            "run these as root, or in a privileged container",
        ),
    }
}

fn user_namespace(nested: io::Result<bool>) -> Check {
    const NAME: &str = "user ns";
    match nested {
        Err(error) => Check::not_checked(NAME, error.to_string()),
        Ok(false) => Check::ok(NAME, "the machine's own"),
        Ok(true) => Check::problem(
            NAME,
            "in a user namespace capabilities do not reach the kernel's programs",
            "run weir init in a pod with hostUsers: true, or attach from outside with --cgroup PATH",
        ),
    }
}

fn list(capabilities: &[Capability]) -> String {
    let names: Vec<String> = capabilities.iter().map(ToString::to_string).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict::{NotChecked, Ok as Good, Problem, Warning};
    use super::*;

    #[test]
    fn what_root_lacks_is_a_problem_and_what_others_lack_is_not() {
        let needed = to_attach((6, 1));
        for (missing, who, expected) in [
            (vec![], Who::Root, Good),
            (vec![], Who::Ordinary, Good),
            (vec![Capability::Bpf], Who::Root, Problem),
            (vec![Capability::Bpf], Who::Ordinary, Warning),
        ] {
            assert_eq!(attach(Ok(missing), &needed, who).result, expected);
        }
        let unknown = attach(Err(io::Error::other("x")), &needed, Who::Root);
        assert_eq!(unknown.result, NotChecked);
    }

    #[test]
    fn locked_memory_counts_before_5_11() {
        assert!(to_attach((5, 10)).contains(&Capability::SysResource));
        assert!(!to_attach((5, 11)).contains(&Capability::SysResource));
    }

    #[test]
    fn without_inspection_weir_works() {
        assert_eq!(inspect(Ok(vec![Capability::SysAdmin])).result, Warning);
        assert_eq!(inspect(Ok(vec![])).result, Good);
        assert_eq!(user_namespace(Ok(true)).result, Problem);
        assert_eq!(user_namespace(Ok(false)).result, Good);
    }
}
