//! What a proxy leaves with the pod for the next one: taken and given on a
//! listener that has claimed, and on no other socket.
//!
//! The programs outlive the proxy and end with the pod, and so does their map.

use core::mem::size_of;

use aya_ebpf::bindings::{bpf_sock, bpf_sockopt};
use weir_common::{Deposit, Role};

use crate::maps::{WEIR_DEPOSIT, stored_flow};

/// A deposit in words: the buffer of an option this long is the kernel's own
/// allocation, which is aligned for them.
const WORDS: usize = size_of::<Deposit>() / size_of::<u64>();

/// Keeps the option's value; whether it was one, on a socket that may.
#[inline(always)]
pub(crate) fn take(opt: *mut bpf_sockopt, len: i32) -> bool {
    if len != size_of::<Deposit>() as i32 || !is_claimed(opt) {
        return false;
    }
    let Some(start) = value(opt) else {
        return false;
    };
    let Some(kept) = WEIR_DEPOSIT.get_ptr_mut(0) else {
        return false;
    };
    copy(start, kept.cast());
    true
}

/// Answers what was kept, if something was, on a socket that may.
#[inline(always)]
pub(crate) fn give(opt: *mut bpf_sockopt) {
    if !is_claimed(opt) {
        return;
    }
    let Some(start) = value(opt) else {
        return;
    };
    let Some(kept) = WEIR_DEPOSIT.get_ptr(0) else {
        return;
    };
    // SAFETY: a value in the map.
    if unsafe { (*kept).len } == 0 {
        return;
    }
    copy(kept.cast(), start);
    // SAFETY: the kernel passes a valid context; the fields are writable.
    unsafe {
        (&raw mut (*opt).optlen).write_volatile(size_of::<Deposit>() as i32);
        (&raw mut (*opt).retval).write_volatile(0);
    }
}

#[inline(always)]
fn is_claimed(opt: *mut bpf_sockopt) -> bool {
    // SAFETY: the kernel passes a valid context; the union has one arm.
    let sk: *mut bpf_sock = unsafe { (*opt).__bindgen_anon_1.sk };
    if sk.is_null() {
        return false;
    }
    // SAFETY: null, or a value in the map that lives until this program returns.
    unsafe { stored_flow(sk).as_ref() }.is_some_and(|flow| flow.role == Role::Listener as u8)
}

/// The option's value, if it is as long as a deposit.
#[inline(always)]
fn value(opt: *mut bpf_sockopt) -> Option<*mut u64> {
    // SAFETY: the kernel passes a valid context; the unions have one arm each.
    let (start, end) = unsafe {
        (
            (*opt).__bindgen_anon_2.optval,
            (*opt).__bindgen_anon_3.optval_end,
        )
    };
    (start as usize + size_of::<Deposit>() <= end as usize).then_some(start.cast())
}

#[inline(always)]
fn copy(from: *const u64, to: *mut u64) {
    let mut at = 0;
    while at < WORDS {
        // SAFETY: both are `WORDS` words long, and aligned. Volatile, because one
        // call to `memcpy` is what the compiler would make of the loop.
        unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) };
        at += 1;
    }
}
