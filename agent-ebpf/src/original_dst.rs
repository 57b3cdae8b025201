//! `getsockopt` on the proxy's accepted sockets: where the client was going.
//!
//! Answers what netfilter would (`SO_ORIGINAL_DST`, `IP6T_SO_ORIGINAL_DST`), so
//! that any transparent proxy works behind these programs, and the whole
//! `Flow` under weir's own level; the counters too, because on Linux 5.10 an
//! unprivileged process can read no map. Every other option is left untouched.

use core::mem::size_of;

use aya_ebpf::{
    bindings::{bpf_sock, bpf_sockopt},
    programs::SockoptContext,
};
use weir_common::{
    FlowReason, Role, SO_WEIR_COUNTERS, SO_WEIR_DEPOSIT, SO_WEIR_FLOW, SOL_WEIR, is_mapped,
};

use crate::{
    connect::in_claimed_cgroup,
    counters::counted,
    deposit,
    maps::stored_flow,
    sockaddr::{SockaddrIn, SockaddrIn6},
};

const SOL_IP: i32 = 0;
const SOL_IPV6: i32 = 41;
/// `SO_ORIGINAL_DST` and `IP6T_SO_ORIGINAL_DST`: the same number.
const SO_ORIGINAL_DST: i32 = 80;
/// The kernel shows a program at most one page of an option's value.
pub(crate) const OPTLEN_MAX: i32 = 4096;

pub(crate) fn answer(ctx: &SockoptContext) {
    let opt = ctx.sockopt;
    // SAFETY: the kernel passes a valid context; these fields are readable.
    let (level, name, len) = unsafe {
        (
            (&raw const (*opt).level).read_volatile(),
            (&raw const (*opt).optname).read_volatile(),
            (&raw const (*opt).optlen).read_volatile(),
        )
    };
    let asked = match (level, name) {
        (SOL_IP, SO_ORIGINAL_DST) => Asked::V4,
        (SOL_IPV6, SO_ORIGINAL_DST) => Asked::V6,
        (SOL_WEIR, SO_WEIR_FLOW) => Asked::Flow,
        (SOL_WEIR, SO_WEIR_DEPOSIT) => {
            deposit::give(opt);
            return;
        }
        (SOL_WEIR, SO_WEIR_COUNTERS) => {
            if in_claimed_cgroup() {
                write_counters(opt);
            }
            return;
        }
        _ => {
            if len > OPTLEN_MAX {
                // The kernel would fail the call with EFAULT, because it cannot
                // copy back more than it showed; 0 means "not touched".
                // SAFETY: as above; the field is writable.
                unsafe { (&raw mut (*opt).optlen).write_volatile(0) };
            }
            return;
        }
    };
    // SAFETY: the kernel passes a valid context; the union has one arm.
    let sk: *mut bpf_sock = unsafe { (*opt).__bindgen_anon_1.sk };
    if sk.is_null() {
        return;
    }
    // SAFETY: null, or a value in the map that lives until this program returns.
    let Some(flow) = (unsafe { stored_flow(sk).as_ref() }) else {
        return;
    };
    if flow.role != Role::Proxy as u8 {
        return;
    }
    match asked {
        Asked::V4 if is_mapped(&flow.addr) => {
            let a = flow.addr;
            write(
                opt,
                SockaddrIn::new([a[12], a[13], a[14], a[15]], flow.port),
            );
        }
        Asked::V6 if !is_mapped(&flow.addr) => write(opt, SockaddrIn6::new(flow.addr, flow.port)),
        Asked::V4 | Asked::V6 => {}
        Asked::Flow => write(opt, *flow),
    }
}

enum Asked {
    V4,
    V6,
    Flow,
}

/// Writes the answer, if the caller's buffer has room for it.
#[inline(always)]
fn write<T>(opt: *mut bpf_sockopt, value: T) {
    // SAFETY: the kernel passes a valid context; the unions have one arm each.
    let (start, end) = unsafe {
        (
            (*opt).__bindgen_anon_2.optval,
            (*opt).__bindgen_anon_3.optval_end,
        )
    };
    if start as usize + size_of::<T>() > end as usize {
        return;
    }
    // SAFETY: `size_of::<T>()` bytes from `start` lie before `end`; the fields
    // are writable.
    unsafe {
        start.cast::<T>().write_unaligned(value);
        (&raw mut (*opt).optlen).write_volatile(size_of::<T>() as i32);
        (&raw mut (*opt).retval).write_volatile(0);
    }
}

/// Writes how often each reason was counted, if the caller's buffer has room.
#[inline(always)]
fn write_counters(opt: *mut bpf_sockopt) {
    const LEN: usize = FlowReason::COUNT * size_of::<u64>();
    // SAFETY: the kernel passes a valid context; the unions have one arm each.
    let (start, end) = unsafe {
        (
            (*opt).__bindgen_anon_2.optval,
            (*opt).__bindgen_anon_3.optval_end,
        )
    };
    if start as usize + LEN > end as usize {
        return;
    }
    let mut index = 0;
    while index < FlowReason::COUNT {
        let count = counted(FlowReason::ALL[index]);
        // SAFETY: `LEN` bytes from `start` lie before `end`.
        unsafe { start.cast::<u64>().add(index).write_unaligned(count) };
        index += 1;
    }
    // SAFETY: the kernel passes a valid context; the fields are writable.
    unsafe {
        (&raw mut (*opt).optlen).write_volatile(LEN as i32);
        (&raw mut (*opt).retval).write_volatile(0);
    }
}
