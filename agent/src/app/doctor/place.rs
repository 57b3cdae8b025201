//! The cgroups: the hierarchy, the pod that `--cgroup auto` would take, and
//! whether anything above lets nothing be attached.

use std::fs;
use std::io;
use std::path::Path;

use crate::capture::PROGRAMS;
use crate::sys::cgroup::Cgroup;
use crate::sys::cgroup::hierarchy::{HierarchyError, own_directory};
use crate::sys::cgroup::pod::{Pod, PodCgroupError, UnknownPod, find_pod};
use crate::sys::inventory::{Exclusive, InventoryError, exclusive_from};

use super::check::Check;

pub(super) fn checks() -> Vec<Check> {
    let mounts = fs::read_to_string("/proc/self/mountinfo");
    let own = own_directory();
    let pod = find_pod(&[]);
    let mut checks = vec![
        hierarchy(own.as_ref(), mounts.as_deref().unwrap_or_default()),
        pod_cgroup(pod.as_ref()),
    ];
    // What would be attached to: the pod's, or a cgroup made below the own one.
    let place: Option<&Cgroup> = match (&pod, &own) {
        (Ok(pod), _) => Some(&pod.cgroup),
        (Err(_), Ok(own)) => Some(own),
        (Err(_), Err(_)) => None,
    };
    if let Some(place) = place {
        let types = PROGRAMS.map(|(_, attach_type)| attach_type);
        checks.push(others(place.path(), exclusive_from(place, &types)));
    }
    checks
}

fn hierarchy(own: Result<&Cgroup, &HierarchyError>, mounts: &str) -> Check {
    const NAME: &str = "cgroup2";
    let own = match own {
        Ok(own) => own,
        Err(error) => return Check::failed(NAME, error),
    };
    let points = |kind: &str| -> Vec<String> {
        mounts
            .lines()
            .filter_map(|line| {
                let (before, after) = line.split_once(" - ")?;
                (after.split(' ').next()? == kind)
                    .then(|| before.split(' ').nth(4).map(str::to_owned))?
            })
            .collect()
    };
    let place = match points("cgroup2").as_slice() {
        [] => "not mounted here, which weir does not mind".to_owned(),
        points => format!("mounted at {}", points.join(", ")),
    };
    let hybrid = if points("cgroup").is_empty() {
        ""
    } else {
        "; hybrid, version 1 is beside it"
    };
    Check::ok(
        NAME,
        format!(
            "{place}{hybrid}; this process is in {}",
            own.path().display()
        ),
    )
}

fn pod_cgroup(pod: Result<&Pod, &PodCgroupError>) -> Check {
    const NAME: &str = "pod";
    match pod {
        Ok(pod) => Check::ok(
            NAME,
            format!(
                "--cgroup auto takes {}: {}",
                pod.cgroup.path().display(),
                pod.layout
            ),
        ),
        // A machine is not a pod, and not in disorder.
        Err(
            PodCgroupError::MachineRoot
            | PodCgroupError::Unknown {
                source: UnknownPod::NoContainer { .. },
            },
        ) => Check::ok(
            NAME,
            "not in a container: weir exec makes a cgroup of its own, weir init takes --cgroup PATH",
        ),
        Err(error) => {
            let text = error.to_string();
            let (finding, remedy) = text.rsplit_once(": ").unwrap_or((&text, ""));
            Check::warning(
                NAME,
                format!("--cgroup auto finds no pod: {finding}"),
                remedy,
            )
        }
    }
}

fn others(place: &Path, found: Result<Vec<Exclusive>, InventoryError>) -> Check {
    const NAME: &str = "others";
    match found {
        Ok(found) if found.is_empty() => Check::ok(
            NAME,
            format!(
                "no program on {} or above it keeps others out",
                place.display()
            ),
        ),
        Ok(found) => {
            let found: Vec<String> = found
                .iter()
                .map(|one| format!("{} ({:?})", one.cgroup.display(), one.attach_type))
                .collect();
            Check::problem(
                NAME,
                format!(
                    "programs are attached that allow none below them: {}",
                    found.join(", ")
                ),
                "see `bpftool cgroup tree`; attach them with `multi`, or detach them",
            )
        }
        Err(InventoryError::Query { source, .. })
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            Check::not_checked(
                NAME,
                "whether programs above keep others out: it takes CAP_NET_ADMIN, run `sudo weir doctor`",
            )
        }
        Err(error) => Check::not_checked(NAME, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict::{NotChecked, Ok as Good, Problem, Warning};
    use super::*;
    use crate::sys::bpf::AttachType;

    #[test]
    fn a_machine_without_a_pod_is_in_order_and_a_lone_container_is_not() {
        let machine = PodCgroupError::Unknown {
            source: UnknownPod::NoContainer {
                own: "/user.slice".into(),
            },
        };
        assert_eq!(pod_cgroup(Err(&machine)).result, Good);
        assert_eq!(pod_cgroup(Err(&PodCgroupError::MachineRoot)).result, Good);
        let only_own = PodCgroupError::OnlyOwn { root: "/c".into() };
        let check = pod_cgroup(Err(&only_own));
        assert_eq!(check.result, Warning);
        let remedy = check.remedy.expect("what to do");
        assert!(
            remedy.starts_with("mount the host's /sys/fs/cgroup"),
            "{remedy}"
        );
    }

    #[test]
    fn a_hierarchy_that_is_not_there_says_what_to_do() {
        let check = hierarchy(Err(&HierarchyError::NoVersion2), "");
        assert_eq!(check.result, Problem);
        assert!(check.finding.contains("boot with cgroup v2"), "{check:?}");
    }

    #[test]
    fn exclusive_programs_are_a_problem_if_they_can_be_seen() {
        let place = Path::new("/pod");
        assert_eq!(others(place, Ok(vec![])).result, Good);
        let exclusive = Exclusive {
            cgroup: "/a".into(),
            attach_type: AttachType::Connect4,
        };
        let check = others(place, Ok(vec![exclusive]));
        assert_eq!(check.result, Problem);
        assert!(check.finding.ends_with("/a (Connect4)"), "{check:?}");
        let refused = InventoryError::Query {
            path: "/a".into(),
            source: io::Error::from_raw_os_error(libc::EPERM),
        };
        assert_eq!(others(place, Err(refused)).result, NotChecked);
    }
}
