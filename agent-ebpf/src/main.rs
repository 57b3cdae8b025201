//! Entry points of weir's eBPF programs: each maps an outcome to a return code.
//!
//! The life of a redirected connection, in call order:
//! 0. `weir_setsockopt` took the proxy's claim, once, when it began to listen.
//! 1. `weir_connect4/6` decides, stores the destination in the socket's own
//!    storage and rewrites the address to the proxy's.
//! 2. `weir_sock_ops` on the application's side, when the source port is chosen
//!    and the SYN is not yet sent, publishes the flow under that source port.
//! 3. `weir_sock_ops` on the proxy's side, before `accept` can return, moves it
//!    into the accepted socket's storage.
//! 4. `weir_getsockopt` answers `SO_ORIGINAL_DST` from there; `weir_peername4/6`
//!    let the application see the peer it asked for.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(unsafe_code, reason = "eBPF helpers and contexts are raw pointers")]
#![expect(
    missing_docs,
    unreachable_pub,
    reason = "aya's attribute macros wrap each entry point in an undocumented public function"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "contexts hold 16-bit ports in 32-bit words, and a checked conversion is a branch \
              that the verifier has to follow"
)]

mod claim;
mod connect;
mod counters;
mod deposit;
mod events;
mod handshake;
mod maps;
mod original_dst;
mod peer;
mod sendmsg;
mod sockaddr;
mod source;

use aya_ebpf::{
    macros::{cgroup_sock_addr, cgroup_sockopt, sock_ops},
    programs::{SockAddrContext, SockOpsContext, SockoptContext},
};

/// The kernel lets the call go on, with what the program wrote.
const PROCEED: i32 = 1;
/// The kernel fails the call with `EPERM`.
const DENY: i32 = 0;

/// What a program wants the kernel to do with a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Proceed,
    Deny,
}

impl Verdict {
    #[inline(always)]
    fn code(self) -> i32 {
        match self {
            Self::Proceed => PROCEED,
            Self::Deny => DENY,
        }
    }
}

/// `connect` on an IPv4 socket.
#[cgroup_sock_addr(connect4)]
pub fn weir_connect4(ctx: SockAddrContext) -> i32 {
    connect::connect4(&ctx).code()
}

/// `connect` on an IPv6 socket, IPv4-mapped destinations included.
#[cgroup_sock_addr(connect6)]
pub fn weir_connect6(ctx: SockAddrContext) -> i32 {
    connect::connect6(&ctx).code()
}

/// A datagram of an unconnected IPv4 socket.
#[cgroup_sock_addr(sendmsg4)]
pub fn weir_sendmsg4(ctx: SockAddrContext) -> i32 {
    sendmsg::sendmsg4(&ctx).code()
}

/// A datagram of an unconnected IPv6 socket.
#[cgroup_sock_addr(sendmsg6)]
pub fn weir_sendmsg6(ctx: SockAddrContext) -> i32 {
    sendmsg::sendmsg6(&ctx).code()
}

/// `getpeername` on an IPv4 socket; must always proceed.
#[cgroup_sock_addr(getpeername4)]
pub fn weir_peername4(ctx: SockAddrContext) -> i32 {
    peer::peername4(&ctx);
    PROCEED
}

/// `getpeername` on an IPv6 socket; must always proceed.
#[cgroup_sock_addr(getpeername6)]
pub fn weir_peername6(ctx: SockAddrContext) -> i32 {
    peer::peername6(&ctx);
    PROCEED
}

/// TCP events of sockets in the cgroup.
#[sock_ops]
pub fn weir_sock_ops(ctx: SockOpsContext) -> u32 {
    handshake::event(&ctx);
    1
}

/// `getsockopt`, after the kernel's own answer.
#[cgroup_sockopt(getsockopt)]
pub fn weir_getsockopt(ctx: SockoptContext) -> i32 {
    original_dst::answer(&ctx);
    PROCEED
}

/// `setsockopt`, before the kernel's own handler.
#[cgroup_sockopt(setsockopt)]
pub fn weir_setsockopt(ctx: SockoptContext) -> i32 {
    claim::option(&ctx).code()
}

/// bpf_sk_storage and the socket lookups are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier rejects a program in which this can be reached.
    loop {}
}
