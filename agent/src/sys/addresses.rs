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

/// The addresses that connections from here to elsewhere come from, by the
/// default route of each family; none where there is no such route.
#[must_use]
pub fn source_addresses() -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
    // Addresses that are nobody's (RFC 5737, RFC 6666). Connecting a UDP socket
    // sends nothing.
    let four = source_towards(
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv4Addr::new(192, 0, 2, 1).into(),
    );
    let six = source_towards(
        Ipv6Addr::UNSPECIFIED.into(),
        Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1).into(),
    );
    let four = four.and_then(|address| match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    });
    let six = six.and_then(|address| match address {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    });
    (four, six)
}

fn source_towards(any: IpAddr, destination: IpAddr) -> Option<IpAddr> {
    /// "discard" (RFC 863): no port that anybody captures.
    const PORT: u16 = 9;
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((destination, PORT)).ok()?;
    let source = socket.local_addr().ok()?.ip();
    let elsewhere = !source.is_loopback() && !source.is_unspecified() && !is_link_local(&source);
    elsewhere.then_some(source)
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
