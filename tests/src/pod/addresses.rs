//! The addresses of every pod: its own, and those that stand for the world.
//!
//! The world answers locally: its networks are routed to loopback as local
//! without being an address of any interface, so that connections to it look
//! like connections outward and need no second namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The pod's own IPv4 address.
pub const POD4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));
/// The pod's own IPv6 address.
pub const POD6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 3));
/// Its second one, from which it connects to [`FAR4`].
pub const SECOND4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 4));
/// The destination of most tests.
pub const WORLD4: IpAddr = world4(9);
/// Another one.
pub const OTHER4: IpAddr = world4(10);
/// The destination of most tests, over IPv6.
pub const WORLD6: IpAddr = world6(9);
/// Another one.
pub const OTHER6: IpAddr = world6(10);
/// One to which a route of its own leads.
pub const FAR4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 9));
/// No route leads there.
pub const NOWHERE4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

/// An address of 203.0.113.0/24, the world's IPv4 network.
#[must_use]
pub const fn world4(host: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, host))
}

/// An address of 2001:db8::/64, the world's IPv6 network.
#[must_use]
pub const fn world6(host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host))
}

/// The IPv4-mapped form of an IPv4 address; an IPv6 address as it is.
#[must_use]
pub const fn mapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V6(address.to_ipv6_mapped()),
        IpAddr::V6(_) => address,
    }
}
