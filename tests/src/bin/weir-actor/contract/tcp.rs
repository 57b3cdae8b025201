//! Connections.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

use rustix::net::connect_unspec;
use socket2::{Domain, Protocol, Socket, Type};
use weir_tests::pod::addresses::{FAR4, NOWHERE4, OTHER4, POD4, POD6, WORLD4, WORLD6, mapped};

use super::Case;
use super::observer::{Observer, stream_for};
use crate::errors::outcome;
use crate::options;

/// The port that servers are on and weir captures.
const HTTPS: u16 = 443;
/// A port that weir captures and nobody listens on.
const NOBODY: u16 = 80;
/// A port that weir does not capture, with a server.
const OTHER_PORT: u16 = 8443;
/// A port that weir does not capture, without a server.
const OTHER_NOBODY: u16 = 8444;
/// `IPPROTO_MPTCP` of linux/in.h.
const MPTCP: i32 = 262;
/// `TCP_FASTOPEN_CONNECT` and `TCP_FASTOPEN_NO_COOKIE` of linux/tcp.h.
const FASTOPEN_CONNECT: i32 = 30;
const FASTOPEN_NO_COOKIE: i32 = 34;

pub(super) const CASES: &[Case] = &[
    ("blocking connect, IPv4", |it| plain(it, at(WORLD4, HTTPS))),
    ("blocking connect, IPv6", |it| plain(it, at(WORLD6, HTTPS))),
    ("blocking connect, IPv4-mapped", |it| {
        plain(it, at(mapped(WORLD4), HTTPS))
    }),
    ("blocking connect, a port that is not captured", |it| {
        plain(it, at(WORLD4, OTHER_PORT))
    }),
    ("refused, a port that is not captured", |it| {
        plain(it, at(WORLD4, OTHER_NOBODY))
    }),
    ("refused, IPv4", |it| plain(it, at(WORLD4, NOBODY))),
    ("refused, IPv6", |it| plain(it, at(WORLD6, NOBODY))),
    ("refused, non-blocking", |it| {
        nonblocking(it, at(WORLD4, NOBODY))
    }),
    ("no route", |it| plain(it, at(NOWHERE4, HTTPS))),
    ("multicast", |it| {
        plain(it, at(Ipv4Addr::new(224, 0, 0, 9).into(), HTTPS))
    }),
    ("broadcast", |it| {
        plain(it, at(Ipv4Addr::BROADCAST.into(), HTTPS))
    }),
    ("port 0", |it| plain(it, at(WORLD4, 0))),
    ("non-blocking connect, IPv4", |it| {
        nonblocking(it, at(WORLD4, HTTPS))
    }),
    ("non-blocking connect, IPv6", |it| {
        nonblocking(it, at(WORLD6, HTTPS))
    }),
    ("second connect of a connected socket", second_connect),
    ("reconnect after AF_UNSPEC", reconnect_after_unspec),
    (
        "reconnect after AF_UNSPEC, to a port that is not captured",
        reconnect_uncaptured,
    ),
    (
        "reconnect after AF_UNSPEC, to loopback",
        reconnect_to_loopback,
    ),
    ("reconnect after a failure", reconnect_after_failure),
    ("the pod's second address", |it| plain(it, at(FAR4, HTTPS))),
    ("fast open with sendto", fast_open_sendto),
    ("fast open with connect", |it| fast_open_connect(it, false)),
    ("fast open with connect, data in the SYN", |it| {
        fast_open_connect(it, true)
    }),
    ("MPTCP, IPv4", |it| mptcp(it, at(WORLD4, HTTPS))),
    ("MPTCP, IPv6", |it| mptcp(it, at(WORLD6, HTTPS))),
    ("bound to the pod's address, IPv4", |it| {
        bound(it, at(POD4, 0), at(WORLD4, HTTPS))
    }),
    ("bound to the pod's address, IPv6", |it| {
        bound(it, at(POD6, 0), at(WORLD6, HTTPS))
    }),
    ("bound to a port, IPv4", |it| {
        bound(
            it,
            at(Ipv4Addr::UNSPECIFIED.into(), 41_001),
            at(WORLD4, HTTPS),
        )
    }),
    ("bound to a port, IPv6", |it| {
        bound(
            it,
            at(Ipv6Addr::UNSPECIFIED.into(), 41_002),
            at(WORLD6, HTTPS),
        )
    }),
    ("bound to a device", bound_to_device),
    ("IPV6_V6ONLY, IPv6", |it| v6only(it, at(WORLD6, HTTPS))),
    ("IPV6_V6ONLY, IPv4-mapped", |it| {
        v6only(it, at(mapped(WORLD4), HTTPS))
    }),
    ("loopback, IPv4", |it| {
        plain(it, at(Ipv4Addr::LOCALHOST.into(), HTTPS))
    }),
    ("loopback, IPv6", |it| {
        plain(it, at(Ipv6Addr::LOCALHOST.into(), HTTPS))
    }),
    ("loopback, IPv4-mapped", |it| {
        plain(it, at(mapped(Ipv4Addr::LOCALHOST.into()), HTTPS))
    }),
    ("the unspecified address", |it| {
        plain(it, at(Ipv4Addr::UNSPECIFIED.into(), HTTPS))
    }),
    ("the pod's address, IPv4", |it| plain(it, at(POD4, HTTPS))),
    ("the pod's address, IPv6", |it| plain(it, at(POD6, HTTPS))),
    ("the pod's address, IPv4-mapped", |it| {
        plain(it, at(mapped(POD4), HTTPS))
    }),
    ("inbound", inbound),
    ("an address that is too short", short_address),
];

/// For pods without IPv6, the proxy on `127.0.0.1` only.
pub(super) const WITHOUT_IPV6: &[Case] = &[
    ("without IPv6: blocking connect, IPv4", |it| {
        plain(it, at(WORLD4, HTTPS))
    }),
    ("without IPv6: blocking connect, IPv4-mapped", |it| {
        plain(it, at(mapped(WORLD4), HTTPS))
    }),
    ("without IPv6: blocking connect, IPv6", |it| {
        plain(it, at(WORLD6, HTTPS))
    }),
    ("without IPv6: IPV6_V6ONLY, IPv6", |it| {
        v6only(it, at(WORLD6, HTTPS))
    }),
];

fn at(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip, port)
}

fn plain(it: &mut Observer, to: SocketAddr) -> io::Result<()> {
    let socket = stream_for(to)?;
    it.connect("connect", &socket, to);
    it.all(&socket)
}

fn nonblocking(it: &mut Observer, to: SocketAddr) -> io::Result<()> {
    let socket = stream_for(to)?;
    socket.set_nonblocking(true)?;
    it.connect("connect", &socket, to);
    it.poll("poll at first", &socket);
    it.connect("second connect", &socket, to);
    it.connect("third connect", &socket, to);
    it.all(&socket)
}

fn second_connect(it: &mut Observer) -> io::Result<()> {
    let (to, other) = (at(WORLD4, HTTPS), at(OTHER4, HTTPS));
    let socket = stream_for(to)?;
    it.connect("connect", &socket, to);
    it.connect("connect to the same", &socket, to);
    it.connect("connect elsewhere", &socket, other);
    it.all(&socket)
}

fn reconnect_after_unspec(it: &mut Observer) -> io::Result<()> {
    let socket = stream_for(at(WORLD4, HTTPS))?;
    it.connect("connect", &socket, at(WORLD4, HTTPS));
    it.exchange("bytes before", &socket)?;
    let left = connect_unspec(&socket).map_err(io::Error::from);
    it.result("disconnect", &left);
    it.state(" between", &socket);
    it.connect("connect again", &socket, at(OTHER4, HTTPS));
    it.all(&socket)
}

fn reconnect_uncaptured(it: &mut Observer) -> io::Result<()> {
    let socket = stream_for(at(WORLD4, HTTPS))?;
    it.connect("connect", &socket, at(WORLD4, HTTPS));
    it.exchange("bytes before", &socket)?;
    let left = connect_unspec(&socket).map_err(io::Error::from);
    it.result("disconnect", &left);
    it.connect("connect again", &socket, at(OTHER4, OTHER_PORT));
    it.all(&socket)
}

fn reconnect_to_loopback(it: &mut Observer) -> io::Result<()> {
    let socket = stream_for(at(WORLD4, HTTPS))?;
    it.connect("connect", &socket, at(WORLD4, HTTPS));
    it.exchange("bytes before", &socket)?;
    let left = connect_unspec(&socket).map_err(io::Error::from);
    it.result("disconnect", &left);
    it.own("getsockname between", &socket);
    it.connect(
        "connect again",
        &socket,
        at(Ipv4Addr::LOCALHOST.into(), HTTPS),
    );
    it.all(&socket)
}

fn reconnect_after_failure(it: &mut Observer) -> io::Result<()> {
    let socket = stream_for(at(WORLD4, HTTPS))?;
    it.connect("connect", &socket, at(WORLD4, OTHER_NOBODY));
    it.state(" between", &socket);
    it.connect("connect again", &socket, at(OTHER4, HTTPS));
    it.all(&socket)
}

fn fast_open_sendto(it: &mut Observer) -> io::Result<()> {
    let to = at(WORLD4, HTTPS);
    let socket = stream_for(to)?;
    let sent = socket.send_to_with_flags(b"?\n", &to.into(), libc::MSG_FASTOPEN);
    it.note(
        "sendto",
        sent.as_ref()
            .map_or_else(|_| outcome(&sent), ToString::to_string),
    );
    let answer = weir_tests::pod::read_line(TcpStream::from(socket.try_clone()?));
    it.note(
        "bytes",
        answer.unwrap_or_else(|error| outcome::<()>(&Err(error))),
    );
    it.state("", &socket);
    Ok(())
}

fn fast_open_connect(it: &mut Observer, without_cookie: bool) -> io::Result<()> {
    let to = at(WORLD4, HTTPS);
    let socket = stream_for(to)?;
    options::set_int(&socket, libc::SOL_TCP, FASTOPEN_CONNECT, 1)?;
    if without_cookie {
        options::set_int(&socket, libc::SOL_TCP, FASTOPEN_NO_COOKIE, 1)?;
    }
    it.connect("connect", &socket, to);
    it.peer("getpeername at first", &socket);
    it.exchange("bytes", &socket)?;
    it.peer("getpeername", &socket);
    it.own("getsockname", &socket);
    it.error("SO_ERROR", &socket);
    Ok(())
}

fn mptcp(it: &mut Observer, to: SocketAddr) -> io::Result<()> {
    let domain = Domain::for_address(to);
    match Socket::new(domain, Type::STREAM, Some(Protocol::from(MPTCP))) {
        // Whether that is right for this kernel is for the test to say.
        Err(error) => it.result::<()>("socket", &Err(error)),
        Ok(socket) => {
            it.note("socket", 0);
            it.connect("connect", &socket, to);
            it.all(&socket)?;
        }
    }
    Ok(())
}

fn bound(it: &mut Observer, own: SocketAddr, to: SocketAddr) -> io::Result<()> {
    let socket = stream_for(to)?;
    socket.set_reuse_address(true)?;
    it.result("bind", &socket.bind(&own.into()));
    let before = socket.local_addr()?.as_socket();
    it.connect("connect", &socket, to);
    let after = socket.local_addr()?.as_socket();
    let kept = before.map(|own| own.port()) == after.map(|own| own.port());
    it.note("the port stays", kept);
    it.all(&socket)
}

fn bound_to_device(it: &mut Observer) -> io::Result<()> {
    let to = at(WORLD4, HTTPS);
    let socket = stream_for(to)?;
    it.result("SO_BINDTODEVICE", &socket.bind_device(Some(b"lo")));
    // Answers to the pod's address would come by the pod's device.
    let own = at(Ipv4Addr::LOCALHOST.into(), 0);
    it.result("bind", &socket.bind(&own.into()));
    it.connect("connect", &socket, to);
    it.all(&socket)
}

fn v6only(it: &mut Observer, to: SocketAddr) -> io::Result<()> {
    let socket = stream_for(to)?;
    socket.set_only_v6(true)?;
    it.connect("connect", &socket, to);
    it.all(&socket)
}

/// The application as a server: nothing of that is weir's.
fn inbound(it: &mut Observer) -> io::Result<()> {
    let here = at(POD4, 8000);
    let listener = stream_for(here)?;
    listener.set_reuse_address(true)?;
    listener.bind(&here.into())?;
    listener.listen(1)?;
    let client = stream_for(here)?;
    it.connect("connect", &client, here);
    it.state(" of the client", &client);
    let (accepted, from) = listener.accept()?;
    let same = from.as_socket() == client.local_addr()?.as_socket();
    it.note("accept gives the client's address", same);
    let same = accepted.peer_addr()?.as_socket() == client.local_addr()?.as_socket();
    it.note("getpeername gives the client's address", same);
    it.result("SO_ORIGINAL_DST", &options::original_dst4(&accepted));
    it.result("SO_WEIR_FLOW", &options::flow(&accepted));
    Ok(())
}

/// The kernel refuses it before anybody looks at it.
fn short_address(it: &mut Observer) -> io::Result<()> {
    // An IPv4 address on an IPv6 socket is shorter than an IPv6 address.
    let socket = stream_for(at(WORLD6, HTTPS))?;
    it.connect("connect", &socket, at(WORLD4, HTTPS));
    it.all(&socket)
}
