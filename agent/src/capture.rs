//! The kernel half, from user space: load the programs, attach them to one
//! cgroup, tell them where the proxy is, read what they counted.
//!
//! The only user of aya. It does not find or make cgroups (`sys::cgroup`), and
//! does not decide what is captured beyond writing the [`Settings`].

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, MapData, MapError},
    programs::{CgroupSockAddr, CgroupSockopt, ProgramError, ProgramFd, SockOps},
};
use weir_common::{FlowReason, Settings, map, program};

use crate::sys::bpf::{self, AttachType};

/// Programs and attach types, in the order of attachment: what only answers or
/// observes first, what changes traffic last, so that a redirected connection
/// always finds the programs that carry its origin.
const PROGRAMS: [(&str, AttachType); 8] = [
    (program::GETSOCKOPT, AttachType::Getsockopt),
    (program::SOCK_OPS, AttachType::SockOps),
    (program::PEERNAME4, AttachType::Getpeername4),
    (program::PEERNAME6, AttachType::Getpeername6),
    (program::SENDMSG4, AttachType::Sendmsg4),
    (program::SENDMSG6, AttachType::Sendmsg6),
    (program::CONNECT4, AttachType::Connect4),
    (program::CONNECT6, AttachType::Connect6),
];

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/weir.bpf.o"));

/// What can go wrong between user space and the kernel.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The binary was built without its kernel half.
    #[error("this build of weir carries no eBPF object: build it with `cargo xtask build`")]
    NoObject,
    /// The kernel refused to create the maps.
    #[error(
        "cannot load weir's eBPF maps: {0}{hint}",
        hint = permission_hint(.0)
    )]
    Load(#[source] Box<aya::EbpfError>),
    /// The object does not hold what this build expects.
    #[error("the eBPF object has no {0}: rebuild with `cargo xtask build`")]
    Missing(&'static str),
    /// The kernel's verifier, or a missing capability, refused a program.
    #[error("cannot load eBPF program {name}: {source}")]
    Program {
        /// Which program.
        name: &'static str,
        /// Why.
        source: Box<ProgramError>,
    },
    /// The program is loaded, but cannot be attached to the cgroup.
    #[error(
        "cannot attach eBPF program {name} to the cgroup: {source} \
         (missing CAP_NET_ADMIN, or an exclusive program on a parent cgroup: see `bpftool cgroup tree`)"
    )]
    Attach {
        /// Which program.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A map could not be read or written.
    #[error("cannot access eBPF map {name}: {source}")]
    Map {
        /// Which map.
        name: &'static str,
        /// Why.
        source: Box<MapError>,
    },
}

fn permission_hint(error: &aya::EbpfError) -> &'static str {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(current) = source {
        if let Some(io) = current.downcast_ref::<io::Error>()
            && io.raw_os_error() == Some(libc::EPERM)
        {
            return ": missing CAP_BPF or CAP_NET_ADMIN, run weir as root";
        }
        source = current.source();
    }
    ""
}

/// weir's programs and maps, loaded.
///
/// Dropping it closes the descriptors; programs that were attached stay with
/// their cgroup until it is removed.
pub struct Capture {
    ebpf: Ebpf,
    settings: Array<MapData, Settings>,
    exempt: HashMap<MapData, u64, u32>,
    counters: HashMap<MapData, u32, u64>,
}

impl Capture {
    /// Loads programs and maps; nothing is attached yet.
    ///
    /// # Errors
    ///
    /// A missing capability, a kernel older than 5.10, a verifier refusal.
    pub fn load() -> Result<Self, CaptureError> {
        if OBJECT.is_empty() {
            return Err(CaptureError::NoObject);
        }
        let mut ebpf = EbpfLoader::new()
            .load(OBJECT)
            .map_err(|error| CaptureError::Load(Box::new(error)))?;
        for (name, attach_type) in PROGRAMS {
            load_program(&mut ebpf, name, attach_type)?;
        }
        let settings = Array::try_from(take(&mut ebpf, map::SETTINGS)?)
            .map_err(|source| map_error(map::SETTINGS, source))?;
        let exempt = HashMap::try_from(take(&mut ebpf, map::EXEMPT)?)
            .map_err(|source| map_error(map::EXEMPT, source))?;
        let mut counters: HashMap<MapData, u32, u64> =
            HashMap::try_from(take(&mut ebpf, map::COUNTERS)?)
                .map_err(|source| map_error(map::COUNTERS, source))?;
        for reason in FlowReason::ALL {
            counters
                .insert(reason as u32, 0, 0)
                .map_err(|source| map_error(map::COUNTERS, source))?;
        }
        Ok(Self {
            ebpf,
            settings,
            exempt,
            counters,
        })
    }

    /// Attaches all programs to a cgroup v2 directory.
    ///
    /// They capture nothing until [`Self::configure`] gives them a port.
    ///
    /// # Errors
    ///
    /// A missing capability, or an exclusive attachment on an ancestor.
    pub fn attach(&mut self, cgroup: BorrowedFd<'_>) -> Result<(), CaptureError> {
        for (name, attach_type) in PROGRAMS {
            let fd = self.program_fd(name, attach_type)?;
            bpf::attach(cgroup, fd.as_fd(), attach_type)
                .map_err(|source| CaptureError::Attach { name, source })?;
        }
        Ok(())
    }

    /// Never capture traffic of tasks in this cgroup (v2 id = inode of its directory).
    ///
    /// # Errors
    ///
    /// A full map.
    pub fn exempt(&mut self, cgroup_id: u64) -> Result<(), CaptureError> {
        self.exempt
            .insert(cgroup_id, 1, 0)
            .map_err(|source| map_error(map::EXEMPT, source))
    }

    /// Replaces the settings; from the next `connect` on they are in force.
    ///
    /// # Errors
    ///
    /// Only if the map is gone.
    pub fn configure(&mut self, settings: &Settings) -> Result<(), CaptureError> {
        self.settings
            .set(0, settings, 0)
            .map_err(|source| map_error(map::SETTINGS, source))
    }

    /// How many flows were counted under each reason, zeros included.
    ///
    /// # Errors
    ///
    /// Only if the map is gone.
    pub fn counters(&self) -> Result<Vec<(FlowReason, u64)>, CaptureError> {
        FlowReason::ALL
            .into_iter()
            .map(|reason| {
                self.counters
                    .get(&(reason as u32), 0)
                    .map(|count| (reason, count))
                    .map_err(|source| map_error(map::COUNTERS, source))
            })
            .collect()
    }

    fn program_fd(
        &self,
        name: &'static str,
        attach_type: AttachType,
    ) -> Result<&ProgramFd, CaptureError> {
        let program = self.ebpf.program(name).ok_or(CaptureError::Missing(name))?;
        let error = |source| CaptureError::Program {
            name,
            source: Box::new(source),
        };
        match attach_type {
            AttachType::SockOps => <&SockOps>::try_from(program)
                .and_then(SockOps::fd)
                .map_err(error),
            AttachType::Getsockopt => <&CgroupSockopt>::try_from(program)
                .and_then(CgroupSockopt::fd)
                .map_err(error),
            AttachType::Connect4
            | AttachType::Connect6
            | AttachType::Sendmsg4
            | AttachType::Sendmsg6
            | AttachType::Getpeername4
            | AttachType::Getpeername6 => <&CgroupSockAddr>::try_from(program)
                .and_then(CgroupSockAddr::fd)
                .map_err(error),
        }
    }
}

fn load_program(
    ebpf: &mut Ebpf,
    name: &'static str,
    attach_type: AttachType,
) -> Result<(), CaptureError> {
    let program = ebpf.program_mut(name).ok_or(CaptureError::Missing(name))?;
    let error = |source| CaptureError::Program {
        name,
        source: Box::new(source),
    };
    match attach_type {
        AttachType::SockOps => <&mut SockOps>::try_from(program)
            .and_then(SockOps::load)
            .map_err(error),
        AttachType::Getsockopt => <&mut CgroupSockopt>::try_from(program)
            .and_then(CgroupSockopt::load)
            .map_err(error),
        AttachType::Connect4
        | AttachType::Connect6
        | AttachType::Sendmsg4
        | AttachType::Sendmsg6
        | AttachType::Getpeername4
        | AttachType::Getpeername6 => <&mut CgroupSockAddr>::try_from(program)
            .and_then(CgroupSockAddr::load)
            .map_err(error),
    }
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, CaptureError> {
    ebpf.take_map(name).ok_or(CaptureError::Missing(name))
}

fn map_error(name: &'static str, source: MapError) -> CaptureError {
    CaptureError::Map {
        name,
        source: Box::new(source),
    }
}
