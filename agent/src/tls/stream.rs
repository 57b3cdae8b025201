//! TLS over a connection, by the interface of rustls that leaves buffers to its
//! caller. The other keeps 4 KiB of each connection for a read that is yet to come:
//! a quarter of what a stream takes, of thousands that mostly wait. Here reads land
//! in memory of the thread, and a connection holds what it cannot do without: a
//! part of a record, and what its peer has not taken.

mod session;
#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    fmt,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::{
    ClientConfig, CommonState, InvalidMessage, ServerConfig,
    client::UnbufferedClientConnection,
    pki_types::ServerName,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncryptError, UnbufferedStatus, WriteTraffic},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use session::Session;
use session::{append, encode, fits};

/// The longest record, with its header (RFC 8446, section 5.2; TLS 1.2 may use
/// more, RFC 5246, section 6.2.3).
const RECORD_MAX: usize = 5 + 16 * 1024 + 2048;
/// Most of a message of the handshake that is kept until it is whole, its records'
/// headers and padding included: what rustls allows where the buffer is its own.
const MESSAGE_MAX: usize = 64 * 1024;
/// Room for a part of a record, and for a longest one after it.
const READ_SIZE: usize = 2 * RECORD_MAX;
/// How much is encrypted at once: four records.
const PLAIN_MAX: usize = 64 * 1024;
/// The same encrypted, with room for messages of the TLS itself in front.
const WRITE_SIZE: usize = PLAIN_MAX + 1024;

thread_local! {
    /// Where records land.
    static INCOMING: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE].into());
    /// Where they are made.
    static OUTGOING: RefCell<Box<[u8]>> = RefCell::new(vec![0; WRITE_SIZE].into());
    /// Where pieces are put together that go into one record.
    static PLAIN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The server's end of a connection.
pub type ServerStream<IO> = TlsStream<IO, UnbufferedServerConnection>;

/// The client's.
pub type ClientStream<IO> = TlsStream<IO, UnbufferedClientConnection>;

/// A connection on which a handshake was made.
pub struct TlsStream<IO, S> {
    io: IO,
    session: S,
    /// What has come and could not be processed yet: mostly a part of a record.
    incoming: Vec<u8>,
    /// Decrypted, and more than was asked for.
    plain: Vec<u8>,
    /// Records that have yet to be written.
    outgoing: Vec<u8>,
    /// The peer has said that it sends no more.
    has_ended: bool,
    /// We have.
    has_closed: bool,
    /// Why nothing more can come or go. rustls does not keep every reason.
    failed: Option<rustls::Error>,
}

impl<IO, S> fmt::Debug for TlsStream<IO, S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TlsStream").finish_non_exhaustive()
    }
}

/// What came of processing what there was.
enum Step {
    /// Something was decrypted.
    Read,
    /// The peer sends no more.
    End,
    /// There has to be more of it; or what was to be written is.
    Wants,
}

/// Writes into records, once that can be done.
type Writer<'a, Data> = &'a mut dyn FnMut(WriteTraffic<'_, Data>);

impl<IO: AsyncRead + AsyncWrite + Unpin> ServerStream<IO> {
    /// Handshakes as the server.
    ///
    /// # Errors
    /// As [`connect`](ClientStream::connect).
    pub async fn accept(config: Arc<ServerConfig>, io: IO) -> io::Result<Self> {
        let session = UnbufferedServerConnection::new(config).map_err(invalid)?;
        Self::handshaken(io, session).await
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> ClientStream<IO> {
    /// Handshakes as a client of `name`.
    ///
    /// # Errors
    /// Of kind `InvalidData`, with a [`rustls::Error`] in it, if either end
    /// refuses; of `UnexpectedEof` if the connection ends; else its own.
    pub async fn connect(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        io: IO,
    ) -> io::Result<Self> {
        let session = UnbufferedClientConnection::new(config, name).map_err(invalid)?;
        Self::handshaken(io, session).await
    }
}

impl<IO, S: Session> TlsStream<IO, S> {
    /// The connection below.
    pub fn io(&self) -> &IO {
        &self.io
    }

    /// What was agreed on.
    pub fn state(&self) -> &CommonState {
        &self.session
    }

    /// Processes records: as long as what is in them has room, or up to where
    /// `writer` can write, and then what was read is kept. How much of `incoming`
    /// is used up, and what came of it.
    fn process(
        &mut self,
        incoming: &mut [u8],
        plain: &mut ReadBuf<'_>,
        mut writer: Option<Writer<'_, S::Data>>,
    ) -> (usize, io::Result<Step>) {
        if let Some(error) = &self.failed {
            return (0, Err(invalid(error.clone())));
        }
        let mut used = 0;
        let mut has_read = false;
        loop {
            let UnbufferedStatus { discard, state } = self.session.process(&mut incoming[used..]);
            let mut step = None;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    // Decrypted already, so that there is no error.
                    while let Some(Ok(record)) = traffic.next_record() {
                        used += record.discard;
                        let room = record.payload.len().min(plain.remaining());
                        let (wanted, rest) = record.payload.split_at(room);
                        plain.put_slice(wanted);
                        self.plain.extend_from_slice(rest);
                    }
                    has_read = true;
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing),
                // It is, before anything else.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                // Told once.
                Ok(ConnectionState::PeerClosed) => {
                    self.has_ended = true;
                    if writer.is_none() {
                        step = Some(Ok(Step::End));
                    }
                }
                Ok(ConnectionState::Closed) => step = Some(Ok(Step::End)),
                Ok(ConnectionState::WriteTraffic(traffic)) => {
                    if let Some(write) = writer.take() {
                        write(traffic);
                    }
                    step = Some(Ok(Step::Wants));
                }
                Ok(ConnectionState::BlockedHandshake) => step = Some(Ok(Step::Wants)),
                // Early data, which is never accepted.
                Ok(_) => step = Some(Err(io::ErrorKind::Unsupported.into())),
                Err(error) => {
                    self.failed = Some(error.clone());
                    step = Some(Err(invalid(error)));
                }
            }
            used += discard;
            if self.failed.is_some() {
                self.take_alert(&mut incoming[used..]);
            }
            match step {
                // What was read is handed on first: the rest is met again.
                Some(_) if has_read && writer.is_none() => return (used, Ok(Step::Read)),
                Some(step) => return (used, step),
                None if has_read
                    && writer.is_none()
                    && !fits(&incoming[used..], plain.remaining()) =>
                {
                    return (used, Ok(Step::Read));
                }
                None => {}
            }
        }
    }

    /// Takes what tells the peer why it is over.
    fn take_alert(&mut self, incoming: &mut [u8]) {
        while self.session.wants_write()
            && let Ok(ConnectionState::EncodeTlsData(data)) = self.session.process(incoming).state
        {
            encode(data, &mut self.outgoing);
        }
    }

    /// Has something written, behind what is there to be written.
    ///
    /// # Errors
    /// Of kind `BrokenPipe` if we have said that no more comes.
    fn write_with(&mut self, writer: Writer<'_, S::Data>) -> io::Result<()> {
        let mut has_written = false;
        let mut writer = |traffic: WriteTraffic<'_, S::Data>| {
            has_written = true;
            writer(traffic);
        };
        // With what has come: a message may have begun in it.
        let mut incoming = std::mem::take(&mut self.incoming);
        let nothing = &mut ReadBuf::new(&mut []);
        let (used, step) = self.process(&mut incoming, nothing, Some(&mut writer));
        incoming.drain(..used);
        self.incoming = incoming;
        step?;
        has_written
            .then_some(())
            .ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin, S: Session> TlsStream<IO, S> {
    async fn handshaken(io: IO, session: S) -> io::Result<Self> {
        let mut stream = Self {
            io,
            session,
            incoming: Vec::new(),
            plain: Vec::new(),
            outgoing: Vec::new(),
            has_ended: false,
            has_closed: false,
            failed: None,
        };
        poll_fn(|context| stream.poll_handshake(context)).await?;
        Ok(stream)
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.is_handshaking() {
            ready!(self.poll_send(context))?;
            match ready!(self.poll_step(context, &mut ReadBuf::new(&mut []))) {
                Ok(Step::Read | Step::Wants) => {}
                Ok(Step::End) => return Poll::Ready(Err(ended())),
                Err(error) => {
                    // The peer is told why, if it still listens.
                    let _ = self.poll_send(context);
                    return Poll::Ready(Err(error));
                }
            }
        }
        self.poll_flush_all(context)
    }

    /// Processes what there is, and more if that is not enough.
    fn poll_step(
        &mut self,
        context: &mut Context<'_>,
        plain: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Step>> {
        let mut kept = std::mem::take(&mut self.incoming);
        let length = kept.len();
        if length > RECORD_MAX {
            // Records wait for one that reads, or a message of the handshake is in several.
            kept.resize(length + RECORD_MAX, 0);
            return self.poll_step_in(context, &mut kept, length, plain);
        }
        INCOMING.with_borrow_mut(|landing| {
            landing[..length].copy_from_slice(&kept);
            drop(kept);
            self.poll_step_in(context, landing, length, plain)
        })
    }

    /// The same in a buffer that begins with what has come, and has room for more.
    fn poll_step_in(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
        mut length: usize,
        plain: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Step>> {
        let (mut used, mut step) = (0, Ok(Step::Wants));
        // A handshake begins with what has not come.
        if length > 0 || self.session.is_handshaking() {
            (used, step) = self.process(&mut buffer[..length], plain, None);
        }
        let must_write = self.session.is_handshaking() && !self.outgoing.is_empty();
        if matches!(step, Ok(Step::Wants)) && length - used > MESSAGE_MAX {
            let error = rustls::Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge);
            self.failed = Some(error.clone());
            step = Err(invalid(error));
        }
        if matches!(step, Ok(Step::Wants)) && !must_write {
            buffer.copy_within(used..length, 0);
            length -= used;
            used = 0;
            let mut read = ReadBuf::new(&mut buffer[length..]);
            let polled = Pin::new(&mut self.io).poll_read(context, &mut read);
            let count = read.filled().len();
            match polled {
                Poll::Pending => {
                    self.incoming.extend_from_slice(&buffer[..length]);
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => step = Err(error),
                Poll::Ready(Ok(())) if count == 0 => step = Err(ended()),
                Poll::Ready(Ok(())) => {
                    length += count;
                    (used, step) = self.process(&mut buffer[..length], plain, None);
                }
            }
        }
        self.incoming.extend_from_slice(&buffer[used..length]);
        Poll::Ready(step)
    }

    /// Writes the records that wait for it.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let count = ready!(Pin::new(&mut self.io).poll_write(context, &self.outgoing))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.drain(..count);
        }
        self.outgoing = Vec::new();
        Poll::Ready(Ok(()))
    }

    fn poll_flush_all(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.io).poll_flush(context)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin, S: Session> AsyncRead for TlsStream<IO, S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.plain.is_empty() {
                let count = this.plain.len().min(buffer.remaining());
                buffer.put_slice(&this.plain[..count]);
                this.plain.drain(..count);
                if this.plain.is_empty() {
                    this.plain = Vec::new();
                }
                return Poll::Ready(Ok(()));
            }
            if this.has_ended || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            match ready!(this.poll_step(context, buffer)) {
                Ok(Step::Read) => return Poll::Ready(Ok(())),
                // If the TLS has something to say, it leaves with what is written next:
                // it is not for who reads to wait for that.
                Ok(Step::End | Step::Wants) => {}
                Err(error) => {
                    // The peer is told why, if it still listens.
                    let _ = this.poll_send(context);
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin, S: Session> AsyncWrite for TlsStream<IO, S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_send(context))?;
        let bytes = &bytes[..bytes.len().min(PLAIN_MAX)];
        OUTGOING.with_borrow_mut(|records| {
            let mut made = Ok(0);
            this.write_with(&mut |mut traffic| made = traffic.encrypt(bytes, records))?;
            let made = made.map_err(io::Error::other)?;
            let mut sent = 0;
            // Unless the TLS had something to say first.
            while this.outgoing.is_empty() && sent < made {
                match Pin::new(&mut this.io).poll_write(context, &records[sent..made]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(count)) => sent += count,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => break,
                }
            }
            if sent < made {
                this.outgoing.extend_from_slice(&records[sent..made]);
            }
            Poll::Ready(Ok(bytes.len()))
        })
    }

    /// What is in several pieces goes into one record.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut pieces = slices.iter().filter(|piece| !piece.is_empty());
        let first = pieces.next().map_or(&[][..], |piece| piece);
        let mut pieces = pieces.peekable();
        if pieces.peek().is_none() {
            return self.poll_write(context, first);
        }
        PLAIN.with_borrow_mut(|plain| {
            plain.clear();
            for piece in std::iter::once(first).chain(pieces.map(|piece| &**piece)) {
                let room = PLAIN_MAX - plain.len();
                plain.extend_from_slice(&piece[..piece.len().min(room)]);
            }
            self.poll_write(context, plain)
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_flush_all(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.has_closed {
            this.has_closed = true;
            let mut said = Vec::new();
            // A session that is broken has said so.
            let _ = this.write_with(&mut |mut traffic| {
                append(&mut said, |room| match traffic.queue_close_notify(room) {
                    Err(EncryptError::InsufficientSize(error)) => Err(Some(error)),
                    other => other.map_err(|_exhausted| None),
                });
            });
            this.outgoing.append(&mut said);
        }
        ready!(this.poll_flush_all(context))?;
        match ready!(Pin::new(&mut this.io).poll_shutdown(context)) {
            // Then it is over already.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            other => Poll::Ready(other),
        }
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn ended() -> io::Error {
    let message = "the connection ended without TLS having said so";
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}
