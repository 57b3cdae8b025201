//! Socket options: what is not weir's passes through its programs untouched.

use std::io;
use std::net::SocketAddr;

use weir_common::{SO_WEIR_CANARY, SOL_WEIR};
use weir_tests::pod::addresses::WORLD4;

use super::Case;
use super::observer::{Observer, stream_for};
use crate::errors::{name, outcome};
use crate::options;

/// More than the page that the kernel shows a program of an option.
const LARGE: usize = 8192;
/// What it shows, and one more.
const PAGE: usize = 4096;

pub(super) const CASES: &[Case] = &[
    ("large setsockopt", large_set),
    ("large getsockopt", large_get),
    ("small getsockopt", small_get),
    (
        "SO_ORIGINAL_DST of the application's own socket",
        original_dst,
    ),
    (
        "weir's options from the application: flow, counters",
        weir_get,
    ),
    (
        "weir's options from the application: claim, canary",
        weir_set,
    ),
    ("options nobody has", nobody),
];

fn large_set(it: &mut Observer) -> io::Result<()> {
    let socket = stream_for(SocketAddr::new(WORLD4, 443))?;
    for length in [PAGE, PAGE + 1, LARGE] {
        // An int, and more that the kernel does not look at.
        let mut value = vec![0; length];
        value[..4].copy_from_slice(&65_536_i32.to_ne_bytes());
        let set = options::set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, &value);
        it.result(&format!("SO_RCVBUF, {length} bytes"), &set);
        let set = options::set(&socket, libc::SOL_TCP, libc::TCP_NODELAY, &value);
        it.result(&format!("TCP_NODELAY, {length} bytes"), &set);
    }
    it.note("SO_RCVBUF is then", socket.recv_buffer_size()?);
    it.note("TCP_NODELAY is then", socket.tcp_nodelay()?);
    Ok(())
}

fn large_get(it: &mut Observer) -> io::Result<()> {
    let socket = stream_for(SocketAddr::new(WORLD4, 443))?;
    for length in [PAGE, PAGE + 1, LARGE] {
        for (called, level, option) in [
            ("SO_RCVBUF", libc::SOL_SOCKET, libc::SO_RCVBUF),
            ("TCP_INFO", libc::SOL_TCP, libc::TCP_INFO),
            ("TCP_CONGESTION", libc::SOL_TCP, libc::TCP_CONGESTION),
        ] {
            let mut buffer = vec![0xaa; length];
            let field = format!("{called}, {length} bytes");
            match options::get(&socket, level, option, &mut buffer) {
                Ok(got) => {
                    let behind = buffer[got..].iter().all(|byte| *byte == 0xaa);
                    it.note(&field, format!("{got} bytes, nothing behind: {behind}"));
                }
                Err(error) => it.note(&field, name(&error)),
            }
        }
    }
    Ok(())
}

fn small_get(it: &mut Observer) -> io::Result<()> {
    let socket = stream_for(SocketAddr::new(WORLD4, 443))?;
    for length in [0, 1, 4] {
        let mut buffer = vec![0xaa; length];
        let got = options::get(&socket, libc::SOL_SOCKET, libc::SO_TYPE, &mut buffer);
        let got = got.map_or_else(|error| name(&error), |got| got.to_string());
        it.note(
            &format!("SO_TYPE, {length} bytes"),
            format!("{got} {buffer:?}"),
        );
    }
    Ok(())
}

fn original_dst(it: &mut Observer) -> io::Result<()> {
    let to = SocketAddr::new(WORLD4, 443);
    let socket = stream_for(to)?;
    it.result("before connect", &options::original_dst4(&socket));
    it.connect("connect", &socket, to);
    it.result("IPv4", &options::original_dst4(&socket));
    it.result("IPv6", &options::original_dst6(&socket));
    Ok(())
}

fn weir_get(it: &mut Observer) -> io::Result<()> {
    let to = SocketAddr::new(WORLD4, 443);
    let socket = stream_for(to)?;
    it.connect("connect", &socket, to);
    it.result("flow", &options::flow(&socket));
    it.result("counters", &options::counters(&socket));
    Ok(())
}

fn weir_set(it: &mut Observer) -> io::Result<()> {
    let socket = stream_for(SocketAddr::new(WORLD4, 443))?;
    it.result("claim", &options::claim(&socket, &[0; 16]));
    let canary = options::set(&socket, SOL_WEIR, SO_WEIR_CANARY, &[0; 16]);
    it.note("canary", outcome(&canary));
    Ok(())
}

fn nobody(it: &mut Observer) -> io::Result<()> {
    let socket = stream_for(SocketAddr::new(WORLD4, 443))?;
    for (called, level, option) in [
        ("level of nobody", 0x1234_5678, 1),
        ("weir's level, option of nobody", SOL_WEIR, 77),
        ("TCP, option of nobody", libc::SOL_TCP, 7777),
    ] {
        for length in [4, LARGE] {
            let mut buffer = vec![0; length];
            let got = options::get(&socket, level, option, &mut buffer);
            it.result(&format!("get: {called}, {length} bytes"), &got);
            let set = options::set(&socket, level, option, &buffer);
            it.result(&format!("set: {called}, {length} bytes"), &set);
        }
    }
    Ok(())
}
