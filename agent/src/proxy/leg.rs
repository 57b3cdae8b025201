//! The leg to a provider: a connection that may outlive the application's.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::io::Connection;
use crate::{sys::sockets::bytes_acknowledged, tls::stream::ClientStream};

/// A connection to a provider.
#[derive(Debug)]
pub(crate) enum Leg {
    /// Verified.
    Tls(Box<ClientStream<TcpStream>>),
    /// Where the application speaks without TLS.
    Cleartext(TcpStream),
}

impl Leg {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tls(stream) => stream.io(),
            Self::Cleartext(stream) => stream,
        }
    }

    /// What ALPN agreed on.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Tls(stream) => stream.state().alpn_protocol(),
            Self::Cleartext(_) => None,
        }
    }

    /// Marks what the peer's kernel has acknowledged so far; `None` if ours does
    /// not say.
    pub(crate) fn mark(&self) -> Option<Mark> {
        let socket = self.tcp().as_raw_fd();
        let acknowledged = bytes_acknowledged(socket).ok()?;
        Some(Mark {
            socket,
            acknowledged,
        })
    }

    /// Whether nothing has come since it was last read: no end, no reset, and
    /// nothing unasked for. Takes in session tickets, which are for the TLS only.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let mut context = Context::from_waker(Waker::noop());
        Pin::new(self)
            .poll_read(&mut context, &mut buffer)
            .is_pending()
    }

    /// Ends it in order, as far as that goes without waiting.
    pub(crate) fn close(mut self) {
        let mut context = Context::from_waker(Waker::noop());
        // The rest is the kernel's: FIN follows what was written.
        let _ = Pin::new(&mut self).poll_shutdown(&mut context);
    }
}

/// What the peer's kernel had acknowledged of a leg. It is for as long as the leg
/// is there, in whatever parts.
#[derive(Debug)]
pub(crate) struct Mark {
    socket: RawFd,
    acknowledged: u64,
}

impl Mark {
    /// Whether nothing of what was sent since has reached the peer, for all that
    /// its kernel says.
    pub(crate) fn is_unmoved(&self) -> bool {
        bytes_acknowledged(self.socket).is_ok_and(|now| now == self.acknowledged)
    }
}

impl Connection for Leg {
    fn reset_on_close(&self) {
        self.tcp().reset_on_close();
    }
}

impl AsyncRead for Leg {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Cleartext(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Leg {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Cleartext(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Cleartext(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Cleartext(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Cleartext(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Cleartext(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
