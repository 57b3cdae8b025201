//! Datagrams: HTTP/3 is kept from them, everything else is let alone.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use weir_tests::pod::addresses::{POD4, WORLD4, WORLD6, mapped};

use super::Case;
use super::observer::Observer;
use crate::errors::{name, outcome};

/// Longer than an answer takes.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) const CASES: &[Case] = &[
    ("connected UDP, port 443, IPv4", |it| {
        connected(it, WORLD4, 443)
    }),
    ("connected UDP, port 443, IPv6", |it| {
        connected(it, WORLD6, 443)
    }),
    ("connected UDP, port 443, IPv4-mapped", |it| {
        connected(it, mapped(WORLD4), 443)
    }),
    ("unconnected UDP, port 443, IPv4", |it| {
        unconnected(it, WORLD4, 443)
    }),
    ("unconnected UDP, port 443, IPv6", |it| {
        unconnected(it, WORLD6, 443)
    }),
    ("unconnected UDP, port 443, IPv4-mapped", |it| {
        unconnected(it, mapped(WORLD4), 443)
    }),
    ("connected UDP, port 53, IPv4", |it| {
        connected(it, WORLD4, 53)
    }),
    ("connected UDP, port 53, IPv6", |it| {
        connected(it, WORLD6, 53)
    }),
    ("unconnected UDP, port 53, IPv4", |it| {
        unconnected(it, WORLD4, 53)
    }),
    ("unconnected UDP, port 53, IPv6", |it| {
        unconnected(it, WORLD6, 53)
    }),
    ("unconnected UDP, port 53, IPv4-mapped", |it| {
        unconnected(it, mapped(WORLD4), 53)
    }),
    ("connected UDP, port 443, loopback", |it| {
        connected(it, Ipv4Addr::LOCALHOST.into(), 443)
    }),
    ("unconnected UDP, port 443, loopback", |it| {
        unconnected(it, Ipv4Addr::LOCALHOST.into(), 443)
    }),
    ("connected UDP, port 443, the pod's address", |it| {
        connected(it, POD4, 443)
    }),
    ("unconnected UDP, port 443, the pod's address", |it| {
        unconnected(it, POD4, 443)
    }),
];

fn connected(it: &mut Observer, ip: IpAddr, port: u16) -> io::Result<()> {
    let (socket, to) = datagram_for(ip, port)?;
    it.connect("connect", &socket, to);
    it.peer("getpeername", &socket);
    it.own("getsockname", &socket);
    it.result("send", &socket.send(b"?\n"));
    receive(it, &socket);
    it.error("SO_ERROR", &socket);
    Ok(())
}

fn unconnected(it: &mut Observer, ip: IpAddr, port: u16) -> io::Result<()> {
    let (socket, to) = datagram_for(ip, port)?;
    it.result("sendto", &socket.send_to(b"?\n", &to.into()));
    receive(it, &socket);
    it.error("SO_ERROR", &socket);
    Ok(())
}

fn datagram_for(ip: IpAddr, port: u16) -> io::Result<(Socket, SocketAddr)> {
    let to = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, None)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok((socket, to))
}

fn receive(it: &mut Observer, socket: &Socket) {
    // What was refused is not answered either; waiting for that would prove
    // nothing that `send` has not.
    let mut bytes = [0; 128];
    if it.failed() {
        it.note("recv", "not tried");
        return it.note("send again", "not tried");
    }
    match io::Read::read(&mut &*socket, &mut bytes) {
        Ok(length) => {
            let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default());
            it.note("recv", text.trim_end());
        }
        Err(error) => it.note("recv", name(&error)),
    }
    let again = socket.send(b"?\n");
    it.note("send again", outcome(&again));
}
