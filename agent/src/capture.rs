//! The kernel half, from user space: load the programs, attach them to one
//! cgroup, tell them where the proxy is, read what they counted; put a new build
//! in the place of an old one ([`upgrade`]).
//!
//! The only user of aya. It does not find or make cgroups (`sys::cgroup`), and
//! does not decide what is captured beyond writing the [`Settings`].

pub mod inspect;
pub mod kernel_log;
pub mod upgrade;

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
    os::fd::{AsFd, BorrowedFd},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, MapData, MapError},
    programs::{CgroupSockAddr, CgroupSockopt, ProgramError, ProgramFd, SockOps},
};
use serde::{Deserialize, Serialize};
use weir_common::{FlowReason, MAX_LOCAL_ADDRESSES, Settings, map, program};

use crate::{
    config::CaptureConfig,
    sys::{
        bpf::{self, AttachType},
        claim::Token,
    },
};
use upgrade::Previous;

/// Programs and attach types, in the order of attachment: what only answers or
/// observes first, what changes traffic last, so that a redirected connection
/// always finds the programs that carry its origin.
pub(crate) const PROGRAMS: [(&str, AttachType); 9] = [
    (program::GETSOCKOPT, AttachType::Getsockopt),
    (program::SETSOCKOPT, AttachType::Setsockopt),
    (program::SOCK_OPS, AttachType::SockOps),
    (program::PEERNAME4, AttachType::Getpeername4),
    (program::PEERNAME6, AttachType::Getpeername6),
    (program::SENDMSG4, AttachType::Sendmsg4),
    (program::SENDMSG6, AttachType::Sendmsg6),
    (program::CONNECT4, AttachType::Connect4),
    (program::CONNECT6, AttachType::Connect6),
];

/// aya-log's map, and the least its size can be: one page of any architecture.
const LOGS: &str = "AYA_LOGS";
const LOGS_UNUSED_BYTES: u32 = 4096;
/// aya-log's level, fixed when the programs are loaded.
const LOG_LEVEL: &str = "AYA_LOG_LEVEL";

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
    /// What is attached cannot be looked at.
    #[error(
        "cannot look at what is attached to the cgroup: {0}: replacing and detaching take \
         CAP_SYS_ADMIN, run weir as root or in a privileged container"
    )]
    Inspect(#[source] io::Error),
    /// What is attached was built for other maps.
    #[error(
        "the programs attached now have another layout of map {0}: run `weir detach` first \
         (connections made in between pass uninspected), or replace the pod"
    )]
    Layout(String),
    /// The maps in use cannot be handed to the new programs.
    #[error("cannot hand map {name} over to the new programs: {source}")]
    HandOver {
        /// Which map.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// More addresses than the kernel half holds.
    #[error(
        "{count} local addresses are more than the {MAX_LOCAL_ADDRESSES} that can be left alone"
    )]
    TooManyAddresses {
        /// How many there are.
        count: usize,
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

/// On how many ports the proxy listens. One address and port takes as many
/// connections as the application has ephemeral ports, 28,232 by default, while
/// direct ones have that many for each destination.
pub const LISTEN_PORTS: u16 = 16;

/// Where the proxy listens: on both loopback addresses, the same ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listening {
    /// The first port.
    pub port: u16,
    /// How many ports, from the first on; a power of two.
    pub count: u16,
    /// Whether on the IPv6 loopback as well; some machines have none.
    pub ipv6: bool,
}

/// What the kernel is told: what to capture, where to send it, who is exempt.
#[must_use]
pub fn settings(
    config: &CaptureConfig,
    listening: Listening,
    token: &Token,
    exempt_uid: Option<NonZeroU32>,
) -> Settings {
    let given = config.ports.as_slice();
    let mut settings = Settings {
        listen6: Ipv6Addr::LOCALHOST.octets(),
        token: token.bytes(),
        listen4: Ipv4Addr::LOCALHOST.octets(),
        exempt_uid: exempt_uid.map_or(0, NonZeroU32::get),
        listen_port: listening.port,
        listen_count: listening.count,
        has_listen6: u8::from(listening.ipv6),
        quic: config.quic as u8,
        on_proxy_down: config.on_proxy_down as u8,
        // At most `MAX_PORTS`, by its type.
        port_count: u8::try_from(given.len()).unwrap_or(u8::MAX),
        ..Settings::NOTHING
    };
    for (slot, port) in settings.ports.iter_mut().zip(given) {
        *slot = *port;
    }
    settings
}

/// The same settings, for a pod whose connections come from this address.
#[must_use]
pub fn coming_from(settings: Settings, source4: Option<Ipv4Addr>) -> Settings {
    Settings {
        source4: source4.map_or([0; 4], |address| address.octets()),
        ..settings
    }
}

/// How much the programs themselves write to aya-log's ring. Fixed when they
/// are loaded; what is off costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum KernelLog {
    /// Nothing.
    #[default]
    Off = 0,
    /// Wrong tokens.
    Warn = 2,
    /// Each decision and claim.
    Info = 3,
    /// Each handshake as well.
    Debug = 4,
}

/// weir's programs and maps, loaded.
///
/// Dropping it closes the descriptors; programs that were attached stay with
/// their cgroup until it is removed.
pub struct Capture {
    ebpf: Ebpf,
    settings: Array<MapData, Settings>,
    local: HashMap<MapData, [u8; 16], u32>,
    counters: HashMap<MapData, u32, u64>,
}

impl Capture {
    /// Loads programs and maps; nothing is attached yet. With `previous`, the
    /// maps are the ones that its programs use.
    ///
    /// # Errors
    ///
    /// A missing capability, a kernel older than 5.10, a verifier refusal.
    pub fn load(log: KernelLog, previous: Option<&Previous>) -> Result<Self, CaptureError> {
        let pins = previous.map(Previous::pin_maps).transpose()?;
        let pins = pins.as_ref().map(|pins| pins.paths()).unwrap_or_default();
        if OBJECT.is_empty() {
            return Err(CaptureError::NoObject);
        }
        let level = log as u8;
        let mut loader = EbpfLoader::new();
        loader.override_global(LOG_LEVEL, &level, true);
        if log == KernelLog::Off {
            loader.map_max_entries(LOGS, LOGS_UNUSED_BYTES);
        }
        for (name, path) in &pins {
            loader.map_pin_path(name, path);
        }
        let mut ebpf = loader
            .load(OBJECT)
            .map_err(|error| CaptureError::Load(Box::new(error)))?;
        for (name, attach_type) in PROGRAMS {
            load_program(&mut ebpf, name, attach_type)?;
        }
        let settings = Array::try_from(take(&mut ebpf, map::SETTINGS)?)
            .map_err(|source| map_error(map::SETTINGS, source))?;
        let local = HashMap::try_from(take(&mut ebpf, map::LOCAL)?)
            .map_err(|source| map_error(map::LOCAL, source))?;
        let counters: HashMap<MapData, u32, u64> =
            HashMap::try_from(take(&mut ebpf, map::COUNTERS)?)
                .map_err(|source| map_error(map::COUNTERS, source))?;
        let mut capture = Self {
            ebpf,
            settings,
            local,
            counters,
        };
        capture.name_counters()?;
        Ok(capture)
    }

    /// Makes each counter exist, so that it is shown as 0 and not left out. What
    /// is there already goes on.
    fn name_counters(&mut self) -> Result<(), CaptureError> {
        const BPF_NOEXIST: u64 = 1;
        for reason in FlowReason::ALL {
            match self.counters.insert(reason as u32, 0, BPF_NOEXIST) {
                Ok(()) => {}
                Err(error) if is_present(&error) => {}
                Err(source) => return Err(map_error(map::COUNTERS, source)),
            }
        }
        Ok(())
    }

    /// Attaches all programs to a cgroup v2 directory, or none.
    ///
    /// They capture nothing until [`Self::configure`] gives them a port.
    ///
    /// # Errors
    ///
    /// A missing capability, or an exclusive attachment on an ancestor.
    pub fn attach(&mut self, cgroup: BorrowedFd<'_>) -> Result<(), CaptureError> {
        for (done, (name, attach_type)) in PROGRAMS.into_iter().enumerate() {
            let fd = self.program_fd(name, attach_type)?;
            if let Err(source) = bpf::attach(cgroup, fd.as_fd(), attach_type) {
                for (name, attach_type) in PROGRAMS.into_iter().take(done).rev() {
                    // Just attached, and if not, gone already.
                    let fd = self.program_fd(name, attach_type)?;
                    let _gone = bpf::detach(cgroup, fd.as_fd(), attach_type);
                }
                return Err(CaptureError::Attach { name, source });
            }
        }
        Ok(())
    }

    /// Attaches each program in the place of the one it replaces, in one step:
    /// no call finds neither. Those that `previous` lacks are added.
    ///
    /// # Errors
    ///
    /// As [`Self::attach`]; or somebody detached the previous ones meanwhile.
    pub fn attach_replacing(
        &mut self,
        cgroup: BorrowedFd<'_>,
        previous: &Previous,
    ) -> Result<(), CaptureError> {
        for (name, attach_type) in PROGRAMS {
            let fd = self.program_fd(name, attach_type)?;
            let error = |source| CaptureError::Attach { name, source };
            let mut replaced = previous.programs_of(attach_type);
            match replaced.next() {
                None => bpf::attach(cgroup, fd.as_fd(), attach_type).map_err(error)?,
                Some(old) => {
                    bpf::replace(cgroup, fd.as_fd(), attach_type, old).map_err(error)?;
                }
            }
            // Left by a start that failed half-way.
            for surplus in replaced {
                bpf::detach(cgroup, surplus, attach_type).map_err(error)?;
            }
        }
        Ok(())
    }

    /// The addresses that stay within the pod: connections to them are left alone.
    ///
    /// # Errors
    ///
    /// There are more than the map holds.
    pub fn set_local_addresses(&mut self, addresses: &[IpAddr]) -> Result<(), CaptureError> {
        let wanted: BTreeSet<[u8; 16]> = addresses.iter().copied().map(as_mapped).collect();
        if wanted.len() > MAX_LOCAL_ADDRESSES {
            return Err(CaptureError::TooManyAddresses {
                count: wanted.len(),
            });
        }
        let error = |source| map_error(map::LOCAL, source);
        let present: Vec<[u8; 16]> = self.local.keys().collect::<Result<_, _>>().map_err(error)?;
        for gone in present.iter().filter(|address| !wanted.contains(*address)) {
            self.local.remove(gone).map_err(error)?;
        }
        for address in wanted {
            self.local.insert(address, 1, 0).map_err(error)?;
        }
        Ok(())
    }

    /// The settings in force.
    ///
    /// # Errors
    ///
    /// Only if the map is gone.
    pub fn settings(&self) -> Result<Settings, CaptureError> {
        self.settings
            .get(&0, 0)
            .map_err(|source| map_error(map::SETTINGS, source))
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
            AttachType::Getsockopt | AttachType::Setsockopt => <&CgroupSockopt>::try_from(program)
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
        AttachType::Getsockopt | AttachType::Setsockopt => <&mut CgroupSockopt>::try_from(program)
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

/// Whether an insertion failed because the key is there.
fn is_present(error: &MapError) -> bool {
    matches!(error, MapError::SyscallError(error)
        if error.io_error.kind() == io::ErrorKind::AlreadyExists)
}

fn as_mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
    .octets()
}

/// An address as the kernel half writes it.
#[must_use]
pub fn from_mapped(address: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(address).to_canonical()
}
