//! Connections made by io_uring, which does not come through the same system call.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::thread;

use io_uring::{IoUring, opcode, types};
use socket2::SockAddr;
use weir_tests::pod::addresses::{WORLD4, WORLD6};

use super::Case;
use super::observer::{Observer, stream_for};

pub(super) const CASES: &[Case] = &[
    ("io_uring connect, IPv4", |it| apart(it, WORLD4)),
    ("io_uring connect, IPv6", |it| apart(it, WORLD6)),
];

/// On a thread of its own: a ring interrupts the thread that made it, also a
/// while after it is gone, and with it the cases that follow.
fn apart(it: &mut Observer, ip: IpAddr) -> io::Result<()> {
    thread::scope(|scope| {
        let connecting = scope.spawn(|| connect(it, SocketAddr::new(ip, 443)));
        connecting
            .join()
            .unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn connect(it: &mut Observer, to: SocketAddr) -> io::Result<()> {
    let mut ring = match IoUring::new(4) {
        // Whether that is right for this kernel is for the test to say.
        Err(error) => {
            it.result::<()>("io_uring_setup", &Err(error));
            return Ok(());
        }
        Ok(ring) => ring,
    };
    it.note("io_uring_setup", 0);
    let socket = stream_for(to)?;
    let address = SockAddr::from(to);
    let entry = opcode::Connect::new(
        types::Fd(socket.as_raw_fd()),
        address.as_ptr().cast(),
        address.len(),
    )
    .build();
    // SAFETY: the socket and the address live until the completion below.
    #[expect(unsafe_code, reason = "the ring borrows what it is given")]
    let queued = unsafe { ring.submission().push(&entry) };
    queued.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    let completed = ring.completion().next().map(|entry| entry.result());
    let result = match completed {
        Some(0..) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(-error)),
        None => Err(io::Error::other("no completion")),
    };
    it.result("connect", &result);
    it.all(&socket)
}
