//! `/emulator/…`: endpoints with which a proxy's transparency is tested.
//!
//! They need no credentials. `x-emulator-delay-ms` works on all of them,
//! `x-emulator-framing` and `x-emulator-chunking` where a body is made here.

mod body;
mod interim;
mod tunnel;
mod websocket;

use bytes::Bytes;
use http::StatusCode;

use crate::controls::{Controls, PlainFraming};
use crate::delivery;
use crate::fault::Fault;
use crate::ledger::{Ended, Entry};
use crate::wire::fields::Fields;
use crate::wire::{BodyError, Framing, Gone, Head, HeadPace, Request, Wire};

/// What `GET /emulator/` answers.
const INDEX: &str = "\
/emulator/echo               the request's head as it arrived; on HTTP/1 byte for byte
/emulator/reflect            the request body, each piece as it arrives, before the body has ended
/emulator/trailers           the request body; trailers with its length, its SHA-256, and as
                             x-echo-NAME the request's own trailers
/emulator/upload             {\"bytes\", \"sha256\"} of the request body
/emulator/download?bytes=N   N bytes of a fixed pattern; the faults reset-mid-stream and
                             close-early end it half-way
/emulator/informational      a 103 (?count=N: that many), then 200; answers Expect: 100-continue,
                             with ?expect=refuse by 417
/emulator/half-close         a line at once, another when the client has closed its half
/emulator/upgrade            101 to whatever is asked for (HTTP/2: extended CONNECT), then
                             every byte back
/emulator/websocket          the same to a WebSocket, then every message back
";

/// An exchange with a utility endpoint.
struct Exchange<'a, 'wire> {
    request: &'a Request,
    controls: &'a Controls,
    wire: &'a mut Wire<'wire>,
    entry: Entry,
}

/// Answers a request under `/emulator/` and closes its ledger entry.
pub(crate) async fn answer(
    request: &Request,
    controls: &Controls,
    wire: &mut Wire<'_>,
    entry: Entry,
) {
    let mut exchange = Exchange {
        request,
        controls,
        wire,
        entry,
    };
    exchange.entry.told().fault = controls.fault;
    let ended = match exchange.run().await {
        Ok(ended) => ended,
        Err(BodyError::Gone(Gone)) => Ended::ClientGone,
        Err(error @ BodyError::Malformed(_)) => exchange.refuse(&error).await,
    };
    exchange.entry.end(ended);
}

impl Exchange<'_, '_> {
    async fn run(&mut self) -> Result<Ended, BodyError> {
        if !self.controls.delay.is_zero() {
            // The request body is still unread, so that nobody can be watched.
            tokio::time::sleep(self.controls.delay).await;
        }
        let path = self.request.path();
        match path.strip_prefix("/emulator/").unwrap_or_default() {
            "" => self.document(StatusCode::OK, "text/plain", INDEX).await?,
            "echo" => self.echo().await?,
            "reflect" => self.reflect().await?,
            "trailers" => self.trailers().await?,
            "upload" => self.upload().await?,
            "download" => return self.download().await,
            "informational" => self.informational().await?,
            "half-close" => self.half_close().await?,
            "upgrade" => self.upgrade().await?,
            "websocket" => self.websocket().await?,
            _ => {
                let absent = "no such endpoint: GET /emulator/ lists them\n";
                self.document(StatusCode::NOT_FOUND, "text/plain", absent)
                    .await?;
            }
        }
        Ok(Ended::Complete)
    }

    /// The request's head.
    async fn echo(&mut self) -> Result<(), BodyError> {
        while self.wire.body().await?.is_some() {}
        let head = self.request.raw_head.clone();
        Ok(self.document(StatusCode::OK, "message/http", head).await?)
    }

    /// Answers a body that is not framed as HTTP/1 allows.
    async fn refuse(&mut self, error: &BodyError) -> Ended {
        if self.entry.told().status.is_some() {
            self.wire.reset().await;
            return Ended::Fault;
        }
        let text = format!("{error}\n");
        match self
            .document(StatusCode::BAD_REQUEST, "text/plain", text)
            .await
        {
            Ok(()) => Ended::Complete,
            Err(Gone) => Ended::ClientGone,
        }
    }

    /// Sends a whole answer.
    async fn document(
        &mut self,
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Result<(), Gone> {
        let body = body.into();
        let fields = Fields::new().with("Content-Type", content_type);
        let framing = self.framing(body.len() as u64);
        self.head(status, fields, framing).await?;
        delivery::write(self.wire, self.controls, body).await?;
        self.wire.finish(None).await
    }

    /// How a body of a known length is framed.
    fn framing(&self, bytes: u64) -> Framing {
        match self.controls.framing {
            PlainFraming::Length => Framing::Length(bytes),
            PlainFraming::Chunked => Framing::Chunked,
            PlainFraming::Close => Framing::UntilClose,
        }
    }

    /// Sends the final head.
    async fn head(
        &mut self,
        status: StatusCode,
        fields: Fields,
        framing: Framing,
    ) -> Result<(), Gone> {
        let head = Head {
            status,
            fields: fields.with("x-weir-emulator", "1"),
        };
        let pace = match self.controls.fault {
            Some(Fault::SlowHeaders) => HeadPace::ByteByByte,
            _ => HeadPace::AtOnce,
        };
        self.wire.head(&head, framing, pace).await?;
        self.entry.told().status = Some(status.as_u16());
        Ok(())
    }
}
