//! The address that a redirected connection comes from.
//!
//! The kernel picks it by the destination, and to loopback it would be
//! loopback's: `getsockname` would tell the application that it is connected to
//! itself. So the socket is bound to the address that connections of this pod
//! come from, unless the application has bound it. The port stays to be picked
//! with the connection.
//!
//! IPv4 only. The kernel sends resets and acknowledgements that belong to no
//! socket by the device that the packet's address is of, and from another
//! device there is no route to ::1 (`tcp_v6_send_response`, net/ipv6/tcp_ipv6.c):
//! a handshake given up would block its ports for a minute.

use aya_ebpf::{
    bindings::{bpf_sock, bpf_sock_addr},
    helpers::generated::bpf_bind,
};
use weir_common::{Settings, is_mapped, mapped};

use crate::sockaddr::{SockaddrIn, SockaddrIn6};

/// Binds a socket that is about to be redirected from `addr`; whether it did.
/// If the kernel refuses, the address is gone from the pod, and loopback's will do.
#[inline(always)]
pub(crate) fn bind(
    ctx: *mut bpf_sock_addr,
    sk: *mut bpf_sock,
    family: u8,
    addr: &[u8; 16],
    settings: &Settings,
) -> bool {
    if family == 4 {
        if settings.source4 == [0; 4] || is_bound4(sk) {
            return false;
        }
        return bind4(ctx, settings.source4);
    }
    if settings.source4 == [0; 4] || !is_mapped(addr) || is_bound6(sk) {
        return false;
    }
    bind6(ctx, mapped(settings.source4))
}

/// Undoes that on a socket that now goes elsewhere: the kernel is to pick the
/// address by that destination. A failure leaves it bound, which is an address
/// of the pod all the same.
#[inline(always)]
pub(crate) fn unbind(ctx: *mut bpf_sock_addr, family: u8) {
    if family == 4 {
        bind4(ctx, [0; 4]);
    } else {
        bind6(ctx, [0; 16]);
    }
}

#[inline(always)]
fn bind4(ctx: *mut bpf_sock_addr, addr: [u8; 4]) -> bool {
    let mut addr = SockaddrIn::new(addr, 0);
    // SAFETY: the context of this program type, and an address of that size.
    unsafe { bpf_bind(ctx, (&raw mut addr).cast(), size_of::<SockaddrIn>() as i32) == 0 }
}

#[inline(always)]
fn bind6(ctx: *mut bpf_sock_addr, addr: [u8; 16]) -> bool {
    let mut addr = SockaddrIn6::new(addr, 0);
    // SAFETY: as in `bind4`.
    unsafe { bpf_bind(ctx, (&raw mut addr).cast(), size_of::<SockaddrIn6>() as i32) == 0 }
}

/// Whether the application has chosen an address; a port alone keeps the kernel
/// from taking another one, and does no harm.
#[inline(always)]
fn is_bound4(sk: *mut bpf_sock) -> bool {
    // SAFETY: checked for null by the caller; the field is readable in this
    // program type.
    unsafe { (&raw const (*sk).src_ip4).read_volatile() != 0 }
}

#[inline(always)]
fn is_bound6(sk: *mut bpf_sock) -> bool {
    // SAFETY: as in `is_bound4`, word by word.
    unsafe {
        (&raw const (*sk).src_ip6[0]).read_volatile() != 0
            || (&raw const (*sk).src_ip6[1]).read_volatile() != 0
            || (&raw const (*sk).src_ip6[2]).read_volatile() != 0
            || (&raw const (*sk).src_ip6[3]).read_volatile() != 0
    }
}
