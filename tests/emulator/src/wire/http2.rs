//! The HTTP/2 transport: one stream is one exchange.
//!
//! Owns the use of the `h2` crate. The connection task drives the frames;
//! each stream is answered by a task of its own.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Method, Response, StatusCode, Version, header};

use super::fields::Fields;
use super::{BodyError, Framing, Gone, Head, Origin, Request};

/// The receive window of a stream and of the connection, in bytes: large
/// enough that an upload is not held up by its round trips.
pub(crate) const WINDOW_BYTES: u32 = 1024 * 1024;

/// Streams that a client may have open at once: what providers' edges allow.
pub(crate) const STREAMS_MAX: u32 = 256;

/// How long before the end of an answer that is too short. A client that finds
/// the end in the same read as the rest shows its error and nothing of the rest.
const SHORT_END_WAIT: Duration = Duration::from_millis(50);

/// One stream.
pub(crate) struct Stream {
    body: RecvStream,
    /// `Expect: 100-continue` was asked and not yet answered.
    continue_owed: bool,
    method: Method,
    trailers: HeaderMap,
    respond: SendResponse<Bytes>,
    send: Option<SendStream<Bytes>>,
}

/// Splits what the connection accepted into a request and its exchange.
pub(crate) fn open(
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    origin: &Origin,
) -> (Request, Stream) {
    let (parts, body) = request.into_parts();
    let raw_head = render(&parts);
    let authority = parts
        .uri
        .authority()
        .map(ToString::to_string)
        .or_else(|| Some(parts.headers.get(header::HOST)?.to_str().ok()?.to_owned()));
    let continue_owed = parts
        .headers
        .get(header::EXPECT)
        .is_some_and(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let method = parts.method.clone();
    let request = Request {
        protocol: parts
            .extensions
            .get::<h2::ext::Protocol>()
            .map(|protocol| protocol.as_str().to_owned()),
        method: parts.method,
        target: parts.uri,
        authority,
        version: Version::HTTP_2,
        headers: parts.headers,
        raw_head,
        origin: origin.clone(),
    };
    let stream = Stream {
        body,
        continue_owed,
        method,
        trailers: HeaderMap::new(),
        respond,
        send: None,
    };
    (request, stream)
}

impl Stream {
    pub(super) async fn body(&mut self) -> Result<Option<Bytes>, BodyError> {
        if std::mem::take(&mut self.continue_owed) && self.send.is_none() {
            self.informational(&Head {
                status: StatusCode::CONTINUE,
                fields: Fields::new(),
            })?;
        }
        match self.body.data().await {
            Some(Ok(piece)) => {
                // The piece is counted as read; a client that ends the
                // stream at the same time has no use for the window.
                self.body.flow_control().release_capacity(piece.len()).ok();
                Ok(Some(piece))
            }
            Some(Err(error)) => Err(BodyError::Gone(gone(&error))),
            None => {
                let trailers = self.body.trailers().await.map_err(|error| gone(&error))?;
                self.trailers = trailers.unwrap_or_default();
                Ok(None)
            }
        }
    }

    pub(super) fn request_trailers(&self) -> &HeaderMap {
        &self.trailers
    }

    pub(super) fn informational(&mut self, head: &Head) -> Result<(), Gone> {
        if head.status == StatusCode::CONTINUE {
            self.continue_owed = false;
        }
        let mut response = Response::new(());
        *response.status_mut() = head.status;
        *response.headers_mut() = head.fields.to_header_map();
        self.respond
            .send_informational(response)
            .map_err(|error| gone(&error))
    }

    pub(super) fn head(&mut self, head: &Head, framing: Framing) -> Result<(), Gone> {
        let mut response = Response::new(());
        *response.status_mut() = head.status;
        *response.headers_mut() = head.fields.to_header_map();
        if let Framing::Length(bytes) = framing {
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, bytes.into());
        }
        // The answer to HEAD ends with its head (RFC 9110, section 9.3.2).
        let bodiless = self.method == Method::HEAD;
        let send = self
            .respond
            .send_response(response, bodiless)
            .map_err(|error| gone(&error))?;
        self.send = Some(send).filter(|_| !bodiless);
        Ok(())
    }

    pub(super) async fn write(&mut self, mut piece: Bytes) -> Result<(), Gone> {
        let Some(send) = &mut self.send else {
            return Ok(());
        };
        while !piece.is_empty() {
            send.reserve_capacity(piece.len());
            let room = poll_fn(|context| send.poll_capacity(context)).await;
            let room = room.ok_or(Gone)?.map_err(|error| gone(&error))?;
            let part = piece.split_to(room.min(piece.len()));
            send.send_data(part, false).map_err(|error| gone(&error))?;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), Gone> {
        let Some(send) = &mut self.send else {
            return Ok(());
        };
        let ended = match trailers {
            Some(trailers) => send.send_trailers(trailers.to_header_map()),
            None => send.send_data(Bytes::new(), true),
        };
        ended.map_err(|error| gone(&error))
    }

    pub(super) fn reset(&mut self) {
        match &mut self.send {
            Some(send) => send.send_reset(Reason::INTERNAL_ERROR),
            None => self.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }

    pub(super) async fn close_early(&mut self) {
        tokio::time::sleep(SHORT_END_WAIT).await;
        // The client may be gone already; there is nobody left to tell.
        self.finish(None).ok();
    }

    pub(super) async fn gone(&mut self) -> Gone {
        let reset = match &mut self.send {
            Some(send) => poll_fn(|context| send.poll_reset(context)).await,
            None => poll_fn(|context| self.respond.poll_reset(context)).await,
        };
        tracing::debug!(?reset, "stream ended by the client");
        Gone
    }
}

/// What an error on a client's stream means here.
fn gone(error: &h2::Error) -> Gone {
    tracing::debug!(%error, "stream ended by an error");
    Gone
}

/// The decoded head as text, pseudo-headers first.
fn render(parts: &http::request::Parts) -> Bytes {
    let mut lines = format!(":method: {}\n", parts.method);
    let pseudo = [
        (":scheme", parts.uri.scheme_str()),
        (":authority", parts.uri.authority().map(|it| it.as_str())),
        (":path", parts.uri.path_and_query().map(|it| it.as_str())),
    ];
    for (name, value) in pseudo {
        if let Some(value) = value {
            lines.push_str(&format!("{name}: {value}\n"));
        }
    }
    let mut bytes = lines.into_bytes();
    for (name, value) in &parts.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(b'\n');
    }
    bytes.into()
}
