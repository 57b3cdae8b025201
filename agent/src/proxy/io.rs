//! The streams of a relay: a connection with bytes already read from it, and a
//! reader with a buffer of its own.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::tls::stream::ServerStream;

/// How much is read at once: a TLS record, or a few packets.
const READ_SIZE: usize = 16 * 1024;

/// A connection that can be ended so that its peer sees a reset.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Makes dropping the connection send a TCP reset.
    fn reset_on_close(&self);
}

impl Connection for TcpStream {
    fn reset_on_close(&self) {
        // If even this fails the peer sees an ordinary end, which is all that is left.
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

impl Connection for Prefixed {
    fn reset_on_close(&self) {
        self.tcp.reset_on_close();
    }
}

impl Connection for ServerStream<Prefixed> {
    fn reset_on_close(&self) {
        self.io().reset_on_close();
    }
}

/// A TCP connection whose first bytes were read ahead.
#[derive(Debug)]
pub(crate) struct Prefixed {
    prefix: BytesMut,
    tcp: TcpStream,
}

impl Prefixed {
    pub(crate) fn new(prefix: BytesMut, tcp: TcpStream) -> Self {
        Self { prefix, tcp }
    }

    /// What was read ahead and is not used, and the connection.
    pub(crate) fn into_parts(self) -> (BytesMut, TcpStream) {
        (self.prefix, self.tcp)
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.tcp).poll_read(context, buffer);
        }
        let count = self.prefix.len().min(buffer.remaining());
        buffer.put_slice(&self.prefix[..count]);
        self.prefix.advance(count);
        if self.prefix.is_empty() {
            self.prefix = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

thread_local! {
    /// Where what arrives is put first: most of what a relay reads is small, and
    /// most of its time it waits, with thousands of others. This way none of them
    /// holds room for a read that is yet to come.
    static LANDING: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE].into());
}

/// The reading half of a connection, and what was read and not yet used.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    pub(crate) buffer: BytesMut,
    half: R,
    /// The last read brought much: the next goes into the buffer at once.
    is_busy: bool,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(half: R) -> Self {
        Self {
            buffer: BytesMut::new(),
            half,
            is_busy: false,
        }
    }

    /// Reads more into the buffer; 0 at the end. Cancel safe.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        let count = if self.is_busy {
            self.buffer.reserve(READ_SIZE);
            // If it has to wait, it holds that; whoever sends much does not pause.
            self.half.read_buf(&mut self.buffer).await?
        } else {
            if self.buffer.is_empty() {
                // Gives back what the last read needed.
                self.buffer = BytesMut::new();
            }
            poll_fn(|context| self.poll_landed(context)).await?
        };
        self.is_busy = count >= READ_SIZE / 2;
        Ok(count)
    }

    fn poll_landed(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        LANDING.with_borrow_mut(|landing| {
            let mut read = ReadBuf::new(landing);
            ready!(Pin::new(&mut self.half).poll_read(context, &mut read))?;
            self.buffer.extend_from_slice(read.filled());
            Poll::Ready(Ok(read.filled().len()))
        })
    }

    /// The half itself.
    pub(crate) fn half(&self) -> &R {
        &self.half
    }

    /// The half again; what is in the buffer is lost.
    pub(crate) fn into_half(self) -> R {
        self.half
    }
}
