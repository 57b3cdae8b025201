//! The built eBPF object is what `weir-common` says it is: the same programs and
//! maps by name, the same sizes of keys and values. A difference would not fail
//! to load everywhere; it would miss lookups in silence.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use aya_obj::programs::{CgroupSockAddrAttachType as At, CgroupSockoptAttachType};
use aya_obj::{Map, Object, ProgramSection};
use weir_common::{Deposit, Flow, FlowReason, HandshakeKey, Settings, map, program};

fn object() -> Result<Object> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/bpf/weir.bpf.o");
    let bytes = std::fs::read(&path)
        .with_context(|| format!("cannot read {}: run `cargo xtask build`", path.display()))?;
    Object::parse(&bytes).with_context(|| format!("cannot parse {}", path.display()))
}

#[test]
fn the_object_has_the_programs_that_are_named() -> Result<()> {
    let object = object()?;
    let at = |attach_type| ProgramSection::CgroupSockAddr { attach_type };
    let options = |attach_type| ProgramSection::CgroupSockopt { attach_type };
    let expected = [
        (program::CONNECT4, at(At::Connect4)),
        (program::CONNECT6, at(At::Connect6)),
        (program::SENDMSG4, at(At::UDPSendMsg4)),
        (program::SENDMSG6, at(At::UDPSendMsg6)),
        (program::PEERNAME4, at(At::GetPeerName4)),
        (program::PEERNAME6, at(At::GetPeerName6)),
        (program::SOCK_OPS, ProgramSection::SockOps),
        (program::GETSOCKOPT, options(CgroupSockoptAttachType::Get)),
        (program::SETSOCKOPT, options(CgroupSockoptAttachType::Set)),
    ];
    // Sections have no equality, but they can be shown.
    let expected = expected.map(|(name, section)| (name, format!("{section:?}")));
    let programs = object.programs.iter();
    let found: BTreeMap<&str, String> = programs
        .map(|(name, program)| (name.as_str(), format!("{:?}", program.section)))
        .collect();
    assert_eq!(found, BTreeMap::from(expected));
    Ok(())
}

#[test]
fn the_objects_maps_have_the_layout_of_the_shared_structs() -> Result<()> {
    let object = object()?;
    let size = |map: &Map| (map.key_size() as usize, map.value_size() as usize);
    // Constants are maps too, in sections whose names have a dot.
    let maps = object.maps.iter().filter(|(name, _)| !name.contains('.'));
    let found: BTreeMap<&str, (usize, usize)> =
        maps.map(|(name, map)| (name.as_str(), size(map))).collect();
    // A socket's storage is found by the socket: its key is a descriptor, an int.
    let expected = [
        (map::SETTINGS, (size_of::<u32>(), size_of::<Settings>())),
        (map::EXEMPT, (size_of::<u64>(), size_of::<u32>())),
        (map::FLOW, (size_of::<i32>(), size_of::<Flow>())),
        (
            map::HANDSHAKE,
            (size_of::<HandshakeKey>(), size_of::<Flow>()),
        ),
        (map::COUNTERS, (size_of::<FlowReason>(), size_of::<u64>())),
        (map::CLAIMS, (size_of::<u32>(), size_of::<u64>())),
        (map::LOCAL, (size_of::<[u8; 16]>(), size_of::<u32>())),
        (map::DEPOSIT, (size_of::<u32>(), size_of::<Deposit>())),
        // Rings have neither key nor value; the second is aya-log's.
        (map::EVENTS, (0, 0)),
        ("AYA_LOGS", (0, 0)),
    ];
    assert_eq!(found, BTreeMap::from(expected));
    Ok(())
}

#[test]
fn the_object_may_call_what_only_gpl_compatible_programs_may() -> Result<()> {
    assert_eq!(object()?.license.to_str()?, "Dual MIT/GPL");
    Ok(())
}

#[test]
fn the_object_describes_its_types() -> Result<()> {
    // Without BTF `bpftool map dump` shows bytes, and socket storage does not load.
    let object = object()?;
    assert!(object.btf.is_some(), "the object has no BTF");
    Ok(())
}
