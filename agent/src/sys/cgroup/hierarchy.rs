//! Finding the cgroup v2 directory of a process: it is not always mounted at
//! `/sys/fs/cgroup`, not always whole, and in `ip netns exec` not at all.
//!
//! What is found is proven before it is used: the directory lies on cgroup2 and
//! lists this very process. Bind mounts, stale mounts and cgroup namespaces all
//! make paths that look right and are not.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs};
use nix::unistd::Pid;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use super::Cgroup;

/// Why there is no cgroup to work in.
#[derive(Debug, thiserror::Error)]
pub enum HierarchyError {
    /// `/proc` could not be read.
    #[error("cannot read {file}: {source}: mount /proc")]
    NoProc {
        /// Which file of it.
        file: PathBuf,
        /// What reading gave.
        #[source]
        source: io::Error,
    },
    /// The kernel has no cgroup v2 hierarchy.
    #[error(
        "this system has no cgroup v2 hierarchy: boot with cgroup v2, or mount it with `mount -t cgroup2 none /sys/fs/cgroup/unified`"
    )]
    NoVersion2,
    /// No mount of it leads to this process.
    #[error(
        "no cgroup2 mount shows the cgroup {} of this process, and opening one failed: {source}: run in the cgroup and mount namespace of the machine", path.display()
    )]
    NotVisible {
        /// The cgroup as `/proc/self/cgroup` names it.
        path: PathBuf,
        /// What opening a mount of our own gave.
        #[source]
        source: io::Error,
    },
}

impl HierarchyError {
    /// Whether the hierarchy is there and the cgroup is not.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::NotVisible { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// The cgroup this process is in.
///
/// # Errors
/// There is no cgroup2, or no way to this process's part of it.
pub fn own_cgroup() -> Result<Cgroup, HierarchyError> {
    let memberships = read("/proc/self/cgroup")?;
    let path = membership(&memberships).ok_or(HierarchyError::NoVersion2)?;
    find(path, is_ours)
}

/// The cgroup this process is in, by its directory on a mount if there is one.
///
/// # Errors
/// As [`own_cgroup`].
pub fn own_directory() -> Result<Cgroup, HierarchyError> {
    let own = own_cgroup()?;
    let mounts = read("/proc/self/mountinfo")?;
    let directory = mounts_of(&mounts)
        .iter()
        .filter_map(|mount| mount.directory_of(own.path()))
        .filter_map(|directory| Cgroup::at(&directory).ok())
        .find(is_ours);
    Ok(directory.unwrap_or(own))
}

/// The cgroup that `/proc/PID/cgroup` calls `path`.
///
/// # Errors
/// There is none of that path, or no way to it.
pub fn cgroup_at(path: &Path) -> Result<Cgroup, HierarchyError> {
    find(path, is_version2)
}

/// The cgroup of this path by any mount that shows it, if it is what it should be.
fn find(path: &Path, proven: fn(&Cgroup) -> bool) -> Result<Cgroup, HierarchyError> {
    let mounts = read("/proc/self/mountinfo")?;
    mounts_of(&mounts)
        .iter()
        .filter_map(|mount| mount.directory_of(path))
        .filter_map(|directory| open_directory(CWD, &directory).ok())
        .map(|directory| Cgroup::new(directory, path.to_owned()))
        .find(proven)
        .map_or_else(
            || {
                from_a_mount_of_our_own(path, proven).map_err(|source| HierarchyError::NotVisible {
                    path: path.to_owned(),
                    source,
                })
            },
            Ok,
        )
}

/// The hierarchy as far as this process sees it: what each mount of it begins
/// with, those that show most first. Without any, a mount of our own.
///
/// # Errors
/// There is no cgroup2, or no way to it.
pub fn roots() -> Result<Vec<Cgroup>, HierarchyError> {
    let mounts = read("/proc/self/mountinfo")?;
    let mut mounts = mounts_of(&mounts);
    mounts.sort_by_key(Mount::depth);
    let roots: Vec<Cgroup> = mounts
        .iter()
        .filter_map(|mount| Cgroup::at(&mount.point).ok())
        .collect();
    if !roots.is_empty() {
        return Ok(roots);
    }
    let path = Path::new("/");
    match from_a_mount_of_our_own(path, is_version2) {
        Ok(root) => Ok(vec![root]),
        Err(source) => Err(HierarchyError::NotVisible {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Whether a process is in the cgroup of this path, or below it, at this moment.
#[must_use]
pub fn is_within(pid: Pid, path: &Path) -> bool {
    fs::read(format!("/proc/{pid}/cgroup"))
        .is_ok_and(|text| membership(&text).is_some_and(|own| own.starts_with(path)))
}

/// Mounts the hierarchy without attaching it anywhere: nobody else sees it, and
/// it goes with its last descriptor.
fn from_a_mount_of_our_own(path: &Path, proven: fn(&Cgroup) -> bool) -> io::Result<Cgroup> {
    let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let root = fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )?;
    // Its root is the root of our cgroup namespace, as is the path's.
    let below = path.strip_prefix("/").unwrap_or(path);
    let below = if below.as_os_str().is_empty() {
        Path::new(".")
    } else {
        below
    };
    let cgroup = Cgroup::new(open_directory(&root, below)?, path.to_owned());
    if proven(&cgroup) {
        Ok(cgroup)
    } else {
        Err(io::Error::other("it does not list this process"))
    }
}

/// Whether it lies on cgroup2.
pub(super) fn is_version2(cgroup: &Cgroup) -> bool {
    fstatfs(cgroup).is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC)
}

/// Whether it lists this very process.
pub(super) fn is_ours(cgroup: &Cgroup) -> bool {
    is_version2(cgroup)
        && cgroup
            .own_processes()
            .is_ok_and(|pids| pids.contains(&Pid::this()))
}

/// Opens a directory for reading.
pub(super) fn open_directory(at: impl std::os::fd::AsFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(at, path, flags, Mode::empty())?)
}

fn read(file: &str) -> Result<Vec<u8>, HierarchyError> {
    fs::read(file).map_err(|source| HierarchyError::NoProc {
        file: file.into(),
        source,
    })
}

/// The v2 path in the text of `/proc/PID/cgroup`: the line of hierarchy 0.
fn membership(text: &[u8]) -> Option<&Path> {
    text.split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"0::"))
        // The kernel marks a directory that was removed below the process.
        .map(|path| path.strip_suffix(b" (deleted)").unwrap_or(path))
        .map(|path| Path::new(OsStr::from_bytes(path)))
}

/// One mount of the hierarchy.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    /// Which cgroup it shows, relative to the root of our cgroup namespace.
    root: PathBuf,
    /// Where.
    point: PathBuf,
}

impl Mount {
    /// Where it shows the cgroup of this path, if it does.
    fn directory_of(&self, path: &Path) -> Option<PathBuf> {
        let below = path.strip_prefix(&self.root).ok()?;
        // Joined with nothing, a path would end in a slash.
        Some(self.point.join(below).components().collect())
    }

    /// How far below the root of our cgroup namespace it begins; above, if
    /// negative.
    fn depth(&self) -> i32 {
        let step = |component| match component {
            Component::Normal(_) => 1,
            Component::ParentDir => -1,
            Component::RootDir | Component::CurDir | Component::Prefix(_) => 0,
        };
        self.root.components().map(step).sum()
    }
}

/// The cgroup2 mounts in the text of `/proc/self/mountinfo`, latest first: a
/// later mount hides an earlier one at the same place.
fn mounts_of(text: &[u8]) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = text
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            // id parent major:minor root point options [tags…] - type source options
            let mut fields = line.split(|byte| *byte == b' ');
            let root = fields.nth(3)?;
            let point = fields.next()?;
            fields.find(|field| *field == b"-")?;
            (fields.next()? == b"cgroup2").then(|| Mount {
                root: unescaped(root),
                point: unescaped(point),
            })
        })
        .collect();
    mounts.reverse();
    mounts
}

/// Undoes the octal escapes of blanks and backslashes in mountinfo.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(byte) = octal {
            bytes.push(byte);
            rest = after.get(3..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &[u8] = b"\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:4 - cgroup cgroup rw,memory\n\
38 31 0:35 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_hierarchy_is_found_where_it_is_mounted() {
        for (mountinfo, path, expected) in [
            (HYBRID, "/", Some("/sys/fs/cgroup/unified")),
            (
                HYBRID,
                "/user.slice/a",
                Some("/sys/fs/cgroup/unified/user.slice/a"),
            ),
            (
                b"1 2 0:3 / /sys/fs/cgroup rw shared:1 master:2 - cgroup2 cgroup rw\n",
                "/init.scope",
                Some("/sys/fs/cgroup/init.scope"),
            ),
            // A container's bind mount of its own cgroup.
            (
                b"1 2 0:3 /kubepods/pod1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
                "/kubepods/pod1/c",
                Some("/sys/fs/cgroup/c"),
            ),
            // The mount shows something above, or beside, what we may name.
            (
                b"1 2 0:3 /../.. /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
                "/",
                None,
            ),
            (
                b"1 2 0:3 /other /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
                "/own",
                None,
            ),
            (
                b"1 2 0:3 / /mnt/with\\040blank\\134 rw - cgroup2 cgroup rw\n",
                "/a",
                Some("/mnt/with blank\\/a"),
            ),
            (
                b"1 2 0:3 / /sys/fs/cgroup rw - tmpfs cgroup2 rw\n",
                "/",
                None,
            ),
            (b"torn line\n\n1 2\n", "/", None),
        ] {
            let found = mounts_of(mountinfo)
                .iter()
                .find_map(|mount| mount.directory_of(Path::new(path)));
            // As text: as paths they would be equal with a slash at the end.
            let found = found.map(|found| found.display().to_string());
            assert_eq!(found.as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_later_mount_comes_first() {
        let text = b"1 2 0:3 / /a rw - cgroup2 c rw\n1 2 0:3 / /b rw - cgroup2 c rw\n";
        let points: Vec<_> = mounts_of(text)
            .into_iter()
            .map(|mount| mount.point)
            .collect();
        assert_eq!(points, [Path::new("/b"), Path::new("/a")]);
    }

    #[test]
    fn the_mount_that_shows_most_has_the_least_depth() {
        let text = b"1 2 0:3 /a/b /x rw - cgroup2 c rw\n\
                     1 2 0:3 /../.. /y rw - cgroup2 c rw\n\
                     1 2 0:3 / /z rw - cgroup2 c rw\n";
        let depths: Vec<_> = mounts_of(text).iter().map(Mount::depth).collect();
        assert_eq!(depths, [0, -2, 2]);
    }

    #[test]
    fn the_membership_is_the_line_of_hierarchy_zero() {
        for (text, expected) in [
            (
                &b"9:name=systemd:/x\n0::/user.slice\n"[..],
                Some("/user.slice"),
            ),
            (b"0::/\n", Some("/")),
            (b"0::/gone (deleted)\n", Some("/gone")),
            (b"0::/a:b\n", Some("/a:b")),
            (b"1:cpu:/\n", None),
            (b"", None),
        ] {
            assert_eq!(membership(text), expected.map(Path::new));
        }
    }

    #[test]
    fn a_process_is_within_its_own_cgroup_and_its_parents() {
        assert!(is_within(Pid::this(), Path::new("/")));
        assert!(!is_within(Pid::this(), Path::new("/no-such-cgroup")));
    }
}
