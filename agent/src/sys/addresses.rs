//! The addresses of this network namespace.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket},
};

use nix::ifaddrs::getifaddrs;

/// The addresses of all interfaces, loopback and link-local apart: those are
/// known by how they look.
///
/// # Errors
///
/// The kernel does not list them.
pub fn own_addresses() -> io::Result<Vec<IpAddr>> {
    let addresses: BTreeSet<IpAddr> = getifaddrs()?
        .filter_map(|interface| interface.address)
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .filter(|address| !address.is_loopback() && !is_link_local(address))
        .collect();
    Ok(addresses.into_iter().collect())
}

/// The address that IPv4 connections from here to elsewhere come from, by the
/// default route; none where there is no such route.
#[must_use]
pub fn source_address() -> Option<Ipv4Addr> {
    /// Nobody's (RFC 5737), and "discard" (RFC 863), a port that nobody captures.
    /// Connecting a UDP socket sends nothing.
    const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(ELSEWHERE).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(source) if !source.is_loopback() && !source.is_unspecified() => Some(source),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// Whether `::1` is there to be listened on.
#[must_use]
pub fn has_ipv6_loopback() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
