//! Looks at a socket with every call an application has for that, and writes down
//! what it sees.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Protocol, SockAddr, Socket, Type};
use std::os::fd::AsFd;
use weir_tests::pod::addresses::{POD4, POD6, SECOND4};
use weir_tests::pod::ask;
use weir_tests::pod::said::Observed;

use crate::errors::{name, outcome};

/// Longer than anything here takes, except what never comes.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one case saw.
#[derive(Debug, Default)]
pub(super) struct Observer(Observed);

impl Observer {
    pub(super) fn seen(self) -> Observed {
        self.0
    }

    /// Whether a call that sends has failed.
    pub(super) fn failed(&self) -> bool {
        let sent = self.0.get("send").or_else(|| self.0.get("sendto"));
        sent.is_some_and(|outcome| outcome != "0")
    }

    pub(super) fn note(&mut self, field: &str, value: impl Display) {
        self.0.insert(field.to_owned(), value.to_string());
    }

    pub(super) fn result<T>(&mut self, field: &str, result: &io::Result<T>) {
        self.note(field, outcome(result));
    }

    /// `connect`, as it came out.
    pub(super) fn connect(&mut self, field: &str, socket: &Socket, to: SocketAddr) {
        self.result(field, &socket.connect(&to.into()));
    }

    /// Everything there is to see of a socket, and an exchange over it.
    pub(super) fn all(&mut self, socket: &Socket) -> io::Result<()> {
        self.state("", socket);
        self.exchange("bytes", socket)
    }

    /// What can be seen without sending anything.
    pub(super) fn state(&mut self, when: &str, socket: &Socket) {
        let field = |name: &str| format!("{name}{when}");
        self.poll(&field("poll"), socket);
        self.error(&field("SO_ERROR"), socket);
        self.peer(&field("getpeername"), socket);
        self.own(&field("getsockname"), socket);
    }

    /// Waits until it can be written to, or has failed.
    pub(super) fn poll(&mut self, field: &str, socket: &Socket) {
        let events = PollFlags::POLLIN | PollFlags::POLLOUT;
        let mut fds = [PollFd::new(socket.as_fd(), events)];
        let timeout = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(0) => self.note(field, "nothing"),
            Ok(_) => {
                let [fd] = fds;
                let seen = fd.revents().unwrap_or(PollFlags::empty());
                let names: Vec<&str> = seen.iter_names().map(|(name, _)| name).collect();
                self.note(field, names.join(" "));
            }
            Err(error) => self.note(field, name(&error.into())),
        }
    }

    /// `SO_ERROR`, which the reading clears.
    pub(super) fn error(&mut self, field: &str, socket: &Socket) {
        match socket.take_error() {
            Ok(None) => self.note(field, 0),
            Ok(Some(error)) | Err(error) => self.note(field, name(&error)),
        }
    }

    pub(super) fn peer(&mut self, field: &str, socket: &Socket) {
        self.note(field, shown(socket.peer_addr()));
    }

    /// The own address by what it is: its port is the kernel's choice.
    pub(super) fn own(&mut self, field: &str, socket: &Socket) {
        let own = socket.local_addr().map(|address| address.as_socket());
        let Ok(Some(address)) = own else {
            return self.note(field, shown(socket.local_addr()));
        };
        let kind = match address.ip().to_canonical() {
            ip if ip == POD4 || ip == POD6 => "the pod's",
            ip if ip == SECOND4 => "the pod's second",
            ip if ip.is_loopback() => "loopback",
            ip if ip.is_unspecified() => "unspecified",
            _ => "another",
        };
        let family = match address.ip() {
            IpAddr::V4(_) => "IPv4",
            IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => "IPv4-mapped",
            IpAddr::V6(_) => "IPv6",
        };
        self.note(field, format!("{kind}, {family}"));
    }

    /// A question and its answer.
    pub(super) fn exchange(&mut self, field: &str, socket: &Socket) -> io::Result<()> {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let answer = ask(TcpStream::from(socket.try_clone()?));
        match answer {
            Ok(answer) => self.note(field, answer),
            Err(error) => self.note(field, name(&error)),
        }
        Ok(())
    }
}

fn shown(address: io::Result<SockAddr>) -> String {
    match address {
        Ok(address) => address
            .as_socket()
            .map_or_else(|| format!("{address:?}"), |address| address.to_string()),
        Err(error) => name(&error),
    }
}

/// A TCP socket of the family of this address.
pub(super) fn stream_for(to: SocketAddr) -> io::Result<Socket> {
    Socket::new(
        socket2::Domain::for_address(to),
        Type::STREAM,
        Some(Protocol::TCP),
    )
}
