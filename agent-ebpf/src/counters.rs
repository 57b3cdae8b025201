//! Counting flows by reason.

use core::arch::asm;

use weir_common::FlowReason;

use crate::maps::WEIR_COUNTERS;

/// Counts one flow.
#[inline(always)]
pub(crate) fn count(reason: FlowReason) {
    if let Some(value) = WEIR_COUNTERS.get_ptr_mut(reason) {
        // The BPF target has no `AtomicU64::fetch_add` (core leaves it out on
        // targets without compare-and-swap), but the instruction set has an
        // atomic add since its beginning.
        // SAFETY: a u64 inside the map, aligned to 8, valid until this program
        // returns; every writer adds to it atomically.
        unsafe {
            asm!("lock *(u64 *)({at} + 0) += {one}", at = in(reg) value, one = in(reg) 1_u64)
        };
        return;
    }
    // The loader fills in every reason; this is for one it does not know. Two
    // CPUs may race to be first, and one count of theirs is lost.
    let _ = WEIR_COUNTERS.insert(reason, 1_u64, 0);
}

/// How many flows were counted under a reason.
#[inline(always)]
pub(crate) fn counted(reason: FlowReason) -> u64 {
    WEIR_COUNTERS
        .get_ptr(reason)
        // SAFETY: a value in the map, which lives until this program returns.
        .map_or(0, |value| unsafe { value.read_volatile() })
}
