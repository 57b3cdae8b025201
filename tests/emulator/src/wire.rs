//! One exchange on the wire, whichever HTTP version carries it.
//!
//! Owns the vocabulary between an answer and its transport: what was asked
//! ([`Request`]), what the head of a reply is ([`Head`], [`Framing`]), and
//! the calls that put bytes on the wire at exactly the moment they are made.
//!
//! The transports are small and our own on purpose: hyper decides for its
//! users what these tests must control (header case and order, 1xx, where a
//! write is cut, how a stream is broken), and weir itself is built on hyper,
//! so that an emulator on it would share its mistakes.
//!
//! Knows nothing about providers.

pub(crate) mod fields;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod socket;
pub(crate) mod websocket;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, Version};

use fields::Fields;

/// The client has left, or its connection failed: an outcome, not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client is gone")]
pub(crate) struct Gone;

/// Why a request body could not be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// The client left before it had sent all of it.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The framing is not what HTTP/1.1 allows.
    #[error("malformed request body: {0}")]
    Malformed(&'static str),
}

/// Where a request came from, below HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The server name of the ClientHello; `None` without TLS or without SNI.
    pub(crate) server_name: Option<String>,
    /// The protocol chosen by ALPN, if any.
    pub(crate) alpn: Option<String>,
}

/// The head of a request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The protocol to change to: `Upgrade`, or an extended CONNECT's `:protocol`.
    pub(crate) protocol: Option<String>,
    /// The request target; on HTTP/2 put together from `:path`.
    pub(crate) target: Uri,
    /// `Host` or `:authority`.
    pub(crate) authority: Option<String>,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    /// HTTP/1: the bytes of the head exactly as received, to the blank line.
    /// HTTP/2: the decoded fields, one `name: value` a line, pseudo-headers
    /// first (a header block has no other text form).
    pub(crate) raw_head: Bytes,
    pub(crate) origin: Origin,
}

impl Request {
    /// The path without the query.
    pub(crate) fn path(&self) -> &str {
        self.target.path()
    }

    /// A header as text; `None` if absent or not visible ASCII.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The value of `name` in the query, undecoded.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.target
            .query()?
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    }
}

/// The head of a reply, without what frames its body.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) fields: Fields,
}

/// How the end of a reply's body is marked. HTTP/2 has its own mark and uses
/// only the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `Content-Length`, in bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`; one chunk per write.
    Chunked,
    /// The end of the connection.
    UntilClose,
}

/// How the head of a reply is put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadPace {
    /// In one write.
    AtOnce,
    /// HTTP/1: one byte a write. HTTP/2 has no smaller unit than a frame.
    ByteByByte,
}

/// One exchange: its request body and its reply.
pub(crate) enum Wire<'connection> {
    /// HTTP/1.0 and 1.1.
    Http1(&'connection mut http1::Connection),
    /// One stream of an HTTP/2 connection.
    Http2(Box<http2::Stream>),
}

impl Wire<'_> {
    /// The next piece of the request body, `None` at its end. Answers an
    /// outstanding `Expect: 100-continue` first. Behind a 101, or a CONNECT,
    /// whatever the client sends.
    pub(crate) async fn body(&mut self) -> Result<Option<Bytes>, BodyError> {
        match self {
            Wire::Http1(wire) => wire.body().await,
            Wire::Http2(wire) => wire.body().await,
        }
    }

    /// The request's trailers; empty until [`Wire::body`] has returned `None`.
    pub(crate) fn request_trailers(&self) -> &HeaderMap {
        match self {
            Wire::Http1(wire) => wire.request_trailers(),
            Wire::Http2(wire) => wire.request_trailers(),
        }
    }

    /// Sends a 1xx head.
    pub(crate) async fn informational(&mut self, head: &Head) -> Result<(), Gone> {
        match self {
            Wire::Http1(wire) => wire.informational(head).await,
            Wire::Http2(wire) => wire.informational(head),
        }
    }

    /// Sends the final head.
    pub(crate) async fn head(
        &mut self,
        head: &Head,
        framing: Framing,
        pace: HeadPace,
    ) -> Result<(), Gone> {
        match self {
            Wire::Http1(wire) => wire.head(head, framing, pace).await,
            Wire::Http2(wire) => wire.head(head, framing),
        }
    }

    /// Sends one piece of the body: one write and flush, one chunk where the
    /// framing is chunked, one DATA frame where the windows allow.
    pub(crate) async fn write(&mut self, piece: Bytes) -> Result<(), Gone> {
        match self {
            Wire::Http1(wire) => wire.write(&piece).await,
            Wire::Http2(wire) => wire.write(piece).await,
        }
    }

    /// Ends the body, with trailers where the framing has room for them.
    pub(crate) async fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), Gone> {
        match self {
            Wire::Http1(wire) => wire.finish(trailers).await,
            Wire::Http2(wire) => wire.finish(trailers),
        }
    }

    /// Breaks the exchange: a TCP reset, or RST_STREAM.
    pub(crate) async fn reset(&mut self) {
        match self {
            Wire::Http1(wire) => wire.reset(),
            Wire::Http2(wire) => wire.reset(),
        }
    }

    /// Ends before the body is complete, but without a reset: a FIN without
    /// the last chunk, or END_STREAM.
    pub(crate) async fn close_early(&mut self) {
        match self {
            Wire::Http1(wire) => wire.close_early().await,
            Wire::Http2(wire) => wire.close_early().await,
        }
    }

    /// Resolves once the client has left. Safe to drop at any point. On
    /// HTTP/1 to be used only after the request body has been read; a client
    /// that closes its half of the connection counts as gone there, as it
    /// does for the servers that the providers run.
    pub(crate) async fn gone(&mut self) -> Gone {
        match self {
            Wire::Http1(wire) => wire.gone().await,
            Wire::Http2(wire) => wire.gone().await,
        }
    }
}
