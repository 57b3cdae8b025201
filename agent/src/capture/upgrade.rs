//! Programs of an earlier start of weir on a cgroup: found, replaced, removed.
//!
//! A new build takes over the maps of the old one, so that connections under
//! way keep their destination and a proxy keeps its claim; then each program
//! takes the place of its predecessor. Between the first and the last of these
//! steps old and new programs work side by side on the same maps.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use aya::{
    maps::{MapData, MapInfo},
    programs::{ProgramFd, ProgramInfo, loaded_programs},
};
use weir_common::{Deposit, Flow, FlowReason, HandshakeKey, Settings, map};

use super::{CaptureError, PROGRAMS, inspect::cause};
use crate::sys::bpf::{self, AttachType, private_filesystem};

/// The maps that are taken over, with the sizes of their keys and values. The
/// ring of aya-log is not: its size depends on the level.
const MAPS: [(&str, usize, usize); 9] = [
    (map::SETTINGS, 4, size_of::<Settings>()),
    (map::EXEMPT, 8, 4),
    (map::CLAIMS, 4, 8),
    (map::LOCAL, 16, 4),
    (map::FLOW, 4, size_of::<Flow>()),
    (map::HANDSHAKE, size_of::<HandshakeKey>(), size_of::<Flow>()),
    (map::COUNTERS, size_of::<FlowReason>(), size_of::<u64>()),
    (map::DEPOSIT, 4, size_of::<Deposit>()),
    (map::EVENTS, 0, 0),
];

/// weir's programs that are attached to a cgroup, held.
pub struct Previous {
    programs: Vec<(AttachType, ProgramFd)>,
    map_ids: Vec<u32>,
}

impl Previous {
    /// What is attached to this cgroup itself, by the names of its programs.
    /// `None` if nothing of weir is.
    ///
    /// # Errors
    ///
    /// Not without `CAP_SYS_ADMIN` if anything is attached.
    pub fn on(cgroup: BorrowedFd<'_>) -> Result<Option<Self>, CaptureError> {
        let mut attached = Vec::new();
        for (name, attach_type) in PROGRAMS {
            for id in bpf::attached(cgroup, attach_type).map_err(CaptureError::Inspect)? {
                attached.push((id, name, attach_type));
            }
        }
        let mut previous = Self {
            programs: Vec::new(),
            map_ids: Vec::new(),
        };
        if attached.is_empty() {
            return Ok(None);
        }
        for info in loaded_programs() {
            let added = info.and_then(|info| {
                let of_this_cgroup = attached
                    .iter()
                    .find(|(id, name, _)| *id == info.id() && info.name_as_str() == Some(name));
                of_this_cgroup.map_or(Ok(()), |(_, _, attach_type)| {
                    previous.add(*attach_type, &info)
                })
            });
            match added.map_err(|error| cause(&error)) {
                Ok(()) => {}
                // Somebody's program was unloaded since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(CaptureError::Inspect(error)),
            }
        }
        Ok((!previous.programs.is_empty()).then_some(previous))
    }

    fn add(
        &mut self,
        attach_type: AttachType,
        info: &ProgramInfo,
    ) -> Result<(), aya::programs::ProgramError> {
        self.programs.push((attach_type, info.fd()?));
        for id in info.map_ids()?.unwrap_or_default() {
            if !self.map_ids.contains(&id) {
                self.map_ids.push(id);
            }
        }
        Ok(())
    }

    /// How many programs there are.
    #[must_use]
    pub fn program_count(&self) -> usize {
        self.programs.len()
    }

    pub(super) fn programs_of(
        &self,
        attach_type: AttachType,
    ) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.programs
            .iter()
            .filter(move |(of, _)| *of == attach_type)
            .map(|(_, program)| program.as_fd())
    }

    /// Pins the maps where only this process finds them: the one way in which
    /// the loader takes over a map that exists.
    pub(super) fn pin_maps(&self) -> Result<Pins, CaptureError> {
        let hand_over = |name: &str, source| CaptureError::HandOver {
            name: name.to_owned(),
            source,
        };
        let (filesystem, root) =
            private_filesystem().map_err(|source| hand_over("filesystem", source))?;
        let mut pins = Pins {
            _filesystem: filesystem,
            paths: Vec::new(),
        };
        for id in &self.map_ids {
            let info = MapInfo::from_id(*id)
                .map_err(|error| CaptureError::Inspect(io::Error::other(error)))?;
            let name = info.name_as_str().unwrap_or_default();
            let Some((name, key, value)) = MAPS.into_iter().find(|(known, ..)| *known == name)
            else {
                continue;
            };
            if (info.key_size(), info.value_size()) != (word(key), word(value)) {
                return Err(CaptureError::Layout(name.to_owned()));
            }
            let path = root.join(name);
            MapData::from_id(*id)
                .map_err(|error| hand_over(name, io::Error::other(error)))?
                .pin(&path)
                .map_err(|error| hand_over(name, io::Error::other(error)))?;
            pins.paths.push((name, path));
        }
        Ok(pins)
    }
}

/// Maps with a name to be found by, until this is dropped.
pub(super) struct Pins {
    _filesystem: OwnedFd,
    paths: Vec<(&'static str, PathBuf)>,
}

impl Pins {
    pub(super) fn paths(&self) -> Vec<(&'static str, PathBuf)> {
        self.paths.clone()
    }
}

/// Takes weir's programs off a cgroup; says how many there were. What changes
/// traffic goes first, the reverse of how it came.
///
/// # Errors
///
/// A missing capability.
pub fn detach(cgroup: BorrowedFd<'_>) -> Result<usize, CaptureError> {
    let Some(previous) = Previous::on(cgroup)? else {
        return Ok(0);
    };
    for (name, attach_type) in PROGRAMS.into_iter().rev() {
        for program in previous.programs_of(attach_type) {
            bpf::detach(cgroup, program, attach_type)
                .map_err(|source| CaptureError::Attach { name, source })?;
        }
    }
    Ok(previous.program_count())
}

fn word(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
