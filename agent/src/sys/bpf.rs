//! The commands of bpf(2) that aya does not offer: legacy attach to a cgroup,
//! replace, detach and query; and the names of what is loaded.
//!
//! Legacy attach (`BPF_PROG_ATTACH`) rather than a link: the programs then live
//! exactly as long as the cgroup, whoever loaded them (kernel/bpf/cgroup.c).

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    path::PathBuf,
};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Where in a cgroup a program attaches; `enum bpf_attach_type` of
/// include/uapi/linux/bpf.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[expect(missing_docs, reason = "the kernel's own names")]
pub enum AttachType {
    SockOps = 3,
    Connect4 = 10,
    Connect6 = 11,
    Sendmsg4 = 14,
    Sendmsg6 = 15,
    Getsockopt = 21,
    Setsockopt = 22,
    Getpeername4 = 29,
    Getpeername6 = 30,
}

/// `bpf_cmd` numbers.
mod command {
    pub(super) const PROG_ATTACH: libc::c_long = 8;
    pub(super) const PROG_DETACH: libc::c_long = 9;
    pub(super) const PROG_GET_NEXT_ID: libc::c_long = 11;
    pub(super) const PROG_GET_FD_BY_ID: libc::c_long = 13;
    pub(super) const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
    pub(super) const PROG_QUERY: libc::c_long = 16;
}

/// Other programs may be attached beside ours, above and below.
const BPF_F_ALLOW_MULTI: u32 = 2;
/// A certain program of ours makes room for another, in one step.
const BPF_F_REPLACE: u32 = 4;
/// Long enough for every command used here; the kernel wants the rest zero.
const ATTR_WORDS: usize = 20;
/// Programs one cgroup can hold per attach type (`BPF_CGROUP_MAX_PROGS`).
const PROGRAMS_MAX: usize = 64;
/// `struct bpf_prog_info`: offset and length of the name, and as much of the
/// struct as 5.10 has.
const INFO_NAME: std::ops::Range<usize> = 64..80;
const INFO_LEN: usize = 208;

/// Attaches a program to a cgroup, beside whatever is there.
///
/// # Errors
///
/// `EPERM` without `CAP_NET_ADMIN`, or when an ancestor holds an exclusive
/// attachment; `EINVAL` if the same program is already attached.
pub fn attach(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    attach_type: AttachType,
) -> io::Result<()> {
    let mut attr = [0_u32; ATTR_WORDS];
    attr[0] = word(cgroup.as_raw_fd());
    attr[1] = word(program.as_raw_fd());
    attr[2] = attach_type as u32;
    attr[3] = BPF_F_ALLOW_MULTI;
    bpf(command::PROG_ATTACH, &mut attr).map(drop)
}

/// Puts a program in the place of another of the same cgroup and type, so that
/// no call ever finds neither.
///
/// # Errors
///
/// `ENOENT` if the other is not attached there by [`attach`].
pub fn replace(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    attach_type: AttachType,
    replaced: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut attr = [0_u32; ATTR_WORDS];
    attr[0] = word(cgroup.as_raw_fd());
    attr[1] = word(program.as_raw_fd());
    attr[2] = attach_type as u32;
    attr[3] = BPF_F_ALLOW_MULTI | BPF_F_REPLACE;
    attr[4] = word(replaced.as_raw_fd());
    bpf(command::PROG_ATTACH, &mut attr).map(drop)
}

/// Takes a program off a cgroup.
///
/// # Errors
///
/// `ENOENT` if it is not attached there.
pub fn detach(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    attach_type: AttachType,
) -> io::Result<()> {
    let mut attr = [0_u32; ATTR_WORDS];
    attr[0] = word(cgroup.as_raw_fd());
    attr[1] = word(program.as_raw_fd());
    attr[2] = attach_type as u32;
    bpf(command::PROG_DETACH, &mut attr).map(drop)
}

/// A BPF filesystem that nobody else sees, as the path of its root. It goes,
/// with what is pinned in it, when the descriptor is closed.
///
/// # Errors
///
/// `EPERM` without `CAP_SYS_ADMIN`.
pub fn private_filesystem() -> io::Result<(OwnedFd, PathBuf)> {
    let filesystem = fsopen("bpf", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(filesystem.as_fd())?;
    let mount = fsmount(
        filesystem.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )?;
    let path = format!("/proc/self/fd/{}", mount.as_raw_fd()).into();
    Ok((mount, path))
}

/// The ids of the programs attached to a cgroup itself (not to its ancestors).
///
/// # Errors
///
/// `EPERM` without `CAP_NET_ADMIN`; `EINVAL` where the kernel lacks the type.
pub fn attached(cgroup: BorrowedFd<'_>, attach_type: AttachType) -> io::Result<Vec<u32>> {
    let mut ids = [0_u32; PROGRAMS_MAX];
    let mut attr = [0_u32; ATTR_WORDS];
    attr[0] = word(cgroup.as_raw_fd());
    attr[1] = attach_type as u32;
    let pointer = (ids.as_mut_ptr() as u64).to_ne_bytes();
    attr[4] = u32::from_ne_bytes([pointer[0], pointer[1], pointer[2], pointer[3]]);
    attr[5] = u32::from_ne_bytes([pointer[4], pointer[5], pointer[6], pointer[7]]);
    attr[6] = u32::try_from(PROGRAMS_MAX).unwrap_or(u32::MAX);
    bpf(command::PROG_QUERY, &mut attr)?;
    let count = usize::try_from(attr[6]).unwrap_or(0).min(PROGRAMS_MAX);
    Ok(ids[..count].to_vec())
}

/// Whether what is attached to a cgroup lets others attach below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Nothing is attached, or it allows others.
    Shared,
    /// Something is attached that does not.
    Exclusive,
}

/// How programs of this type are attached to a cgroup itself.
///
/// # Errors
///
/// As [`attached`].
pub fn sharing(cgroup: BorrowedFd<'_>, attach_type: AttachType) -> io::Result<Sharing> {
    let mut attr = [0_u32; ATTR_WORDS];
    attr[0] = word(cgroup.as_raw_fd());
    attr[1] = attach_type as u32;
    // Without room for ids the kernel answers how many there are, and the flags
    // they were attached with: `BPF_F_ALLOW_OVERRIDE`, `BPF_F_ALLOW_MULTI`.
    bpf(command::PROG_QUERY, &mut attr)?;
    let (flags, count) = (attr[3], attr[6]);
    Ok(if count > 0 && flags & (1 | BPF_F_ALLOW_MULTI) == 0 {
        Sharing::Exclusive
    } else {
        Sharing::Shared
    })
}

/// The names of all programs loaded in the kernel, by anyone.
///
/// # Errors
///
/// `EPERM` without `CAP_SYS_ADMIN`.
pub fn loaded_program_names() -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut id = 0;
    loop {
        let mut attr = [0_u32; ATTR_WORDS];
        attr[0] = id;
        match bpf(command::PROG_GET_NEXT_ID, &mut attr) {
            Ok(_) => id = attr[1],
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(names),
            Err(error) => return Err(error),
        }
        match program_name(id) {
            Ok(name) => names.push(name),
            // Unloaded between the two calls.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
}

fn program_name(id: u32) -> io::Result<String> {
    let mut attr = [0_u32; ATTR_WORDS];
    attr[0] = id;
    let fd = bpf(command::PROG_GET_FD_BY_ID, &mut attr)?;
    let fd = i32::try_from(fd).map_err(|_too_large| io::Error::from(io::ErrorKind::InvalidData))?;
    // SAFETY: the kernel just returned this descriptor, and nobody else has it.
    #[expect(unsafe_code, reason = "bpf(2) returns a raw descriptor")]
    let program = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut info = [0_u8; INFO_LEN];
    let mut attr = [0_u32; ATTR_WORDS];
    attr[0] = word(program.as_raw_fd());
    attr[1] = u32::try_from(INFO_LEN).unwrap_or(0);
    let pointer = (info.as_mut_ptr() as u64).to_ne_bytes();
    attr[2] = u32::from_ne_bytes([pointer[0], pointer[1], pointer[2], pointer[3]]);
    attr[3] = u32::from_ne_bytes([pointer[4], pointer[5], pointer[6], pointer[7]]);
    bpf(command::OBJ_GET_INFO_BY_FD, &mut attr)?;
    let name = &info[INFO_NAME];
    let end = name
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(name.len());
    Ok(String::from_utf8_lossy(&name[..end]).into_owned())
}

/// A descriptor as bpf(2) takes it; open descriptors are never negative.
fn word(fd: i32) -> u32 {
    u32::from_ne_bytes(fd.to_ne_bytes())
}

fn bpf(command: libc::c_long, attr: &mut [u32; ATTR_WORDS]) -> io::Result<libc::c_long> {
    // SAFETY: the attribute is initialised, writable and as long as the size
    // says; pointers inside it point to live buffers of the callers.
    #[expect(unsafe_code, reason = "bpf(2) has no wrapper in libc")]
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<[u32; ATTR_WORDS]>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
