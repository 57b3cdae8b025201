//! Socket addresses as system calls have them.

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// `struct sockaddr_in`.
#[repr(C)]
pub(crate) struct SockaddrIn {
    family: u16,
    port: u16,
    addr: [u8; 4],
    zero: [u8; 8],
}

impl SockaddrIn {
    /// Of an address in network order and a port in host order.
    #[inline(always)]
    pub(crate) fn new(addr: [u8; 4], port: u16) -> Self {
        Self {
            family: AF_INET,
            port: port.to_be(),
            addr,
            zero: [0; 8],
        }
    }
}

/// `struct sockaddr_in6`.
#[repr(C)]
pub(crate) struct SockaddrIn6 {
    family: u16,
    port: u16,
    flowinfo: u32,
    addr: [u8; 16],
    scope_id: u32,
}

impl SockaddrIn6 {
    /// Of an address in network order and a port in host order.
    #[inline(always)]
    pub(crate) fn new(addr: [u8; 16], port: u16) -> Self {
        Self {
            family: AF_INET6,
            port: port.to_be(),
            flowinfo: 0,
            addr,
            scope_id: 0,
        }
    }
}
