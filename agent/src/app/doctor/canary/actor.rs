//! The process that plays both parts, as one cgroup after the other: the proxy,
//! which listens and claims, then the application, which connects.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};
use weir_common::Settings;

use crate::capture::{Capture, Listening, settings};
use crate::config::CaptureConfig;
use crate::sys::addresses::has_ipv6_loopback;
use crate::sys::cgroup::Cgroup;
use crate::sys::claim::{ClaimError, Token, claim};
use crate::sys::origin;
use crate::sys::process::fork_into;

use super::ground::Ground;

/// For a connection within the machine, which takes some ten microseconds.
const ARRIVAL_WAIT: Duration = Duration::from_secs(2);

/// Nobody is there (RFC 5737, RFC 3849).
pub(super) const DESTINATION4: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 443);
/// The same for IPv6.
pub(super) const DESTINATION6: (Ipv6Addr, u16) =
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 443);

/// What the process in the cgroup saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Why the claim failed, if it did; then nothing was connected.
    pub(super) claim: Option<String>,
    /// To [`DESTINATION4`].
    pub(super) ipv4: Option<Attempt>,
    /// To [`DESTINATION6`].
    pub(super) ipv6: Option<Attempt>,
}

/// What came of one connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Attempt {
    /// It arrived.
    Arrived {
        /// Where to, as the kernel recorded it.
        recorded: Option<SocketAddr>,
        /// What the application sees at its other end.
        peer: Option<SocketAddr>,
        /// From connect to acceptance.
        microseconds: u64,
    },
    /// It did not.
    Lost,
    /// There are no such sockets here.
    NoFamily,
    /// The call failed.
    Failed(String),
}

/// Plays both parts in a child process, and gives what it saw. The child ends by
/// itself: each of its waits has an end.
pub(super) fn play(capture: &mut Capture, ground: &Ground) -> io::Result<Seen> {
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC)?;
    let mut writing = Some(writing);
    let taken = &mut writing;
    let child = fork_into(move || {
        let seen = act(capture, ground);
        let told = taken.take().and_then(|writing| tell(writing, &seen).ok());
        u8::from(told.is_none())
    })?;
    drop(writing);
    let mut text = String::new();
    File::from(reading).read_to_string(&mut text)?;
    let end = child.end()?;
    serde_json::from_str(&text).map_err(|_torn| io::Error::other(format!("the process {end}")))
}

fn tell(writing: OwnedFd, seen: &Seen) -> io::Result<()> {
    File::from(writing).write_all(&serde_json::to_vec(seen)?)
}

/// Both parts.
fn act(capture: &mut Capture, ground: &Ground) -> Seen {
    let mut seen = Seen::default();
    match listen(capture, ground) {
        Err(error) => seen.claim = Some(error),
        Ok(listeners) => {
            seen.ipv4 = Some(connect(&listeners, DESTINATION4.into()));
            seen.ipv6 = Some(connect(&listeners, DESTINATION6.into()));
        }
    }
    seen
}

/// The proxy's part: listens in its cgroup, claims, and is told to the kernel.
/// Then this process is in the application's.
fn listen(capture: &mut Capture, ground: &Ground) -> Result<Vec<TcpListener>, String> {
    let enter = |cgroup: &Cgroup| -> io::Result<()> { cgroup.entrance()?.write_all(b"0") };
    let said = |step: &'static str| move |error: io::Error| format!("cannot {step}: {error}");
    enter(&ground.proxy).map_err(said("enter a cgroup"))?;
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(said("listen"))?;
    let port = first.local_addr().map_err(said("listen"))?.port();
    let mut listeners = vec![first];
    if has_ipv6_loopback() {
        listeners.push(TcpListener::bind((Ipv6Addr::LOCALHOST, port)).map_err(said("listen"))?);
    }
    let listening = Listening {
        port,
        count: 1,
        ipv6: listeners.len() > 1,
    };
    let token = Token::random().map_err(said("make a token"))?;
    let told: Settings = settings(&CaptureConfig::default(), listening, &token, None);
    capture
        .configure(&told)
        .map_err(|error| error.to_string())?;
    for listener in &listeners {
        claim(listener.as_fd(), &token).map_err(|error| match error {
            ClaimError::NotSeen => {
                "the programs are attached and do not see the sockets of their cgroup".to_owned()
            }
            ClaimError::WrongToken | ClaimError::Io(_) => error.to_string(),
        })?;
    }
    enter(&ground.application).map_err(said("enter a cgroup"))?;
    Ok(listeners)
}

/// The application's part: connects, and looks at both ends.
fn connect(listeners: &[TcpListener], destination: SocketAddr) -> Attempt {
    match try_connect(listeners, destination) {
        Ok(attempt) => attempt,
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => Attempt::NoFamily,
        Err(error) => Attempt::Failed(error.to_string()),
    }
}

fn try_connect(listeners: &[TcpListener], destination: SocketAddr) -> io::Result<Attempt> {
    let socket = Socket::new(
        Domain::for_address(destination),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    let began = Instant::now();
    match socket.connect(&destination.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    let Some(accepted) = accept(listeners)? else {
        return Ok(Attempt::Lost);
    };
    let took = began.elapsed();
    Ok(Attempt::Arrived {
        recorded: origin::flow(accepted.as_fd())?.map(|flow| origin::destination(&flow)),
        peer: socket.peer_addr().ok().and_then(|peer| peer.as_socket()),
        microseconds: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
    })
}

/// The connection that arrives, or none in time.
fn accept(listeners: &[TcpListener]) -> io::Result<Option<TcpStream>> {
    let readable = |one: BorrowedFd<'_>, wait: PollTimeout| -> io::Result<bool> {
        Ok(poll(&mut [PollFd::new(one, PollFlags::POLLIN)], wait)? > 0)
    };
    let mut all: Vec<PollFd<'_>> = listeners
        .iter()
        .map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN))
        .collect();
    let wait = PollTimeout::try_from(ARRIVAL_WAIT).unwrap_or(PollTimeout::MAX);
    if poll(&mut all, wait)? == 0 {
        return Ok(None);
    }
    for listener in listeners {
        if readable(listener.as_fd(), PollTimeout::ZERO)? {
            return Ok(Some(listener.accept()?.0));
        }
    }
    Ok(None)
}
