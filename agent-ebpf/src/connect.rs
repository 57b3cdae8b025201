//! `connect`: decide, remember the destination, rewrite it to the proxy's address.

use core::mem::size_of;

use aya_ebpf::{
    bindings::{bpf_sock, bpf_sock_addr, bpf_sock_tuple},
    helpers::{bpf_get_current_pid_tgid, bpf_get_current_uid_gid, generated as helpers},
    programs::SockAddrContext,
};
use aya_log_ebpf::info;
use weir_common::{Flow, FlowReason, Role, Settings, is_mapped, mapped};
use weir_ebpf::{
    Attempt, Caller, Decision, Listener, Transport, captures, decide, given_listener, listen_port,
};

use crate::{
    Verdict,
    counters::count,
    events::emit,
    maps::{WEIR_EXEMPT, WEIR_LOCAL, WEIR_SETTINGS, forget_flow, store_flow, stored_flow},
    source::{bind, unbind},
};

const IPPROTO_TCP: u32 = 6;
const IPPROTO_UDP: u32 = 17;
/// The socket's own network namespace, in a socket lookup.
const CURRENT_NETNS: u64 = u64::MAX;
/// Sizes of the two arms of `bpf_sock_tuple`.
const TUPLE4_SIZE: u32 = 12;
const TUPLE6_SIZE: u32 = 36;

pub(crate) fn connect4(ctx: &SockAddrContext) -> Verdict {
    let addr = addr4(ctx.sock_addr);
    let Some(settings) = WEIR_SETTINGS.get(0) else {
        return Verdict::Proceed;
    };
    match connect(ctx, addr, 4, settings) {
        Outcome::Leave(verdict) => verdict,
        Outcome::Redirect { port } => {
            write_addr4(ctx.sock_addr, settings.listen4, port);
            Verdict::Proceed
        }
    }
}

pub(crate) fn connect6(ctx: &SockAddrContext) -> Verdict {
    let addr = addr6(ctx.sock_addr);
    let Some(settings) = WEIR_SETTINGS.get(0) else {
        return Verdict::Proceed;
    };
    match connect(ctx, addr, 6, settings) {
        Outcome::Leave(verdict) => verdict,
        Outcome::Redirect { port } => {
            // A dual-stack socket that asked for an IPv4 host stays on IPv4;
            // without an IPv6 loopback everything does.
            let target = if is_mapped(&addr) || settings.has_listen6 == 0 {
                mapped(settings.listen4)
            } else {
                settings.listen6
            };
            write_addr6(ctx.sock_addr, target, port);
            Verdict::Proceed
        }
    }
}

enum Outcome {
    Leave(Verdict),
    Redirect { port: u16 },
}

#[inline(always)]
fn connect(ctx: &SockAddrContext, addr: [u8; 16], family: u8, settings: &Settings) -> Outcome {
    let sk = socket(ctx.sock_addr);
    if sk.is_null() {
        return Outcome::Leave(Verdict::Proceed);
    }
    let mut caller = caller(settings);
    // Its own traffic, unless it asked for this socket to be captured.
    if caller == Caller::Proxy && is_canary(sk) {
        caller = Caller::Canary;
    }
    // A socket that was redirected once and connects elsewhere must not keep
    // the old destination.
    let was_bound = is_source_bound(sk);
    forget_flow(sk);
    let port = port(ctx.sock_addr);
    let transport = transport(ctx.sock_addr);
    let attempt = Attempt {
        addr,
        port,
        transport,
        caller,
        local_address: is_local_address(settings, &addr, port),
        // SAFETY: `sk` is not null; the field is readable in this program type.
        bound_to_device: unsafe { (*sk).bound_dev_if } != 0,
    };
    let mut flow = Flow {
        addr,
        // SAFETY: the helper takes the context of this program type.
        cookie: unsafe { helpers::bpf_get_socket_cookie(ctx.sock_addr.cast()) },
        ..caller_flow(port, family)
    };
    let listen_port = listen_port(settings, flow.cookie);
    let mut decision = decide(&attempt, settings);
    if let Decision::Redirect(reason) = decision {
        let (listener, netns) = listener(ctx, &addr, listen_port, settings);
        flow.netns = netns;
        if let Listener::Foreign = listener {
            count(FlowReason::ListenerUnclaimed);
        }
        decision = given_listener(listener, reason, settings);
    }
    if let Decision::Redirect(_) = decision {
        let bound = was_bound || bind(ctx.sock_addr, sk, family, &addr, settings);
        flow.source_bound = u32::from(bound);
        if !store_flow(sk, &mut flow) {
            decision = Decision::Refuse(FlowReason::StorageFailed);
        }
    } else if was_bound {
        unbind(ctx.sock_addr, family);
    }
    let (reason, outcome) = match decision {
        Decision::Pass(reason) => (reason, Outcome::Leave(Verdict::Proceed)),
        Decision::Refuse(reason) => (reason, Outcome::Leave(Verdict::Deny)),
        Decision::Redirect(reason) => (reason, Outcome::Redirect { port: listen_port }),
    };
    count(reason);
    emit(settings, &flow, reason, transport);
    info!(
        ctx,
        "connect pid {} to {:i} port {}: reason {}", flow.pid, addr, port, reason as u32
    );
    outcome
}

/// A flow of the calling task, without address and cookie.
#[inline(always)]
pub(crate) fn caller_flow(port: u16, family: u8) -> Flow {
    Flow {
        // SAFETY: no arguments.
        cgroup: unsafe { helpers::bpf_get_current_cgroup_id() },
        pid: (bpf_get_current_pid_tgid() >> 32) as u32,
        uid: bpf_get_current_uid_gid() as u32,
        port,
        family,
        ..Flow::of_role(Role::Application)
    }
}

/// Who listens where the connection would be sent.
///
/// The proxy's presence is looked up in the kernel for each connection, so that
/// there is no heartbeat to go stale; and it counts only if that listener was
/// claimed, so that an application cannot take the port of a proxy that is gone.
#[inline(always)]
fn listener(
    ctx: &SockAddrContext,
    addr: &[u8; 16],
    port: u16,
    settings: &Settings,
) -> (Listener, u64) {
    // SAFETY: all-zero is a valid tuple.
    let mut tuple: bpf_sock_tuple = unsafe { core::mem::zeroed() };
    let port = port.to_be();
    let size = if settings.has_listen6 == 0 || is_mapped(addr) {
        tuple.__bindgen_anon_1.ipv4.daddr = u32::from_ne_bytes(settings.listen4);
        tuple.__bindgen_anon_1.ipv4.dport = port;
        TUPLE4_SIZE
    } else {
        tuple.__bindgen_anon_1.ipv6.daddr = words(settings.listen6);
        tuple.__bindgen_anon_1.ipv6.dport = port;
        TUPLE6_SIZE
    };
    // VERIFIER: the size must be a constant at each call.
    let found = if size == TUPLE4_SIZE {
        // SAFETY: the tuple is initialised and as long as the size says.
        unsafe {
            helpers::bpf_sk_lookup_tcp(
                ctx.sock_addr.cast(),
                &raw mut tuple,
                TUPLE4_SIZE,
                CURRENT_NETNS,
                0,
            )
        }
    } else {
        // SAFETY: as above.
        unsafe {
            helpers::bpf_sk_lookup_tcp(
                ctx.sock_addr.cast(),
                &raw mut tuple,
                TUPLE6_SIZE,
                CURRENT_NETNS,
                0,
            )
        }
    };
    if found.is_null() {
        return (Listener::Absent, 0);
    }
    let mut netns = 0;
    // SAFETY: null, or a value in the map that lives until this program returns.
    if let Some(claimed) = unsafe { stored_flow(found).as_mut() }
        && claimed.role == Role::Listener as u8
    {
        // SAFETY: the helper takes the context of this program type.
        netns = unsafe { helpers::bpf_get_netns_cookie(ctx.sock_addr.cast()) };
        // Sockets that it accepts inherit it. Always the same value, whoever
        // writes it: a listener stays in its namespace.
        claimed.netns = netns;
    }
    // SAFETY: the lookup took a reference, which is released exactly once.
    unsafe { helpers::bpf_sk_release(found.cast()) };
    // A proxy that is exempt by its user cannot claim, and is believed.
    if netns != 0 || settings.exempt_uid != 0 {
        (Listener::Trusted, netns)
    } else {
        (Listener::Foreign, 0)
    }
}

/// Whether weir has bound the socket when it was redirected before.
#[inline(always)]
fn is_source_bound(sk: *mut bpf_sock) -> bool {
    // SAFETY: null, or a value in the map that lives until this program returns.
    unsafe { stored_flow(sk).as_ref() }.is_some_and(|flow| flow.source_bound != 0)
}

#[inline(always)]
fn is_canary(sk: *mut bpf_sock) -> bool {
    // SAFETY: null, or a value in the map that lives until this program returns.
    unsafe { stored_flow(sk).as_ref() }.is_some_and(|flow| flow.role == Role::Canary as u8)
}

/// Whose traffic this is, as far as the task tells.
#[inline(always)]
pub(crate) fn caller(settings: &Settings) -> Caller {
    if in_claimed_cgroup() {
        Caller::Proxy
    } else if settings.exempt_uid != 0 && bpf_get_current_uid_gid() as u32 == settings.exempt_uid {
        Caller::ExemptUser
    } else {
        Caller::Application
    }
}

/// Whether the calling task's cgroup is the proxy's.
#[inline(always)]
pub(crate) fn in_claimed_cgroup() -> bool {
    // SAFETY: no arguments.
    let cgroup = unsafe { helpers::bpf_get_current_cgroup_id() };
    WEIR_EXEMPT.get_ptr(cgroup).is_some()
}

/// Whether the destination is in the pod, which the hook itself cannot tell.
/// Looked up only where it matters.
#[inline(always)]
pub(crate) fn is_local_address(settings: &Settings, addr: &[u8; 16], port: u16) -> bool {
    captures(settings, port) && WEIR_LOCAL.get_ptr(addr).is_some()
}

#[inline(always)]
pub(crate) fn transport(ctx: *mut bpf_sock_addr) -> Transport {
    // SAFETY: the kernel passes a valid context.
    match unsafe { (&raw const (*ctx).protocol).read_volatile() } {
        IPPROTO_TCP => Transport::Tcp,
        IPPROTO_UDP => Transport::Udp,
        _ => Transport::Other,
    }
}

#[inline(always)]
pub(crate) fn socket(ctx: *mut bpf_sock_addr) -> *mut bpf_sock {
    // SAFETY: the kernel passes a valid context; the union has one arm.
    unsafe { (*ctx).__bindgen_anon_1.sk }
}

#[inline(always)]
pub(crate) fn port(ctx: *mut bpf_sock_addr) -> u16 {
    // SAFETY: the kernel passes a valid context.
    let raw = unsafe { (&raw const (*ctx).user_port).read_volatile() };
    u16::from_be(raw as u16)
}

#[inline(always)]
pub(crate) fn addr4(ctx: *mut bpf_sock_addr) -> [u8; 16] {
    // SAFETY: the kernel passes a valid context.
    mapped(unsafe { (&raw const (*ctx).user_ip4).read_volatile() }.to_ne_bytes())
}

#[inline(always)]
pub(crate) fn addr6(ctx: *mut bpf_sock_addr) -> [u8; 16] {
    // VERIFIER: context words are read one by one; a merged 8-byte read of
    // user_ip6 is rejected on 5.10.
    // SAFETY: the kernel passes a valid context.
    let words = unsafe {
        [
            (&raw const (*ctx).user_ip6[0]).read_volatile(),
            (&raw const (*ctx).user_ip6[1]).read_volatile(),
            (&raw const (*ctx).user_ip6[2]).read_volatile(),
            (&raw const (*ctx).user_ip6[3]).read_volatile(),
        ]
    };
    bytes(words)
}

#[inline(always)]
pub(crate) fn write_addr4(ctx: *mut bpf_sock_addr, addr: [u8; 4], port: u16) {
    // SAFETY: the kernel passes a valid context; both fields are writable.
    unsafe {
        (&raw mut (*ctx).user_ip4).write_volatile(u32::from_ne_bytes(addr));
        (&raw mut (*ctx).user_port).write_volatile(u32::from(port.to_be()));
    }
}

#[inline(always)]
pub(crate) fn write_addr6(ctx: *mut bpf_sock_addr, addr: [u8; 16], port: u16) {
    let words = words(addr);
    // SAFETY: the kernel passes a valid context; all fields are writable.
    unsafe {
        (&raw mut (*ctx).user_ip6[0]).write_volatile(words[0]);
        (&raw mut (*ctx).user_ip6[1]).write_volatile(words[1]);
        (&raw mut (*ctx).user_ip6[2]).write_volatile(words[2]);
        (&raw mut (*ctx).user_ip6[3]).write_volatile(words[3]);
        (&raw mut (*ctx).user_port).write_volatile(u32::from(port.to_be()));
    }
}

/// An address as the four words of the kernel's contexts, network order in memory.
#[inline(always)]
pub(crate) fn words(addr: [u8; 16]) -> [u32; 4] {
    const { assert!(size_of::<[u32; 4]>() == 16) };
    let a = addr;
    [
        u32::from_ne_bytes([a[0], a[1], a[2], a[3]]),
        u32::from_ne_bytes([a[4], a[5], a[6], a[7]]),
        u32::from_ne_bytes([a[8], a[9], a[10], a[11]]),
        u32::from_ne_bytes([a[12], a[13], a[14], a[15]]),
    ]
}

/// The inverse of [`words`].
#[inline(always)]
pub(crate) fn bytes(words: [u32; 4]) -> [u8; 16] {
    let [a, b, c, d] = words.map(u32::to_ne_bytes);
    [
        a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1], d[2],
        d[3],
    ]
}
