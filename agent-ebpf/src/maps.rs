//! The maps, named as in `weir_common::map`, and socket storage on any context.

use core::ptr;

use aya_ebpf::{
    bindings::{
        BPF_F_CLONE, BPF_F_NO_PREALLOC, BPF_SK_STORAGE_GET_F_CREATE,
        bpf_map_type::BPF_MAP_TYPE_SK_STORAGE, bpf_sock,
    },
    btf_maps::{Array, HashMap, RingBuf},
    helpers::generated as helpers,
    macros::btf_map,
};
use weir_common::{
    Deposit, Flow, FlowEvent, FlowReason, HandshakeKey, MAX_LOCAL_ADDRESSES, Settings,
};

/// Handshakes in flight at once. An entry lives for a loopback handshake, some
/// ten microseconds; the bound is what a burst of unanswered SYNs may pin.
const HANDSHAKES_MAX: usize = 16_384;
/// cgroups whose traffic is exempt: a proxy has one, and a new one after each
/// restart of its container. A power of two, for the ring that ages them.
pub(crate) const EXEMPT_MAX: usize = 64;
/// Bytes of events that wait for whoever follows: some thousand.
const EVENTS_BYTES: usize = 64 * 1024;
/// One entry per reason, with room for reasons of the next version.
const REASONS_MAX: usize = 64;

#[btf_map]
pub(crate) static WEIR_SETTINGS: Array<Settings, 1> = Array::new();

/// cgroup v2 id → 1.
#[btf_map]
pub(crate) static WEIR_EXEMPT: HashMap<u64, u32, EXEMPT_MAX> = HashMap::new();

/// The keys of `WEIR_EXEMPT` in the order of their claims, as a ring; the last
/// element is the place of the next.
#[btf_map]
pub(crate) static WEIR_CLAIMS: Array<u64, { EXEMPT_MAX + 1 }> = Array::new();

/// Address in network order, IPv4 as mapped → 1.
#[btf_map]
pub(crate) static WEIR_LOCAL: HashMap<
    [u8; 16],
    u32,
    MAX_LOCAL_ADDRESSES,
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

#[btf_map]
pub(crate) static WEIR_DEPOSIT: Array<Deposit, 1> = Array::new();

#[btf_map]
pub(crate) static WEIR_EVENTS: RingBuf<FlowEvent, EVENTS_BYTES> = RingBuf::new();

#[btf_map]
pub(crate) static WEIR_FLOW: ClonedSkStorage<Flow> = ClonedSkStorage::new();

/// Socket storage that an accepted socket inherits from its listener
/// (`BPF_F_CLONE`, Linux 5.4), which the library does not offer. The loader reads
/// the definition from the types; nothing is ever dereferenced.
#[repr(C)]
pub(crate) struct ClonedSkStorage<T> {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize],
}

// SAFETY: a definition of constants, as said above.
unsafe impl<T> Sync for ClonedSkStorage<T> {}

impl<T> ClonedSkStorage<T> {
    const fn new() -> Self {
        Self {
            r#type: ptr::null(),
            key: ptr::null(),
            value: ptr::null(),
            max_entries: ptr::null(),
            map_flags: ptr::null(),
        }
    }
}

#[btf_map]
pub(crate) static WEIR_HANDSHAKE: HashMap<
    HandshakeKey,
    Flow,
    HANDSHAKES_MAX,
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

#[btf_map]
pub(crate) static WEIR_COUNTERS: HashMap<FlowReason, u64, REASONS_MAX> = HashMap::new();

/// The flow stored with a socket, or null.
#[inline(always)]
pub(crate) fn stored_flow(sk: *mut bpf_sock) -> *mut Flow {
    // SAFETY: `sk` is a socket the kernel handed to this program, checked for
    // null by the caller; the map is a socket storage of `Flow`.
    unsafe {
        helpers::bpf_sk_storage_get(
            (&raw const WEIR_FLOW).cast_mut().cast(),
            sk.cast(),
            ptr::null_mut(),
            0,
        )
    }
    .cast()
}

/// Stores a flow with a socket, replacing what was there; whether it worked.
#[inline(always)]
pub(crate) fn store_flow(sk: *mut bpf_sock, flow: &mut Flow) -> bool {
    // SAFETY: as in `stored_flow`; the value is an initialised `Flow`.
    let stored: *mut Flow = unsafe {
        helpers::bpf_sk_storage_get(
            (&raw const WEIR_FLOW).cast_mut().cast(),
            sk.cast(),
            (&raw mut *flow).cast(),
            BPF_SK_STORAGE_GET_F_CREATE.into(),
        )
    }
    .cast();
    if stored.is_null() {
        return false;
    }
    // SAFETY: not null, so it points to the value inside the map, which lives
    // at least until this program returns.
    unsafe { *stored = *flow };
    true
}

/// Forgets the flow stored with a socket, if there is one.
#[inline(always)]
pub(crate) fn forget_flow(sk: *mut bpf_sock) {
    // SAFETY: as in `stored_flow`. "Not found" is the ordinary answer.
    unsafe {
        helpers::bpf_sk_storage_delete((&raw const WEIR_FLOW).cast_mut().cast(), sk.cast());
    }
}
