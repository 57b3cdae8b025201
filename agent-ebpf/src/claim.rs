//! `setsockopt`: the proxy proves itself by a secret.
//!
//! An init container cannot know the cgroup that the proxy's container will
//! get, and a user id is anybody's to have. So whoever knows the secret that
//! was left for the proxy is the proxy: its cgroup is exempt, and the socket it
//! presents is where connections are sent. Nothing else is touched.

use aya_ebpf::{
    bindings::{bpf_sock, bpf_sockopt},
    helpers::generated as helpers,
    programs::SockoptContext,
};
use aya_log_ebpf::{info, warn};
use weir_common::{
    Flow, FlowReason, Role, SO_WEIR_CANARY, SO_WEIR_CLAIM, SO_WEIR_DEPOSIT, SOL_WEIR, Settings,
    TOKEN_LEN,
};

use crate::{
    Verdict,
    counters::count,
    deposit,
    maps::{EXEMPT_MAX, WEIR_CLAIMS, WEIR_EXEMPT, WEIR_SETTINGS, store_flow},
    original_dst::OPTLEN_MAX,
};

/// The kernel does not go on to its own handler, which knows no such option.
const HANDLED: i32 = -1;

pub(crate) fn option(ctx: &SockoptContext) -> Verdict {
    let opt = ctx.sockopt;
    // SAFETY: the kernel passes a valid context; these fields are readable.
    let (level, name, len) = unsafe {
        (
            (&raw const (*opt).level).read_volatile(),
            (&raw const (*opt).optname).read_volatile(),
            (&raw const (*opt).optlen).read_volatile(),
        )
    };
    let role = match (level, name) {
        (SOL_WEIR, SO_WEIR_CLAIM) => Role::Listener,
        (SOL_WEIR, SO_WEIR_CANARY) => Role::Canary,
        (SOL_WEIR, SO_WEIR_DEPOSIT) => return deposited(opt, len),
        _ => {
            if len > OPTLEN_MAX {
                // The kernel would fail the call with EFAULT, because it cannot
                // take over more than it showed; 0 means "not touched".
                // SAFETY: as above; the field is writable.
                unsafe { (&raw mut (*opt).optlen).write_volatile(0) };
            }
            return Verdict::Proceed;
        }
    };
    if len == HANDLED {
        // The programs of a weir inside of this one have taken the claim.
        return Verdict::Proceed;
    }
    let Some(settings) = WEIR_SETTINGS.get(0) else {
        return Verdict::Proceed;
    };
    if len != TOKEN_LEN as i32 || !presents_token(opt, settings) {
        count(FlowReason::ClaimRefused);
        warn!(ctx, "a claim with a wrong token was refused");
        return Verdict::Deny;
    }
    // SAFETY: the kernel passes a valid context; the union has one arm.
    let sk: *mut bpf_sock = unsafe { (*opt).__bindgen_anon_1.sk };
    let mut mark = Flow::of_role(role);
    if sk.is_null() || !store_flow(sk, &mut mark) {
        count(FlowReason::StorageFailed);
        return Verdict::Deny;
    }
    if let Role::Listener = role {
        // SAFETY: no arguments.
        let cgroup = unsafe { helpers::bpf_get_current_cgroup_id() };
        if !exempt(cgroup) {
            count(FlowReason::StorageFailed);
            return Verdict::Deny;
        }
        count(FlowReason::Claimed);
        info!(ctx, "cgroup {} claimed a listener", cgroup);
    }
    // SAFETY: as above; the field is writable.
    unsafe { (&raw mut (*opt).optlen).write_volatile(HANDLED) };
    Verdict::Proceed
}

#[inline(always)]
fn deposited(opt: *mut bpf_sockopt, len: i32) -> Verdict {
    if len == HANDLED {
        return Verdict::Proceed;
    }
    if !deposit::take(opt, len) {
        return Verdict::Deny;
    }
    // SAFETY: the kernel passes a valid context; the field is writable.
    unsafe { (&raw mut (*opt).optlen).write_volatile(HANDLED) };
    Verdict::Proceed
}

/// Whether the option's value is the secret. No secret, no claim.
#[inline(always)]
fn presents_token(opt: *mut bpf_sockopt, settings: &Settings) -> bool {
    // SAFETY: the kernel passes a valid context; the unions have one arm each.
    let (start, end) = unsafe {
        (
            (*opt).__bindgen_anon_2.optval,
            (*opt).__bindgen_anon_3.optval_end,
        )
    };
    if start as usize + TOKEN_LEN > end as usize {
        return false;
    }
    // SAFETY: `TOKEN_LEN` bytes from `start` lie before `end`.
    let presented = unsafe { start.cast::<[u64; 2]>().read_unaligned() };
    let [a, b] = words(&settings.token);
    (a | b) != 0 && presented[0] == a && presented[1] == b
}

#[inline(always)]
fn words(token: &[u8; TOKEN_LEN]) -> [u64; 2] {
    let t = token;
    [
        u64::from_ne_bytes([t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7]]),
        u64::from_ne_bytes([t[8], t[9], t[10], t[11], t[12], t[13], t[14], t[15]]),
    ]
}

/// Exempts a cgroup; the one that claimed longest ago makes room for it.
#[inline(always)]
fn exempt(cgroup: u64) -> bool {
    if WEIR_EXEMPT.get_ptr(cgroup).is_some() {
        return true;
    }
    let Some(next) = WEIR_CLAIMS.get_ptr_mut(EXEMPT_MAX as u32) else {
        return false;
    };
    // SAFETY: a value in the map. Two claims at once may take the same place,
    // and then one of them is never aged.
    let place = unsafe { *next } as u32 & (EXEMPT_MAX as u32 - 1);
    // SAFETY: as above.
    unsafe { *next = u64::from(place) + 1 };
    let Some(slot) = WEIR_CLAIMS.get_ptr_mut(place) else {
        return false;
    };
    // SAFETY: a value in the map.
    let aged = unsafe { *slot };
    if aged != 0 {
        let _ = WEIR_EXEMPT.remove(aged);
    }
    // SAFETY: as above.
    unsafe { *slot = cgroup };
    WEIR_EXEMPT.insert(cgroup, 1_u32, 0).is_ok()
}
