//! The addresses of this network namespace.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv6Addr, TcpListener},
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
