//! A link with length: packets arrive half a round trip after they were sent.
//!
//! Two TUN devices, and a pair of threads for each direction between them: one
//! reads packets, the other writes each when it is due. What is modelled is
//! delay alone, of every packet alike, those of handshakes too: nothing is lost,
//! reordered or held back for want of bandwidth. The kernel's own netem does
//! more, and is in few kernels of small machines.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use weir_tests::namespace::Namespace;

/// The name of each end.
const DEVICE: &str = "far";
/// What one read brings at most: the device's MTU is that of a link.
const PACKET_MAX: usize = 2048;
/// Packets under way in one direction: at 80 ms, a gigabit per second.
const PACKETS_MAX: usize = 8192;

/// The link. It lasts as long as the process: nobody can be woken who waits for a packet.
pub(crate) struct Delayed;

impl Delayed {
    /// Puts a link between two namespaces, each with its address.
    pub(crate) fn between(
        one: (&Namespace, Ipv4Addr),
        other: (&Namespace, Ipv4Addr),
        round_trip: Duration,
    ) -> Result<Self> {
        let (one, other) = (end(one.0, one.1)?, end(other.0, other.1)?);
        let delay = round_trip / 2;
        carry(one.try_clone()?, other.try_clone()?, delay);
        carry(other, one, delay);
        Ok(Self)
    }
}

fn end(namespace: &Namespace, address: Ipv4Addr) -> Result<File> {
    let device = namespace.inside(open)??;
    namespace.ip(&format!(
        "addr add {address}/26 dev {DEVICE}\nlink set {DEVICE} up\n"
    ))?;
    Ok(device)
}

/// Makes the device, in the namespace of this thread.
#[expect(unsafe_code, reason = "a request to the driver without a wrapper")]
fn open() -> Result<File> {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .context("there is no TUN, which stands for a long link")?;
    // SAFETY: a structure of integers and arrays of them, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(DEVICE.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_TUN | libc::IFF_NO_PI)?;
    // SAFETY: the driver reads and writes one `ifreq`, which lives through the call.
    let made = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    ensure!(
        made == 0,
        "cannot make a TUN device: {}",
        std::io::Error::last_os_error()
    );
    Ok(device)
}

/// Carries packets one way. Both threads end when a device is gone.
fn carry(mut from: File, mut to: File, delay: Duration) {
    let (sender, packets) = sync_channel::<(Instant, Vec<u8>)>(PACKETS_MAX);
    thread::spawn(move || {
        let mut buffer = [0; PACKET_MAX];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let packet = buffer.get(..length).unwrap_or_default().to_vec();
            if sender.send((Instant::now() + delay, packet)).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        while let Ok((due, packet)) = packets.recv() {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // A device that is down loses packets, as links do.
            let _lost = to.write(&packet);
        }
    });
}
