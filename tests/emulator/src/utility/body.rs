//! Bodies: reflected, digested, made up; and trailers.

use std::fmt::Write as _;
use std::sync::LazyLock;

use aws_lc_rs::digest::{self, Digest};
use bytes::Bytes;
use http::StatusCode;
use serde_json::json;

use super::Exchange;
use crate::delivery;
use crate::fault::Fault;
use crate::ledger::Ended;
use crate::wire::fields::Fields;
use crate::wire::{BodyError, Framing};

/// A piece of a download, in bytes: what a TLS stack takes at once, times four.
const PIECE_BYTES: usize = 64 * 1024;

/// The length of the pattern that a download repeats, in bytes. Prime, so
/// that no boundary in a proxy coincides with it.
const PATTERN_BYTES: u8 = 251;

impl Exchange<'_, '_> {
    /// The request body, each piece as it arrives.
    pub(super) async fn reflect(&mut self) -> Result<(), BodyError> {
        let kind = self.request.header("content-type");
        let kind = kind.unwrap_or("application/octet-stream").to_owned();
        let fields = Fields::new().with("Content-Type", kind);
        self.head(StatusCode::OK, fields, Framing::Chunked).await?;
        while let Some(piece) = self.wire.body().await? {
            self.wire.write(piece).await?;
        }
        Ok(self.wire.finish(None).await?)
    }

    /// The request body, then trailers.
    pub(super) async fn trailers(&mut self) -> Result<(), BodyError> {
        let fields = Fields::new()
            .with("Content-Type", "application/octet-stream")
            .with("Trailer", "X-Body-Bytes, X-Body-SHA256");
        self.head(StatusCode::OK, fields, Framing::Chunked).await?;
        let mut sum = Sum::new();
        while let Some(piece) = self.wire.body().await? {
            sum.add(&piece);
            self.wire.write(piece).await?;
        }
        let (bytes, digest) = sum.finish();
        let mut trailers = Fields::new()
            .with("X-Body-Bytes", bytes.to_string())
            .with("X-Body-SHA256", digest);
        for (name, value) in self.wire.request_trailers() {
            let value = String::from_utf8_lossy(value.as_bytes());
            trailers.push(format!("x-echo-{name}"), value);
        }
        Ok(self.wire.finish(Some(&trailers)).await?)
    }

    /// The length and the digest of the request body.
    pub(super) async fn upload(&mut self) -> Result<(), BodyError> {
        let mut sum = Sum::new();
        while let Some(piece) = self.wire.body().await? {
            sum.add(&piece);
        }
        let (bytes, digest) = sum.finish();
        let document = json!({"bytes": bytes, "sha256": digest}).to_string();
        Ok(self
            .document(StatusCode::OK, "application/json", document)
            .await?)
    }

    /// `bytes` bytes of the pattern, or half of them and a fault.
    pub(super) async fn download(&mut self) -> Result<Ended, BodyError> {
        let bytes = self.request.query("bytes").map(str::parse::<u64>);
        let Some(Ok(bytes)) = bytes else {
            let remedy = "expected a number: /emulator/download?bytes=N\n";
            self.document(StatusCode::BAD_REQUEST, "text/plain", remedy)
                .await?;
            return Ok(Ended::Complete);
        };
        let fields = Fields::new().with("Content-Type", "application/octet-stream");
        let framing = self.framing(bytes);
        self.head(StatusCode::OK, fields, framing).await?;
        let cut = match self.controls.fault {
            Some(fault @ (Fault::ResetMidStream | Fault::CloseEarly)) => Some(fault),
            _ => None,
        };
        let end = if cut.is_some() { bytes / 2 } else { bytes };
        let mut sent = 0;
        while sent < end {
            let size =
                usize::try_from(end - sent).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
            delivery::write(self.wire, self.controls, pattern(sent, size)).await?;
            sent += size as u64;
        }
        match cut {
            Some(Fault::ResetMidStream) => self.wire.reset().await,
            Some(_) => self.wire.close_early().await,
            None => {
                self.wire.finish(None).await?;
                return Ok(Ended::Complete);
            }
        }
        Ok(Ended::Fault)
    }
}

/// `size` bytes of the pattern from offset `start` on; at most [`PIECE_BYTES`].
fn pattern(start: u64, size: usize) -> Bytes {
    static REPEATED: LazyLock<Bytes> = LazyLock::new(|| {
        let pattern = (0..PATTERN_BYTES).cycle();
        pattern
            .take(PIECE_BYTES + usize::from(PATTERN_BYTES))
            .collect()
    });
    let first = usize::try_from(start % u64::from(PATTERN_BYTES))
        .expect("a remainder of a number below 256");
    REPEATED.slice(first..first + size)
}

/// Length and digest of a body.
struct Sum {
    bytes: u64,
    digest: digest::Context,
}

impl Sum {
    fn new() -> Self {
        Self {
            bytes: 0,
            digest: digest::Context::new(&digest::SHA256),
        }
    }

    fn add(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.digest.update(piece);
    }

    fn finish(self) -> (u64, String) {
        (self.bytes, hex(&self.digest.finish()))
    }
}

fn hex(digest: &Digest) -> String {
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes what is written to it");
        hex
    })
}
