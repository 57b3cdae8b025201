//! Interim responses, and the half-closed connection.

use http::StatusCode;
use serde_json::json;

use super::Exchange;
use crate::wire::fields::Fields;
use crate::wire::{BodyError, Framing, Gone, Head, Wire};

/// The most interim responses to one request.
const INTERIM_MAX: u32 = 100;

impl Exchange<'_, '_> {
    /// Interim responses, then the final one.
    pub(super) async fn informational(&mut self) -> Result<(), BodyError> {
        if self.request.query("expect") == Some("refuse") {
            let text = "expectation refused\n";
            let status = StatusCode::EXPECTATION_FAILED;
            return Ok(self.document(status, "text/plain", text).await?);
        }
        let count = self.request.query("count").map_or(Ok(1), str::parse);
        for number in 1..=count.unwrap_or(1).min(INTERIM_MAX) {
            let hint = Head {
                status: StatusCode::EARLY_HINTS,
                fields: Fields::new()
                    .with("Link", format!("</style-{number}.css>; rel=preload"))
                    .with("X-Hint-Number", number.to_string()),
            };
            self.wire.informational(&hint).await?;
        }
        let mut bytes = 0;
        while let Some(piece) = self.wire.body().await? {
            bytes += piece.len();
        }
        let document = json!({"bytes": bytes}).to_string();
        Ok(self
            .document(StatusCode::OK, "application/json", document)
            .await?)
    }

    /// A line at once, and one when the client has closed its half.
    pub(super) async fn half_close(&mut self) -> Result<(), BodyError> {
        let fields = Fields::new().with("Content-Type", "text/plain");
        self.head(StatusCode::OK, fields, Framing::Chunked).await?;
        self.wire.write("open\n".into()).await?;
        while self.wire.body().await?.is_some() {}
        if matches!(self.wire, Wire::Http1(_)) {
            // On HTTP/1 the half that closes is the connection's.
            let Gone = self.wire.gone().await;
        }
        self.wire
            .write("the client has closed its half\n".into())
            .await?;
        Ok(self.wire.finish(None).await?)
    }
}
