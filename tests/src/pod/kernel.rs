//! weir's programs and maps in the kernel, found from a cgroup and asked by
//! number: other weirs may run on the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;

use anyhow::{Context, Result, ensure};
use aya::maps::{HashMap, Map, MapData, MapInfo, loaded_maps};
use aya::programs::loaded_programs;
use weir::sys::bpf::{AttachType, attached};
use weir::sys::cgroup::Cgroup;
use weir_common::{Flow, FlowReason, HandshakeKey, map};

use crate::output::eventually;

/// Where weir attaches.
const ATTACH_TYPES: [AttachType; 9] = [
    AttachType::Connect4,
    AttachType::Connect6,
    AttachType::Sendmsg4,
    AttachType::Sendmsg6,
    AttachType::Getpeername4,
    AttachType::Getpeername6,
    AttachType::SockOps,
    AttachType::Getsockopt,
    AttachType::Setsockopt,
];

/// What is attached to one cgroup, and the maps it uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Programs: number and name. One that is attached twice is here once, so
    /// that there are [`Attached::attachments`] too.
    pub programs: BTreeMap<u32, String>,
    /// Maps of these programs: number and name.
    pub maps: BTreeMap<u32, String>,
    /// How many attachments there are, over all types.
    pub attachments: usize,
}

impl Attached {
    /// Looks.
    ///
    /// # Errors
    /// Not without root.
    pub fn to(cgroup: &Cgroup) -> Result<Self> {
        let mut ids = BTreeSet::new();
        let mut attachments = 0;
        for attach_type in ATTACH_TYPES {
            let there = attached(cgroup.as_fd(), attach_type)
                .with_context(|| format!("cannot query {attach_type:?}"))?;
            attachments += there.len();
            ids.extend(there);
        }
        let mut programs = BTreeMap::new();
        let mut maps = BTreeMap::new();
        for program in loaded_programs() {
            // Others' programs may go while they are listed.
            let Ok(program) = program else { continue };
            if !ids.contains(&program.id()) {
                continue;
            }
            programs.insert(program.id(), text(program.name()));
            for id in program.map_ids()?.unwrap_or_default() {
                maps.insert(id, text(MapInfo::from_id(id)?.name()));
            }
        }
        ensure!(
            programs.len() == ids.len(),
            "{ids:?} are attached, only {programs:?} are loaded"
        );
        Ok(Self {
            programs,
            maps,
            attachments,
        })
    }

    /// Waits until none of these programs and maps is in the kernel any more.
    ///
    /// # Errors
    /// One stays.
    pub fn gone(&self) -> Result<()> {
        eventually("the kernel has freed programs and maps", || {
            self.left() == (Vec::new(), Vec::new())
        })
        .with_context(|| format!("left are {:?}", self.left()))
    }

    /// Which of them are still in the kernel.
    fn left(&self) -> (Vec<u32>, Vec<u32>) {
        let programs = loaded_programs()
            .flatten()
            .map(|program| program.id())
            .filter(|id| self.programs.contains_key(id));
        let maps = loaded_maps()
            .flatten()
            .map(|map| map.id())
            .filter(|id| self.maps.contains_key(id));
        (programs.collect(), maps.collect())
    }

    fn number(&self, name: &str) -> Result<u32> {
        let mut named = self.maps.iter().filter(|(_, called)| *called == name);
        let (id, _) = named.next().with_context(|| format!("no map is {name}"))?;
        ensure!(named.next().is_none(), "several maps are {name}: {self:?}");
        Ok(*id)
    }

    fn open(&self, name: &str) -> Result<Map> {
        Ok(Map::HashMap(MapData::from_id(self.number(name)?)?))
    }

    /// The handshakes the kernel remembers at this moment.
    ///
    /// # Errors
    /// Nothing is attached, or not with root.
    pub fn handshakes(&self) -> Result<Vec<HandshakeKey>> {
        let map = self.open(map::HANDSHAKE)?;
        let map: HashMap<_, HandshakeKey, Flow> = HashMap::try_from(map)?;
        Ok(map.keys().flatten().collect())
    }

    /// How many it remembers at most.
    ///
    /// # Errors
    /// Nothing is attached, or not with root.
    pub fn handshakes_max(&self) -> Result<usize> {
        let map = MapInfo::from_id(self.number(map::HANDSHAKE)?)?;
        Ok(usize::try_from(map.max_entries())?)
    }

    /// Waits until it remembers none.
    ///
    /// # Errors
    /// One stays.
    pub fn no_handshakes(&self) -> Result<()> {
        eventually("no handshake is left in the kernel's map", || {
            self.handshakes().is_ok_and(|left| left.is_empty())
        })
        .with_context(|| format!("left are {:?}", self.handshakes()))
    }

    /// What was counted so far.
    ///
    /// # Errors
    /// Nothing is attached, or not with root.
    pub fn counters(&self) -> Result<Counters> {
        let map = self.open(map::COUNTERS)?;
        let map: HashMap<_, u32, u64> = HashMap::try_from(map)?;
        let counts = FlowReason::ALL
            .into_iter()
            .map(|reason| Ok((reason.as_str(), map.get(&(reason as u32), 0)?)));
        Ok(Counters(counts.collect::<Result<_>>()?))
    }
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Flows by reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters(BTreeMap<&'static str, u64>);

impl Counters {
    /// How many were counted under this reason.
    #[must_use]
    pub fn of(&self, reason: FlowReason) -> u64 {
        self.0.get(reason.as_str()).copied().unwrap_or_default()
    }

    /// How many more than before.
    #[must_use]
    pub fn since(&self, before: &Self, reason: FlowReason) -> u64 {
        self.of(reason).saturating_sub(before.of(reason))
    }
}
