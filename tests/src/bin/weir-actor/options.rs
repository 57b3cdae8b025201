//! Socket options that no library offers: weir's own, and calls with lengths that
//! no library would pass.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd};

use crate::errors;
use weir_common::{
    Deposit, Flow, SO_WEIR_CLAIM, SO_WEIR_COUNTERS, SO_WEIR_DEPOSIT, SO_WEIR_FLOW, SOL_WEIR,
};

/// `SO_ORIGINAL_DST` of linux/netfilter_ipv4.h and `IP6T_SO_ORIGINAL_DST` of
/// linux/netfilter_ipv6/ip6_tables.h.
const ORIGINAL_DST: i32 = 80;

/// `getsockopt` with this buffer; the length that the kernel gave.
///
/// # Errors
/// The kernel's.
pub(crate) fn get(fd: impl AsFd, level: i32, option: i32, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(buffer.len()).map_err(io::Error::other)?;
    // SAFETY: the buffer is writable, and as long as the length says.
    #[expect(unsafe_code, reason = "options without a wrapper")]
    let result = unsafe {
        libc::getsockopt(
            fd.as_fd().as_raw_fd(),
            level,
            option,
            buffer.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    usize::try_from(length).map_err(io::Error::other)
}

/// `setsockopt` with this value.
///
/// # Errors
/// The kernel's.
pub(crate) fn set(fd: impl AsFd, level: i32, option: i32, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    // SAFETY: the value is readable, and as long as the length says.
    #[expect(unsafe_code, reason = "options without a wrapper")]
    let result = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            level,
            option,
            value.as_ptr().cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sets an option that is an `int`.
///
/// # Errors
/// The kernel's.
pub(crate) fn set_int(fd: impl AsFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    set(fd, level, option, &value.to_ne_bytes())
}

/// Presents a claim.
///
/// # Errors
/// `EPERM` for a wrong token, `ENOPROTOOPT` where weir is not.
pub(crate) fn claim(fd: impl AsFd, token: &[u8]) -> io::Result<()> {
    set(fd, SOL_WEIR, SO_WEIR_CLAIM, token)
}

/// What becomes of taking the proxy's deposit and of leaving one, on a socket
/// that listens and has not claimed.
///
/// # Errors
/// There is no socket to be had.
pub(crate) fn deposit() -> io::Result<[String; 2]> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut buffer = [0xff; size_of::<Deposit>()];
    let taken = get(&listener, SOL_WEIR, SO_WEIR_DEPOSIT, &mut buffer).map(drop);
    let left = set(&listener, SOL_WEIR, SO_WEIR_DEPOSIT, &buffer);
    Ok([taken, left].map(|result| errors::outcome(&result)))
}

/// The flow of an accepted socket.
///
/// # Errors
/// `ENOPROTOOPT` if there is none.
pub(crate) fn flow(fd: impl AsFd) -> io::Result<Flow> {
    let mut bytes = [0; size_of::<Flow>()];
    let length = get(fd, SOL_WEIR, SO_WEIR_FLOW, &mut bytes)?;
    if length != bytes.len() {
        return Err(io::Error::other(format!("a flow of {length} bytes")));
    }
    Ok(Flow::from_bytes(&bytes))
}

/// weir's counters, by reason number - 1.
///
/// # Errors
/// `ENOPROTOOPT` for who has not claimed.
pub(crate) fn counters(fd: impl AsFd) -> io::Result<Vec<u64>> {
    let mut bytes = [0; weir_common::FlowReason::COUNT * size_of::<u64>()];
    let length = get(fd, SOL_WEIR, SO_WEIR_COUNTERS, &mut bytes)?;
    let (words, _rest) = bytes.split_at(length.min(bytes.len())).0.as_chunks();
    Ok(words.iter().map(|word| u64::from_ne_bytes(*word)).collect())
}

/// What netfilter would say of an accepted socket, asked for IPv4.
///
/// # Errors
/// `ENOPROTOOPT` or `ENOENT` if it is not redirected, or not IPv4.
pub(crate) fn original_dst4(fd: impl AsFd) -> io::Result<SocketAddr> {
    let mut bytes = [0; 16];
    get(fd, libc::SOL_IP, ORIGINAL_DST, &mut bytes)?;
    // struct sockaddr_in: family, port and address in network order.
    let [_, _, high, low, a, b, c, d, ..] = bytes;
    Ok(SocketAddr::new(
        Ipv4Addr::new(a, b, c, d).into(),
        u16::from_be_bytes([high, low]),
    ))
}

/// The same, asked for IPv6.
///
/// # Errors
/// `ENOPROTOOPT` or `ENOENT` if it is not redirected, or not IPv6.
pub(crate) fn original_dst6(fd: impl AsFd) -> io::Result<SocketAddr> {
    let mut bytes = [0; 28];
    get(fd, libc::SOL_IPV6, ORIGINAL_DST, &mut bytes)?;
    // struct sockaddr_in6: family, port, flow information, address, scope.
    let [_, _, high, low, _, _, _, _, address @ .., _, _, _, _] = bytes;
    Ok(SocketAddr::new(
        Ipv6Addr::from(address).into(),
        u16::from_be_bytes([high, low]),
    ))
}
