//! The HTTP/1 transport: one connection, one exchange after another.
//!
//! Owns the connection's buffers and the framing of bodies. Parsing of heads
//! is in `head`, of request bodies in `body`.
//!
//! Does not answer pipelined requests early: they wait in the buffer.

mod body;
mod head;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::fields::Fields;
use super::socket::Socket;
use super::{BodyError, Framing, Gone, Head, HeadPace, Origin, Request};
use body::BodyReader;
pub(crate) use head::HeadError;

/// What is read at once, in bytes: a TLS record.
const READ_BYTES: usize = 16 * 1024;

/// What may wait unread behind a request, in bytes: enough for any pipelined
/// head; past it the client is left to its own send buffer.
const AHEAD_BYTES_MAX: usize = 256 * 1024;

/// What of an unread request body is read and thrown away to keep a
/// connection, in bytes; with more it is closed.
const DRAIN_BYTES_MAX: u64 = 1024 * 1024;

/// How long a client that is still sending is read after its answer.
const LINGER: Duration = Duration::from_secs(1);

/// How much of a reply is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReplyState {
    /// No head yet.
    Pending,
    /// Head sent, body under way.
    Body(Framing),
    /// Head sent; what it announces, or what asked for it, forbids a body.
    Bodiless,
    /// Complete.
    Done,
    /// Broken off: nothing more may follow.
    Broken,
}

/// A connection that speaks HTTP/1.
pub(crate) struct Connection {
    socket: Socket,
    origin: Origin,
    inbound: BytesMut,
    body: BodyReader,
    /// `Expect: 100-continue` was asked and not yet answered.
    continue_owed: bool,
    /// Another request may follow on this connection.
    persistent: bool,
    version: Version,
    method: Method,
    reply: ReplyState,
}

impl Connection {
    /// Takes over an accepted connection; `inbound` is what was already read.
    pub(crate) fn new(socket: Socket, origin: Origin, inbound: BytesMut) -> Self {
        Self {
            socket,
            origin,
            inbound,
            body: BodyReader::none(),
            continue_owed: false,
            persistent: true,
            version: Version::HTTP_11,
            method: Method::GET,
            reply: ReplyState::Done,
        }
    }

    /// The next request, `None` when the client has no more.
    ///
    /// # Errors
    /// The head is malformed or too long; the caller answers that and closes.
    pub(crate) async fn request(&mut self) -> Result<Option<Request>, HeadError> {
        self.reply = ReplyState::Pending;
        self.method = Method::GET;
        let parsed = loop {
            if let Some(parsed) = head::parse(&mut self.inbound)? {
                break parsed;
            }
            match self.fill().await {
                Ok(0) | Err(Gone) => return Ok(None),
                Ok(_) => {}
            }
        };
        self.body = parsed.body;
        self.continue_owed = parsed.expects_continue;
        self.persistent = parsed.persistent;
        self.version = parsed.version;
        self.method = parsed.method.clone();
        let authority = parsed
            .headers
            .get(http::header::HOST)
            .and_then(|host| host.to_str().ok())
            .map(str::to_owned);
        let upgrade = parsed.headers.get(http::header::UPGRADE);
        let upgrade = upgrade.and_then(|protocol| protocol.to_str().ok());
        Ok(Some(Request {
            protocol: upgrade.map(str::to_owned),
            method: parsed.method,
            target: parsed.target,
            authority,
            version: parsed.version,
            headers: parsed.headers,
            raw_head: parsed.raw,
            origin: self.origin.clone(),
        }))
    }

    /// Whether the connection can carry another request; reads what the
    /// answer left of a short request body.
    pub(crate) async fn reusable(&mut self) -> bool {
        if self.reply != ReplyState::Done || !self.persistent || self.continue_owed {
            return false;
        }
        let mut drained = 0;
        loop {
            match self.body().await {
                Ok(None) => return true,
                Ok(Some(piece)) => {
                    drained += piece.len() as u64;
                    if drained > DRAIN_BYTES_MAX {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
    }

    /// Ends the connection in the orderly way; a no-op after a reset.
    pub(crate) async fn close(mut self) {
        if self.reply == ReplyState::Broken {
            // Ended already; a close_notify would make a reset look orderly.
            return;
        }
        // The client may be gone already; there is nobody left to tell.
        self.socket.shutdown().await.ok();
        if !self.body.is_complete() {
            // Closing over unread bytes resets the connection, and the reset
            // may overtake the answer.
            tokio::time::timeout(LINGER, self.discard()).await.ok();
        }
    }

    async fn discard(&mut self) {
        while let Ok(1..) = self.fill().await {
            self.inbound.clear();
        }
    }

    pub(super) async fn body(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            if let Some(piece) = self.body.next(&mut self.inbound)? {
                return Ok(Some(piece));
            }
            if self.body.is_complete() {
                return Ok(None);
            }
            // Behind a final head it would be taken for a part of the answer.
            if std::mem::take(&mut self.continue_owed) && self.reply == ReplyState::Pending {
                self.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            if self.fill().await? == 0 {
                self.persistent = false;
                if !self.body.close() {
                    return Err(BodyError::Gone(Gone));
                }
            }
        }
    }

    pub(super) fn request_trailers(&self) -> &HeaderMap {
        self.body.trailers()
    }

    pub(super) async fn informational(&mut self, head: &Head) -> Result<(), Gone> {
        if self.version == Version::HTTP_10 {
            return Ok(());
        }
        if head.status == http::StatusCode::CONTINUE {
            self.continue_owed = false;
        }
        let bytes = render_head(head, &Fields::new());
        self.send(&bytes).await
    }

    pub(super) async fn head(
        &mut self,
        head: &Head,
        framing: Framing,
        pace: HeadPace,
    ) -> Result<(), Gone> {
        let framing = if self.version == Version::HTTP_10 && framing == Framing::Chunked {
            Framing::UntilClose
        } else {
            framing
        };
        let mut extra = Fields::new();
        let bodiless = head.status.is_informational()
            || head.status == http::StatusCode::NO_CONTENT
            || head.status == http::StatusCode::NOT_MODIFIED;
        if !bodiless {
            match framing {
                Framing::Length(bytes) => extra.push("Content-Length", bytes.to_string()),
                Framing::Chunked => extra.push("Transfer-Encoding", "chunked"),
                Framing::UntilClose => self.persistent = false,
            }
        }
        if self.continue_owed {
            // The client may send the body or not; the next request cannot be told from it.
            self.persistent = false;
        }
        let upgrade = head.status == http::StatusCode::SWITCHING_PROTOCOLS;
        if !upgrade {
            match (self.persistent, self.version) {
                (false, _) => extra.push("Connection", "close"),
                (true, Version::HTTP_10) => extra.push("Connection", "keep-alive"),
                (true, _) => {}
            }
        }
        let bytes = render_head(head, &extra);
        match pace {
            HeadPace::AtOnce => self.send(&bytes).await?,
            HeadPace::ByteByByte => {
                for byte in &bytes {
                    self.send(std::slice::from_ref(byte)).await?;
                }
            }
        }
        self.reply = if upgrade {
            // What follows is no longer HTTP, in both directions.
            self.persistent = false;
            self.body = BodyReader::to_close();
            ReplyState::Body(Framing::UntilClose)
        } else if bodiless || self.method == Method::HEAD {
            ReplyState::Bodiless
        } else {
            ReplyState::Body(framing)
        };
        Ok(())
    }

    pub(super) async fn write(&mut self, piece: &[u8]) -> Result<(), Gone> {
        if piece.is_empty() {
            return Ok(());
        }
        match self.reply {
            ReplyState::Body(Framing::Chunked) => {
                let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
                chunk.extend_from_slice(piece);
                chunk.extend_from_slice(b"\r\n");
                self.send(&chunk).await
            }
            ReplyState::Body(_) => self.send(piece).await,
            ReplyState::Pending | ReplyState::Bodiless | ReplyState::Done | ReplyState::Broken => {
                Ok(())
            }
        }
    }

    pub(super) async fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), Gone> {
        if self.reply == ReplyState::Body(Framing::Chunked) {
            let mut end = b"0\r\n".to_vec();
            for (name, value) in trailers.into_iter().flat_map(Fields::iter) {
                end.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
            end.extend_from_slice(b"\r\n");
            self.send(&end).await?;
        }
        if self.reply != ReplyState::Broken {
            self.reply = ReplyState::Done;
        }
        Ok(())
    }

    pub(super) fn reset(&mut self) {
        self.reply = ReplyState::Broken;
        self.socket.reset_on_close();
    }

    pub(super) async fn close_early(&mut self) {
        self.reply = ReplyState::Broken;
        // The client may be gone already; there is nobody left to tell.
        self.socket.shutdown().await.ok();
    }

    pub(super) async fn gone(&mut self) -> Gone {
        loop {
            if self.inbound.len() > AHEAD_BYTES_MAX {
                std::future::pending::<()>().await;
            }
            if matches!(self.fill().await, Ok(0) | Err(Gone)) {
                self.persistent = false;
                return Gone;
            }
        }
    }

    async fn fill(&mut self) -> Result<usize, Gone> {
        self.inbound.reserve(READ_BYTES);
        self.socket.read_buf(&mut self.inbound).await.map_err(gone)
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        self.socket.write_all(bytes).await.map_err(gone)?;
        self.socket.flush().await.map_err(gone)
    }
}

/// What an IO error on a client's connection means here.
fn gone(error: std::io::Error) -> Gone {
    tracing::debug!(%error, "connection ended by an error");
    Gone
}

/// The bytes of a head, to the blank line.
fn render_head(head: &Head, extra: &Fields) -> Vec<u8> {
    let reason = head.status.canonical_reason().unwrap_or("");
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", head.status.as_str()).into_bytes();
    for (name, value) in head.fields.iter().chain(extra.iter()) {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}
