//! Bytes from one socket to another within the kernel, by splice(2) and a pipe:
//! for flows that nobody looks into, once they have turned out to be large.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use tokio::{io::Interest, net::TcpStream};

use super::splice::Failed;

/// What a pipe holds by default on Linux. A larger one would count against what
/// all pipes of a user may hold (pipe(7)).
const PIPE_LEN: usize = 64 * 1024;

/// A pipe between two sockets.
#[derive(Debug)]
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipe {
    /// # Errors
    ///
    /// There are no descriptors left.
    pub(super) fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self { read, write })
    }

    /// Moves what arrives until `from` ends, and counts it once it has left.
    ///
    /// # Errors
    ///
    /// Either end broke.
    pub(super) async fn carry(
        &self,
        from: &TcpStream,
        to: &TcpStream,
        count: &mut u64,
    ) -> Result<(), Failed> {
        loop {
            let mut within = self.take(from).await.map_err(Failed::Reading)?;
            if within == 0 {
                return Ok(());
            }
            while within > 0 {
                let gone = self.give(to, within).await.map_err(Failed::Writing)?;
                within = within.saturating_sub(gone);
                *count = count.saturating_add(gone as u64);
            }
        }
    }

    /// Into the pipe, which is empty.
    async fn take(&self, from: &TcpStream) -> io::Result<usize> {
        from.async_io(Interest::READABLE, || {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            let moved = splice(
                from.as_fd(),
                None,
                self.write.as_fd(),
                None,
                PIPE_LEN,
                flags,
            )?;
            Ok(moved)
        })
        .await
    }

    /// Out of the pipe, which has so much.
    async fn give(&self, to: &TcpStream, within: usize) -> io::Result<usize> {
        to.async_io(Interest::WRITABLE, || {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            let moved = splice(self.read.as_fd(), None, to.as_fd(), None, within, flags)?;
            Ok(moved)
        })
        .await
    }
}
