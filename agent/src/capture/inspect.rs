//! What of weir is loaded in the kernel, whoever loaded it, and what its maps
//! hold: for people who ask from outside.
//!
//! Nothing is attached, detached or replaced here, and of the settings only
//! whether decisions are followed is ever changed. The secret of a claim is read
//! with the settings and goes no further than that value.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::SystemTime;

use aya::maps::{Array, HashMap, Map, MapData, MapError, MapInfo, RingBuf};
use aya::programs::{ProgramError, ProgramInfo, loaded_programs};
use weir_common::{Flow, FlowEvent, FlowReason, HandshakeKey, Settings, map};

use super::{LOGS, LOGS_UNUSED_BYTES, PROGRAMS};

/// Bytes of an event in the ring.
const EVENT_LEN: usize = size_of::<FlowEvent>();

/// Why the kernel did not show what it holds.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// Listing what others loaded is for administrators.
    #[error(
        "missing CAP_SYS_ADMIN, without which the kernel shows nobody what others loaded (CAP_BPF is not \
         enough): run it with sudo; a pod's sidecar counts the same flows without privileges, at \
         http://127.0.0.1:15020/metrics"
    )]
    NotPermitted,
    /// It refused for another reason.
    #[error("cannot list the kernel's eBPF programs: {0}")]
    Programs(#[source] io::Error),
    /// A map that these programs should share is not there.
    #[error("these programs have no map {0}: they are of another version of weir")]
    NoMap(&'static str),
    /// A map cannot be read, or is not shaped as this build knows it.
    #[error("cannot read map {name}, which another version of weir may have made: {source}")]
    Map {
        /// Which.
        name: &'static str,
        /// Why.
        #[source]
        source: Box<MapError>,
    },
}

/// One of weir's programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The kernel's id of it, as `bpftool prog` prints it.
    pub id: u32,
    /// Its name.
    pub name: &'static str,
    /// When it was loaded.
    pub loaded: Option<SystemTime>,
}

/// Programs that work on the same maps: one start of weir, upgrades included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// By id.
    pub programs: Vec<Program>,
    /// Ids of their maps.
    maps: BTreeMap<u32, LoadedMap>,
}

/// A map as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LoadedMap {
    name: String,
    max_entries: u32,
}

/// Every set of weir's programs on this machine, attached or not.
///
/// # Errors
/// Not without `CAP_SYS_ADMIN`.
pub fn sets() -> Result<Vec<Set>, InspectError> {
    let mut sets = Vec::new();
    for info in loaded_programs() {
        match info.and_then(|info| read(&info)) {
            Ok(Some(found)) => merge(&mut sets, found),
            Ok(None) => {}
            // Unloaded since it was listed.
            Err(error) if cause(&error).kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(refused(cause(&error))),
        }
    }
    Ok(sets)
}

/// A program with its maps, if it is one of weir's.
fn read(info: &ProgramInfo) -> Result<Option<Set>, ProgramError> {
    let known = info.name_as_str().and_then(|name| {
        let mut names = PROGRAMS.iter().map(|(name, _)| *name);
        names.find(|known| *known == name)
    });
    let Some(name) = known else {
        return Ok(None);
    };
    let mut maps = BTreeMap::new();
    for id in info.map_ids()?.unwrap_or_default() {
        let map = MapInfo::from_id(id).map_err(ProgramError::MapError)?;
        let described = LoadedMap {
            name: map.name_as_str().unwrap_or_default().to_owned(),
            max_entries: map.max_entries(),
        };
        maps.insert(id, described);
    }
    let program = Program {
        id: info.id(),
        name,
        loaded: info.loaded_at(),
    };
    Ok(Some(Set {
        programs: vec![program],
        maps,
    }))
}

/// Adds a program to those with which it shares maps, which may join sets that
/// had none in common so far: not every program uses every map.
fn merge(sets: &mut Vec<Set>, mut found: Set) {
    let mut apart = Vec::new();
    for set in sets.drain(..) {
        if set.maps.keys().any(|id| found.maps.contains_key(id)) {
            found.programs.extend(set.programs);
            found.maps.extend(set.maps);
        } else {
            apart.push(set);
        }
    }
    found.programs.sort_by_key(|program| program.id);
    apart.push(found);
    *sets = apart;
}

/// What the kernel said at the bottom of an error.
pub(super) fn cause(error: &(dyn std::error::Error + 'static)) -> io::Error {
    let mut source = Some(error);
    while let Some(current) = source {
        if let Some(io) = current.downcast_ref::<io::Error>() {
            return io.raw_os_error().map_or_else(
                || io::Error::other(io.to_string()),
                io::Error::from_raw_os_error,
            );
        }
        source = current.source();
    }
    io::Error::other(error.to_string())
}

fn refused(source: io::Error) -> InspectError {
    if source.raw_os_error() == Some(libc::EPERM) {
        InspectError::NotPermitted
    } else {
        InspectError::Programs(source)
    }
}

impl Set {
    /// When the first of its programs was loaded.
    #[must_use]
    pub fn loaded(&self) -> Option<SystemTime> {
        self.programs
            .iter()
            .filter_map(|program| program.loaded)
            .min()
    }

    /// The ids of its maps, by their names; the ring of aya-log and the
    /// constants of the object included.
    pub fn maps(&self) -> impl Iterator<Item = (u32, &str)> {
        self.maps.iter().map(|(id, map)| (*id, map.name.as_str()))
    }

    /// The settings in force. They hold the secret of a claim.
    ///
    /// # Errors
    /// Another version's map.
    pub fn settings(&self) -> Result<Settings, InspectError> {
        let settings = self.settings_map()?;
        settings.get(&0, 0).map_err(at(map::SETTINGS))
    }

    /// Says whether decisions are written to the ring.
    ///
    /// What else is in the settings is written back as it was read: a `weir
    /// init` between the two steps, which take a microsecond, would be undone.
    ///
    /// # Errors
    /// Another version's map.
    pub fn follow(&self, following: Following) -> Result<(), InspectError> {
        let mut map = self.settings_map()?;
        let mut settings = map.get(&0, 0).map_err(at(map::SETTINGS))?;
        if settings.trace == following as u8 {
            return Ok(());
        }
        settings.trace = following as u8;
        map.set(0, settings, 0).map_err(at(map::SETTINGS))
    }

    fn settings_map(&self) -> Result<Array<MapData, Settings>, InspectError> {
        Array::try_from(self.open(map::SETTINGS)?).map_err(at(map::SETTINGS))
    }

    /// How many flows were counted under each reason, zeros included.
    ///
    /// # Errors
    /// Another version's map.
    pub fn counters(&self) -> Result<Vec<(FlowReason, u64)>, InspectError> {
        let counters: HashMap<MapData, u32, u64> =
            HashMap::try_from(self.open(map::COUNTERS)?).map_err(at(map::COUNTERS))?;
        let count = |reason| match counters.get(&(reason as u32), 0) {
            Ok(count) => Ok((reason, count)),
            // A reason that the loaded version did not know.
            Err(MapError::KeyNotFound) => Ok((reason, 0)),
            Err(error) => Err(at(map::COUNTERS)(error)),
        };
        FlowReason::ALL.into_iter().map(count).collect()
    }

    /// The ids of the cgroups that have claimed to be the proxy's.
    ///
    /// # Errors
    /// Another version's map.
    pub fn exempt(&self) -> Result<Vec<u64>, InspectError> {
        let exempt: HashMap<MapData, u64, u32> =
            HashMap::try_from(self.open(map::EXEMPT)?).map_err(at(map::EXEMPT))?;
        let keys: Result<Vec<u64>, MapError> = exempt.keys().collect();
        keys.map_err(at(map::EXEMPT))
    }

    /// The addresses that count as the pod's own, in network order, IPv4 as mapped.
    ///
    /// # Errors
    /// Another version's map.
    pub fn local_addresses(&self) -> Result<Vec<[u8; 16]>, InspectError> {
        let local: HashMap<MapData, [u8; 16], u32> =
            HashMap::try_from(self.open(map::LOCAL)?).map_err(at(map::LOCAL))?;
        let keys: Result<Vec<[u8; 16]>, MapError> = local.keys().collect();
        keys.map_err(at(map::LOCAL))
    }

    /// How many connections are between their SYN and their acceptance.
    ///
    /// # Errors
    /// Another version's map.
    pub fn handshakes(&self) -> Result<usize, InspectError> {
        let map: HashMap<MapData, HandshakeKey, Flow> =
            HashMap::try_from(self.open(map::HANDSHAKE)?).map_err(at(map::HANDSHAKE))?;
        // Entries that vanish while they are counted make the kernel begin
        // again; no more than there can be are counted.
        let most = self.map(map::HANDSHAKE)?.1.max_entries;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(map.keys().take(most).filter(Result::is_ok).count())
    }

    /// Whether the programs were loaded to write to aya-log's ring, which then
    /// has more room than the least there can be.
    #[must_use]
    pub fn logs(&self) -> bool {
        self.maps
            .values()
            .any(|map| map.name == LOGS && map.max_entries > LOGS_UNUSED_BYTES)
    }

    /// The ring of decisions. Whoever reads it takes them away from others.
    ///
    /// # Errors
    /// Another version's map.
    pub fn events(&self) -> Result<Events, InspectError> {
        let ring = RingBuf::try_from(self.open(map::EVENTS)?).map_err(at(map::EVENTS))?;
        Ok(Events { ring })
    }

    /// How many decisions the ring has room for.
    ///
    /// # Errors
    /// Another version's map.
    pub fn events_max(&self) -> Result<u64, InspectError> {
        let bytes = u64::from(self.map(map::EVENTS)?.1.max_entries);
        let each = (RING_HEADER_LEN + EVENT_LEN).next_multiple_of(RING_HEADER_LEN);
        Ok(bytes / each as u64)
    }

    fn open(&self, name: &'static str) -> Result<Map, InspectError> {
        let (id, _) = self.map(name)?;
        MapData::from_id(id)
            .and_then(Map::from_map_data)
            .map_err(at(name))
    }

    fn map(&self, name: &'static str) -> Result<(u32, &LoadedMap), InspectError> {
        self.maps
            .iter()
            .find(|(_, map)| map.name == name)
            .map(|(id, map)| (*id, map))
            .ok_or(InspectError::NoMap(name))
    }
}

fn at(name: &'static str) -> impl FnOnce(MapError) -> InspectError {
    move |source| {
        if cause(&source).raw_os_error() == Some(libc::EPERM) {
            return InspectError::NotPermitted;
        }
        InspectError::Map {
            name,
            source: Box::new(source),
        }
    }
}

/// Whether anybody follows the decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Following {
    /// Nobody: none is written.
    No = 0,
    /// Each is written to the ring.
    Yes = 1,
}

/// What the kernel puts before each item of a ring, in bytes
/// (`BPF_RINGBUF_HDR_SZ` of linux/bpf.h).
const RING_HEADER_LEN: usize = 8;

/// The ring of decisions; its descriptor is readable while there are any.
pub struct Events {
    ring: RingBuf<MapData>,
}

impl Events {
    /// Takes the next one, if there is one.
    pub fn take(&mut self) -> Option<FlowEvent> {
        loop {
            let item = self.ring.next()?;
            // Another length is another version's, which says nothing to us.
            let bytes: Result<&[u8; EVENT_LEN], _> = (*item).try_into();
            if let Ok(bytes) = bytes {
                return Some(FlowEvent::from_bytes(bytes));
            }
        }
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(id: u32, maps: &[u32]) -> Set {
        let map = LoadedMap {
            name: "WEIR_FLOW".to_owned(),
            max_entries: 1,
        };
        Set {
            programs: vec![Program {
                id,
                name: "weir_connect4",
                loaded: None,
            }],
            maps: maps.iter().map(|map_id| (*map_id, map.clone())).collect(),
        }
    }

    fn ids(sets: &[Set]) -> Vec<Vec<u32>> {
        sets.iter()
            .map(|set| set.programs.iter().map(|program| program.id).collect())
            .collect()
    }

    #[test]
    fn programs_belong_together_by_their_maps() {
        let mut sets = Vec::new();
        for found in [one(5, &[1, 2]), one(6, &[3]), one(7, &[9]), one(8, &[4, 3])] {
            merge(&mut sets, found);
        }
        assert_eq!(ids(&sets), [vec![5], vec![7], vec![6, 8]]);
        // One that uses maps of two sets shows that they are one.
        merge(&mut sets, one(4, &[2, 4]));
        assert_eq!(ids(&sets), [vec![7], vec![4, 5, 6, 8]]);
    }

    #[test]
    fn what_is_not_permitted_names_the_capability() {
        let error = refused(io::Error::from_raw_os_error(libc::EPERM));
        assert!(error.to_string().starts_with("missing CAP_SYS_ADMIN"));
        let error = at("WEIR_FLOW")(MapError::SyscallError(aya::sys::SyscallError {
            call: "bpf_map_get_fd_by_id",
            io_error: io::Error::from_raw_os_error(libc::EPERM),
        }));
        assert!(matches!(error, InspectError::NotPermitted));
    }
}
