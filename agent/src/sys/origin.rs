//! Where a redirected connection was going: weir's own socket option, answered
//! by its eBPF program from the socket's storage.

use std::{
    io, mem,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd, BorrowedFd},
};

use weir_common::{Flow, SO_WEIR_FLOW, SOL_WEIR};

/// The flow that the kernel recorded for an accepted socket.
///
/// `None` when it recorded none: the connection was made to the proxy's port
/// directly, or weir's programs are not attached to the socket's cgroup.
///
/// # Errors
///
/// Whatever `getsockopt` reports besides that, such as a closed descriptor.
pub fn flow(socket: BorrowedFd<'_>) -> io::Result<Option<Flow>> {
    let mut bytes = [0_u8; mem::size_of::<Flow>()];
    let mut len = libc::socklen_t::try_from(bytes.len()).unwrap_or(0);
    // SAFETY: the buffer is writable and `len` is its length.
    #[expect(unsafe_code, reason = "a private socket option has no safe wrapper")]
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            SOL_WEIR,
            SO_WEIR_FLOW,
            bytes.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result == 0 {
        // A kernel without our program cannot succeed on this level; a short
        // answer would be another's, and is treated as none.
        let whole = usize::try_from(len).is_ok_and(|len| len == bytes.len());
        return Ok(whole.then(|| Flow::from_bytes(&bytes)));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOPROTOOPT | libc::EOPNOTSUPP | libc::EINVAL) => Ok(None),
        _ => Err(error),
    }
}

/// The destination of a flow, IPv4-mapped addresses as IPv4.
#[must_use]
pub fn destination(flow: &Flow) -> SocketAddr {
    let ip = Ipv6Addr::from(flow.addr);
    let ip = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4);
    SocketAddr::new(ip, flow.port)
}
