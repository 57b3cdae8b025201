//! Carries a flow from the application's socket to the one the proxy accepts.
//!
//! All of it happens inside the TCP handshake, before `accept` can return, so
//! there is no race; and an entry is removed by whichever end finishes with it,
//! so there is nothing to expire.

use aya_ebpf::{
    bindings::{
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG,
        BPF_SOCK_OPS_TCP_CONNECT_CB, BPF_TCP_CLOSE, bpf_sock, bpf_sock_ops,
    },
    programs::SockOpsContext,
};
use aya_log_ebpf::debug;
use weir_common::{Flow, FlowReason, HandshakeKey, Role, mapped};

use weir_ebpf::is_listen_port;

use crate::{
    connect::bytes,
    counters::count,
    maps::{WEIR_HANDSHAKE, WEIR_SETTINGS, store_flow, stored_flow},
};

const AF_INET: u32 = 2;

pub(crate) fn event(ctx: &SockOpsContext) {
    match ctx.op() {
        BPF_SOCK_OPS_TCP_CONNECT_CB => publish(ctx),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => adopt(ctx),
        BPF_SOCK_OPS_STATE_CB if ctx.arg(1) == BPF_TCP_CLOSE => withdraw(ctx),
        _ => {}
    }
}

/// The application's end, source port chosen, SYN not yet sent.
#[inline(always)]
fn publish(ctx: &SockOpsContext) {
    let Some(flow) = application_flow(ctx) else {
        return;
    };
    let key = HandshakeKey {
        addr: local_addr(ctx.ops),
        netns: flow.netns,
        port: local_port(ctx.ops),
        proxy_port: remote_port(ctx.ops),
        reserved: 0,
    };
    if WEIR_HANDSHAKE.insert(key, flow, 0).is_err() {
        // The proxy will find no origin, and refuse.
        count(FlowReason::HandshakeFull);
        return;
    }
    // Called again when the socket closes, for handshakes that never complete.
    let _ = ctx.set_cb_flags(BPF_SOCK_OPS_STATE_CB_FLAG as i32);
}

/// The proxy's end: a socket that `accept` will return.
#[inline(always)]
fn adopt(ctx: &SockOpsContext) {
    let proxy_port = local_port(ctx.ops);
    let Some(settings) = WEIR_SETTINGS.get(0) else {
        return;
    };
    if !is_listen_port(settings, proxy_port) {
        return;
    }
    let sk = socket(ctx.ops);
    if sk.is_null() {
        return;
    }
    let key = HandshakeKey {
        addr: remote_addr(ctx.ops),
        netns: inherited_netns(sk),
        port: remote_port(ctx.ops),
        proxy_port,
        reserved: 0,
    };
    // SAFETY: copied at once; the only writer is the handshake this belongs to.
    let Some(mut flow) = (unsafe { WEIR_HANDSHAKE.get(key) }).copied() else {
        return;
    };
    flow.role = Role::Proxy as u8;
    if !store_flow(sk, &mut flow) {
        count(FlowReason::StorageFailed);
    }
    let _ = WEIR_HANDSHAKE.remove(key);
    debug!(
        ctx,
        "the proxy's socket adopts the flow of cookie {}", flow.cookie
    );
}

/// The application's end closes: remove what a failed handshake left.
#[inline(always)]
fn withdraw(ctx: &SockOpsContext) {
    let Some(flow) = application_flow(ctx) else {
        return;
    };
    let key = HandshakeKey {
        addr: local_addr(ctx.ops),
        netns: flow.netns,
        port: local_port(ctx.ops),
        proxy_port: remote_port(ctx.ops),
        reserved: 0,
    };
    // SAFETY: read at once; see `adopt`.
    let ours = unsafe { WEIR_HANDSHAKE.get(key) }.is_some_and(|held| held.cookie == flow.cookie);
    if ours {
        let _ = WEIR_HANDSHAKE.remove(key);
    }
}

/// The network namespace that the connect hook has noted with the listener, and
/// the accepted socket has inherited. Asking here takes a newer kernel than 5.10.
#[inline(always)]
fn inherited_netns(sk: *mut bpf_sock) -> u64 {
    // SAFETY: null, or a value in the map that lives until this program returns.
    unsafe { stored_flow(sk).as_ref() }.map_or(0, |inherited| inherited.netns)
}

#[inline(always)]
fn application_flow(ctx: &SockOpsContext) -> Option<Flow> {
    let sk = socket(ctx.ops);
    if sk.is_null() {
        return None;
    }
    // SAFETY: null, or a value in the map that lives until this program returns.
    let flow = unsafe { stored_flow(sk).as_ref() }?;
    (flow.role == Role::Application as u8).then_some(*flow)
}

#[inline(always)]
fn socket(ops: *mut bpf_sock_ops) -> *mut bpf_sock {
    // SAFETY: the kernel passes a valid context; the union has one arm.
    unsafe { (*ops).__bindgen_anon_2.sk }
}

#[inline(always)]
fn local_port(ops: *mut bpf_sock_ops) -> u16 {
    // SAFETY: the kernel passes a valid context. Host order.
    unsafe { (&raw const (*ops).local_port).read_volatile() as u16 }
}

#[inline(always)]
fn remote_port(ops: *mut bpf_sock_ops) -> u16 {
    // SAFETY: the kernel passes a valid context. Network order, in the upper half.
    u32::from_be(unsafe { (&raw const (*ops).remote_port).read_volatile() }) as u16
}

#[inline(always)]
fn local_addr(ops: *mut bpf_sock_ops) -> [u8; 16] {
    // VERIFIER: all words are read before the family is looked at. Read in two
    // branches, LLVM merges the loads into one with a computed offset, which is
    // refused: "dereference of modified ctx ptr" (6.18).
    // SAFETY: the kernel passes a valid context.
    let (family, v4, v6) = unsafe {
        (
            (&raw const (*ops).family).read_volatile(),
            (&raw const (*ops).local_ip4).read_volatile(),
            [
                (&raw const (*ops).local_ip6[0]).read_volatile(),
                (&raw const (*ops).local_ip6[1]).read_volatile(),
                (&raw const (*ops).local_ip6[2]).read_volatile(),
                (&raw const (*ops).local_ip6[3]).read_volatile(),
            ],
        )
    };
    either(family, v4, v6)
}

#[inline(always)]
fn remote_addr(ops: *mut bpf_sock_ops) -> [u8; 16] {
    // VERIFIER: as in `local_addr`.
    // SAFETY: the kernel passes a valid context.
    let (family, v4, v6) = unsafe {
        (
            (&raw const (*ops).family).read_volatile(),
            (&raw const (*ops).remote_ip4).read_volatile(),
            [
                (&raw const (*ops).remote_ip6[0]).read_volatile(),
                (&raw const (*ops).remote_ip6[1]).read_volatile(),
                (&raw const (*ops).remote_ip6[2]).read_volatile(),
                (&raw const (*ops).remote_ip6[3]).read_volatile(),
            ],
        )
    };
    either(family, v4, v6)
}

#[inline(always)]
fn either(family: u32, v4: u32, v6: [u32; 4]) -> [u8; 16] {
    if family == AF_INET {
        mapped(v4.to_ne_bytes())
    } else {
        bytes(v6)
    }
}
